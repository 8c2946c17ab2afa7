//! The image format, pure over bytes, readers and writers: the verity tree, zstd frames, the signed
//! manifest and its mapping to an OCI artifact.

pub mod bundle;
pub mod frames;
pub mod oci;
pub mod sealed;
pub mod signing;
pub mod verity;

use edge_model::ids::Digest;

/// SHA-256 of some bytes.
pub fn sha256(bytes: &[u8]) -> Digest {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    let mut hash = [0; 32];
    hash.copy_from_slice(digest.as_ref());
    Digest(hash)
}

/// SHA-256 of a stream in pieces.
#[derive(Clone)]
pub struct Hasher(ring::digest::Context);

impl std::fmt::Debug for Hasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hasher")
    }
}

impl Default for Hasher {
    fn default() -> Self {
        Self(ring::digest::Context::new(&ring::digest::SHA256))
    }
}

impl Hasher {
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub fn finish(self) -> Digest {
        let mut hash = [0; 32];
        hash.copy_from_slice(self.0.finish().as_ref());
        Digest(hash)
    }
}
