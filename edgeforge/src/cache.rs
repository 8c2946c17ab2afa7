//! Results of build steps, kept by the hash of their inputs, and files from outside, kept by their own. A result
//! appears under its name when it is whole; an interrupted step leaves nothing that is taken for one. Several builds
//! may work at the same time: they wait for each other where they want the same.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use edge_model::ids::Digest;
use edge_model::{Context, Error, Result};
use edge_slot_image::Hasher;

/// A digest over everything that a step depends on.
#[derive(Debug, Clone, Default)]
pub(crate) struct Key(Hasher);

impl Key {
    /// Begins the key of a step; `name` carries the step's version.
    pub(crate) fn of(name: &str) -> Self {
        Self::default().with(name.as_bytes())
    }

    #[must_use]
    pub(crate) fn with(mut self, bytes: &[u8]) -> Self {
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
        self
    }

    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn with_file(self, path: &Path) -> Result<Self> {
        let (digest, _) = edge_host::files::digest(path)?;
        Ok(self.with(&digest.0))
    }

    pub(crate) fn digest(self) -> Digest {
        self.0.finish()
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Cache {
    root: PathBuf,
    /// Results of earlier runs may be used.
    reuse: bool,
    /// Most bytes that stay after a build.
    limit: u64,
    /// Held as long as this build may need what is in the cache.
    used: Arc<File>,
}

const LIMIT: &str = "EDGEFORGE_CACHE_LIMIT";
const DEFAULT_LIMIT: u64 = 20 << 30;
/// Locked by all builds together, and by who removes something alone.
const USE_LOCK: &str = ".use.lock";
/// How long half a download is kept.
const PART_KEPT: Duration = Duration::from_secs(7 * 24 * 3600);
/// Folders whose files are kept one by one.
const SHELVES: [&str; 3] = ["packages", "blobs", "components"];

/// Steps whose newest result always stays: machines and tests run from these trees long after the command that made them.
const TREES: [&str; 2] = ["tools", "lab"];

/// Where a step's result is, and whether it was made now.
#[derive(Debug)]
pub(crate) struct Cached {
    pub(crate) path: PathBuf,
    pub(crate) fresh: bool,
}

impl Cache {
    /// # Errors
    /// When the cache folder cannot be created.
    pub(crate) fn open(reuse: bool) -> Result<Self> {
        let base = std::env::var_os("XDG_CACHE_HOME").filter(|path| !path.is_empty()).map(PathBuf::from);
        let home = || std::env::home_dir().unwrap_or_else(|| "/var/tmp".into()).join(".cache");
        let root = base.unwrap_or_else(home).join("edgeforge");
        let limit = match std::env::var(LIMIT) {
            Ok(text) => edge_model::document::format::size(&text)
                .ok_or_else(|| Error::invalid(format!("{LIMIT}: {text:?} is not a size, like 20G")))?,
            Err(_) => DEFAULT_LIMIT,
        };
        Self::at(root, reuse, limit)
    }

    #[cfg(test)]
    pub(crate) fn for_tests(root: &Path) -> Self {
        Self::at(root.to_owned(), true, u64::MAX).unwrap()
    }

    fn at(root: PathBuf, reuse: bool, limit: u64) -> Result<Self> {
        fs::create_dir_all(&root).with_context(|| format!("cannot create {}", root.display()))?;
        let used = File::create(root.join(USE_LOCK)).context("cannot lock the cache")?;
        used.lock_shared().context("cannot lock the cache")?;
        Ok(Self { root, reuse, limit, used: Arc::new(used) })
    }

    /// The same cache, with earlier results allowed whatever the user said: for tools, which are not part of
    /// any result.
    pub(crate) fn reusing(&self) -> Self {
        Self { reuse: true, ..self.clone() }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Runs `make` to produce a file or folder at the path it is given, unless it is there already.
    /// Two builds at the same time wait for each other.
    ///
    /// # Errors
    /// When `make` fails or the cache cannot be written.
    pub(crate) fn step(
        &self,
        name: &str,
        key: Key,
        make: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<Cached> {
        let digest = edge_model::ids::to_hex(&key.digest().0);
        let path = self.root.join(format!("{name}-{}", &digest[..24]));
        let _lock = self.lock(name)?;
        if self.reuse && path.exists() {
            touch(&path);
            return Ok(Cached { path, fresh: false });
        }
        let temporary = self.root.join(format!(".{name}.part"));
        remove(&temporary)?;
        make(&temporary).inspect_err(|_| drop(remove(&temporary)))?;
        keep_on_disk(&temporary).with_context(|| format!("cannot keep the result of {name}"))?;
        self.take_away(&path)?;
        fs::rename(&temporary, &path).with_context(|| format!("cannot keep the result of {name}"))?;
        Ok(Cached { path, fresh: true })
    }

    /// Makes other builds wait for a part of the cache, as long as the result lives.
    ///
    /// # Errors
    /// When the cache cannot be written.
    pub(crate) fn lock(&self, name: &str) -> Result<File> {
        let lock = File::create(self.root.join(format!(".{name}.lock"))).context("cannot lock the cache")?;
        lock.lock().context("cannot lock the cache")?;
        Ok(lock)
    }

    /// Removes what was not used for longest, until the cache is within its limit, and what interrupted builds left;
    /// half a download, when nobody went on with it for a week.
    /// Nothing is removed while another build runs.
    ///
    /// # Errors
    /// When the cache cannot be locked again.
    pub(crate) fn prune(&self) -> Result<()> {
        self.used.unlock().context("cannot lock the cache")?;
        if self.used.try_lock().is_ok() {
            self.remove_leftovers();
            self.remove_oldest();
        }
        // What a later step of this process makes is safe again.
        self.used.unlock().and_then(|()| self.used.lock_shared()).context("cannot lock the cache")
    }

    /// Removes a result; who is killed meanwhile leaves no half of it under its name.
    fn take_away(&self, path: &Path) -> Result<()> {
        if fs::symlink_metadata(path).is_err() {
            return Ok(());
        }
        let aside = tempfile::Builder::new().prefix(".tmp-removed-").tempdir_in(&self.root);
        let aside = aside.context("cannot remove a result")?;
        fs::rename(path, aside.path().join("result"))
            .with_context(|| format!("cannot remove {}", path.display()))?;
        aside.close().context("cannot remove a result")
    }

    fn remove_leftovers(&self) {
        for folder in SHELVES.map(|shelf| self.root.join(shelf)).iter().chain([&self.root]) {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                let is_part = name.starts_with('.') && name.ends_with(".part");
                // A download that broke off goes on where it stopped.
                if name.starts_with(".tmp") || is_part && (folder == &self.root || is_abandoned(&entry)) {
                    // What cannot be removed now is looked at again next time.
                    let _ = remove(&entry.path());
                }
            }
        }
    }

    fn remove_oldest(&self) {
        let shelves = SHELVES.map(|shelf| self.root.join(shelf));
        let mut kept: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
        for folder in shelves.iter().chain([&self.root]) {
            let Ok(entries) = fs::read_dir(folder) else { continue };
            for entry in entries.flatten().filter(|entry| !shelves.contains(&entry.path())) {
                let is_hidden = entry.file_name().to_string_lossy().starts_with('.');
                if let Some(modified) = entry.metadata().ok().and_then(|metadata| metadata.modified().ok())
                    && !is_hidden
                {
                    kept.push((modified, size_of(&entry.path()), entry.path()));
                }
            }
        }
        kept.sort();
        let mut total: u64 = kept.iter().map(|(_, size, _)| size).sum();
        let newest = TREES.map(|tree| kept.iter().rfind(|(.., path)| is_result_of(path, tree)).cloned());
        for (modified, size, path) in kept {
            if newest.contains(&Some((modified, size, path.clone()))) {
                continue;
            }
            if total <= self.limit {
                return;
            }
            if self.take_away(&path).is_ok() {
                total -= size;
            }
        }
    }
}

fn is_result_of(path: &Path, step: &str) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy());
    name.and_then(|name| Some(name.rsplit_once('-')?.0 == step)).unwrap_or(false)
}

fn is_abandoned(part: &fs::DirEntry) -> bool {
    let modified = part.metadata().ok().and_then(|metadata| metadata.modified().ok());
    modified.and_then(|modified| modified.elapsed().ok()).is_some_and(|age| age > PART_KEPT)
}

/// A result that has its name after a power cut has its bytes, too.
fn keep_on_disk(path: &Path) -> std::io::Result<()> {
    /// From so many files on, the whole file system is written out at once.
    const MANY: usize = 64;
    let mut open = vec![path.to_owned()];
    let mut all = Vec::new();
    while let Some(path) = open.pop() {
        let metadata = fs::symlink_metadata(&path)?;
        if metadata.is_symlink() {
            continue;
        }
        if metadata.is_dir() {
            for entry in fs::read_dir(&path)? {
                open.push(entry?.path());
            }
        }
        all.push(path);
        if all.len() > MANY {
            return Ok(rustix::fs::syncfs(File::open(&all[0])?)?);
        }
    }
    all.iter().try_for_each(|path| File::open(path)?.sync_all())
}

/// Bytes that a file, or everything in a folder, takes from the disk.
fn size_of(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let Ok(metadata) = fs::symlink_metadata(path) else { return 0 };
    let inside = if metadata.is_dir() {
        fs::read_dir(path).map_or(0, |entries| entries.flatten().map(|entry| size_of(&entry.path())).sum())
    } else {
        0
    };
    inside + metadata.blocks() * 512
}

/// Marks a result as used.
pub(crate) fn touch(path: &Path) {
    if let Ok(file) = File::open(path) {
        // Only the order of forgetting depends on it.
        let _ = file.set_modified(std::time::SystemTime::now());
    }
}

fn remove(path: &Path) -> Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        _ => fs::remove_file(path),
    };
    removed.with_context(|| format!("cannot remove {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_reused_and_failures_leave_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().to_owned(), true, u64::MAX).unwrap();
        let make = |path: &Path| Ok(fs::write(path, "x")?);
        assert!(cache.step("s", Key::of("1"), make).unwrap().fresh);
        assert!(!cache.step("s", Key::of("1"), make).unwrap().fresh);
        assert!(cache.step("s", Key::of("2"), make).unwrap().fresh);
        let fail = |path: &Path| {
            fs::write(path, "half")?;
            Err(Error::internal("no"))
        };
        assert!(cache.step("s", Key::of("3"), fail).is_err());
        let visible = fs::read_dir(folder.path()).unwrap().flatten();
        assert_eq!(visible.filter(|entry| !entry.file_name().to_string_lossy().starts_with('.')).count(), 2);
    }

    #[test]
    fn the_oldest_goes_first_and_nothing_while_another_build_runs() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().to_owned(), true, 300_000).unwrap();
        let make = |path: &Path| Ok(fs::write(path, vec![1; 200_000])?);
        let old = cache.step("s", Key::of("1"), make).unwrap().path;
        let new = cache.step("s", Key::of("2"), make).unwrap().path;
        File::open(&old).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        fs::create_dir(folder.path().join(".tmpLeft")).unwrap();
        let blobs = folder.path().join("blobs");
        fs::create_dir(&blobs).unwrap();
        let (half, abandoned) = (blobs.join(".half.part"), blobs.join(".abandoned.part"));
        for part in [&half, &abandoned] {
            fs::write(part, "").unwrap();
        }
        File::options().write(true).open(&abandoned).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        let other = Cache::at(folder.path().to_owned(), true, 300_000).unwrap();
        cache.prune().unwrap();
        assert!(old.exists() && new.exists() && abandoned.exists());
        drop(other);
        cache.prune().unwrap();
        assert!(!old.exists() && new.exists() && !folder.path().join(".tmpLeft").exists());
        assert!(half.exists() && !abandoned.exists());
    }

    #[test]
    fn the_newest_tree_stays_because_somebody_may_run_from_it() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().to_owned(), true, 0).unwrap();
        let made = |name, key, age| {
            let make = |path: &Path| Ok(fs::write(path, [1; 9000])?);
            let path = cache.step(name, Key::of(key), make).unwrap().path;
            let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(age);
            File::open(&path).unwrap().set_modified(modified).unwrap();
            path
        };
        let (older, lab) = (made("lab", "1", 1), made("lab", "2", 2));
        let (tools, image) = (made("tools", "1", 0), made("image", "1", 9));
        cache.prune().unwrap();
        assert_eq!([&older, &lab, &tools, &image].map(|path| path.exists()), [false, true, true, false]);
    }

    #[test]
    fn keys_keep_their_parts_apart() {
        assert_ne!(Key::of("a").with(b"bc").digest(), Key::of("ab").with(b"c").digest());
    }
}
