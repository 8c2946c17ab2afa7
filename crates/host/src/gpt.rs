//! GUID partition tables, read and written.

use std::io::{Read, Seek, SeekFrom, Write};

use edge_model::layout::{ALIGNMENT, PARTITIONS, Role, place};
use edge_model::{Error, Result};
use gptman::{GPT, GPTPartitionEntry};

/// A GUID as it stands on the disk (first three fields little-endian).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Guid(pub [u8; 16]);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    pub number: u32,
    pub label: String,
    pub uuid: Guid,
    /// First byte on the disk.
    pub start: u64,
    /// Bytes.
    pub length: u64,
}

/// Order of the text's bytes on the disk.
const MIXED: [usize; 16] = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];

impl Guid {
    /// Reads the usual text form.
    ///
    /// # Errors
    /// [`edge_model::Class::InvalidInput`] when it is not a GUID.
    pub fn parse(text: &str) -> Result<Self> {
        let bytes =
            edge_model::ids::from_hex(&text.trim().replace('-', "")).filter(|bytes| bytes.len() == 16);
        let bytes = bytes.ok_or_else(|| Error::invalid(format!("{text:?} is not a GUID")))?;
        let mut guid = [0; 16];
        for (at, source) in MIXED.iter().enumerate() {
            guid[at] = bytes[*source];
        }
        Ok(Self(guid))
    }

    /// A new random GUID.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn random() -> Result<Self> {
        let mut bytes: [u8; 16] = random_bytes()?;
        bytes[7] = bytes[7] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        Ok(Self(bytes))
    }

    /// A GUID that depends only on `seed`, for reproducible images.
    pub fn derived(seed: &[u8]) -> Self {
        let hash = edge_slot_image::sha256(seed).0;
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash[..16]);
        bytes[7] = bytes[7] & 0x0f | 0x80; // version 8: our own derivation
        bytes[8] = bytes[8] & 0x3f | 0x80;
        Self(bytes)
    }
}

/// Random bytes from the system.
///
/// # Errors
/// When the system has none.
pub fn random_bytes<const N: usize>() -> Result<[u8; N]> {
    use ring::rand::SecureRandom;
    let mut bytes = [0; N];
    ring::rand::SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| Error::environment("the system gives no random numbers"))?;
    Ok(bytes)
}

impl std::fmt::Display for Guid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = [0; 16];
        for (at, target) in MIXED.iter().enumerate() {
            text[*target] = self.0[at];
        }
        let hex = edge_model::ids::to_hex(&text);
        write!(f, "{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }
}

impl std::fmt::Debug for Guid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

/// The partitions of a disk or medium, in the order of the table; `None` when it has no table.
pub fn read<R: Read + Seek>(device: &mut R) -> Option<Vec<Partition>> {
    let table = GPT::find_from(device).ok()?;
    let sector = table.sector_size;
    let partition = |(number, entry): (u32, &GPTPartitionEntry)| {
        Some(Partition {
            number,
            label: entry.partition_name.as_str().to_owned(),
            uuid: Guid(entry.unique_partition_guid),
            start: entry.starting_lba.checked_mul(sector)?,
            length: entry.size().ok()?.checked_mul(sector)?,
        })
    };
    Some(table.iter().filter(|(_, entry)| entry.is_used()).filter_map(partition).collect())
}

/// Writes the table of a new host on a disk of `size` bytes: protective MBR, both copies.
/// `guid` gives the disk's GUID for `None` and each partition's for its role.
///
/// `extra` are names and lengths (multiples of the alignment) of the site's own partitions.
///
/// # Errors
/// When the disk is too small or cannot be written.
pub fn write_host_table<D: Read + Write + Seek>(
    device: &mut D,
    size: u64,
    sector: u64,
    slot_size: u64,
    extra: &[(String, u64)],
    mut guid: impl FnMut(Option<Role>) -> Result<Guid>,
) -> Result<Vec<Partition>> {
    let reserved = extra.iter().map(|(_, length)| length).sum();
    let placed = place(size, slot_size, reserved).ok_or_else(|| Error::rejected("the disk is too small"))?;
    let unwritable =
        |error: gptman::Error| Error::environment(format!("cannot write the partition table: {error}"));
    let mut table = GPT::new_from(device, sector, guid(None)?.0).map_err(unwritable)?;
    table.align = ALIGNMENT / sector;
    for (role, start, length) in placed {
        table[role.number()] = GPTPartitionEntry {
            partition_type_guid: Guid::parse(role.spec().type_guid)?.0,
            unique_partition_guid: guid(Some(role))?.0,
            starting_lba: start / sector,
            ending_lba: (start + length) / sector - 1,
            attribute_bits: 0,
            partition_name: role.spec().label.into(),
        };
    }
    // The site's own partitions come after ours in the table, and in front of the last one on the disk.
    let mut start = table[PARTITIONS.len() as u32].starting_lba * sector - reserved;
    for (number, (name, length)) in (PARTITIONS.len() as u32 + 1..).zip(extra) {
        table[number] = GPTPartitionEntry {
            partition_type_guid: Guid::parse(Role::Persistent.spec().type_guid)?.0,
            unique_partition_guid: Guid::random()?.0,
            starting_lba: start / sector,
            ending_lba: (start + length) / sector - 1,
            attribute_bits: 0,
            partition_name: name.as_str().into(),
        };
        start += length;
    }
    GPT::write_protective_mbr_into(device, sector).map_err(unwritable)?;
    table.write_into(device).map_err(unwritable)?;
    device.flush()?;
    device.seek(SeekFrom::Start(0))?;
    read(device).ok_or_else(|| Error::integrity("the partition table reads back differently"))
}

