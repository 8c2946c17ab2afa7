//! What can be looked at: a project or build folder, a medium, a disk, an OCI layout, a bare image.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use edge_host::gpt;
use edge_model::forge::Source;
use edge_model::ids::{RootHash, to_hex};
use edge_model::layout::Role;
use edge_model::manifest::{BLOCK_SIZE, Blob, ImageManifest, RootImage, Signatures};
use edge_model::{Context, Error, Result, paths};
use edge_slot_image::frames::{self, Decompressor, frame_length};
use edge_slot_image::oci::{self, Index, Manifest};
use edge_slot_image::{signing, verity};
use serde::Serialize;

use super::uki::{self, Uki};
use super::{fat, iso9660};
use crate::erofs::{self, FileSystem, Superblock};
use crate::oci::{self as oci_source, Contents};
use crate::progress::Progress;
use crate::tree::{Content, Tree};

const LARGEST_MANIFEST: u64 = 16 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Form {
    Iso,
    Raw,
    Oci,
    /// An ordinary container image.
    Container,
    /// The file system with its hash tree, without anything around it.
    Root,
}

/// Bytes of the parts that are known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Sizes {
    pub(crate) root: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) uki: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) initrd: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) iso: Option<u64>,
}

/// The manifest as it was signed.
#[derive(Debug)]
pub(crate) struct Described {
    pub(crate) manifest: ImageManifest,
    pub(crate) bytes: Vec<u8>,
    pub(crate) signature: Option<Signatures>,
}

#[derive(Debug)]
pub(crate) struct Subject {
    pub(crate) source: PathBuf,
    pub(crate) form: Form,
    pub(crate) tree: Tree,
    /// Devices, pipes and sockets of the image.
    pub(crate) special: Vec<String>,
    /// From the hash tree that was found behind the file system; every block was checked against it. A container image
    /// has none.
    pub(crate) root_hash: Option<RootHash>,
    /// `None` in forms that do not carry it.
    pub(crate) described: Option<Described>,
    /// `None` in forms that do not carry it.
    pub(crate) uki: Option<Uki>,
    pub(crate) sizes: Sizes,
    /// What the tree reads from.
    _scratch: Option<tempfile::TempDir>,
}

/// Finds out what `name` is, and reads it.
///
/// # Errors
/// When it is none of the known forms, or damaged.
pub(crate) fn resolve(name: &str, plain_http: bool) -> Result<Subject> {
    let context = || format!("{name} cannot be looked into");
    if let Ok(source @ (Source::Registry(_) | Source::Layout(_) | Source::DockerArchive(_))) = name.parse() {
        return image(name, &source, plain_http).with_context(context);
    }
    let path = Path::new(name);
    let metadata = fs::metadata(path).map_err(|error| {
        Error::environment(format!("cannot open {name}: {error}"))
            .help("give a file or a folder; an image in a registry is oci:REFERENCE")
    })?;
    if metadata.is_dir() { folder(path) } else { file(path) }.with_context(context)
}

/// An image in a registry, a layout or an archive: a provider image, or an ordinary container image.
fn image(name: &str, source: &Source, plain_http: bool) -> Result<Subject> {
    let cache = crate::cache::Cache::open(true)?;
    let scratch = tempfile::tempdir_in(cache.root()).context("cannot create a temporary folder")?;
    let blobs = scratch.path().join("blobs");
    let image = oci_source::find(source, plain_http, &blobs, &Progress::new())?;
    if let Contents::Provider(tree) = &image.contents {
        return layout(Path::new(name), tree);
    }
    let tree = image.unfold(scratch.path())?;
    let root = tree.iter().map(|(path, _)| tree.size(path)).sum();
    Ok(Subject {
        source: name.into(),
        form: Form::Container,
        tree,
        special: Vec::new(),
        root_hash: None,
        described: None,
        uki: None,
        sizes: Sizes { root, ..Sizes::default() },
        _scratch: Some(scratch),
    })
}

