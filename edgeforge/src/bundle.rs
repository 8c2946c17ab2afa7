//! Content bundles: the container images of a cluster definition, or of a list, in one signed file that needs no network where it is
//! brought to.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use edge_cli::Reader;
use edge_host::files;
use edge_model::content::{BUNDLE_NAME, BUNDLE_SUFFIX, IMAGE_NAME, full_name};
use edge_model::forge::Registry;
use edge_model::ids::Digest;
use edge_model::manifest::Signatures;
use edge_model::{Context, Error, Result};
use edge_planner::cluster::{check, images_of};
use edge_planner::content;
use edge_slot_image::bundle::{self, BundleIndex, Part, Writer};
use edge_slot_image::oci::MEDIA_INDEX;
use edge_slot_image::signing::Signer;
use edge_slot_image::{Hasher, sha256};
use serde::Serialize;

use crate::cache::Cache;
use crate::oci::{Endpoint, Stored, Whole, pull_whole};
use crate::progress::Progress;
use crate::project::{self, Project};

/// What goes into a bundle, and how it is made.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Order {
    /// A cluster definition: the images of its workloads
    definition: Option<PathBuf>,
    /// One more image
    #[arg(long = "image", value_name = "REFERENCE")]
    images: Vec<String>,
    /// A file with the name of an image on each line
    #[arg(long = "images-from", value_name = "FILE")]
    list: Option<PathBuf>,
    /// An image that the host carries anyway
    #[arg(long, value_name = "REFERENCE")]
    without: Vec<String>,
    /// How the bundle is called on hosts; by default as its file
    #[arg(long)]
    name: Option<String>,
    /// The file; its name ends with .zst
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// A project whose registries, certificates and keys are used
    #[arg(long, value_name = "DIR")]
    project: Option<PathBuf>,
    /// The folder of the keys that sign it, as for images
    #[arg(long, value_name = "DIR")]
    keys: Option<PathBuf>,
    /// Talk to the registries without TLS
    #[arg(long)]
    plain_http: bool,
}

/// What was made.
#[derive(Debug, Serialize)]
pub(crate) struct Made {
    path: PathBuf,
    name: String,
    digest: Digest,
    size: u64,
    images: Vec<String>,
    signed: bool,
}

/// # Errors
/// [`edge_model::Class::InvalidInput`] for a definition, a list or a name that cannot be used; those of registries.
pub(crate) fn build(order: &Order, reader: Reader) -> Result<()> {
    if !order.output.to_string_lossy().ends_with(BUNDLE_SUFFIX) {
        return Err(Error::invalid(format!("{} cannot be the name of a bundle", order.output.display()))
            .help(format!("end it with .tar{BUNDLE_SUFFIX}")));
    }
    let project = order.project.as_deref().map(Project::load).transpose()?;
    let own_key = order.keys.as_deref().map(project::load_key).transpose()?;
    let signer = match (&own_key, &project) {
        (Some(key), _) => Some(key as &dyn Signer),
        (None, Some(project)) => project.signer.as_deref(),
        (None, None) => None,
    };
    if signer.is_none() {
        eprintln!("warning: the bundle will be UNSIGNED, and hosts refuse it by default");
        eprintln!("  help: give the keys of the image with --keys, or its project with --project");
    }
    let wanted = wanted(order)?;
    let name = order.name.clone().unwrap_or_else(|| title(&order.output));
    let images = fetch(&wanted, order, project.as_ref())?;
    let made = write(&order.output, &name, &images, signer)?;
    reader.tell(&made, |made| {
        let mebibytes = made.size.div_ceil(1 << 20);
        println!("{}: {} images, {mebibytes} MiB, {}", made.path.display(), made.images.len(), made.digest);
    })
}

fn title(output: &Path) -> String {
    let name = output.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    content::BundleFile { name, parts: Vec::new() }.title().to_owned()
}

