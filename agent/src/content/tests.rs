//! Bundles on a host of folders: brought with every effect failing once and being the last one once, damaged, stopped, replaced, removed.

use std::fs;

use edge_model::api::content::BundleRemoval;
use edge_model::content::{BUNDLE_NAME, IMAGE_NAME};
use edge_model::ids::Digest;
use edge_slot_image::bundle::{DOCUMENT_LIMIT, Writer};
use edge_slot_image::sha256;
use edge_slot_image::signing::{Signer, SigningKey};
use edge_testkit::every_fault::with_every_fault;
use proptest::prelude::*;
use serde_json::json;

use super::import::{Rules, import};
use super::shelf::{Absent, Content, Shelf};
use super::source::BundleAt;
use super::*;
use crate::report::cancelled;

struct Nobody;

impl Report for Nobody {
    fn step(&mut self, _: &str, _: u64) {}

    fn progress(&mut self, _: u64) -> Result<()> {
        Ok(())
    }
}

/// A bundle with images of one layer each.
pub(crate) fn bundle(name: &str, images: &[(&str, &[u8])], signer: Option<&SigningKey>) -> Vec<u8> {
    let mut blobs: Vec<Vec<u8>> = Vec::new();
    let mut put = |kind: &str, bytes: Vec<u8>| {
        let value = json!({ "mediaType": kind, "digest": sha256(&bytes).to_string(), "size": bytes.len() });
        blobs.push(bytes);
        value
    };
    let mut entries = Vec::new();
    let mut layers = Vec::new();
    for (image, layer) in images {
        let config = put("config", format!("{{\"of\":{image:?}}}").into_bytes());
        let described =
            json!({ "mediaType": "layer", "digest": sha256(layer).to_string(), "size": layer.len() });
        let manifest = json!({ "config": config, "layers": [described] }).to_string().into_bytes();
        let mut entry = put("manifest", manifest);
        entry["annotations"] = json!({ IMAGE_NAME: image });
        entries.push(entry);
        layers.push(layer.to_vec());
    }
    let index =
        json!({ "schemaVersion": 2, "manifests": entries, "annotations": { BUNDLE_NAME: name } }).to_string();
    let signature = signer.map(|signer| {
        let signatures = edge_model::manifest::Signatures::One(signer.sign(index.as_bytes()).unwrap());
        serde_json::to_vec(&signatures).unwrap()
    });
    let mut writer = Writer::begin(Vec::new(), index.as_bytes(), signature.as_deref()).unwrap();
    for blob in blobs.iter().chain(&layers) {
        writer.blob(&sha256(blob), blob.len() as u64, &mut &blob[..]).unwrap();
    }
    writer.finish().unwrap()
}

/// A store, and a bundle beside it.
struct Stand {
    folder: tempfile::TempDir,
    machine: Machine,
    key: SigningKey,
}

impl Stand {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let machine = Machine::in_folder(folder.path());
        Self { folder, machine, key: SigningKey::generate().unwrap().0 }
    }

    fn store(&self) -> Store {
        Store::at(&self.folder.path().join(&paths::CONTENT[1..]))
    }

    fn shelf(&self) -> Shelf {
        Shelf::new(ImageContent::default(), self.store())
    }

    fn at(&self, bytes: &[u8]) -> BundleAt {
        let path = self.folder.path().join("file.tar.zst");
        fs::write(&path, bytes).unwrap();
        let size = bytes.len() as u64;
        BundleAt { title: "file".into(), origin: "a test".into(), parts: vec![path], size }
    }

    fn import(&self, bytes: &[u8], replaces: bool) -> Result<String> {
        self.import_as(
            bytes,
            replaces,
            Trust::Site(edge_model::user_data::edge::Unsigned::Refuse),
            &mut Nobody,
        )
    }

    fn import_as(
        &self,
        bytes: &[u8],
        replaces: bool,
        trust: Trust,
        report: &mut dyn Report,
    ) -> Result<String> {
        let trusted = [self.key.public()];
        let rules = Rules { trusted: &trusted, trust, replaces };
        import(&self.store(), &self.at(bytes), &rules, report).map(|imported| imported.describe())
    }

    fn signed(&self, name: &str, images: &[(&str, &[u8])]) -> Vec<u8> {
        bundle(name, images, Some(&self.key))
    }

    fn names(&self) -> Vec<String> {
        let bundles = self.store().inventory().unwrap().bundles;
        bundles.into_iter().map(|bundle| bundle.name).collect()
    }

    /// Blobs that are on the disk under their names.
    fn stored(&self) -> usize {
        let shelves = fs::read_dir(self.store().folder().join("blobs/sha256")).unwrap();
        shelves.flat_map(|shelf| fs::read_dir(shelf.unwrap().path()).unwrap()).count()
    }
}

