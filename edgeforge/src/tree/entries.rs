//! The entries of a tar archive, one after the other: headers are read, contents are passed over.
//!
//! Records of PAX are read by their lengths. Readers that split them into lines stumble over access lists and
//! capabilities, whose values hold line feeds.
//!
//! <https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html>,
//! <https://www.gnu.org/software/tar/manual/html_node/Standard.html>

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{BufReader, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use edge_model::{Context, Error, Result};
use tar::{EntryType, GnuExtSparseHeader, GnuSparseHeader, Header};

pub(super) type Records = BTreeMap<String, Vec<u8>>;
/// Where stored bytes stand in a file with holes: first byte and number of bytes.
pub(super) type Pieces = Vec<(u64, u64)>;

const BLOCK: u64 = 512;
/// Longest name with its records that an entry may have, in bytes.
const LONGEST_TEXT: u64 = 1 << 20;
/// Longest path, as in the kernel.
const LONGEST_PATH: usize = 4096;
/// Most pieces that a file with holes may have.
const MOST_PIECES: usize = 1 << 20;

/// One entry, with what the headers before it say about it.
pub(super) struct TarEntry {
    pub(super) header: Header,
    pub(super) name: String,
    pub(super) link: Option<PathBuf>,
    pub(super) pax: Records,
    /// First byte of the content in the archive.
    pub(super) at: u64,
    /// Bytes of content in the archive.
    pub(super) stored: u64,
    /// From the header of an old GNU sparse file.
    pub(super) pieces: Option<Pieces>,
}

/// What extension headers say about the next entry.
#[derive(Default)]
struct Extensions {
    pax: Records,
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
}

/// Reads the entries of an archive.
pub(super) struct Entries {
    reader: BufReader<File>,
    position: u64,
    /// Bytes of the archive.
    length: u64,
}

impl Entries {
    pub(super) fn new(archive: File) -> Result<Self> {
        let length = archive.metadata().context("cannot look at the archive")?.len();
        // Small: everything between the headers is passed over.
        Ok(Self { reader: BufReader::with_capacity(32 << 10, archive), position: 0, length })
    }

    /// The next entry; `None` behind the last.
    ///
    /// # Errors
    /// [`edge_model::Class::InvalidInput`] when it is damaged, or too long to be honest.
    pub(super) fn next(&mut self) -> Result<Option<TarEntry>> {
        let mut extensions = Extensions::default();
        loop {
            let begin = self.position;
            let Some(header) = self.header()? else { return Ok(None) };
            let kind = header.entry_type();
            let size = header.entry_size().with_context(|| damaged(begin))?;
            match kind {
                EntryType::XHeader => extensions.pax = records(&self.text(size, begin)?)?,
                EntryType::GNULongName => extensions.name = Some(self.text(size, begin)?),
                EntryType::GNULongLink => extensions.link = Some(self.text(size, begin)?),
                // About all entries that follow: container tools pass it over, too.
                EntryType::XGlobalHeader => self.pass(size, begin)?,
                _ => return self.entry(header, size, extensions, begin).map(Some),
            }
        }
    }

    fn entry(&mut self, header: Header, size: u64, extensions: Extensions, begin: u64) -> Result<TarEntry> {
        let Extensions { mut pax, name, link } = extensions;
        pax.retain(|_, value| !value.is_empty());
        let name = ["GNU.sparse.name", "path"].iter().find_map(|key| pax.get(*key).cloned()).or(name);
        let name = name.unwrap_or_else(|| header.path_bytes().into_owned());
        let name = String::from_utf8(until_nul(name)).map_err(|error| {
            Error::invalid(format!("the name {:?} is not UTF-8", String::from_utf8_lossy(error.as_bytes())))
        })?;
        let link = pax.get("linkpath").cloned().or(link);
        let link = link.or_else(|| header.link_name_bytes().map(std::borrow::Cow::into_owned));
        let link = link.map(until_nul);
        if [name.len(), link.as_ref().map_or(0, Vec::len)].into_iter().any(|length| length > LONGEST_PATH) {
            return Err(Error::invalid(format!(
                "the entry at byte {begin} has a path of more than {LONGEST_PATH} bytes"
            )));
        }
        let link = link.map(|link| PathBuf::from(OsString::from_vec(link)));
        let kind = header.entry_type();
        let pieces = (kind == EntryType::GNUSparse).then(|| self.old_pieces(&header)).transpose()?;
        // Whatever they say: such entries have no content.
        let only_header =
            kind.is_dir() || kind.is_symlink() || kind.is_hard_link() || kind.is_fifo() || is_device(kind);
        let stored = if only_header { 0 } else { number(&pax, "size").unwrap_or(size) };
        let at = self.position;
        self.pass(stored, begin).with_context(|| format!("the file {name:?} is longer than its archive"))?;
        Ok(TarEntry { header, name, link, pax, at, stored, pieces })
    }

    /// `None` at the end of the archive.
    fn header(&mut self) -> Result<Option<Header>> {
        let begin = self.position;
        let Some(block) = self.block()? else { return Ok(None) };
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let header = Header::from_byte_slice(&block).clone();
        // The sum of all bytes, with spaces for the sum itself.
        let sum = block.iter().enumerate().map(|(at, byte)| match at {
            148..156 => u32::from(b' '),
            _ => u32::from(*byte),
        });
        if header.cksum().with_context(|| damaged(begin))? != sum.sum::<u32>() {
            return Err(Error::invalid(damaged(begin)));
        }
        Ok(Some(header))
    }

    fn block(&mut self) -> Result<Option<[u8; BLOCK as usize]>> {
        // Some programs leave out the empty blocks at the end.
        if self.position >= self.length {
            return Ok(None);
        }
        let mut block = [0; BLOCK as usize];
        self.reader.read_exact(&mut block).context("the archive ends in the middle of an entry")?;
        self.position += BLOCK;
        Ok(Some(block))
    }

    /// The content of an extension header.
    fn text(&mut self, size: u64, begin: u64) -> Result<Vec<u8>> {
        if size > LONGEST_TEXT {
            return Err(Error::invalid(format!(
                "an entry at byte {begin} has a name or attributes of {size} bytes"
            )));
        }
        let mut text = vec![0; size as usize];
        self.reader.read_exact(&mut text).with_context(|| damaged(begin))?;
        self.position += size;
        let padding = size.next_multiple_of(BLOCK) - size;
        self.skip(padding)?;
        Ok(text)
    }

    fn pass(&mut self, size: u64, begin: u64) -> Result<()> {
        let end = self.position.checked_add(size).filter(|end| *end <= self.length);
        let end = end.ok_or_else(|| Error::invalid(damaged(begin)))?;
        // The padding behind the last entry may be missing.
        self.skip(end.next_multiple_of(BLOCK) - self.position)
    }

    fn skip(&mut self, bytes: u64) -> Result<()> {
        self.reader.seek_relative(bytes as i64).context("cannot read the archive")?;
        self.position += bytes;
        Ok(())
    }

    fn old_pieces(&mut self, header: &Header) -> Result<Pieces> {
        let damaged = || Error::invalid("the map of a sparse file is damaged");
        let gnu = header.as_gnu().ok_or_else(damaged)?;
        let mut pieces = Pieces::new();
        add_pieces(&mut pieces, &gnu.sparse)?;
        let mut more = gnu.is_extended();
        while more {
            let mut extension = GnuExtSparseHeader::new();
            extension.as_mut_bytes().copy_from_slice(&self.block()?.ok_or_else(damaged)?);
            add_pieces(&mut pieces, extension.sparse())?;
            more = extension.is_extended();
        }
        Ok(pieces)
    }
}

fn add_pieces(pieces: &mut Pieces, headers: &[GnuSparseHeader]) -> Result<()> {
    for piece in headers.iter().take_while(|piece| !piece.is_empty()) {
        let damaged = || "the map of a sparse file is damaged".to_owned();
        pieces.push((piece.offset().with_context(damaged)?, piece.length().with_context(damaged)?));
    }
    if pieces.len() > MOST_PIECES {
        return Err(Error::invalid("a sparse file has too many pieces"));
    }
    Ok(())
}

fn is_device(kind: EntryType) -> bool {
    kind.is_character_special() || kind.is_block_special()
}

fn damaged(at: u64) -> String {
    format!("the entry at byte {at} of the archive is damaged")
}

fn until_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    bytes.truncate(end);
    bytes
}

