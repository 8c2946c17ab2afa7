//! A few files of an installation medium, by their names in lower case.
//!
//! <https://www.ecma-international.org/publications-and-standards/standards/ecma-119/>

use std::fs::File;
use std::os::unix::fs::FileExt;

use edge_model::{Context, Error, Result};

const SECTOR: u64 = 2048;
const DESCRIPTOR: u64 = 16 * SECTOR;
const LARGEST_FOLDER: u64 = 1 << 20;

/// The content of a file of at most `limit` bytes; `None` when it is not there.
///
/// # Errors
/// When the medium is damaged or the file is too large.
pub(super) fn read(medium: &File, path: &str, limit: u64) -> Result<Option<Vec<u8>>> {
    let mut descriptor = [0; SECTOR as usize];
    medium.read_exact_at(&mut descriptor, DESCRIPTOR).context("the medium has no ISO 9660 file system")?;
    if &descriptor[1..6] != b"CD001" {
        return Err(Error::invalid("the medium has no ISO 9660 file system"));
    }
    let mut extent = place(&descriptor[156..190]);
    let names: Vec<&str> = path.split('/').collect();
    for (depth, name) in names.iter().enumerate() {
        let Some((start, length)) = extent else { return Err(damaged()) };
        if length > LARGEST_FOLDER {
            return Err(damaged());
        }
        match entry(&bytes(medium, start, length)?, name) {
            None => return Ok(None),
            Some((place, folder)) if folder == (depth + 1 < names.len()) => extent = place,
            Some(_) => return Ok(None),
        }
    }
    let Some((start, length)) = extent else { return Err(damaged()) };
    if length > limit {
        return Err(Error::invalid(format!("/{path} of the medium is larger than {limit} bytes")));
    }
    bytes(medium, start, length).map(Some)
}

fn damaged() -> Error {
    Error::integrity("the file system of the medium is damaged")
}

fn bytes(medium: &File, start: u64, length: u64) -> Result<Vec<u8>> {
    let size = medium.metadata().context("cannot look at the medium")?.len();
    if start.checked_add(length).is_none_or(|end| end > size) {
        return Err(damaged());
    }
    let mut bytes = vec![0; length as usize];
    medium.read_exact_at(&mut bytes, start).context("cannot read the medium")?;
    Ok(bytes)
}

/// First byte and length of what a record describes.
fn place(record: &[u8]) -> Option<(u64, u64)> {
    let number = |at: usize| Some(u64::from(u32::from_le_bytes(record.get(at..at + 4)?.try_into().ok()?)));
    Some((number(2)? * SECTOR, number(10)?))
}

type Extent = Option<(u64, u64)>;

/// Where an entry of a folder is, and whether it is a folder itself.
fn entry(folder: &[u8], wanted: &str) -> Option<(Extent, bool)> {
    let mut at = 0;
    while let Some(length) = folder.get(at).copied() {
        if length == 0 {
            // A record does not cross sectors.
            at = (at + 1).next_multiple_of(SECTOR as usize);
            continue;
        }
        let record = folder.get(at..at + usize::from(length))?;
        at += usize::from(length);
        let name = record.get(33..33 + usize::from(*record.get(32)?))?;
        let plain = String::from_utf8_lossy(name).to_ascii_lowercase();
        let plain = plain.split(';').next().unwrap_or_default().trim_end_matches('.').to_owned();
        let rock_ridge = rock_ridge_name(record.get(33 + name.len() + (1 - name.len() % 2)..)?);
        if rock_ridge.as_deref().unwrap_or(&plain) == wanted {
            return Some((place(record), record.get(25)? & 2 != 0));
        }
    }
    None
}

/// The real name, when the record has one.
fn rock_ridge_name(mut fields: &[u8]) -> Option<String> {
    const FLAGS: usize = 5;
    while fields.len() > FLAGS {
        let length = usize::from(fields[2]);
        let field = fields.get(..length).filter(|field| field.len() > 3)?;
        if &field[..2] == b"NM" {
            return Some(String::from_utf8_lossy(field.get(FLAGS..)?).into_owned());
        }
        fields = &fields[length..];
    }
    None
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    fn record(name: &[u8], sector: u32, length: u32, folder: bool, real: Option<&str>) -> Vec<u8> {
        let mut record = vec![0; 33];
        record[2..6].copy_from_slice(&sector.to_le_bytes());
        record[10..14].copy_from_slice(&length.to_le_bytes());
        record[25] = if folder { 2 } else { 0 };
        record[32] = name.len() as u8;
        record.extend(name);
        record.resize(record.len().next_multiple_of(2), 0);
        if let Some(real) = real {
            record.extend([b'N', b'M', 5 + real.len() as u8, 1, 0]);
            record.extend(real.bytes());
            record.resize(record.len().next_multiple_of(2), 0);
        }
        record[0] = record.len() as u8;
        record
    }

    fn medium() -> Vec<u8> {
        let mut image = vec![0; 21 * SECTOR as usize];
        let mut put = |sector: usize, offset: usize, bytes: &[u8]| {
            let at = sector * SECTOR as usize + offset;
            image[at..at + bytes.len()].copy_from_slice(bytes);
        };
        put(16, 1, b"CD001");
        put(16, 156, &record(&[0], 17, 2048, true, None));
        let root =
            [record(&[0], 17, 2048, true, None), record(b"EDGE", 18, 2048, true, Some("edge"))].concat();
        put(17, 0, &root);
        put(18, 0, &record(b"MANIFEST.JSO;1", 19, 2, false, Some("manifest.json")));
        put(19, 0, b"{}");
        image
    }

    fn open(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    #[test]
    fn files_are_found_by_their_real_names() {
        let medium = open(&medium());
        assert_eq!(read(&medium, "edge/manifest.json", 10).unwrap().unwrap(), b"{}");
        assert!(read(&medium, "edge/none", 10).unwrap().is_none());
        assert!(read(&medium, "edge", 10).unwrap().is_none());
        assert!(read(&medium, "edge/manifest.json", 1).is_err());
        assert!(read(&open(&[0; 100]), "x", 1).is_err());
    }

    proptest! {
        #[test]
        fn damage_never_panics(damage in proptest::collection::vec((0_usize..5 * 2048, any::<u8>()), 1..40)) {
            let mut bytes = medium();
            for (at, byte) in damage {
                bytes[16 * 2048 + at] = byte;
            }
            let _ = read(&open(&bytes), "edge/manifest.json", 1 << 20);
        }
    }
}
