//! The head of the file system, at byte 1024.

use std::fs::File;
use std::os::unix::fs::FileExt;

use edge_model::{Error, Result};

use super::damaged;

const PLACE: u64 = 1024;
const LENGTH: usize = 128;
const MAGIC: u32 = 0xe0f5_e1e2;
/// Features that change nothing for files that are stored as they are: padding of compressed data, chunks and a
/// table of devices (files that use them are refused by themselves).
const HARMLESS: u32 = 0x1 | 0x4 | 0x8;
const LARGEST_BLOCK_BITS: u8 = 16;

#[derive(Debug, Clone)]
pub(crate) struct Superblock {
    pub(super) block: u64,
    /// Bytes of a block of a folder.
    pub(super) folder_block: usize,
    /// Number of the root's inode.
    pub(super) root: u64,
    pub(super) blocks: u64,
    /// First byte of the inodes.
    pub(super) inodes: u64,
    /// First byte of shared attributes.
    pub(super) shared_attributes: u64,
    /// Seconds since 1970, for inodes that have no time of their own.
    pub(super) built: u64,
}

/// How many inodes a file system says that it has, whatever its features are.
///
/// # Errors
/// [`edge_model::Class::InvalidInput`] when this is no EROFS.
pub(crate) fn inode_count(file: &File) -> Result<u64> {
    let mut bytes = [0; LENGTH];
    if !Superblock::is_at(file, 0) || file.read_exact_at(&mut bytes, PLACE).is_err() {
        return Err(Error::invalid("there is no EROFS file system"));
    }
    Ok(number::<8>(&bytes, 16))
}

/// Little-endian numbers at a place of a record that was read whole.
pub(super) fn number<const N: usize>(bytes: &[u8], at: usize) -> u64 {
    let mut value = [0; 8];
    if let Some(source) = bytes.get(at..at + N) {
        value[..N].copy_from_slice(source);
    }
    u64::from_le_bytes(value)
}

impl Superblock {
    /// Whether an EROFS begins at `offset`.
    pub(crate) fn is_at(file: &File, offset: u64) -> bool {
        let mut magic = [0; 4];
        offset.checked_add(PLACE).is_some_and(|place| file.read_exact_at(&mut magic, place).is_ok())
            && u32::from_le_bytes(magic) == MAGIC
    }

    /// # Errors
    /// [`edge_model::Class::InvalidInput`] when this is no EROFS, or one with features that are not read here.
    pub(crate) fn read(file: &File, offset: u64) -> Result<Self> {
        let mut bytes = [0; LENGTH];
        let place = offset.checked_add(PLACE).ok_or_else(|| damaged("it begins nowhere"))?;
        if !Self::is_at(file, offset) || file.read_exact_at(&mut bytes, place).is_err() {
            return Err(Error::invalid("there is no EROFS file system"));
        }
        Self::parse(&bytes)
    }

    fn parse(bytes: &[u8]) -> Result<Self> {
        let features = number::<4>(bytes, 80) as u32;
        if features & !HARMLESS != 0 {
            return Err(Error::invalid(format!(
                "the EROFS image is compressed or has other features that are not read here ({features:#x})"
            ))
            .help("the builder writes images with mkfs.erofs without compression"));
        }
        let (bits, folder_bits) = (bytes[12], bytes[90]);
        if !(9..=LARGEST_BLOCK_BITS).contains(&bits) || folder_bits > LARGEST_BLOCK_BITS - bits {
            return Err(damaged(format_args!("blocks of 2^{bits} bytes")));
        }
        let block = 1_u64 << bits;
        Ok(Self {
            block,
            folder_block: 1 << (bits + folder_bits),
            root: number::<2>(bytes, 14),
            blocks: number::<4>(bytes, 36),
            inodes: number::<4>(bytes, 40) * block,
            shared_attributes: number::<4>(bytes, 44) * block,
            built: number::<8>(bytes, 24),
        })
    }

    /// Bytes of the file system.
    pub(crate) fn length(&self) -> u64 {
        self.blocks * self.block
    }
}
