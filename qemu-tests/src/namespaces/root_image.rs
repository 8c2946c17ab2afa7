//! The root file system of a provider image as a file.

use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use edge_model::ids::to_hex;
use edge_model::manifest::{BLOCK_SIZE, ImageManifest};
use edge_model::{Context, Result};
use edge_slot_image::frames::{Decompressor, frame_length};

use crate::images::Built;

/// Held while a root is unpacked: several hosts of one image are installed at the same time.
static UNPACKING: Mutex<()> = Mutex::new(());

/// Unpacks the root of an image beside its other outputs, unless that was done before.
pub(super) fn unpack(built: &Built) -> Result<PathBuf> {
    let _alone = UNPACKING.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = built.folder.join("build");
    let target = folder.join("root.erofs");
    if target.exists() {
        return Ok(target);
    }
    let manifest = fs::read(folder.join("manifest.json")).context("cannot read the image's manifest")?;
    let manifest: ImageManifest =
        serde_json::from_slice(&manifest).context("the image's manifest cannot be read")?;
    let unfinished = target.with_extension("part");
    write(&manifest, &built.layout(), &unfinished)
        .with_context(|| format!("cannot unpack the root of {}", folder.display()))?;
    fs::rename(&unfinished, &target).context("cannot name the unpacked root")?;
    Ok(target)
}

/// The hash tree behind the data is not needed: nobody verifies here.
fn write(manifest: &ImageManifest, layout: &Path, target: &Path) -> Result<()> {
    let blob = layout.join("blobs/sha256").join(to_hex(&manifest.root.blob.digest.0));
    let mut input = File::open(&blob).with_context(|| format!("cannot open {}", blob.display()))?;
    let mut output = BufWriter::new(File::create(target).context("cannot create a file")?);
    let mut decompressor = Decompressor::new()?;
    let length = manifest.root.data_blocks * BLOCK_SIZE;
    for (index, size) in manifest.root.data_frames.iter().enumerate() {
        let mut compressed = vec![0; *size as usize];
        input.read_exact(&mut compressed).context("the root's blob ends early")?;
        let mut frame = vec![0; frame_length(length, index) as usize];
        decompressor.decompress(&compressed, &mut frame)?;
        output.write_all(&frame).context("cannot write")?;
    }
    output.flush().context("cannot write")
}
