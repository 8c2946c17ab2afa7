//! A root file system as a list of entries: read from a tar archive, changed, and written again in one fixed
//! order. File contents stay where they are until they are written, so nothing needs to be unpacked, owned or
//! mounted.

mod acl;
mod directory;
mod entries;
mod layer;
mod look;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use edge_model::ids::Digest;
use edge_model::{Context, Error, Result};
use edge_slot_image::Hasher;
use tar::{Builder, EntryType, Header};

pub(crate) use layer::{checked, count_names};

#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) mode: u32,
    pub(crate) uid: u64,
    pub(crate) gid: u64,
    /// PAX records of extended attributes.
    attributes: Vec<(String, Vec<u8>)>,
    pub(crate) modified: u64,
    pub(crate) content: Content,
}

#[derive(Debug, Clone)]
pub(crate) enum Content {
    Directory,
    Bytes(Vec<u8>),
    /// A part of an archive.
    Span {
        archive: Arc<File>,
        offset: u64,
        size: u64,
    },
    File(PathBuf),
    Symlink(PathBuf),
    HardLink(String),
    Device {
        kind: Device,
        major: u32,
        minor: u32,
    },
    Fifo,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Device {
    Character,
    Block,
}

/// Paths are relative, without a leading `./`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tree {
    nodes: BTreeMap<String, Node>,
    /// Files that hard links lead to, or led to once.
    linked: BTreeSet<String>,
}

impl Tree {
    /// Reads an archive that a tool of ours wrote.
    ///
    /// # Errors
    /// Those of [`Tree::apply_layer`].
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let mut tree = Self::default();
        tree.apply_layer(path, None)?;
        Ok(tree)
    }

    /// A digest over everything but times.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub(crate) fn identity(&self) -> Result<Digest> {
        let mut hashing = HashingSink(Hasher::default());
        self.write_to(&mut hashing, 0).context("cannot read the base")?;
        Ok(hashing.0.finish())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.nodes.iter().map(|(path, node)| (path.as_str(), node))
    }

    /// Removes what `unwanted` says, folders with everything in them.
    pub(crate) fn remove(&mut self, unwanted: impl Fn(&str) -> bool) {
        let gone: Vec<String> = self.nodes.keys().filter(|path| unwanted(path)).cloned().collect();
        for path in gone {
            self.hand_over(&path);
            self.nodes.remove(&path);
        }
    }

    /// The content of a regular file.
    ///
    /// # Errors
    /// When there is no such file.
    pub(crate) fn read_file(&self, path: &str) -> Result<Vec<u8>> {
        let missing = || Error::environment(format!("the base system has no file /{path}"));
        let node = self.nodes.get(path).ok_or_else(missing)?;
        match &node.content {
            Content::Bytes(bytes) => Ok(bytes.clone()),
            Content::File(file) => {
                std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))
            }
            Content::Span { archive, offset, size } => {
                let mut bytes = vec![0; *size as usize];
                archive.read_exact_at(&mut bytes, *offset).context("cannot read the base system")?;
                Ok(bytes)
            }
            Content::HardLink(target) => self.read_file(&target.clone()),
            Content::Directory | Content::Symlink(_) | Content::Device { .. } | Content::Fifo => {
                Err(missing())
            }
        }
    }

    /// Adds or replaces an entry owned by root, with the folders above it.
    pub(crate) fn put(&mut self, path: &str, mode: u32, content: Content) {
        for (at, _) in path.match_indices('/') {
            self.nodes.entry(path[..at].to_owned()).or_insert_with(|| node(0o755, Content::Directory));
        }
        self.hand_over(path);
        if let Content::HardLink(target) = &content {
            self.linked.insert(target.clone());
        }
        self.nodes.insert(path.to_owned(), node(mode, content));
    }

    pub(crate) fn put_file(&mut self, path: &str, mode: u32, bytes: impl Into<Vec<u8>>) {
        self.put(path, mode, Content::Bytes(bytes.into()));
    }

    pub(crate) fn put_symlink(&mut self, path: &str, target: &str) {
        self.put(path, 0o777, Content::Symlink(target.into()));
    }

    /// Replaces the content of a file, keeping owner and mode.
    pub(crate) fn replace(&mut self, path: &str, bytes: Vec<u8>) {
        if let Some(node) = self.nodes.get_mut(path) {
            node.content = Content::Bytes(bytes);
        }
    }

    pub(crate) fn get_mut(&mut self, path: &str) -> Option<&mut Node> {
        self.nodes.get_mut(path)
    }

    pub(crate) fn contains(&self, path: &str) -> bool {
        self.nodes.contains_key(path)
    }

    /// Writes all entries in the order of their paths, hard links last, with one modification time.
    ///
    /// # Errors
    /// When a file cannot be read or the output not written.
    pub(crate) fn write(&self, output: &Path, modified: u64) -> Result<()> {
        let context = || format!("cannot write {}", output.display());
        let file = File::create(output).with_context(context)?;
        let mut writer = BufWriter::with_capacity(1 << 20, file);
        self.write_to(&mut writer, modified).with_context(context)?;
        writer.flush().with_context(context)
    }

    fn write_to(&self, writer: impl Write, modified: u64) -> Result<()> {
        let context = || "cannot begin the archive".to_owned();
        let mut builder = Builder::new(writer);
        // Without an entry of its own the root would be writable by everybody.
        append(&mut builder, "./", &node(0o755, Content::Directory), modified).with_context(context)?;
        let is_link = |node: &Node| matches!(node.content, Content::HardLink(_));
        for links in [false, true] {
            for (path, node) in self.nodes.iter().filter(|(_, node)| is_link(node) == links) {
                append(&mut builder, path, node, modified)
                    .with_context(|| format!("cannot add /{path} to the image"))?;
            }
        }
        builder.finish().with_context(context)
    }
}

