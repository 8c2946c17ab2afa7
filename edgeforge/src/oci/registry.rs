//! Images from registries: found by name or digest, fetched from mirrors first, and kept on this machine.

use std::path::Path;

use edge_model::forge::Registry as Settings;
use edge_model::ids::Digest;
use edge_model::{Context, Error, Result};
use edge_registry::{Options, Patience, Reference, Repository, parse};
use edge_slot_image::oci::{self, MANIFEST_TYPES, manifest_type};
use futures_util::{StreamExt, TryStreamExt};

use super::credentials;
use super::download;
use super::image::{self, Contents, DOCUMENT_LIMIT, Descriptor, Document, Image, Layer, Stored};
use crate::contents;
use crate::progress::Progress;

/// Blobs that are fetched at the same time.
const PARALLEL: usize = 4;
/// Most bytes of a file with certificates.
const BUNDLE_LIMIT: u64 = 1 << 20;

/// Everything about how to reach registries.
#[derive(Debug)]
pub(crate) struct Endpoint<'a> {
    pub(crate) settings: &'a [Settings],
    /// Paths in the settings are relative to it, and its folder `certs/` counts for all registries.
    pub(crate) project: Option<&'a Path>,
    pub(crate) patience: Patience,
}

/// The certificates of a bundle in PEM form, one by one: libraries take them so.
fn pem_blocks(bundle: &[u8]) -> Vec<String> {
    const END: &str = "-----END CERTIFICATE-----";
    let text = String::from_utf8_lossy(bundle);
    let blocks = text.split_inclusive(END).filter(|block| block.ends_with(END));
    blocks.filter_map(|block| Some(block[block.find("-----BEGIN")?..].to_owned())).collect()
}

impl<'a> Endpoint<'a> {
    pub(crate) fn of_project(settings: &'a [Settings], project: &'a Path) -> Self {
        Self { settings, project: Some(project), patience: Patience::default() }
    }

    /// For registries that belong to no project.
    pub(crate) fn alone(settings: &'a [Settings]) -> Self {
        Self { settings, project: None, patience: Patience::default() }
    }

    pub(crate) fn of(&self, host: &str) -> Settings {
        let found = self.settings.iter().find(|settings| settings.host == host);
        found.cloned().unwrap_or_else(|| Settings { host: host.to_owned(), ..Settings::default() })
    }

    /// Certificates, beside the usual ones, that a registry may prove itself with: of its own CA, and those of the
    /// project, whose network may have a proxy that looks into connections.
    ///
    /// # Errors
    /// [`edge_model::Class::InvalidInput`] when there are none where some should be.
    pub(crate) fn certificates(&self, settings: &Settings) -> Result<Vec<String>> {
        let mut found = Vec::new();
        if let (Some(ca), Some(project)) = (&settings.ca, self.project) {
            found = pem_blocks(&edge_host::files::read(&project.join(ca), BUNDLE_LIMIT)?);
            if found.is_empty() {
                return Err(Error::invalid(format!("the CA of {} has no certificate", settings.host))
                    .help("give a file with certificates in PEM form"));
            }
        }
        if let Some(project) = self.project {
            let own = contents::certificates(project)?;
            found.extend(own.iter().flat_map(|(_, bytes)| pem_blocks(bytes)));
        }
        Ok(found)
    }

    fn options(&self, settings: &Settings) -> Result<Options> {
        Ok(Options {
            user_agent: concat!("edgeforge/", env!("CARGO_PKG_VERSION")).into(),
            plain_http: settings.plain_http,
            certificates: self.certificates(settings)?,
            proxy: None,
            login_help: None,
            patience: self.patience,
        })
    }
}

fn open(endpoint: &Endpoint<'_>, settings: &Settings, host: &str, repository: &str) -> Result<Repository> {
    Repository::open(&endpoint.options(settings)?, host, repository, credentials::of(host, repository)?)
}

/// What every fetch needs: the network's runtime, and a folder for what comes.
fn prepare(blobs: &Path) -> Result<tokio::runtime::Runtime> {
    std::fs::create_dir_all(blobs).with_context(|| format!("cannot create {}", blobs.display()))?;
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the network runtime")
}