/// The root of a provider image with its kernel, which hosts have in the UKI alone: what another image is made from.
///
/// # Errors
/// When the image is damaged, or has files that only its own form can hold.
pub(crate) fn as_base(provider: &Tree) -> Result<Tree> {
    let Subject { mut tree, described, special, .. } = layout(Path::new("base"), provider)?;
    if let Some(path) = special.first() {
        return Err(Error::rejected(format!("/{path} of the base is a device, a pipe or a socket"))
            .help("use the container form of the base: `edgeforge build --container`"));
    }
    let descriptor = Index::only_manifest(&provider.read_file("index.json")?)?;
    let artifact = Manifest::parse(&provider.read_file(&blob_path(&of(&descriptor)))?)?;
    let bytes = blob(provider, &of(artifact.layer(oci::MEDIA_UKI_MAIN)?), uki::LARGEST)?;
    let described = described.ok_or_else(|| Error::internal("a provider image without its manifest"))?;
    let path = format!("usr/lib/modules/{}/vmlinuz", described.manifest.kernel);
    tree.put_file(&path, 0o644, uki::kernel(&bytes)?);
    Ok(tree)
}

/// A project, its build, an OCI layout, or a folder with an image.
fn folder(path: &Path) -> Result<Subject> {
    if path.join("forge.yaml").exists() {
        let build = path.join("build");
        if !build.exists() {
            return Err(Error::invalid("the project has not been built")
                .help(format!("edgeforge build {}", path.display())));
        }
        return folder(&build);
    }
    if path.join("oci-layout").exists() {
        return layout(path, &layout_of_folder(path)?);
    }
    if path.join("oci/oci-layout").exists() {
        let mut subject = layout(path, &layout_of_folder(&path.join("oci"))?)?;
        subject.sizes.iso = size_of_iso(path)?;
        return Ok(subject);
    }
    if path.join("root.img").exists() {
        return file(&path.join("root.img"));
    }
    Err(Error::invalid("this folder is not a project, a build or an OCI layout"))
}

fn size_of_iso(build: &Path) -> Result<Option<u64>> {
    for entry in fs::read_dir(build).with_context(|| format!("cannot list {}", build.display()))? {
        let path = entry.context("cannot list the build")?.path();
        if path.extension().is_some_and(|extension| extension == "iso") {
            return Ok(Some(fs::metadata(&path).context("cannot look at the ISO")?.len()));
        }
    }
    Ok(None)
}

fn file(path: &Path) -> Result<Subject> {
    let context = || format!("cannot open {}", path.display());
    let file = Arc::new(File::open(path).with_context(context)?);
    if Superblock::is_at(&file, 0) {
        return Root::read(&file, 0)?.subject(path, Form::Root);
    }
    let mut tar = [0; 5];
    if file.read_exact_at(&mut tar, 257).is_ok() && &tar == b"ustar" {
        return layout(path, &Tree::read(path)?);
    }
    let mut reader = file.try_clone().with_context(context)?;
    let partitions = gpt::read(&mut reader).ok_or_else(|| {
        Error::invalid("this is not an image, a medium, a disk or an OCI archive of ours")
            .help("give a project, its build folder, an .iso, a .raw, an .oci.tar or an OCI layout")
    })?;
    let images: Vec<_> =
        partitions.iter().filter(|partition| Superblock::is_at(&file, partition.start)).collect();
    let slot = images.iter().find(|partition| partition.label == Role::SlotA.spec().label);
    let image = slot.or(images.first()).ok_or_else(|| Error::invalid("no partition holds an image"))?;
    let root = Root::read(&file, image.start)?;
    let mut iso = [0; 5];
    if file.read_exact_at(&mut iso, 16 * 2048 + 1).is_ok() && &iso == b"CD001" {
        return medium(path, &file, root);
    }
    let esp = partitions.iter().find(|partition| partition.label == Role::Efi.spec().label);
    let name = format!("{}/{}", paths::ESP_UKI_DIR, root.hash.uki_name());
    let mut subject = root.subject(path, Form::Raw)?;
    if let Some(esp) = esp {
        subject.set_uki(fat::read(&file, esp.start, &name, uki::LARGEST)?)?;
    }
    Ok(subject)
}

