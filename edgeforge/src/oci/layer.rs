//! From a stored layer to its tar archive.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::Path;

use edge_model::ids::Digest;
use edge_model::{Context, Error, Result};
use edge_slot_image::Hasher;

use super::Layer;

const BUFFER: usize = 1 << 20;
/// A layer may unfold to this many bytes whatever its size, …
const ALWAYS_ALLOWED: u64 = 2 << 30;
/// … and beyond that to so many for each stored one. Compression of real files gives 3 to 20.
const MOST_FOR_EACH: u64 = 100;
const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

impl Layer {
    /// Writes the layer's tar archive to a file, and proves stored bytes and archive by their digests.
    ///
    /// # Errors
    /// [`edge_model::Class::Integrity`] when a digest is not what was promised, [`edge_model::Class::InvalidInput`]
    /// for a layer that unfolds without end.
    pub(crate) fn write_archive(&self, output: &Path) -> Result<()> {
        let context = || format!("cannot write {}", output.display());
        let mut writer = BufWriter::with_capacity(BUFFER, File::create(output).with_context(context)?);
        self.read(|archive| {
            std::io::copy(archive, &mut writer).with_context(context)?;
            writer.flush().with_context(context)
        })
    }

    /// Gives the layer's tar archive to `take` as a stream. Only when this returns well is what was read known to be
    /// what the image promised.
    ///
    /// # Errors
    /// Those of `take`, and as [`Layer::write_archive`].
    pub(crate) fn read(&self, take: impl FnOnce(&mut dyn Read) -> Result<()>) -> Result<()> {
        let name = || format!("the layer {}", self.diff_id);
        let stored = Hashing { inner: self.stored.open()?, hasher: Hasher::default() };
        let mut stored = BufReader::with_capacity(BUFFER, stored);
        let start = std::io::BufRead::fill_buf(&mut stored).with_context(name)?;
        let limit = ALWAYS_ALLOWED.saturating_add(self.stored.size.saturating_mul(MOST_FOR_EACH));
        let unfolded = if start.starts_with(&GZIP) {
            let mut reader = flate2::bufread::MultiGzDecoder::new(&mut stored);
            unfold(&mut reader, limit, take)
        } else if start.starts_with(&ZSTD) {
            let mut reader = zstd::Decoder::with_buffer(&mut stored).with_context(name)?;
            unfold(&mut reader, limit, take)
        } else {
            unfold(&mut stored, limit, take)
        };
        // A damaged layer is called damaged, whatever the archive's reader thought of it.
        std::io::copy(&mut stored, &mut std::io::sink()).with_context(name)?;
        let stored = stored.into_inner().hasher.finish();
        if let Some(expected) = self.digest.filter(|expected| *expected != stored) {
            return Err(wrong_digest(&name(), expected, stored));
        }
        let found = unfolded.with_context(name)?;
        if found == self.diff_id { Ok(()) } else { Err(wrong_digest(&name(), self.diff_id, found)) }
    }
}

fn wrong_digest(name: &str, expected: Digest, found: Digest) -> Error {
    Error::integrity(format!("{name} is damaged: {expected} was promised, it is {found}"))
        .help("take the image from its source again")
}

fn unfold(
    reader: &mut dyn Read,
    limit: u64,
    take: impl FnOnce(&mut dyn Read) -> Result<()>,
) -> Result<Digest> {
    let mut hashing = Hashing { inner: Limited { inner: reader, left: limit }, hasher: Hasher::default() };
    {
        let mut buffered = BufReader::with_capacity(256 << 10, &mut hashing);
        take(&mut buffered)?;
        // Readers of archives stop at the end mark; the digest is over everything.
        std::io::copy(&mut buffered, &mut std::io::sink())?;
    }
    Ok(hashing.hasher.finish())
}

struct Hashing<R> {
    inner: R,
    hasher: Hasher,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..length]);
        Ok(length)
    }
}

struct Limited<'a> {
    inner: &'a mut dyn Read,
    left: u64,
}

impl Read for Limited<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.left = self.left.checked_sub(length as u64).ok_or_else(|| {
            std::io::Error::other("it unfolds to far more than any honest layer: it is taken for a bomb")
        })?;
        Ok(length)
    }
}
