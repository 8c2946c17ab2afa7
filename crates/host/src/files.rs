//! Files that must survive a power cut, and reading with limits.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use edge_model::{Context, Error, Result};

use crate::faults::{effect, flush};

/// Reads a whole file of at most `limit` bytes.
///
/// # Errors
/// When it cannot be read or is larger.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    read_opened(file, path, limit)
}

/// Opens a file that a stranger made: never waits for the other end of a FIFO, and takes nothing but a regular file.
///
/// # Errors
/// When it cannot be opened, or is something else.
pub fn open_of_stranger(path: &Path) -> Result<File> {
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let opened = OpenOptions::new().read(true).custom_flags(nonblocking).open(path);
    let file = opened.with_context(|| format!("cannot open {}", path.display()))?;
    let about = file.metadata().with_context(|| format!("cannot look at {}", path.display()))?;
    if about.is_file() {
        return Ok(file);
    }
    Err(Error::invalid(format!("{} is no regular file", path.display())))
}

/// [`read`] of a file that a stranger made; see [`open_of_stranger`].
///
/// # Errors
/// As both.
pub fn read_of_stranger(path: &Path, limit: u64) -> Result<Vec<u8>> {
    read_opened(open_of_stranger(path)?, path, limit)
}

fn read_opened(file: File, path: &Path, limit: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(limit + 1)
        .read_to_end(&mut bytes)
        .with_context(|| format!("cannot read {}", path.display()))?;
    if bytes.len() as u64 > limit {
        return Err(Error::invalid(format!("{} is larger than {limit} bytes", path.display())));
    }
    Ok(bytes)
}

/// Like [`read`], as text.
///
/// # Errors
/// When it cannot be read, is larger than 1 MiB or is not UTF-8.
pub fn read_text(path: &Path) -> Result<String> {
    text(read(path, 1 << 20)?, path)
}

/// [`read_text`] of a file that a stranger made, if there is one; see [`open_of_stranger`].
///
/// # Errors
/// As both.
pub fn read_text_of_stranger(path: &Path) -> Result<Option<String>> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        _ => read_of_stranger(path, 1 << 20).and_then(|bytes| text(bytes, path)).map(Some),
    }
}

fn text(bytes: Vec<u8>, path: &Path) -> Result<String> {
    String::from_utf8(bytes).map_err(|_| Error::invalid(format!("{} is not UTF-8 text", path.display())))
}

/// Like [`read_text`]; `None` when there is no such file.
///
/// # Errors
/// As [`read_text`], except that the file may be missing.
pub fn read_text_if_there(path: &Path) -> Result<Option<String>> {
    if path.try_exists().with_context(|| format!("cannot look for {}", path.display()))? {
        read_text(path).map(Some)
    } else {
        Ok(None)
    }
}

/// Replaces a file so that a power cut leaves the old or the new content: temporary file, fsync, read back,
/// rename, fsync of the folder.
///
/// # Errors
/// When any of these fails; the old content is then still there, unless only the last step failed.
pub fn write_durably(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let context = || format!("cannot write {}", path.display());
    let folder = path.parent().ok_or_else(|| Error::internal("a file needs a folder"))?;
    let temporary = temporary_name(path);
    let write = || -> Result<()> {
        effect("create", &temporary)?;
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&temporary)?;
        effect("write", &temporary)?;
        file.write_all(bytes)?;
        flush("flush", &temporary, &file)?;
        if fs::read(&temporary)? != bytes {
            return Err(Error::integrity("what was written reads back differently"));
        }
        effect("rename", path)?;
        fs::rename(&temporary, path)?;
        flush("flush folder of", path, &File::open(folder)?)?;
        Ok(())
    };
    write().inspect_err(|_| drop(fs::remove_file(&temporary))).with_context(context)
}

fn temporary_name(path: &Path) -> std::path::PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

/// Gives a folder that is whole its name, durably. There must be none with that name.
///
/// # Errors
/// When it cannot be renamed.
pub fn rename_folder(from: &Path, to: &Path) -> Result<()> {
    let context = || format!("cannot keep {}", to.display());
    effect("rename", to).and_then(|()| fs::rename(from, to)).with_context(context)?;
    sync_folder(to.parent().unwrap_or(to))
}

/// Makes what was renamed in a folder survive a power cut.
///
/// # Errors
/// When the folder cannot be opened.
pub fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder)
        .and_then(|opened| flush("flush", folder, &opened))
        .with_context(|| format!("cannot flush {}", folder.display()))
}

