//! Decisions about content bundles: what one consists of, whether it is taken, and what may go.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use edge_model::content::{
    BUNDLE_NAME, BUNDLE_SUFFIX, Bundle, BundledImage, ContentBlob, IMAGE_NAME, IMAGE_TAG, Inventory,
    full_name,
};
use edge_model::ids::Digest;
use edge_model::user_data::edge::Unsigned;
use edge_model::{Class, Context, Error, Result};
use edge_slot_image::bundle::BundleIndex;
use edge_slot_image::oci::Descriptor;
use edge_slot_image::signing::Provenance;
use serde::Deserialize;
use serde_json::Value;

/// Images, and blobs of one image, that are far more than any bundle has.
const MOST_IMAGES: usize = 10_000;
const MOST_BLOBS: usize = 1_000;
/// Room that stays free on the data partition, in bytes: a host without any loses more than an import.
const RESERVE: u64 = 256 << 20;
const LINUX: &str = "linux";
const ARCHITECTURE: &str = "amd64";

/// What a bundle holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holds {
    /// As the bundle calls itself.
    pub name: Option<String>,
    pub images: Vec<BundledImage>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    manifests: Option<Vec<OfPlatform>>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
}

#[derive(Deserialize)]
struct OfPlatform {
    #[serde(flatten)]
    descriptor: Descriptor,
    platform: Option<Platform>,
}

#[derive(Deserialize)]
struct Platform {
    os: String,
    architecture: String,
}

/// What a list of images leads to. `document` gives a manifest that is stored, or none.
///
/// # Errors
/// [`edge_model::Class::InvalidInput`] when the list or a manifest cannot be read, or an image has no name or no manifest for this
/// architecture; those of `document`.
pub fn holds(
    index: &[u8],
    document: &mut dyn FnMut(&Descriptor) -> Result<Option<Vec<u8>>>,
) -> Result<Holds> {
    let index: BundleIndex =
        serde_json::from_slice(index).context("the bundle's list of images cannot be read")?;
    if index.manifests.len() > MOST_IMAGES {
        return Err(Error::invalid(format!("the bundle has more than {MOST_IMAGES} images")));
    }
    let mut images = Vec::new();
    for entry in &index.manifests {
        let name = name_of(entry)?;
        let blobs = blobs_of(entry, document).with_context(|| format!("the image {name} of the bundle"))?;
        images.push(BundledImage { name, digest: entry.digest, blobs });
    }
    if images.is_empty() {
        return Err(Error::invalid("the bundle's list of images is empty"));
    }
    Ok(Holds { name: index.annotations.get(BUNDLE_NAME).cloned(), images })
}

fn name_of(entry: &Descriptor) -> Result<String> {
    let of_tag = entry.annotations.get(IMAGE_TAG).filter(|name| name.contains(['/', ':']));
    let name = entry.annotations.get(IMAGE_NAME).or(of_tag).filter(|name| is_name(name));
    name.map(|name| full_name(name)).ok_or_else(|| {
        Error::invalid(format!("the image {} of the bundle has no name", entry.digest))
            .help(format!("give it one with its tag as the annotation {IMAGE_NAME}"))
    })
}

/// Names come from outside, and go to terminals and pages.
fn is_name(name: &str) -> bool {
    name.len() <= 512 && name.chars().all(|one| one.is_ascii_graphic())
}

/// Manifests first, then configuration and layers, each once.
fn blobs_of(
    entry: &Descriptor,
    document: &mut dyn FnMut(&Descriptor) -> Result<Option<Vec<u8>>>,
) -> Result<Vec<ContentBlob>> {
    let mut blobs = vec![blob(entry)];
    let mut manifests = vec![entry.clone()];
    let first = document(entry)?
        .ok_or_else(|| Error::invalid(format!("its manifest {} is missing", entry.digest)))?;
    if let Some(children) = parse(&first)?.manifests {
        manifests = children.into_iter().filter(is_for_us).map(|child| child.descriptor).collect();
        blobs.extend(manifests.iter().map(blob));
    }
    let mut parts = Vec::new();
    for manifest in &manifests {
        let Some(bytes) = document(manifest)? else { continue };
        let Document { config: Some(config), layers: Some(layers), .. } = parse(&bytes)? else {
            return Err(Error::invalid(format!("{} is not the manifest of an image", manifest.digest)));
        };
        parts.push(blob(&config));
        parts.extend(layers.iter().map(blob));
    }
    if parts.is_empty() {
        return Err(Error::invalid(format!("it is not there for {LINUX}/{ARCHITECTURE}")));
    }
    blobs.extend(parts);
    if blobs.len() > MOST_BLOBS {
        return Err(Error::invalid(format!("it has more than {MOST_BLOBS} layers")));
    }
    let mut seen = BTreeSet::new();
    blobs.retain(|blob| seen.insert(blob.digest));
    Ok(blobs)
}

