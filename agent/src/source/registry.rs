//! A registry, read in ranges so that an interrupted download goes on where it stopped.

use std::io::Read;
use std::time::Duration;

use bytes::Bytes;
use edge_model::registry::Trouble;
use edge_model::user_data::edge::SiteNetwork;
use edge_model::{Context, Error, Result};
use edge_slot_image::oci::{Descriptor, MEDIA_MANIFEST};
use futures_util::{Stream, StreamExt};
use oci_client::client::{BlobResponse, ClientConfig, ClientProtocol};
use oci_client::errors::{OciDistributionError, OciEnvelope, OciErrorCode};
use oci_client::manifest::OciDescriptor;
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference};
use tokio::runtime::{Builder, Runtime};

use super::BlobSource;

/// A connection that gives nothing for so long is dead.
const SILENCE: Duration = Duration::from_secs(30);
const CONNECT: Duration = Duration::from_secs(15);

pub(super) struct Registry {
    runtime: Runtime,
    client: Client,
    reference: Reference,
}

impl Registry {
    pub(super) fn open(reference: &str, plain_http: bool, network: &SiteNetwork) -> Result<Self> {
        let parsed: Reference = reference
            .parse()
            .map_err(|error| Error::invalid(format!("{reference:?} is not an image reference: {error}")))?;
        let config = ClientConfig {
            protocol: if plain_http { ClientProtocol::Http } else { ClientProtocol::Https },
            read_timeout: Some(SILENCE),
            connect_timeout: Some(CONNECT),
            // As they are configured now: the agent's own environment is that of its start.
            http_proxy: network.http_proxy.clone(),
            https_proxy: network.https_proxy.clone(),
            no_proxy: network.no_proxy.clone(),
            ..ClientConfig::default()
        };
        let client = Client::try_from(config).map_err(|error| {
            Error::environment(format!("cannot prepare for talking to a registry: {error}"))
        })?;
        let runtime =
            Builder::new_current_thread().enable_all().build().context("cannot start the network runtime")?;
        Ok(Self { runtime, client, reference: parsed })
    }

    fn failed(&self, error: &OciDistributionError) -> Error {
        let trouble = trouble(error);
        let wants_login = trouble == Trouble::Login;
        let error = trouble.error().context(format!("cannot fetch {}", self.reference));
        // A host has no account at a registry.
        if wants_login {
            error.help("let everybody read the image, or bring it as a file or on a stick")
        } else {
            error
        }
    }
}

fn trouble(error: &OciDistributionError) -> Trouble {
    match error {
        OciDistributionError::ServerError { code, message, .. } => Trouble::of_status(*code, message),
        OciDistributionError::ImageManifestNotFoundError(_) => Trouble::NotFound,
        OciDistributionError::UnauthorizedError { .. } => Trouble::Login,
        OciDistributionError::AuthenticationFailure(said) => {
            Trouble::Answer(format!("its login answers: {said}"))
        }
        OciDistributionError::RequestError(error) => Trouble::silence(error),
        OciDistributionError::RegistryError { envelope, .. } => of_envelope(envelope),
        other => Trouble::Answer(edge_model::error::chain(other)),
    }
}

/// <https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#error-codes>
fn of_envelope(envelope: &OciEnvelope) -> Trouble {
    let has = |codes: &[OciErrorCode]| envelope.errors.iter().any(|error| codes.contains(&error.code));
    if has(&[OciErrorCode::ManifestUnknown, OciErrorCode::NameUnknown, OciErrorCode::BlobUnknown]) {
        Trouble::NotFound
    } else if has(&[OciErrorCode::Denied, OciErrorCode::Unauthorized]) {
        Trouble::Login
    } else {
        Trouble::Answer(envelope.to_string())
    }
}

impl BlobSource for Registry {
    fn manifest(&mut self) -> Result<Vec<u8>> {
        let pull =
            self.client.pull_manifest_raw(&self.reference, &RegistryAuth::Anonymous, &[MEDIA_MANIFEST]);
        let (bytes, _) = self.runtime.block_on(pull).map_err(|error| self.failed(&error))?;
        Ok(bytes.to_vec())
    }

    fn open(&mut self, blob: &Descriptor, offset: u64) -> Result<Box<dyn Read + '_>> {
        let descriptor = OciDescriptor {
            media_type: blob.media_type.clone(),
            digest: blob.digest.to_string(),
            size: blob.size as i64,
            ..OciDescriptor::default()
        };
        let pull = self.client.pull_blob_stream_partial(&self.reference, &descriptor, offset, None);
        let response = self.runtime.block_on(pull).map_err(|error| self.failed(&error))?;
        let (stream, skip) = match response {
            BlobResponse::Partial(stream) => (stream, 0),
            // A registry without ranges gives everything; what is not wanted is read and forgotten.
            BlobResponse::Full(stream) => (stream, offset),
        };
        let mut reader =
            StreamReader { runtime: &self.runtime, stream: stream.stream.boxed(), current: Bytes::new() };
        std::io::copy(&mut reader.by_ref().take(skip), &mut std::io::sink())
            .context("cannot fetch the image")?;
        Ok(Box::new(reader))
    }
}

/// A stream of the network as a blocking reader.
struct StreamReader<'a, S> {
    runtime: &'a Runtime,
    stream: S,
    current: Bytes,
}

impl<S: Stream<Item = std::io::Result<Bytes>> + Unpin> Read for StreamReader<'_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.current.is_empty() {
            match self.runtime.block_on(self.stream.next()) {
                Some(piece) => self.current = piece?,
                None => return Ok(0),
            }
        }
        let length = buffer.len().min(self.current.len());
        buffer[..length].copy_from_slice(&self.current.split_to(length));
        Ok(length)
    }
}
