//! Signatures over the exact bytes of a manifest: ed25519, one key, usable offline.

use edge_model::ids::{Digest, from_hex, to_hex};
use edge_model::manifest::{Algorithm, BLOCK_SIZE, FORMAT, ImageManifest, Signature, Signatures};
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

/// Whoever signs manifests: a key in a file, or a program or a device that keeps one.
pub trait Signer: std::fmt::Debug {
    /// The key that hosts have to trust.
    fn public(&self) -> TrustedKey;

    /// # Errors
    /// When whoever keeps the key refuses.
    fn sign(&self, manifest: &[u8]) -> Result<Signature>;
}

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
}

impl Signer for SigningKey {
    fn public(&self) -> TrustedKey {
        TrustedKey(self.0.public_key().as_ref().to_vec())
    }

    fn sign(&self, manifest: &[u8]) -> Result<Signature> {
        Ok(Signature {
            algorithm: Algorithm::Ed25519,
            key: self.public().id(),
            signature: to_hex(self.0.sign(manifest).as_ref()),
        })
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

/// Checks the signatures of a manifest, if there are any: one by a trusted key is enough.
///
/// # Errors
/// [`edge_model::Class::Integrity`] when none verifies under a trusted key, or one of a trusted key does not: a wrong
/// signature is never treated as none.
pub fn check_signature(
    manifest: &[u8],
    signatures: Option<&Signatures>,
    trusted: &[TrustedKey],
) -> Result<Provenance> {
    let Some(signatures) = signatures else {
        return Ok(Provenance::Unsigned);
    };
    let mut by = None;
    for signature in signatures.all() {
        let key = trusted.iter().find(|key| key.id() == signature.key);
        let Some(key) = key.filter(|_| signature.algorithm == Algorithm::Ed25519) else { continue };
        from_hex(&signature.signature)
            .and_then(|bytes| UnparsedPublicKey::new(&ED25519, &key.0).verify(manifest, &bytes).ok())
            .ok_or_else(|| Error::integrity("the signature of the image's manifest is wrong"))?;
        by.get_or_insert(signature.key);
    }
    by.map(Provenance::Signed).ok_or_else(|| {
        let keys: Vec<String> = signatures.all().iter().map(|signature| signature.key.to_string()).collect();
        let keys = if keys.is_empty() { "none".to_owned() } else { keys.join(", ") };
        Error::integrity(format!("the image is signed by the key {keys}, which this host does not trust"))
            .help("build the image with the key pair that the installed image was built with")
    })
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
    let strange = manifest.not_understood();
    if !strange.is_empty() {
        return Err(Error::rejected(format!(
            "the image needs what this version does not know: {}",
            strange.join(", ")
        ))
        .help("upgrade through a version in between"));
    }
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
        let signature = SigningKey::parse(&text).unwrap().sign(b"manifest").unwrap();
        let trusted = [other.public(), TrustedKey::parse(&key.public().to_text()).unwrap()];
        let check = |bytes: &[u8], signature: Option<&Signature>, keys: &[TrustedKey]| {
            check_signature(bytes, signature.cloned().map(Signatures::One).as_ref(), keys)
        };
        assert_eq!(check(b"manifest", Some(&signature), &trusted), Ok(Provenance::Signed(key.public().id())));
        assert_eq!(check(b"manifest", None, &trusted), Ok(Provenance::Unsigned));
        assert!(check(b"manifesT", Some(&signature), &trusted).is_err());
        assert!(check(b"manifest", Some(&signature), &trusted[..1]).is_err());
        let forged = Signature { key: other.public().id(), ..signature };
        assert!(check(b"manifest", Some(&forged), &trusted).is_err());
    }

    #[test]
    fn of_several_signatures_one_must_be_ours_and_none_of_ours_wrong() {
        let (ours, _) = SigningKey::generate().unwrap();
        let (other, _) = SigningKey::generate().unwrap();
        let check = |signatures: Vec<Signature>| {
            check_signature(b"manifest", Some(&Signatures::Several { signatures }), &[ours.public()])
        };
        let (good, foreign) = (ours.sign(b"manifest").unwrap(), other.sign(b"manifest").unwrap());
        assert!(
            matches!(check(vec![foreign.clone(), good.clone()]), Ok(Provenance::Signed(key)) if key == good.key)
        );
        assert!(check(vec![foreign.clone()]).is_err() && check(Vec::new()).is_err());
        assert!(check(vec![ours.sign(b"another").unwrap(), good.clone()]).is_err(), "one of ours is wrong");
        let newer = Signature { algorithm: Algorithm::Unknown, ..good.clone() };
        assert!(check(vec![newer.clone()]).is_err() && check(vec![newer, good.clone()]).is_ok());
        let text = format!(
            r#"{{"signatures":[{{"algorithm":"ml-dsa","key":"{}","signature":"00","since":1}},{{"key":"sha512:00"}}]}}"#,
            good.key
        );
        let read: Signatures = serde_json::from_str(&text).unwrap();
        assert_eq!((read.all().len(), read.all()[0].algorithm), (1, Algorithm::Unknown));
        assert!(matches!(
            serde_json::from_value(serde_json::to_value(&good).unwrap()),
            Ok(Signatures::One(_))
        ));
    }

    /// What hosts do with the manifests of builders that are newer than they are.
    #[test]
    fn what_is_not_known_is_ignored_unless_it_is_critical() {
        let blob = serde_json::json!({ "digest": sha256(b""), "size": 2 });
        let of = |critical: &[&str]| {
            let manifest = serde_json::json!({
                "format": 1, "name": "edge", "version": "9", "architecture": "amd64", "created": 1, "kernel": "7",
                "root": { "root_hash": "ab".repeat(32), "data_blocks": 2, "tree_blocks": verity::tree_blocks(2),
                          "blob": blob, "data_frames": [1], "tree_frames": [1], "layout": "new" },
                "ukis": { "main": blob, "recovery": blob, "live": blob, "rescue": blob },
                "components": { "edge-agent": "2" }, "delta": { "from": "8" }, "critical": critical,
            });
            parse_manifest(manifest.to_string().as_bytes())
        };
        assert_eq!(of(&[]).unwrap().components["edge-agent"], "2");
        assert!(of(&["root", "kubernetes"]).is_ok());
        let refusal = of(&["root", "delta"]).unwrap_err();
        assert_eq!(refusal.class, edge_model::Class::Rejected);
        assert!(refusal.to_string().ends_with("does not know: delta"), "{refusal}");
    }

    proptest! {
        #[test]
        fn no_manifest_panics(text in "[ -~]{0,200}") {
            let _ = parse_manifest(text.as_bytes());
        }
    }
}
