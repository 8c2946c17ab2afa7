//! One layer of an image laid over a tree: entries of a tar archive, with the whiteouts of container images.
//!
//! Nothing is written anywhere: an entry that would leave the root can do no harm here, and is refused by name all
//! the same, because no honest builder makes one.
//!
//! <https://github.com/opencontainers/image-spec/blob/v1.1.0/layer.md>

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use edge_model::{Context, Error, Result};
use tar::{Archive, Entry, EntryType};

use super::{Content, Device, Node, Tree, acl};

/// Longest name or list of attributes that an entry may have, in bytes.
const LONGEST_HEADER: u64 = 1 << 20;
/// Most entries of one layer: more than any operating system has files.
const MOST_ENTRIES: usize = 4_000_000;
const WHITEOUT: &str = ".wh.";
const OPAQUE: &str = ".wh..wh..opq";
/// Most bytes that the files with holes of one layer may have.
const MOST_UNFOLDED: u64 = 8 << 30;
/// How often a name may lead through links before it is taken for a circle, as in the kernel.
const MOST_LINKS: usize = 40;

impl Tree {
    /// Lays the entries of an uncompressed tar archive over this tree. `scratch` is a folder that lives as long as
    /// the tree; sparse files are unfolded there.
    ///
    /// # Errors
    /// [`edge_model::Class::InvalidInput`] naming the entry that leaves the tree, leads through a link that does,
    /// or cannot be what it says.
    pub(crate) fn apply_layer(&mut self, path: &Path, scratch: &Path) -> Result<()> {
        let context = || format!("cannot read {}", path.display());
        check_headers(path).with_context(context)?;
        let file = Arc::new(File::open(path).with_context(context)?);
        let mut layer = Layer::default();
        let mut archive = Archive::new(Skipping::new(file.try_clone().with_context(context)?));
        for entry in archive.entries_with_seek().with_context(context)? {
            let entry = entry.with_context(context)?;
            layer.take(entry, &file, scratch).with_context(context)?;
            if layer.nodes.len() > MOST_ENTRIES {
                return Err(Error::invalid(format!("{} has too many entries", path.display())));
            }
        }
        layer.lay_over(self).with_context(context)
    }
}

/// Reads headers and passes over contents. A plain [`BufReader`] forgets its whole buffer at every seek and fills it
/// again, which for an operating system's many small files is most of the work.
struct Skipping {
    reader: BufReader<File>,
    position: u64,
}

impl Skipping {
    fn new(file: File) -> Self {
        Self { reader: BufReader::with_capacity(32 << 10, file), position: 0 }
    }
}

impl Read for Skipping {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = self.reader.read(buffer)?;
        self.position += length as u64;
        Ok(length)
    }
}

impl Seek for Skipping {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        match to {
            SeekFrom::Current(offset) => {
                self.reader.seek_relative(offset)?;
                self.position = self.position.saturating_add_signed(offset);
            }
            to => self.position = self.reader.seek(to)?,
        }
        Ok(self.position)
    }
}

/// Names and attribute lists are read into memory: none may be longer than is reasonable.
fn check_headers(path: &Path) -> Result<()> {
    let mut archive = Archive::new(Skipping::new(File::open(path)?));
    for entry in archive.entries_with_seek()?.raw(true) {
        let entry = entry?;
        let kind = entry.header().entry_type();
        let is_text = kind.is_gnu_longname() || kind.is_gnu_longlink() || kind.is_pax_local_extensions();
        if is_text && entry.size() > LONGEST_HEADER {
            return Err(Error::invalid(format!(
                "an entry at byte {} has a name or attributes of {} bytes",
                entry.raw_header_position(),
                entry.size()
            )));
        }
    }
    Ok(())
}

/// What one archive says, in its order.
#[derive(Default)]
struct Layer {
    nodes: Vec<(String, Node)>,
    /// Bytes of files with holes.
    unfolded: u64,
    removed: BTreeSet<String>,
    emptied: BTreeSet<String>,
}

