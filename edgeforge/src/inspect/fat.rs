//! One file of an EFI system partition.
//!
//! <https://academy.cba.mit.edu/classes/networking_communications/SD/FAT.pdf>

use std::fs::File;
use std::os::unix::fs::FileExt;

use edge_model::{Context, Error, Result};

const RECORD: usize = 32;
const LARGEST_FOLDER: u64 = 4 << 20;
const LONG_NAME: u8 = 0x0f;
const FOLDER: u8 = 0x10;

/// Widths of entries of the table, in bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Width {
    Twelve,
    Sixteen,
    ThirtyTwo,
}

/// A partition, as its first sector describes it. All places are bytes from the start of the file.
struct Volume<'f> {
    file: &'f File,
    width: Width,
    cluster: u64,
    clusters: u64,
    table: u64,
    /// First byte of cluster 2.
    data: u64,
    root: Start,
}

/// Where a folder or file begins.
#[derive(Debug, Clone, Copy)]
enum Start {
    /// The root of the older widths has a fixed place and length.
    Fixed(u64, u64),
    Cluster(u64),
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> u64 {
    let mut value = [0; 8];
    if let Some(source) = bytes.get(at..at + N) {
        value[..N].copy_from_slice(source);
    }
    u64::from_le_bytes(value)
}

fn damaged() -> Error {
    Error::integrity("the EFI system partition is damaged")
}

/// The content of a file of at most `limit` bytes of the partition that begins at `offset`; `None` when it is not
/// there.
///
/// # Errors
/// When the partition is damaged or the file too large.
pub(super) fn read(file: &File, offset: u64, path: &str, limit: u64) -> Result<Option<Vec<u8>>> {
    let volume = Volume::open(file, offset)?;
    let mut at = (volume.root, LARGEST_FOLDER);
    let names: Vec<&str> = path.split('/').collect();
    for (depth, name) in names.iter().enumerate() {
        let folder = volume.content(at.0, at.1, true)?;
        match find(&folder, name) {
            Some((start, _, true)) if depth + 1 < names.len() => at = (Start::Cluster(start), LARGEST_FOLDER),
            Some((start, size, false)) if depth + 1 == names.len() => at = (Start::Cluster(start), size),
            _ => return Ok(None),
        }
    }
    if at.1 > limit {
        return Err(Error::invalid(format!("{path} is larger than {limit} bytes")));
    }
    volume.content(at.0, at.1, false).map(Some)
}

impl<'f> Volume<'f> {
    fn open(file: &'f File, offset: u64) -> Result<Self> {
        let mut head = [0; 512];
        file.read_exact_at(&mut head, offset).context("cannot read the EFI system partition")?;
        let (sector, per_cluster) = (number::<2>(&head, 11), number::<1>(&head, 13));
        let (reserved, tables, entries) =
            (number::<2>(&head, 14), number::<1>(&head, 16), number::<2>(&head, 17));
        let first = |short: u64, long: u64| if short == 0 { long } else { short };
        let sectors = first(number::<2>(&head, 19), number::<4>(&head, 32));
        let (short, long) = (number::<2>(&head, 22), number::<4>(&head, 36));
        if head[510..] != [0x55, 0xaa] || !sector.is_power_of_two() || sector < 512 || per_cluster == 0 {
            return Err(damaged());
        }
        let root_length = (entries * RECORD as u64).next_multiple_of(sector);
        let before = reserved * sector + tables * first(short, long) * sector + root_length;
        let clusters = (sectors * sector).saturating_sub(before) / (per_cluster * sector);
        let width = match clusters {
            _ if short == 0 => Width::ThirtyTwo,
            0..4085 => Width::Twelve,
            _ => Width::Sixteen,
        };
        let root = match width {
            Width::ThirtyTwo => Start::Cluster(number::<4>(&head, 44)),
            _ => Start::Fixed(offset + before - root_length, root_length),
        };
        let table = offset + reserved * sector;
        Ok(Self { file, width, cluster: per_cluster * sector, clusters, table, data: offset + before, root })
    }

    /// At most `length` bytes; a folder may be shorter.
    fn content(&self, start: Start, length: u64, folder: bool) -> Result<Vec<u8>> {
        let mut cluster = match start {
            Start::Fixed(at, size) => return self.bytes(at, size.min(length)),
            Start::Cluster(cluster) => cluster,
        };
        let mut content = Vec::new();
        // Each turn adds at least one byte, so a chain that goes in a circle ends.
        while (content.len() as u64) < length {
            if cluster < 2 || cluster >= self.clusters + 2 {
                return if folder { Ok(content) } else { Err(damaged()) };
            }
            let left = length - content.len() as u64;
            content.extend(self.bytes(self.data + (cluster - 2) * self.cluster, left.min(self.cluster))?);
            cluster = self.next(cluster)?;
        }
        Ok(content)
    }

    fn bytes(&self, at: u64, length: u64) -> Result<Vec<u8>> {
        let mut bytes = vec![0; length as usize];
        self.file.read_exact_at(&mut bytes, at).context("cannot read the EFI system partition")?;
        Ok(bytes)
    }

