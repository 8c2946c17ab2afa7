//! One layer of an image laid over a tree: entries of a tar archive, with the whiteouts of container images.
//!
//! Nothing is written anywhere: an entry that would leave the root can do no harm here, and is refused by name all
//! the same, because no honest builder makes one.
//!
//! <https://github.com/opencontainers/image-spec/blob/v1.1.0/layer.md>

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use edge_model::{Context, Error, Result};
use tar::EntryType;

use super::entries::{Entries, Pieces, Records, TarEntry, number};
use super::{Content, Device, Node, SpanReader, Tree, acl};

/// Most entries of one layer: more than any operating system has files.
const MOST_ENTRIES: usize = 4_000_000;
const WHITEOUT: &str = ".wh.";
const OPAQUE: &str = ".wh..wh..opq";
/// Most bytes that the files with holes of one layer may have.
const MOST_UNFOLDED: u64 = 8 << 30;
/// Most pieces in the map of a file with holes.
const MOST_PIECES: u64 = 1 << 20;
/// Most bytes that extended attributes of one layer may have.
const MOST_ATTRIBUTES: usize = 64 << 20;
/// How often a name may lead through links before it is taken for a circle, as in the kernel.
const MOST_LINKS: usize = 40;

impl Tree {
    /// Lays the entries of an uncompressed tar archive over this tree. `scratch` is a folder that lives as long as
    /// the tree; sparse files are unfolded there, and found again by the next reader of the same archive. Without one
    /// there must be none.
    ///
    /// # Errors
    /// [`edge_model::Class::InvalidInput`] naming the entry that leaves the tree, leads through a link that does,
    /// or cannot be what it says.
    pub(crate) fn apply_layer(&mut self, path: &Path, scratch: Option<&Path>) -> Result<()> {
        Layer::read(path, scratch)?.lay_over(self).with_context(|| format!("cannot read {}", path.display()))
    }

    /// Adds the files of an archive that is no layer of this tree: folders that are there stay as they are, also behind
    /// links, and everything that is new belongs to root. Only entries that are `wanted` are looked at.
    ///
    /// # Errors
    /// As [`Tree::apply_layer`].
    pub(crate) fn add_archive(
        &mut self,
        path: &Path,
        scratch: &Path,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<()> {
        let context = || format!("cannot add what is in {}", path.display());
        let mut layer = Layer::read(path, Some(scratch))?;
        layer.nodes.retain(|(path, _)| wanted(path));
        if let Some(removed) = layer.removed.iter().chain(&layer.emptied).next() {
            return Err(Error::invalid(format!("it removes {removed:?}"))).with_context(context);
        }
        let files = layer.nodes.into_iter().map(|(path, node)| (path, Node { uid: 0, gid: 0, ..node }));
        let (folders, files): (Vec<_>, Vec<_>) = files.partition(|(_, node)| node.is_directory());
        let mut placed = Vec::new();
        for (path, node) in folders {
            let place = self.resolved(&path).with_context(context)?;
            match self.get(&place) {
                Some(there) if there.is_directory() => {}
                Some(_) => {
                    return Err(Error::invalid(format!("{path:?} would replace a file")))
                        .with_context(context);
                }
                None => {
                    self.place(&place, node);
                    placed.push(place);
                }
            }
        }
        self.number_access_lists(&placed).with_context(context)?;
        for (path, _) in &files {
            let place = self.resolved_parent(path).with_context(context)?;
            if self.get(&place).is_some_and(Node::is_directory) {
                return Err(Error::invalid(format!("{path:?} would replace a folder"))).with_context(context);
            }
        }
        Layer { nodes: files, ..Layer::default() }.lay_over(self).with_context(context)
    }
}

/// What one archive says, in its order.
#[derive(Default)]
struct Layer {
    nodes: Vec<(String, Node)>,
    /// Bytes of files with holes.
    unfolded: u64,
    /// Bytes of extended attributes.
    attributes: usize,
    removed: BTreeSet<String>,
    emptied: BTreeSet<String>,
}

impl Layer {
    fn read(path: &Path, scratch: Option<&Path>) -> Result<Self> {
        let context = || format!("cannot read {}", path.display());
        let archive = Arc::new(File::open(path).with_context(context)?);
        let mut entries = Entries::new(archive.try_clone().with_context(context)?)?;
        let mut layer = Self::default();
        while let Some(entry) = entries.next().with_context(context)? {
            layer.take(entry, &archive, scratch).with_context(context)?;
            if layer.nodes.len() > MOST_ENTRIES {
                return Err(Error::invalid(format!("{} has too many entries", path.display())));
            }
        }
        Ok(layer)
    }

