//! The host's own certificate: made here, kept in one file with its key, so that a power cut never leaves half of the two.

use std::path::Path;

use data_encoding::BASE64;
use edge_host::files;
use edge_host::gpt::random_bytes;
use edge_model::ids::to_hex;
use edge_model::secret::Secret;
use edge_model::{Context, Error, Result};
use edge_planner::web_certificate::{Facts, Issue, Present, plan};
use edge_slot_image::sha256;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, SerialNumber,
};
use serde::{Deserialize, Serialize};

const FILE: &str = "certificate.json";
const LIMIT: u64 = 64 << 10;

/// A key and the chain that belongs to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Certificate {
    pub(crate) host_name: String,
    pub(crate) host_id: String,
    pub(crate) not_before: u64,
    pub(crate) not_after: u64,
    /// PEM.
    pub(crate) chain: String,
    /// PEM of PKCS #8.
    #[serde(serialize_with = "revealed")]
    pub(crate) key: Secret,
}

/// The file is the key's place.
fn revealed<S: serde::Serializer>(secret: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.reveal())
}

impl Certificate {
    /// The one that is kept in a folder, or a new one where that does not do.
    ///
    /// # Errors
    /// When it cannot be kept, or there is no randomness.
    pub(crate) fn prepare(folder: &Path, facts: &Facts<'_>) -> Result<Self> {
        let path = folder.join(FILE);
        let there = path.try_exists().with_context(|| format!("cannot look for {}", path.display()))?;
        // One that cannot be read now is not gone: whoever has pinned its key would no longer know the host.
        let bytes = if there { Some(files::read(&path, LIMIT)?) } else { None };
        let kept = bytes.and_then(|bytes| serde_json::from_slice::<Self>(&bytes).ok());
        let present = kept.as_ref().map(|kept| Present {
            host_name: &kept.host_name,
            host_id: &kept.host_id,
            not_before: kept.not_before,
            not_after: kept.not_after,
        });
        let Some(issue) = plan(present, facts) else {
            return kept.ok_or_else(|| Error::internal("no certificate is to stay, and none is there"));
        };
        // The same key: whoever has pinned it still knows the host.
        let made = Self::make(&issue, kept.as_ref().map(|kept| kept.key.reveal()))?;
        std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let bytes = serde_json::to_vec(&made).context("cannot write the web page's certificate")?;
        files::write_durably(&path, &bytes, 0o600)?;
        Ok(made)
    }

    fn make(issue: &Issue, key: Option<&str>) -> Result<Self> {
        let wrong = |error: rcgen::Error| Error::environment(format!("no certificate can be made: {error}"));
        let key = key.and_then(|pem| KeyPair::from_pem(pem).ok());
        let key = key.map_or_else(|| KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256), Ok).map_err(wrong)?;
        let mut params = CertificateParams::new(issue.names.clone()).map_err(wrong)?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, issue.common_name.as_str());
        params.distinguished_name.push(DnType::OrganizationName, issue.organization.as_str());
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        (params.not_before, params.not_after) = (moment(issue.not_before)?, moment(issue.not_after)?);
        // Firefox refuses two certificates of one issuer with the same number, for ever.
        let mut serial = random_bytes::<16>()?;
        serial[0] = serial[0] & 0x3f | 0x40;
        params.serial_number = Some(SerialNumber::from(serial.to_vec()));
        let certificate = params.self_signed(&key).map_err(wrong)?;
        Ok(Self {
            host_name: issue.common_name.clone(),
            host_id: issue.host_id.clone(),
            not_before: issue.not_before,
            not_after: issue.not_after,
            chain: certificate.pem(),
            key: Secret::new(key.serialize_pem()),
        })
    }

    /// SHA-256 of the first certificate of the chain, in hex: what a browser shows.
    ///
    /// # Errors
    /// When the chain has none.
    pub(crate) fn fingerprint(&self) -> Result<String> {
        let inside: String = self
            .chain
            .lines()
            .skip_while(|line| !line.starts_with("-----BEGIN"))
            .skip(1)
            .take_while(|line| !line.starts_with("-----END"))
            .collect();
        let bytes = BASE64
            .decode(inside.trim().as_bytes())
            .map_err(|_| Error::integrity("the web page's certificate is damaged"))?;
        Ok(to_hex(&sha256(&bytes).0))
    }
}

/// As certificates have it.
///
/// # Errors
/// Beyond all calendars.
pub(crate) fn moment(seconds: u64) -> Result<time::OffsetDateTime> {
    let seconds = i64::try_from(seconds).map_err(|_| Error::internal("a date beyond all calendars"))?;
    time::OffsetDateTime::from_unix_timestamp(seconds)
        .map_err(|_| Error::internal("a date beyond all calendars"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FACTS: Facts<'_> =
        Facts { host_name: "till", host_id: "edge-4c4c4544", built: 1_790_000_000, proven_now: None };

    #[test]
    fn it_is_made_once_and_keeps_its_key() {
        let folder = tempfile::tempdir().unwrap();
        let made = Certificate::prepare(folder.path(), &FACTS).unwrap();
        assert_eq!(Certificate::prepare(folder.path(), &FACTS).unwrap(), made);
        assert_eq!(made.fingerprint().unwrap().len(), 64);
        let renamed = Facts { host_name: "desk", ..FACTS };
        let other = Certificate::prepare(folder.path(), &renamed).unwrap();
        assert!(other.key == made.key && other.chain != made.chain);
        assert_ne!(other.fingerprint().unwrap(), made.fingerprint().unwrap());
        std::fs::write(folder.path().join(FILE), "{").unwrap();
        assert_ne!(Certificate::prepare(folder.path(), &FACTS).unwrap().key, made.key, "damaged: made anew");
    }

    #[test]
    fn a_key_is_not_printed() {
        let folder = tempfile::tempdir().unwrap();
        let made = Certificate::prepare(folder.path(), &FACTS).unwrap();
        assert!(!format!("{made:?}").contains("PRIVATE"));
    }
}
