//! The UKIs of an image behind its hash tree: a second copy of the one that boots, out of the reach of what happens to a boot
//! partition, and the one of recovery, so that recovery can be refreshed without asking anybody.
//!
//! ```text
//! data | superblock, tree | to 1 MiB | header (4096) | main UKI | to 4096 | recovery UKI
//! ```
//!
//! The header is written last: without it there is nothing.

use std::io::{self, Read};

use edge_model::ids::RootHash;
use edge_model::layout::MIB;
use edge_model::manifest::{BLOCK_SIZE, Blob};
use edge_model::{Context, Error, Result};
use edge_slot_image::verity;
use serde::{Deserialize, Serialize};

use crate::buffer::PageBuffer;
use crate::slot::{ImageReader, ImageWriter};

const MAGIC: &[u8; 16] = b"edge-ukis-v1\n\n\n\n";
const CHUNK: usize = MIB as usize;
/// Larger than any UKI: what a damaged header claims is not believed.
const LONGEST: u64 = 256 * MIB;

/// What is kept, by digest and size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredUkis {
    /// The image that they start: what an older system has overwritten may have left this behind.
    pub image: RootHash,
    pub main: Blob,
    pub recovery: Blob,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    Main,
    Recovery,
}

impl StoredUkis {
    /// Byte of the partition at which the header of an image stands.
    fn header_at(data_blocks: u64) -> u64 {
        ((data_blocks + verity::tree_blocks(data_blocks)) * BLOCK_SIZE).next_multiple_of(MIB)
    }

    fn blob(&self, which: Which) -> Blob {
        match which {
            Which::Main => self.main,
            Which::Recovery => self.recovery,
        }
    }

    fn place(&self, data_blocks: u64, which: Which) -> u64 {
        let first = Self::header_at(data_blocks) + BLOCK_SIZE;
        match which {
            Which::Main => first,
            Which::Recovery => first + self.main.size.next_multiple_of(BLOCK_SIZE),
        }
    }

    /// Whether a partition of `size` bytes has room for them behind an image.
    pub fn fit(&self, data_blocks: u64, size: u64) -> bool {
        let end = self.place(data_blocks, Which::Recovery) + self.recovery.size.next_multiple_of(BLOCK_SIZE);
        end <= size
    }

    /// What is kept behind an image; `None` when an older system wrote it, or there was no room.
    pub fn read(partition: &ImageReader, image: &RootHash, data_blocks: u64) -> Option<Self> {
        let mut block = PageBuffer::new(BLOCK_SIZE as usize);
        partition.read_at(Self::header_at(data_blocks), &mut block).ok()?;
        let json = block.strip_prefix(MAGIC)?;
        let json = &json[..json.iter().position(|byte| *byte == 0)?];
        let stored: Self = serde_json::from_slice(json).ok()?;
        let is_sane = stored.main.size <= LONGEST && stored.recovery.size <= LONGEST;
        (is_sane && stored.image == *image).then_some(stored)
    }

