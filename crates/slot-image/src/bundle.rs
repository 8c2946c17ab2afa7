//! Content bundles: an OCI layout as a tar archive in zstd frames. Ours begin with `index.json` and its signature, then come
//! manifests and configurations, then layers: whoever reads one knows before the first large byte what it will need. Bundles of
//! others (Palette's among them) may have any order, and no signature.
//!
//! <https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md>

use std::collections::BTreeMap;
use std::io::{BufReader, Read, Write};

use edge_model::ids::{Digest, from_hex, to_hex};
use edge_model::{Context, Error, Result};
use serde::{Deserialize, Serialize};
use tar::{Archive, Builder, EntryType, Header};

use crate::oci::{Descriptor, LAYOUT};

/// Most bytes of a list of images, a manifest or a configuration.
pub const DOCUMENT_LIMIT: u64 = 4 << 20;
const INDEX: &str = "index.json";
/// [`edge_model::manifest::Signatures`] over the bytes of the list of images.
const SIGNATURE: &str = "index.sig.json";
const BLOBS: &str = "blobs/sha256/";
/// Far more than any bundle has.
const MOST_ENTRIES: usize = 200_000;
/// 128 MiB: what `zstd` itself takes without being told otherwise.
const WINDOW_LOG: u32 = 27;
const LEVEL: i32 = 3;
/// Uncompressed bytes of a frame: each can be read alone.
const FRAME: usize = 4 << 20;

/// The list of images of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BundleIndex {
    pub schema_version: u32,
    #[serde(default)]
    pub media_type: String,
    pub manifests: Vec<Descriptor>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// What comes by while a bundle is read.
#[allow(missing_debug_implementations)] // a stream has none
pub enum Part<'a> {
    /// The list of images.
    Index(Vec<u8>),
    /// The signature over it.
    Signature(Vec<u8>),
    /// What the name promises; whoever stores it checks it.
    Blob { digest: Digest, size: u64, content: &'a mut dyn Read },
}

/// Reads a bundle from its beginning to its end.
///
/// # Errors
/// [`edge_model::Class::InvalidInput`] when it is none, and those of `take`.
pub fn read(input: impl Read, take: &mut dyn FnMut(Part<'_>) -> Result<()>) -> Result<()> {
    let broken = "the bundle cannot be read to its end";
    let mut decoder = zstd::Decoder::new(input).context("the bundle is not a zstd archive")?;
    decoder.window_log_max(WINDOW_LOG).context("the bundle cannot be read")?;
    let mut archive = Archive::new(BufReader::with_capacity(1 << 16, decoder));
    let mut seen_index = false;
    // Raw: what an archive says about the next entry, such as a long name, is never read into memory.
    for (number, entry) in archive.entries().context(broken)?.raw(true).enumerate() {
        let mut entry = entry.context(broken)?;
        if number >= MOST_ENTRIES {
            return Err(Error::invalid(format!("the bundle has more than {MOST_ENTRIES} files")));
        }
        if entry.header().entry_type() != EntryType::Regular {
            continue;
        }
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let size = entry.size();
        match place(&path) {
            Place::Index if seen_index => return Err(Error::invalid("the bundle has two lists of images")),
            Place::Index => {
                seen_index = true;
                take(Part::Index(document(&mut entry, size, INDEX)?))?;
            }
            Place::Signature => take(Part::Signature(document(&mut entry, size, SIGNATURE)?))?,
            Place::Blob(digest) => take(Part::Blob { digest, size, content: &mut entry })?,
            Place::Other => {}
        }
    }
    if seen_index { Ok(()) } else { Err(Error::invalid("the bundle has no list of images (index.json)")) }
}

fn document(entry: &mut dyn Read, size: u64, name: &str) -> Result<Vec<u8>> {
    if size > DOCUMENT_LIMIT {
        return Err(Error::invalid(format!("{name} of the bundle has {size} bytes")));
    }
    let mut bytes = Vec::new();
    entry.take(DOCUMENT_LIMIT).read_to_end(&mut bytes).context("the bundle cannot be read to its end")?;
    Ok(bytes)
}

#[derive(Debug, PartialEq, Eq)]
enum Place {
    Index,
    Signature,
    Blob(Digest),
    Other,
}

/// Below the root of the archive, or one folder in it: some tools pack the folder itself.
fn place(path: &str) -> Place {
    let path = path.trim_start_matches("./");
    let blob = |path: &str| -> Option<Digest> {
        let bytes = from_hex(path.strip_prefix(BLOBS)?)?;
        bytes.try_into().ok().map(Digest)
    };
    for path in [Some(path), path.split_once('/').map(|(_, rest)| rest)].into_iter().flatten() {
        match path {
            INDEX => return Place::Index,
            SIGNATURE => return Place::Signature,
            _ => {}
        }
        if let Some(digest) = blob(path) {
            return Place::Blob(digest);
        }
    }
    Place::Other
}

/// Writes a bundle.
pub struct Writer<W: Write>(Builder<Frames<W>>);

impl<W: Write> std::fmt::Debug for Writer<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Writer")
    }
}

