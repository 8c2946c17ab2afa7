//! The dm-verity hash tree (format 1, SHA-256, 4096-byte blocks, no salt), as `veritysetup` writes it behind
//! the data: one superblock block, then the levels from the top to the leaves.
//!
//! <https://docs.kernel.org/admin-guide/device-mapper/verity.html>

use edge_model::ids::RootHash;
use edge_model::manifest::BLOCK_SIZE;
use edge_model::{Error, Result};

const BLOCK: usize = BLOCK_SIZE as usize;
const HASH: usize = 32;
const HASHES_PER_BLOCK: u64 = (BLOCK / HASH) as u64;
/// Largest image that is accepted: 64 GiB. Bounds what a manifest can make a host allocate.
pub const MAX_DATA_BLOCKS: u64 = 16 << 20;

/// Number of blocks of each level, the top level (one block) first.
fn level_blocks(data_blocks: u64) -> Vec<u64> {
    let mut levels = Vec::new();
    let mut blocks = data_blocks;
    loop {
        blocks = blocks.div_ceil(HASHES_PER_BLOCK);
        levels.insert(0, blocks);
        if blocks == 1 {
            return levels;
        }
    }
}

/// Blocks behind the data: superblock and tree.
pub fn tree_blocks(data_blocks: u64) -> u64 {
    1 + level_blocks(data_blocks).iter().sum::<u64>()
}

/// Byte offset of the tree's top block on a device whose image has `data_blocks` of data.
pub fn top_block_offset(data_blocks: u64) -> u64 {
    (data_blocks + 1) * BLOCK_SIZE
}

fn hash_block(block: &[u8]) -> [u8; HASH] {
    crate::sha256(block).0
}

/// Whether `top_block` is the top of the tree with this root hash.
pub fn is_top_of(root_hash: &RootHash, top_block: &[u8]) -> bool {
    hash_block(top_block) == root_hash.0
}

/// Collects the hashes of data blocks while they stream by.
#[derive(Debug, Default)]
pub struct TreeBuilder {
    leaves: Vec<u8>,
}

impl TreeBuilder {
    /// Takes whole blocks.
    ///
    /// # Errors
    /// [`edge_model::Class::Internal`] when `data` is not a multiple of the block size.
    pub fn push(&mut self, data: &[u8]) -> Result<()> {
        if !data.len().is_multiple_of(BLOCK) {
            return Err(Error::internal("the hash tree takes whole 4096-byte blocks"));
        }
        for block in data.chunks_exact(BLOCK) {
            self.leaves.extend_from_slice(&hash_block(block));
        }
        Ok(())
    }

    pub fn data_blocks(&self) -> u64 {
        (self.leaves.len() / HASH) as u64
    }

    /// The root hash, and superblock and tree as they stand behind the data.
    ///
    /// # Errors
    /// When fewer than two blocks were pushed: such an image has no tree.
    pub fn finish(self, uuid: [u8; 16]) -> Result<(RootHash, Vec<u8>)> {
        let data_blocks = self.data_blocks();
        if !(2..=MAX_DATA_BLOCKS).contains(&data_blocks) {
            return Err(Error::invalid(format!("an image of {data_blocks} blocks cannot carry a hash tree")));
        }
        let mut levels = vec![pad(self.leaves)];
        while levels[0].len() > BLOCK {
            let above = levels[0].chunks_exact(BLOCK).flat_map(hash_block).collect();
            levels.insert(0, pad(above));
        }
        let root = RootHash(hash_block(&levels[0]));
        let mut out = superblock(data_blocks, uuid);
        out.extend(levels.concat());
        Ok((root, out))
    }
}

fn pad(mut hashes: Vec<u8>) -> Vec<u8> {
    hashes.resize(hashes.len().next_multiple_of(BLOCK), 0);
    hashes
}

fn superblock(data_blocks: u64, uuid: [u8; 16]) -> Vec<u8> {
    let mut block = vec![0; BLOCK];
    block[..6].copy_from_slice(b"verity");
    block[8..12].copy_from_slice(&1u32.to_le_bytes()); // version
    block[12..16].copy_from_slice(&1u32.to_le_bytes()); // hash type: normal
    block[16..32].copy_from_slice(&uuid);
    block[32..38].copy_from_slice(b"sha256");
    block[64..68].copy_from_slice(&(BLOCK as u32).to_le_bytes());
    block[68..72].copy_from_slice(&(BLOCK as u32).to_le_bytes());
    block[72..80].copy_from_slice(&data_blocks.to_le_bytes());
    block // salt size and salt stay zero
}

