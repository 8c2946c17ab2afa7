//! What makes up an image, and the documents that say so.
//!
//! <https://github.com/opencontainers/image-spec/blob/v1.1.0/manifest.md>

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use edge_model::ids::{Digest, to_hex};
use edge_model::{Context, Error, Result};
use edge_slot_image::oci::{self, Index};
use serde::Deserialize;

use crate::tree::{Content, Tree};

/// Most bytes of a manifest, index or configuration.
pub(super) const DOCUMENT_LIMIT: u64 = 4 << 20;
/// More layers than any builder makes.
const MOST_LAYERS: usize = 500;
const ARCHITECTURE: &str = "amd64";

/// An image whose blobs are on this machine.
#[derive(Debug)]
pub(crate) struct Image {
    /// Digest of its manifest; of its configuration where there is no manifest.
    pub(crate) digest: Digest,
    pub(crate) contents: Contents,
}

/// What an image consists of.
#[derive(Debug)]
pub(crate) enum Contents {
    /// Of a container image, the lowest first.
    Layers(Vec<Layer>),
    /// A provider image of ours: an OCI layout with it alone.
    Provider(Tree),
}

impl Image {
    /// # Errors
    /// [`edge_model::Class::InvalidInput`] when it has none.
    pub(crate) fn layers(&self) -> Result<&[Layer]> {
        match &self.contents {
            Contents::Layers(layers) => Ok(layers),
            Contents::Provider(_) => Err(Error::invalid("this is a provider image, not a container image")
                .help("its container form is written by `edgeforge build --container`")),
        }
    }

    /// The layers laid over each other, with what does not stay in memory in `scratch`.
    ///
    /// # Errors
    /// [`edge_model::Class::InvalidInput`] when it has no layers, or one that is refused.
    pub(crate) fn unfold(&self, scratch: &Path) -> Result<Tree> {
        let mut tree = Tree::default();
        for (at, layer) in self.layers()?.iter().enumerate() {
            let folder = scratch.join(format!("layer-{at}"));
            std::fs::create_dir(&folder).context("cannot create a temporary folder")?;
            let archive = folder.join("layer.tar");
            layer.write_archive(&archive)?;
            tree.apply_layer(&archive, Some(&folder))?;
        }
        Ok(tree)
    }

    /// A provider image whose manifest has these bytes.
    pub(super) fn provider(digest: Digest, manifest: &[u8], blobs: Vec<(Digest, Stored)>) -> Result<Self> {
        let blob = edge_model::manifest::Blob { digest, size: manifest.len() as u64 };
        let index = Index::of(oci::Descriptor::new(oci::MEDIA_MANIFEST, blob));
        let index = serde_json::to_vec(&index).context("cannot write an index")?;
        let path = |digest: Digest| format!("blobs/sha256/{}", to_hex(&digest.0));
        let mut layout = Tree::default();
        layout.put_file("index.json", 0o644, index);
        layout.put_file(&path(digest), 0o644, manifest);
        for (digest, Stored { path: file, offset, size }) in blobs {
            let archive = File::open(&file).with_context(|| format!("cannot open {}", file.display()))?;
            layout.put(&path(digest), 0o644, Content::Span { archive: archive.into(), offset, size });
        }
        Ok(Self { digest, contents: Contents::Provider(layout) })
    }
}

/// Layers of a provider image that say what is in it; the others start it in other ways.
const TELLING: [&str; 4] =
    [oci::MEDIA_IMAGE_MANIFEST, oci::MEDIA_SIGNATURE, oci::MEDIA_ROOT, oci::MEDIA_UKI_MAIN];

/// A layer as it is stored.
#[derive(Debug)]
pub(crate) struct Layer {
    pub(super) stored: Stored,
    /// Of the stored bytes, where they have a digest of their own.
    pub(super) digest: Option<Digest>,
    /// Of the tar archive in them.
    pub(crate) diff_id: Digest,
}

/// A file or a part of one.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(super) path: PathBuf,
    pub(super) offset: u64,
    pub(crate) size: u64,
}

impl Stored {
    /// All of a file.
    #[cfg(test)]
    pub(crate) fn whole(path: &std::path::Path, size: u64) -> Self {
        Self { path: path.to_owned(), offset: 0, size }
    }

    pub(crate) fn open(&self) -> Result<impl Read + use<>> {
        let context = || format!("cannot open {}", self.path.display());
        let mut file = edge_host::files::open_of_stranger(&self.path).with_context(context)?;
        file.seek(SeekFrom::Start(self.offset)).with_context(context)?;
        Ok(file.take(self.size))
    }

    /// A short document.
    pub(super) fn document(&self) -> Result<Vec<u8>> {
        if self.size > DOCUMENT_LIMIT {
            return Err(Error::invalid(format!("a document of the image has {} bytes", self.size)));
        }
        let mut bytes = Vec::new();
        self.open()?
            .read_to_end(&mut bytes)
            .with_context(|| format!("cannot read {}", self.path.display()))?;
        Ok(bytes)
    }
}

