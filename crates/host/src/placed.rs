//! Files and folders at paths where others may own a folder: no link that somebody put there leads root anywhere.
//!
//! A path is walked component by component on handles. Links are followed only where root made them in a folder of root's
//! (`/var/run`); every folder on the way belongs to root or to who gets the file. Content, owner and mode are set on a handle
//! without a name, which then takes the place of what was there (openat(2), `O_TMPFILE`).

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use edge_model::{Context, Error, Result};
use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, Stat, Uid};
use rustix::io::Errno;

use crate::faults::{effect, flush};

/// Links on the way, as the kernel's limit (path_resolution(7)), and folders that come and go while they are walked.
const MOST_TURNS: u32 = 40;
/// What a folder on the way gets that is not there yet.
const NEW_FOLDER: u32 = 0o755;
/// A handle that only names: nothing is opened by it.
const NAMED: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Who gets what is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    pub uid: u32,
    pub gid: u32,
}

impl Owner {
    pub const ROOT: Self = Self { uid: 0, gid: 0 };
}

/// Puts a file there as a whole, durably, with its folders. One that has the content already keeps it, and gets owner and mode.
///
/// # Errors
/// [`edge_model::Class::Rejected`] when a folder on the way belongs to somebody else; when the file system refuses.
pub fn write(path: &Path, bytes: &[u8], mode: u32, owner: Owner) -> Result<()> {
    let (folder, name) = made_parent_of(path, owner.uid)?;
    let context = || format!("cannot write {}", path.display());
    if let Some(present) = same_content(&folder, &name, bytes, owner.uid) {
        return give(&present, mode, owner).with_context(context);
    }
    replace(path, &folder, &name, |file| {
        file.write_all(bytes)?;
        give(file, mode, owner)
    })
    .with_context(context)
}

/// Makes a folder with those above it, and sets its owner and mode.
///
/// # Errors
/// As [`write`].
pub fn make_folder(path: &Path, mode: u32, owner: Owner) -> Result<()> {
    let (parent, name) = made_parent_of(path, owner.uid)?;
    let context = || format!("cannot create {}", path.display());
    effect("create", path).with_context(context)?;
    match rustix::fs::mkdirat(&parent, &name, Mode::from_raw_mode(NEW_FOLDER)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(std::io::Error::from(error)).with_context(context),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = match rustix::fs::openat(&parent, &name, flags | OFlags::NOFOLLOW, Mode::empty()) {
        // A link of root's to a folder, as `/lib`.
        Err(Errno::NOTDIR | Errno::LOOP) => {
            let (behind, _) = made_parent_of(&path.join("inside"), owner.uid)?;
            rustix::fs::openat(&behind, ".", flags, Mode::empty())
        }
        opened => opened,
    };
    let folder = folder.map_err(std::io::Error::from);
    give(&folder.with_context(context)?, mode, owner).with_context(context)
}

/// Reads a file of at most `limit` bytes that belongs to root or `uid`, as do its folders; `None` when there is none.
///
/// # Errors
/// As [`write`]; when it is larger, or no regular file.
pub fn read_if_there(path: &Path, uid: u32, limit: u64) -> Result<Option<Vec<u8>>> {
    let Some((folder, name)) = parent_of(path, uid, Missing::Stays)? else { return Ok(None) };
    let context = || format!("cannot read {}", path.display());
    let file = match open_file(&folder, &name) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(std::io::Error::from(error)).with_context(context),
    };
    let about = rustix::fs::fstat(&file).map_err(std::io::Error::from).with_context(context)?;
    if !is_regular(&about) || !belongs(&about, uid) {
        return Err(not_ours(path, &about));
    }
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).with_context(context)?;
    if bytes.len() as u64 > limit {
        return Err(Error::invalid(format!("{} is larger than {limit} bytes", path.display())));
    }
    Ok(Some(bytes))
}

/// For programs that write below a path themselves: every folder above it is there, and root's.
///
/// # Errors
/// As [`write`].
pub fn check_folders_are_roots(path: &Path) -> Result<()> {
    made_parent_of(path, Owner::ROOT.uid).map(drop)
}

/// What becomes of a folder on the way that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Missing {
    IsMade,
    Stays,
}