impl Layer {
    fn take<R: Read>(&mut self, mut entry: Entry<'_, R>, archive: &Arc<File>, scratch: &Path) -> Result<()> {
        let pax = pax_records(&mut entry)?;
        let sparse = pax.keys().any(|key| key.starts_with("GNU.sparse."));
        let name = match pax.get("GNU.sparse.name") {
            Some(name) => String::from_utf8_lossy(name).into_owned(),
            None => String::from_utf8_lossy(&entry.path_bytes()).into_owned(),
        };
        let Some(path) = checked(&name)? else { return Ok(()) };
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
        let header = entry.header();
        let what = || format!("the header of {name:?} is damaged");
        let (mode, uid, gid, modified) = (
            header.mode().with_context(what)?,
            header.uid().with_context(what)?,
            header.gid().with_context(what)?,
            header.mtime().with_context(what)?,
        );
        let content = if sparse || header.entry_type() == EntryType::GNUSparse {
            let size = real_size(&entry, &pax, &name)?;
            self.unfolded = self.unfolded.saturating_add(size);
            if self.unfolded > MOST_UNFOLDED {
                return Err(Error::invalid(format!(
                    "the sparse file {name:?} has {size} bytes: the layer is taken for a bomb"
                )));
            }
            unfold(&mut entry, &pax, &name, size, scratch)?
        } else {
            match content(&entry, archive, &name)? {
                Some(content) => content,
                None => return Ok(()),
            }
        };
        let attributes = attributes(pax).with_context(|| format!("the entry {name:?} is refused"))?;
        self.nodes.push((path, Node { mode, uid, gid, attributes, modified, content }));
        Ok(())
    }

    /// Whiteouts are about what lies below, wherever they stand in the archive.
    fn lay_over(self, tree: &mut Tree) -> Result<()> {
        for folder in &self.emptied {
            let folder = tree.resolved(folder)?;
            let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
            tree.remove_below(&prefix);
        }
        for path in &self.removed {
            let path = tree.resolved_parent(path)?;
            tree.remove_subtree(&path);
        }
        for (path, mut node) in self.nodes {
            let path = tree.resolved_parent(&path)?;
            if let Content::HardLink(target) = &node.content {
                node.content = tree.link_to(&path, target)?;
            }
            if matches!(node.content, Content::HardLink(ref target) if *target == path) {
                continue;
            }
            tree.place(&path, node);
        }
        Ok(())
    }
}

fn content<R: Read>(entry: &Entry<'_, R>, archive: &Arc<File>, name: &str) -> Result<Option<Content>> {
    let header = entry.header();
    let target = || -> Result<PathBuf> {
        let target = entry.link_name().with_context(|| format!("the target of {name:?} is damaged"))?;
        target
            .map(|target| target.into_owned())
            .ok_or_else(|| Error::invalid(format!("the link {name:?} has no target")))
    };
    let device = |kind: Device| -> Result<Content> {
        let damaged = || Error::invalid(format!("the device {name:?} has no numbers"));
        let major = header.device_major().ok().flatten().ok_or_else(damaged)?;
        let minor = header.device_minor().ok().flatten().ok_or_else(damaged)?;
        Ok(Content::Device { kind, major, minor })
    };
    Ok(Some(match header.entry_type() {
        EntryType::Directory => Content::Directory,
        EntryType::Symlink => Content::Symlink(target()?),
        EntryType::Link => {
            let target = target()?;
            let target = checked(&target.to_string_lossy())
                .with_context(|| format!("the hard link {name:?} cannot be made"))?;
            Content::HardLink(
                target.ok_or_else(|| Error::invalid(format!("the hard link {name:?} leads to the root")))?,
            )
        }
        EntryType::Regular | EntryType::Continuous => {
            let (offset, size) = (entry.raw_file_position(), entry.size());
            let end = archive.metadata().context("cannot look at the archive")?.len();
            if offset.checked_add(size).is_none_or(|last| last > end) {
                return Err(Error::invalid(format!("the file {name:?} is longer than its archive")));
            }
            Content::Span { archive: archive.clone(), offset, size }
        }
        EntryType::Char => device(Device::Character)?,
        EntryType::Block => device(Device::Block)?,
        EntryType::Fifo => Content::Fifo,
        EntryType::XGlobalHeader => return Ok(None),
        other => {
            return Err(Error::invalid(format!(
                "the entry {name:?} is of the unknown kind {:?}",
                other.as_byte()
            )));
        }
    }))
}

