//! The account files in `/etc`: changed under their lock, and each replaced as a whole.

use edge_model::paths;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use edge_model::{Context, Result};

use crate::files;

const LOCK: &str = "/etc/.pwd.lock";
/// Path, and the mode that a new file gets.
const FILES: [(&str, u32); 4] =
    [("/etc/passwd", 0o644), ("/etc/group", 0o644), ("/etc/shadow", 0o640), ("/etc/gshadow", 0o640)];

/// Reads the four files, has them changed, and replaces those that differ.
///
/// # Errors
/// When a file cannot be read, locked or replaced, or `change` fails; then nothing is changed.
pub fn change<T>(change: impl FnOnce(&mut [String; 4]) -> Result<T>) -> Result<T> {
    let lock = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(LOCK)
        .context("cannot open the lock of the accounts")?;
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive)
        .map_err(std::io::Error::from)
        .context("cannot lock the accounts")?;
    let read = |path: &str| files::read_text_if_there(Path::new(path)).map(Option::unwrap_or_default);
    let old = [read(FILES[0].0)?, read(FILES[1].0)?, read(FILES[2].0)?, read(FILES[3].0)?];
    let mut new = old.clone();
    let outcome = change(&mut new)?;
    // Shadow entries first: an account without one could be opened without a password by some programs.
    for at in [2, 3, 1, 0] {
        if new[at] != old[at] {
            replace(Path::new(FILES[at].0), &new[at], FILES[at].1)?;
        }
    }
    Ok(outcome)
}

/// Keeps owner and mode of the file.
fn replace(path: &Path, text: &str, mode: u32) -> Result<()> {
    let present = fs::metadata(path).ok();
    let mode = present.as_ref().map_or(mode, |metadata| metadata.mode() & 0o7777);
    files::write_durably(path, text.as_bytes(), mode)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).context("cannot set a mode")?;
    match present {
        Some(metadata) => std::os::unix::fs::chown(path, Some(metadata.uid()), Some(metadata.gid()))
            .with_context(|| format!("cannot give {} its owner", path.display())),
        None => Ok(()),
    }
}

/// Makes a home folder from `/etc/skel` if it is not there, and gives it to its owner.
///
/// # Errors
/// When the folder cannot be made.
pub fn make_home(home: &Path, uid: u32, gid: u32) -> Result<()> {
    if home.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(home).with_context(|| format!("cannot create {}", home.display()))?;
    fs::set_permissions(home, fs::Permissions::from_mode(0o750))
        .context("cannot set the mode of a home folder")?;
    let skeleton = fs::read_dir("/etc/skel").into_iter().flatten().flatten();
    for entry in skeleton.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file())) {
        let target = home.join(entry.file_name());
        fs::copy(entry.path(), &target).context("cannot copy a file of /etc/skel")?;
        own(&target, uid, gid)?;
    }
    own(home, uid, gid)
}

fn own(path: &Path, uid: u32, gid: u32) -> Result<()> {
    std::os::unix::fs::chown(path, Some(uid), Some(gid))
        .with_context(|| format!("cannot give {} its owner", path.display()))
}

/// Adds keys to those that may log in as an account, each once. They stand in a folder of root's: a file that its
/// owner could replace by a link must not be written by root.
///
/// # Errors
/// When the folder cannot be written.
pub fn authorize(name: &str, keys: &[String]) -> Result<()> {
    let folder = Path::new(paths::AUTHORIZED_KEYS);
    fs::create_dir_all(folder).context("cannot create a folder for SSH keys")?;
    let path = folder.join(name);
    let mut text = files::read_text_if_there(&path)?.unwrap_or_default();
    for key in keys {
        if !text.lines().any(|line| line.trim() == key.trim()) {
            text.push_str(key.trim());
            text.push('\n');
        }
    }
    files::write_durably(&path, text.as_bytes(), 0o644)
}
