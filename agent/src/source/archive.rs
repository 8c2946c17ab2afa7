//! An OCI layout packed into one tar file. Blobs are read where they are, without unpacking.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use edge_host::files;
use edge_model::ids::to_hex;
use edge_model::{Context, Error, Result};
use edge_slot_image::oci::{Descriptor, Index};

use super::BlobSource;

/// Most entries that an archive of an image can have.
const MOST_ENTRIES: usize = 10_000;
const LIMIT: u64 = 4 << 20;

pub(super) struct ArchiveFile {
    file: File,
    /// Offset and size of each regular file.
    entries: BTreeMap<String, (u64, u64)>,
}

impl ArchiveFile {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let context = || format!("cannot read {}", path.display());
        // A pipe would be waited for without an end.
        let file = files::open_of_stranger(path).with_context(context)?;
        let reader = BufReader::new(file.try_clone().with_context(context)?);
        let mut entries = BTreeMap::new();
        for entry in tar::Archive::new(reader).entries_with_seek().with_context(context)?.take(MOST_ENTRIES) {
            let entry = entry.with_context(context)?;
            let name =
                entry.path().with_context(context)?.to_string_lossy().trim_start_matches("./").to_owned();
            if entry.header().entry_type().is_file() {
                entries.insert(name, (entry.raw_file_position(), entry.size()));
            }
        }
        Ok(Self { file, entries })
    }

    fn span(&self, name: &str, offset: u64) -> Result<std::io::Take<File>> {
        let missing = || Error::invalid(format!("the archive has no {name}"));
        let (start, size) = *self.entries.get(name).ok_or_else(missing)?;
        let mut file = self.file.try_clone().context("cannot read the archive")?;
        file.seek(SeekFrom::Start(start + offset.min(size))).context("cannot read the archive")?;
        Ok(file.take(size.saturating_sub(offset)))
    }

    fn small(&self, name: &str) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.span(name, 0)?.take(LIMIT).read_to_end(&mut bytes).context("cannot read the archive")?;
        Ok(bytes)
    }
}

fn blob_name(blob: &Descriptor) -> String {
    format!("blobs/sha256/{}", to_hex(&blob.digest.0))
}

impl BlobSource for ArchiveFile {
    fn manifest(&mut self) -> Result<Vec<u8>> {
        let index = self.small("index.json")?;
        self.small(&blob_name(&Index::only_manifest(&index)?))
    }

    fn open(&mut self, blob: &Descriptor, offset: u64) -> Result<Box<dyn Read + '_>> {
        Ok(Box::new(self.span(&blob_name(blob), offset)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, content) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            builder.append_data(&mut header, name, *content).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn open(bytes: &[u8]) -> Result<ArchiveFile> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        ArchiveFile::open(file.path())
    }

    #[test]
    fn parts_are_read_where_they_are() {
        let opened = open(&archive(&[("index.json", b"0123456789"), ("other", b"abc")])).unwrap();
        let mut text = String::new();
        opened.span("index.json", 4).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "456789");
        assert!(opened.span("missing", 0).is_err());
        let mut nothing = Vec::new();
        opened.span("other", 99).unwrap().read_to_end(&mut nothing).unwrap();
        assert!(nothing.is_empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn damaged_archives_never_panic(at in 0usize..2048, byte in any::<u8>()) {
            let mut bytes = archive(&[("index.json", b"{}"), ("blobs/sha256/00", b"x")]);
            let length = bytes.len();
            bytes[at % length] = byte;
            if let Ok(mut opened) = open(&bytes) {
                let _ = opened.manifest();
            }
        }
    }
}