fn medium(path: &Path, file: &File, root: Root) -> Result<Subject> {
    let mut subject = root.subject(path, Form::Iso)?;
    let manifest = iso9660::read(file, paths::MEDIUM_MANIFEST, LARGEST_MANIFEST)?;
    let signature = iso9660::read(file, paths::MEDIUM_SIGNATURE, LARGEST_MANIFEST)?;
    if let Some(manifest) = manifest {
        subject.describe(manifest, signature.as_deref())?;
    }
    subject.set_uki(iso9660::read(file, paths::MEDIUM_UKI_MAIN, uki::LARGEST)?)?;
    subject.sizes.iso = Some(file.metadata().context("cannot look at the ISO")?.len());
    Ok(subject)
}

/// The files of a layout, under the names they have in it.
fn layout_of_folder(folder: &Path) -> Result<Tree> {
    let mut tree = Tree::default();
    tree.put("index.json", 0o644, Content::File(folder.join("index.json")));
    let blobs = folder.join("blobs/sha256");
    for entry in fs::read_dir(&blobs).with_context(|| format!("cannot list {}", blobs.display()))? {
        let entry = entry.context("cannot list blobs")?;
        let name = format!("blobs/sha256/{}", entry.file_name().to_string_lossy());
        tree.put(&name, 0o644, Content::File(entry.path()));
    }
    Ok(tree)
}

fn blob_path(blob: &Blob) -> String {
    format!("blobs/sha256/{}", to_hex(&blob.digest.0))
}

/// The whole of a blob, checked by its digest.
fn blob(layout: &Tree, blob: &Blob, limit: u64) -> Result<Vec<u8>> {
    let path = blob_path(blob);
    if layout.size(&path) != blob.size || blob.size > limit {
        return Err(Error::integrity(format!("/{path} is missing or has the wrong length")));
    }
    let bytes = layout.read_file(&path)?;
    if edge_slot_image::sha256(&bytes) != blob.digest {
        return Err(Error::integrity(format!("/{path} is not what its name says")));
    }
    Ok(bytes)
}

fn of(descriptor: &oci::Descriptor) -> Blob {
    Blob { digest: descriptor.digest, size: descriptor.size }
}

fn layout(path: &Path, layout: &Tree) -> Result<Subject> {
    if layout.size("index.json") > LARGEST_MANIFEST {
        return Err(Error::invalid("index.json is too large"));
    }
    let descriptor = Index::only_manifest(&layout.read_file("index.json")?)?;
    let artifact = Manifest::parse(&blob(layout, &of(&descriptor), LARGEST_MANIFEST)?)?;
    let layer = |kind: &str, limit: u64| -> Result<Option<Vec<u8>>> {
        artifact.find(kind).map(|layer| blob(layout, &of(layer), limit)).transpose()
    };
    let manifest = layer(oci::MEDIA_IMAGE_MANIFEST, LARGEST_MANIFEST)?
        .ok_or_else(|| Error::invalid("the OCI layout has no manifest of an image"))?;
    let parsed = signing::parse_manifest(&manifest)?;
    let root = unpack(layout, &parsed.root)?;
    let mut subject = Root::read(&root, 0)?.subject(path, Form::Oci)?;
    subject.describe(manifest, layer(oci::MEDIA_SIGNATURE, LARGEST_MANIFEST)?.as_deref())?;
    subject.set_uki(layer(oci::MEDIA_UKI_MAIN, uki::LARGEST)?)?;
    Ok(subject)
}

/// The image of a layout as a file that is gone when it is closed.
fn unpack(layout: &Tree, root: &RootImage) -> Result<Arc<File>> {
    let (source, mut at, size) = layout.place_of(&blob_path(&root.blob))?;
    if size != root.blob.size {
        return Err(Error::integrity("the root image has the wrong length"));
    }
    let cache = crate::cache::Cache::open(true)?;
    let mut output = tempfile::tempfile_in(cache.root()).context("cannot create a temporary file")?;
    let mut decompressor = Decompressor::new()?;
    let regions = [(root.data_blocks, &root.data_frames), (root.tree_blocks, &root.tree_frames)];
    for (blocks, sizes) in regions {
        let region = blocks * BLOCK_SIZE;
        for (index, compressed) in sizes.iter().enumerate() {
            if *compressed > frames::MAX_COMPRESSED_FRAME {
                return Err(Error::integrity("a frame of the root image is too large"));
            }
            let mut frame = vec![0; *compressed as usize];
            source.read_exact_at(&mut frame, at).context("the root image ended early")?;
            let mut plain = vec![0; frame_length(region, index) as usize];
            decompressor.decompress(&frame, &mut plain)?;
            output.write_all(&plain).context("cannot write a temporary file")?;
            at += u64::from(*compressed);
        }
    }
    Ok(Arc::new(output))
}

