//! The root image in zstd frames of fixed uncompressed size, so that any part of it can be fetched alone.

use std::io::{Read, Write};

use edge_model::manifest::{BLOCK_SIZE, FRAME_SIZE};
use edge_model::{Context, Error, Result};

/// Compression level of published images: cheap to make, and the transport is rarely the bottleneck.
const LEVEL: i32 = 3;
/// Compressed frames are never larger than this; bounds what a manifest can make a host allocate.
pub const MAX_COMPRESSED_FRAME: u32 = (FRAME_SIZE + FRAME_SIZE / 16) as u32;

/// Uncompressed length of frame `index` of a region of `region` bytes.
pub fn frame_length(region: u64, index: usize) -> u64 {
    (region - (index as u64 * FRAME_SIZE).min(region)).min(FRAME_SIZE)
}

/// Number of frames of a region of `region` bytes.
pub fn frame_count(region: u64) -> usize {
    region.div_ceil(FRAME_SIZE) as usize
}

/// Compresses `length` bytes of `input` frame by frame and returns the compressed size of each.
/// `seen` is given every frame before compression.
///
/// # Errors
/// When reading or writing fails, or `input` is shorter than `length`.
pub fn compress(
    input: &mut dyn Read,
    length: u64,
    output: &mut dyn Write,
    mut seen: impl FnMut(&[u8]) -> Result<()>,
) -> Result<Vec<u32>> {
    let mut compressor =
        zstd::bulk::Compressor::new(LEVEL).context("cannot start the compressor of the root image")?;
    let mut sizes = Vec::with_capacity(frame_count(length));
    let mut buffer = vec![0; FRAME_SIZE as usize];
    for index in 0..frame_count(length) {
        let frame = &mut buffer[..frame_length(length, index) as usize];
        input.read_exact(frame).context("the root image ended early")?;
        seen(frame)?;
        let compressed = compressor.compress(frame).context("cannot compress the root image")?;
        output.write_all(&compressed).context("cannot write the compressed root image")?;
        sizes.push(compressed.len() as u32);
    }
    Ok(sizes)
}

/// Decompresses frames one after the other with one buffer.
pub struct Decompressor(zstd::bulk::Decompressor<'static>);

impl std::fmt::Debug for Decompressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Decompressor")
    }
}

impl Decompressor {
    /// # Errors
    /// [`edge_model::Class::Internal`] when the library cannot start.
    pub fn new() -> Result<Self> {
        zstd::bulk::Decompressor::new()
            .map(Decompressor)
            .map_err(|error| Error::internal(format!("cannot start the decompressor: {error}")))
    }

    /// Fills `output` exactly from one frame.
    ///
    /// # Errors
    /// [`edge_model::Class::Integrity`] when the frame is damaged or has another length.
    pub fn decompress(&mut self, frame: &[u8], output: &mut [u8]) -> Result<()> {
        let expected = output.len();
        let length = self
            .0
            .decompress_to_buffer(frame, output)
            .map_err(|error| Error::integrity(format!("a frame of the root image is damaged: {error}")))?;
        if length != expected || !(length as u64).is_multiple_of(BLOCK_SIZE) {
            return Err(Error::integrity(format!(
                "a frame of the root image has {length} bytes instead of {expected}"
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn frames_round_trip() {
        let data: Vec<u8> = (0..FRAME_SIZE as usize + 8192).map(|at| (at % 253) as u8).collect();
        let mut compressed = Vec::new();
        let mut seen = 0;
        let sizes = compress(&mut data.as_slice(), data.len() as u64, &mut compressed, |frame| {
            seen += frame.len();
            Ok(())
        })
        .unwrap();
        assert_eq!((sizes.len(), seen), (2, data.len()));
        let mut decompressor = Decompressor::new().unwrap();
        let (mut at, mut out) = (0, Vec::new());
        for (index, size) in sizes.iter().enumerate() {
            let mut frame = vec![0; frame_length(data.len() as u64, index) as usize];
            decompressor.decompress(&compressed[at..at + *size as usize], &mut frame).unwrap();
            out.extend(frame);
            at += *size as usize;
        }
        assert!(out == data);
    }

    proptest! {
        #[test]
        fn damaged_frames_are_errors(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Decompressor::new().unwrap().decompress(&bytes, &mut [0; 4096]).is_err());
        }
    }
}
