//! The datastore's data, as images leave it for each other. Before an image with another minor version opens it, a copy is kept for
//! the image that left it; when that one returns, its copy takes the place of what the other has made, which is put aside, and goes
//! back if the other one is started again before the return has lasted. All of it is done cold, at the start of an image: nothing
//! runs then, so it needs no program, no API and no clean stop, and what the power cut of a moment ago left is what is kept.
//!
//! In the datastore's folder: `member` is the data. `.edge-aside-X` is what image X had made: as long as it is there, the return is
//! not settled. `.edge-old` waits for a person, until the next change. `.edge-coming` is a copy that is being made.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use edge_host::{files, folder};
use edge_model::api::cluster::KeptData;
use edge_model::calendar::day_and_time;
use edge_model::ids::{Digest, RootHash, to_hex};
use edge_model::{Context, Error, Result, paths};
use edge_planner::cluster::gate::Held;
use edge_planner::cluster::member::{InForce, Opening};
use serde::{Deserialize, Serialize};

/// What etcd calls the folder with its data, inside its own one.
const DATA: &str = "member";
const RECORD: &str = "kept.json";
/// A definition of a megabyte, as JSON, beside a list of files.
const RECORD_LIMIT: u64 = 8 << 20;
const COMING: &str = ".edge-coming";
const ASIDE: &str = ".edge-aside-";
const OLD: &str = ".edge-old";
/// Bytes that are left free for everything else.
const RESERVE: u64 = 256 << 20;
/// Bytes of a root hash that name a folder.
const NAME: usize = 8;

/// What is known of data that is kept.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Kept {
    pub(crate) of: Opening,
    /// Seconds since 1970; for people.
    pub(crate) made: u64,
    /// What was in force with it.
    pub(super) in_force: InForce,
    /// None where the image had not got so far as to have any.
    files: Option<BTreeMap<String, Digest>>,
}

/// What is in force may hold secrets.
impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Kept({:?})", self.of)
    }
}

impl Kept {
    pub(super) fn for_people(self) -> KeptData {
        KeptData { versions: self.of.versions, made: self.made }
    }
}

/// What a return to this image does to the data of the cluster; `None` when it does nothing to it.
pub(crate) fn told_of_return(to: &RootHash) -> Option<String> {
    let places = Places::of_host();
    if places.held(to).aside {
        return Some("the cluster gets what that version had made of its data again".into());
    }
    let kept = places.kept(to).ok().flatten()?;
    let when = day_and_time(kept.made);
    Some(format!("the cluster gets its data of {when} again, and what was made since is put aside"))
}

/// Where it is kept, and where the datastore has its own.
#[derive(Debug, Clone)]
pub(super) struct Places {
    kept: PathBuf,
    datastore: PathBuf,
}

impl Places {
    pub(super) fn of_host() -> Self {
        Self { kept: paths::CLUSTER_KEPT.into(), datastore: paths::ETCD_DATA.into() }
    }

    fn folder(&self, of: &RootHash) -> PathBuf {
        self.kept.join(name(of))
    }

    fn aside(&self, of: &RootHash) -> PathBuf {
        self.datastore.join(format!("{ASIDE}{}", name(of)))
    }

    fn data(&self) -> PathBuf {
        self.datastore.join(DATA)
    }

    /// What is held for an image: whether, not how well.
    pub(super) fn held(&self, of: &RootHash) -> Held {
        let waits = self.datastore.join(OLD).exists() || !self.asides().is_empty();
        Held {
            kept: self.folder(of).join(RECORD).exists(),
            aside: self.aside(of).exists(),
            hollow: !self.data().exists() && waits,
        }
    }

    /// What is kept for an image, if anything is.
    ///
    /// # Errors
    /// When its record cannot be read.
    pub(super) fn kept(&self, of: &RootHash) -> Result<Option<Kept>> {
        let path = self.folder(of).join(RECORD);
        if !path.try_exists().with_context(|| format!("cannot look for {}", path.display()))? {
            return Ok(None);
        }
        let bytes = files::read(&path, RECORD_LIMIT)?;
        serde_json::from_slice(&bytes).map(Some).with_context(|| format!("{} cannot be read", path.display()))
    }

    /// Keeps the data for the image that opened it last.
    ///
    /// # Errors
    /// [`edge_model::Class::Environment`] when there is no room, or the disk fails. The data itself is as it was.
    pub(super) fn keep(&self, of: &Opening, in_force: InForce, now: u64) -> Result<()> {
        // What a cut return had put aside is the data of that image, and not what stands in its place.
        self.put_back(&of.root_hash)?;
        self.forget(|_| true)?;
        let others = self.asides();
        let waiting = [COMING, OLD].map(|name| self.datastore.join(name));
        others.iter().chain(&waiting).try_for_each(|folder| folder::remove(folder))?;
        let there = self.data().exists();
        // Twice: for the copy, and for the day on which it is put back.
        if there {
            self.has_room(2 * folder::size(&self.data())? + RESERVE)?;
        }
        make_private(&self.kept)?;
        let part = self.kept.join("part");
        make_private(&part)?;
        let files = if there { Some(folder::copy(&self.data(), &part.join(DATA))?) } else { None };
        let kept = Kept { of: of.clone(), made: now, in_force, files };
        let bytes = serde_json::to_vec(&kept).context("cannot write down what is kept")?;
        let folder = self.folder(&of.root_hash);
        files::rename_folder(&part, &folder)?;
        // What it is found by comes last.
        files::write_durably(&folder.join(RECORD), &bytes, 0o600)
    }