impl<W: Write> Writer<W> {
    /// Begins with the list of images and, if there is one, its signature.
    ///
    /// # Errors
    /// When nothing can be written.
    pub fn begin(output: W, index: &[u8], signature: Option<&[u8]>) -> Result<Self> {
        let mut writer = Self(Builder::new(Frames::new(output)?));
        writer.file(INDEX, index.len() as u64, &mut &index[..])?;
        if let Some(signature) = signature {
            writer.file(SIGNATURE, signature.len() as u64, &mut &signature[..])?;
        }
        writer.file("oci-layout", LAYOUT.len() as u64, &mut &LAYOUT[..])?;
        Ok(writer)
    }

    /// # Errors
    /// When `content` has fewer bytes than `size`, or the output fails.
    pub fn blob(&mut self, digest: &Digest, size: u64, content: &mut dyn Read) -> Result<()> {
        self.file(&format!("{BLOBS}{}", to_hex(&digest.0)), size, content)
    }

    fn file(&mut self, path: &str, size: u64, content: &mut dyn Read) -> Result<()> {
        let mut header = Header::new_ustar();
        header.set_size(size);
        header.set_mode(0o644);
        let mut counted = Counted { inner: content.take(size), count: 0 };
        self.0.append_data(&mut header, path, &mut counted).context("cannot write the bundle")?;
        match counted.count == size {
            true => Ok(()),
            false => Err(Error::integrity(format!("{path} has {} bytes instead of {size}", counted.count))),
        }
    }

    /// # Errors
    /// When the output fails.
    pub fn finish(self) -> Result<W> {
        let frames = self.0.into_inner().context("cannot write the bundle")?;
        frames.finish().context("cannot write the bundle")
    }
}

struct Counted<R> {
    inner: R,
    count: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.count += length as u64;
        Ok(length)
    }
}

/// Frames of equal size with a table at the end, by which any part can be found.
///
/// <https://github.com/facebook/zstd/blob/v1.5.7/contrib/seekable_format/zstd_seekable_compression_format.md>
struct Frames<W: Write> {
    output: W,
    compressor: zstd::bulk::Compressor<'static>,
    pending: Vec<u8>,
    /// Compressed and uncompressed size of each frame.
    sizes: Vec<(u32, u32)>,
}

const SKIPPABLE: u32 = 0x184D_2A5E;
const SEEKABLE: u32 = 0x8F92_EAB1;

impl<W: Write> Frames<W> {
    fn new(output: W) -> Result<Self> {
        let compressor = zstd::bulk::Compressor::new(LEVEL).context("cannot start the compressor")?;
        Ok(Self { output, compressor, pending: Vec::with_capacity(FRAME), sizes: Vec::new() })
    }

    fn close_frame(&mut self) -> std::io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let compressed = self.compressor.compress(&self.pending)?;
        self.output.write_all(&compressed)?;
        self.sizes.push((compressed.len() as u32, self.pending.len() as u32));
        self.pending.clear();
        Ok(())
    }

    fn finish(mut self) -> std::io::Result<W> {
        self.close_frame()?;
        let count = self.sizes.len() as u32;
        let mut table = Vec::with_capacity(self.sizes.len() * 8 + 17);
        table.extend(SKIPPABLE.to_le_bytes());
        table.extend((count * 8 + 9).to_le_bytes());
        for (compressed, plain) in &self.sizes {
            table.extend(compressed.to_le_bytes());
            table.extend(plain.to_le_bytes());
        }
        table.extend(count.to_le_bytes());
        table.push(0); // no checksums: digests cover everything
        table.extend(SEEKABLE.to_le_bytes());
        self.output.write_all(&table)?;
        self.output.flush()?;
        Ok(self.output)
    }
}

