//! Images in files: an OCI layout, and what `docker save` and `podman save` write.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use edge_model::content::{IMAGE_NAME, IMAGE_TAG};
use edge_model::ids::{Digest, to_hex};
use edge_model::{Context, Error, Result};
use edge_slot_image::sha256;
use serde::Deserialize;
use tar::{Archive, EntryType};

use super::image::{self, Contents, Descriptor, Document, Image, Layer, Stored};
use crate::tree::checked;

/// Most files of an archive.
const MOST_FILES: usize = 10_000;

/// An image with its name and all of its documents.
#[derive(Debug)]
pub(crate) struct Named {
    pub(crate) name: String,
    pub(crate) digest: Digest,
    pub(crate) media_type: String,
    pub(crate) manifest: Vec<u8>,
    pub(crate) config_digest: Digest,
    pub(crate) config: Vec<u8>,
    pub(crate) layers: Vec<Layer>,
}

/// Where blobs of a layout are.
trait Files {
    fn find(&self, path: &str) -> Result<Stored>;
}

struct Folder<'a>(&'a Path);

impl Files for Folder<'_> {
    fn find(&self, path: &str) -> Result<Stored> {
        let path = self.0.join(path);
        let size = std::fs::metadata(&path).with_context(|| format!("cannot open {}", path.display()))?.len();
        Ok(Stored { path, offset: 0, size })
    }
}

/// Blobs by their digests, as the puller keeps them.
struct Kept<'a>(&'a Path);

impl Files for Kept<'_> {
    fn find(&self, path: &str) -> Result<Stored> {
        let found = Folder(self.0).find(&path.replacen("blobs/sha256/", "sha256-", 1))?;
        crate::cache::touch(&found.path);
        Ok(found)
    }
}

struct Packed {
    path: PathBuf,
    files: BTreeMap<String, (u64, u64)>,
}

impl Files for Packed {
    fn find(&self, path: &str) -> Result<Stored> {
        let missing = || Error::invalid(format!("{} has no {path}", self.path.display()));
        let (offset, size) = *self.files.get(path).ok_or_else(missing)?;
        Ok(Stored { path: self.path.clone(), offset, size })
    }
}

/// Reads an image from `FOLDER` or `FOLDER:TAG`; without a tag the folder must hold one image.
///
/// # Errors
/// [`edge_model::Class::InvalidInput`] when it is not a layout or has no such image.
pub(crate) fn from_layout(project: &Path, place: &str) -> Result<Image> {
    let whole = project.join(place);
    let (folder, tag) = match place.rsplit_once(':') {
        Some((folder, tag)) if !whole.exists() => (project.join(folder), Some(tag)),
        _ => (whole, None),
    };
    from_index(&Folder(&folder), tag)
        .with_context(|| format!("cannot take the base from {}", folder.display()))
}

/// An image that was pulled before.
///
/// # Errors
/// [`edge_model::Class::Environment`] when something of it is missing.
pub(super) fn from_blobs(blobs: &Path, digest: Digest) -> Result<Image> {
    let files = Kept(blobs);
    let manifest = files.find(&format!("blobs/sha256/{}", to_hex(&digest.0)))?.document()?;
    check(&manifest, digest)?;
    from_manifest(&files, digest, &manifest)
}