/// Whether the table at the beginning of a disk and the one at its end are both there, and say the same.
pub fn both_copies_are_whole<D: Read + Seek>(device: &mut D, sector: u64) -> bool {
    let mut copy = |at: SeekFrom| -> Option<gptman::GPTHeader> {
        device.seek(at).ok()?;
        let header = gptman::GPTHeader::read_from(device).ok()?;
        // Its entries too: the checksum of the header says nothing about them.
        header.read_partitions(device, sector).ok()?;
        Some(header)
    };
    let first = copy(SeekFrom::Start(sector));
    let last = first.as_ref().and_then(|first| copy(SeekFrom::Start(first.backup_lba * sector)));
    match (first, last) {
        (Some(first), Some(last)) => {
            first.disk_guid == last.disk_guid
                && first.partition_entry_array_crc32 == last.partition_entry_array_crc32
                && first.backup_lba == last.primary_lba
        }
        _ => false,
    }
}

/// Writes both copies of a disk's table again, from the one that is whole.
///
/// # Errors
/// When none is, or the disk cannot be written.
pub fn rewrite(path: &str, sector: u64) -> Result<()> {
    let open = std::fs::OpenOptions::new().read(true).write(true).open(path);
    let mut device = open.map_err(|error| Error::environment(format!("cannot open {path}: {error}")))?;
    let unusable =
        |error: gptman::Error| Error::integrity(format!("no copy of the partition table is whole: {error}"));
    let mut table = GPT::read_from(&mut device, sector).map_err(unusable)?;
    table.header.update_from(&mut device, sector).map_err(unusable)?;
    table.write_into(&mut device).map_err(unusable)?;
    device.sync_all()?;
    Ok(())
}

/// Extends the last partition of a host to the end of a disk that is larger than its table says.
/// Returns whether anything changed.
///
/// # Errors
/// When the table cannot be read or written.
pub fn grow_last_partition<D: Read + Write + Seek>(device: &mut D, size: u64, sector: u64) -> Result<bool> {
    let unusable =
        |error: gptman::Error| Error::environment(format!("cannot extend the partition table: {error}"));
    let mut table = GPT::read_from(device, sector).map_err(unusable)?;
    let end = size / ALIGNMENT * ALIGNMENT - ALIGNMENT;
    let last = PARTITIONS[PARTITIONS.len() - 1].role.number();
    if (table[last].ending_lba + 1) * sector + ALIGNMENT > end {
        return Ok(false);
    }
    table.header.update_from(device, sector).map_err(unusable)?;
    table[last].ending_lba = end / sector - 1;
    table.write_into(device).map_err(unusable)?;
    device.flush()?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use edge_model::layout::{GIB, MIB};
    use proptest::prelude::*;
    use std::io::Cursor;

    #[test]
    fn a_host_table_is_written_read_and_grown() {
        for sector in [512, 4096] {
            let mut file = tempfile::tempfile().unwrap();
            file.set_len(5 * GIB).unwrap();
            let seed = |role: Option<Role>| Ok(Guid::derived(format!("{role:?}").as_bytes()));
            let written = write_host_table(&mut file, 5 * GIB, sector, GIB, &[], seed).unwrap();
            assert_eq!(written.len(), PARTITIONS.len());
            assert_eq!((written[0].label.as_str(), written[0].start), ("efi", MIB));
            assert!(!grow_last_partition(&mut file, 5 * GIB, sector).unwrap());
            file.set_len(9 * GIB).unwrap();
            assert!(grow_last_partition(&mut file, 9 * GIB, sector).unwrap());
            let grown = read(&mut file).unwrap();
            assert_eq!(grown[6].length, written[6].length + 4 * GIB);
            assert_eq!(grown[..6], written[..6]);
        }
    }

    #[test]
    fn a_damaged_copy_of_the_table_is_found_and_written_again() {
        let disk = tempfile::NamedTempFile::new().unwrap();
        disk.as_file().set_len(5 * GIB).unwrap();
        let seed = |role: Option<Role>| Ok(Guid::derived(format!("{role:?}").as_bytes()));
        let written = write_host_table(&mut disk.as_file(), 5 * GIB, 512, GIB, &[], seed).unwrap();
        assert!(both_copies_are_whole(&mut disk.as_file(), 512));
        for damaged in [512, 1024, 5 * GIB - 512, 5 * GIB - 33 * 512] {
            disk.as_file().seek(SeekFrom::Start(damaged)).unwrap();
            disk.as_file().write_all(&[0; 512]).unwrap();
            assert!(!both_copies_are_whole(&mut disk.as_file(), 512), "at {damaged}");
            rewrite(disk.path().to_str().unwrap(), 512).unwrap();
            assert!(both_copies_are_whole(&mut disk.as_file(), 512), "at {damaged}");
            assert_eq!(read(&mut disk.as_file()).unwrap(), written);
        }
    }

    #[test]
    fn guids_keep_their_text() {
        let text = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b";
        let guid = Guid::parse(text).unwrap();
        assert_eq!(guid.to_string(), text);
        assert_eq!(guid.0[..4], [0x28, 0x73, 0x2a, 0xc1]);
        assert!(Guid::parse("x").is_err());
    }

    proptest! {
        #[test]
        fn no_sector_panics(bytes in proptest::collection::vec(any::<u8>(), 0..4096), at in 0usize..4096) {
            let mut disk = vec![0; 8192];
            disk[..bytes.len()].copy_from_slice(&bytes);
            disk[at..at + 8].copy_from_slice(b"EFI PART");
            let _ = read(&mut Cursor::new(disk));
        }
    }
}
