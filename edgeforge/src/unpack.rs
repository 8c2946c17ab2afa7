//! A tree written into a folder: every name is opened beneath the folder's handle and through no link, so that
//! nothing outside it can be reached whatever an image says.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use edge_cli::Reader;
use edge_model::{Context, Error, Result};
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use crate::oci;
use crate::progress::Progress;
use crate::tree::{Content, Device, Node, Tree};

const BENEATH: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);
const SECURITY: &str = "SCHILY.xattr.";

/// Unpacks an image, and says where.
///
/// # Errors
/// As [`unpack`].
pub(crate) fn run(from: &str, folder: &Path, plain_http: bool, reader: Reader) -> Result<()> {
    unpack(from, folder, plain_http)?;
    reader.tell(&serde_json::json!({ "folder": folder }), |_| {})
}

/// Unpacks an image into a new folder.
///
/// # Errors
/// [`edge_model::Class::Rejected`] when the folder holds anything; else those of registries, layers and the disk,
/// and then there is no folder.
pub(crate) fn unpack(from: &str, folder: &Path, plain_http: bool) -> Result<()> {
    if fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(Error::rejected(format!("{} is not empty", folder.display())).help("give a new folder"));
    }
    let progress = Progress::new();
    let part = folder.with_file_name(format!(
        ".{}.part",
        folder.file_name().map(|name| name.to_string_lossy()).unwrap_or_default()
    ));
    remove(&part)?;
    let unpacked = unpack_to(from, &part, plain_http, &progress);
    match unpacked {
        Ok(left_out) => {
            if folder.exists() {
                fs::remove_dir(folder).with_context(|| format!("cannot replace {}", folder.display()))?;
            }
            fs::rename(&part, folder).with_context(|| format!("cannot write {}", folder.display()))?;
            left_out.iter().for_each(|line| progress.say(line));
            Ok(())
        }
        Err(error) => {
            remove(&part)?;
            Err(error)
        }
    }
}

fn remove(folder: &Path) -> Result<()> {
    crate::output::remove_folder(folder)
}

fn unpack_to(from: &str, part: &Path, plain_http: bool, progress: &Progress) -> Result<Vec<String>> {
    let parent = part.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let scratch = tempfile::tempdir_in(parent).context("cannot create a temporary folder")?;
    let image = oci::find(&from.parse()?, plain_http, &scratch.path().join("blobs"), progress)?;
    let tree = image.unfold(scratch.path())?;
    fs::create_dir(part).with_context(|| format!("cannot create {}", part.display()))?;
    tree.write_out(part)
}

impl Tree {
    /// Writes everything below an empty folder. As an ordinary user owners, devices and privileged attributes cannot
    /// be written: what is left out is told.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn write_out(&self, folder: &Path) -> Result<Vec<String>> {
        let context = || format!("cannot open {}", folder.display());
        let root =
            rustix::fs::open(folder, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
                .map_err(std::io::Error::from)
                .with_context(context)?;
        let mut writer = Writer {
            root,
            privileged: rustix::process::geteuid().is_root(),
            current: None,
            devices: 0,
            attributes: 0,
            foreign: 0,
        };
        let is_link = |node: &Node| matches!(node.content, Content::HardLink(_));
        for links in [false, true] {
            for (path, node) in self.iter().filter(|(_, node)| is_link(node) == links) {
                writer.write(path, node).with_context(|| format!("cannot write {path:?}"))?;
            }
        }
        let folders: Vec<(&str, &Node)> =
            self.iter().filter(|(_, node)| matches!(node.content, Content::Directory)).collect();
        // The innermost first: what is written into a folder changes its time.
        for (path, node) in folders.into_iter().rev() {
            writer.finish_folder(path, node).with_context(|| format!("cannot finish {path:?}"))?;
        }
        Ok(writer.left_out())
    }
}

struct Writer {
    root: OwnedFd,
    privileged: bool,
    /// The folder that the last name was in: names come in order.
    current: Option<(PathBuf, OwnedFd)>,
    devices: usize,
    attributes: usize,
    /// Whose owners this user namespace does not know.
    foreign: usize,
}

impl Writer {
    fn open(&self, at: impl AsFd, path: &Path, flags: OFlags, mode: Mode) -> Result<OwnedFd> {
        let opened = rustix::fs::openat2(at, path, flags | OFlags::CLOEXEC | OFlags::NOFOLLOW, mode, BENEATH);
        Ok(opened.map_err(std::io::Error::from)?)
    }