    /// A stream of one of them. What it gives must be checked by the caller.
    pub fn open<'a>(
        &self,
        partition: &'a ImageReader,
        data_blocks: u64,
        which: Which,
    ) -> impl Read + use<'a> {
        Stream {
            partition,
            at: self.place(data_blocks, which),
            left: self.blob(which).size,
            chunk: PageBuffer::new(CHUNK),
            filled: 0..0,
        }
    }

    /// Takes the header away before what it speaks of changes.
    ///
    /// # Errors
    /// When the device fails.
    pub fn forget(partition: &ImageWriter, data_blocks: u64) -> Result<()> {
        if Self::header_at(data_blocks) + BLOCK_SIZE > partition.size() {
            return Ok(());
        }
        partition.write_at(Self::header_at(data_blocks), &PageBuffer::new(BLOCK_SIZE as usize))?;
        partition.sync()
    }

    /// Writes one of them, and checks it against its digest on the way.
    ///
    /// # Errors
    /// [`edge_model::Class::Integrity`] when it is another; otherwise when it cannot be read, or the device fails.
    pub fn write(
        &self,
        partition: &ImageWriter,
        data_blocks: u64,
        which: Which,
        input: &mut dyn Read,
    ) -> Result<()> {
        let (blob, mut at) = (self.blob(which), self.place(data_blocks, which));
        let mut chunk = PageBuffer::new(CHUNK);
        let mut digest = edge_slot_image::Hasher::default();
        let mut left = blob.size;
        while left > 0 {
            let length = left.min(CHUNK as u64) as usize;
            input.read_exact(&mut chunk[..length]).context("a kernel image ends too early")?;
            digest.update(&chunk[..length]);
            chunk[length..].fill(0);
            partition.write_at(at, &chunk[..length.next_multiple_of(BLOCK_SIZE as usize)])?;
            at += length as u64;
            left -= length as u64;
        }
        if digest.finish() != blob.digest {
            return Err(Error::integrity("a kernel image does not match its digest"));
        }
        partition.sync()
    }

    /// Says that both are there.
    ///
    /// # Errors
    /// When the device fails.
    pub fn seal(&self, partition: &ImageWriter, data_blocks: u64) -> Result<()> {
        let mut block = PageBuffer::new(BLOCK_SIZE as usize);
        let header = self.header();
        block[..header.len()].copy_from_slice(&header);
        partition.write_at(Self::header_at(data_blocks), &block)?;
        partition.sync()
    }

    fn header(&self) -> Vec<u8> {
        let mut header = MAGIC.to_vec();
        header.extend(serde_json::to_vec(self).unwrap_or_default());
        header
    }

    /// For partitions that are made as files: where the header stands, its bytes, and where each of the two begins.
    pub fn pieces(&self, data_blocks: u64) -> (u64, Vec<u8>, [(u64, Which); 2]) {
        let places = [Which::Main, Which::Recovery].map(|which| (self.place(data_blocks, which), which));
        (Self::header_at(data_blocks), self.header(), places)
    }
}

/// Reads past the page cache, in whole pages.
struct Stream<'a> {
    partition: &'a ImageReader,
    at: u64,
    left: u64,
    chunk: PageBuffer,
    filled: std::ops::Range<usize>,
}

impl Read for Stream<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.filled.is_empty() {
            let length = self.left.min(CHUNK as u64) as usize;
            if length == 0 {
                return Ok(0);
            }
            let pages = length.next_multiple_of(BLOCK_SIZE as usize);
            self.partition.read_at(self.at, &mut self.chunk[..pages]).map_err(io::Error::other)?;
            self.at += length as u64;
            self.left -= length as u64;
            self.filled = 0..length;
        }
        let count = into.len().min(self.filled.len());
        into[..count].copy_from_slice(&self.chunk[self.filled.start..self.filled.start + count]);
        self.filled.start += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Machine;
    use edge_model::layout::Role;

    fn blob(bytes: &[u8]) -> Blob {
        Blob { digest: edge_slot_image::sha256(bytes), size: bytes.len() as u64 }
    }

    #[test]
    fn what_is_kept_comes_back_and_is_not_there_before_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Machine::in_folder(folder.path()).disk("/dev/vda").unwrap();
        let partition = ImageWriter::of_new_disk(&disk, Role::SlotA).unwrap();
        let main: Vec<u8> = (0..2_500_000u32).map(|at| at as u8).collect();
        let recovery = b"recovery".to_vec();
        let image = RootHash([5; 32]);
        let stored = StoredUkis { image, main: blob(&main), recovery: blob(&recovery) };
        assert!(stored.fit(1000, partition.size()) && !stored.fit(1000, MIB));
        let mut other = main.clone();
        other[77] ^= 1;
        let error = stored.write(&partition, 1000, Which::Main, &mut &other[..]).unwrap_err();
        assert_eq!(error.class, edge_model::Class::Integrity);
        stored.write(&partition, 1000, Which::Main, &mut &main[..]).unwrap();
        stored.write(&partition, 1000, Which::Recovery, &mut &recovery[..]).unwrap();
        assert_eq!(StoredUkis::read(partition.reader(), &image, 1000), None, "not sealed");
        stored.seal(&partition, 1000).unwrap();
        assert_eq!(StoredUkis::read(partition.reader(), &image, 1000), Some(stored));
        assert_eq!(StoredUkis::read(partition.reader(), &RootHash([6; 32]), 1000), None, "of another image");
        for (which, wanted) in [(Which::Main, &main), (Which::Recovery, &recovery)] {
            let mut bytes = Vec::new();
            stored.open(partition.reader(), 1000, which).read_to_end(&mut bytes).unwrap();
            assert!(bytes == *wanted);
        }
        StoredUkis::forget(&partition, 1000).unwrap();
        assert_eq!(StoredUkis::read(partition.reader(), &image, 1000), None);
    }
}
