//! Looking at a tree without changing it.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::sync::Arc;

use edge_model::ids::Digest;
use edge_model::{Context, Error, Result};
use edge_slot_image::Hasher;

use super::{Content, Node, SpanReader, Tree};

/// How often a name may lead through links before it is taken for a circle, as in the kernel.
const MOST_LINKS: usize = 40;

impl Node {
    pub(crate) fn new(mode: u32, (uid, gid): (u64, u64), modified: u64, content: Content) -> Self {
        Self { mode, uid, gid, attributes: Vec::new(), modified, content }
    }

    /// The same entry with PAX records of extended attributes.
    pub(crate) fn with_attributes(mut self, attributes: Vec<(String, Vec<u8>)>) -> Self {
        self.attributes = attributes;
        self
    }

    /// The value of an extended attribute, by its name in the file system.
    pub(crate) fn attribute(&self, name: &str) -> Option<&[u8]> {
        let found = self.attributes.iter().find(|(key, _)| key.strip_prefix("SCHILY.xattr.") == Some(name));
        found.map(|(_, value)| value.as_slice())
    }

    /// Extended attributes as PAX records: key and value.
    pub(crate) fn attributes(&self) -> &[(String, Vec<u8>)] {
        &self.attributes
    }

    pub(crate) fn is_directory(&self) -> bool {
        matches!(self.content, Content::Directory)
    }

    pub(crate) fn is_file(&self) -> bool {
        matches!(
            self.content,
            Content::Bytes(_) | Content::File(_) | Content::Span { .. } | Content::HardLink(_)
        )
    }
}

impl Tree {
    pub(crate) fn get(&self, path: &str) -> Option<&Node> {
        self.nodes.get(path)
    }

    /// Adds or replaces an entry as it is.
    pub(crate) fn insert(&mut self, path: String, node: Node) {
        self.nodes.insert(path, node);
    }

    /// Paths of entries that are not in `other`, or not with the same content from the same place.
    pub(crate) fn differs_from(&self, other: &Self) -> BTreeSet<String> {
        let same = |path: &str, node: &Node| {
            other.get(path).is_some_and(|before| same_source(&before.content, &node.content))
        };
        self.iter().filter(|(path, node)| !same(path, node)).map(|(path, _)| path.to_owned()).collect()
    }

    /// Paths directly or deeper below a folder.
    pub(crate) fn below<'t>(&'t self, folder: &str) -> impl Iterator<Item = (&'t str, &'t Node)> + use<'t> {
        let prefix = format!("{folder}/");
        let from = self.nodes.range(prefix.clone()..);
        from.take_while(move |(path, _)| path.starts_with(&prefix)).map(|(path, node)| (path.as_str(), node))
    }

    /// The entry that holds the content: the one that a hard link leads to.
    fn holder(&self, path: &str) -> Option<&Node> {
        let mut node = self.nodes.get(path)?;
        for _ in 0..MOST_LINKS {
            match &node.content {
                Content::HardLink(target) => node = self.nodes.get(target)?,
                _ => return Some(node),
            }
        }
        None
    }

    /// Bytes of a regular file; 0 for everything else.
    pub(crate) fn size(&self, path: &str) -> u64 {
        match self.holder(path).map(|node| &node.content) {
            Some(Content::Bytes(bytes)) => bytes.len() as u64,
            Some(Content::Span { size, .. }) => *size,
            Some(Content::File(file)) => std::fs::metadata(file).map(|found| found.len()).unwrap_or(0),
            _ => 0,
        }
    }

    /// Where the content of a file lies: a file of this machine, the first byte in it, and the length.
    ///
    /// # Errors
    /// When it is not a file, or is in memory only.
    pub(crate) fn place_of(&self, path: &str) -> Result<(Arc<File>, u64, u64)> {
        match self.holder(path).map(|node| &node.content) {
            Some(Content::Span { archive, offset, size }) => Ok((archive.clone(), *offset, *size)),
            Some(Content::File(file)) => {
                let context = || format!("cannot open {}", file.display());
                let open = File::open(file).with_context(context)?;
                let size = open.metadata().with_context(context)?.len();
                Ok((Arc::new(open), 0, size))
            }
            _ => Err(Error::invalid(format!("/{path} is not a file"))),
        }
    }

    /// The content of a regular file of at most `limit` bytes that is text, without what is not UTF-8.
    pub(crate) fn text(&self, path: &str, limit: u64) -> Option<String> {
        if self.size(path) > limit {
            return None;
        }
        self.read_file(path).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// SHA-256 of a regular file's content.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn digest(&self, path: &str) -> Result<Digest> {
        let mut hasher = Hasher::default();
        self.read_in_pieces(path, |piece| hasher.update(piece))?;
        Ok(hasher.finish())
    }

    /// Gives the content of a regular file to `take`.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn read_in_pieces(&self, path: &str, mut take: impl FnMut(&[u8])) -> Result<()> {
        match self.holder(path).map(|node| &node.content) {
            Some(Content::Span { archive, offset, size }) => {
                feed(&mut take, SpanReader { archive, offset: *offset, left: *size })
            }
            Some(Content::File(file)) => {
                File::open(file).map_err(Into::into).and_then(|file| feed(&mut take, file))
            }
            _ => {
                take(&self.read_file(path)?);
                Ok(())
            }
        }
        .with_context(|| format!("cannot read /{path}"))
    }

    /// Where a path of a running system is in this tree: links in the folders above it are followed, the last
    /// name is not. A path that leads in a circle stays as it is.
    pub(crate) fn without_linked_folders(&self, path: &str) -> String {
        let mut waiting: Vec<String> = names(path);
        let mut found: Vec<String> = Vec::new();
        let mut followed = 0;
        waiting.reverse();
        while let Some(name) = waiting.pop() {
            if name == ".." {
                found.pop();
                continue;
            }
            found.push(name);
            if waiting.is_empty() {
                break;
            }
            if let Some(Content::Symlink(target)) = self.nodes.get(&found.join("/")).map(|node| &node.content)
            {
                followed += 1;
                if followed > MOST_LINKS {
                    return names(path).join("/");
                }
                found.pop();
                let target = target.to_string_lossy();
                if target.starts_with('/') {
                    found.clear();
                }
                waiting.extend(names(&target).into_iter().rev());
            }
        }
        found.join("/")
    }

    /// The path of what a link finally leads to, or the path itself; `None` when there is nothing there.
    pub(crate) fn followed(&self, path: &str) -> Option<String> {
        let mut path = self.without_linked_folders(path);
        for _ in 0..MOST_LINKS {
            match &self.nodes.get(&path)?.content {
                Content::Symlink(target) => {
                    let target = target.to_string_lossy();
                    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
                    let next = if target.starts_with('/') {
                        target.into_owned()
                    } else {
                        format!("{folder}/{target}")
                    };
                    path = self.without_linked_folders(&next);
                }
                _ => return Some(path),
            }
        }
        None
    }
}

