//! The cluster's own certificate authorities. Their first day is the build of the image, and kubeadm dates all that they sign from there:
//! a host whose clock was wrong when the cluster was made has certificates that are valid when the clock is right.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use edge_model::{Context, Error, Result};
use edge_planner::cluster::Authority;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256,
};

const SECONDS_A_DAY: u64 = 86_400;

/// Makes authorities in a folder, as `NAME.crt` and `NAME.key`.
///
/// # Errors
/// When a file cannot be written.
pub(super) fn make(folder: &Path, names: &[Authority], not_before: u64, life_days: u64) -> Result<()> {
    names.iter().try_for_each(|authority| {
        make_one(folder, *authority, not_before, life_days)
            .with_context(|| format!("cannot make the authority {}", authority.name))
    })
}

fn make_one(folder: &Path, authority: Authority, not_before: u64, life_days: u64) -> Result<()> {
    let wrong = |error: rcgen::Error| Error::internal(error.to_string());
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(wrong)?;
    let mut params = CertificateParams::new(vec![authority.name.to_owned()]).map_err(wrong)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, authority.name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::KeyEncipherment,
        KeyUsagePurpose::KeyCertSign,
    ];
    params.not_before = crate::web::moment(not_before)?;
    params.not_after = crate::web::moment(not_before + life_days * SECONDS_A_DAY)?;
    let certificate = params.self_signed(&key).map_err(wrong)?;
    write(&folder.join(format!("{}.crt", authority.file)), &certificate.pem(), 0o644)?;
    write(&folder.join(format!("{}.key", authority.file)), &key.serialize_pem(), 0o600)
}

/// What is beside its place reaches the disk before it moves there.
fn write(path: &Path, text: &str, mode: u32) -> Result<()> {
    let context = || format!("cannot write {}", path.display());
    fs::create_dir_all(path.parent().unwrap_or(path)).with_context(context)?;
    fs::write(path, "").with_context(context)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).with_context(context)?;
    fs::write(path, text).with_context(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_are_of_the_day_of_the_image() {
        let folder = tempfile::tempdir().unwrap();
        let names =
            [Authority { file: "ca", name: "kubernetes" }, Authority { file: "etcd/ca", name: "etcd-ca" }];
        make(folder.path(), &names, 1_790_000_000, 365).unwrap();
        let pem = fs::read(folder.path().join("etcd/ca.crt")).unwrap();
        let key = fs::metadata(folder.path().join("etcd/ca.key")).unwrap();
        assert_eq!(key.permissions().mode() & 0o777, 0o600);
        let said = String::from_utf8(pem).unwrap();
        let inside: String = said.lines().filter(|line| !line.starts_with("-----")).collect();
        let der = data_encoding::BASE64.decode(inside.as_bytes()).unwrap();
        let described = edge_model::api::diagnostics::describe_certificate(&der).unwrap();
        assert!(
            described.contains("CN=etcd-ca") && described.contains("valid until 2027-09-21"),
            "{described}"
        );
    }
}
