//! What can be given to the runtime: images of the host's own image, then those of bundles. Nothing is given whose bytes were not
//! looked at in this boot.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use edge_model::ids::Digest;
use edge_model::{Class, Error};
use edge_slot_image::bundle::DOCUMENT_LIMIT;

use super::of_image::ImageContent;
use super::store::Store;

/// Something that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Given {
    pub(super) digest: Digest,
    pub(super) media_type: String,
    pub(super) content: Content,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    Bytes(Vec<u8>),
    File { path: PathBuf, size: u64 },
}

/// Why something is not given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Absent {
    /// Nothing has this name.
    Unknown,
    /// Several registries have an image of this name, and none was said.
    Ambiguous,
    /// It is there as a file system, for this image.
    FileSystem(String),
    /// What is stored is not what it should be.
    Damaged,
}

/// Both kinds of content as one.
#[derive(Debug)]
pub(crate) struct Shelf {
    image: ImageContent,
    store: Store,
    bundles: Mutex<Arc<Bundles>>,
    /// Blobs that were read through in this boot, and are what they should be.
    checked: Mutex<BTreeSet<Digest>>,
}

/// What bundles have, as their list was at a time.
#[derive(Debug, Default)]
struct Bundles {
    mark: Option<Vec<Option<SystemTime>>>,
    names: BTreeMap<String, Digest>,
    blobs: BTreeMap<Digest, (u64, String)>,
}

impl Shelf {
    pub(super) fn new(image: ImageContent, store: Store) -> Self {
        Self { image, store, bundles: Mutex::default(), checked: Mutex::default() }
    }

    /// How many images there are.
    pub(super) fn count(&self) -> usize {
        let bundles = self.bundles();
        let of_image: BTreeSet<&str> = self.image.names().collect();
        let others = bundles.names.keys().filter(|name| !of_image.contains(name.as_str())).count();
        of_image.len() + others
    }

    /// The list as it is now: another program may have changed it.
    fn bundles(&self) -> Arc<Bundles> {
        let mut known = self.bundles.lock().unwrap_or_else(PoisonError::into_inner);
        let mark = Some(self.store.mark());
        if known.mark != mark {
            match self.store.inventory() {
                Ok(inventory) => {
                    let mut bundles = Bundles { mark, ..Bundles::default() };
                    // The newest comes last, and counts.
                    for image in inventory.bundles.iter().flat_map(|bundle| &bundle.images) {
                        bundles.names.insert(image.name.clone(), image.digest);
                        for blob in &image.blobs {
                            bundles.blobs.insert(blob.digest, (blob.size, blob.media_type.clone()));
                        }
                    }
                    *known = Arc::new(bundles);
                }
                // What was known stays of use.
                Err(error) => tracing::error!("content: the list of bundles cannot be read: {error}"),
            }
        }
        known.clone()
    }

    /// The manifest with a tag. Without the registry that was meant, the name must be one that only one has.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn tagged(&self, registry: Option<&str>, name: &str, tag: &str) -> Result<Given, Absent> {
        let bundles = self.bundles();
        let of_bundles = bundles.names.iter().map(|(name, digest)| (name.as_str(), *digest));
        // What is in the verified root comes before what was brought.
        let mut names: BTreeMap<&str, Digest> = of_bundles.collect();
        names.extend(self.image.tags());
        let digest = match registry {
            Some(registry) => {
                *names.get(format!("{registry}/{name}:{tag}").as_str()).ok_or(Absent::Unknown)?
            }
            None => {
                let end = format!("/{name}:{tag}");
                let mut found =
                    names.iter().filter(|(full, _)| full.ends_with(&end)).map(|(_, digest)| *digest);
                let first = found.next().ok_or(Absent::Unknown)?;
                if found.any(|other| other != first) {
                    return Err(Absent::Ambiguous);
                }
                first
            }
        };
        self.with_digest(&digest)
    }

    /// # Errors
    /// Why it is not given.
    pub(super) fn with_digest(&self, digest: &Digest) -> Result<Given, Absent> {
        if let Some(document) = self.image.document(digest) {
            let (media_type, bytes) = document.map_err(|_| Absent::Damaged)?;
            return Ok(Given { digest: *digest, media_type, content: Content::Bytes(bytes) });
        }
        let bundles = self.bundles();
        let Some((size, media_type)) = bundles.blobs.get(digest).cloned() else {
            let image = self.image.with_layer(digest);
            return Err(image.map_or(Absent::Unknown, |image| Absent::FileSystem(image.to_owned())));
        };
        let content = if size <= DOCUMENT_LIMIT {
            match self.store.document(digest) {
                Ok(Some(bytes)) => Content::Bytes(bytes),
                Ok(None) => return Err(Absent::Damaged),
                Err(error) => return Err(self.put_aside(*digest, size, &error)),
            }
        } else {
            self.checked_file(*digest, size)?
        };
        Ok(Given { digest: *digest, media_type, content })
    }

    fn put_aside(&self, digest: Digest, size: u64, error: &Error) -> Absent {
        // A disk that does not answer now may do so later: only what is wrong goes.
        if error.class == Class::Integrity
            && let Err(error) = self.store.check(digest, size)
        {
            tracing::error!("content: {digest} is damaged and cannot be put aside: {error}");
        }
        Absent::Damaged
    }

    /// The first time in a boot all of it is read: what a disk has lost is not given as if it were whole.
    fn checked_file(&self, digest: Digest, size: u64) -> Result<Content, Absent> {
        let path = self.store.path(&digest);
        let is_checked = self.checked.lock().unwrap_or_else(PoisonError::into_inner).contains(&digest);
        if !(is_checked && self.store.has(&digest, size)) {
            match self.store.check(digest, size) {
                Ok(true) => {
                    self.checked.lock().unwrap_or_else(PoisonError::into_inner).insert(digest);
                }
                Ok(false) => return Err(Absent::Damaged),
                Err(error) => {
                    tracing::error!("content: {digest} is damaged and cannot be put aside: {error}");
                    return Err(Absent::Damaged);
                }
            }
        }
        Ok(Content::File { path, size })
    }
}