fn same_source(one: &Content, other: &Content) -> bool {
    match (one, other) {
        (Content::Directory, Content::Directory) | (Content::Fifo, Content::Fifo) => true,
        (Content::Bytes(one), Content::Bytes(other)) => one == other,
        (Content::File(one), Content::File(other)) | (Content::Symlink(one), Content::Symlink(other)) => {
            one == other
        }
        (Content::HardLink(one), Content::HardLink(other)) => one == other,
        (
            Content::Span { archive, offset, size },
            Content::Span { archive: other, offset: other_offset, size: other_size },
        ) => Arc::ptr_eq(archive, other) && (offset, size) == (other_offset, other_size),
        (
            Content::Device { kind, major, minor },
            Content::Device { kind: other, major: other_major, minor: other_minor },
        ) => (kind, major, minor) == (other, other_major, other_minor),
        _ => false,
    }
}

fn names(path: &str) -> Vec<String> {
    path.split('/').filter(|name| !matches!(*name, "" | ".")).map(str::to_owned).collect()
}

fn feed(take: &mut impl FnMut(&[u8]), mut reader: impl Read) -> Result<()> {
    let mut buffer = vec![0; 256 << 10];
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(()),
            length => take(&buffer[..length]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_merged_folders_are_found() {
        let mut tree = Tree::default();
        tree.put_symlink("bin", "usr/bin");
        tree.put_symlink("lib64", "/usr/lib64");
        tree.put_file("usr/bin/x", 0o755, "x");
        tree.put_symlink("usr/bin/y", "../../bin/x");
        tree.put_symlink("usr/bin/z", "z");
        tree.put_symlink("round", "round/round");
        assert_eq!(tree.without_linked_folders("/bin/x"), "usr/bin/x");
        assert_eq!(tree.without_linked_folders("bin"), "bin");
        assert_eq!(tree.without_linked_folders("/lib64/../lib64/ld.so"), "usr/lib64/ld.so");
        assert_eq!(tree.without_linked_folders("/round/a"), "round/a");
        assert_eq!(tree.followed("bin/y").as_deref(), Some("usr/bin/x"));
        assert_eq!(tree.followed("usr/bin/z"), None);
        assert_eq!(tree.followed("../../etc"), None);
    }

    #[test]
    fn what_was_added_or_replaced_is_known() {
        let mut before = Tree::default();
        before.put_file("etc/a", 0o644, "a");
        before.put_symlink("etc/b", "a");
        let mut tree = before.clone();
        tree.put_file("etc/b", 0o644, "b");
        tree.put_file("etc/c", 0o644, "c");
        assert_eq!(tree.differs_from(&before).into_iter().collect::<Vec<_>>(), ["etc/b", "etc/c"]);
    }

    #[test]
    fn sizes_and_digests_are_those_of_the_content() {
        let mut tree = Tree::default();
        tree.put_file("a", 0o644, "abc");
        tree.put("b", 0o644, Content::HardLink("a".into()));
        tree.put("round", 0o644, Content::HardLink("round".into()));
        assert_eq!((tree.size("b"), tree.size("round")), (3, 0));
        assert_eq!(tree.digest("b").unwrap(), edge_slot_image::sha256(b"abc"));
        assert_eq!(tree.below("").count(), 0);
    }
}