fn made_parent_of(path: &Path, uid: u32) -> Result<(OwnedFd, OsString)> {
    parent_of(path, uid, Missing::IsMade)?
        .ok_or_else(|| Error::internal("a folder that is made where it is missing is there"))
}

/// The folder that a path ends in, and the last name; none where the folder is missing and stays so.
fn parent_of(path: &Path, uid: u32, missing: Missing) -> Result<Option<(OwnedFd, OsString)>> {
    let context = || format!("cannot find the folder of {}", path.display());
    let mut names = names_of(path)
        .ok_or_else(|| Error::invalid(format!("{} is no absolute path without `..`", path.display())))?;
    let last = names.pop_back().ok_or_else(|| Error::invalid("the root is no file or folder to make"))?;
    let mut folder = top().with_context(context)?;
    let mut turns = 0;
    while let Some(name) = names.pop_front() {
        if turns > MOST_TURNS {
            return Err(Error::rejected(format!("the way to {} does not end", path.display())));
        }
        match rustix::fs::openat(&folder, &name, NAMED, Mode::empty()) {
            Ok(next) => {
                let about = rustix::fs::fstat(&next).map_err(std::io::Error::from).with_context(context)?;
                if !belongs(&about, uid) {
                    return Err(not_ours(path, &about));
                }
                folder = next;
            }
            Err(Errno::NOENT) if missing == Missing::Stays => return Ok(None),
            Err(Errno::NOENT) => match rustix::fs::mkdirat(&folder, &name, Mode::from_raw_mode(NEW_FOLDER)) {
                Ok(()) => names.push_front(name),
                Err(Errno::EXIST) => {
                    turns += 1;
                    names.push_front(name);
                }
                Err(error) => return Err(std::io::Error::from(error)).with_context(context),
            },
            Err(Errno::NOTDIR | Errno::LOOP) => {
                turns += 1;
                let target = link_of_root(&folder, &name, path)?;
                if target.is_absolute() {
                    folder = top().with_context(context)?;
                }
                for part in target.components().rev() {
                    match part {
                        Component::Normal(name) => names.push_front(name.to_owned()),
                        Component::ParentDir => names.push_front("..".into()),
                        Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
                    }
                }
            }
            Err(error) => return Err(std::io::Error::from(error)).with_context(context),
        }
    }
    Ok(Some((folder, last)))
}

fn names_of(path: &Path) -> Option<VecDeque<OsString>> {
    let mut components = path.components();
    if components.next() != Some(Component::RootDir) {
        return None;
    }
    components
        .map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            _ => None,
        })
        .collect()
}

fn top() -> std::io::Result<OwnedFd> {
    Ok(rustix::fs::openat(CWD, "/", NAMED, Mode::empty())?)
}

/// Where a link leads that root made in a folder of root's; any other is nobody's to follow.
fn link_of_root(folder: &OwnedFd, name: &OsStr, path: &Path) -> Result<PathBuf> {
    let context = || format!("cannot find the folder of {}", path.display());
    let about = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW);
    let about = about.map_err(std::io::Error::from).with_context(context)?;
    let above = rustix::fs::fstat(folder).map_err(std::io::Error::from).with_context(context)?;
    if FileType::from_raw_mode(about.st_mode) != FileType::Symlink {
        let name = Path::new(name).display();
        return Err(Error::rejected(format!("{name}, on the way to {}, is no folder", path.display())));
    }
    if about.st_uid != 0 || above.st_uid != 0 {
        return Err(not_ours(path, &about));
    }
    let target = rustix::fs::readlinkat(folder, name, Vec::new()).map_err(std::io::Error::from);
    Ok(OsString::from_vec(target.with_context(context)?.into_bytes()).into())
}

fn belongs(about: &Stat, uid: u32) -> bool {
    about.st_uid == 0 || about.st_uid == uid
}

fn is_regular(about: &Stat) -> bool {
    FileType::from_raw_mode(about.st_mode) == FileType::RegularFile
}

fn not_ours(path: &Path, about: &Stat) -> Error {
    Error::rejected(format!(
        "{} is not touched: something on the way to it belongs to the user {}, who could lead it anywhere",
        path.display(),
        about.st_uid
    ))
    .help("name that user as the owner of what is written, or write it below a folder of root's")
}