/// Points at a blob.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    #[serde(default)]
    pub(super) media_type: String,
    pub(super) digest: Digest,
    pub(super) size: u64,
    #[serde(default)]
    pub(super) platform: Option<Platform>,
    #[serde(default)]
    pub(super) annotations: std::collections::BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Platform {
    architecture: String,
    os: String,
}

/// A manifest or an index of manifests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Document {
    Manifest {
        config: Descriptor,
        layers: Vec<Descriptor>,
    },
    /// The layers of a provider image of ours that are looked at.
    Provider(Vec<Descriptor>),
    Index(Vec<Descriptor>),
}

impl Document {
    /// # Errors
    /// [`edge_model::Class::InvalidInput`] when it is neither.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Either {
            artifact_type: Option<String>,
            manifests: Option<Vec<Descriptor>>,
            config: Option<Descriptor>,
            layers: Option<Vec<Descriptor>>,
        }
        let either: Either = serde_json::from_slice(bytes).context("this is not the manifest of an image")?;
        match (either.manifests, either.config, either.layers) {
            (Some(manifests), None, None) => Ok(Self::Index(manifests)),
            (None, Some(_), Some(mut layers))
                if either.artifact_type.as_deref() == Some(oci::ARTIFACT_TYPE) =>
            {
                layers.retain(|layer| TELLING.contains(&layer.media_type.as_str()));
                layers.truncate(TELLING.len());
                Ok(Self::Provider(layers))
            }
            (None, Some(config), Some(layers)) if layers.len() <= MOST_LAYERS => {
                Ok(Self::Manifest { config, layers })
            }
            _ => Err(Error::invalid("this is not the manifest of a container image")),
        }
    }
}

/// The image for this architecture; an index that has only one need not say which it is.
///
/// # Errors
/// [`edge_model::Class::InvalidInput`] when there is none.
pub(super) fn for_this_architecture(manifests: Vec<Descriptor>) -> Result<Descriptor> {
    let is_image = |one: &Descriptor| {
        one.platform
            .as_ref()
            .is_none_or(|platform| platform.os != "unknown" && platform.architecture != "unknown")
    };
    let mut images: Vec<Descriptor> = manifests.into_iter().filter(is_image).collect();
    let fits = |one: &Descriptor| {
        one.platform
            .as_ref()
            .is_some_and(|platform| platform.os == "linux" && platform.architecture == ARCHITECTURE)
    };
    if let Some(at) = images.iter().position(fits) {
        return Ok(images.swap_remove(at));
    }
    match images.as_slice() {
        [only] if only.platform.is_none() => Ok(images.swap_remove(0)),
        _ => Err(Error::invalid(format!("the image is not there for linux/{ARCHITECTURE}"))),
    }
}

/// The digests of the layers' archives, from an image's configuration.
///
/// # Errors
/// [`edge_model::Class::InvalidInput`] when the configuration is not one, or that of another architecture.
pub(super) fn diff_ids(config: &[u8], layers: usize) -> Result<Vec<Digest>> {
    #[derive(Deserialize)]
    struct Config {
        architecture: String,
        rootfs: RootFs,
    }
    #[derive(Deserialize)]
    struct RootFs {
        diff_ids: Vec<Digest>,
    }
    let config: Config =
        serde_json::from_slice(config).context("the image's configuration cannot be read")?;
    if config.architecture != ARCHITECTURE {
        return Err(Error::invalid(format!(
            "the image is for {}, not for {ARCHITECTURE}",
            config.architecture
        )));
    }
    if config.rootfs.diff_ids.len() != layers {
        return Err(Error::invalid(format!(
            "the image has {layers} layers and {} digests for them",
            config.rootfs.diff_ids.len()
        )));
    }
    Ok(config.rootfs.diff_ids)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Document::parse(&bytes);
            let _ = diff_ids(&bytes, 1);
        }

        #[test]
        fn no_json_panics(text in "[\\[\\]{}\":,a-z0-9]{0,200}") {
            let _ = Document::parse(text.as_bytes());
        }
    }

    fn descriptor(platform: Option<(&str, &str)>, size: u64) -> Descriptor {
        let platform =
            platform.map(|(os, architecture)| Platform { os: os.into(), architecture: architecture.into() });
        let annotations = Default::default();
        Descriptor { media_type: String::new(), digest: Digest([0; 32]), size, platform, annotations }
    }

    #[test]
    fn the_right_image_of_an_index_is_taken() {
        let attestation = descriptor(Some(("unknown", "unknown")), 1);
        let all = vec![
            descriptor(Some(("linux", "arm64")), 2),
            attestation.clone(),
            descriptor(Some(("linux", "amd64")), 3),
        ];
        assert_eq!(for_this_architecture(all).unwrap().size, 3);
        assert_eq!(for_this_architecture(vec![descriptor(None, 4), attestation]).unwrap().size, 4);
        assert!(for_this_architecture(vec![descriptor(Some(("linux", "arm64")), 2)]).is_err());
    }
}
