//! TLS by rustls: 1.3, and 1.2 for tablets that nobody updates any more.

use std::sync::Arc;

use edge_model::{Context, Error, Result};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// From a chain and its key, both PEM.
///
/// # Errors
/// When they cannot be read, or do not belong together.
pub fn acceptor(chain: &[u8], key: &[u8]) -> Result<TlsAcceptor> {
    let wrong = |what: &str, error: &dyn std::fmt::Display| Error::integrity(format!("{what}: {error}"));
    let chain = certificates(chain)?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| wrong("the key cannot be read", &error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong("TLS cannot be set up", &error))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| wrong("certificate and key do not fit", &error))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// SHA-256 of the first certificate, in hex.
pub(crate) fn fingerprint(chain: &[u8]) -> String {
    let first = certificates(chain).ok().and_then(|chain| chain.into_iter().next());
    let digest = first.map(|first| ring::digest::digest(&ring::digest::SHA256, &first));
    digest.map_or_else(String::new, |digest| edge_model::ids::to_hex(digest.as_ref()))
}

fn certificates(chain: &[u8]) -> Result<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_slice_iter(chain)
        .collect::<std::result::Result<Vec<_>, _>>()
        .map_err(|error| Error::integrity(error.to_string()))
        .context("the certificate cannot be read")
}
