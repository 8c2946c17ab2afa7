//! Pushing images to a registry.

use std::fs;
use std::path::Path;

use edge_model::registry::Trouble;
use edge_model::{Context, Error, Result};
use edge_registry::{Login, parse};
use edge_slot_image::oci::{self, Descriptor};
use oci_client::client::{Certificate, CertificateEncoding, ClientConfig, ClientProtocol};
use oci_client::errors::{OciDistributionError, OciEnvelope, OciErrorCode};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference, RegistryOperation};

use crate::oci::{Endpoint, credentials};

/// Largest piece that is held in memory.
const PIECE: usize = 4 << 20;

/// Pushes the only image of an OCI layout, by the settings of its registry.
///
/// # Errors
/// [`edge_model::Class::InvalidInput`] for a wrong reference, [`edge_model::Class::Environment`] when the
/// registry refuses.
pub(crate) fn push(layout: &Path, reference: &str, endpoint: &Endpoint<'_>) -> Result<()> {
    let target = parse(reference)?;
    let settings = endpoint.of(target.registry());
    let certificate =
        |pem: String| Certificate { encoding: CertificateEncoding::Pem, data: pem.into_bytes() };
    let extra_root_certificates = endpoint.certificates(&settings)?.into_iter().map(certificate).collect();
    let client = Client::new(ClientConfig {
        protocol: if settings.plain_http { ClientProtocol::Http } else { ClientProtocol::Https },
        extra_root_certificates,
        ..ClientConfig::default()
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the network runtime")?;
    runtime
        .block_on(push_layout(&client, &target, layout))
        .with_context(|| format!("cannot push to {reference}"))
}

fn trouble(error: &OciDistributionError) -> Trouble {
    match error {
        OciDistributionError::ServerError { code, message, .. } => Trouble::of_status(*code, message),
        OciDistributionError::UnauthorizedError { .. } => Trouble::Login,
        OciDistributionError::AuthenticationFailure(said) => {
            Trouble::Answer(format!("its login answers: {said}"))
        }
        OciDistributionError::RequestError(error) => Trouble::silence(error),
        OciDistributionError::RegistryError { envelope, .. } if is_denied(envelope) => Trouble::Login,
        other => Trouble::Answer(edge_model::error::chain(other)),
    }
}

fn is_denied(envelope: &OciEnvelope) -> bool {
    envelope
        .errors
        .iter()
        .any(|error| matches!(error.code, OciErrorCode::Denied | OciErrorCode::Unauthorized))
}

fn login(login: Login) -> RegistryAuth {
    match login {
        Login::Anonymous => RegistryAuth::Anonymous,
        Login::Basic(user, password) => RegistryAuth::Basic(user, password),
        Login::Identity(token) => RegistryAuth::Bearer(token),
    }
}

async fn push_layout(client: &Client, target: &Reference, layout: &Path) -> Result<()> {
    let registry = |error: OciDistributionError| trouble(&error).error();
    let auth = login(credentials::of(target.resolve_registry(), target.repository())?);
    client.auth(target, &auth, RegistryOperation::Push).await.map_err(registry)?;
    client.store_auth_if_needed(target.resolve_registry(), &auth).await;
    let index = fs::read(layout.join("index.json")).context("cannot read index.json")?;
    let descriptor = oci::Index::only_manifest(&index)?;
    let bytes = fs::read(blob_path(layout, &descriptor)).context("cannot read the manifest")?;
    let manifest: oci::Manifest = serde_json::from_slice(&bytes).context("the manifest cannot be read")?;
    for blob in manifest.layers.iter().chain([&manifest.config]) {
        let digest = blob.digest.to_string();
        if client.blob_exists(target, &digest).await.map_err(registry)? {
            continue;
        }
        let stream = read_in_pieces(&blob_path(layout, blob))?;
        client.push_blob_stream(target, stream, &digest, Some(blob.size)).await.map_err(registry)?;
    }
    let kind =
        oci::MEDIA_MANIFEST.parse().map_err(|_| Error::internal("a media type is not a header value"))?;
    client.push_manifest_raw(target, bytes, kind).await.map_err(registry)?;
    Ok(())
}

fn blob_path(layout: &Path, descriptor: &Descriptor) -> std::path::PathBuf {
    layout.join("blobs/sha256").join(edge_model::ids::to_hex(&descriptor.digest.0))
}

type Piece = Result<bytes::Bytes, OciDistributionError>;

fn read_in_pieces(path: &Path) -> Result<impl futures_util::Stream<Item = Piece> + Send + use<>> {
    use std::io::Read;
    let mut file = fs::File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let pieces = std::iter::from_fn(move || {
        let mut buffer = Vec::with_capacity(PIECE);
        match file.by_ref().take(PIECE as u64).read_to_end(&mut buffer) {
            Ok(0) => None,
            Ok(_) => Some(Ok(buffer.into())),
            Err(error) => Some(Err(error.into())),
        }
    });
    Ok(futures_util::stream::iter(pieces))
}