    fn has_room(&self, needed: u64) -> Result<()> {
        let place = self.kept.parent().unwrap_or(&self.kept);
        let free = files::free_bytes(place)?;
        if free >= needed {
            return Ok(());
        }
        let mebibytes = |bytes: u64| bytes.div_ceil(1 << 20);
        Err(Error::environment(format!(
            "there is no room for a copy of the cluster's data: it takes {} MiB, and {} MiB are free",
            mebibytes(needed),
            mebibytes(free)
        ))
        .help("make room on the data partition, and restart the host"))
    }

    /// Puts what is kept for an image in the place of what `by` has made of it, which is put aside. What is kept stays.
    ///
    /// # Errors
    /// [`edge_model::Class::Integrity`] when it is damaged; nothing was changed then.
    pub(super) fn restore(&self, of: &RootHash, by: &RootHash) -> Result<Kept> {
        let gone = || {
            Error::integrity("the cluster's data that was kept for this image is gone")
                .help("upgrade to the newer version again")
        };
        let kept = self.kept(of)?.ok_or_else(gone)?;
        let coming = self.datastore.join(COMING);
        folder::remove(&coming)?;
        if let Some(files) = &kept.files {
            self.copy_whole(of, files, &coming)?;
        }
        let (data, aside) = (self.data(), self.aside(by));
        if aside.exists() {
            // Cut before: what stands there now is a copy of what is kept. An image that had opened it as its own would have
            // taken back what stands aside first.
            folder::remove(&data)?;
        } else if data.exists() {
            files::rename_folder(&data, &aside)?;
        }
        if kept.files.is_some() {
            files::rename_folder(&coming, &data)?;
        }
        Ok(kept)
    }

    /// A copy of what is kept, or nothing: it is looked at before the first byte is written.
    fn copy_whole(&self, of: &RootHash, files: &BTreeMap<String, Digest>, coming: &Path) -> Result<()> {
        let source = self.folder(of).join(DATA);
        let damaged = || {
            Error::integrity("the cluster's data that was kept for this image is damaged")
                .help("upgrade to the newer version again")
        };
        for (path, digest) in files {
            let seen =
                files::digest(&source.join(path)).map_err(|error| damaged().context(error.to_string()))?.0;
            if seen != *digest {
                return Err(damaged());
            }
        }
        // What was left free is for this; what waits for a person waits for nothing better.
        let size = folder::size(&source)?;
        if self.has_room(size).is_err() {
            folder::remove(&self.datastore.join(OLD))?;
        }
        self.has_room(size)?;
        let copied = folder::copy(&source, coming)
            .and_then(|copied| if copied == *files { Ok(()) } else { Err(damaged()) });
        if copied.is_err() {
            folder::remove(coming)?;
        }
        copied
    }

    /// What an image had made is the data again; what stood in its place waits for a person.
    ///
    /// # Errors
    /// When the disk refuses; it can be done again.
    pub(super) fn take_back(&self, of: &RootHash) -> Result<()> {
        let (data, old) = (self.data(), self.datastore.join(OLD));
        if !self.aside(of).exists() {
            // Done, and done again.
            return Ok(());
        }
        folder::remove(&self.datastore.join(COMING))?;
        if data.exists() {
            folder::remove(&old)?;
            files::rename_folder(&data, &old)?;
        }
        files::rename_folder(&self.aside(of), &data)
    }

    /// As [`Places::take_back`], of a return that was cut: what stands in its place is a copy.
    fn put_back(&self, of: &RootHash) -> Result<()> {
        if !self.aside(of).exists() {
            return Ok(());
        }
        folder::remove(&self.data())?;
        files::rename_folder(&self.aside(of), &self.data())
    }

    /// Whether nothing is held that [`Places::settle`] would change.
    pub(super) fn is_settled(&self, own: &RootHash, slots: &[RootHash]) -> bool {
        let is_clean = self.asides().is_empty() && !self.datastore.join(COMING).exists();
        is_clean && !self.keeps().iter().any(|path| is_of_no_use(path, own, slots))
    }

    /// The image that runs stays. What was put aside is no way back any more, and waits for a person; copies of images that are in no
    /// slot go, and so does its own.
    ///
    /// # Errors
    /// When the disk refuses; it can be done again.
    pub(super) fn settle(&self, own: &RootHash, slots: &[RootHash]) -> Result<()> {
        folder::remove(&self.datastore.join(COMING))?;
        for aside in self.asides() {
            let old = self.datastore.join(OLD);
            folder::remove(&old)?;
            files::rename_folder(&aside, &old)?;
        }
        self.forget(|path| is_of_no_use(path, own, slots))
    }

    fn asides(&self) -> Vec<PathBuf> {
        let is_aside = |path: &PathBuf| file_name(path).starts_with(ASIDE);
        entries(&self.datastore).into_iter().filter(is_aside).collect()
    }

    fn keeps(&self) -> Vec<PathBuf> {
        entries(&self.kept)
    }

    fn forget(&self, which: impl Fn(&Path) -> bool) -> Result<()> {
        self.keeps().iter().filter(|path| which(path)).try_for_each(|path| {
            // Without its record it is nothing, however far its removal comes.
            let record = path.join(RECORD);
            if record.exists() {
                fs::remove_file(&record).with_context(|| format!("cannot remove {}", record.display()))?;
                files::sync_folder(path)?;
            }
            folder::remove(path)
        })
    }
}

fn name(of: &RootHash) -> String {
    to_hex(&of.0[..NAME])
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries.flatten().map(|entry| entry.path()).collect()
}

fn is_of_no_use(path: &Path, own: &RootHash, slots: &[RootHash]) -> bool {
    let folder = file_name(path);
    folder == name(own) || !slots.iter().any(|slot| folder == name(slot))
}

/// Data of a cluster has its secrets in it.
fn make_private(folder: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.with_context(|| format!("cannot create {}", folder.display()))
}

#[cfg(test)]
#[path = "kept_tests.rs"]
mod tests;