fn layer_of(shelf: &Shelf, image: &str) -> Result<Vec<u8>, Absent> {
    let (name, tag) = image.rsplit_once(':').unwrap();
    let manifest = shelf.tagged(Some("r.example"), name, tag)?;
    let Content::Bytes(bytes) = manifest.content else { panic!("a manifest is small") };
    let manifest: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    let digest: Digest = manifest["layers"][0]["digest"].as_str().unwrap().parse().unwrap();
    match shelf.with_digest(&digest)?.content {
        Content::Bytes(bytes) => Ok(bytes),
        Content::File { path, size } => {
            let bytes = fs::read(path).unwrap();
            assert_eq!(bytes.len() as u64, size);
            Ok(bytes)
        }
    }
}

#[test]
fn an_import_is_whole_or_not_there_and_ends_well_when_done_again() {
    let effects = with_every_fault(
        || {
            let stand = Stand::new();
            stand.import(&stand.signed("old", &[("r.example/a:1", b"old")]), false).unwrap();
            stand
        },
        |stand| {
            let bytes = stand.signed("new", &[("r.example/a:1", b"new"), ("r.example/b:1", b"other")]);
            stand.import(&bytes, false).map(drop)
        },
        |stand, what| {
            let shelf = stand.shelf();
            let given = layer_of(&shelf, "a:1").unwrap_or_else(|error| panic!("{what}: {error:?}"));
            let is_new = stand.names() == ["old", "new"];
            assert_eq!(given, if is_new { &b"new"[..] } else { b"old" }, "{what}");
            assert_eq!(layer_of(&shelf, "b:1").is_ok(), is_new, "{what}");
        },
        |stand| {
            assert_eq!(stand.names(), ["old", "new"]);
            assert_eq!(layer_of(&stand.shelf(), "b:1").unwrap(), b"other");
            assert_eq!(verify_all(stand), Vec::<String>::new());
        },
    );
    assert!(effects.len() > 20, "{effects:?}");
}

fn verify_all(stand: &Stand) -> Vec<String> {
    let store = stand.store();
    let inventory = store.inventory().unwrap();
    for (digest, size) in store::distinct(&inventory) {
        store.check(digest, size).unwrap();
    }
    damaged_images(&store, &inventory)
}

#[test]
fn a_list_that_cannot_be_read_is_begun_anew_by_the_next_import() {
    let stand = Stand::new();
    let bytes = stand.signed("shop", &[("r.example/a:1", b"layer")]);
    stand.import(&bytes, false).unwrap();
    let stored = stand.stored();
    for copy in ["inventory-0.json", "inventory-1.json"] {
        let path = stand.store().folder().join(copy);
        if path.exists() {
            fs::write(path, "damaged").unwrap();
        }
    }
    assert!(stand.store().inventory().is_err());
    stand.import(&bytes, false).unwrap();
    assert_eq!((stand.names(), stand.stored()), (vec!["shop".to_owned()], stored));
    assert_eq!(layer_of(&stand.shelf(), "a:1").unwrap(), b"layer");
}

