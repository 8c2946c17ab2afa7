//! What an installation leaves between the partition entries and the first partition: which medium installed
//! this disk, and whether it finished. Read without mounting anything.

use std::io::{Read, Seek, SeekFrom, Write};

use edge_model::ids::InstallationId;
use edge_model::layout::{INSTALL_RECORD_OFFSET, MIB};
use edge_model::{Context, Result};
use serde::{Deserialize, Serialize};

const MAGIC: &[u8; 16] = b"edge-install-v1\n";
const SIZE: usize = 4096;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstallRecord {
    pub state: InstallState,
    pub id: InstallationId,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InstallState {
    /// The disk belongs to an installation that has not finished: it may be started again.
    Installing,
    Installed,
}

impl InstallRecord {
    /// Reads the record of a disk; `None` when there is none, or none that can be read.
    pub fn read<R: Read + Seek>(device: &mut R) -> Option<Self> {
        let mut block = vec![0; SIZE];
        device.seek(SeekFrom::Start(INSTALL_RECORD_OFFSET)).ok()?;
        device.read_exact(&mut block).ok()?;
        let text = block.strip_prefix(MAGIC)?;
        let end = text.iter().position(|byte| *byte == 0)?;
        serde_json::from_slice(&text[..end]).ok()
    }

    /// # Errors
    /// When the device cannot be written.
    pub fn write<W: Write + Seek>(&self, device: &mut W) -> Result<()> {
        let mut block = MAGIC.to_vec();
        block.extend(serde_json::to_vec(self).context("cannot write the installation record")?);
        block.resize(SIZE, 0);
        device.seek(SeekFrom::Start(INSTALL_RECORD_OFFSET))?;
        device.write_all(&block).context("cannot write the installation record")?;
        device.flush()?;
        Ok(())
    }
}

/// Erases what tells others about a disk's old content: tables, volume groups, RAID and pools leave their marks in the first and
/// in the last megabyte. The record itself stays.
///
/// # Errors
/// When the device cannot be written.
pub fn wipe_around<W: Write + Seek>(device: &mut W, size: u64) -> Result<()> {
    let after = INSTALL_RECORD_OFFSET + SIZE as u64;
    let last = size.saturating_sub(MIB).max(MIB);
    for (start, end) in [(0, INSTALL_RECORD_OFFSET), (after, MIB), (last, size)] {
        let blank = vec![0; end.saturating_sub(start) as usize];
        device.seek(SeekFrom::Start(start)).context("cannot erase what was on the disk")?;
        device.write_all(&blank).context("cannot erase what was on the disk")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use edge_model::ids::Digest;
    use std::io::Cursor;

    #[test]
    fn marks_of_old_content_go_and_the_record_stays() {
        let size = 4 * MIB as usize;
        let mut disk = Cursor::new(vec![0xff; size]);
        let record = InstallRecord { state: InstallState::Installing, id: InstallationId(Digest([3; 32])) };
        record.write(&mut disk).unwrap();
        wipe_around(&mut disk, size as u64).unwrap();
        assert_eq!(InstallRecord::read(&mut disk), Some(record));
        let bytes = disk.get_ref();
        assert!(bytes[..INSTALL_RECORD_OFFSET as usize].iter().all(|byte| *byte == 0));
        assert!(bytes[size - MIB as usize..].iter().all(|byte| *byte == 0));
        assert!(bytes[MIB as usize..size - MIB as usize].iter().all(|byte| *byte == 0xff));
        assert_eq!(bytes.len(), size, "not beyond its end");
    }

    #[test]
    fn records_round_trip_and_garbage_is_none() {
        let mut disk = Cursor::new(vec![0; 1 << 20]);
        assert_eq!(InstallRecord::read(&mut disk), None);
        let record = InstallRecord { state: InstallState::Installing, id: InstallationId(Digest([3; 32])) };
        record.write(&mut disk).unwrap();
        assert_eq!(InstallRecord::read(&mut disk), Some(record));
        disk.get_mut()[INSTALL_RECORD_OFFSET as usize + 20] ^= 0x40;
        assert_eq!(InstallRecord::read(&mut disk), None);
        assert_eq!(InstallRecord::read(&mut Cursor::new(vec![0; 100])), None);
    }
}