/// What runs here. An entry without a platform is asked for; signatures and attestations say `unknown`.
fn is_for_us(child: &OfPlatform) -> bool {
    child
        .platform
        .as_ref()
        .is_none_or(|platform| platform.os == LINUX && platform.architecture == ARCHITECTURE)
}

fn parse(bytes: &[u8]) -> Result<Document> {
    serde_json::from_slice(bytes).context("its manifest cannot be read")
}

fn blob(descriptor: &Descriptor) -> ContentBlob {
    ContentBlob {
        digest: descriptor.digest,
        size: descriptor.size,
        media_type: descriptor.media_type.clone(),
    }
}

/// Who is believed. What the medium of the installation brings is what the host was made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    Medium,
    /// As the site has configured.
    Site(Unsigned),
}

/// # Errors
/// [`edge_model::Class::Rejected`] for a bundle without a signature where one is wanted.
pub fn check_provenance(provenance: Provenance, trust: Trust) -> Result<()> {
    match (provenance, trust) {
        (Provenance::Unsigned, Trust::Site(Unsigned::Refuse)) => {
            Err(Error::rejected("the bundle is not signed").help(
                "build it with the keys of the image (edgeforge bundle build --keys), or set \
                       edge.content.unsigned: allow in the host's user data",
            ))
        }
        _ => Ok(()),
    }
}

/// Whether so many more bytes have room; said with figures when not.
///
/// # Errors
/// [`edge_model::Class::Environment`] when they do not.
pub fn check_room(needed: u64, free: u64) -> Result<()> {
    // A file takes whole blocks, and folders and the journal want theirs.
    let wanted = needed.saturating_add(needed / 10).saturating_add(RESERVE);
    if wanted <= free {
        return Ok(());
    }
    let mebibytes = |bytes: u64| bytes.div_ceil(1 << 20);
    Err(Error::environment(format!(
        "the bundle needs {} MiB more on the data partition, where {} MiB are free of which {} stay so",
        mebibytes(needed),
        mebibytes(free),
        mebibytes(RESERVE)
    ))
    .help("remove a bundle that is not needed any more: edge-agent content list"))
}

/// Bytes of an image's blobs that are not there yet, each counted once.
pub fn missing(images: &[BundledImage], mut is_there: impl FnMut(&ContentBlob) -> bool) -> u64 {
    let blobs: BTreeMap<Digest, &ContentBlob> =
        images.iter().flat_map(|image| &image.blobs).map(|blob| (blob.digest, blob)).collect();
    blobs.values().filter(|blob| !is_there(blob)).map(|blob| blob.size).sum()
}

/// Everything is read through once a week: what a disk loses is found while the bundle is still at hand.
const SCRUB_EVERY: Duration = Duration::from_secs(7 * 24 * 3600);

/// Whether all content is to be read again; `ago` is when that was done last, none when it never was or the clock has gone back.
pub fn scrub_is_due(ago: Option<Duration>) -> bool {
    ago.is_none_or(|ago| ago >= SCRUB_EVERY)
}

