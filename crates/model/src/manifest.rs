//! The manifest of a provider image: what is signed, and all that an upgrade needs to know beforehand.
//!
//! A host reads manifests of builders that are newer than it. What it does not know it ignores, unless [`ImageManifest::critical`]
//! names it: then the image is refused. (The rule of `crit` in <https://www.rfc-editor.org/rfc/rfc7515#section-4.1.11>.)

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use crate::cluster::CarriedKubernetes;
use crate::ids::{Digest, RootHash};

/// Version of this document. A host refuses a higher one: nothing of it can be relied on.
pub const FORMAT: u32 = 1;
/// Uncompressed bytes of one zstd frame of the root image; the last of a region may be shorter.
pub const FRAME_SIZE: u64 = 4 << 20;
/// Bytes of a block of the image and of its hash tree.
pub const BLOCK_SIZE: u64 = 4096;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageManifest {
    pub format: u32,
    pub name: String,
    pub version: String,
    /// Debian architecture name.
    pub architecture: String,
    /// Seconds since 1970: the newest input of the image. Orders versions of one name.
    pub created: u64,
    /// Kernel release.
    pub kernel: String,
    pub root: RootImage,
    pub ukis: Ukis,
    /// The Kubernetes in the image: data of a cluster may not meet every other one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<CarriedKubernetes>,
    /// Other parts with versions that somebody may ask for: `edge-agent`, `systemd`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub components: BTreeMap<String, String>,
    /// Keys of this document that a host must understand, or leave the image alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub critical: Vec<String>,
}

impl ImageManifest {
    /// Keys that may be critical, because this version understands them.
    pub const UNDERSTOOD: [&str; 10] = [
        "format",
        "name",
        "version",
        "architecture",
        "created",
        "kernel",
        "root",
        "ukis",
        "kubernetes",
        "components",
    ];

    /// What an image asks for that nobody here understands.
    pub fn not_understood(&self) -> Vec<&str> {
        let critical = self.critical.iter().map(String::as_str);
        critical.filter(|key| !Self::UNDERSTOOD.contains(key)).collect()
    }
}

/// The operating-system image: EROFS data blocks, then a verity superblock block, then the hash tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootImage {
    pub root_hash: RootHash,
    pub data_blocks: u64,
    /// Blocks behind the data: superblock and hash tree.
    pub tree_blocks: u64,
    /// The image as zstd frames: first those of the data, then those of the tree.
    pub blob: Blob,
    /// Compressed bytes of each frame of the data.
    pub data_frames: Vec<u32>,
    /// Compressed bytes of each frame of superblock and tree.
    pub tree_frames: Vec<u32>,
}

impl RootImage {
    /// Bytes of the whole image, data and tree.
    pub fn size(&self) -> u64 {
        (self.data_blocks + self.tree_blocks) * BLOCK_SIZE
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ukis {
    pub main: Blob,
    pub recovery: Blob,
    pub live: Blob,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blob {
    pub digest: Digest,
    /// Bytes.
    pub size: u64,
}

/// Detached signatures over the exact bytes of a manifest. One alone stands without a list: hosts of the first releases read
/// no other form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Signatures {
    One(Signature),
    Several {
        #[serde(deserialize_with = "those_understood")]
        signatures: Vec<Signature>,
    },
}

/// A signature of a form that is not known proves nothing here, and takes nothing away from the others.
fn those_understood<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Signature>, D::Error> {
    let all = Vec::<serde_json::Value>::deserialize(deserializer)?;
    Ok(all.into_iter().filter_map(|one| serde_json::from_value(one).ok()).collect())
}

impl Signatures {
    pub fn all(&self) -> &[Signature] {
        match self {
            Signatures::One(signature) => std::slice::from_ref(signature),
            Signatures::Several { signatures } => signatures,
        }
    }
}

/// A detached signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    pub algorithm: Algorithm,
    /// SHA-256 of the public key: finds the key, proves nothing.
    pub key: Digest,
    /// Hexadecimal.
    pub signature: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Algorithm {
    Ed25519,
    /// Of a newer builder: such a signature proves nothing here.
    #[serde(other)]
    Unknown,
}
