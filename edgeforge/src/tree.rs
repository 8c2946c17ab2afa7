//! A root file system as a list of entries: read from a tar archive, changed, and written again in one fixed
//! order. File contents stay where they are until they are written, so nothing needs to be unpacked, owned or
//! mounted.

mod look;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use edge_model::{Context, Error, Result};
use tar::{Archive, Builder, EntryType, Header};

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
}

/// Paths are relative, without a leading `./`.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    nodes: BTreeMap<String, Node>,
}

impl Tree {
    /// # Errors
    /// When the archive cannot be read or has an entry with a path that leaves the tree.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let context = || format!("cannot read {}", path.display());
        let file = Arc::new(File::open(path).with_context(context)?);
        let reader = file.try_clone().with_context(context)?;
        let mut archive = Archive::new(BufReader::with_capacity(1 << 20, reader));
        let mut tree = Self::default();
        for entry in archive.entries_with_seek().with_context(context)? {
            let mut entry = entry.with_context(context)?;
            let path = entry.path().with_context(context)?.to_string_lossy().into_owned();
            let Some(path) = normal(&path)? else { continue };
            let header = entry.header();
            let (mode, uid, gid) = (
                header.mode().with_context(context)?,
                header.uid().with_context(context)?,
                header.gid().with_context(context)?,
            );
            let modified = header.mtime().with_context(context)?;
            let content = match header.entry_type() {
                EntryType::Directory => Content::Directory,
                EntryType::Symlink => Content::Symlink(link_target(&entry).with_context(context)?),
                EntryType::Link => {
                    let target = link_target(&entry).with_context(context)?;
                    Content::HardLink(normal(&target.to_string_lossy())?.unwrap_or_default())
                }
                EntryType::Regular => Content::Span {
                    archive: file.clone(),
                    offset: entry.raw_file_position(),
                    size: entry.size(),
                },
                // Device nodes come from devtmpfs.
                _ => continue,
            };
            let attributes = attributes(&mut entry).with_context(context)?;
            tree.nodes.insert(path, Node { mode, uid, gid, attributes, modified, content });
        }
        Ok(tree)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.nodes.iter().map(|(path, node)| (path.as_str(), node))
    }

    /// Removes what `unwanted` says, folders with everything in them.
    pub(crate) fn remove(&mut self, unwanted: impl Fn(&str) -> bool) {
        self.nodes.retain(|path, _| !unwanted(path));
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
            Content::Directory | Content::Symlink(_) => Err(missing()),
        }
    }

    /// Adds or replaces an entry owned by root, with the folders above it.
    pub(crate) fn put(&mut self, path: &str, mode: u32, content: Content) {
        for (at, _) in path.match_indices('/') {
            self.nodes.entry(path[..at].to_owned()).or_insert_with(|| node(0o755, Content::Directory));
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
        let mut builder = Builder::new(BufWriter::with_capacity(1 << 20, file));
        // Without an entry of its own the root would be writable by everybody.
        append(&mut builder, "./", &node(0o755, Content::Directory), modified).with_context(context)?;
        let is_link = |node: &Node| matches!(node.content, Content::HardLink(_));
        for links in [false, true] {
            for (path, node) in self.nodes.iter().filter(|(_, node)| is_link(node) == links) {
                append(&mut builder, path, node, modified)
                    .with_context(|| format!("cannot add /{path} to the image"))?;
            }
        }
        let mut writer = builder.into_inner().with_context(context)?;
        writer.flush().with_context(context)
    }
}

fn node(mode: u32, content: Content) -> Node {
    Node { mode, uid: 0, gid: 0, attributes: Vec::new(), modified: 0, content }
}

/// `None` for the root itself.
fn normal(path: &str) -> Result<Option<String>> {
    let parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    if parts.contains(&"..") {
        return Err(Error::invalid(format!("the archive has an entry that leaves its folder: {path:?}")));
    }
    Ok((!parts.is_empty()).then(|| parts.join("/")))
}

fn link_target<R: Read>(entry: &tar::Entry<'_, R>) -> std::io::Result<PathBuf> {
    let target = entry.link_name()?;
    target.map(|path| path.into_owned()).ok_or_else(|| std::io::Error::other("a link without a target"))
}

/// Extended attributes, without access control lists: they carry numbers of groups that mean nothing here.
fn attributes<R: Read>(entry: &mut tar::Entry<'_, R>) -> std::io::Result<Vec<(String, Vec<u8>)>> {
    let mut found = Vec::new();
    if let Some(extensions) = entry.pax_extensions()? {
        for extension in extensions {
            let extension = extension?;
            let key = extension.key().unwrap_or_default();
            if key.starts_with("SCHILY.xattr.security.capability") || key.starts_with("SCHILY.xattr.user.") {
                found.push((key.to_owned(), extension.value_bytes().to_vec()));
            }
        }
    }
    Ok(found)
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
        assert!(normal("./../x").is_err());
        assert_eq!(normal("./").unwrap(), None);
    }
}
