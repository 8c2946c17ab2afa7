//! What a superblock of ext4 says (<https://docs.kernel.org/filesystems/ext4/super.html>).

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use edge_model::{Context, Error, Result};

const SUPERBLOCK: u64 = 1024;
const MAGIC: u16 = 0xef53;
/// `INCOMPAT_64BIT`: sizes have an upper half.
const WIDE: u32 = 0x80;

/// Bytes of the file system on a device.
///
/// # Errors
/// [`edge_model::Class::Integrity`] when there is none.
pub fn size(device: &Path) -> Result<u64> {
    let mut block = [0; 1024];
    let read = File::open(device).and_then(|device| device.read_exact_at(&mut block, SUPERBLOCK));
    read.with_context(|| format!("cannot read the file system of {}", device.display()))?;
    parse(&block).ok_or_else(|| Error::integrity(format!("{} has no ext4 file system", device.display())))
}

fn parse(block: &[u8; 1024]) -> Option<u64> {
    let word = |at: usize| u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]]);
    if u16::from_le_bytes([block[0x38], block[0x39]]) != MAGIC {
        return None;
    }
    let upper = if word(0x60) & WIDE != 0 { word(0x150) } else { 0 };
    let blocks = u64::from(upper) << 32 | u64::from(word(0x4));
    let block_size = 1024u64.checked_shl(word(0x18)).filter(|size| *size <= 65536)?;
    blocks.checked_mul(block_size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::child::Child;
    use proptest::prelude::*;

    #[test]
    fn the_size_is_that_of_a_real_file_system() {
        let folder = tempfile::tempdir().unwrap();
        let device = folder.path().join("disk");
        File::create(&device).unwrap().set_len(64 << 20).unwrap();
        assert!(size(&device).is_err(), "an empty disk");
        Child::new("mkfs.ext4").args(["-q", "-F"]).arg(&device).arg("40M").run().unwrap();
        assert_eq!(size(&device).unwrap(), 40 << 20);
    }

    proptest! {
        #[test]
        fn no_superblock_panics(bytes in proptest::collection::vec(any::<u8>(), 1024)) {
            let mut block: [u8; 1024] = bytes.try_into().unwrap();
            block[0x38..0x3a].copy_from_slice(&MAGIC.to_le_bytes());
            let _ = parse(&block);
        }
    }
}
