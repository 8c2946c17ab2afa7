//! Reading and writing the partitions that hold images. The type that writes cannot be made for the booted one.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use edge_model::api::BootRecord;
use edge_model::cmdline::Mode;
use edge_model::ids::{RootHash, Slot};
use edge_model::layout::Role;
use edge_model::manifest::BLOCK_SIZE;
use edge_model::{Context, Error, Result};
use edge_slot_image::verity::{self, Tree};

use crate::buffer::PageBuffer;
use crate::disk::PartitionedDisk;
use crate::faults::{effect, flush};

/// Bytes that are read at once while checking an image.
const SCRUB_CHUNK: usize = 1 << 20;

/// A partition that holds an image, for reading past the page cache.
#[derive(Debug)]
pub struct ImageReader {
    file: File,
    path: PathBuf,
}

/// A partition that may be overwritten.
#[derive(Debug)]
pub struct ImageWriter {
    reader: ImageReader,
    /// Bytes of the partition.
    size: u64,
}

fn open_direct(path: &Path, write: bool) -> Result<File> {
    OpenOptions::new()
        .read(true)
        .write(write)
        .custom_flags(rustix::fs::OFlags::DIRECT.bits() as i32)
        .open(path)
        .with_context(|| format!("cannot open {}", path.display()))
}

impl ImageReader {
    /// # Errors
    /// When the device cannot be opened.
    pub fn open(path: &Path) -> Result<Self> {
        Ok(Self { file: open_direct(path, false)?, path: path.to_owned() })
    }

    /// Reads at a multiple of the block size.
    ///
    /// # Errors
    /// When the device does not give the bytes.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.file
            .read_exact_at(buffer, offset)
            .with_context(|| format!("cannot read {} at byte {offset}", self.path.display()))
    }

    /// Whether the image at byte `start` of this device has a tree with this root.
    pub fn holds_at(&self, start: u64, root_hash: &RootHash, data_blocks: u64) -> bool {
        let mut top = PageBuffer::new(BLOCK_SIZE as usize);
        data_blocks <= verity::MAX_DATA_BLOCKS
            && self.read_at(start + verity::top_block_offset(data_blocks), &mut top).is_ok()
            && verity::is_top_of(root_hash, &top)
    }

    /// Reads and checks the hash tree.
    ///
    /// # Errors
    /// [`edge_model::Class::Integrity`] when it does not match the root hash.
    pub fn tree(&self, root_hash: &RootHash, data_blocks: u64) -> Result<Tree> {
        if data_blocks > verity::MAX_DATA_BLOCKS {
            return Err(Error::integrity("the image claims an impossible size"));
        }
        let length = (verity::tree_blocks(data_blocks) * BLOCK_SIZE) as usize;
        let mut bytes = PageBuffer::new(length);
        self.read_at(data_blocks * BLOCK_SIZE, &mut bytes)?;
        Tree::verify(root_hash, data_blocks, &bytes)
    }

    /// Reads every block and checks it. `progress` is told the bytes done and may stop the work by an error.
    ///
    /// # Errors
    /// [`edge_model::Class::Integrity`] naming the first block that does not match.
    pub fn scrub(
        &self,
        root_hash: &RootHash,
        data_blocks: u64,
        mut progress: impl FnMut(u64) -> Result<()>,
    ) -> Result<()> {
        let tree = self.tree(root_hash, data_blocks)?;
        let mut buffer = PageBuffer::new(SCRUB_CHUNK);
        let end = data_blocks * BLOCK_SIZE;
        let mut offset = 0;
        while offset < end {
            let chunk = &mut buffer[..SCRUB_CHUNK.min((end - offset) as usize)];
            effect("read", &self.path).with_context(|| format!("cannot read {}", self.path.display()))?;
            self.read_at(offset, chunk)?;
            if let Some(block) = tree.first_mismatch(offset / BLOCK_SIZE, chunk) {
                return Err(Error::integrity(format!(
                    "block {block} of the image on {} is damaged",
                    self.path.display()
                )));
            }
            offset += chunk.len() as u64;
            progress(offset)?;
        }
        Ok(())
    }
}

