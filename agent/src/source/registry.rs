//! A registry, read from any byte on so that an interrupted download goes on where it stopped.

use std::io::{self, Read};

use bytes::Bytes;
use edge_model::user_data::edge::SiteNetwork;
use edge_model::{Context, Error, Result};
use edge_registry::{Body, Login, Options, Patience, Reference, Repository};
use edge_slot_image::oci::{Descriptor, MEDIA_MANIFEST};
use tokio::runtime::{Builder, Runtime};

use super::BlobSource;
use crate::outbound;

pub(super) struct Registry {
    runtime: Runtime,
    repository: Repository,
    reference: Reference,
}

impl Registry {
    pub(super) fn open(reference: &str, plain_http: bool, network: &SiteNetwork) -> Result<Self> {
        let reference = edge_registry::parse(reference)?;
        let options = Options {
            user_agent: outbound::USER_AGENT.into(),
            plain_http,
            certificates: Vec::new(), // those of the site are in the system's store
            proxy: Some(outbound::proxies(network)),
            // A host has no account at a registry.
            login_help: Some("let everybody read the image, or bring it as a file or on a stick"),
            patience: Patience::default(),
        };
        let (host, name) = (reference.resolve_registry(), reference.repository());
        let repository = Repository::open(&options, host, name, Login::Anonymous)?;
        let runtime =
            Builder::new_current_thread().enable_all().build().context("cannot start the network runtime")?;
        Ok(Self { runtime, repository, reference })
    }

    fn failed(&self, error: Error) -> Error {
        error.context(format!("cannot fetch {}", self.reference))
    }
}

impl BlobSource for Registry {
    fn manifest(&mut self) -> Result<Vec<u8>> {
        let name = self.reference.digest().or(self.reference.tag()).unwrap_or("latest");
        let fetched = self.runtime.block_on(self.repository.manifest(name, &[MEDIA_MANIFEST]));
        fetched.map(|(_, bytes)| bytes).map_err(|error| self.failed(error))
    }

    fn open(&mut self, blob: &Descriptor, offset: u64) -> Result<Box<dyn Read + '_>> {
        let asked = self.runtime.block_on(self.repository.blob(blob.digest, blob.size, offset));
        let body = asked.map_err(|error| self.failed(error))?;
        // A registry without ranges gives everything; what is not wanted is read and forgotten.
        let skip = offset - body.begins_at();
        let mut reader = BodyReader { runtime: &self.runtime, body, current: Bytes::new() };
        io::copy(&mut reader.by_ref().take(skip), &mut io::sink()).context("cannot fetch the image")?;
        Ok(Box::new(reader))
    }
}

/// A body of the network as a blocking reader.
struct BodyReader<'a> {
    runtime: &'a Runtime,
    body: Body,
    current: Bytes,
}

impl Read for BodyReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.runtime.block_on(self.body.chunk()) {
                Ok(Some(piece)) => self.current = piece,
                Ok(None) => return Ok(0),
                Err(error) => return Err(io::Error::other(error.to_string())),
            }
        }
        let length = buffer.len().min(self.current.len());
        buffer[..length].copy_from_slice(&self.current.split_to(length));
        Ok(length)
    }
}