/// Names as they were written, by their full names.
fn wanted(order: &Order) -> Result<BTreeMap<String, String>> {
    let mut names: BTreeSet<String> = order.images.iter().cloned().collect();
    if let Some(path) = &order.definition {
        let definition = check::parse(&path.display().to_string(), &files::read_text(path)?)?;
        names.extend(images_of(&definition));
    }
    if let Some(path) = &order.list {
        let text = files::read_text(path)?;
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        names.extend(lines.map(str::to_owned));
    }
    let without: BTreeSet<String> = order.without.iter().map(|name| full_name(name)).collect();
    let wanted: BTreeMap<String, String> = names
        .into_iter()
        .map(|name| (full_name(&name), name))
        .filter(|(full, _)| !without.contains(full))
        .collect();
    for name in wanted.keys() {
        edge_registry::parse(name)?;
    }
    if wanted.is_empty() {
        return Err(Error::invalid("there is no image to put into the bundle")
            .help("name images with --image, in a file with --images-from, or by a cluster definition"));
    }
    Ok(wanted)
}

fn fetch(
    wanted: &BTreeMap<String, String>,
    order: &Order,
    project: Option<&Project>,
) -> Result<Vec<(String, Whole)>> {
    let cache = Cache::open(true)?;
    let progress = Progress::new();
    let plain = |name: &String| {
        let host = name.split('/').next().unwrap_or_default().to_owned();
        Registry { host, plain_http: true, ..Registry::default() }
    };
    let mut settings: Vec<Registry> = project.map(|one| one.forge.registries.clone()).unwrap_or_default();
    if order.plain_http {
        settings.extend(wanted.keys().map(plain));
    }
    let endpoint = match project {
        Some(project) => Endpoint::of_project(&settings, &project.directory),
        None => Endpoint::alone(&settings),
    };
    let blobs = cache.root().join("blobs");
    wanted
        .keys()
        .map(|name| {
            progress.say(name);
            let image = pull_whole(name, &endpoint, &blobs, &progress).map_err(|error| {
                error.help("an image that the host carries anyway is left out with --without")
            })?;
            Ok((name.clone(), image))
        })
        .collect()
}

/// Documents before layers: whoever reads the bundle plans by them.
fn write(output: &Path, name: &str, images: &[(String, Whole)], signer: Option<&dyn Signer>) -> Result<Made> {
    let entry = |(name, image): &(String, Whole)| {
        let mut entry = image.entry.clone();
        entry.annotations.insert(IMAGE_NAME.into(), name.clone());
        entry
    };
    let index = BundleIndex {
        schema_version: 2,
        media_type: MEDIA_INDEX.into(),
        manifests: images.iter().map(entry).collect(),
        annotations: [(BUNDLE_NAME.to_owned(), name.to_owned())].into(),
    };
    let index = serde_json::to_vec(&index).context("cannot write the list of images")?;
    let signature = signer.map(|signer| signer.sign(&index)).transpose()?.map(Signatures::One);
    let signature = signature.map(|signature| serde_json::to_vec(&signature)).transpose();
    let signature = signature.context("cannot write the signature")?;
    files::make_durably(output, 0o644, |file: &mut dyn Write| {
        let mut writer = Writer::begin(file, &index, signature.as_deref())?;
        let mut seen = BTreeSet::new();
        for (digest, bytes) in images.iter().flat_map(|(_, image)| &image.documents) {
            if seen.insert(*digest) {
                writer.blob(digest, bytes.len() as u64, &mut &bytes[..])?;
            }
        }
        for (digest, stored) in images.iter().flat_map(|(_, image)| &image.layers) {
            if seen.insert(*digest) {
                put(&mut writer, digest, stored)?;
            }
        }
        writer.finish().map(drop)
    })?;
    let size = std::fs::metadata(output).context("cannot look at the bundle")?.len();
    Ok(Made {
        path: output.to_owned(),
        name: name.to_owned(),
        digest: sha256(&index),
        size,
        images: images.iter().map(|(name, _)| name.clone()).collect(),
        signed: signature.is_some(),
    })
}

