//! An OCI layout in a folder, such as a mounted stick.

use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use edge_host::files;
use edge_model::ids::to_hex;
use edge_model::{Context, Result};
use edge_slot_image::oci::{Descriptor, Index};

use super::BlobSource;

/// Largest manifest or index that is read.
const LIMIT: u64 = 4 << 20;

pub(super) struct Layout {
    folder: PathBuf,
}

impl Layout {
    pub(super) fn open(folder: &Path) -> Result<Self> {
        Ok(Self { folder: folder.to_owned() })
    }

    fn blob(&self, descriptor: &Descriptor) -> PathBuf {
        self.folder.join("blobs/sha256").join(to_hex(&descriptor.digest.0))
    }
}

impl BlobSource for Layout {
    fn manifest(&mut self) -> Result<Vec<u8>> {
        let index = files::read_of_stranger(&self.folder.join("index.json"), LIMIT)?;
        files::read_of_stranger(&self.blob(&Index::only_manifest(&index)?), LIMIT)
    }

    fn open(&mut self, blob: &Descriptor, offset: u64) -> Result<Box<dyn Read + '_>> {
        let path = self.blob(blob);
        let context = || format!("cannot open {}", path.display());
        let mut file = files::open_of_stranger(&path).with_context(context)?;
        file.seek(SeekFrom::Start(offset)).with_context(context)?;
        Ok(Box::new(file))
    }
}