/// One of several on a stick.
#[test]
fn a_refused_bundle_stops_no_other_one_and_leaves_nothing() {
    let stand = Stand::new();
    let folder = stand.folder.path().join("stick");
    fs::create_dir(&folder).unwrap();
    let stranger = SigningKey::generate().unwrap().0;
    fs::write(folder.join("a.tar.zst"), bundle("a", &[("r.example/a:1", b"one")], Some(&stranger))).unwrap();
    fs::write(folder.join("b.tar.zst"), stand.signed("b", &[("r.example/b:1", b"two")])).unwrap();
    let trusted = [stand.key.public()];
    let rules = Rules { trusted: &trusted, trust: Trust::Site(Unsigned::Refuse), replaces: false };
    let bundles = source::in_folder(&folder).unwrap();
    let (told, failures) = import_all(&stand.store(), &bundles, &rules, &mut Nobody).unwrap();
    assert_eq!((told.len(), failures.len(), stand.names()), (1, 1, vec!["b".to_owned()]));
    assert_eq!(stand.stored(), 3);
}

#[test]
fn who_is_not_trusted_brings_nothing() {
    let stand = Stand::new();
    let stranger = SigningKey::generate().unwrap().0;
    let images: &[(&str, &[u8])] = &[("r.example/a:1", b"layer")];
    for (signer, why) in [(None, "not signed"), (Some(&stranger), "does not trust")] {
        let error = stand.import(&bundle("shop", images, signer), false).unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
        assert_eq!((stand.names().len(), stand.stored()), (0, 0));
    }
    // What a medium brings needs no signature, and a wrong one is wrong even there.
    assert!(
        stand.import_as(&bundle("shop", images, Some(&stranger)), false, Trust::Medium, &mut Nobody).is_err()
    );
    stand.import_as(&bundle("shop", images, None), false, Trust::Medium, &mut Nobody).unwrap();
    assert_eq!(stand.names(), ["shop"]);
}

/// Stops the operation after so many looks.
struct Impatient(usize);

impl Report for Impatient {
    fn step(&mut self, _: &str, _: u64) {}

    fn progress(&mut self, _: u64) -> Result<()> {
        self.0 = self.0.checked_sub(1).ok_or_else(cancelled)?;
        Ok(())
    }
}

/// More than one read's worth, and nothing that compresses.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    (0..length).map(next).collect()
}

#[test]
fn what_a_stopped_import_has_brought_need_not_come_again() {
    let stand = Stand::new();
    let (one, two) = (noise(9 << 20), noise((9 << 20) + 1));
    let bytes = stand.signed("shop", &[("r.example/a:1", &one), ("r.example/b:1", &two)]);
    let trust = Trust::Site(edge_model::user_data::edge::Unsigned::Refuse);
    let looks = bytes.len() / (128 << 10);
    let error = stand.import_as(&bytes, false, trust, &mut Impatient(looks * 3 / 4)).unwrap_err();
    assert!(error.to_string().contains("stopped"), "{error}");
    assert!(stand.names().is_empty() && stand.stored() > 4, "{}", stand.stored());
    let told = stand.import(&bytes, false).unwrap();
    assert!(told.contains("2 images, 10 MiB written"), "{told}");
    assert_eq!(stand.import(&bytes, false).unwrap(), "the bundle shop was here already, whole");
}

#[test]
fn what_the_disk_has_lost_is_not_given_and_comes_back_with_the_bundle() {
    let stand = Stand::new();
    let large = noise(DOCUMENT_LIMIT as usize + 1);
    let bytes = stand.signed("shop", &[("r.example/small:1", b"layer"), ("r.example/large:1", &large)]);
    stand.import(&bytes, false).unwrap();
    assert_eq!(layer_of(&stand.shelf(), "large:1").unwrap(), large);
    for (image, layer) in [("small:1", &b"layer"[..]), ("large:1", &large)] {
        let path = stand.store().path(&sha256(layer));
        for damage in [Vec::new(), vec![0; layer.len()]] {
            fs::write(&path, damage).unwrap();
            // In the next boot.
            assert_eq!(layer_of(&stand.shelf(), image), Err(Absent::Damaged), "{image}");
            let view = view(&stand.machine, &EdgeSection::default()).unwrap();
            assert_eq!(view.bundles[0].damaged, [format!("r.example/{image}")]);
            stand.import(&bytes, false).unwrap();
            assert_eq!(layer_of(&stand.shelf(), image).unwrap(), layer);
        }
    }
    // One that rots while it is not asked for is found by reading all.
    fs::write(stand.store().path(&sha256(&large)), vec![1; large.len()]).unwrap();
    assert_eq!(verify_all(&stand), ["r.example/large:1"]);
}

