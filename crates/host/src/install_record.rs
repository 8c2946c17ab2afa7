//! What an installation leaves between the partition entries and the first partition: which medium installed
//! this disk, and whether it finished. Read without mounting anything.

use std::io::{Read, Seek, SeekFrom, Write};

use edge_model::ids::InstallationId;
use edge_model::layout::INSTALL_RECORD_OFFSET;
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

#[cfg(test)]
mod tests {
    use super::*;
    use edge_model::ids::Digest;
    use std::io::Cursor;

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
