//! Folders for trees that live as long as one step: in memory where there is plenty of it, because a file system on
//! a disk takes many times longer to make and forget thousands of files.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use edge_host::child::Child;
use edge_model::{Context, Result};
use rustix::fs::{StatVfsMountFlags, statvfs};

const MEMORY: &str = "/dev/shm";
const NAME: &str = "edgeforge-scratch-";
/// Several times the largest system with its packages.
const PLENTY: u64 = 6 << 30;

/// Those of this program.
static LIVE: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// A folder that is gone with this value, and some time later if this program is killed. Others can go through it, to
/// what they know the name of, and not list it.
#[derive(Debug)]
pub(crate) struct Scratch {
    folder: tempfile::TempDir,
    /// Whoever can lock the folder may remove it.
    _used: File,
}

impl Scratch {
    /// # Errors
    /// When no folder can be made.
    pub(crate) fn new() -> Result<Self> {
        let place = place();
        sweep(&place);
        let context = || format!("cannot create a temporary folder in {}", place.display());
        loop {
            let folder = tempfile::Builder::new().prefix(NAME).tempdir_in(&place).with_context(context)?;
            let used = match File::open(folder.path()) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                used => used.with_context(context)?,
            };
            used.lock().with_context(context)?;
            // Between its making and its lock another program may have taken it for a leftover.
            let inode = used.metadata().with_context(context)?.ino();
            if fs::symlink_metadata(folder.path()).is_ok_and(|metadata| metadata.ino() == inode) {
                // mmdebstrap works as another user.
                fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o711))
                    .with_context(context)?;
                LIVE.lock().unwrap_or_else(PoisonError::into_inner).insert(folder.path().to_owned());
                return Ok(Self { folder, _used: used });
            }
        }
    }

    /// A path in the folder that nobody else can guess.
    ///
    /// # Errors
    /// When there is no chance to be had.
    pub(crate) fn secret_path(&self) -> Result<PathBuf> {
        let name = tempfile::Builder::new().prefix("").rand_bytes(24).tempfile_in(self.path());
        let name = name.context("cannot create a temporary file")?;
        Ok(name.path().to_owned())
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        LIVE.lock().unwrap_or_else(PoisonError::into_inner).remove(self.path());
    }
}

/// Removes all folders of this program, which is about to end without dropping anything.
pub(crate) fn remove_all() {
    LIVE.lock().unwrap_or_else(PoisonError::into_inner).iter().for_each(|folder| remove(folder));
}

/// Who sets TMPDIR has decided.
fn place() -> PathBuf {
    if std::env::var_os("TMPDIR").is_none() && has_plenty() {
        return MEMORY.into();
    }
    std::env::temp_dir()
}

fn has_plenty() -> bool {
    let free = statvfs(MEMORY).is_ok_and(|space| {
        !space.f_flag.contains(StatVfsMountFlags::NOEXEC)
            && space.f_bavail.saturating_mul(space.f_frsize) >= PLENTY
    });
    free && available_memory(&fs::read_to_string("/proc/meminfo").unwrap_or_default()) >= PLENTY
}

/// Bytes that programs can have without others being swapped out.
fn available_memory(meminfo: &str) -> u64 {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// Removes what killed programs of this user left. That nothing is in the way is all that counts.
fn sweep(place: &Path) {
    let Ok(entries) = fs::read_dir(place) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let is_ours = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(NAME))
            && fs::symlink_metadata(&path).is_ok_and(|metadata| {
                metadata.is_dir() && metadata.uid() == rustix::process::geteuid().as_raw()
            });
        let Some(folder) = is_ours.then(|| File::open(&path).ok()).flatten() else { continue };
        // Held until it is gone.
        if folder.try_lock().is_ok() {
            remove(&path);
        }
    }
}

/// Files of other users of a namespace can be removed inside of one alone, their folder only outside.
fn remove(folder: &Path) {
    if fs::remove_dir_all(folder).is_ok() {
        return;
    }
    for inner in fs::read_dir(folder).into_iter().flatten().flatten() {
        let helper = Child::new("mmdebstrap").args(["--unshare-helper", "rm", "-rf"]);
        let _ = helper.arg(inner.path()).run();
    }
    let _ = fs::remove_dir_all(folder);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn available_memory_is_read() {
        assert_eq!(available_memory("MemTotal: 9 kB\nMemAvailable:    2048 kB\n"), 2 << 20);
        assert_eq!(available_memory("MemTotal: 9 kB\n"), 0);
    }

    #[test]
    fn what_nobody_uses_any_more_is_swept_away() {
        let place = tempfile::tempdir().unwrap();
        let (left, used) =
            (place.path().join(format!("{NAME}left")), place.path().join(format!("{NAME}used")));
        let other = place.path().join("other");
        for folder in [&left, &used, &other] {
            fs::create_dir(folder).unwrap();
        }
        let lock = File::open(&used).unwrap();
        lock.lock().unwrap();
        sweep(place.path());
        assert!(!left.exists() && used.exists() && other.exists());
    }
}
