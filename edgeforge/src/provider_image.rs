//! The provider image: manifest, signature, root and UKIs as an OCI layout with one artifact.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use edge_model::cluster::CarriedKubernetes;
use edge_model::manifest::{Blob, FORMAT, ImageManifest, Ukis};
use edge_model::{Context, Error, Result};
use edge_slot_image::oci::{self, Descriptor};
use edge_slot_image::sha256;
use edge_slot_image::signing::Signer;

use crate::root_image::BuiltRoot;
use crate::tree::{Content, Tree};
use crate::uki;
use edge_model::cmdline::Mode;

/// Everything that is decided when the parts are built.
pub(crate) struct Image {
    pub(crate) manifest: ImageManifest,
    /// The exact bytes that are signed.
    pub(crate) manifest_bytes: Vec<u8>,
    pub(crate) signature: Option<Vec<u8>>,
    ukis: PathBuf,
    frames: PathBuf,
}

/// What an image is called and made of.
pub(crate) struct Parts<'a> {
    pub(crate) name: &'a str,
    pub(crate) version: &'a str,
    pub(crate) created: u64,
    pub(crate) kernel_release: &'a str,
    pub(crate) root: &'a BuiltRoot,
    /// Folder with the three UKIs.
    pub(crate) ukis: &'a Path,
    pub(crate) signer: Option<&'a dyn Signer>,
    pub(crate) kubernetes: Option<CarriedKubernetes>,
}

fn blob_of(path: &Path) -> Result<Blob> {
    let (digest, size) = edge_host::files::digest(path)?;
    Ok(Blob { digest, size })
}

impl Image {
    /// Describes the parts and signs the description, if there is a key.
    ///
    /// # Errors
    /// When a part cannot be read.
    pub(crate) fn assemble(parts: &Parts<'_>) -> Result<Self> {
        let uki = |mode| blob_of(&uki::path(parts.ukis, mode));
        let manifest = ImageManifest {
            format: FORMAT,
            name: parts.name.to_owned(),
            version: parts.version.to_owned(),
            architecture: "amd64".into(),
            created: parts.created,
            kernel: parts.kernel_release.to_owned(),
            root: parts.root.description.clone(),
            ukis: Ukis { main: uki(Mode::Main)?, recovery: uki(Mode::Recovery)?, live: uki(Mode::Live)? },
            kubernetes: parts.kubernetes.clone(),
            // Hosts of the first releases refuse every key that they do not know.
            components: BTreeMap::new(),
            critical: Vec::new(),
        };
        let manifest_bytes = serde_json::to_vec_pretty(&manifest).context("cannot write the manifest")?;
        let sign = |signer: &dyn Signer| -> Result<Vec<u8>> {
            serde_json::to_vec(&signer.sign(&manifest_bytes)?).context("cannot write the signature")
        };
        let signature = parts.signer.map(sign).transpose()?;
        Ok(Self {
            manifest,
            manifest_bytes,
            signature,
            ukis: parts.ukis.to_owned(),
            frames: parts.root.frames(),
        })
    }

    pub(crate) fn uki(&self, mode: Mode) -> PathBuf {
        uki::path(&self.ukis, mode)
    }

    /// Writes the OCI layout to a new folder.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub(crate) fn write_layout(&self, directory: &Path) -> Result<()> {
        let blobs = directory.join("blobs/sha256");
        fs::create_dir_all(&blobs).with_context(|| format!("cannot create {}", blobs.display()))?;
        let mut layers = vec![put_bytes(&blobs, oci::MEDIA_IMAGE_MANIFEST, &self.manifest_bytes)?];
        if let Some(signature) = &self.signature {
            layers.push(put_bytes(&blobs, oci::MEDIA_SIGNATURE, signature)?);
        }
        layers.push(put_file(&blobs, oci::MEDIA_ROOT, &self.frames, self.manifest.root.blob)?);
        let ukis = [
            (oci::MEDIA_UKI_MAIN, Mode::Main, self.manifest.ukis.main),
            (oci::MEDIA_UKI_RECOVERY, Mode::Recovery, self.manifest.ukis.recovery),
            (oci::MEDIA_UKI_LIVE, Mode::Live, self.manifest.ukis.live),
        ];
        for (media_type, mode, blob) in ukis {
            layers.push(put_file(&blobs, media_type, &self.uki(mode), blob)?);
        }
        put_bytes(&blobs, oci::MEDIA_EMPTY, oci::EMPTY)?;
        let annotations: BTreeMap<String, String> = [
            ("org.opencontainers.image.title", self.manifest.name.clone()),
            ("org.opencontainers.image.version", self.manifest.version.clone()),
            ("org.edgeforge.root-hash", self.manifest.root.root_hash.to_string()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into();
        let artifact = oci::Manifest::artifact(layers, annotations);
        let bytes = serde_json::to_vec(&artifact).context("cannot write the OCI manifest")?;
        let descriptor = put_bytes(&blobs, oci::MEDIA_MANIFEST, &bytes)?;
        let index = serde_json::to_vec(&oci::Index::of(descriptor)).context("cannot write index.json")?;
        fs::write(directory.join("index.json"), index).context("cannot write index.json")?;
        fs::write(directory.join("oci-layout"), oci::LAYOUT).context("cannot write oci-layout")
    }
}

/// Writes a blob under its digest.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn put_bytes(blobs: &Path, media_type: &str, bytes: &[u8]) -> Result<Descriptor> {
    let blob = Blob { digest: sha256(bytes), size: bytes.len() as u64 };
    fs::write(blobs.join(edge_model::ids::to_hex(&blob.digest.0)), bytes).context("cannot write a blob")?;
    Ok(Descriptor::new(media_type, blob))
}

/// A file of the cache, which has to be what it was when it was made.
fn put_file(blobs: &Path, media_type: &str, source: &Path, blob: Blob) -> Result<Descriptor> {
    let target = blobs.join(edge_model::ids::to_hex(&blob.digest.0));
    fs::copy(source, &target).with_context(|| format!("cannot copy {}", source.display()))?;
    if blob_of(&target)? != blob {
        return Err(Error::integrity(format!("{} is damaged", source.display()))
            .help("build again with --no-cache; if it repeats, check disk and memory of this machine"));
    }
    Ok(Descriptor::new(media_type, blob))
}

/// Packs an OCI layout into one file, in a fixed order and with fixed times.
///
/// # Errors
/// When a file cannot be read or written.
pub(crate) fn pack_layout(directory: &Path, modified: u64, output: &Path) -> Result<()> {
    let mut tree = Tree::default();
    for (name, source) in layout_files(directory)? {
        tree.put(&name, 0o644, Content::File(source));
    }
    tree.write(output, modified)
}

/// The files of an OCI layout: name in it and path.
///
/// # Errors
/// When it cannot be listed.
pub(crate) fn layout_files(directory: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut files: Vec<_> =
        ["index.json", "oci-layout"].map(|name| (name.to_owned(), directory.join(name))).into();
    let blobs = directory.join("blobs/sha256");
    for entry in fs::read_dir(&blobs).with_context(|| format!("cannot list {}", blobs.display()))? {
        let entry = entry.context("cannot list blobs")?;
        files.push((format!("blobs/sha256/{}", entry.file_name().to_string_lossy()), entry.path()));
    }
    Ok(files)
}
