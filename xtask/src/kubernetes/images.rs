//! The component's archive: programs where the host wants them, and an OCI layout with the images of the cluster's own
//! parts. Each image is labelled with what its program says that it is, and layers that are the same are one.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use edge_model::cluster::CoreImage;
use edge_model::ids::{Digest, to_hex};
use edge_model::{Context, Error, Result};
use edge_slot_image::sha256;
use qemu_tests::lab::Lab;
use serde_json::{Value, json};
use tar::{Builder, EntryType, Header};

use super::programs::{CNI, COMPONENTS, ONE_PROGRAM, Programs};
use crate::root;

/// Of the component's own kubelet, not of upstream.
const PAUSE_TAG: &str = "edge-1";
/// The page that tests and demo look at.
pub(crate) const PAGE: &str = "edge.local/page:1";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const SEARCH_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What an archive holds at a path.
enum Entry {
    Folder,
    Program(PathBuf),
    Link(String),
    Bytes(Vec<u8>),
}

/// Paths in order, with the folders above them.
#[derive(Default)]
struct Files(BTreeMap<String, Entry>);

impl Files {
    fn put(&mut self, path: &str, entry: Entry) {
        for (at, _) in path.match_indices('/') {
            self.0.entry(path[..at].to_owned()).or_insert(Entry::Folder);
        }
        self.0.insert(path.to_owned(), entry);
    }

    fn program(mut self, path: &str, file: PathBuf) -> Self {
        self.put(path, Entry::Program(file));
        self
    }

    /// Writes everything with fixed times and owners.
    fn write(&self, output: impl Write) -> Result<()> {
        let mut builder = Builder::new(output);
        for (path, entry) in &self.0 {
            append(&mut builder, path, entry).with_context(|| format!("cannot pack {path}"))?;
        }
        Ok(builder.into_inner().and_then(|mut output| output.flush())?)
    }
}

fn append(builder: &mut Builder<impl Write>, path: &str, entry: &Entry) -> std::io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_mtime(0);
    header.set_size(0);
    // mkfs.erofs passes over entries where one of these is empty.
    header.set_entry_type(EntryType::Regular);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mode(0o755);
    match entry {
        Entry::Folder => {
            header.set_entry_type(EntryType::Directory);
            builder.append_data(&mut header, format!("{path}/"), std::io::empty())
        }
        Entry::Link(target) => {
            header.set_entry_type(EntryType::Symlink);
            builder.append_link(&mut header, path, target)
        }
        Entry::Program(file) => {
            let file = File::open(file)?;
            header.set_size(file.metadata()?.len());
            builder.append_data(&mut header, path, file)
        }
        Entry::Bytes(bytes) => {
            header.set_mode(0o644);
            header.set_size(bytes.len() as u64);
            builder.append_data(&mut header, path, bytes.as_slice())
        }
    }
}

/// An image before it has digests.
struct Image {
    name: String,
    entrypoint: Vec<&'static str>,
    layers: Vec<PathBuf>,
}

/// Writes the component's archive.
///
/// # Errors
/// When a program is missing or the disk is full.
pub(super) fn write(programs: &Programs, page: &Path, archive: &Path) -> Result<()> {
    let scratch = tempfile::tempdir_in(archive.parent().unwrap_or(Path::new("."))).context("cannot pack")?;
    let images = images(programs, page, scratch.path())?;
    let mut files = host_programs(programs)?;
    add_layout(&mut files, &images)?;
    let part = archive.with_extension("part");
    let output = File::create(&part).with_context(|| format!("cannot write {}", part.display()))?;
    files.write(BufWriter::with_capacity(1 << 20, output))?;
    std::fs::rename(&part, archive).with_context(|| format!("cannot write {}", archive.display()))
}

fn host_programs(programs: &Programs) -> Result<Files> {
    let mut files = Files::default();
    let names = ["kubeadm", "kubelet", "kubectl"];
    if programs.are_one()? {
        files.put(&format!("usr/bin/{ONE_PROGRAM}"), Entry::Program(programs.file(ONE_PROGRAM)?));
        names.iter().for_each(|name| files.put(&format!("usr/bin/{name}"), Entry::Link(ONE_PROGRAM.into())));
    } else {
        for name in names {
            files.put(&format!("usr/bin/{name}"), Entry::Program(programs.file(name)?));
        }
    }
    for name in ["containerd", "containerd-shim-runc-v2", "runc", "crictl"] {
        files.put(&format!("usr/bin/{name}"), Entry::Program(programs.file(name)?));
    }
    for name in CNI {
        files.put(&format!("usr/lib/cni/{name}"), Entry::Program(programs.file(name)?));
    }
    Ok(files)
}