struct HashingSink(Hasher);

impl Write for HashingSink {
    fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
        self.0.update(buffer);
        Ok(buffer.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn node(mode: u32, content: Content) -> Node {
    Node { mode, uid: 0, gid: 0, attributes: Vec::new(), modified: 0, content }
}

fn append<W: Write>(builder: &mut Builder<W>, path: &str, node: &Node, modified: u64) -> std::io::Result<()> {
    if !node.attributes.is_empty() {
        builder.append_pax_extensions(
            node.attributes.iter().map(|(key, value)| (key.as_str(), value.as_slice())),
        )?;
    }
    let mut header = Header::new_gnu();
    header.set_mode(node.mode & 0o7777);
    header.set_uid(node.uid);
    header.set_gid(node.gid);
    header.set_mtime(modified);
    header.set_size(0);
    match &node.content {
        Content::Directory => {
            header.set_entry_type(EntryType::Directory);
            builder.append_data(&mut header, path, std::io::empty())
        }
        Content::Symlink(target) => {
            header.set_entry_type(EntryType::Symlink);
            builder.append_link(&mut header, path, target)
        }
        Content::HardLink(target) => {
            header.set_entry_type(EntryType::Link);
            builder.append_link(&mut header, path, target)
        }
        Content::Device { kind, major, minor } => {
            header.set_entry_type(match kind {
                Device::Character => EntryType::Char,
                Device::Block => EntryType::Block,
            });
            header.set_device_major(*major)?;
            header.set_device_minor(*minor)?;
            builder.append_data(&mut header, path, std::io::empty())
        }
        Content::Fifo => {
            header.set_entry_type(EntryType::Fifo);
            builder.append_data(&mut header, path, std::io::empty())
        }
        Content::Bytes(bytes) => append_file(builder, header, path, bytes.len() as u64, bytes.as_slice()),
        Content::File(file) => {
            let file = File::open(file)?;
            let size = file.metadata()?.len();
            append_file(builder, header, path, size, file)
        }
        Content::Span { archive, offset, size } => {
            let reader = SpanReader { archive, offset: *offset, left: *size };
            append_file(builder, header, path, *size, BufReader::with_capacity(256 << 10, reader))
        }
    }
}

fn append_file<W: Write>(
    builder: &mut Builder<W>,
    mut header: Header,
    path: &str,
    size: u64,
    content: impl Read,
) -> std::io::Result<()> {
    header.set_entry_type(EntryType::Regular);
    header.set_size(size);
    builder.append_data(&mut header, path, content)
}

struct SpanReader<'a> {
    archive: &'a File,
    offset: u64,
    left: u64,
}

impl Read for SpanReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let wanted = buffer.len().min(self.left as usize);
        let length = self.archive.read_at(&mut buffer[..wanted], self.offset)?;
        self.offset += length as u64;
        self.left -= length as u64;
        Ok(length)
    }
}

/// Whether a path is meant by a pattern of a recipe: `*` within one name, `**` at the end for everything below.
pub(crate) fn path_matches(pattern: &str, path: &str) -> bool {
    if let Some(folder) = pattern.strip_suffix("/**") {
        let depth = folder.split('/').count();
        let parts: Vec<&str> = path.split('/').collect();
        return parts.len() > depth && path_matches(folder, &parts[..depth].join("/"));
    }
    let (pattern, path): (Vec<&str>, Vec<&str>) = (pattern.split('/').collect(), path.split('/').collect());
    pattern.len() == path.len()
        && pattern.iter().zip(path).all(|(pattern, name)| edge_host::modules::alias_matches(pattern, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_written_the_same_whatever_the_order_of_its_source() {
        let folder = tempfile::tempdir().unwrap();
        let build = |name: &str, reverse: bool| {
            let mut tree = Tree::default();
            let mut paths = vec!["etc/b", "etc/a", "usr/bin/x"];
            if reverse {
                paths.reverse();
            }
            for path in paths {
                tree.put_file(path, 0o644, path.as_bytes());
            }
            tree.put("usr/alias", 0o755, Content::HardLink("usr/bin/x".into()));
            let output = folder.path().join(name);
            tree.write(&output, 1_700_000_000).unwrap();
            output
        };
        let (one, other) = (build("1.tar", false), build("2.tar", true));
        assert!(std::fs::read(&one).unwrap() == std::fs::read(other).unwrap());
        let tree = Tree::read(&one).unwrap();
        assert_eq!(tree.read_file("usr/alias").unwrap(), b"usr/bin/x");
        assert!(tree.contains("etc"));
    }

    #[test]
    fn patterns_and_paths() {
        assert!(path_matches("usr/share/doc/**", "usr/share/doc/a/b"));
        assert!(!path_matches("usr/share/doc/**", "usr/share/doc"));
        assert!(path_matches("usr/lib/modules/*/build", "usr/lib/modules/6.12/build"));
        assert!(!path_matches("boot*", "boot/x"));
    }
}
