//! The manifest of a provider image: what is signed, and all that an upgrade needs to know beforehand.

use serde::{Deserialize, Serialize};

use crate::cluster::KubernetesVersions;
use crate::ids::{Digest, RootHash};

/// Version of this document. A host refuses a higher one.
pub const FORMAT: u32 = 1;
/// Uncompressed bytes of one zstd frame of the root image; the last of a region may be shorter.
pub const FRAME_SIZE: u64 = 4 << 20;
/// Bytes of a block of the image and of its hash tree.
pub const BLOCK_SIZE: u64 = 4096;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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
    pub kubernetes: Option<KubernetesVersions>,
}

/// The operating-system image: EROFS data blocks, then a verity superblock block, then the hash tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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
#[serde(deny_unknown_fields)]
pub struct Ukis {
    pub main: Blob,
    pub recovery: Blob,
    pub live: Blob,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Blob {
    pub digest: Digest,
    /// Bytes.
    pub size: u64,
}

/// A detached signature over the exact bytes of a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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
}