    fn take(&mut self, entry: TarEntry, archive: &Arc<File>, scratch: Option<&Path>) -> Result<()> {
        let name = &entry.name;
        let Some(path) = checked(name)? else { return Ok(()) };
        let (folder, file) = path.rsplit_once('/').unwrap_or(("", &path));
        if file == OPAQUE {
            self.emptied.insert(folder.to_owned());
            return Ok(());
        }
        if let Some(removed) = file.strip_prefix(WHITEOUT) {
            let Some(removed) = checked(removed)? else {
                return Err(Error::invalid(format!("the entry {name:?} removes nothing")));
            };
            self.removed.insert(if folder.is_empty() { removed } else { format!("{folder}/{removed}") });
            return Ok(());
        }
        let what = || format!("the header of {name:?} is damaged");
        let (header, pax) = (&entry.header, &entry.pax);
        let of = |key: &str, value: std::io::Result<u64>| {
            number(pax, key).map_or_else(|| value.with_context(what), Ok)
        };
        let (mode, uid, gid, modified) = (
            header.mode().with_context(what)?,
            of("uid", header.uid())?,
            of("gid", header.gid())?,
            of("mtime", header.mtime())?,
        );
        let sparse = entry.pieces.is_some() || pax.keys().any(|key| key.starts_with("GNU.sparse."));
        let content = if sparse {
            let scratch = scratch.ok_or_else(|| {
                Error::invalid(format!("{name:?} is a sparse file")).help("pack the archive without --sparse")
            })?;
            self.unfold(&entry, archive, scratch)?
        } else {
            content(&entry, archive)?
        };
        let attributes = attributes(entry.pax);
        self.attributes += attributes.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>();
        if self.attributes > MOST_ATTRIBUTES {
            return Err(Error::invalid(format!("{:?}: the layer has too many attributes", entry.name)));
        }
        self.nodes.push((path, Node { mode, uid, gid, attributes, modified, content }));
        Ok(())
    }

    /// A file with holes, in `scratch`: what the archive stores has no place in which all of it stands.
    fn unfold(&mut self, entry: &TarEntry, archive: &Arc<File>, scratch: &Path) -> Result<Content> {
        let name = &entry.name;
        let size = real_size(entry)?;
        self.unfolded = self.unfolded.saturating_add(size);
        if self.unfolded > MOST_UNFOLDED {
            return Err(Error::invalid(format!(
                "the sparse file {name:?} has {size} bytes: the layer is taken for a bomb"
            )));
        }
        // By its place: another reader of this archive finds it again.
        let path = scratch.join(format!("sparse-{:x}", entry.at));
        if path.metadata().is_ok_and(|there| there.len() == size) {
            return Ok(Content::File(path));
        }
        let failed = || format!("cannot unfold the sparse file {name:?}");
        let mut output = tempfile::NamedTempFile::new_in(scratch).with_context(failed)?;
        unfold(entry, archive, size, output.as_file_mut()).with_context(failed)?;
        // Whoever finds it later goes by its length.
        output.as_file().sync_all().with_context(failed)?;
        output.persist(&path).map_err(|error| Error::environment(error.to_string())).with_context(failed)?;
        Ok(Content::File(path))
    }

