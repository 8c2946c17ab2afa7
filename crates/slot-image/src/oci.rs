//! A provider image as an OCI artifact: one manifest, whose layers are told apart by media type.
//!
//! <https://github.com/opencontainers/image-spec/blob/v1.1.0/manifest.md>

use std::collections::BTreeMap;

use edge_model::ids::Digest;
use edge_model::manifest::Blob;
use edge_model::{Context, Error, Result};
use serde::{Deserialize, Serialize};

pub const MEDIA_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const MEDIA_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Every form of a manifest that registries give: of one image, or an index that leads to several.
pub const MANIFEST_TYPES: [&str; 4] = [
    MEDIA_INDEX,
    MEDIA_MANIFEST,
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];
pub const MEDIA_EMPTY: &str = "application/vnd.oci.empty.v1+json";
pub const ARTIFACT_TYPE: &str = "application/vnd.edgeforge.provider-image.v1";
pub const MEDIA_IMAGE_MANIFEST: &str = "application/vnd.edgeforge.image-manifest.v1+json";
pub const MEDIA_SIGNATURE: &str = "application/vnd.edgeforge.signature.v1+json";
pub const MEDIA_ROOT: &str = "application/vnd.edgeforge.root.v1.erofs+zstd";
pub const MEDIA_UKI_MAIN: &str = "application/vnd.edgeforge.uki-main.v1";
pub const MEDIA_UKI_RECOVERY: &str = "application/vnd.edgeforge.uki-recovery.v1";
pub const MEDIA_UKI_LIVE: &str = "application/vnd.edgeforge.uki-live.v1";
/// Content of the file `oci-layout`.
pub const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
/// The empty config object of an artifact.
pub const EMPTY: &[u8] = b"{}";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    pub media_type: String,
    pub digest: Digest,
    pub size: u64,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    pub schema_version: u32,
    pub media_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    pub config: Descriptor,
    pub layers: Vec<Descriptor>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    pub schema_version: u32,
    pub media_type: String,
    pub manifests: Vec<Descriptor>,
}

/// What a manifest says it is; older ones leave it to the header, and are known by their shape.
pub fn manifest_type(bytes: &[u8]) -> &'static str {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Shape {
        #[serde(default)]
        media_type: String,
        manifests: Option<serde_json::Value>,
    }
    match serde_json::from_slice::<Shape>(bytes) {
        Ok(shape) => {
            let said = MANIFEST_TYPES.iter().find(|kind| **kind == shape.media_type);
            said.copied().unwrap_or(if shape.manifests.is_some() { MEDIA_INDEX } else { MEDIA_MANIFEST })
        }
        Err(_) => MEDIA_MANIFEST,
    }
}

impl Descriptor {
    pub fn new(media_type: &str, blob: Blob) -> Self {
        Self {
            media_type: media_type.into(),
            digest: blob.digest,
            size: blob.size,
            annotations: BTreeMap::new(),
        }
    }
}

impl Manifest {
    /// The artifact with these layers.
    pub fn artifact(layers: Vec<Descriptor>, annotations: BTreeMap<String, String>) -> Self {
        let empty = Blob { digest: crate::sha256(EMPTY), size: EMPTY.len() as u64 };
        Self {
            schema_version: 2,
            media_type: MEDIA_MANIFEST.into(),
            artifact_type: Some(ARTIFACT_TYPE.into()),
            config: Descriptor::new(MEDIA_EMPTY, empty),
            layers,
            annotations,
        }
    }

    /// # Errors
    /// [`edge_model::Class::InvalidInput`] when `bytes` is not the manifest of a provider image.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let manifest: Self = serde_json::from_slice(bytes).context("this is not an OCI image manifest")?;
        if manifest.artifact_type.as_deref() != Some(ARTIFACT_TYPE) {
            return Err(Error::invalid("this OCI artifact is not a provider image")
                .help("give the reference that edgeforge build --push printed"));
        }
        Ok(manifest)
    }

    /// The only layer of a media type.
    ///
    /// # Errors
    /// [`edge_model::Class::InvalidInput`] when it is missing.
    pub fn layer(&self, media_type: &str) -> Result<&Descriptor> {
        self.find(media_type)
            .ok_or_else(|| Error::invalid(format!("the provider image has no layer {media_type}")))
    }

    pub fn find(&self, media_type: &str) -> Option<&Descriptor> {
        self.layers.iter().find(|layer| layer.media_type == media_type)
    }
}

impl Index {
    pub fn of(manifest: Descriptor) -> Self {
        Self { schema_version: 2, media_type: MEDIA_INDEX.into(), manifests: vec![manifest] }
    }

    /// The provider image of an OCI layout's `index.json`.
    ///
    /// # Errors
    /// [`edge_model::Class::InvalidInput`] when there is none, or more than one.
    pub fn only_manifest(bytes: &[u8]) -> Result<Descriptor> {
        let index: Self =
            serde_json::from_slice(bytes).context("index.json of the OCI layout cannot be read")?;
        match <[Descriptor; 1]>::try_from(index.manifests) {
            Ok([manifest]) => Ok(manifest),
            Err(all) => {
                Err(Error::invalid(format!("the OCI layout holds {} images instead of one", all.len())))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(Manifest::parse(&bytes).is_err());
            prop_assert!(Index::only_manifest(&bytes).is_err());
        }
    }

    #[test]
    fn a_manifest_is_what_it_says_or_what_it_looks_like() {
        for (text, kind) in [
            (r#"{"mediaType":"application/vnd.docker.distribution.manifest.v2+json"}"#, MANIFEST_TYPES[3]),
            (r#"{"manifests":[]}"#, MEDIA_INDEX),
            (r#"{"mediaType":"text/html","config":{}}"#, MEDIA_MANIFEST),
            ("no json", MEDIA_MANIFEST),
        ] {
            assert_eq!(manifest_type(text.as_bytes()), kind, "{text}");
        }
    }

    #[test]
    fn other_artifacts_are_refused_by_name() {
        let mut manifest = Manifest::artifact(Vec::new(), BTreeMap::new());
        let bytes = serde_json::to_vec(&manifest).unwrap();
        assert!(Manifest::parse(&bytes).unwrap().layer(MEDIA_ROOT).is_err());
        manifest.artifact_type = None;
        let error = Manifest::parse(&serde_json::to_vec(&manifest).unwrap()).unwrap_err();
        assert!(error.to_string().contains("not a provider image"), "{error}");
        assert!(Index::only_manifest(b"{}").is_err());
    }
}
