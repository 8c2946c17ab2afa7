//! A registry, read from any byte on so that an interrupted download goes on where it stopped.

use std::io::{self, Read};

use bytes::Bytes;
use edge_model::user_data::edge::EdgeSection;
use edge_model::{Context, Error, Result};
use edge_planner::registries::{self, Place};
use edge_registry::{Body, Login, Options, Patience, Reference, Repository};
use edge_slot_image::oci::{Descriptor, MEDIA_MANIFEST};
use tokio::runtime::{Builder, Runtime};

use super::BlobSource;
use crate::outbound;

pub(super) struct Registry {
    runtime: Runtime,
    /// Where the image may be, in the order in which they are asked. The first one that has it gives all of it.
    repositories: Vec<Repository>,
    found_at: usize,
    reference: Reference,
}

impl Registry {
    pub(super) fn open(reference: &str, plain_http: bool, edge: &EdgeSection) -> Result<Self> {
        let reference = edge_registry::parse(reference)?;
        let places = registries::places(edge, reference.registry(), reference.repository())?;
        let repositories =
            places.into_iter().map(|place| open(place, plain_http, edge)).collect::<Result<_>>()?;
        let runtime =
            Builder::new_current_thread().enable_all().build().context("cannot start the network runtime")?;
        Ok(Self { runtime, repositories, found_at: 0, reference })
    }

    fn failed(&self, error: Error) -> Error {
        error.context(format!("cannot fetch {}", self.reference))
    }
}

impl BlobSource for Registry {
    fn manifest(&mut self) -> Result<Vec<u8>> {
        let name = self.reference.digest().or(self.reference.tag()).unwrap_or("latest");
        let mut failures: Vec<Error> = Vec::new();
        for (at, repository) in self.repositories.iter().enumerate() {
            match self.runtime.block_on(repository.manifest(name, &[MEDIA_MANIFEST])) {
                Ok((_, bytes)) => {
                    self.found_at = at;
                    return Ok(bytes);
                }
                Err(error) => failures.push(error),
            }
        }
        // The last one is the one that the image is named after; what the mirror said comes along.
        let last = failures.pop().unwrap_or_else(|| Error::internal("no registry was asked"));
        let before = failures.iter().map(|error| format!("; its mirror: {error}")).collect::<String>();
        Err(self.failed(Error { message: format!("{}{before}", last.message), ..last }))
    }

    fn open(&mut self, blob: &Descriptor, offset: u64) -> Result<Box<dyn Read + '_>> {
        let repository = &self.repositories[self.found_at];
        let asked = self.runtime.block_on(repository.blob(blob.digest, blob.size, offset));
        let body = asked.map_err(|error| self.failed(error))?;
        // A registry without ranges gives everything; what is not wanted is read and forgotten.
        let skip = offset - body.begins_at();
        let mut reader = BodyReader { runtime: &self.runtime, body, current: Bytes::new() };
        io::copy(&mut reader.by_ref().take(skip), &mut io::sink()).context("cannot fetch the image")?;
        Ok(Box::new(reader))
    }
}

/// # Errors
/// When the place's certificates or proxy cannot be used.
pub(crate) fn open(place: Place, plain_http: bool, edge: &EdgeSection) -> Result<Repository> {
    let options = Options {
        user_agent: outbound::USER_AGENT.into(),
        // Nobody but the configuration may have a password sent without TLS.
        plain_http: place.plain_http || (plain_http && place.login.is_none()),
        certificates: place.certificates, // beside those of the system's store, where the site's are
        proxy: Some(outbound::proxies(&edge.site.network)),
        login_help: Some(
            "give this host a login in edge.registryCredentials, or bring the image as a file or on a stick",
        ),
        patience: Patience::default(),
    };
    let login = place.login.map_or(Login::Anonymous, |(name, password)| Login::Basic(name, password));
    // https://github.com/distribution/reference/blob/v0.6.0/normalize.go: what is called so answers there.
    let host = if place.registry == "docker.io" { "index.docker.io" } else { &place.registry };
    Repository::open(&options, host, &place.repository, login)
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
