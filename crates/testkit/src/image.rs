//! Provider images of a few blocks: with hash tree, kernels, manifest and signature as large ones have them.

use std::fs;
use std::path::Path;

use edge_host::disk::PartitionedDisk;
use edge_host::slot::ImageWriter;
use edge_host::uki_store::{StoredUkis, Which};
use edge_model::ids::{Digest, RootHash, to_hex};
use edge_model::layout::{GIB, Role};
use edge_model::ledger::ImageRecord;
use edge_model::manifest::{BLOCK_SIZE, Blob, FORMAT, ImageManifest, RootImage, Ukis};
use edge_model::paths;
use edge_slot_image::oci::{self, Descriptor};
use edge_slot_image::signing::Signer;
use edge_slot_image::verity::{self, TreeBuilder};
use edge_slot_image::{frames, sha256};

/// The kernels of all images, as files.
pub const MAIN_KERNEL: &[u8] = b"kernel";
pub const RECOVERY_KERNEL: &[u8] = b"recovery kernel";
const BLOCKS: u64 = 16;
const NAME: &str = "edge";

#[derive(Debug, Clone)]
pub struct SmallImage {
    pub manifest: ImageManifest,
    manifest_bytes: Vec<u8>,
    signature: Option<Vec<u8>>,
    /// Data, then superblock and tree.
    content: Vec<u8>,
    frames: Vec<u8>,
}

fn blob(bytes: &[u8]) -> Blob {
    Blob { digest: sha256(bytes), size: bytes.len() as u64 }
}

impl SmallImage {
    /// An image of version `NUMBER.0`; another number makes another image.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn new(number: u8, signer: Option<&dyn Signer>) -> Self {
        Self::of_blocks(BLOCKS, number, signer)
    }

    /// As [`SmallImage::new`], of so many blocks: 1024 are a frame.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn of_blocks(blocks: u64, number: u8, signer: Option<&dyn Signer>) -> Self {
        let data: Vec<u8> = (0..blocks * BLOCK_SIZE).map(|at| (at / 7) as u8 ^ number).collect();
        let mut tree = TreeBuilder::default();
        tree.push(&data).expect("whole blocks");
        let (root_hash, tree) = tree.finish([number; 16]).expect("a tree");
        let mut frames = Vec::new();
        let mut compress = |region: &[u8]| {
            frames::compress(&mut &region[..], region.len() as u64, &mut frames, |_| Ok(())).expect("frames")
        };
        let (data_frames, tree_frames) = (compress(&data), compress(&tree));
        let manifest = ImageManifest {
            format: FORMAT,
            name: NAME.into(),
            version: format!("{number}.0"),
            architecture: "amd64".into(),
            created: u64::from(number),
            kernel: "6.12".into(),
            root: RootImage {
                root_hash,
                data_blocks: blocks,
                tree_blocks: verity::tree_blocks(blocks),
                blob: blob(&frames),
                data_frames,
                tree_frames,
            },
            ukis: Ukis {
                main: blob(MAIN_KERNEL),
                recovery: blob(RECOVERY_KERNEL),
                live: blob(b"live kernel"),
            },
            kubernetes: None,
            components: std::collections::BTreeMap::new(),
            critical: Vec::new(),
        };
        let manifest_bytes = serde_json::to_vec(&manifest).expect("JSON");
        let signature = signer.map(|signer| {
            serde_json::to_vec(&signer.sign(&manifest_bytes).expect("a signature")).expect("JSON")
        });
        Self { manifest, manifest_bytes, signature, content: [data, tree].concat(), frames }
    }

    pub fn root_hash(&self) -> RootHash {
        self.manifest.root.root_hash
    }

    /// As a ledger describes it.
    pub fn record(&self) -> ImageRecord {
        ImageRecord {
            name: NAME.into(),
            version: self.manifest.version.clone(),
            root_hash: self.root_hash(),
            created: self.manifest.created,
            data_blocks: self.manifest.root.data_blocks,
            signed: self.signature.is_some(),
        }
    }

    /// Data and tree as a file, as a medium has them in a partition.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write_to(&self, file: &Path) {
        fs::write(file, &self.content).expect("a file");
    }

    /// Puts it into a partition, with its kernels behind it.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn put(&self, disk: &PartitionedDisk, role: Role) {
        let volume = disk.volume(role).expect("a partition");
        self.write_to(volume.content());
        fs::OpenOptions::new()
            .write(true)
            .open(volume.content())
            .and_then(|file| file.set_len(GIB))
            .expect("a partition of its size");
        let target = ImageWriter::of_new_disk(disk, role).expect("a partition");
        let (ukis, blocks) = (&self.manifest.ukis, self.manifest.root.data_blocks);
        let stored = StoredUkis { image: self.root_hash(), main: ukis.main, recovery: ukis.recovery };
        stored.write(&target, blocks, Which::Main, &mut &MAIN_KERNEL[..]).expect("a kernel");
        stored.write(&target, blocks, Which::Recovery, &mut &RECOVERY_KERNEL[..]).expect("a kernel");
        stored.seal(&target, blocks).expect("a header");
    }

    /// Writes it as an OCI layout.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write_layout(&self, folder: &Path) {
        let blobs = folder.join("blobs/sha256");
        fs::create_dir_all(&blobs).expect("a folder");
        let put = |media_type: &str, bytes: &[u8]| {
            let blob = blob(bytes);
            fs::write(blobs.join(to_hex(&blob.digest.0)), bytes).expect("a blob");
            Descriptor::new(media_type, blob)
        };
        let mut layers = vec![put(oci::MEDIA_IMAGE_MANIFEST, &self.manifest_bytes)];
        layers.extend(self.signature.as_ref().map(|bytes| put(oci::MEDIA_SIGNATURE, bytes)));
        layers.push(put(oci::MEDIA_ROOT, &self.frames));
        layers.push(put(oci::MEDIA_UKI_MAIN, MAIN_KERNEL));
        layers.push(put(oci::MEDIA_UKI_RECOVERY, RECOVERY_KERNEL));
        let artifact = oci::Manifest::artifact(layers, std::collections::BTreeMap::new());
        let manifest = put(oci::MEDIA_MANIFEST, &serde_json::to_vec(&artifact).expect("JSON"));
        let index = serde_json::to_vec(&oci::Index::of(manifest)).expect("JSON");
        fs::write(folder.join("index.json"), index).expect("an index");
    }

    /// Writes what an installation medium has in its file system.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write_medium(&self, folder: &Path) {
        fs::create_dir_all(folder.join("edge")).expect("a folder");
        let id = Digest([self.manifest.created as u8; 32]).to_string();
        let mut files = vec![
            (paths::MEDIUM_MANIFEST, self.manifest_bytes.clone()),
            (paths::MEDIUM_UKI_MAIN, MAIN_KERNEL.to_vec()),
            (paths::MEDIUM_UKI_RECOVERY, RECOVERY_KERNEL.to_vec()),
            (paths::MEDIUM_ID, id.into_bytes()),
        ];
        files.extend(self.signature.clone().map(|bytes| (paths::MEDIUM_SIGNATURE, bytes)));
        for (name, bytes) in files {
            fs::write(folder.join(name), bytes).expect("a file of the medium");
        }
    }
}