/// Removes those blobs of an image that was pulled which are not what they were, so that they are fetched again.
///
/// # Errors
/// When the image was never pulled, or a blob cannot be removed.
pub(crate) fn forget_damaged(blobs: &Path, digest: Digest) -> Result<()> {
    let files = Kept(blobs);
    let manifest = files.find(&format!("blobs/sha256/{}", to_hex(&digest.0)))?.document()?;
    let (config, layers) = match Document::parse(&manifest)? {
        Document::Manifest { config, layers } => (Some(config), layers),
        Document::Provider(layers) => (None, layers),
        Document::Index(_) => (None, Vec::new()),
    };
    for blob in layers.iter().chain(&config) {
        let path = blobs.join(format!("sha256-{}", to_hex(&blob.digest.0)));
        if edge_host::files::digest(&path).is_ok_and(|(digest, _)| digest == blob.digest) {
            continue;
        }
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot remove {}", path.display()));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Reads the only image of an archive.
///
/// # Errors
/// [`edge_model::Class::InvalidInput`] when the archive holds no image or several.
pub(crate) fn from_archive(path: &Path) -> Result<Image> {
    let context = || format!("cannot take the base from {}", path.display());
    let packed = pack(path).with_context(context)?;
    let image = if packed.files.contains_key("index.json") {
        from_index(&packed, None)
    } else {
        from_docker(&packed)
    };
    image.with_context(context)
}

/// All images of an OCI layout that is a folder of an archive. Each has a full name with its tag.
///
/// # Errors
/// [`edge_model::Class::InvalidInput`] when the folder is no layout, or an image in it cannot be used here.
pub(crate) fn all_of_archive(path: &Path, folder: &str) -> Result<Vec<Named>> {
    let mut packed = pack(path)?;
    let start = format!("{folder}/");
    packed.files = packed
        .files
        .into_iter()
        .filter_map(|(name, place)| Some((name.strip_prefix(&start)?.to_owned(), place)))
        .collect();
    let none = || Error::invalid(format!("it has no OCI layout in {folder}/"));
    if !packed.files.contains_key("index.json") {
        return Err(none());
    }
    let Document::Index(manifests) = Document::parse(&packed.find("index.json")?.document()?)? else {
        return Err(none());
    };
    manifests.into_iter().map(|entry| named(&packed, entry)).collect()
}

fn named(files: &dyn Files, entry: Descriptor) -> Result<Named> {
    let of_tag = entry.annotations.get(IMAGE_TAG).filter(|name| name.contains('/'));
    let name = entry.annotations.get(IMAGE_NAME).or(of_tag).cloned().ok_or_else(|| {
        Error::invalid(format!("the image {} has no name", entry.digest))
            .help(format!("give it one with its tag as the annotation {IMAGE_NAME}"))
    })?;
    let context = || format!("the image {name} cannot be used");
    let mut chosen = entry.clone();
    let mut manifest = blob_document(files, &chosen).with_context(context)?;
    if let Document::Index(manifests) = Document::parse(&manifest).with_context(context)? {
        chosen = image::for_this_architecture(manifests).with_context(context)?;
        manifest = blob_document(files, &chosen).with_context(context)?;
    }
    let Document::Manifest { config, layers } = Document::parse(&manifest).with_context(context)? else {
        return Err(Error::invalid("it is not a container image")).with_context(context);
    };
    let config_bytes = blob_document(files, &config).with_context(context)?;
    let diff_ids = image::diff_ids(&config_bytes, layers.len()).with_context(context)?;
    let layers = layers.iter().zip(diff_ids).map(|(blob, diff_id)| {
        Ok(Layer { stored: find_blob(files, blob)?, digest: Some(blob.digest), diff_id })
    });
    let layers = layers.collect::<Result<_>>().with_context(context)?;
    let media_type = if chosen.media_type.is_empty() { entry.media_type } else { chosen.media_type };
    Ok(Named {
        name,
        digest: chosen.digest,
        media_type,
        manifest,
        config_digest: config.digest,
        config: config_bytes,
        layers,
    })
}

/// Finds the files of an archive; links of old archives lead to other layers.
fn pack(path: &Path) -> Result<Packed> {
    let mut archive = Archive::new(BufReader::with_capacity(1 << 16, File::open(path)?));
    let mut files = BTreeMap::new();
    let mut links = Vec::new();
    for entry in archive.entries_with_seek()? {
        let entry = entry?;
        let Some(name) = checked(&String::from_utf8_lossy(&entry.path_bytes()))? else { continue };
        match entry.header().entry_type() {
            EntryType::Regular => drop(files.insert(name, (entry.raw_file_position(), entry.size()))),
            EntryType::Symlink | EntryType::Link => {
                let target = entry.link_name()?.unwrap_or_default().to_string_lossy().into_owned();
                links.push((name, target));
            }
            _ => {}
        }
        if files.len() > MOST_FILES {
            return Err(Error::invalid("it has too many files"));
        }
    }
    for (name, target) in links {
        let target = target.trim_start_matches("../");
        if let Some(place) = files.get(target).copied() {
            files.insert(name, place);
        }
    }
    Ok(Packed { path: path.to_owned(), files })
}

fn from_index(files: &dyn Files, tag: Option<&str>) -> Result<Image> {
    let index = files.find("index.json").map_err(|error| error.help("this is not an OCI layout"))?;
    let Document::Index(mut manifests) = Document::parse(&index.document()?)? else {
        return Err(Error::invalid("index.json is not an index"));
    };
    if let Some(tag) = tag {
        manifests.retain(|one| one.annotations.get(IMAGE_TAG).is_some_and(|name| name == tag));
    }
    // One image with several names stands there once for each.
    let mut seen = std::collections::BTreeSet::new();
    manifests.retain(|one| seen.insert(one.digest));
    if manifests.iter().filter(|one| one.platform.is_none()).count() > 1 {
        return Err(Error::invalid(format!("it holds {} images", manifests.len()))
            .help("name one of them: oci-layout:FOLDER:TAG"));
    }
    if manifests.is_empty() {
        return Err(Error::invalid("it holds no image with this name"));
    }
    let mut chosen = image::for_this_architecture(manifests)?;
    let mut document = blob_document(files, &chosen)?;
    if let Document::Index(manifests) = Document::parse(&document)? {
        chosen = image::for_this_architecture(manifests)?;
        document = blob_document(files, &chosen)?;
    }
    from_manifest(files, chosen.digest, &document)
}

fn from_manifest(files: &dyn Files, digest: Digest, manifest: &[u8]) -> Result<Image> {
    let (config, layers) = match Document::parse(manifest)? {
        Document::Index(_) => {
            return Err(Error::invalid("an index of the image leads to another index"));
        }
        Document::Provider(layers) => {
            let blobs = layers.iter().map(|blob| Ok((blob.digest, find_blob(files, blob)?)));
            return Image::provider(digest, manifest, blobs.collect::<Result<_>>()?);
        }
        Document::Manifest { config, layers } => (config, layers),
    };
    let diff_ids = image::diff_ids(&blob_document(files, &config)?, layers.len())?;
    let layers = layers.iter().zip(diff_ids).map(|(blob, diff_id)| {
        Ok(Layer { stored: find_blob(files, blob)?, digest: Some(blob.digest), diff_id })
    });
    Ok(Image { digest, contents: Contents::Layers(layers.collect::<Result<_>>()?) })
}

fn find_blob(files: &dyn Files, blob: &Descriptor) -> Result<Stored> {
    let stored = files.find(&format!("blobs/sha256/{}", to_hex(&blob.digest.0)))?;
    if stored.size == blob.size {
        return Ok(stored);
    }
    Err(Error::integrity(format!("{} has {} bytes instead of {}", blob.digest, stored.size, blob.size)))
}

fn blob_document(files: &dyn Files, blob: &Descriptor) -> Result<Vec<u8>> {
    let bytes = find_blob(files, blob)?.document()?;
    check(&bytes, blob.digest)?;
    Ok(bytes)
}

fn check(bytes: &[u8], expected: Digest) -> Result<()> {
    let found = sha256(bytes);
    if found == expected {
        Ok(())
    } else {
        Err(Error::integrity(format!("{expected} is damaged: it is {found}")))
    }
}

/// `manifest.json` of docker's own form, from before there was a standard.
fn from_docker(files: &dyn Files) -> Result<Image> {
    #[derive(Deserialize, PartialEq)]
    #[serde(rename_all = "PascalCase")]
    struct Saved {
        config: String,
        layers: Vec<String>,
    }
    let list =
        files.find("manifest.json").map_err(|error| error.help("this is not an archive of an image"))?;
    let mut saved: Vec<Saved> =
        serde_json::from_slice(&list.document()?).context("manifest.json cannot be read")?;
    saved.dedup();
    let [saved] = saved.as_slice() else {
        return Err(Error::invalid(format!("it holds {} images", saved.len())).help("save one image alone"));
    };
    let config = files.find(&saved.config)?.document()?;
    let diff_ids = image::diff_ids(&config, saved.layers.len())?;
    let layers = saved
        .layers
        .iter()
        .zip(diff_ids)
        .map(|(path, diff_id)| Ok(Layer { stored: files.find(path)?, digest: None, diff_id }));
    Ok(Image { digest: sha256(&config), contents: Contents::Layers(layers.collect::<Result<_>>()?) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Tree;
    use std::io::Write;

    /// A layer's archive, compressed, with its digest when it is not.
    fn layer(path: &str, text: &str) -> (Vec<u8>, Digest) {
        let folder = tempfile::tempdir().unwrap();
        let mut tree = Tree::default();
        tree.put_file(path, 0o644, text);
        let file = folder.path().join("layer.tar");
        tree.write(&file, 0).unwrap();
        let plain = std::fs::read(file).unwrap();
        let digest = sha256(&plain);
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&plain).unwrap();
        (encoder.finish().unwrap(), digest)
    }

    /// An OCI layout with one image of two layers under the tag `1`.
    fn layout(folder: &Path) -> Digest {
        let blobs = folder.join("blobs/sha256");
        std::fs::create_dir_all(&blobs).unwrap();
        let put = |bytes: &[u8]| {
            std::fs::write(blobs.join(to_hex(&sha256(bytes).0)), bytes).unwrap();
            serde_json::json!({ "digest": sha256(bytes).to_string(), "size": bytes.len() })
        };
        let layers = [layer("etc/a", "one"), layer("etc/b", "two")];
        let ids: Vec<String> = layers.iter().map(|(_, digest)| digest.to_string()).collect();
        let config =
            serde_json::json!({ "architecture": "amd64", "os": "linux", "rootfs": { "diff_ids": ids } });
        let config = put(config.to_string().as_bytes());
        let blobs: Vec<_> = layers.iter().map(|(bytes, _)| put(bytes)).collect();
        let manifest = serde_json::json!({ "config": config, "layers": blobs }).to_string();
        let mut descriptor = put(manifest.as_bytes());
        descriptor["annotations"] = serde_json::json!({ IMAGE_TAG: "1" });
        std::fs::write(
            folder.join("index.json"),
            serde_json::json!({ "manifests": [descriptor] }).to_string(),
        )
        .unwrap();
        sha256(layers[0].0.as_slice())
    }

    fn read(image: &Image) -> Result<Tree> {
        let folder = tempfile::tempdir().unwrap();
        let mut tree = Tree::default();
        for (at, layer) in image.layers()?.iter().enumerate() {
            let path = folder.path().join(at.to_string());
            layer.write_archive(&path)?;
            tree.apply_layer(&path, Some(folder.path()))?;
        }
        Ok(tree)
    }

    #[test]
    fn a_layout_is_read_with_and_without_its_tag() {
        let folder = tempfile::tempdir().unwrap();
        let first = layout(folder.path());
        let place = folder.path().display().to_string();
        for place in [place.clone(), format!("{place}:1")] {
            let tree = read(&from_layout(Path::new("/"), &place).unwrap()).unwrap();
            assert_eq!(tree.read_file("etc/b").unwrap(), b"two");
        }
        assert!(from_layout(Path::new("/"), &format!("{place}:2")).is_err());
        let blob = folder.path().join("blobs/sha256").join(to_hex(&first.0));
        let mut bytes = std::fs::read(&blob).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        std::fs::write(&blob, bytes).unwrap();
        let error = read(&from_layout(Path::new("/"), &place).unwrap()).unwrap_err();
        assert_eq!(error.class, edge_model::Class::Integrity, "{error}");
    }

    #[test]
    fn archives_of_docker_are_read_with_links_between_layers() {
        let (bytes, digest) = layer("etc/a", "one");
        let mut plain = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&bytes[..]), &mut plain).unwrap();
        let config = serde_json::json!({ "architecture": "amd64", "rootfs": { "diff_ids": [digest.to_string(), digest.to_string()] } });
        let list = serde_json::json!([{ "Config": "c.json", "Layers": ["1/layer.tar", "2/layer.tar"] }]);
        let mut tree = Tree::default();
        tree.put_file("manifest.json", 0o644, list.to_string());
        tree.put_file("c.json", 0o644, config.to_string());
        tree.put_file("1/layer.tar", 0o644, plain);
        tree.put_symlink("2/layer.tar", "../1/layer.tar");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("saved.tar");
        tree.write(&path, 0).unwrap();
        let image = from_archive(&path).unwrap();
        assert_eq!(image.layers().unwrap().len(), 2);
        assert_eq!(read(&image).unwrap().read_file("etc/a").unwrap(), b"one");
        std::fs::write(&path, "no archive at all").unwrap();
        assert!(from_archive(&path).is_err());
    }

    #[test]
    fn a_bomb_is_called_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bomb");
        let zeros = vec![0; 1 << 20];
        let mut encoder = zstd::Encoder::new(std::fs::File::create(&path).unwrap(), 1).unwrap();
        for _ in 0..2200 {
            encoder.write_all(&zeros).unwrap();
        }
        encoder.finish().unwrap();
        let size = std::fs::metadata(&path).unwrap().len();
        let layer =
            Layer { stored: Stored { path, offset: 0, size }, digest: None, diff_id: Digest([0; 32]) };
        let error =
            layer.read(|archive| Ok(std::io::copy(archive, &mut std::io::sink()).map(drop)?)).unwrap_err();
        assert!(error.to_string().contains("bomb"), "{error}");
    }
}