fn images(programs: &Programs, page: &Path, scratch: &Path) -> Result<Vec<Image>> {
    let layer = |name: &str, files: &Files| -> Result<PathBuf> {
        let path = scratch.join(name);
        let output = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        files.write(BufWriter::with_capacity(1 << 20, output))?;
        Ok(path)
    };
    let mut images = Vec::new();
    let kubernetes = programs.kubernetes_version()?;
    let packet_filter = layer("packet-filter", &packet_filter(scratch)?)?;
    let together = programs.are_one()?.then(|| layer("components", &components(programs)?)).transpose()?;
    for core in CoreImage::ALL.into_iter().filter(|core| core.is_of_kubernetes()) {
        let name = core.repository().rsplit('/').next().unwrap_or_default();
        let own = match &together {
            Some(layer) => layer.clone(),
            None => layer(
                name,
                &Files::default().program(&format!("usr/local/bin/{name}"), programs.file(name)?),
            )?,
        };
        let mut layers = vec![own];
        if core == CoreImage::Proxy {
            layers.insert(0, packet_filter.clone());
        }
        images.push(Image {
            name: format!("{}:{kubernetes}", core.repository()),
            entrypoint: Vec::new(),
            layers,
        });
    }
    let etcd = ["etcd", "etcdctl", "etcdutl"].into_iter().try_fold(Files::default(), |files, name| {
        Ok::<_, Error>(files.program(&format!("usr/local/bin/{name}"), programs.file(name)?))
    })?;
    let others = [
        (CoreImage::Etcd, format!("{}-0", programs.etcd_version()?), Vec::new(), etcd),
        (
            CoreImage::CoreDns,
            format!("v{}", programs.coredns_version()?),
            vec!["/coredns"],
            Files::default().program("coredns", programs.file("coredns")?),
        ),
        (
            CoreImage::Pause,
            PAUSE_TAG.to_owned(),
            vec!["/pause"],
            Files::default().program("pause", programs.file("pause")?),
        ),
    ];
    for (core, tag, entrypoint, files) in others {
        let layers = vec![layer(core.repository().rsplit('/').next().unwrap_or_default(), &files)?];
        images.push(Image { name: format!("{}:{tag}", core.repository()), entrypoint, layers });
    }
    let page = Files::default().program("usr/local/bin/edge-page", page.to_owned());
    let layers = vec![layer("page", &page)?];
    images.push(Image { name: PAGE.into(), entrypoint: vec!["edge-page"], layers });
    Ok(images)
}

fn components(programs: &Programs) -> Result<Files> {
    let mut files =
        Files::default().program(&format!("usr/local/bin/{ONE_PROGRAM}"), programs.file(ONE_PROGRAM)?);
    for name in &COMPONENTS[..4] {
        files.put(&format!("usr/local/bin/{name}"), Entry::Link(ONE_PROGRAM.into()));
    }
    Ok(files)
}

/// `nft` and what it needs to run, from the packages of the lab: the proxy writes its rules with it.
fn packet_filter(scratch: &Path) -> Result<Files> {
    const NFT: &str = "/usr/sbin/nft";
    let lab = Lab::open(&root(), scratch)?;
    let list = lab.tool("ldd")?.arg(NFT).run()?;
    let list = String::from_utf8_lossy(&list).into_owned();
    let libraries = list.split_whitespace().filter(|word| word.starts_with('/'));
    let mut files = Files::default();
    for path in [NFT].into_iter().chain(libraries) {
        let file = lab.tool_file(path).canonicalize().with_context(|| format!("the lab has no {path}"))?;
        files.put(path.trim_start_matches('/'), Entry::Program(file));
    }
    Ok(files)
}

/// `images/`: an OCI layout whose index names every image.
fn add_layout(files: &mut Files, images: &[Image]) -> Result<()> {
    let mut put = |digest: Digest, entry: Entry| {
        files.put(&format!("images/blobs/sha256/{}", to_hex(&digest.0)), entry);
    };
    let mut manifests = Vec::new();
    for image in images {
        let layers: Vec<(Digest, u64)> =
            image.layers.iter().map(|path| edge_host::files::digest(path)).collect::<Result<_>>()?;
        for ((digest, _), path) in layers.iter().zip(&image.layers) {
            put(*digest, Entry::Program(path.clone()));
        }
        let config = config(image, &layers).to_string().into_bytes();
        let descriptor = |media_type: &str, digest: Digest, size: u64| json!({ "mediaType": media_type, "digest": digest.to_string(), "size": size });
        let layers: Vec<Value> =
            layers.into_iter().map(|(digest, size)| descriptor(LAYER, digest, size)).collect();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": descriptor(CONFIG, sha256(&config), config.len() as u64),
            "layers": layers,
        });
        let manifest = manifest.to_string().into_bytes();
        let mut entry = descriptor(MANIFEST, sha256(&manifest), manifest.len() as u64);
        entry["platform"] = json!({ "architecture": "amd64", "os": "linux" });
        entry["annotations"] = json!({ "io.containerd.image.name": image.name });
        manifests.push(entry);
        put(sha256(&config), Entry::Bytes(config));
        put(sha256(&manifest), Entry::Bytes(manifest));
    }
    let index = json!({ "schemaVersion": 2, "manifests": manifests }).to_string().into_bytes();
    files.put("images/index.json", Entry::Bytes(index));
    files.put("images/oci-layout", Entry::Bytes(br#"{"imageLayoutVersion":"1.0.0"}"#.into()));
    Ok(())
}

fn config(image: &Image, layers: &[(Digest, u64)]) -> Value {
    let ids: Vec<String> = layers.iter().map(|(digest, _)| digest.to_string()).collect();
    json!({
        "architecture": "amd64",
        "os": "linux",
        "config": { "Entrypoint": image.entrypoint, "Env": [SEARCH_PATH] },
        "rootfs": { "type": "layers", "diff_ids": ids },
    })
}
