//! Bringing a bundle to the host: blob by blob, each durable before the next, and the list of bundles last. Whoever is cut begins
//! again, and writes only what is not there yet.

use std::io::Read;

use edge_host::files;
use edge_model::content::{Bundle, BundledImage};
use edge_model::ids::Digest;
use edge_model::manifest::Signatures;
use edge_model::{Class, Context, Error, Result};
use edge_planner::content::{self, Trust};
use edge_slot_image::bundle::{self, DOCUMENT_LIMIT, Part};
use edge_slot_image::sha256;
use edge_slot_image::signing::{self, Provenance, TrustedKey};

use super::source::BundleAt;
use super::store::Store;
use crate::facts;
use crate::report::Report;

/// Who is believed, and what becomes of bundles of before.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules<'a> {
    pub(super) trusted: &'a [TrustedKey],
    pub(super) trust: Trust,
    /// Older bundles of the same name go.
    pub(super) replaces: bool,
}

/// What an import came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Imported {
    name: String,
    images: usize,
    written: u64,
    was_there: bool,
    removed: usize,
}

impl Imported {
    /// For people.
    pub(super) fn describe(&self) -> String {
        let Self { name, images, written, .. } = self;
        if self.was_there && *written == 0 {
            return format!("the bundle {name} was here already, whole");
        }
        let removed = match self.removed {
            0 => String::new(),
            1 => ", in place of an older one".into(),
            several => format!(", in place of {several} older ones"),
        };
        format!(
            "the bundle {name} is here: {images} images, {} MiB written{removed}",
            written.div_ceil(1 << 20)
        )
    }
}

/// Reads a bundle and keeps what it brings.
///
/// # Errors
/// Why it is not taken. The list of bundles is then what it was.
pub(super) fn import(
    store: &Store,
    from: &BundleAt,
    rules: &Rules<'_>,
    report: &mut dyn Report,
) -> Result<Imported> {
    let _alone = store.lock()?;
    report.step(&format!("reading the bundle {}", from.title), from.size);
    let mut arriving = Arriving::new(store, rules);
    let mut input = Counted { inner: from.open(), done: 0, report, stopped: None };
    let read = bundle::read(&mut input, &mut |part| arriving.take(part));
    if let Some(stopped) = input.stopped.take() {
        // What has come stays: the next try finds it.
        return Err(stopped);
    }
    let finished = read.and_then(|()| arriving.finish(from));
    // Others need the room more than the next try of one that does not fit, or is not believed.
    let is_refused = finished.as_ref().is_err_and(|error| error.class == Class::Rejected);
    if (is_refused || arriving.out_of_room)
        && let Err(error) = store.sweep(None)
    {
        tracing::warn!("content: what has come of a refused bundle stays: {error}");
    }
    finished.with_context(|| format!("the bundle {} was not taken", from.origin))
}

/// A bundle that is being read.
struct Arriving<'a> {
    store: &'a Store,
    rules: &'a Rules<'a>,
    index: Option<Vec<u8>>,
    signature: Option<Vec<u8>>,
    /// Bytes of this try.
    written: u64,
    is_believed: bool,
    /// Room was looked for once the whole need was known.
    is_planned: bool,
    out_of_room: bool,
}

impl<'a> Arriving<'a> {
    fn new(store: &'a Store, rules: &'a Rules<'a>) -> Self {
        Self {
            store,
            rules,
            index: None,
            signature: None,
            written: 0,
            is_believed: false,
            is_planned: false,
            out_of_room: false,
        }
    }

    fn take(&mut self, part: Part<'_>) -> Result<()> {
        match part {
            Part::Index(bytes) => self.index = Some(bytes),
            Part::Signature(bytes) => self.signature = Some(bytes),
            Part::Blob { digest, size, content } => return self.blob(digest, size, content),
        }
        Ok(())
    }

