//! Container images that the host's own image carries: which there are, and their documents. Layers are not among them: they are file
//! systems in the verified root, which the runtime finds by itself.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use edge_host::files;
use edge_model::content::IMAGE_NAME;
use edge_model::ids::{Digest, to_hex};
use edge_model::{Context, Error, Result};
use edge_slot_image::bundle::DOCUMENT_LIMIT;
use edge_slot_image::sha256;
use serde::Deserialize;

/// What can be asked for.
#[derive(Debug, Default)]
pub(super) struct ImageContent {
    folder: PathBuf,
    /// By full name with tag: `registry.k8s.io/pause:3.10`.
    names: BTreeMap<String, Digest>,
    /// Documents and what they are.
    types: BTreeMap<Digest, String>,
    /// Layers that exist as file systems alone, with the image that has them.
    layers: BTreeMap<Digest, String>,
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

impl ImageContent {
    /// What the verified root carries. What of it cannot be read is left out, and said; an image without any is well.
    pub(super) fn read(folder: &Path) -> Self {
        let mut content = Self { folder: folder.to_owned(), ..Self::default() };
        if folder.exists()
            && let Err(error) = content.read_index()
        {
            tracing::error!("content: the container images of the image cannot be read: {error}");
        }
        content
    }

    fn read_index(&mut self) -> Result<()> {
        let bytes = files::read(&self.folder.join("index.json"), DOCUMENT_LIMIT)?;
        let index: Index = serde_json::from_slice(&bytes).context("index.json is damaged")?;
        for entry in index.manifests {
            let Some(name) = entry.annotations.get(IMAGE_NAME).cloned() else { continue };
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

    /// Full names of all images.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(String::as_str)
    }

    /// Names with the digests of their manifests.
    pub(super) fn tags(&self) -> impl Iterator<Item = (&str, Digest)> {
        self.names.iter().map(|(name, digest)| (name.as_str(), *digest))
    }

    /// A manifest or a configuration with what it is, if the image has one with this digest.
    ///
    /// # Errors
    /// [`edge_model::Class::Integrity`] when it is damaged.
    pub(super) fn document(&self, digest: &Digest) -> Option<Result<(String, Vec<u8>)>> {
        let media_type = self.types.get(digest)?;
        Some(self.stored(digest).map(|bytes| (media_type.clone(), bytes)))
    }

    /// The image that has this layer as a file system.
    pub(super) fn with_layer(&self, digest: &Digest) -> Option<&str> {
        self.layers.get(digest).map(String::as_str)
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
            json!({ "mediaType": "manifest", "digest": digest, "annotations": { IMAGE_NAME: name } })
        };
        let names = ["registry.k8s.io/pause:3.10", "edge.local/pause:3.10", "edge.local/page:1"];
        let manifests: Vec<_> = names.into_iter().map(image).collect();
        std::fs::write(folder.path().join("index.json"), json!({ "manifests": manifests }).to_string())
            .unwrap();
        folder
    }
}
