//! Container images that are on this host: which there are, and their documents. Layers are not among them: those of the
//! image are file systems, which the runtime finds by itself.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use edge_host::files;
use edge_model::ids::{Digest, to_hex};
use edge_model::{Context, Error, Result};
use edge_slot_image::sha256;
use serde::Deserialize;

/// Manifests and configurations are small; an image with larger ones is no honest one.
const DOCUMENT_LIMIT: u64 = 4 << 20;
const NAME: &str = "io.containerd.image.name";

/// What can be asked for.
#[derive(Debug, Default)]
pub(super) struct Content {
    folder: PathBuf,
    /// By full name with tag: `registry.k8s.io/pause:3.10`.
    names: BTreeMap<String, Digest>,
    /// Documents and what they are.
    types: BTreeMap<Digest, String>,
    /// Layers that exist as file systems alone, with the image that has them.
    layers: BTreeMap<Digest, String>,
}

/// A document as it is given to the runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Document {
    pub(super) digest: Digest,
    pub(super) media_type: String,
    pub(super) bytes: Vec<u8>,
}

/// Why something is not given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Absent {
    /// Nothing has this name.
    Unknown,
    /// Several registries have an image of this name, and none was said.
    Ambiguous,
    /// It is there as a file system, for this image.
    FileSystem(String),
    /// What is stored is not what it should be.
    Damaged,
}

#[derive(Deserialize)]
struct Index {
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    media_type: String,
    digest: Digest,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Manifest {
    config: Descriptor,
    layers: Vec<Descriptor>,
}

impl Content {
    /// What the verified root carries. What of it cannot be read is left out, and said.
    pub(super) fn of_image(folder: &Path) -> Self {
        let mut content = Self { folder: folder.to_owned(), ..Self::default() };
        if let Err(error) = content.read_index() {
            tracing::error!("content: the container images of the image cannot be read: {error}");
        }
        content
    }

    fn read_index(&mut self) -> Result<()> {
        let bytes = files::read(&self.folder.join("index.json"), DOCUMENT_LIMIT)?;
        let index: Index = serde_json::from_slice(&bytes).context("index.json is damaged")?;
        for entry in index.manifests {
            let Some(name) = entry.annotations.get(NAME).cloned() else { continue };
            let manifest: Manifest = serde_json::from_slice(&self.stored(&entry.digest)?)
                .with_context(|| format!("the manifest of {name} is damaged"))?;
            for layer in manifest.layers {
                self.layers.insert(layer.digest, name.clone());
            }
            self.types.insert(manifest.config.digest, manifest.config.media_type);
            self.types.insert(entry.digest, entry.media_type);
            self.names.insert(name, entry.digest);
        }
        Ok(())
    }

    fn stored(&self, digest: &Digest) -> Result<Vec<u8>> {
        let path = self.folder.join("blobs/sha256").join(to_hex(&digest.0));
        let bytes = files::read(&path, DOCUMENT_LIMIT)?;
        if sha256(&bytes) == *digest {
            return Ok(bytes);
        }
        Err(Error::integrity(format!("{} is damaged", path.display())))
    }

    pub(super) fn names(&self) -> usize {
        self.names.len()
    }

    /// The manifest with a tag. Without the registry that was meant, the name must be one that only one has.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn tagged(&self, registry: Option<&str>, name: &str, tag: &str) -> Result<Document, Absent> {
        let digest = match registry {
            Some(registry) => *self.names.get(&format!("{registry}/{name}:{tag}")).ok_or(Absent::Unknown)?,
            None => {
                let end = format!("/{name}:{tag}");
                let mut found =
                    self.names.iter().filter(|(full, _)| full.ends_with(&end)).map(|(_, digest)| *digest);
                let first = found.next().ok_or(Absent::Unknown)?;
                if found.any(|other| other != first) {
                    return Err(Absent::Ambiguous);
                }
                first
            }
        };
        self.document(&digest)
    }

    /// # Errors
    /// Why it is not given.
    pub(super) fn document(&self, digest: &Digest) -> Result<Document, Absent> {
        match (self.types.get(digest), self.layers.get(digest)) {
            (Some(media_type), _) => {
                let bytes = self.stored(digest).map_err(|_| Absent::Damaged)?;
                Ok(Document { digest: *digest, media_type: media_type.clone(), bytes })
            }
            (None, Some(image)) => Err(Absent::FileSystem(image.clone())),
            (None, None) => Err(Absent::Unknown),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use serde_json::json;

    /// A folder with two images that share a layer.
    pub(crate) fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let blobs = folder.path().join("blobs/sha256");
        std::fs::create_dir_all(&blobs).unwrap();
        let put = |bytes: &[u8]| {
            std::fs::write(blobs.join(to_hex(&sha256(bytes).0)), bytes).unwrap();
            sha256(bytes).to_string()
        };
        let layer = sha256(b"layer").to_string();
        let image = |name: &str| {
            let config = put(format!("{{\"name\":{name:?}}}").as_bytes());
            let manifest = json!({
                "config": { "mediaType": "config", "digest": config },
                "layers": [{ "mediaType": "layer", "digest": layer }],
            });
            let digest = put(manifest.to_string().as_bytes());
            json!({ "mediaType": "manifest", "digest": digest, "annotations": { NAME: name } })
        };
        let names = ["registry.k8s.io/pause:3.10", "edge.local/pause:3.10", "edge.local/page:1"];
        let manifests: Vec<_> = names.into_iter().map(image).collect();
        std::fs::write(folder.path().join("index.json"), json!({ "manifests": manifests }).to_string())
            .unwrap();
        folder
    }

    #[test]
    fn images_are_found_by_tag_and_digest() {
        let folder = folder();
        let content = Content::of_image(folder.path());
        assert_eq!(content.names(), 3);
        let pause = content.tagged(Some("registry.k8s.io"), "pause", "3.10").unwrap();
        assert_eq!(pause.media_type, "manifest");
        assert_eq!(content.document(&pause.digest), Ok(pause.clone()));
        assert_eq!(content.tagged(None, "pause", "3.10"), Err(Absent::Ambiguous));
        assert!(content.tagged(None, "page", "1").is_ok());
        for (registry, name, tag) in [
            (Some("registry.k8s.io"), "pause", "3.9"),
            (Some("docker.io"), "pause", "3.10"),
            (None, "ause", "3.10"),
            (None, "page", "../1"),
        ] {
            assert_eq!(content.tagged(registry, name, tag), Err(Absent::Unknown), "{name}:{tag}");
        }
        let layer = content.document(&sha256(b"layer"));
        assert_eq!(layer, Err(Absent::FileSystem("edge.local/page:1".into())));
    }

    #[test]
    fn a_damaged_document_is_never_given() {
        let folder = folder();
        let content = Content::of_image(folder.path());
        let page = content.tagged(Some("edge.local"), "page", "1").unwrap();
        let path = folder.path().join("blobs/sha256").join(to_hex(&page.digest.0));
        for damage in [&b""[..], b"{}", &page.bytes[..page.bytes.len() - 1]] {
            std::fs::write(&path, damage).unwrap();
            assert_eq!(content.document(&page.digest), Err(Absent::Damaged));
        }
        assert_eq!(Content::of_image(Path::new("/nowhere")).names(), 0);
    }
}
