//! Copying a local image into a partition: read, check against the tree, write, read back.

use edge_host::buffer::PageBuffer;
use edge_host::slot::{ImageReader, ImageWriter, TreeOnDisk};
use edge_model::ids::RootHash;
use edge_model::manifest::BLOCK_SIZE;
use edge_model::{Context, Error, Result};
use edge_slot_image::verity;

use crate::report::Report;

const CHUNK: usize = 4 << 20;

/// Copies the image with this root from `source` to a partition of a disk that is being installed, and checks
/// every block on the way and on the disk.
///
/// # Errors
/// [`edge_model::Class::Integrity`] when the source or the new copy is damaged.
pub(super) fn copy(
    source: &ImageReader,
    target: &ImageWriter,
    root_hash: &RootHash,
    data_blocks: u64,
    what: &str,
    report: &mut dyn Report,
) -> Result<()> {
    let tree = source.tree(root_hash, data_blocks).context("the installation medium is damaged")?;
    let mut tree_bytes = PageBuffer::new((verity::tree_blocks(data_blocks) * BLOCK_SIZE) as usize);
    source.read_at(data_blocks * BLOCK_SIZE, &mut tree_bytes)?;
    let tree_on_disk = TreeOnDisk::new(tree_bytes, data_blocks);
    tree_on_disk.write_disabled(target)?;
    let end = data_blocks * BLOCK_SIZE;
    report.step(&format!("writing {what}"), end);
    let mut buffer = PageBuffer::new(CHUNK);
    let mut offset = 0;
    while offset < end {
        let chunk = &mut buffer[..CHUNK.min((end - offset) as usize)];
        source.read_at(offset, chunk)?;
        if let Some(block) = tree.first_mismatch(offset / BLOCK_SIZE, chunk) {
            return Err(Error::integrity(format!("block {block} of the installation medium is damaged"))
                .help("write the medium again, or use another stick"));
        }
        target.write_at(offset, chunk)?;
        offset += chunk.len() as u64;
        report.progress(offset)?;
    }
    tree_on_disk.enable(target)?;
    report.step(&format!("checking {what}"), end);
    target.reader().scrub(root_hash, data_blocks, |done| report.progress(done))
}