/// The bundle that a person means: by its name, and where several have it, by the beginning of its digest.
///
/// # Errors
/// [`edge_model::Class::NotFound`] when there is none, [`edge_model::Class::InvalidInput`] when there are several.
pub fn find<'i>(inventory: &'i Inventory, named: &str) -> Result<&'i Bundle> {
    let (name, digest) = named.split_once('@').unwrap_or((named, ""));
    let is_meant = |bundle: &&Bundle| {
        let text = bundle.digest.to_string();
        let hex = text.rsplit(':').next().unwrap_or_default();
        bundle.name == name && (text.starts_with(digest) || hex.starts_with(digest))
    };
    let mut found = inventory.bundles.iter().filter(is_meant);
    match (found.next(), found.next()) {
        (Some(only), None) => Ok(only),
        (None, _) => Err(Error::new(Class::NotFound, format!("there is no bundle {named:?}"))
            .help("edge-agent content list shows what there is")),
        (Some(one), Some(other)) => Err(Error::invalid(format!("there are several bundles {name:?}"))
            .help(format!("say which: {name}@{} or {name}@{}", short(one.digest), short(other.digest)))),
    }
}

/// The beginning of a digest, for people.
pub fn short(digest: Digest) -> String {
    digest.to_string().rsplit(':').next().unwrap_or_default().chars().take(12).collect()
}

/// Whether a bundle may go: what the cluster names and only this bundle has, it would take away.
///
/// # Errors
/// [`edge_model::Class::Rejected`] naming what would be missing.
pub fn may_remove(inventory: &Inventory, bundle: Digest, named: &BTreeSet<String>) -> Result<()> {
    let of_others: BTreeSet<&str> = inventory
        .bundles
        .iter()
        .filter(|other| other.digest != bundle)
        .flat_map(|other| &other.images)
        .map(|image| image.name.as_str())
        .collect();
    let own = inventory.bundles.iter().filter(|one| one.digest == bundle).flat_map(|one| &one.images);
    let lost: Vec<&str> = own
        .map(|image| image.name.as_str())
        .filter(|name| named.contains(*name) && !of_others.contains(name))
        .collect();
    if lost.is_empty() {
        return Ok(());
    }
    Err(Error::rejected(format!("the cluster of this host needs {}", lost.join(", ")))
        .help("import the bundle that comes in its place first, or --force"))
}

/// Full names of the images that objects of Kubernetes start containers from.
pub fn images_of(objects: &[Value]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    objects.iter().for_each(|object| collect(object, &mut found));
    found
}

/// Wherever a list of containers stands: in a pod, or in what makes pods.
fn collect(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(entries) => {
            for (key, value) in entries {
                if matches!(key.as_str(), "containers" | "initContainers" | "ephemeralContainers")
                    && let Some(containers) = value.as_array()
                {
                    let images = containers.iter().filter_map(|container| container["image"].as_str());
                    found.extend(images.map(full_name));
                }
                // A volume may be an image, too (KEP-4639).
                if let ("image", Some(reference)) = (key.as_str(), value["reference"].as_str()) {
                    found.insert(full_name(reference));
                }
                collect(value, found);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, found)),
        _ => {}
    }
}

/// A bundle's file on a stick or a medium, perhaps in several parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleFile {
    /// Without parts: `shop.tar.zst`.
    pub name: String,
    /// Names of its files, in their order.
    pub parts: Vec<String>,
}

impl BundleFile {
    /// As a bundle is called that does not say so itself.
    pub fn title(&self) -> &str {
        let name = self.name.trim_end_matches(BUNDLE_SUFFIX);
        name.trim_end_matches(".tar")
    }
}

