//! Blobs of content bundles on the data partition: by digest, whole or not there. The list of bundles is what counts; blobs that it
//! does not name are of an import that was cut, and go after a day.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use edge_host::{files, folder};
use edge_model::content::{Bundle, Inventory};
use edge_model::ids::{Digest, from_hex, to_hex};
use edge_model::{Context, Error, Result};
use edge_slot_image::bundle::DOCUMENT_LIMIT;
use edge_slot_image::sha256;

use crate::state_file::{Copies, Kept, StateFile};

const BLOBS: &str = "blobs/sha256";
const QUARANTINE: &str = "quarantine";
/// Whoever begins an import again within this time finds what it had brought.
const CUT_IMPORTS_KEPT: Duration = Duration::from_secs(24 * 3600);

impl Kept for Inventory {
    const NAME: &'static str = "inventory";
    const COPIES: Copies = Copies::Two;
}

#[derive(Debug, Clone)]
pub(super) struct Store {
    folder: PathBuf,
}

/// Every blob once, with its size.
pub(super) fn distinct(inventory: &Inventory) -> BTreeMap<Digest, u64> {
    inventory.blobs().map(|blob| (blob.digest, blob.size)).collect()
}

impl Store {
    pub(super) fn at(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    fn file(&self) -> StateFile<Inventory> {
        StateFile::new(&self.folder)
    }

    /// # Errors
    /// When no copy of it can be read.
    pub(super) fn inventory(&self) -> Result<Inventory> {
        self.file().read()
    }

    /// A list of which no copy can be read is set aside and begun anew: blobs stay for a day, and importing a bundle again needs only
    /// what is missing.
    ///
    /// # Errors
    /// Those of `change`, or when the disk refuses.
    pub(super) fn change_inventory<R>(&self, change: impl FnOnce(&mut Inventory) -> Result<R>) -> Result<R> {
        self.file().change_or_begin(change)
    }

    /// Changes when the list of bundles does.
    pub(super) fn mark(&self) -> Vec<Option<SystemTime>> {
        let changed = |name: &str| fs::metadata(self.folder.join(name)).and_then(|one| one.modified()).ok();
        ["inventory-0.json", "inventory-1.json"].map(changed).into()
    }

    /// Nobody else removes or brings blobs while this lives.
    ///
    /// # Errors
    /// When somebody does, or the disk refuses.
    pub(super) fn lock(&self) -> Result<File> {
        self.prepare()?;
        let path = self.folder.join(".work.lock");
        let lock = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
        if files::lock_within(&lock, files::LOCK_WITHIN)? {
            return Ok(lock);
        }
        let error = Error::rejected("content bundles are being changed already");
        Err(error.help("wait for its end: edge-agent status"))
    }

    fn prepare(&self) -> Result<()> {
        let blobs = self.folder.join(BLOBS);
        fs::create_dir_all(&blobs).with_context(|| format!("cannot create {}", blobs.display()))
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn path(&self, digest: &Digest) -> PathBuf {
        let hex = to_hex(&digest.0);
        self.folder.join(BLOBS).join(&hex[..2]).join(hex)
    }

    /// Whether a blob is there in its whole length: what a power cut leaves empty is found by that.
    pub(super) fn has(&self, digest: &Digest, size: u64) -> bool {
        fs::metadata(self.path(digest)).is_ok_and(|found| found.is_file() && found.len() == size)
    }

    /// Stores a blob; nothing of it is there under its name before all of it is on the disk and right.
    ///
    /// # Errors
    /// [`edge_model::Class::Integrity`] when it is another than its name says.
    pub(super) fn add(&self, digest: &Digest, size: u64, content: &mut dyn Read) -> Result<()> {
        let path = self.path(digest);
        let shelf = path.parent().unwrap_or(&self.folder);
        if !shelf.is_dir() {
            fs::create_dir_all(shelf).with_context(|| format!("cannot create {}", shelf.display()))?;
            files::sync_folder(shelf.parent().unwrap_or(&self.folder))?;
        }
        files::copy_durably(content, &path, |found, length| {
            if (found, length) == (*digest, size) {
                return Ok(());
            }
            Err(Error::integrity(format!("{digest} was promised, and {found} came"))
                .help("the bundle is damaged: copy it again"))
        })
    }

    /// A manifest or a configuration, if it is there.
    ///
    /// # Errors
    /// [`edge_model::Class::Integrity`] when it is damaged.
    pub(super) fn document(&self, digest: &Digest) -> Result<Option<Vec<u8>>> {
        let path = self.path(digest);
        if !path.exists() {
            return Ok(None);
        }
        let bytes = files::read(&path, DOCUMENT_LIMIT)?;
        if sha256(&bytes) != *digest {
            return Err(Error::integrity(format!("{digest} is damaged on this host")));
        }
        Ok(Some(bytes))
    }

    /// Reads a blob; whether it is what its name says. One that is not is put aside, and missing from then on.
    ///
    /// # Errors
    /// When the disk does not give it, or it cannot be put aside.
    pub(super) fn check(&self, digest: Digest, size: u64) -> Result<bool> {
        let path = self.path(&digest);
        if !path.exists() {
            return Ok(false);
        }
        // A read that fails is no proof: the disk may answer at the next try.
        if files::digest(&path)? == (digest, size) {
            return Ok(true);
        }
        let aside = self.folder.join(QUARANTINE);
        fs::create_dir_all(&aside).with_context(|| format!("cannot create {}", aside.display()))?;
        let name = path.file_name().unwrap_or_default();
        tracing::error!("content: {digest} is damaged on the disk, and put aside");
        files::rename_folder(&path, &aside.join(name))?;
        Ok(false)
    }

    /// Images of a bundle that are not whole, by looking at lengths alone.
    pub(super) fn damaged(&self, bundle: &Bundle) -> Vec<String> {
        let is_damaged = |blobs: &[edge_model::content::ContentBlob]| {
            blobs.iter().any(|blob| !self.has(&blob.digest, blob.size))
        };
        let damaged = bundle.images.iter().filter(|image| is_damaged(&image.blobs));
        damaged.map(|image| image.name.clone()).collect()
    }

    /// Removes blobs that no bundle needs: all, or those that have lain there for a day.
    ///
    /// # Errors
    /// When a blob cannot be removed.
    pub(super) fn sweep(&self, now: Option<SystemTime>) -> Result<()> {
        // Without a list that can be read, nothing is known to be needless.
        let wanted = distinct(&self.inventory()?);
        let is_young = |path: &Path| {
            let Some(now) = now else { return false };
            let changed = fs::metadata(path).and_then(|found| found.modified());
            // A clock that went back makes everything young.
            changed.is_ok_and(|changed| now.duration_since(changed).is_ok_and(|age| age < CUT_IMPORTS_KEPT))
        };
        for path in self.files()? {
            let digest = path.file_name().and_then(|name| name.to_str()).and_then(from_hex);
            let digest = digest.and_then(|bytes| bytes.try_into().ok()).map(Digest);
            if digest.is_some_and(|digest| wanted.contains_key(&digest)) || is_young(&path) {
                continue;
            }
            match fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("cannot remove {}", path.display()));
                }
                _ => {}
            }
        }
        folder::remove(&self.folder.join(QUARANTINE))
    }

    /// Every file below the blobs, half ones too.
    fn files(&self) -> Result<Vec<PathBuf>> {
        let blobs = self.folder.join(BLOBS);
        let list = |folder: &Path| -> Result<Vec<PathBuf>> {
            match fs::read_dir(folder) {
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
                entries => {
                    let context = || format!("cannot list {}", folder.display());
                    let entries = entries.with_context(context)?;
                    entries.map(|entry| Ok(entry.with_context(context)?.path())).collect()
                }
            }
        };
        let mut found = Vec::new();
        for shelf in list(&blobs)?.into_iter().filter(|shelf| shelf.is_dir()) {
            found.extend(list(&shelf)?);
        }
        Ok(found)
    }
}
