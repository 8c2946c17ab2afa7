//! Results of build steps, kept by the hash of their inputs. A step's result appears under its name when it is
//! whole; an interrupted step leaves nothing.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use edge_model::ids::Digest;
use edge_model::{Context, Result};
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

#[derive(Debug)]
pub(crate) struct Cache {
    root: PathBuf,
    /// Results of earlier runs may be used.
    reuse: bool,
}

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
        fs::create_dir_all(&root).with_context(|| format!("cannot create {}", root.display()))?;
        Ok(Self { root, reuse })
    }

    /// The same cache, with earlier results allowed whatever the user said: for tools, which are not part of
    /// any result.
    pub(crate) fn reusing(&self) -> Self {
        Self { root: self.root.clone(), reuse: true }
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
        remove(&path)?;
        fs::rename(&temporary, &path).with_context(|| format!("cannot keep the result of {name}"))?;
        self.forget_old(name, &path);
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

    /// Keeps the newest results of a step, so that the cache does not grow without end.
    fn forget_old(&self, name: &str, current: &Path) {
        const KEEP: usize = 6;
        let prefix = format!("{name}-");
        let Ok(entries) = fs::read_dir(&self.root) else { return };
        let mut results: Vec<(std::time::SystemTime, PathBuf)> = entries
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().strip_prefix(&prefix).is_some_and(is_digest))
            .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
            .collect();
        results.sort();
        let surplus = results.len().saturating_sub(KEEP);
        for (_, path) in results.into_iter().take(surplus).filter(|(_, path)| path != current) {
            // What cannot be removed now is looked at again next time.
            let _ = remove(&path);
        }
    }
}

fn is_digest(text: &str) -> bool {
    text.len() == 24 && text.chars().all(|character| character.is_ascii_hexdigit())
}

/// Marks a result as used.
fn touch(path: &Path) {
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
    use edge_model::Error;

    #[test]
    fn results_are_reused_and_failures_leave_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache { root: folder.path().to_owned(), reuse: true };
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
    fn keys_keep_their_parts_apart() {
        assert_ne!(Key::of("a").with(b"bc").digest(), Key::of("ab").with(b"c").digest());
    }
}