/// A hash tree whose every block was checked from the root down.
#[derive(Debug)]
pub struct Tree {
    leaves: Vec<u8>,
    data_blocks: u64,
}

impl Tree {
    /// Checks `bytes` (superblock and tree) against the root hash.
    ///
    /// # Errors
    /// [`edge_model::Class::Integrity`] when a block of the tree does not match.
    pub fn verify(root_hash: &RootHash, data_blocks: u64, bytes: &[u8]) -> Result<Tree> {
        if !(2..=MAX_DATA_BLOCKS).contains(&data_blocks) {
            return Err(Error::integrity(format!("an image of {data_blocks} blocks is not acceptable")));
        }
        if bytes.len() as u64 != tree_blocks(data_blocks) * BLOCK_SIZE {
            return Err(Error::integrity("the hash tree has the wrong length"));
        }
        let mut expected = root_hash.0.to_vec();
        let mut rest = &bytes[BLOCK..];
        for (depth, blocks) in level_blocks(data_blocks).into_iter().enumerate() {
            let (level, below) = rest.split_at(blocks as usize * BLOCK);
            for (index, block) in level.chunks_exact(BLOCK).enumerate() {
                if hash_block(block) != expected[index * HASH..(index + 1) * HASH] {
                    return Err(Error::integrity(format!(
                        "block {index} of level {depth} of the hash tree does not match"
                    )));
                }
            }
            expected = level.to_vec();
            rest = below;
        }
        Ok(Tree { leaves: expected, data_blocks })
    }

    pub fn data_blocks(&self) -> u64 {
        self.data_blocks
    }

    /// Index of the first block of `data` that differs from what the tree says about the blocks from
    /// `first_block` on; `None` when all match.
    pub fn first_mismatch(&self, first_block: u64, data: &[u8]) -> Option<u64> {
        if !data.len().is_multiple_of(BLOCK) || first_block + (data.len() / BLOCK) as u64 > self.data_blocks {
            return Some(first_block);
        }
        data.chunks_exact(BLOCK).zip(first_block..).find_map(|(block, index)| {
            let at = index as usize * HASH;
            (hash_block(block) != self.leaves[at..at + HASH]).then_some(index)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn image(blocks: usize) -> Vec<u8> {
        (0..blocks * BLOCK).map(|at| (at / 7 % 251) as u8).collect()
    }

    fn build(data: &[u8]) -> (RootHash, Vec<u8>) {
        let mut builder = TreeBuilder::default();
        builder.push(data).unwrap();
        builder.finish([0; 16]).unwrap()
    }

    #[test]
    fn root_hash_is_the_one_that_veritysetup_computes() {
        // veritysetup format --salt=- --uuid=00000000-0000-0000-0000-000000000000 of 300 blocks of this pattern.
        let (root, tree) = build(&image(300));
        assert_eq!(tree.len() as u64, tree_blocks(300) * BLOCK_SIZE);
        assert_eq!(root.to_string(), include_str!("testdata/root-of-300-blocks").trim());
    }

    #[test]
    fn too_small_and_uneven_images_are_refused() {
        let mut builder = TreeBuilder::default();
        assert!(builder.push(&[0; 100]).is_err());
        builder.push(&image(1)).unwrap();
        assert!(builder.finish([0; 16]).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn any_flipped_byte_is_found(blocks in 2usize..400, seed in any::<usize>()) {
            let mut data = image(blocks);
            let (root, mut tree) = build(&data);
            let good = Tree::verify(&root, blocks as u64, &tree).unwrap();
            prop_assert_eq!(good.first_mismatch(0, &data), None);
            let at = seed % data.len();
            data[at] ^= 1;
            prop_assert_eq!(good.first_mismatch(0, &data), Some((at / BLOCK) as u64));
            // Padding bytes belong to hashed blocks, except in the superblock.
            let at = BLOCK + seed % (tree.len() - BLOCK);
            tree[at] ^= 1;
            prop_assert!(Tree::verify(&root, blocks as u64, &tree).is_err());
        }

        #[test]
        fn no_claimed_size_panics(blocks in any::<u64>(), bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            prop_assert!(Tree::verify(&RootHash([0; 32]), blocks, &bytes).is_err());
        }
    }
}