/// A cache may have been damaged since: what goes to a thousand sites is looked at once more.
fn put(writer: &mut Writer<&mut dyn Write>, digest: &Digest, stored: &Stored) -> Result<()> {
    let mut hashing = Hashing { inner: stored.open()?, hasher: Hasher::default() };
    writer.blob(digest, stored.size, &mut hashing)?;
    let found = hashing.hasher.finish();
    if found == *digest {
        return Ok(());
    }
    Err(Error::integrity(format!(
        "a blob of the builder's cache is damaged: {digest} should be there, and is {found}"
    ))
    .help("remove the folder `blobs` of the builder's cache, and build again"))
}

struct Hashing<R> {
    inner: R,
    hasher: Hasher,
}

impl<R: std::io::Read> std::io::Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..length]);
        Ok(length)
    }
}

/// Bytes of manifests and configurations that are kept in memory while a bundle is read.
const MOST_DOCUMENTS: u64 = 256 << 20;

/// What is in a bundle.
#[derive(Debug, Serialize)]
struct Shown {
    name: Option<String>,
    digest: Digest,
    /// Keys that signed it; whether a host trusts one is the host's matter.
    signed_by: Vec<Digest>,
    images: Vec<ShownImage>,
}

#[derive(Debug, Serialize)]
struct ShownImage {
    name: String,
    digest: Digest,
    bytes: u64,
}

/// Reads a bundle from its beginning to its end, and says what is in it.
///
/// # Errors
/// [`edge_model::Class::Integrity`] when something of it is damaged or missing.
pub(crate) fn show(path: &Path, reader: Reader) -> Result<()> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let (mut index, mut signature) = (Vec::new(), None);
    let mut documents: BTreeMap<Digest, Vec<u8>> = BTreeMap::new();
    let mut blobs: BTreeMap<Digest, u64> = BTreeMap::new();
    let mut kept = 0;
    bundle::read(file, &mut |part| {
        match part {
            Part::Index(bytes) => index = bytes,
            Part::Signature(bytes) => signature = Some(bytes),
            Part::Blob { digest, size, content } => {
                let (found, bytes) = read_blob(content, size)?;
                if found != digest {
                    return Err(Error::integrity(format!("the blob {digest} of the bundle is damaged")));
                }
                blobs.insert(digest, size);
                if let Some(bytes) = bytes {
                    kept += bytes.len() as u64;
                    if kept > MOST_DOCUMENTS {
                        return Err(Error::invalid(
                            "the manifests of the bundle are larger than any honest ones",
                        ));
                    }
                    documents.insert(digest, bytes);
                }
            }
        }
        Ok(())
    })?;
    let holds = content::holds(&index, &mut |wanted| Ok(documents.get(&wanted.digest).cloned()))?;
    let missing = content::missing(&holds.images, |blob| blobs.get(&blob.digest) == Some(&blob.size));
    if missing > 0 {
        return Err(Error::integrity(format!("{missing} bytes of layers are missing in the bundle")));
    }
    let signatures: Option<Signatures> = match signature {
        Some(bytes) => Some(serde_json::from_slice(&bytes).context("the bundle's signature cannot be read")?),
        None => None,
    };
    let signed_by = signatures.iter().flat_map(|all| all.all()).map(|signature| signature.key).collect();
    let images = holds.images.into_iter().map(|image| ShownImage {
        bytes: image.blobs.iter().map(|blob| blob.size).sum(),
        digest: image.digest,
        name: image.name,
    });
    let shown = Shown { name: holds.name, digest: sha256(&index), signed_by, images: images.collect() };
    reader.tell(&shown, print)
}

/// The digest of a blob, and its bytes where they may be a document.
fn read_blob(content: &mut dyn std::io::Read, size: u64) -> Result<(Digest, Option<Vec<u8>>)> {
    let mut hashing = Hashing { inner: content, hasher: Hasher::default() };
    let broken = "the bundle cannot be read to its end";
    let bytes = if size <= bundle::DOCUMENT_LIMIT {
        let mut bytes = Vec::new();
        std::io::copy(&mut hashing, &mut bytes).context(broken)?;
        // A list that names a hundred thousand small layers is no reason to keep them.
        bytes.starts_with(b"{").then_some(bytes)
    } else {
        std::io::copy(&mut hashing, &mut std::io::sink()).context(broken)?;
        None
    };
    Ok((hashing.hasher.finish(), bytes))
}

