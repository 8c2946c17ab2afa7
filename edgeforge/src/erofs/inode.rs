//! One file, folder or link: 32 bytes, or 64 in the extended form.

use edge_model::{Error, Result};

use super::superblock::{Superblock, number};
use super::{Image, damaged};

const COMPACT: usize = 32;
const EXTENDED: usize = 64;
/// Inodes are numbered by this many bytes.
const SLOT: u64 = 32;
const ATTRIBUTE_HEADER: u64 = 12;
/// Names and link targets are read whole.
const LARGEST_LINK: u64 = 4096;
const LARGEST_FOLDER: u64 = 64 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Directory,
    File,
    Symlink,
    /// Devices, pipes and sockets.
    Special,
}

/// Where the content is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// In consecutive blocks.
    Plain,
    /// The same, except for the last block, which stands behind the inode.
    Inline,
}

#[derive(Debug)]
pub(super) struct Inode {
    pub(super) kind: Kind,
    pub(super) mode: u32,
    pub(super) uid: u64,
    pub(super) gid: u64,
    pub(super) links: u64,
    pub(super) size: u64,
    pub(super) modified: u64,
    /// Bytes of the image where the attributes begin, and their length.
    pub(super) attributes: (u64, u64),
    layout: Layout,
    first_block: u64,
}

impl Inode {
    /// # Errors
    /// When its place, kind or size cannot be.
    pub(super) fn read(image: &Image, inode: u64) -> Result<Self> {
        let superblock = &image.superblock;
        let at = inode
            .checked_mul(SLOT)
            .and_then(|at| at.checked_add(superblock.inodes))
            .ok_or_else(|| damaged("an inode lies nowhere"))?;
        let format = number::<2>(&image.bytes(at, 2)?, 0);
        let extended = format & 1 == 1;
        let length = if extended { EXTENDED } else { COMPACT };
        let bytes = image.bytes(at, length)?;
        let mode = number::<2>(&bytes, 4) as u32;
        let (size, uid, gid, links, modified) = if extended {
            (
                number::<8>(&bytes, 8),
                number::<4>(&bytes, 24),
                number::<4>(&bytes, 28),
                number::<4>(&bytes, 44),
                number::<8>(&bytes, 32),
            )
        } else {
            (
                number::<4>(&bytes, 8),
                number::<2>(&bytes, 24),
                number::<2>(&bytes, 26),
                number::<2>(&bytes, 6),
                superblock.built,
            )
        };
        let kind = kind(mode)?;
        let layout = match (kind, (format >> 1) & 7) {
            (_, 0) | (Kind::Special, _) => Layout::Plain,
            (_, 2) => Layout::Inline,
            (_, 1 | 3) => return Err(unreadable("compressed")),
            (_, 4) => return Err(unreadable("stored in chunks")),
            (_, other) => return Err(damaged(format_args!("content of the unknown kind {other}"))),
        };
        let most = match kind {
            Kind::Directory => LARGEST_FOLDER,
            Kind::Symlink => LARGEST_LINK,
            Kind::File | Kind::Special => u64::MAX,
        };
        if size > most {
            return Err(damaged(format_args!("a folder or link of {size} bytes")));
        }
        let records = number::<2>(&bytes, 2);
        let attributes = if records == 0 { 0 } else { ATTRIBUTE_HEADER + 4 * (records - 1) };
        let attributes = (at + length as u64, attributes);
        let first_block = number::<4>(&bytes, 16);
        Ok(Self { kind, mode, uid, gid, links, size, modified, attributes, layout, first_block })
    }

    /// Ranges of the image that make the content, in order. They need not lie inside it.
    ///
    /// # Errors
    /// When they cannot be.
    pub(super) fn extents(&self, superblock: &Superblock) -> Result<Vec<(u64, u64)>> {
        if self.size == 0 {
            return Ok(Vec::new());
        }
        let start = self.first_block * superblock.block;
        if self.layout == Layout::Plain {
            return Ok(vec![(start, self.size)]);
        }
        let whole = (self.size - 1) / superblock.block * superblock.block;
        let tail = self.size - whole;
        let tail_at = self.attributes.0 + self.attributes.1;
        if tail_at % superblock.block + tail > superblock.block {
            return Err(damaged("the end of a file crosses a block"));
        }
        let blocks = (whole > 0).then_some((start, whole));
        Ok(blocks.into_iter().chain([(tail_at, tail)]).collect())
    }
}

fn unreadable(how: &str) -> Error {
    Error::invalid(format!("its content is {how}, which is not read here"))
        .help("the builder writes images with mkfs.erofs without compression")
}

fn kind(mode: u32) -> Result<Kind> {
    Ok(match mode >> 12 {
        0o04 => Kind::Directory,
        0o10 => Kind::File,
        0o12 => Kind::Symlink,
        0o01 | 0o02 | 0o06 | 0o14 => Kind::Special,
        _ => return Err(damaged(format_args!("an entry of the unknown kind {mode:#o}"))),
    })
}
