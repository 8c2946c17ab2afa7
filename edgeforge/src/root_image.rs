//! The operating-system image: EROFS, hash tree, and the compressed frames in which it travels.

use std::fs::{self, File, OpenOptions};
use std::io::{BufReader, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use edge_host::child::Child;
use edge_host::gpt::Guid;
use edge_host::sandbox::Sandbox;
use edge_model::ids::RootHash;
use edge_model::manifest::{BLOCK_SIZE, Blob, RootImage};
use edge_model::{Context, Error, Result};
use edge_slot_image::verity::TreeBuilder;
use edge_slot_image::{Hasher, frames, verity};
use serde::{Deserialize, Serialize};

const DEADLINE: Duration = Duration::from_secs(900);

/// Names in the folder of this step.
const IMAGE: &str = "root.img";
const FRAMES: &str = "root.frames";
const DESCRIPTION: &str = "root.json";

/// A finished image in the cache.
#[derive(Debug)]
pub(crate) struct BuiltRoot {
    directory: PathBuf,
    pub(crate) description: RootImage,
}

impl BuiltRoot {
    pub(crate) fn open(directory: &Path) -> Result<Self> {
        #[derive(Serialize, Deserialize)]
        struct Description(RootImage);
        let bytes = edge_host::files::read(&directory.join(DESCRIPTION), 16 << 20)?;
        let Description(description) =
            serde_json::from_slice(&bytes).context("the description of the root image is damaged")?;
        Ok(Self { directory: directory.to_owned(), description })
    }

    /// Data and tree, as they are written to a slot.
    pub(crate) fn image(&self) -> PathBuf {
        self.directory.join(IMAGE)
    }

    pub(crate) fn frames(&self) -> PathBuf {
        self.directory.join(FRAMES)
    }
}

/// Makes the image from a tar archive whose every entry has the time `created`.
///
/// # Errors
/// When mkfs.erofs fails or the disk is full.
pub(crate) fn build(tree: &Path, created: u64, tools: &Sandbox, directory: &Path) -> Result<()> {
    fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
    let image = directory.join(IMAGE);
    let (tree_digest, _) = edge_host::files::digest(tree)?;
    let uuid = Guid::derived(&tree_digest.0);
    Child::new("mkfs.erofs")
        // Contents in the archive's order: sorted, all of them would be copied once more.
        .args(["--quiet", "--tar=f", "--sort=none", "-Enoinline_data"])
        .args(["-T", &created.to_string(), "-U", &uuid.to_string()])
        .arg(&image)
        .arg(tree)
        .deadline(DEADLINE)
        .inside(tools)?
        .run()?;
    let description = add_tree_and_compress(&image, &directory.join(FRAMES), uuid)?;
    let bytes = serde_json::to_vec(&description).context("cannot describe the root image")?;
    fs::write(directory.join(DESCRIPTION), bytes).context("cannot describe the root image")
}

/// One pass over the data: hash tree and compressed frames together.
fn add_tree_and_compress(image: &Path, frames_path: &Path, uuid: Guid) -> Result<RootImage> {
    let context = || format!("cannot read {}", image.display());
    let mut file = OpenOptions::new().read(true).write(true).open(image).with_context(context)?;
    let length = file.metadata().with_context(context)?.len();
    if length % BLOCK_SIZE != 0 {
        return Err(Error::internal("mkfs.erofs made an image that does not consist of whole blocks"));
    }
    let output = File::create(frames_path).context("cannot write the compressed root image")?;
    let mut output = HashingWriter::new(BufWriter::new(output));
    let mut builder = TreeBuilder::default();
    let mut reader = BufReader::with_capacity(1 << 20, &file);
    let data_frames = frames::compress(&mut reader, length, &mut output, |frame| builder.push(frame))?;
    let data_blocks = builder.data_blocks();
    let (root_hash, tree): (RootHash, Vec<u8>) = builder.finish(uuid.0)?;
    let tree_frames = frames::compress(&mut tree.as_slice(), tree.len() as u64, &mut output, |_| Ok(()))?;
    file.seek(SeekFrom::End(0)).and_then(|_| file.write_all(&tree)).context("cannot write the hash tree")?;
    let (blob, _) = output.finish().context("cannot write the compressed root image")?;
    let tree_blocks = verity::tree_blocks(data_blocks);
    Ok(RootImage { root_hash, data_blocks, tree_blocks, blob, data_frames, tree_frames })
}

/// Knows digest and size of what passes.
pub(crate) struct HashingWriter<W> {
    inner: W,
    hasher: Hasher,
    size: u64,
}

impl<W: Write> HashingWriter<W> {
    pub(crate) fn new(inner: W) -> Self {
        Self { inner, hasher: Hasher::default(), size: 0 }
    }

    /// What has passed, and the writer behind.
    ///
    /// # Errors
    /// When the rest cannot be written.
    pub(crate) fn finish(mut self) -> std::io::Result<(Blob, W)> {
        self.inner.flush()?;
        Ok((Blob { digest: self.hasher.finish(), size: self.size }, self.inner))
    }
}

impl<W: Write> Write for HashingWriter<W> {
    fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
        let length = self.inner.write(buffer)?;
        self.hasher.update(&buffer[..length]);
        self.size += length as u64;
        Ok(length)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}
