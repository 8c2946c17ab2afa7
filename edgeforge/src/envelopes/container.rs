//! The root as an ordinary container image: for scanners, `skopeo`, `umoci` and `FROM`. It has one layer, and what is
//! in it is what is in the EROFS image, entry by entry.
//!
//! <https://github.com/opencontainers/image-spec/blob/v1.1.0/config.md>

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::Path;

use edge_model::ids::{RootHash, to_hex};
use edge_model::manifest::Blob;
use edge_model::{Context, Result};
use edge_slot_image::oci::{self, Descriptor};
use flate2::{Compression, GzBuilder};
use serde_json::{Value, json};

use crate::clock;
use crate::provider_image::{layout_files, put_bytes};
use crate::root_image::HashingWriter;
use crate::tree::{Content, Tree};

/// gzip and not zstd: everything that reads container images reads it, also the versions that are a few years old.
const MEDIA_LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const MEDIA_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// What `docker load` looks for; readers of OCI layouts pass over it.
const DOCKER_MANIFEST: &str = "manifest.json";
const ANNOTATION_TAG: &str = "org.opencontainers.image.ref.name";

/// What the image says about itself.
pub(crate) struct About<'a> {
    pub(crate) name: &'a str,
    pub(crate) version: &'a str,
    /// Seconds since 1970.
    pub(crate) created: u64,
    /// Of the EROFS image with the same tree.
    pub(crate) root_hash: RootHash,
}

impl About<'_> {
    /// The version as a tag, which has fewer characters.
    fn tag(&self) -> String {
        self.version.replace(['+', '~'], "_")
    }

    fn config(&self, layer_tar: &str) -> Result<Value> {
        let created = clock::rfc3339(self.created)?;
        Ok(json!({
            "created": created,
            "architecture": "amd64",
            "os": "linux",
            "config": {
                "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
                "Cmd": ["/bin/sh"],
                "Labels": {
                    "org.opencontainers.image.title": self.name,
                    "org.opencontainers.image.version": self.version,
                    "org.edgeforge.root-hash": self.root_hash.to_string(),
                },
            },
            "rootfs": { "type": "layers", "diff_ids": [layer_tar] },
            "history": [{ "created": created, "created_by": "edgeforge build" }],
        }))
    }
}

/// Writes an OCI layout with the tree as its only layer.
///
/// # Errors
/// When a file of the tree cannot be read or the disk is full.
pub(crate) fn build(tree: &Tree, about: &About<'_>, directory: &Path) -> Result<()> {
    let blobs = directory.join("blobs/sha256");
    fs::create_dir_all(&blobs).with_context(|| format!("cannot create {}", blobs.display()))?;
    let archive = directory.join("layer.tar");
    tree.write(&archive, about.created)?;
    let compressed = directory.join("layer.tar.gz");
    let (plain, layer) = compress(&archive, &compressed).context("cannot compress the layer")?;
    fs::remove_file(archive).context("cannot remove a temporary file")?;
    fs::rename(compressed, blobs.join(to_hex(&layer.digest.0))).context("cannot write the layer")?;
    let config = to_bytes(&about.config(&plain.digest.to_string())?)?;
    let manifest = oci::Manifest {
        schema_version: 2,
        media_type: oci::MEDIA_MANIFEST.into(),
        artifact_type: None,
        config: put_bytes(&blobs, MEDIA_CONFIG, &config)?,
        layers: vec![Descriptor::new(MEDIA_LAYER, layer)],
        annotations: BTreeMap::new(),
    };
    let mut descriptor = put_bytes(&blobs, oci::MEDIA_MANIFEST, &to_bytes(&manifest)?)?;
    descriptor.annotations.insert(ANNOTATION_TAG.into(), about.tag());
    let docker = json!([{
        "Config": blob_name(&manifest.config),
        "RepoTags": [format!("{}:{}", about.name, about.tag())],
        "Layers": manifest.layers.iter().map(blob_name).collect::<Vec<_>>(),
    }]);
    for (name, bytes) in [
        ("index.json", to_bytes(&oci::Index::of(descriptor))?),
        ("oci-layout", oci::LAYOUT.to_vec()),
        (DOCKER_MANIFEST, to_bytes(&docker)?),
    ] {
        fs::write(directory.join(name), bytes).with_context(|| format!("cannot write {name}"))?;
    }
    Ok(())
}