/// Fetches an image by the digest that is pinned, or else by its name; one that is here already needs no network.
///
/// # Errors
/// Those of [`pull`]; [`edge_model::Class::Environment`] when the image is not here and the network may not be used.
pub(crate) fn pull_pinned(
    reference: &str,
    pinned: Option<Digest>,
    endpoint: &Endpoint<'_>,
    blobs: &Path,
    offline: bool,
    progress: &Progress,
) -> Result<Image> {
    let parsed = parse(reference)?;
    let pinned = pinned.or_else(|| parsed.digest().and_then(|digest| digest.parse().ok()));
    if let Some(image) = pinned.map(|digest| super::archive::from_blobs(blobs, digest)).and_then(Result::ok) {
        return Ok(image);
    }
    if offline {
        return Err(Error::environment(format!("{reference} is not on this machine"))
            .help("run `edgeforge fetch` where there is a network"));
    }
    match pinned {
        Some(digest) => {
            let name = format!("{}/{}@{digest}", parsed.registry(), parsed.repository());
            pull(&name, endpoint, blobs, progress)
        }
        None => pull(reference, endpoint, blobs, progress),
    }
}

/// Fetches an image; blobs that are in `blobs` already, in their whole length, are not fetched again.
///
/// # Errors
/// [`edge_model::Class::InvalidInput`] for a wrong reference or an image of another architecture,
/// [`edge_model::Class::Environment`] when the registry cannot be reached or does not behave,
/// [`edge_model::Class::Integrity`] when it gives other bytes than it promised.
pub(crate) fn pull(
    reference: &str,
    endpoint: &Endpoint<'_>,
    blobs: &Path,
    progress: &Progress,
) -> Result<Image> {
    let runtime = prepare(blobs)?;
    from_the_first(reference, endpoint, progress, |repository, parsed| {
        runtime.block_on(fetch(repository, parsed, blobs, progress))
    })
}

/// Asks the mirrors of a registry, then itself.
fn from_the_first<T>(
    reference: &str,
    endpoint: &Endpoint<'_>,
    progress: &Progress,
    fetch: impl Fn(&Repository, &Reference) -> Result<T>,
) -> Result<T> {
    let parsed = parse(reference)?;
    let settings = endpoint.of(parsed.registry());
    let mut failures: Vec<Error> = Vec::new();
    for host in settings.mirrors.iter().map(String::as_str).chain([parsed.resolve_registry()]) {
        let fetched = open(endpoint, &settings, host, parsed.repository())
            .and_then(|repository| fetch(&repository, &parsed));
        match fetched {
            Ok(image) => return Ok(image),
            Err(error) => {
                if host != parsed.resolve_registry() {
                    progress.say(&format!("the mirror {host} was of no use: {error}"));
                }
                failures.push(error);
            }
        }
    }
    let last = failures.pop().unwrap_or_else(|| Error::internal("no registry was asked"));
    let error = last.context(format!("cannot fetch {reference}"));
    Err(if error.help.is_some() {
        error
    } else {
        error.help(
            "check the reference and the network; what was fetched is kept, and a new try goes on from there",
        )
    })
}

/// An image as a bundle carries it: just as its registry has it, for this architecture.
#[derive(Debug)]
pub(crate) struct Whole {
    /// What the name leads to: a manifest, or the index that leads to it.
    pub(crate) entry: oci::Descriptor,
    /// Index, manifest and configuration.
    pub(crate) documents: Vec<(Digest, Vec<u8>)>,
    pub(crate) layers: Vec<(Digest, Stored)>,
}

/// Fetches an image with all of its documents.
///
/// # Errors
/// As [`pull`].
pub(crate) fn pull_whole(
    reference: &str,
    endpoint: &Endpoint<'_>,
    blobs: &Path,
    progress: &Progress,
) -> Result<Whole> {
    let runtime = prepare(blobs)?;
    from_the_first(reference, endpoint, progress, |repository, parsed| {
        runtime.block_on(fetch_whole(repository, parsed, blobs))
    })
}