/// An image whose every block fits its hash tree.
struct Root {
    files: FileSystem,
    hash: RootHash,
    size: u64,
}

impl Root {
    fn read(file: &Arc<File>, offset: u64) -> Result<Self> {
        let data = Superblock::read(file, offset)?.length();
        let blocks = data / BLOCK_SIZE;
        if !data.is_multiple_of(BLOCK_SIZE) || !(2..=verity::MAX_DATA_BLOCKS).contains(&blocks) {
            return Err(Error::integrity("the file system has a length that no image has"));
        }
        let mut tree = vec![0; (verity::tree_blocks(blocks) * BLOCK_SIZE) as usize];
        let missing = "there is no hash tree behind the file system";
        file.read_exact_at(&mut tree, offset + data).context(missing)?;
        if !tree.starts_with(b"verity\0\0") {
            return Err(Error::integrity(missing));
        }
        let top = BLOCK_SIZE as usize;
        let hash = RootHash(edge_slot_image::sha256(&tree[top..2 * top]).0);
        let checked = verity::Tree::verify(&hash, blocks, &tree)?;
        check_blocks(file, offset, data, &checked)?;
        Ok(Self { files: erofs::read(file, offset)?, hash, size: data + tree.len() as u64 })
    }

    fn subject(self, source: &Path, form: Form) -> Result<Subject> {
        Ok(Subject {
            source: source.to_owned(),
            form,
            tree: self.files.tree,
            special: self.files.special,
            root_hash: Some(self.hash),
            described: None,
            uki: None,
            sizes: Sizes { root: self.size, ..Sizes::default() },
            _scratch: None,
        })
    }
}

/// What is shown is what a host would accept: a damaged image is named here, and not half shown.
fn check_blocks(file: &File, offset: u64, length: u64, tree: &verity::Tree) -> Result<()> {
    const PIECE: u64 = 4 << 20;
    let mut buffer = vec![0; PIECE as usize];
    for at in (0..length).step_by(PIECE as usize) {
        let piece = &mut buffer[..PIECE.min(length - at) as usize];
        file.read_exact_at(piece, offset + at).context("cannot read the image")?;
        if let Some(block) = tree.first_mismatch(at / BLOCK_SIZE, piece) {
            return Err(Error::integrity(format!("block {block} of the image is damaged")));
        }
    }
    Ok(())
}

impl Subject {
    fn describe(&mut self, bytes: Vec<u8>, signature: Option<&[u8]>) -> Result<()> {
        let manifest = signing::parse_manifest(&bytes)?;
        if Some(manifest.root.root_hash) != self.root_hash {
            return Err(Error::integrity("the manifest is that of another image"));
        }
        let signature = signature
            .map(serde_json::from_slice)
            .transpose()
            .context("the signature of the manifest cannot be read")?;
        self.described = Some(Described { manifest, bytes, signature });
        Ok(())
    }

    fn set_uki(&mut self, bytes: Option<Vec<u8>>) -> Result<()> {
        if let Some(bytes) = bytes {
            let uki = Uki::parse(&bytes)?;
            self.sizes.uki = Some(bytes.len() as u64);
            self.sizes.initrd = Some(uki.initrd_size);
            self.uki = Some(uki);
        }
        Ok(())
    }
}

/// The description of a project, if a name is that of one: its settings then count.
pub(crate) fn project_file(name: &str) -> Option<PathBuf> {
    Some(Path::new(name).join("forge.yaml")).filter(|path| path.exists())
}

#[cfg(test)]
mod tests {
    use edge_slot_image::signing::{Signer, SigningKey};

    use super::*;
    use crate::provider_image::{Image, Parts, pack_layout};
    use crate::root_image::{self, BuiltRoot};

    const CREATED: u64 = 1_700_000_000;

