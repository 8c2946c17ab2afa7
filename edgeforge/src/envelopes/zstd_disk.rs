//! The raw disk, compressed: pieces of fixed size, each a zstd frame of its own. `zstd -d` unpacks them as one file.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use edge_model::{Context, Result};
use zstd::bulk::Compressor;
use zstd::zstd_safe::CParameter;

use crate::fat::next_data;

const LEVEL: i32 = 3;
const PIECE: usize = 4 << 20;

/// Compresses a disk. Most of it is holes: the frame of an empty piece is made once, and holes are not read. Whether
/// a piece is empty is decided by its bytes, because not every file system keeps holes.
///
/// # Errors
/// When reading or writing fails.
pub(super) fn write(disk: &Path, output: &Path) -> Result<()> {
    let context = || format!("cannot compress {}", disk.display());
    let input = File::open(disk).with_context(context)?;
    let size = input.metadata().with_context(context)?.len();
    let file = File::create(output).with_context(|| format!("cannot create {}", output.display()))?;
    let mut output = BufWriter::with_capacity(1 << 20, file);
    let mut compressor = Compressor::new(LEVEL).with_context(context)?;
    compressor.set_parameter(CParameter::ChecksumFlag(true)).with_context(context)?;
    let mut buffer = vec![0; PIECE];
    let empty = compressor.compress(&buffer).with_context(context)?;
    let mut at = 0;
    while at < size {
        let piece = &mut buffer[..PIECE.min((size - at) as usize)];
        let end = at + piece.len() as u64;
        if next_data(&input, at).with_context(context)?.is_none_or(|(start, _)| start >= end) {
            piece.fill(0);
        } else {
            input.read_exact_at(piece, at).with_context(context)?;
        }
        if piece.len() == PIECE && piece.iter().all(|byte| *byte == 0) {
            output.write_all(&empty).with_context(context)?;
        } else {
            output.write_all(&compressor.compress(piece).with_context(context)?).with_context(context)?;
        }
        at = end;
    }
    output.flush().with_context(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_out_is_what_went_in_and_holes_make_no_difference() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let (size, at) = (3 * PIECE as u64 + 5, 2 * PIECE as u64 - 3);
        let sparse = File::create(path("sparse")).unwrap();
        sparse.set_len(size).unwrap();
        sparse.write_all_at(b"across two pieces", at).unwrap();
        sparse.write_all_at(b"end", size - 3).unwrap();
        let bytes = std::fs::read(path("sparse")).unwrap();
        std::fs::write(path("full"), &bytes).unwrap();
        write(&path("sparse"), &path("1")).unwrap();
        write(&path("full"), &path("2")).unwrap();
        let compressed = std::fs::read(path("1")).unwrap();
        assert!(compressed == std::fs::read(path("2")).unwrap());
        assert!(zstd::decode_all(compressed.as_slice()).unwrap() == bytes);
        assert!(compressed.len() < PIECE / 100, "{}", compressed.len());
    }
}