/// The bundles among the files of a folder.
///
/// # Errors
/// [`edge_model::Class::InvalidInput`] naming the part of one that is missing.
pub fn bundle_files(names: &[String]) -> Result<Vec<BundleFile>> {
    let suffix = BUNDLE_SUFFIX;
    let mut found: BTreeMap<&str, BTreeMap<u32, String>> = BTreeMap::new();
    for name in names {
        if name.ends_with(suffix) {
            found.entry(name).or_default().insert(0, name.clone());
        } else if let Some((whole, number)) = name.rsplit_once("_part")
            && whole.ends_with(suffix)
            && let Ok(number) = number.parse()
        {
            found.entry(whole).or_default().insert(number, name.clone());
        }
    }
    found
        .into_iter()
        .map(|(name, parts)| {
            let gap = (0..).zip(parts.keys()).find(|(expected, number)| expected != *number);
            if let Some((missing, _)) = gap {
                return Err(Error::invalid(format!("{name}_part{missing:02} is missing"))
                    .help("copy all parts of the bundle"));
            }
            Ok(BundleFile { name: name.to_owned(), parts: parts.into_values().collect() })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use edge_slot_image::sha256;
    use proptest::prelude::*;
    use serde_json::json;

    fn descriptor(bytes: &[u8], more: Value) -> Value {
        let mut value = json!({
            "mediaType": "m", "digest": sha256(bytes).to_string(), "size": bytes.len(),
        });
        for (key, other) in more.as_object().unwrap() {
            value[key] = other.clone();
        }
        value
    }

    fn manifest(config: &[u8]) -> Vec<u8> {
        let layers =
            [descriptor(b"one", json!({})), descriptor(b"two", json!({})), descriptor(b"one", json!({}))];
        json!({ "config": descriptor(config, json!({})), "layers": layers }).to_string().into_bytes()
    }

    fn looked_up(index: &Value, stored: &[Vec<u8>]) -> Result<Holds> {
        holds(index.to_string().as_bytes(), &mut |wanted| {
            Ok(stored.iter().find(|bytes| sha256(bytes) == wanted.digest).cloned())
        })
    }

    #[test]
    fn an_image_is_its_manifests_its_configuration_and_its_layers() {
        let (ours, foreign) = (manifest(b"config"), manifest(b"arm"));
        let platform =
            |architecture: &str| json!({ "platform": { "os": "linux", "architecture": architecture } });
        let several = json!({ "manifests": [descriptor(&foreign, platform("arm64")), descriptor(&ours, platform("amd64"))] })
            .to_string()
            .into_bytes();
        let named =
            |bytes: &[u8], name: &str| descriptor(bytes, json!({ "annotations": { IMAGE_NAME: name } }));
        let index = json!({
            "schemaVersion": 2,
            "annotations": { BUNDLE_NAME: "shop" },
            "manifests": [named(&ours, "till:1"), named(&several, "r.example/a:2")],
        });
        let found = looked_up(&index, &[ours.clone(), several.clone()]).unwrap();
        assert_eq!(found.name.as_deref(), Some("shop"));
        let names: Vec<_> =
            found.images.iter().map(|image| (image.name.as_str(), image.blobs.len())).collect();
        // Manifest, configuration and two layers; the second with its index in front.
        assert_eq!(names, [("docker.io/library/till:1", 4), ("r.example/a:2", 5)]);
        assert_eq!(missing(&found.images, |blob| blob.digest == sha256(b"one")), {
            (ours.len() + several.len() + b"config".len() + b"two".len()) as u64
        });
        for (index, stored, why) in [
            (json!({ "schemaVersion": 2, "manifests": [] }), vec![], "empty"),
            (json!({ "schemaVersion": 2, "manifests": [descriptor(&ours, json!({}))] }), vec![], "no name"),
            (json!({ "schemaVersion": 2, "manifests": [named(&ours, "a\u{1b}[2J:1")] }), vec![], "no name"),
            (json!({ "schemaVersion": 2, "manifests": [named(&ours, "a:1")] }), vec![], "is missing"),
            (
                json!({ "schemaVersion": 2, "manifests": [named(&several, "a:1")] }),
                vec![several],
                "linux/amd64",
            ),
            (
                json!({ "schemaVersion": 2, "manifests": [named(b"{}", "a:1")] }),
                vec![b"{}".to_vec()],
                "not the manifest",
            ),
        ] {
            let error = looked_up(&index, &stored).unwrap_err().to_string();
            assert!(error.contains(why), "{why}: {error}");
        }
    }

    #[test]
    fn a_signature_is_wanted_unless_the_site_says_otherwise() {
        let unsigned = |trust| check_provenance(Provenance::Unsigned, trust).is_ok();
        assert!(unsigned(Trust::Medium) && unsigned(Trust::Site(Unsigned::Allow)));
        assert!(!unsigned(Trust::Site(Unsigned::Refuse)));
        assert!(check_provenance(Provenance::Signed(sha256(b"key")), Trust::Site(Unsigned::Refuse)).is_ok());
    }

    #[test]
    fn room_is_planned_with_a_reserve() {
        assert!(check_room(1 << 30, 2 << 30).is_ok());
        let error = check_room(1 << 30, 1 << 30).unwrap_err();
        assert!(error.message.contains("1024 MiB more") && error.message.contains("256 stay"), "{error}");
        assert!(check_room(u64::MAX, u64::MAX - 1).is_err());
    }

    fn bundle(name: &str, mark: &str, images: &[&str]) -> Bundle {
        let image = |name: &&str| BundledImage {
            name: (*name).into(),
            digest: sha256(name.as_bytes()),
            blobs: Vec::new(),
        };
        Bundle {
            name: name.into(),
            digest: sha256(mark.as_bytes()),
            images: images.iter().map(image).collect(),
            installed_at: 0,
            signed_by: None,
            origin: String::new(),
        }
    }

    #[test]
    fn a_bundle_is_found_by_its_name_and_several_by_their_digests() {
        let inventory =
            Inventory { bundles: vec![bundle("a", "1", &[]), bundle("a", "2", &[]), bundle("b", "3", &[])] };
        assert_eq!(find(&inventory, "b").unwrap().digest, sha256(b"3"));
        let several = find(&inventory, "a").unwrap_err();
        assert!(several.help.unwrap().contains(&short(sha256(b"2"))));
        assert_eq!(find(&inventory, &format!("a@{}", short(sha256(b"2")))).unwrap().digest, sha256(b"2"));
        assert_eq!(find(&inventory, &format!("a@{}", sha256(b"1"))).unwrap().digest, sha256(b"1"));
        assert!(find(&inventory, "c").is_err() && find(&inventory, "b@ff").is_err());
    }

    #[test]
    fn what_the_cluster_needs_stays() {
        let inventory =
            Inventory { bundles: vec![bundle("a", "1", &["x:1", "y:1"]), bundle("b", "2", &["x:1", "z:1"])] };
        let named: BTreeSet<String> = ["x:1", "z:1"].map(String::from).into();
        assert!(may_remove(&inventory, sha256(b"1"), &named).is_ok());
        let error = may_remove(&inventory, sha256(b"2"), &named).unwrap_err();
        assert!(error.message.contains("needs z:1"), "{error}");
    }

    #[test]
    fn images_are_found_in_everything_that_makes_pods() {
        let pod = json!({
            "initContainers": [{ "image": "busybox" }],
            "containers": [{ "image": "r.example/a:1" }, { "name": "none" }],
            "volumes": [{ "name": "v", "image": { "reference": "r.example/data:2" } }],
        });
        let objects = [
            json!({ "kind": "Deployment", "spec": { "template": { "spec": pod } } }),
            json!({ "kind": "CronJob", "spec": { "jobTemplate": { "spec": { "template": { "spec": { "containers": [{ "image": "b:1" }] } } } } } }),
            json!({ "kind": "ConfigMap", "data": { "image": "not:this" } }),
        ];
        let found = images_of(&objects);
        let expected = [
            "docker.io/library/b:1",
            "docker.io/library/busybox:latest",
            "r.example/a:1",
            "r.example/data:2",
        ];
        assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn parts_belong_together_and_none_may_be_missing() {
        let files =
            |names: &[&str]| bundle_files(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        let found =
            files(&["b.tar.zst_part01", "a.zst", "b.tar.zst_part00", "note.txt", "x.zst_partial"]).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!((found[1].title(), found[1].parts.len()), ("b", 2));
        assert_eq!(found[1].parts[1], "b.tar.zst_part01");
        for (names, gap) in
            [(&["b.zst_part01"][..], "_part00"), (&["b.zst_part00", "b.zst_part02"], "_part01")]
        {
            assert!(files(names).unwrap_err().to_string().contains(gap));
        }
    }

    proptest! {
        #[test]
        fn no_list_and_no_objects_panic(text in "[\\[\\]{}\":,a-z0-9]{0,200}") {
            let _ = holds(text.as_bytes(), &mut |_| Ok(None));
            if let Ok(value) = serde_json::from_str::<Value>(&text) {
                images_of(&[value]);
            }
        }

        #[test]
        fn files_are_in_one_bundle_at_most(names in proptest::collection::vec("[ab].zst(_part0[0-3])?", 0..8)) {
            if let Ok(found) = bundle_files(&names) {
                let all: Vec<&String> = found.iter().flat_map(|file| &file.parts).collect();
                let distinct: BTreeSet<&&String> = all.iter().collect();
                prop_assert_eq!(all.len(), distinct.len());
            }
        }
    }
}