    /// A build's output with a real image in it, and UKIs that carry only what is looked at.
    fn build(folder: &Path) -> Option<()> {
        let tools = erofs::tests::tools("all_forms_of_one_image_are_the_same")?;
        let mut tree = Tree::default();
        tree.put_file(
            "usr/lib/edge/image.json",
            0o644,
            r#"{"name":"shop","version":"1","created":1700000000}"#,
        );
        tree.put_file("etc/big", 0o644, vec![7; 20_000]);
        let key = SigningKey::parse(&SigningKey::generate().unwrap().1).unwrap();
        tree.put_file("usr/lib/edge/keys/image-signing.pub", 0o644, key.public().to_text());
        let (archive, image, ukis) = (folder.join("tree.tar"), folder.join("image"), folder.join("ukis"));
        tree.write(&archive, CREATED).unwrap();
        root_image::build(&archive, CREATED, &tools, &image).unwrap();
        fs::create_dir(&ukis).unwrap();
        for mode in crate::uki::MODES {
            fs::write(crate::uki::path(&ukis, mode), uki::tests::uki()).unwrap();
        }
        let root = BuiltRoot::open(&image).unwrap();
        let parts = Parts {
            name: "shop",
            version: "1",
            created: CREATED,
            kernel_release: "6.12",
            root: &root,
            ukis: &ukis,
            signer: Some(&key),
            kubernetes: None,
        };
        let output = folder.join("project/build");
        fs::create_dir_all(&output).unwrap();
        fs::write(folder.join("project/forge.yaml"), "name: shop\nversion: '1'\n").unwrap();
        fs::write(output.join("shop.iso"), "12345").unwrap();
        Image::assemble(&parts).unwrap().write_layout(&output.join("oci")).unwrap();
        pack_layout(&output.join("oci"), CREATED, &output.join("shop.oci.tar")).unwrap();
        Some(())
    }

    #[test]
    fn all_forms_of_one_image_are_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let Some(()) = build(folder.path()) else { return };
        let open = |name: &str| resolve(&folder.path().join(name).display().to_string(), false);
        let bare = open("image/root.img").unwrap();
        assert!(bare.described.is_none() && bare.uki.is_none());
        for name in ["project", "project/build", "project/build/oci", "project/build/shop.oci.tar", "image"] {
            let subject = open(name).unwrap();
            assert_eq!(subject.root_hash, bare.root_hash, "{name}");
            assert_eq!(subject.tree.read_file("etc/big").unwrap(), vec![7; 20_000], "{name}");
            assert_eq!(crate::inspect::identity(&subject).name.as_deref(), Some("shop"));
        }
        let project = open("project").unwrap();
        assert_eq!(project.sizes.iso, Some(5));
        assert!(matches!(
            crate::inspect::signature(&project).unwrap(),
            crate::inspect::Signed::ByTrustedKey(_)
        ));
        let build = folder.path().join("project/build");
        fs::remove_dir_all(&build).unwrap();
        assert!(edge_model::error::render(&open("project").unwrap_err()).contains("edgeforge build"));
    }

    #[test]
    fn damage_is_named_and_nothing_is_shown() {
        let folder = tempfile::tempdir().unwrap();
        let Some(()) = build(folder.path()) else { return };
        let image = folder.path().join("image/root.img");
        let mut bytes = fs::read(&image).unwrap();
        // In the file, and not in a superblock that happens to hold such a byte.
        let content = bytes.windows(64).position(|window| window.iter().all(|byte| *byte == 7)).unwrap();
        bytes[content] = 8;
        fs::write(&image, &bytes).unwrap();
        let error = edge_model::error::render(&resolve(&image.display().to_string(), false).unwrap_err());
        assert!(error.contains("is damaged"), "{error}");
        let blobs = folder.path().join("project/build/oci/blobs/sha256");
        for blob in fs::read_dir(blobs).unwrap().flatten() {
            let mut bytes = fs::read(blob.path()).unwrap();
            bytes[0] ^= 1;
            fs::write(blob.path(), bytes).unwrap();
        }
        let error = edge_model::error::render(
            &resolve(&folder.path().join("project").display().to_string(), false).unwrap_err(),
        );
        assert!(error.contains("not what its name says"), "{error}");
    }
}
