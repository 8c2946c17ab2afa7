//! The host's own key (P-256, PKCS #8): with it the host proves that it is the same as before. It is apart from the identifier, which
//! its owner chooses, and is made once: it survives upgrades, resets and a new name.

use std::path::Path;

use edge_host::files;
use edge_model::ids::Digest;
use edge_model::{Context, Error, Result};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};

/// Larger than any such key, in bytes.
const LIMIT: u64 = 4096;

pub(crate) struct HostKey(EcdsaKeyPair);

impl HostKey {
    /// The key of this host; made, when there is none. A damaged one is not replaced: who knows the host by it would no longer.
    ///
    /// # Errors
    /// When it cannot be read, is damaged, or cannot be made.
    pub(crate) fn prepare(path: &Path) -> Result<Self> {
        if path.try_exists().with_context(|| format!("cannot look for {}", path.display()))? {
            return Self::parse(&files::read(path, LIMIT)?);
        }
        let random = SystemRandom::new();
        let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random)
            .map_err(|_| Error::environment("the system gives no random numbers"))?;
        files::write_durably(path, made.as_ref(), 0o600)?;
        Self::parse(made.as_ref())
    }

    fn parse(bytes: &[u8]) -> Result<Self> {
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, bytes, &SystemRandom::new())
            .map(Self)
            .map_err(|_| Error::integrity("the host's own key is damaged"))
    }

    /// What others know the host by: the digest of the public key, an uncompressed point.
    pub(crate) fn fingerprint(&self) -> Digest {
        edge_slot_image::sha256(self.0.public_key().as_ref())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_host_has_one_key_for_life() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("host-key.p8");
        let made = HostKey::prepare(&path).unwrap().fingerprint();
        assert_eq!(HostKey::prepare(&path).unwrap().fingerprint(), made);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let other = HostKey::prepare(&folder.path().join("other")).unwrap().fingerprint();
        assert_ne!(other, made);
    }

    #[test]
    fn a_damaged_key_is_told_and_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("host-key.p8");
        std::fs::write(&path, b"half").unwrap();
        let error = HostKey::prepare(&path).err().unwrap();
        assert_eq!(error.class, edge_model::Class::Integrity);
        assert_eq!(std::fs::read(&path).unwrap(), b"half");
    }
}