fn pax_records<R: Read>(entry: &mut Entry<'_, R>) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut records = BTreeMap::new();
    if let Some(extensions) = entry.pax_extensions()? {
        for extension in extensions {
            let extension = extension?;
            let key =
                extension.key().map_err(|_| Error::invalid("an attribute has a name that is not text"))?;
            records.insert(key.to_owned(), extension.value_bytes().to_vec());
        }
    }
    Ok(records)
}

/// Extended attributes, access lists among them.
fn attributes(mut pax: BTreeMap<String, Vec<u8>>) -> Result<Vec<(String, Vec<u8>)>> {
    for (record, attribute) in acl::RECORDS {
        if let Some(text) = pax.remove(record) {
            let list = acl::to_attribute(&String::from_utf8_lossy(&text))?;
            pax.entry(attribute.to_owned()).or_insert(list);
        }
    }
    Ok(pax.into_iter().filter(|(key, _)| key.starts_with("SCHILY.xattr.")).collect())
}

fn number(pax: &BTreeMap<String, Vec<u8>>, key: &str) -> Option<u64> {
    std::str::from_utf8(pax.get(key)?).ok()?.parse().ok()
}

/// Bytes of a file with holes.
fn real_size<R: Read>(entry: &Entry<'_, R>, pax: &BTreeMap<String, Vec<u8>>, name: &str) -> Result<u64> {
    let of_header = || entry.header().as_gnu()?.real_size().ok();
    let size = if entry.header().entry_type() == EntryType::GNUSparse {
        of_header()
    } else {
        number(pax, "GNU.sparse.realsize").or_else(|| number(pax, "GNU.sparse.size"))
    };
    size.ok_or_else(|| Error::invalid(format!("the sparse file {name:?} has no size")))
}

/// Writes a file with holes to `scratch`: what the archive stores has no place in which all of it stands.
fn unfold<R: Read>(
    entry: &mut Entry<'_, R>,
    pax: &BTreeMap<String, Vec<u8>>,
    name: &str,
    size: u64,
    scratch: &Path,
) -> Result<Content> {
    let failed = || format!("cannot unfold the sparse file {name:?}");
    let mut output = tempfile::Builder::new().prefix("sparse-").tempfile_in(scratch).with_context(failed)?;
    if entry.header().entry_type() == EntryType::GNUSparse {
        std::io::copy(entry, output.as_file_mut()).with_context(failed)?;
    } else if number(pax, "GNU.sparse.major") == Some(1) {
        unfold_version_1(entry, size, output.as_file_mut()).with_context(failed)?;
    } else {
        return Err(Error::invalid(failed()).help("pack the image again with a newer tar"));
    }
    let (_, path) = output.keep().map_err(|error| Error::environment(error.to_string()))?;
    Ok(Content::File(path))
}

/// <https://www.gnu.org/software/tar/manual/html_node/PAX-1.html>
fn unfold_version_1<R: Read>(entry: &mut Entry<'_, R>, size: u64, output: &mut File) -> Result<()> {
    let mut stored = BufReader::new(entry);
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
    let mut pieces = Vec::new();
    for _ in 0..count.min(LONGEST_HEADER) {
        pieces.push((line()?, line()?));
    }
    let padding = (512 - read % 512) % 512;
    std::io::copy(&mut stored.by_ref().take(padding), &mut std::io::sink())?;
    for (offset, length) in pieces {
        if offset.checked_add(length).is_none_or(|end| end > size) {
            return Err(Error::invalid("its map leads behind its end"));
        }
        output.seek(SeekFrom::Start(offset))?;
        std::io::copy(&mut stored.by_ref().take(length), output)?;
    }
    output.set_len(size)?;
    Ok(output.flush()?)
}

/// A path in a fixed form: relative, without `.` and empty parts. `None` for the root itself.
///
/// # Errors
/// [`edge_model::Class::InvalidInput`] for a path that is absolute, has `..`, or is no name at all.
pub(crate) fn checked(path: &str) -> Result<Option<String>> {
    let refuse = |why: &str| Err(Error::invalid(format!("the entry {path:?} {why}")));
    if path.starts_with('/') {
        return refuse("has an absolute path");
    }
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