/// `LENGTH KEY=VALUE\n`, where the length counts everything.
fn records(mut text: &[u8]) -> Result<Records> {
    let mut found = Records::new();
    while !text.is_empty() {
        let (key, value, rest) = record(text).ok_or_else(|| Error::invalid("an attribute is damaged"))?;
        found.insert(key.to_owned(), value.to_owned());
        text = rest;
    }
    Ok(found)
}

fn record(text: &[u8]) -> Option<(&str, &[u8], &[u8])> {
    let space = text.iter().position(|byte| *byte == b' ')?;
    let length: usize = std::str::from_utf8(&text[..space]).ok()?.parse().ok()?;
    let (whole, rest) = text.split_at_checked(length)?;
    let content = whole.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = content.iter().position(|byte| *byte == b'=')?;
    Some((std::str::from_utf8(&content[..equals]).ok()?, &content[equals + 1..], rest))
}

/// A record that is a number; of times only the whole seconds count.
pub(super) fn number(pax: &Records, key: &str) -> Option<u64> {
    std::str::from_utf8(pax.get(key)?).ok()?.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_may_hold_line_feeds() {
        let found = records(b"14 a=1\n30 b=2\n20 path=etc/a\nb\0c=d\n").unwrap();
        assert_eq!(found["a"], b"1\n30 b=2");
        assert_eq!(found["path"], b"etc/a\nb\0c=d");
        for wrong in ["5 a=1", "x a=1\n", "99 a=1\n", "2 a=1\n", "5 ab1\n", "0 a=1\n"] {
            assert!(records(wrong.as_bytes()).is_err(), "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn records_read_back(key in "[a-zA-Z.]{1,20}", value in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut builder = tar::Builder::new(Vec::new());
            builder.append_pax_extensions([(key.as_str(), value.as_slice())]).unwrap();
            let archive = builder.into_inner().unwrap();
            let length = archive[BLOCK as usize..].iter().take_while(|byte| **byte != b' ');
            let digits: Vec<u8> = length.copied().collect();
            let length: usize = String::from_utf8(digits).unwrap().parse().unwrap();
            let found = records(&archive[BLOCK as usize..BLOCK as usize + length]).unwrap();
            prop_assert_eq!(&found[&key], &value);
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = records(&bytes);
        }
    }
}