#[test]
fn a_bundle_takes_with_it_what_no_other_one_needs() {
    let stand = Stand::new();
    stand
        .import(&stand.signed("a", &[("r.example/a:1", b"shared"), ("r.example/b:1", b"own")]), false)
        .unwrap();
    stand.import(&stand.signed("b", &[("r.example/c:1", b"shared")]), false).unwrap();
    let remove = |name: &str| remove(&stand.machine, &BundleRemoval { bundle: name.into(), force: true });
    assert_eq!(remove("a").unwrap(), "a");
    assert!(remove("a").is_err());
    assert_eq!(layer_of(&stand.shelf(), "c:1").unwrap(), b"shared");
    assert_eq!(layer_of(&stand.shelf(), "b:1"), Err(Absent::Unknown));
    assert_eq!(stand.stored(), 3);
    // The newer of two with one name counts; with `replace` the older one goes.
    stand.import(&stand.signed("b", &[("r.example/c:1", b"newer")]), false).unwrap();
    assert_eq!(
        (stand.names(), layer_of(&stand.shelf(), "c:1").unwrap()),
        (vec!["b".into(), "b".into()], b"newer".to_vec())
    );
    let told = stand.import(&stand.signed("b", &[("r.example/c:1", b"newest")]), true).unwrap();
    assert!(told.contains("in place of 2 older ones"), "{told}");
    assert_eq!(
        (stand.names(), layer_of(&stand.shelf(), "c:1").unwrap()),
        (vec!["b".into()], b"newest".to_vec())
    );
}

#[test]
fn a_bundle_in_parts_is_read_as_one() {
    let stand = Stand::new();
    let bytes = stand.signed("shop", &[("r.example/a:1", b"layer")]);
    let folder = stand.folder.path().join("stick");
    fs::create_dir(&folder).unwrap();
    for (number, part) in bytes.chunks(bytes.len() / 2 + 1).enumerate() {
        fs::write(folder.join(format!("shop.tar.zst_part{number:02}")), part).unwrap();
    }
    let first = format!("file:{}", folder.join("shop.tar.zst_part00").display());
    let found = source::open(&first, "").unwrap();
    assert_eq!((found.bundles().len(), found.bundles()[0].parts.len()), (1, 2));
    let trusted = [stand.key.public()];
    let rules = Rules { trusted: &trusted, trust: Trust::Medium, replaces: false };
    import(&stand.store(), &found.bundles()[0], &rules, &mut Nobody).unwrap();
    assert_eq!(stand.names(), ["shop"]);
    for (source, why) in [
        ("file:/nowhere/a.tar.zst", "cannot"),
        ("file:/etc/passwd", "not a content bundle"),
        ("oci:a", "not a source"),
    ] {
        assert!(source::open(source, "").unwrap_err().to_string().contains(why), "{source}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_bundle_that_was_cut_or_changed_is_not_taken(at: usize, byte: u8, cuts: bool) {
        let stand = Stand::new();
        let images: &[(&str, &[u8])] = &[("r.example/a:1", b"a layer that is longer than nothing")];
        let mut bytes = stand.signed("shop", images);
        let whole = bytes.clone();
        let at = at % bytes.len();
        if cuts { bytes.truncate(at) } else { bytes[at] = byte }
        match stand.import(&bytes, false) {
            Ok(_) => {
                // Behind the last frame nothing is content.
                prop_assert_eq!(layer_of(&stand.shelf(), "a:1").unwrap(), images[0].1);
            }
            Err(_) => prop_assert!(stand.names().is_empty()),
        }
        stand.import(&whole, false).unwrap();
        prop_assert_eq!(stand.names(), ["shop"]);
    }
}