/// Never waits for a FIFO, and follows no link.
fn open_file(folder: &OwnedFd, name: &OsStr) -> rustix::io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    rustix::fs::openat(folder, name, flags, Mode::empty()).map(File::from)
}

/// The file that is there, if it has this content, under this name alone, and belongs to root or to who gets it: another name may be
/// root's file of somewhere else, and somebody else may hold it open and write to it later.
fn same_content(folder: &OwnedFd, name: &OsStr, bytes: &[u8], uid: u32) -> Option<File> {
    let mut file = open_file(folder, name).ok()?;
    let about = rustix::fs::fstat(&file).ok()?;
    if !is_regular(&about)
        || !belongs(&about, uid)
        || about.st_nlink != 1
        || about.st_size != bytes.len() as i64
    {
        return None;
    }
    let mut present = Vec::new();
    (&mut file).take(bytes.len() as u64 + 1).read_to_end(&mut present).ok()?;
    (present == bytes).then_some(file)
}

/// The owner first: a change of it takes the bits away that let a program run as its owner.
fn give(handle: impl AsFd, mode: u32, owner: Owner) -> Result<()> {
    let (uid, gid) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
    rustix::fs::fchown(&handle, Some(uid), Some(gid)).map_err(std::io::Error::from)?;
    rustix::fs::fchmod(&handle, Mode::from_raw_mode(mode)).map_err(std::io::Error::from)?;
    Ok(())
}

fn replace(
    path: &Path,
    folder: &OwnedFd,
    name: &OsStr,
    fill: impl FnOnce(&mut File) -> Result<()>,
) -> Result<()> {
    effect("create", path)?;
    let (mut file, mut temporary) = new_file(folder)?;
    let finish = || -> Result<()> {
        effect("write", path)?;
        fill(&mut file)?;
        flush("flush", path, &file)?;
        if temporary.is_none() {
            temporary = Some(name_it(&file, folder)?);
        }
        effect("rename", path)?;
        let from = temporary.as_deref().unwrap_or_default();
        rustix::fs::renameat(folder, from, folder, name).map_err(std::io::Error::from)?;
        temporary = None;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(folder, ".", flags, Mode::empty()).map_err(std::io::Error::from)?;
        Ok(flush("flush folder of", path, &File::from(opened))?)
    };
    let outcome = finish();
    if let Some(left) = temporary {
        let _ = rustix::fs::unlinkat(folder, left, AtFlags::empty());
    }
    outcome
}

/// A file without a name; with one that nobody expects where the file system knows no such files.
fn new_file(folder: &OwnedFd) -> Result<(File, Option<OsString>)> {
    let mode = Mode::from_raw_mode(0o600);
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    match rustix::fs::openat(folder, ".", flags | OFlags::TMPFILE, mode) {
        Ok(file) => return Ok((File::from(file), None)),
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => {}
        Err(error) => return Err(std::io::Error::from(error).into()),
    }
    let create = flags | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
    with_free_name(|name| rustix::fs::openat(folder, name, create, mode).map(File::from))
        .map(|(file, name)| (file, Some(name)))
}

/// By the handle itself, which takes a privilege (open(2), `O_TMPFILE`); without it by `/proc`, which not every root has.
fn name_it(file: &File, folder: &OwnedFd) -> Result<OsString> {
    let handle = format!("/proc/self/fd/{}", file.as_raw_fd());
    let link = |name: &OsStr| match rustix::fs::linkat(file, "", folder, name, AtFlags::EMPTY_PATH) {
        Err(Errno::NOENT | Errno::PERM) => {
            rustix::fs::linkat(CWD, handle.as_str(), folder, name, AtFlags::SYMLINK_FOLLOW)
        }
        other => other,
    };
    with_free_name(link).map(|((), name)| name)
}

fn with_free_name<T>(mut attempt: impl FnMut(&OsStr) -> rustix::io::Result<T>) -> Result<(T, OsString)> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    const MOST: u32 = 100;
    for _ in 0..MOST {
        let name = format!(".edge-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let name = OsString::from(name);
        match attempt(&name) {
            Ok(made) => return Ok((made, name)),
            Err(Errno::EXIST) => {}
            Err(error) => return Err(std::io::Error::from(error).into()),
        }
    }
    Err(Error::environment("no name is free for a temporary file"))
}

#[cfg(test)]
mod tests;