/// Copies a stream to a new file durably while hashing it; the file appears under its name only when
/// `accept` agrees with the digest.
///
/// # Errors
/// When reading or writing fails, or `accept` refuses. No file is left behind.
pub fn copy_durably(
    input: &mut dyn Read,
    path: &Path,
    accept: impl FnOnce(edge_model::ids::Digest, u64) -> Result<()>,
) -> Result<()> {
    let folder = path.parent().ok_or_else(|| Error::internal("a file needs a folder"))?;
    let temporary = temporary_name(path);
    let copy = || -> Result<()> {
        effect("create", &temporary)?;
        let mut file = File::create(&temporary)?;
        let mut buffer = vec![0; 1 << 20];
        loop {
            let length = input.read(&mut buffer)?;
            if length == 0 {
                break;
            }
            effect("write", &temporary)?;
            file.write_all(&buffer[..length])?;
        }
        flush("flush", &temporary, &file)?;
        drop_cache(&file)?;
        let (digest, size) = digest(&temporary)?;
        accept(digest, size)?;
        effect("rename", path)?;
        fs::rename(&temporary, path)?;
        flush("flush folder of", path, &File::open(folder)?)?;
        Ok(())
    };
    copy()
        .inspect_err(|_| drop(fs::remove_file(&temporary)))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Makes a file from what is written to it, durably: it appears under its name only when all of it is on the disk.
///
/// # Errors
/// When `write` or the disk fails. No file is left behind.
pub fn make_durably(path: &Path, mode: u32, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let folder = path.parent().ok_or_else(|| Error::internal("a file needs a folder"))?;
    let temporary = temporary_name(path);
    let make = || -> Result<()> {
        effect("create", &temporary)?;
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&temporary)?;
        write(&mut file)?;
        flush("flush", &temporary, &file)?;
        effect("rename", path)?;
        fs::rename(&temporary, path)?;
        sync_folder(folder)
    };
    make()
        .inspect_err(|_| drop(fs::remove_file(&temporary)))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Makes the next read come from the device.
fn drop_cache(file: &File) -> Result<()> {
    rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed).map_err(std::io::Error::from)?;
    Ok(())
}

/// How long a lock counts as free that somebody still holds. A program that is just being started holds every lock of
/// this process until its `exec` closes them.
pub const LOCK_WITHIN: Duration = Duration::from_millis(500);

/// Locks a file, or says that somebody else has held it for so long. The lock ends with the file, however its process ends.
///
/// # Errors
/// When the file system knows no locks.
pub fn lock_within(file: &File, within: Duration) -> Result<bool> {
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::Error(error)) => return Err(error).context("cannot lock a file"),
            Err(TryLockError::WouldBlock) if begun.elapsed() >= within => return Ok(false),
            Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// Bytes that can still be written to the file system of a path.
///
/// # Errors
/// When it does not say.
pub fn free_bytes(path: &Path) -> Result<u64> {
    let space = rustix::fs::statvfs(path).map_err(std::io::Error::from);
    let space = space.with_context(|| format!("cannot look at the file system of {}", path.display()))?;
    Ok(space.f_bavail.saturating_mul(space.f_frsize))
}

/// SHA-256 and size of a file.
///
/// # Errors
/// When it cannot be read.
pub fn digest(path: &Path) -> Result<(edge_model::ids::Digest, u64)> {
    let mut file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let mut hasher = edge_slot_image::Hasher::default();
    let mut size = 0;
    let mut buffer = vec![0; 256 << 10];
    loop {
        let length = file.read(&mut buffer).with_context(|| format!("cannot read {}", path.display()))?;
        if length == 0 {
            return Ok((hasher.finish(), size));
        }
        hasher.update(&buffer[..length]);
        size += length as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_copy_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("blob");
        let refuse = |_, _| Err(Error::integrity("no"));
        assert!(copy_durably(&mut &b"content"[..], &path, refuse).is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        copy_durably(&mut &b"content"[..], &path, |digest, size| {
            assert_eq!((digest, size), (edge_slot_image::sha256(b"content"), 7));
            Ok(())
        })
        .unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"content");
    }

    #[test]
    fn a_file_that_cannot_be_finished_does_not_appear() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bundle");
        let half = |file: &mut dyn Write| -> Result<()> {
            file.write_all(b"half")?;
            Err(Error::environment("no more"))
        };
        assert!(make_durably(&path, 0o600, half).is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        make_durably(&path, 0o600, |file| Ok(file.write_all(b"whole")?)).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
    }

    #[test]
    fn nobody_waits_for_what_a_stranger_made() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("user-data");
        let mode = rustix::fs::Mode::from_raw_mode(0o644);
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        assert!(read_text_of_stranger(&pipe).is_err());
        assert!(read_of_stranger(folder.path(), 9).is_err(), "a folder is no file");
        assert_eq!(read_text_of_stranger(&folder.path().join("none")).unwrap(), None);
        fs::write(folder.path().join("text"), "x").unwrap();
        assert_eq!(read_text_of_stranger(&folder.path().join("text")).unwrap().as_deref(), Some("x"));
    }

    #[test]
    fn limits_hold() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        write_durably(&path, b"12345", 0o600).unwrap();
        assert_eq!(read(&path, 5).unwrap(), b"12345");
        assert!(read(&path, 4).is_err());
        assert_eq!(read_text_if_there(&folder.path().join("none")).unwrap(), None);
    }
}