impl<W: Write> Write for Frames<W> {
    fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
        let length = buffer.len().min(FRAME - self.pending.len());
        self.pending.extend_from_slice(&buffer[..length]);
        if self.pending.len() == FRAME {
            self.close_frame()?;
        }
        Ok(length)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sha256;
    use proptest::prelude::*;

    fn seen(bytes: &[u8]) -> Result<Vec<String>> {
        let mut seen = Vec::new();
        read(bytes, &mut |part| {
            seen.push(match part {
                Part::Index(bytes) => format!("index {}", bytes.len()),
                Part::Signature(_) => "signature".into(),
                Part::Blob { digest, size, content } => {
                    let mut bytes = Vec::new();
                    content.read_to_end(&mut bytes)?;
                    format!("blob {size} {}", sha256(&bytes) == digest)
                }
            });
            Ok(())
        })?;
        Ok(seen)
    }

    #[test]
    fn what_was_written_is_read_in_its_order() {
        let large: Vec<u8> = (0..FRAME + 4321).map(|at| (at % 251) as u8).collect();
        let mut writer = Writer::begin(Vec::new(), b"{}", Some(b"[]")).unwrap();
        for blob in [&b"small"[..], &large] {
            writer.blob(&sha256(blob), blob.len() as u64, &mut &blob[..]).unwrap();
        }
        let bytes = writer.finish().unwrap();
        let expected = ["index 2", "signature", "blob 5 true", &format!("blob {} true", large.len())];
        assert_eq!(seen(&bytes).unwrap(), expected);
        assert_eq!(bytes[bytes.len() - 4..], SEEKABLE.to_le_bytes());
        let short = Writer::begin(Vec::new(), b"{}", None).unwrap().blob(&sha256(b""), 9, &mut &b"short"[..]);
        assert!(short.unwrap_err().to_string().contains("5 bytes instead of 9"));
    }

    #[test]
    fn a_bundle_of_others_may_lie_in_a_folder_and_end_with_its_list() {
        let mut builder = Builder::new(Vec::new());
        for (path, bytes) in [
            (format!("bundle-pkg/{BLOBS}{}", to_hex(&sha256(b"x").0)), &b"x"[..]),
            ("bundle-pkg/index.json".into(), b"{}"),
            ("./oci-layout".into(), b"{}"),
            ("a/b/index.json".into(), b"no"),
        ] {
            let mut header = Header::new_gnu();
            header.set_size(bytes.len() as u64);
            builder.append_data(&mut header, path, bytes).unwrap();
        }
        let bytes = zstd::encode_all(&builder.into_inner().unwrap()[..], 1).unwrap();
        assert_eq!(seen(&bytes).unwrap(), ["blob 1 true", "index 2"]);
    }

    #[test]
    fn what_is_no_bundle_is_refused() {
        for (bytes, why) in [
            (&b"text"[..], "cannot be read"),
            (&zstd::encode_all(&[0; 1024][..], 1).unwrap(), "no list of images"),
            (&[], "cannot be read"),
        ] {
            assert!(seen(bytes).unwrap_err().to_string().contains(why), "{why}: {:?}", seen(bytes));
        }
        // A name of 3 GB compresses to nothing, and is not read.
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::GNULongName);
        header.set_size(3 << 30);
        header.set_path("././@LongLink").unwrap();
        header.set_cksum();
        let bytes = zstd::encode_all(&header.as_bytes()[..], 1).unwrap();
        assert!(seen(&bytes).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn damaged_bundles_never_panic(at: usize, byte: u8, cut: usize) {
            let mut writer = Writer::begin(Vec::new(), b"{\"manifests\":[]}", None).unwrap();
            writer.blob(&sha256(b"content"), 7, &mut &b"content"[..]).unwrap();
            let mut bytes = writer.finish().unwrap();
            let length = bytes.len();
            bytes[at % length] = byte;
            bytes.truncate(length - cut % length);
            let _ = seen(&bytes);
        }

        #[test]
        fn no_path_panics(path in ".{0,90}") {
            let _ = place(&path);
        }
    }
}