async fn fetch_whole(repository: &Repository, reference: &Reference, blobs: &Path) -> Result<Whole> {
    let name = reference.digest().or(reference.tag()).unwrap_or("latest");
    let (digest, bytes) = repository.manifest(name, &MANIFEST_TYPES).await?;
    let blob = edge_model::manifest::Blob { digest, size: bytes.len() as u64 };
    let entry = oci::Descriptor::new(manifest_type(&bytes), blob);
    let mut manifest = bytes.clone();
    let mut documents = vec![(digest, bytes)];
    if let Document::Index(manifests) = Document::parse(&manifest)? {
        let chosen = image::for_this_architecture(manifests)?;
        let (digest, bytes) = repository.manifest(&chosen.digest.to_string(), &MANIFEST_TYPES).await?;
        manifest.clone_from(&bytes);
        documents.push((digest, bytes));
    }
    let Document::Manifest { config, layers } = Document::parse(&manifest)? else {
        return Err(Error::invalid("it is not a container image"));
    };
    if config.size > DOCUMENT_LIMIT {
        return Err(Error::invalid(format!("the image's configuration has {} bytes", config.size)));
    }
    let stored: Vec<Stored> = futures_util::stream::iter(layers.iter().chain([&config]))
        .map(|blob| download::blob(repository, blob, blobs))
        .buffered(PARALLEL)
        .try_collect()
        .await?;
    if let Some(last) = stored.last() {
        documents.push((config.digest, last.document()?));
    }
    let layers = layers.iter().map(|layer| layer.digest).zip(stored).collect();
    Ok(Whole { entry, documents, layers })
}

async fn fetch(
    repository: &Repository,
    reference: &Reference,
    blobs: &Path,
    progress: &Progress,
) -> Result<Image> {
    let name = reference.digest().or(reference.tag()).unwrap_or("latest");
    let (mut digest, mut bytes) = repository.manifest(name, &MANIFEST_TYPES).await?;
    if let Document::Index(manifests) = Document::parse(&bytes)? {
        let chosen = image::for_this_architecture(manifests)?;
        (digest, bytes) = repository.manifest(&chosen.digest.to_string(), &MANIFEST_TYPES).await?;
    }
    let (config, layers) = match Document::parse(&bytes)? {
        Document::Index(_) => {
            return Err(Error::invalid("an index of the image leads to another index"));
        }
        Document::Provider(layers) => (None, layers),
        Document::Manifest { config, layers } => (Some(config), layers),
    };
    if let Some(config) = config.as_ref().filter(|config| config.size > DOCUMENT_LIMIT) {
        return Err(Error::invalid(format!("the image's configuration has {} bytes", config.size)));
    }
    let total: u64 = layers.iter().map(|layer| layer.size).sum();
    progress.say(&format!("{} layers, {:.1} MiB", layers.len(), total as f64 / f64::from(1 << 20)));
    let stored: Vec<Stored> = futures_util::stream::iter(layers.iter().chain(&config))
        .map(|blob| download::blob(repository, blob, blobs))
        .buffered(PARALLEL)
        .try_collect()
        .await?;
    // So that the image is found again without a network.
    let kept = blobs.join(format!("sha256-{}", edge_model::ids::to_hex(&digest.0)));
    edge_host::files::write_durably(&kept, &bytes, 0o644)?;
    let Some((config, stored)) = config.and_then(|_| stored.split_last()) else {
        let blobs = layers.iter().map(|layer| layer.digest).zip(stored);
        return Image::provider(digest, &bytes, blobs.collect());
    };
    let diff_ids = image::diff_ids(&config.document()?, layers.len())?;
    let layers = stored.iter().zip(&layers).zip(diff_ids);
    let layer = |((stored, blob), diff_id): ((&Stored, &Descriptor), Digest)| Layer {
        stored: stored.clone(),
        digest: Some(blob.digest),
        diff_id,
    };
    Ok(Image { digest, contents: Contents::Layers(layers.map(layer).collect()) })
}