impl ImageWriter {
    /// The slot that is not booted, for an upgrade.
    ///
    /// # Errors
    /// [`edge_model::Class::Internal`] for the booted slot: no plan may ask for it.
    pub fn inactive_slot(disk: &PartitionedDisk, slot: Slot, booted: &BootRecord) -> Result<Self> {
        if booted.slot == Some(slot) {
            return Err(Error::internal(format!("slot {slot} is running and is never written")));
        }
        Self::open(disk, Role::of_slot(slot))
    }

    /// A partition of a disk that is being installed: none of its images can be running.
    ///
    /// # Errors
    /// When the role is not one that holds an image, or the device cannot be opened.
    pub fn of_new_disk(disk: &PartitionedDisk, role: Role) -> Result<Self> {
        if !matches!(role, Role::SlotA | Role::SlotB | Role::Recovery) {
            return Err(Error::internal(format!("{role:?} does not hold an image")));
        }
        Self::open(disk, role)
    }

    /// The recovery partition of a host that runs another image.
    ///
    /// # Errors
    /// [`edge_model::Class::Internal`] in recovery: no plan may ask for it.
    pub fn recovery(disk: &PartitionedDisk, booted: &BootRecord) -> Result<Self> {
        if booted.mode != Mode::Main {
            return Err(Error::internal("recovery is running and is never written"));
        }
        Self::open(disk, Role::Recovery)
    }

    fn open(disk: &PartitionedDisk, role: Role) -> Result<Self> {
        let path = disk.volume(role)?.content().to_owned();
        let size = disk.partition(role).map_or(0, |partition| partition.length);
        Ok(Self { reader: ImageReader { file: open_direct(&path, true)?, path }, size })
    }

    pub fn reader(&self) -> &ImageReader {
        &self.reader
    }

    /// Bytes of the partition.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Writes page-aligned memory at a multiple of the block size.
    ///
    /// # Errors
    /// When the partition is too small or the device fails.
    pub fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        if offset + bytes.len() as u64 > self.size {
            return Err(Error::rejected("the image is larger than the slot"));
        }
        effect("write", &self.reader.path)
            .and_then(|()| self.reader.file.write_all_at(bytes, offset))
            .with_context(|| format!("cannot write {} at byte {offset}", self.reader.path.display()))
    }

    /// Makes what was written survive a power cut.
    ///
    /// # Errors
    /// When the device fails.
    pub fn sync(&self) -> Result<()> {
        let flushed = flush("flush", &self.reader.path, &self.reader.file);
        flushed.with_context(|| format!("cannot flush {}", self.reader.path.display()))
    }
}

/// The tree of an image on its way to a slot: everything but the top block first, so that an unfinished
/// slot never looks bootable; the top block when all data is there.
#[derive(Debug)]
pub struct TreeOnDisk {
    bytes: PageBuffer,
    offset: u64,
}

impl TreeOnDisk {
    /// `bytes` are superblock and tree.
    pub fn new(bytes: PageBuffer, data_blocks: u64) -> Self {
        Self { bytes, offset: data_blocks * BLOCK_SIZE }
    }

    /// Writes superblock and tree with a zeroed top block.
    ///
    /// # Errors
    /// When the device fails.
    pub fn write_disabled(&self, slot: &ImageWriter) -> Result<()> {
        let block = BLOCK_SIZE as usize;
        slot.write_at(self.offset + BLOCK_SIZE, &PageBuffer::new(block))?;
        slot.sync()?;
        slot.write_at(self.offset, &self.bytes[..block])?;
        let below = &self.bytes[2 * block..];
        if !below.is_empty() {
            slot.write_at(self.offset + 2 * BLOCK_SIZE, below)?;
        }
        slot.sync()
    }

    /// Writes the top block: from now on the slot is found by its root hash.
    ///
    /// # Errors
    /// When the device fails.
    pub fn enable(&self, slot: &ImageWriter) -> Result<()> {
        let block = BLOCK_SIZE as usize;
        slot.sync()?;
        slot.write_at(self.offset + BLOCK_SIZE, &self.bytes[block..2 * block])?;
        slot.sync()
    }
}