fn print(shown: &Shown) {
    println!("{} {}", shown.name.as_deref().unwrap_or("(no name)"), shown.digest);
    match &shown.signed_by[..] {
        [] => println!("not signed"),
        keys => keys.iter().for_each(|key| println!("signed by the key {key}")),
    }
    for image in &shown.images {
        println!("{:>8} MiB  {}  {}", image.bytes.div_ceil(1 << 20), image.name, image.digest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use edge_slot_image::signing::SigningKey;

    #[test]
    fn images_are_taken_from_everywhere_and_each_once() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            Some(path)
        };
        let definition = "name: shop\nworkloads:\n- name: till\n  manifests: |\n    apiVersion: v1\n    kind: Pod\n    metadata: {name: a}\n    spec: {containers: [{image: 'r.example/till:1'}, {image: nginx}]}\n";
        let order = Order {
            definition: put("cluster.yaml", definition),
            images: vec!["docker.io/library/nginx".into(), "r.example/b:2".into()],
            list: put("images.txt", "# ours\n\nr.example/c:3\nr.example/b:2\n"),
            without: vec!["r.example/till:1".into()],
            ..Order::default()
        };
        let names: Vec<String> = wanted(&order).unwrap().into_keys().collect();
        assert_eq!(names, ["docker.io/library/nginx:latest", "r.example/b:2", "r.example/c:3"]);
        assert!(wanted(&Order::default()).unwrap_err().to_string().contains("no image"));
        let wrong = Order { images: vec!["r.example/A B".into()], ..Order::default() };
        assert!(wanted(&wrong).is_err());
        let order = Order { output: "shop.tar".into(), ..Order::default() };
        assert!(build(&order, Reader::Person).unwrap_err().to_string().contains("cannot be the name"));
        assert_eq!(title(Path::new("/a/shop-1.2.tar.zst")), "shop-1.2");
    }

    #[test]
    fn what_was_written_is_shown_as_whole_and_the_same_twice() {
        let folder = tempfile::tempdir().unwrap();
        let layer = b"a layer";
        let path = folder.path().join("layer");
        std::fs::write(&path, layer).unwrap();
        let config = b"{}".to_vec();
        let manifest = serde_json::json!({
            "config": { "mediaType": "c", "digest": sha256(&config).to_string(), "size": config.len() },
            "layers": [{ "mediaType": "l", "digest": sha256(layer).to_string(), "size": layer.len() }],
        });
        let manifest = manifest.to_string().into_bytes();
        let image = || Whole {
            entry: edge_slot_image::oci::Descriptor::new(
                "m",
                edge_model::manifest::Blob { digest: sha256(&manifest), size: manifest.len() as u64 },
            ),
            documents: vec![(sha256(&manifest), manifest.clone()), (sha256(&config), config.clone())],
            layers: vec![(sha256(layer), Stored::whole(&path, layer.len() as u64))],
        };
        let (key, _) = SigningKey::generate().unwrap();
        let write = |name: &str| {
            let path = folder.path().join(name);
            let made = super::write(&path, "shop", &[("r.example/a:1".into(), image())], Some(&key)).unwrap();
            assert!(made.signed && made.images == ["r.example/a:1"]);
            path
        };
        let (one, two) = (write("one.tar.zst"), write("two.tar.zst"));
        assert_eq!(std::fs::read(&one).unwrap(), std::fs::read(&two).unwrap());
        show(&one, Reader::Person).unwrap();
        // The cache has rotted: no bundle is made of it.
        std::fs::write(&path, b"A LAYER").unwrap();
        let error = super::write(&two, "shop", &[("r.example/a:1".into(), image())], None).unwrap_err();
        assert!(error.to_string().contains("damaged"), "{error}");
        assert!(std::fs::read(&one).unwrap() == std::fs::read(&two).unwrap());
    }
}
