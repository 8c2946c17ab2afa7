//! Signatures over the exact bytes of a manifest: ed25519, one key, usable offline.

use edge_model::ids::{Digest, from_hex, to_hex};
use edge_model::manifest::{Algorithm, BLOCK_SIZE, FORMAT, ImageManifest, Signature};
use edge_model::{Context, Error, Result};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

use crate::{frames, sha256, verity};

/// Largest manifest that is read, in bytes.
pub const MANIFEST_LIMIT: usize = 4 << 20;
const PRIVATE_PREFIX: &str = "ed25519-private:";
const PUBLIC_PREFIX: &str = "ed25519-public:";

/// A key pair that signs manifests.
#[derive(Debug)]
pub struct SigningKey(Ed25519KeyPair);

/// A public key that a host trusts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedKey(Vec<u8>);

impl SigningKey {
    /// Makes a new pair and returns the text of its private file.
    ///
    /// # Errors
    /// [`edge_model::Class::Internal`] when the system has no randomness.
    pub fn generate() -> Result<(Self, String)> {
        let document = Ed25519KeyPair::generate_pkcs8(&ring::rand::SystemRandom::new())
            .map_err(|_| Error::internal("cannot make a key pair"))?;
        let text = format!("{PRIVATE_PREFIX}{}\n", to_hex(document.as_ref()));
        Ok((Self::parse(&text)?, text))
    }

    /// Reads the text of a private key file.
    ///
    /// # Errors
    /// [`edge_model::Class::InvalidInput`] when it is not one. The text is never repeated.
    pub fn parse(text: &str) -> Result<Self> {
        let bytes = text.trim().strip_prefix(PRIVATE_PREFIX).and_then(from_hex);
        bytes.and_then(|bytes| Ed25519KeyPair::from_pkcs8(&bytes).ok()).map(SigningKey).ok_or_else(|| {
            Error::invalid("this is not a private signing key").help("make one with edgeforge keys generate")
        })
    }

    pub fn public(&self) -> TrustedKey {
        TrustedKey(self.0.public_key().as_ref().to_vec())
    }

    pub fn sign(&self, manifest: &[u8]) -> Signature {
        Signature {
            algorithm: Algorithm::Ed25519,
            key: self.public().id(),
            signature: to_hex(self.0.sign(manifest).as_ref()),
        }
    }
}

impl TrustedKey {
    /// Reads the text of a public key file.
    ///
    /// # Errors
    /// [`edge_model::Class::InvalidInput`] when it is not one.
    pub fn parse(text: &str) -> Result<Self> {
        let bytes = text.trim().strip_prefix(PUBLIC_PREFIX).and_then(from_hex);
        bytes
            .filter(|bytes| bytes.len() == 32)
            .map(TrustedKey)
            .ok_or_else(|| Error::invalid("this is not a public signing key"))
    }

    pub fn to_text(&self) -> String {
        format!("{PUBLIC_PREFIX}{}\n", to_hex(&self.0))
    }

    pub fn id(&self) -> Digest {
        sha256(&self.0)
    }
}

/// Who stands behind a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provenance {
    /// Signed by this trusted key.
    Signed(Digest),
    Unsigned,
}

/// Checks the signature of a manifest, if there is one.
///
/// # Errors
/// [`edge_model::Class::Integrity`] when a signature is there and does not verify under a trusted key: a
/// wrong signature is never treated as none.
pub fn check_signature(
    manifest: &[u8],
    signature: Option<&Signature>,
    trusted: &[TrustedKey],
) -> Result<Provenance> {
    let Some(signature) = signature else {
        return Ok(Provenance::Unsigned);
    };
    let key = trusted.iter().find(|key| key.id() == signature.key).ok_or_else(|| {
        Error::integrity(format!(
            "the image is signed by the key {}, which this host does not trust",
            signature.key
        ))
        .help("build the image with the key pair that the installed image was built with")
    })?;
    from_hex(&signature.signature)
        .and_then(|bytes| UnparsedPublicKey::new(&ED25519, &key.0).verify(manifest, &bytes).ok())
        .map(|()| Provenance::Signed(signature.key))
        .ok_or_else(|| Error::integrity("the signature of the image's manifest is wrong"))
}

/// Parses a manifest and checks that its numbers agree with each other.
///
/// # Errors
/// [`edge_model::Class::InvalidInput`] when it is not a manifest of a format that is known here.
pub fn parse_manifest(bytes: &[u8]) -> Result<ImageManifest> {
    if bytes.len() > MANIFEST_LIMIT {
        return Err(Error::invalid("the image's manifest is too large"));
    }
    #[derive(serde::Deserialize)]
    struct Envelope {
        format: u32,
    }
    let envelope: Envelope = serde_json::from_slice(bytes).context("the image's manifest cannot be read")?;
    if envelope.format != FORMAT {
        return Err(Error::rejected(format!(
            "the image has format {}, this host knows {FORMAT}",
            envelope.format
        ))
        .help("upgrade through a version in between"));
    }
    let manifest: ImageManifest =
        serde_json::from_slice(bytes).context("the image's manifest cannot be read")?;
    check_consistency(&manifest)?;
    Ok(manifest)
}

fn check_consistency(manifest: &ImageManifest) -> Result<()> {
    let root = &manifest.root;
    let wrong = |what: &str| Err(Error::invalid(format!("the image's manifest contradicts itself: {what}")));
    if !(2..=verity::MAX_DATA_BLOCKS).contains(&root.data_blocks)
        || root.tree_blocks != verity::tree_blocks(root.data_blocks)
    {
        return wrong("number of blocks");
    }
    if root.data_frames.len() != frames::frame_count(root.data_blocks * BLOCK_SIZE)
        || root.tree_frames.len() != frames::frame_count(root.tree_blocks * BLOCK_SIZE)
    {
        return wrong("number of frames");
    }
    let all = root.data_frames.iter().chain(&root.tree_frames);
    if all.clone().any(|size| !(1..=frames::MAX_COMPRESSED_FRAME).contains(size))
        || all.map(|size| u64::from(*size)).sum::<u64>() != root.blob.size
    {
        return wrong("sizes of frames");
    }
    let name_is_plain = |text: &str| {
        !text.is_empty()
            && text.len() <= 128
            && text.chars().all(|character| character.is_ascii_alphanumeric() || "-_.+~".contains(character))
    };
    if !name_is_plain(&manifest.name) || !name_is_plain(&manifest.version) {
        return wrong("name or version");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_the_right_key_over_the_right_bytes_verifies() {
        let (key, text) = SigningKey::generate().unwrap();
        let (other, _) = SigningKey::generate().unwrap();
        let signature = SigningKey::parse(&text).unwrap().sign(b"manifest");
        let trusted = [other.public(), TrustedKey::parse(&key.public().to_text()).unwrap()];
        let check = |bytes: &[u8], signature: Option<&Signature>, keys: &[TrustedKey]| {
            check_signature(bytes, signature, keys)
        };
        assert_eq!(check(b"manifest", Some(&signature), &trusted), Ok(Provenance::Signed(key.public().id())));
        assert_eq!(check(b"manifest", None, &trusted), Ok(Provenance::Unsigned));
        assert!(check(b"manifesT", Some(&signature), &trusted).is_err());
        assert!(check(b"manifest", Some(&signature), &trusted[..1]).is_err());
        let forged = Signature { key: other.public().id(), ..signature };
        assert!(check(b"manifest", Some(&forged), &trusted).is_err());
    }

    proptest! {
        #[test]
        fn no_manifest_panics(text in "[ -~]{0,200}") {
            let _ = parse_manifest(text.as_bytes());
        }
    }
}