fn blob_name(descriptor: &Descriptor) -> String {
    format!("blobs/sha256/{}", to_hex(&descriptor.digest.0))
}

fn to_bytes(value: &impl serde::Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).context("cannot write a document of the container image")
}

/// Copies the layout into the output, and packs it into one archive.
///
/// # Errors
/// When a file cannot be read or written.
pub(super) fn publish(layout: &Path, modified: u64, folder: &Path, archive: &Path) -> Result<()> {
    let mut files = layout_files(layout)?;
    for (name, source) in &files {
        let target = folder.join(name);
        fs::create_dir_all(target.parent().unwrap_or(folder))
            .and_then(|()| fs::copy(source, &target))
            .with_context(|| format!("cannot write {}", target.display()))?;
    }
    files.push((DOCKER_MANIFEST.into(), layout.join(DOCKER_MANIFEST)));
    let mut tree = Tree::default();
    for (name, source) in files {
        tree.put(&name, 0o644, Content::File(source));
    }
    tree.write(archive, modified)
}

/// Returns what went in and what came out.
fn compress(archive: &Path, output: &Path) -> Result<(Blob, Blob)> {
    let mut input = File::open(archive)?;
    let file = BufWriter::with_capacity(1 << 20, File::create(output)?);
    // No name and no time in the header.
    // The usual level takes more than twice the time, and saves about a tenth.
    let encoder = GzBuilder::new().write(HashingWriter::new(file), Compression::fast());
    let mut encoder = HashingWriter::new(encoder);
    std::io::copy(&mut input, &mut encoder)?;
    let (plain, encoder) = encoder.finish()?;
    let (compressed, _) = encoder.finish()?.finish()?;
    Ok((plain, compressed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn about(version: &str) -> About<'_> {
        About { name: "shop", version, created: 1_700_000_000, root_hash: RootHash([7; 32]) }
    }

    fn read(path: &Path) -> Value {
        serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
    }

    #[test]
    fn the_layer_is_what_manifest_and_config_say() {
        let folder = tempfile::tempdir().unwrap();
        let mut tree = Tree::default();
        tree.put_file("etc/hostname", 0o644, "edge\n");
        tree.put("etc/alias", 0o644, Content::HardLink("etc/hostname".into()));
        let layouts = [folder.path().join("1"), folder.path().join("2")];
        for layout in &layouts {
            build(&tree, &about("1.0+a~b"), layout).unwrap();
        }
        let [index, other] =
            [0, 1].map(|number: usize| fs::read(layouts[number].join("index.json")).unwrap());
        assert!(index == other, "the same tree gives the same image");
        let manifest = read(&layouts[0].join("index.json"))["manifests"][0].clone();
        assert_eq!(manifest["annotations"][ANNOTATION_TAG], "1.0_a_b");
        let blob = |descriptor: &Value| {
            let digest = descriptor["digest"].as_str().unwrap().trim_start_matches("sha256:").to_owned();
            layouts[0].join("blobs/sha256").join(digest)
        };
        let manifest = read(&blob(&manifest));
        assert!(manifest.get("artifactType").is_none());
        let layer = fs::read(blob(&manifest["layers"][0])).unwrap();
        assert_eq!(manifest["layers"][0]["digest"], edge_slot_image::sha256(&layer).to_string());
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(layer.as_slice()).read_to_end(&mut plain).unwrap();
        let config = read(&blob(&manifest["config"]));
        assert_eq!(config["rootfs"]["diff_ids"][0], edge_slot_image::sha256(&plain).to_string());
    }

    #[test]
    fn the_archive_is_for_docker_and_the_folder_is_a_layout() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        build(&Tree::default(), &about("1"), &path("cached")).unwrap();
        publish(&path("cached"), 0, &path("container"), &path("archive.tar")).unwrap();
        assert!(!path("container/manifest.json").exists());
        let archive = Tree::read(&path("archive.tar")).unwrap();
        let docker: Value = serde_json::from_slice(&archive.read_file(DOCKER_MANIFEST).unwrap()).unwrap();
        assert_eq!(docker[0]["RepoTags"][0], "shop:1");
        for name in [&docker[0]["Config"], &docker[0]["Layers"][0]] {
            let name = name.as_str().unwrap();
            assert!(archive.contains(name) && path("container").join(name).exists(), "{name}");
        }
    }
}
