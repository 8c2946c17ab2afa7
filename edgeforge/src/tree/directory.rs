//! A tree from a folder of this machine.

use std::collections::HashMap;
use std::fs::{self, Metadata};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use edge_model::{Context, Error, Result};

use super::{Content, Device, Node, Tree};

/// Most bytes of the names, and of one value, of extended attributes; the kernel allows no more.
const ATTRIBUTE_LIMIT: usize = 64 << 10;

impl Tree {
    /// Reads a folder with everything in it, without following links and without crossing into other file systems. What
    /// belongs to the calling user belongs to root in the tree: whoever is not root cannot make files of root.
    ///
    /// # Errors
    /// [`edge_model::Class::Environment`] when something cannot be read, [`edge_model::Class::InvalidInput`] for
    /// what no image can hold.
    pub(crate) fn from_directory(root: &Path) -> Result<Self> {
        let mut tree = Self::default();
        let device = fs::metadata(root).with_context(|| format!("cannot open {}", root.display()))?.dev();
        let (user, group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let owner = |own: u32, id: u32| u64::from(if id == own { 0 } else { id });
        let mut open = vec![root.to_owned()];
        let mut inodes: HashMap<u64, String> = HashMap::new();
        while let Some(folder) = open.pop() {
            let context = || format!("cannot list {}", folder.display());
            let mut names: Vec<_> = fs::read_dir(&folder)
                .with_context(context)?
                .collect::<Result<_, _>>()
                .with_context(context)?;
            names.sort_by_key(fs::DirEntry::file_name);
            for entry in names {
                let path = entry.path();
                let metadata =
                    entry.metadata().with_context(|| format!("cannot look at {}", path.display()))?;
                let inner = path.strip_prefix(root).unwrap_or(&path).to_str();
                let inner = inner.ok_or_else(|| {
                    Error::invalid(format!("{} has a name that is not UTF-8", path.display()))
                })?;
                let first = (metadata.nlink() > 1 && !metadata.is_dir())
                    .then(|| inodes.entry(metadata.ino()).or_insert_with(|| inner.to_owned()).clone());
                let content = match first {
                    Some(first) if first != inner => Some(Content::HardLink(first)),
                    _ => content(&path, &metadata)?,
                };
                let Some(content) = content else { continue };
                let attributes = attributes(&path)?;
                if let Content::HardLink(target) = &content {
                    tree.linked.insert(target.clone());
                }
                let node = Node {
                    mode: metadata.mode() & 0o7777,
                    uid: owner(user, metadata.uid()),
                    gid: owner(group, metadata.gid()),
                    attributes,
                    modified: u64::try_from(metadata.mtime()).unwrap_or(0),
                    content,
                };
                tree.nodes.insert(inner.to_owned(), node);
                if metadata.is_dir() && metadata.dev() == device {
                    open.push(path);
                }
            }
        }
        Ok(tree)
    }
}

/// `None` for a socket: it belongs to a program that runs.
fn content(path: &Path, metadata: &Metadata) -> Result<Option<Content>> {
    let kind = metadata.file_type();
    let device = |kind: Device| {
        let number = metadata.rdev();
        Content::Device { kind, major: rustix::fs::major(number), minor: rustix::fs::minor(number) }
    };
    Ok(Some(if kind.is_dir() {
        Content::Directory
    } else if kind.is_symlink() {
        Content::Symlink(fs::read_link(path).with_context(|| format!("cannot read {}", path.display()))?)
    } else if kind.is_char_device() {
        device(Device::Character)
    } else if kind.is_block_device() {
        device(Device::Block)
    } else if kind.is_fifo() {
        Content::Fifo
    } else if kind.is_socket() {
        return Ok(None);
    } else {
        Content::File(path.to_owned())
    }))
}

fn attributes(path: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let context = || format!("cannot read the attributes of {}", path.display());
    let mut names = vec![0; ATTRIBUTE_LIMIT];
    let length = match rustix::fs::llistxattr(path, &mut names[..]) {
        Ok(length) => length,
        Err(rustix::io::Errno::OPNOTSUPP) => return Ok(Vec::new()),
        Err(error) => return Err(std::io::Error::from(error)).with_context(context),
    };
    let mut found = Vec::new();
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0; ATTRIBUTE_LIMIT];
        let length = rustix::fs::lgetxattr(path, name, &mut value[..])
            .map_err(std::io::Error::from)
            .with_context(context)?;
        value.truncate(length);
        found.push((format!("SCHILY.xattr.{}", String::from_utf8_lossy(name)), value));
    }
    found.sort();
    Ok(found)
}