    fn next(&self, cluster: u64) -> Result<u64> {
        Ok(match self.width {
            Width::Twelve => {
                let pair = number::<2>(&self.bytes(self.table + cluster * 3 / 2, 2)?, 0);
                if cluster.is_multiple_of(2) { pair & 0xfff } else { pair >> 4 }
            }
            Width::Sixteen => number::<2>(&self.bytes(self.table + cluster * 2, 2)?, 0),
            Width::ThirtyTwo => number::<4>(&self.bytes(self.table + cluster * 4, 4)?, 0) & 0x0fff_ffff,
        })
    }
}

/// First cluster, bytes, and whether it is a folder.
fn find(folder: &[u8], wanted: &str) -> Option<(u64, u64, bool)> {
    let mut long = String::new();
    for record in folder.chunks_exact(RECORD) {
        match (record[0], record[11]) {
            (0, _) => return None,
            (0xe5, _) => long.clear(),
            // Parts of a long name come in front, the last part first.
            (_, LONG_NAME) => long.insert_str(0, &part_of_long_name(record)),
            _ => {
                if long.eq_ignore_ascii_case(wanted) || short_name(record).eq_ignore_ascii_case(wanted) {
                    let start = number::<2>(record, 20) << 16 | number::<2>(record, 26);
                    return Some((start, number::<4>(record, 28), record[11] & FOLDER != 0));
                }
                long.clear();
            }
        }
    }
    None
}

fn part_of_long_name(record: &[u8]) -> String {
    let letters = [1..11, 14..26, 28..32].into_iter().flat_map(|range| record[range].chunks_exact(2));
    let letters = letters.map(|letter| u16::from_le_bytes([letter[0], letter[1]]));
    let letters: Vec<u16> = letters.take_while(|letter| !matches!(*letter, 0 | 0xffff)).collect();
    String::from_utf16_lossy(&letters)
}

fn short_name(record: &[u8]) -> String {
    let part = |range: std::ops::Range<usize>| String::from_utf8_lossy(&record[range]).trim_end().to_owned();
    let (name, extension) = (part(0..8), part(8..11));
    if extension.is_empty() { name } else { format!("{name}.{extension}") }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    /// FAT12 with clusters of one sector; `EFI` is cluster 2, the file with a long name is clusters 3 and 4.
    fn volume() -> Vec<u8> {
        let mut image = vec![0; 32 * 512];
        let mut put = |at: usize, bytes: &[u8]| image[at..at + bytes.len()].copy_from_slice(bytes);
        put(11, &512_u16.to_le_bytes());
        put(13, &[1, 1, 0, 1]);
        put(17, &16_u16.to_le_bytes());
        put(19, &32_u16.to_le_bytes());
        put(22, &1_u16.to_le_bytes());
        put(510, &[0x55, 0xaa]);
        put(512, &[0xf8, 0xff, 0xff, 0xff, 0x4f, 0x00, 0xff, 0x0f]);
        let record = |name: &[u8; 11], attributes: u8, cluster: u16, size: u32| {
            let mut record = name.to_vec();
            record.resize(32, 0);
            record[11] = attributes;
            record[26..28].copy_from_slice(&cluster.to_le_bytes());
            record[28..32].copy_from_slice(&size.to_le_bytes());
            record
        };
        put(2 * 512, &record(b"EFI        ", FOLDER, 2, 0));
        let mut long = [0xff; 32];
        long[0] = 0x41;
        long[11] = LONG_NAME;
        for (index, letter) in "edge-long.efi".encode_utf16().enumerate() {
            let at = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30][index];
            long[at..at + 2].copy_from_slice(&letter.to_le_bytes());
        }
        put(3 * 512, &long);
        put(3 * 512 + 32, &record(b"EDGE-L~1EFI", 0x20, 3, 513));
        put(4 * 512, &[b'a'; 512]);
        put(5 * 512, b"b");
        image
    }

    fn open(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    #[test]
    fn a_file_is_found_by_its_long_and_short_name() {
        let volume = open(&[vec![0; 512], volume()].concat());
        for name in ["EFI/edge-long.efi", "efi/EDGE-L~1.EFI"] {
            let content = read(&volume, 512, name, 1000).unwrap().unwrap();
            assert_eq!((content.len(), content[511], content[512]), (513, b'a', b'b'));
        }
        assert!(read(&volume, 512, "EFI/none", 1000).unwrap().is_none());
        assert!(read(&volume, 512, "EFI/edge-long.efi", 512).is_err());
        assert!(read(&volume, 0, "EFI", 512).is_err());
    }

    proptest! {
        #[test]
        fn damage_never_panics(damage in proptest::collection::vec((0_usize..6 * 512, any::<u8>()), 1..40)) {
            let mut bytes = volume();
            for (at, byte) in damage {
                bytes[at] = byte;
            }
            let _ = read(&open(&bytes), 0, "EFI/edge-long.efi", 1 << 20);
        }
    }
}