    /// Makes the folder of `path` the current one; gives the name in it.
    fn enter<'p>(&mut self, path: &'p str) -> Result<&'p str> {
        let (folder, name) = path.rsplit_once('/').unwrap_or((".", path));
        if self.current.as_ref().is_none_or(|(current, _)| current != Path::new(folder)) {
            let opened =
                self.open(&self.root, Path::new(folder), OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
            self.current = Some((folder.into(), opened));
        }
        Ok(name)
    }

    fn folder(&self) -> Result<&OwnedFd> {
        self.current.as_ref().map(|(_, folder)| folder).ok_or_else(|| Error::internal("no folder is open"))
    }

    fn write(&mut self, path: &str, node: &Node) -> Result<()> {
        let name = self.enter(path)?;
        let io = std::io::Error::from;
        match &node.content {
            // Writable until everything is in it.
            Content::Directory => {
                rustix::fs::mkdirat(self.folder()?, name, Mode::from_raw_mode(0o700)).map_err(io)?
            }
            Content::Symlink(target) => {
                rustix::fs::symlinkat(target, self.folder()?, name).map_err(io)?;
                self.own(name, node)?;
                self.set_time(name, node)?;
            }
            Content::HardLink(target) => {
                let (above, last) = target.rsplit_once('/').unwrap_or((".", target));
                let other =
                    self.open(&self.root, Path::new(above), OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
                rustix::fs::linkat(other, last, self.folder()?, name, AtFlags::empty()).map_err(io)?;
            }
            Content::Device { .. } | Content::Fifo => self.special(name, node)?,
            Content::Bytes(bytes) => self.file(name, node, |file| Ok(file.write_all(bytes)?))?,
            Content::File(source) => self.file(name, node, |file| copy_file(source, file))?,
            Content::Span { archive, offset, size } => {
                self.file(name, node, |file| copy_span(archive, *offset, *size, file))?;
            }
        }
        Ok(())
    }

    fn file(&mut self, name: &str, node: &Node, fill: impl FnOnce(&mut File) -> Result<()>) -> Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let mut file =
            File::from(self.open(self.folder()?, Path::new(name), flags, Mode::from_raw_mode(0o600))?);
        fill(&mut file)?;
        // The owner first: a change of it takes privileges away.
        self.own(name, node)?;
        rustix::fs::fchmod(&file, Mode::from_raw_mode(node.mode & 0o7777)).map_err(std::io::Error::from)?;
        self.set_attributes(&file, node)?;
        rustix::fs::futimens(&file, &times(node)).map_err(std::io::Error::from)?;
        Ok(())
    }

    fn special(&mut self, name: &str, node: &Node) -> Result<()> {
        let (kind, number) = match &node.content {
            Content::Device { kind, major, minor } => {
                let kind =
                    if *kind == Device::Block { FileType::BlockDevice } else { FileType::CharacterDevice };
                (kind, rustix::fs::makedev(*major, *minor))
            }
            _ => (FileType::Fifo, 0),
        };
        let mode = Mode::from_raw_mode(node.mode & 0o7777);
        match rustix::fs::mknodat(self.folder()?, name, kind, mode, number) {
            Err(Errno::PERM | Errno::ACCESS) => self.devices += 1,
            Err(error) => return Err(std::io::Error::from(error).into()),
            Ok(()) => {
                self.own(name, node)?;
                // The umask has taken bits away. It is a special file, and no link.
                rustix::fs::chmodat(self.folder()?, name, mode, AtFlags::empty())
                    .map_err(std::io::Error::from)?;
                self.set_time(name, node)?;
            }
        }
        Ok(())
    }

    fn own(&mut self, name: &str, node: &Node) -> Result<()> {
        if !self.privileged {
            return Ok(());
        }
        let id = |id: u64| {
            u32::try_from(id).map_err(|_| Error::invalid(format!("{id} is not the number of an owner")))
        };
        let (uid, gid) = (Uid::from_raw(id(node.uid)?), Gid::from_raw(id(node.gid)?));
        match rustix::fs::chownat(self.folder()?, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW) {
            // Root of a user namespace that does not know this owner.
            Err(Errno::INVAL) => self.foreign += 1,
            Err(error) => return Err(std::io::Error::from(error).into()),
            Ok(()) => {}
        }
        Ok(())
    }

    fn set_time(&self, name: &str, node: &Node) -> Result<()> {
        rustix::fs::utimensat(self.folder()?, name, &times(node), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(std::io::Error::from)?;
        Ok(())
    }

    fn set_attributes(&mut self, file: impl AsFd, node: &Node) -> Result<()> {
        for (key, value) in node.attributes() {
            let Some(name) = key.strip_prefix(SECURITY) else { continue };
            match rustix::fs::fsetxattr(file.as_fd(), name, value, XattrFlags::empty()) {
                Err(Errno::PERM | Errno::ACCESS | Errno::OPNOTSUPP) => self.attributes += 1,
                // An access list with an account that this user namespace does not know.
                Err(Errno::INVAL) if name.starts_with("system.posix_acl_") => self.attributes += 1,
                Err(error) => return Err(std::io::Error::from(error).into()),
                Ok(()) => {}
            }
        }
        Ok(())
    }

    fn finish_folder(&mut self, path: &str, node: &Node) -> Result<()> {
        let name = self.enter(path)?;
        self.own(name, node)?;
        let folder =
            self.open(self.folder()?, Path::new(name), OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
        self.set_attributes(&folder, node)?;
        rustix::fs::futimens(&folder, &times(node)).map_err(std::io::Error::from)?;
        rustix::fs::fchmod(&folder, Mode::from_raw_mode(node.mode & 0o7777)).map_err(std::io::Error::from)?;
        Ok(())
    }

    fn left_out(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if !self.privileged {
            lines.push("everything belongs to you: only root can give files to others".into());
        }
        if self.foreign > 0 {
            lines.push(format!(
                "{} files belong to you: this user namespace has no such owners",
                self.foreign
            ));
        }
        if self.devices > 0 {
            lines.push(format!("{} device nodes were left out", self.devices));
        }
        if self.attributes > 0 {
            lines.push(format!("{} extended attributes were left out", self.attributes));
        }
        lines
    }
}

fn times(node: &Node) -> Timestamps {
    let time = Timespec { tv_sec: i64::try_from(node.modified).unwrap_or(0), tv_nsec: 0 };
    Timestamps { last_access: time, last_modification: time }
}

/// Within the kernel; holes stay holes where the file system can tell.
fn copy_file(source: &Path, target: &mut File) -> Result<()> {
    let context = || format!("cannot read {}", source.display());
    let mut source = File::open(source).with_context(context)?;
    let size = source.metadata().with_context(context)?.size();
    let mut at = 0;
    while at < size {
        let data = match rustix::fs::seek(&source, rustix::fs::SeekFrom::Data(at)) {
            Ok(data) => data,
            Err(Errno::NXIO) => break,
            Err(_) => at,
        };
        let end = rustix::fs::seek(&source, rustix::fs::SeekFrom::Hole(data)).unwrap_or(size);
        use std::io::{Read, Seek, SeekFrom};
        source.seek(SeekFrom::Start(data)).with_context(context)?;
        target.seek(SeekFrom::Start(data))?;
        std::io::copy(&mut (&mut source).take(end - data), target)?;
        at = end;
    }
    Ok(target.set_len(size)?)
}

fn copy_span(archive: &File, offset: u64, size: u64, target: &File) -> Result<()> {
    let (mut from, mut left) = (offset, size);
    while left > 0 {
        let wanted = usize::try_from(left.min(1 << 30)).unwrap_or(1 << 30);
        match rustix::fs::copy_file_range(archive, Some(&mut from), target, None, wanted) {
            Ok(0) => return Err(Error::integrity("the archive ends too early")),
            Ok(copied) => left -= copied as u64,
            Err(Errno::XDEV | Errno::NOSYS | Errno::INVAL | Errno::OPNOTSUPP) => {
                return copy_span_slowly(archive, from, left, target);
            }
            Err(error) => return Err(std::io::Error::from(error).into()),
        }
    }
    Ok(())
}

fn copy_span_slowly(archive: &File, mut from: u64, mut left: u64, mut target: &File) -> Result<()> {
    use std::os::unix::fs::FileExt;
    let mut buffer = vec![0; 256 << 10];
    while left > 0 {
        let wanted = buffer.len().min(usize::try_from(left).unwrap_or(buffer.len()));
        archive.read_exact_at(&mut buffer[..wanted], from)?;
        target.write_all(&buffer[..wanted])?;
        from += wanted as u64;
        left -= wanted as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_the_same_after_it_was_written_out() {
        let folder = tempfile::tempdir().unwrap();
        let mut tree = Tree::default();
        tree.put_file("etc/secret", 0o600, "x");
        tree.put_file("usr/bin/program", 0o755, "y");
        tree.put_symlink("bin", "usr/bin");
        tree.put("usr/bin/alias", 0o755, Content::HardLink("usr/bin/program".into()));
        tree.put("var/closed", 0o555, Content::Directory);
        tree.put_file("var/closed/inside", 0o444, "z");
        tree.put("run/pipe", 0o644, Content::Fifo);
        let archive = folder.path().join("layer.tar");
        tree.write(&archive, 1_700_000_000).unwrap();
        let tree = Tree::read(&archive).unwrap();
        let output = folder.path().join("root");
        fs::create_dir(&output).unwrap();
        tree.write_out(&output).unwrap();
        let back = Tree::from_directory(&output).unwrap();
        let shape = |tree: &Tree| -> Vec<String> {
            tree.iter()
                .map(|(path, node)| {
                    let content = tree.read_file(path).unwrap_or_default();
                    format!("{path} {:o} {} {content:?}", node.mode, node.modified)
                })
                .collect()
        };
        let expected: Vec<String> = shape(&tree);
        assert_eq!(shape(&back), expected);
        let inode = |path: &str| fs::metadata(output.join(path)).unwrap().ino();
        assert_eq!(inode("usr/bin/alias"), inode("usr/bin/program"));
        // So that an ordinary user can remove it.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(output.join("var/closed"), mode).unwrap();
    }

    #[test]
    fn a_link_that_appears_meanwhile_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (inside, outside) = (folder.path().join("in"), folder.path().join("out"));
        fs::create_dir(&inside).unwrap();
        fs::create_dir(&outside).unwrap();
        std::os::unix::fs::symlink(&outside, inside.join("etc")).unwrap();
        let mut tree = Tree::default();
        tree.put_file("etc/passwd", 0o644, "x");
        assert!(tree.write_out(&inside).is_err());
        assert!(fs::read_dir(&outside).unwrap().next().is_none());
    }
}
