//! Reads an EROFS file system without mounting it: names, owners, modes and attributes become a [`Tree`] whose
//! files stay where they are in the image.
//!
//! What `mkfs.erofs` writes without compression can be read. Compressed and chunk-based files are refused by name.
//! Every number of the image is checked before it is used, and the work for one image is limited.
//!
//! <https://docs.kernel.org/filesystems/erofs.html>

mod attributes;
mod directory;
mod inode;
mod superblock;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use edge_model::{Context, Error, Result};

use crate::tree::{Content, Node, Tree};
use inode::{Inode, Kind};
pub(crate) use superblock::{Superblock, inode_count};

/// More than any operating system has.
const MOST_ENTRIES: usize = 4_000_000;
/// What cannot stay in the image, because it has two places there, is kept in memory.
const MOST_COPIED: u64 = 256 << 20;
const LONGEST_PATH: usize = 4096;

/// What an image holds.
#[derive(Debug)]
pub(crate) struct FileSystem {
    pub(crate) tree: Tree,
    /// Paths of device nodes, pipes and sockets, which a tree does not keep.
    pub(crate) special: Vec<String>,
}

/// The file system that begins at `offset` of a file.
///
/// # Errors
/// [`edge_model::Class::InvalidInput`] when there is no EROFS, or one that uses what is not read here;
/// [`edge_model::Class::Integrity`] when it is damaged.
pub(crate) fn read(file: &Arc<File>, offset: u64) -> Result<FileSystem> {
    let mut walk = Walk::new(Image::open(file.clone(), offset)?);
    walk.run().context("the file system of the image cannot be read")?;
    Ok(FileSystem { tree: walk.tree, special: walk.special })
}

fn damaged(what: impl std::fmt::Display) -> Error {
    Error::integrity(format!("the EROFS image is damaged: {what}"))
}

/// A window into a file that never reads behind the file system's end.
#[derive(Debug)]
pub(crate) struct Image {
    file: Arc<File>,
    offset: u64,
    superblock: Superblock,
}

impl Image {
    fn open(file: Arc<File>, offset: u64) -> Result<Self> {
        let superblock = Superblock::read(&file, offset)?;
        let length = file.metadata().context("cannot look at the image")?.len();
        if offset.checked_add(superblock.length()).is_none_or(|end| end > length) {
            return Err(damaged("it ends before its last block"));
        }
        Ok(Self { file, offset, superblock })
    }

    /// The place in the file of a range of the image.
    fn place(&self, at: u64, length: u64) -> Result<u64> {
        match at.checked_add(length) {
            Some(end) if end <= self.superblock.length() => Ok(self.offset + at),
            _ => Err(damaged(format_args!("{length} bytes at {at} lie behind its end"))),
        }
    }

    fn bytes(&self, at: u64, length: usize) -> Result<Vec<u8>> {
        let place = self.place(at, length as u64)?;
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, place).context("cannot read the image")?;
        Ok(bytes)
    }

    /// The whole content of a small file, link or folder.
    fn content(&self, inode: &Inode) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        for (at, length) in inode.extents(&self.superblock)? {
            bytes.extend(self.bytes(at, length as usize)?);
        }
        Ok(bytes)
    }
}

/// One pass over all folders.
struct Walk {
    image: Image,
    tree: Tree,
    special: Vec<String>,
    /// Path of the first entry of a file, by its number.
    first: BTreeMap<u64, String>,
    /// Folders that were seen: a second time would be a circle.
    folders: std::collections::BTreeSet<u64>,
    entries: usize,
    copied: u64,
}

impl Walk {
    fn new(image: Image) -> Self {
        Self {
            image,
            tree: Tree::default(),
            special: Vec::new(),
            first: BTreeMap::new(),
            folders: std::collections::BTreeSet::new(),
            entries: 0,
            copied: 0,
        }
    }

    fn run(&mut self) -> Result<()> {
        let root = self.image.superblock.root;
        let mut open = vec![(String::new(), root)];
        while let Some((path, number)) = open.pop() {
            let inode = Inode::read(&self.image, number)?;
            if inode.kind != Kind::Directory {
                return Err(damaged(format_args!("/{path} is not a folder")));
            }
            if !self.folders.insert(number) {
                return Err(damaged(format_args!("the folder /{path} is inside itself or in two places")));
            }
            self.keep(inode.size)?;
            for entry in directory::entries(&self.image.content(&inode)?, self.image.superblock.folder_block)?
            {
                let path = if path.is_empty() { entry.name } else { format!("{path}/{}", entry.name) };
                if path.len() > LONGEST_PATH {
                    return Err(damaged("a path is longer than 4096 bytes"));
                }
                self.entries += 1;
                if self.entries > MOST_ENTRIES {
                    return Err(damaged(format_args!("it has more than {MOST_ENTRIES} entries")));
                }
                if self.add(&path, entry.inode).with_context(|| format!("/{path}"))? {
                    open.push((path, entry.inode));
                }
            }
        }
        Ok(())
    }

    /// Notes one entry, and says whether it is a folder.
    fn add(&mut self, path: &str, number: u64) -> Result<bool> {
        let inode = Inode::read(&self.image, number)?;
        let content = match inode.kind {
            Kind::Directory => Content::Directory,
            _ if self.first.contains_key(&number) => {
                Content::HardLink(self.first.get(&number).cloned().unwrap_or_default())
            }
            Kind::File => self.file(&inode)?,
            Kind::Symlink => {
                self.keep(inode.size)?;
                let target = self.image.content(&inode)?;
                Content::Symlink(String::from_utf8_lossy(&target).into_owned().into())
            }
            Kind::Special => {
                self.special.push(path.to_owned());
                return Ok(false);
            }
        };
        if inode.links > 1 && inode.kind == Kind::File {
            self.first.entry(number).or_insert_with(|| path.to_owned());
        }
        let attributes = attributes::read(&self.image, &inode)?;
        self.keep(attributes.iter().map(|(key, value)| (key.len() + value.len()) as u64).sum())?;
        let node = Node::new(inode.mode & 0o7777, (inode.uid, inode.gid), inode.modified, content);
        self.tree.insert(path.to_owned(), node.with_attributes(attributes));
        Ok(inode.kind == Kind::Directory)
    }

    fn file(&mut self, inode: &Inode) -> Result<Content> {
        let extents = inode.extents(&self.image.superblock)?;
        match extents[..] {
            [] => Ok(Content::Bytes(Vec::new())),
            [(at, size)] => {
                let offset = self.image.place(at, size)?;
                Ok(Content::Span { archive: self.image.file.clone(), offset, size })
            }
            _ => {
                self.keep(inode.size)?;
                Ok(Content::Bytes(self.image.content(inode)?))
            }
        }
    }

    /// Counts bytes that stay in memory.
    fn keep(&mut self, bytes: u64) -> Result<()> {
        self.copied = self.copied.saturating_add(bytes);
        if self.copied > MOST_COPIED {
            return Err(damaged("its folders, links and attributes are larger than any real ones"));
        }
        Ok(())
    }
}