    fn blob(&mut self, digest: Digest, size: u64, content: &mut dyn Read) -> Result<()> {
        // A bundle that begins with its list is refused before the first byte of it is stored.
        if !self.is_believed && self.index.is_some() {
            self.provenance()?;
            self.is_believed = true;
        }
        if self.store.has(&digest, size) {
            return Ok(());
        }
        if size > DOCUMENT_LIMIT && !self.is_planned {
            self.plan()?;
        }
        self.room(size)?;
        self.store.add(&digest, size, content)?;
        self.written += size;
        Ok(())
    }

    /// All that is missing must have room before the first large blob. Where manifests come later, each blob is looked at alone.
    fn plan(&mut self) -> Result<()> {
        self.is_planned = true;
        match self.images() {
            Ok((images, _)) => {
                let needed = content::missing(&images, |blob| self.store.has(&blob.digest, blob.size));
                self.room(needed)
            }
            Err(_) => Ok(()),
        }
    }

    fn room(&mut self, needed: u64) -> Result<()> {
        let room = content::check_room(needed, files::free_bytes(self.store.folder())?);
        self.out_of_room |= room.is_err();
        room
    }

    fn provenance(&self) -> Result<Option<Digest>> {
        let index = self.index.as_deref().unwrap_or_default();
        let signature: Option<Signatures> = match &self.signature {
            Some(bytes) => {
                Some(serde_json::from_slice(bytes).context("the bundle's signature cannot be read")?)
            }
            None => None,
        };
        let provenance = signing::check_signature(index, signature.as_ref(), self.rules.trusted)?;
        content::check_provenance(provenance, self.rules.trust)?;
        Ok(match provenance {
            Provenance::Signed(key) => Some(key),
            Provenance::Unsigned => None,
        })
    }

    fn images(&self) -> Result<(Vec<BundledImage>, Option<String>)> {
        let index = self.index.as_deref().unwrap_or_default();
        let holds = content::holds(index, &mut |wanted| self.store.document(&wanted.digest))?;
        Ok((holds.images, holds.name))
    }

    /// Only now the host has the bundle.
    fn finish(&mut self, from: &BundleAt) -> Result<Imported> {
        let signed_by = self.provenance()?;
        let (images, name) = self.images()?;
        let missing: Vec<&str> = images
            .iter()
            .filter(|image| image.blobs.iter().any(|blob| !self.store.has(&blob.digest, blob.size)))
            .map(|image| image.name.as_str())
            .collect();
        if !missing.is_empty() {
            return Err(Error::integrity(format!("it lacks parts of {}", missing.join(", ")))
                .help("build or copy the bundle again"));
        }
        let digest = sha256(self.index.as_deref().unwrap_or_default());
        let name = name.unwrap_or_else(|| from.title.clone());
        let count = images.len();
        let bundle = Bundle {
            name: name.clone(),
            digest,
            images,
            installed_at: facts::now(),
            signed_by,
            origin: from.origin.clone(),
        };
        let replaces = self.rules.replaces;
        let (was_there, removed) = self.store.change_inventory(|inventory| {
            let was_there = inventory.bundles.iter().any(|one| one.digest == digest);
            let before = inventory.bundles.len();
            inventory.bundles.retain(|one| one.digest != digest && !(replaces && one.name == name));
            let removed = before - inventory.bundles.len() - usize::from(was_there);
            // What was brought last is the newest, also when it was there before.
            inventory.bundles.push(bundle);
            Ok((was_there, removed))
        })?;
        if removed > 0 {
            self.store.sweep(Some(std::time::SystemTime::now()))?;
        }
        Ok(Imported { name, images: count, written: self.written, was_there, removed })
    }
}

/// Counts what is read, for the progress, and ends when the operation is stopped.
struct Counted<'r, R> {
    inner: R,
    done: u64,
    report: &'r mut dyn Report,
    stopped: Option<Error>,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.done += length as u64;
        if let Err(stopped) = self.report.progress(self.done) {
            self.stopped = Some(stopped);
            return Err(std::io::Error::other("stopped"));
        }
        Ok(length)
    }
}