    /// Whiteouts are about what lies below, wherever they stand in the archive.
    fn lay_over(self, tree: &mut Tree) -> Result<()> {
        // Folders that take the place of links come first: what is removed below them is not what the link led to.
        for (path, node) in self.nodes.iter().filter(|(_, node)| node.is_directory()) {
            let path = tree.resolved_parent(path)?;
            if tree.get(&path).is_some_and(|there| matches!(there.content, Content::Symlink(_))) {
                tree.place(&path, node.clone());
            }
        }
        for folder in &self.emptied {
            let folder = tree.resolved_parent(folder)?;
            let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
            tree.remove_below(&prefix);
        }
        for path in &self.removed {
            let path = tree.resolved_parent(path)?;
            tree.remove_subtree(&path);
        }
        let mut lists = Vec::new();
        for (path, mut node) in self.nodes {
            let path = tree.resolved_parent(&path)?;
            if node.attributes.iter().any(|(key, _)| acl::is_record(key)) {
                lists.push(path.clone());
            }
            if let Content::HardLink(target) = &node.content {
                node.content = tree.link_to(&path, target)?;
            }
            if matches!(node.content, Content::HardLink(ref target) if *target == path) {
                continue;
            }
            tree.place(&path, node);
        }
        tree.number_access_lists(&lists)
    }
}

/// How many names an archive of a layer has that are files of their own: whiteouts among them, hard links and marks not.
///
/// # Errors
/// As [`Tree::apply_layer`].
pub(crate) fn count_names(path: &Path) -> Result<usize> {
    let context = || format!("cannot read {}", path.display());
    let mut entries = Entries::new(File::open(path).with_context(context)?)?;
    let mut names = BTreeSet::new();
    while let Some(entry) = entries.next().with_context(context)? {
        let is_mark = entry.name.ends_with(OPAQUE) || entry.header.entry_type() == EntryType::Link;
        if let Some(name) = checked(&entry.name)?.filter(|_| !is_mark) {
            names.insert(name);
        }
    }
    Ok(names.len())
}

fn content(entry: &TarEntry, archive: &Arc<File>) -> Result<Content> {
    let (header, name) = (&entry.header, &entry.name);
    let target = || {
        let target = entry.link.clone().filter(|target| !target.as_os_str().is_empty());
        target.ok_or_else(|| Error::invalid(format!("the link {name:?} has no target")))
    };
    let device = |kind: Device| -> Result<Content> {
        let damaged = || Error::invalid(format!("the device {name:?} has no numbers"));
        let major = header.device_major().ok().flatten().ok_or_else(damaged)?;
        let minor = header.device_minor().ok().flatten().ok_or_else(damaged)?;
        Ok(Content::Device { kind, major, minor })
    };
    Ok(match header.entry_type() {
        EntryType::Directory => Content::Directory,
        EntryType::Symlink => Content::Symlink(target()?),
        EntryType::Link => {
            let target: PathBuf = target()?;
            let target = checked(&target.to_string_lossy())
                .with_context(|| format!("the hard link {name:?} cannot be made"))?;
            Content::HardLink(
                target.ok_or_else(|| Error::invalid(format!("the hard link {name:?} leads to the root")))?,
            )
        }
        EntryType::Regular | EntryType::Continuous => {
            Content::Span { archive: archive.clone(), offset: entry.at, size: entry.stored }
        }
        EntryType::Char => device(Device::Character)?,
        EntryType::Block => device(Device::Block)?,
        EntryType::Fifo => Content::Fifo,
        other => {
            return Err(Error::invalid(format!(
                "the entry {name:?} is of the unknown kind {:?}",
                other.as_byte()
            )));
        }
    })
}

/// Extended attributes, and access lists as text.
fn attributes(pax: Records) -> Vec<(String, Vec<u8>)> {
    pax.into_iter().filter(|(key, _)| key.starts_with("SCHILY.xattr.") || acl::is_record(key)).collect()
}

/// Bytes of a file with holes.
fn real_size(entry: &TarEntry) -> Result<u64> {
    let of_header = || entry.header.as_gnu()?.real_size().ok();
    let size = if entry.pieces.is_some() {
        of_header()
    } else {
        number(&entry.pax, "GNU.sparse.realsize").or_else(|| number(&entry.pax, "GNU.sparse.size"))
    };
    size.ok_or_else(|| Error::invalid(format!("the sparse file {:?} has no size", entry.name)))
}

fn unfold(entry: &TarEntry, archive: &File, size: u64, output: &mut File) -> Result<()> {
    let reader = SpanReader { archive, offset: entry.at, left: entry.stored };
    let mut stored = BufReader::with_capacity(256 << 10, reader);
    let pieces = match (&entry.pieces, entry.pax.get("GNU.sparse.map")) {
        (Some(pieces), _) => pieces.clone(),
        (None, Some(map)) => map_of_version_0_1(map)?,
        (None, None) if number(&entry.pax, "GNU.sparse.major") == Some(1) => map_of_version_1(&mut stored)?,
        (None, None) => {
            return Err(
                Error::invalid("it has no map that is known").help("pack the image again with a newer tar")
            );
        }
    };
    for (offset, length) in pieces {
        if offset.checked_add(length).is_none_or(|end| end > size) {
            return Err(Error::invalid("its map leads behind its end"));
        }
        output.seek(SeekFrom::Start(offset))?;
        if std::io::copy(&mut stored.by_ref().take(length), output)? != length {
            return Err(Error::invalid("its map leads behind what is stored"));
        }
    }
    output.set_len(size)?;
    Ok(output.flush()?)
}

/// `OFFSET,LENGTH,OFFSET,LENGTH…`
fn map_of_version_0_1(map: &[u8]) -> Result<Pieces> {
    let numbers =
        map.split(|byte| *byte == b',').map(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    let numbers: Option<Vec<u64>> = numbers.collect();
    let numbers = numbers.filter(|numbers| numbers.len() % 2 == 0);
    let numbers = numbers.ok_or_else(|| Error::invalid("its map is damaged"))?;
    Ok(numbers.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
}

/// Before the content, in lines, filled up to whole blocks.
///
/// <https://www.gnu.org/software/tar/manual/html_node/PAX-1.html>
fn map_of_version_1(stored: &mut impl Read) -> Result<Pieces> {
    let mut read = 0;
    let mut line = || -> Result<u64> {
        let mut digits = String::new();
        loop {
            let mut byte = [0];
            stored.read_exact(&mut byte)?;
            read += 1;
            match byte[0] {
                b'\n' => break,
                digit if digit.is_ascii_digit() && digits.len() < 20 => digits.push(digit.into()),
                _ => return Err(Error::invalid("its map is damaged")),
            }
        }
        digits.parse().map_err(|_| Error::invalid("its map is damaged"))
    };
    let count = line()?;
    if count > MOST_PIECES {
        return Err(Error::invalid("it has too many pieces"));
    }
    let pieces = (0..count).map(|_| Ok((line()?, line()?))).collect::<Result<Pieces>>()?;
    let padding = (512 - read % 512) % 512;
    std::io::copy(&mut stored.take(padding), &mut std::io::sink())?;
    Ok(pieces)
}

/// A path in a fixed form: relative, without `.` and empty parts. `None` for the root itself. An absolute one begins at the root of
/// the image, as for every other tool: buildpacks write such layers.
///
/// # Errors
/// [`edge_model::Class::InvalidInput`] for a path that has `..`, or is no name at all.
pub(crate) fn checked(path: &str) -> Result<Option<String>> {
    let refuse = |why: &str| Err(Error::invalid(format!("the entry {path:?} {why}")));
    if path.contains('\0') {
        return refuse("has a name that no file can have");
    }
    let parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    if parts.contains(&"..") {
        return refuse("leaves the root");
    }
    Ok((!parts.is_empty()).then(|| parts.join("/")))
}

impl Tree {
    /// Where a path ends up when the folders above it are followed through links.
    ///
    /// # Errors
    /// [`edge_model::Class::InvalidInput`] for a path that leads through a link out of the root, or in a circle.
    pub(crate) fn resolved_parent(&self, path: &str) -> Result<String> {
        match path.rsplit_once('/') {
            None => Ok(path.to_owned()),
            Some((folder, name)) => {
                let folder =
                    self.resolved(folder).with_context(|| format!("the entry {path:?} is refused"))?;
                Ok(if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") })
            }
        }
    }

    fn resolved(&self, folder: &str) -> Result<String> {
        let mut waiting: Vec<String> = folder.rsplit('/').map(str::to_owned).collect();
        let mut reached: Vec<String> = Vec::new();
        let mut links = 0;
        while let Some(part) = waiting.pop() {
            match part.as_str() {
                "" | "." => continue,
                ".." if reached.pop().is_some() => continue,
                ".." => return Err(Error::invalid("a link leads out of the root")),
                _ => {}
            }
            reached.push(part);
            let Some(Content::Symlink(target)) = self.nodes.get(&reached.join("/")).map(|node| &node.content)
            else {
                continue;
            };
            links += 1;
            if links > MOST_LINKS {
                return Err(Error::invalid("links lead in a circle"));
            }
            reached.pop();
            let target = target.to_string_lossy();
            if target.starts_with('/') {
                reached.clear();
            }
            waiting.extend(target.rsplit('/').map(str::to_owned));
        }
        Ok(reached.join("/"))
    }

    /// Adds or replaces an entry of root where a path of a running system leads: `lib/x` is `usr/lib/x` in a merged
    /// root. Gives its place.
    ///
    /// # Errors
    /// [`edge_model::Class::InvalidInput`] for a path that leaves the root.
    pub(crate) fn put_through_links(&mut self, path: &str, mode: u32, content: Content) -> Result<String> {
        let path = checked(path)?.ok_or_else(|| Error::invalid(format!("{path:?} is no path of a file")))?;
        let path = self.resolved_parent(&path)?;
        self.place(&path, super::node(mode, content));
        Ok(path)
    }

    /// Access lists that came as text become attributes, with the numbers that this tree gives to accounts.
    fn number_access_lists(&mut self, paths: &[String]) -> Result<()> {
        if paths.is_empty() {
            return Ok(());
        }
        let table = |path: &str| self.followed(path).and_then(|path| self.read_file(&path).ok());
        let accounts = acl::Accounts::new(table("etc/passwd"), table("etc/group"));
        for path in paths {
            let Some(node) = self.nodes.get_mut(path) else { continue };
            for (key, value) in &mut node.attributes {
                if let Some(attribute) = acl::attribute_of(key) {
                    let list = acl::to_attribute(&String::from_utf8_lossy(value), &accounts);
                    *value = list.with_context(|| format!("the entry {path:?} is refused"))?;
                    *key = attribute.to_owned();
                }
            }
            node.attributes.sort();
            node.attributes.dedup_by(|one, other| one.0 == other.0);
        }
        Ok(())
    }

    /// A hard link to something that is there; links to links lead to the file itself.
    fn link_to(&self, path: &str, target: &str) -> Result<Content> {
        let resolved = self.resolved_parent(target)?;
        let missing =
            |why: &str| Error::invalid(format!("the hard link {path:?} leads to {target:?}, which {why}"));
        match self.nodes.get(&resolved).map(|node| &node.content) {
            None => Err(missing("is not there")),
            Some(Content::Directory) => Err(missing("is a folder")),
            Some(Content::HardLink(first)) => Ok(Content::HardLink(first.clone())),
            Some(_) => Ok(Content::HardLink(resolved)),
        }
    }

    /// Puts a node where another may be. A folder over a folder keeps what is in it.
    fn place(&mut self, path: &str, node: Node) {
        for (at, _) in path.match_indices('/') {
            let above = &path[..at];
            match self.nodes.get(above).map(|node| &node.content) {
                Some(Content::Directory) => {}
                Some(_) => {
                    self.remove_subtree(above);
                    self.nodes.insert(above.to_owned(), super::node(0o755, Content::Directory));
                }
                None => {
                    self.nodes.insert(above.to_owned(), super::node(0o755, Content::Directory));
                }
            }
        }
        let both_folders = matches!(node.content, Content::Directory)
            && self.nodes.get(path).is_some_and(|old| matches!(old.content, Content::Directory));
        if !both_folders {
            self.remove_subtree(path);
        }
        if let Content::HardLink(target) = &node.content {
            self.linked.insert(target.clone());
        }
        self.nodes.insert(path.to_owned(), node);
    }

    /// Removes a path with everything below it.
    pub(crate) fn remove_subtree(&mut self, path: &str) {
        if self.nodes.contains_key(path) {
            self.hand_over(path);
            self.nodes.remove(path);
        }
        self.remove_below(&format!("{path}/"));
    }

    fn remove_below(&mut self, prefix: &str) {
        let below: Vec<String> = self
            .nodes
            .range(prefix.to_owned()..)
            .take_while(|(path, _)| path.starts_with(prefix))
            .map(|(path, _)| path.clone())
            .collect();
        for path in below {
            self.hand_over(&path);
            self.nodes.remove(&path);
        }
    }

    /// A file that goes leaves its content to the first of its hard links.
    pub(super) fn hand_over(&mut self, path: &str) {
        let Some(node) = self.nodes.get(path) else { return };
        if self.linked.contains(path) {
            let node = node.clone();
            let heirs: Vec<String> = self
                .nodes
                .iter()
                .filter(|(_, other)| matches!(&other.content, Content::HardLink(target) if target == path))
                .map(|(path, _)| path.clone())
                .collect();
            self.linked.remove(path);
            if let Some((first, others)) = heirs.split_first() {
                self.nodes.insert(first.clone(), node);
                self.linked.insert(first.clone());
                for other in others {
                    if let Some(other) = self.nodes.get_mut(other) {
                        other.content = Content::HardLink(first.clone());
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
