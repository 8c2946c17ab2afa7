//! Whether an image may be installed beside the running one, and where.

use std::cmp::Ordering;

use edge_model::api::UpgradeRequest;
use edge_model::cluster::KubernetesVersions;
use edge_model::ids::{Entry, RootHash, Slot};
use edge_model::ledger::{ImageRecord, Ledger, PendingUpgrade, UpgradeStage};
use edge_model::manifest::ImageManifest;
use edge_model::user_data::edge::Unsigned;
use edge_model::{Error, Result};
use edge_slot_image::signing::Provenance;

use crate::cluster::gate;
use crate::installed::image_record;

/// Kept free on the ESP, for loader configuration and directories.
const ESP_RESERVE: u64 = 1 << 20;
/// For the ledger, twice, with room to spare.
const OEM_RESERVE: u64 = 1 << 20;

/// What is true on the host before an upgrade.
#[derive(Debug, Clone)]
pub struct UpgradeFacts<'a> {
    pub booted_slot: Option<Slot>,
    pub booted_root_hash: RootHash,
    pub booted_name: &'a str,
    pub booted_version: &'a str,
    pub architecture: &'a str,
    pub ledger: &'a Ledger,
    /// Bytes of the slot that is not booted.
    pub slot_size: u64,
    /// Bytes that are free on the ESP.
    pub esp_free: u64,
    /// Bytes that are free on `/oem`, where the host remembers what it does.
    pub oem_free: u64,
    /// The firmware takes what says which image is started next. A machine without such memory needs none.
    pub firmware_has_room: bool,
    pub unsigned: Unsigned,
    /// Versions that the host's cluster was opened with; none where there is no cluster.
    pub cluster: Option<&'a KubernetesVersions>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpgradePlan {
    /// The image runs already.
    AlreadyInstalled,
    /// The image is complete in the other slot: only the trial boot is left.
    AlreadyWritten { slot: Slot, image: ImageRecord },
    Write {
        slot: Slot,
        image: ImageRecord,
        /// Data frames that an interrupted run has written.
        first_frame: u32,
        /// UKI of the image that is overwritten.
        obsolete_entry: Option<Entry>,
    },
}

impl UpgradePlan {
    /// What would be done, for a person.
    pub fn describe(&self) -> String {
        match self {
            UpgradePlan::AlreadyInstalled => "nothing to do: this image runs already".into(),
            UpgradePlan::AlreadyWritten { slot, image } => {
                format!(
                    "version {} is in slot {slot} already: only its trial boot would be armed",
                    image.version
                )
            }
            UpgradePlan::Write { slot, image, first_frame, .. } => {
                let from = if *first_frame > 0 { ", going on where it stopped" } else { "" };
                format!(
                    "version {} would be written to slot {slot}{from} and tried at the next boot",
                    image.version
                )
            }
        }
    }
}

/// Checks everything that can be known before the first write.
///
/// # Errors
/// [`edge_model::Class::Rejected`] with the reason and what would allow it.
pub fn plan(
    facts: &UpgradeFacts<'_>,
    manifest: &ImageManifest,
    provenance: Provenance,
    request: &UpgradeRequest,
) -> Result<UpgradePlan> {
    check_provenance(facts, provenance)?;
    check_identity(manifest, request)?;
    check_compatibility(facts, manifest)?;
    if manifest.root.root_hash == facts.booted_root_hash {
        return Ok(UpgradePlan::AlreadyInstalled);
    }
    check_history(facts, manifest, request)?;
    let slot = facts.booted_slot.map_or(Slot::A, Slot::other);
    let image = image_record(manifest, matches!(provenance, Provenance::Signed(_)));
    let pending = facts
        .ledger
        .pending
        .as_ref()
        .filter(|pending| pending.slot == slot && pending.image.root_hash == image.root_hash);
    if pending.is_some_and(|pending| matches!(pending.stage, UpgradeStage::Armed | UpgradeStage::Interrupted))
    {
        return Ok(UpgradePlan::AlreadyWritten { slot, image });
    }
    check_space(facts, manifest)?;
    let obsolete = facts.ledger.slot(slot).map(|image| image.root_hash);
    Ok(UpgradePlan::Write {
        slot,
        first_frame: pending.map_or(0, |pending| frames_written(pending, manifest)),
        obsolete_entry: obsolete
            .filter(|root_hash| *root_hash != image.root_hash)
            .map(|root_hash| root_hash.entry()),
        image,
    })
}

fn frames_written(pending: &PendingUpgrade, manifest: &ImageManifest) -> u32 {
    match pending.stage {
        UpgradeStage::Writing { data_frames } => data_frames.min(manifest.root.data_frames.len() as u32),
        UpgradeStage::Armed | UpgradeStage::Interrupted | UpgradeStage::Unknown => 0,
    }
}

/// Whoever says which image it must be has its root hash from the build.
fn check_identity(manifest: &ImageManifest, request: &UpgradeRequest) -> Result<()> {
    let found = manifest.root.root_hash;
    match request.root_hash {
        Some(wanted) if wanted != found => {
            Err(Error::integrity(format!("another image was found: its root hash is {found}, not {wanted}"))
                .help("the source was changed since the image was chosen, or this is another image"))
        }
        _ => Ok(()),
    }
}

fn check_provenance(facts: &UpgradeFacts<'_>, provenance: Provenance) -> Result<()> {
    if provenance == Provenance::Unsigned && facts.unsigned == Unsigned::Refuse {
        return Err(Error::rejected("the image is not signed")
            .help("sign it, or set edge.upgrade.unsigned: allow in the host's user data"));
    }
    Ok(())
}

fn check_compatibility(facts: &UpgradeFacts<'_>, manifest: &ImageManifest) -> Result<()> {
    if manifest.architecture != facts.architecture {
        return Err(Error::rejected(format!(
            "the image is for {}, this host is {}",
            manifest.architecture, facts.architecture
        )));
    }
    if manifest.name != facts.booted_name {
        return Err(Error::rejected(format!(
            "the image is {:?}, this host runs {:?}",
            manifest.name, facts.booted_name
        ))
        .help("an upgrade keeps the name of the image; install from a medium to change it"));
    }
    gate::may_upgrade(facts.cluster, manifest.kubernetes.as_ref())
}

fn check_history(facts: &UpgradeFacts<'_>, manifest: &ImageManifest, request: &UpgradeRequest) -> Result<()> {
    if let Some(failed) = facts.ledger.failure_of(&manifest.root.root_hash)
        && !request.retry_failed
    {
        return Err(Error::rejected(format!(
            "version {} failed on this host before: {}",
            failed.version, failed.reason
        ))
        .help("use a corrected version, or --retry-failed to try this one again"));
    }
    if compare_versions(&manifest.version, facts.booted_version) == Ordering::Less && !request.allow_downgrade
    {
        return Err(Error::rejected(format!(
            "version {} is older than {}, which runs now",
            manifest.version, facts.booted_version
        ))
        .help("--allow-downgrade installs it all the same"));
    }
    Ok(())
}

fn check_space(facts: &UpgradeFacts<'_>, manifest: &ImageManifest) -> Result<()> {
    let mebibytes = |bytes: u64| bytes.div_ceil(1 << 20);
    if manifest.root.size() > facts.slot_size {
        return Err(Error::rejected(format!(
            "the image needs {} MiB, a slot of this host has {} MiB",
            mebibytes(manifest.root.size()),
            mebibytes(facts.slot_size)
        )));
    }
    let needed = manifest.ukis.main.size + ESP_RESERVE;
    if needed > facts.esp_free {
        return Err(Error::rejected(format!(
            "the boot partition (efi) needs {} MiB and has {} MiB free",
            mebibytes(needed),
            mebibytes(facts.esp_free)
        )));
    }
    if facts.oem_free < OEM_RESERVE {
        return Err(Error::rejected("/oem is full, and an upgrade has to be written down there")
            .help("remove what you have put there; edge-agent support-bundle shows what there is"));
    }
    if !facts.firmware_has_room {
        return Err(Error::rejected("the firmware's memory takes no more settings")
            .help("remove old boot entries in the firmware's setup, or reset it there to its defaults"));
    }
    Ok(())
}

/// Compares versions piece by piece: numbers by value, other text by order, and `1.0~rc1` before `1.0`.
pub fn compare_versions(one: &str, other: &str) -> Ordering {
    let (mut one, mut other) = (pieces(one).into_iter(), pieces(other).into_iter());
    loop {
        let order = match (one.next(), other.next()) {
            (None, None) => return Ordering::Equal,
            (Some(Piece::Tilde), None) => Ordering::Less,
            (None, Some(Piece::Tilde)) => Ordering::Greater,
            (one, other) => one.cmp(&other),
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Piece {
    /// Sorts before everything, even before the end.
    Tilde,
    Text(String),
    Number(u128),
}

fn pieces(version: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = version;
    while let Some(first) = rest.chars().next() {
        let same_kind =
            |character: char| character.is_ascii_digit() == first.is_ascii_digit() && character != '~';
        let end = rest.find(|character| !same_kind(character)).unwrap_or(rest.len()).max(first.len_utf8());
        let (piece, after) = rest.split_at(end);
        pieces.push(match piece.parse() {
            _ if piece == "~" => Piece::Tilde,
            Ok(number) => Piece::Number(number),
            Err(_) => Piece::Text(piece.to_owned()),
        });
        rest = after;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use edge_model::cluster::CarriedKubernetes;
    use edge_model::ids::Digest;
    use edge_model::ledger::FailedImage;
    use edge_model::manifest::{Blob, FORMAT, RootImage, Ukis};
    use proptest::prelude::*;

    const SIGNED: Provenance = Provenance::Signed(Digest([0; 32]));

    fn manifest(byte: u8, version: &str) -> ImageManifest {
        let blob = Blob { digest: Digest([byte; 32]), size: 16 << 20 };
        ImageManifest {
            format: FORMAT,
            name: "edge".into(),
            version: version.into(),
            architecture: "amd64".into(),
            created: 0,
            kernel: "6.12".into(),
            root: RootImage {
                root_hash: RootHash([byte; 32]),
                data_blocks: 1000,
                tree_blocks: 10,
                blob,
                data_frames: vec![1; 4],
                tree_frames: vec![1],
            },
            ukis: Ukis { main: blob, recovery: blob, live: blob },
            kubernetes: None,
            components: Default::default(),
            critical: Vec::new(),
        }
    }

    fn facts(ledger: &Ledger) -> UpgradeFacts<'_> {
        UpgradeFacts {
            booted_slot: Some(Slot::A),
            booted_root_hash: RootHash([1; 32]),
            booted_name: "edge",
            booted_version: "1.0",
            architecture: "amd64",
            ledger,
            slot_size: 1 << 30,
            esp_free: 1 << 30,
            oem_free: 1 << 30,
            firmware_has_room: true,
            unsigned: Unsigned::Refuse,
            cluster: None,
        }
    }

    fn request() -> UpgradeRequest {
        UpgradeRequest {
            source: "oci:x".into(),
            allow_downgrade: false,
            root_hash: None,
            retry_failed: false,
            plain_http: false,
            reboot: false,
            dry_run: false,
        }
    }

    fn refusal(facts: &UpgradeFacts<'_>, manifest: &ImageManifest, provenance: Provenance) -> String {
        plan(facts, manifest, provenance, &request()).unwrap_err().to_string()
    }

    #[test]
    fn the_other_slot_is_written() {
        let ledger = Ledger::default();
        let made = plan(&facts(&ledger), &manifest(2, "2.0"), SIGNED, &request()).unwrap();
        assert!(matches!(made, UpgradePlan::Write { slot: Slot::B, first_frame: 0, .. }), "{made:?}");
        let same = plan(&facts(&ledger), &manifest(1, "1.0"), SIGNED, &request()).unwrap();
        assert_eq!(same, UpgradePlan::AlreadyInstalled);
    }

    #[test]
    fn every_refusal_names_its_reason() {
        let ledger = Ledger {
            failed: vec![FailedImage {
                root_hash: RootHash([9; 32]),
                version: "9".into(),
                reason: "panic".into(),
                at: 0,
            }],
            ..Ledger::default()
        };
        let facts = facts(&ledger);
        let good = manifest(2, "2.0");
        assert!(refusal(&facts, &good, Provenance::Unsigned).contains("not signed"));
        assert!(refusal(&facts, &manifest(9, "9"), SIGNED).contains("panic"));
        assert!(refusal(&facts, &manifest(2, "0.9"), SIGNED).contains("older"));
        let arm = ImageManifest { architecture: "arm64".into(), ..good.clone() };
        assert!(refusal(&facts, &arm, SIGNED).contains("arm64"));
        let other = ImageManifest { name: "other".into(), ..good.clone() };
        assert!(refusal(&facts, &other, SIGNED).contains("other"));
        let wanted = UpgradeRequest { root_hash: Some(RootHash([7; 32])), ..request() };
        let refused = plan(&facts, &good, SIGNED, &wanted).unwrap_err();
        assert_eq!(refused.class, edge_model::Class::Integrity);
        let wanted = UpgradeRequest { root_hash: Some(good.root.root_hash), ..request() };
        assert!(plan(&facts, &good, SIGNED, &wanted).is_ok());
        let small = UpgradeFacts { slot_size: 1 << 20, ..facts.clone() };
        assert!(refusal(&small, &good, SIGNED).contains("slot"));
        let full = UpgradeFacts { oem_free: 1 << 10, ..facts.clone() };
        assert!(refusal(&full, &good, SIGNED).contains("/oem is full"));
        let full = UpgradeFacts { firmware_has_room: false, ..facts.clone() };
        assert!(refusal(&full, &good, SIGNED).contains("firmware's memory"));
        let full = UpgradeFacts { esp_free: 1 << 20, ..facts };
        assert!(refusal(&full, &good, SIGNED).contains("efi"));
    }

    #[test]
    fn an_interrupted_upgrade_goes_on_where_it_stopped() {
        let pending = |stage| PendingUpgrade {
            slot: Slot::B,
            image: image_record(&manifest(2, "2.0"), true),
            source: "oci:x".into(),
            stage,
            tries: 0,
        };
        let ledger =
            Ledger { pending: Some(pending(UpgradeStage::Writing { data_frames: 3 })), ..Ledger::default() };
        let made = plan(&facts(&ledger), &manifest(2, "2.0"), SIGNED, &request()).unwrap();
        assert!(matches!(made, UpgradePlan::Write { first_frame: 3, .. }));
        let made = plan(&facts(&ledger), &manifest(3, "2.0"), SIGNED, &request()).unwrap();
        assert!(matches!(made, UpgradePlan::Write { first_frame: 0, .. }), "another image starts anew");
        let ledger = Ledger { pending: Some(pending(UpgradeStage::Armed)), ..Ledger::default() };
        let made = plan(&facts(&ledger), &manifest(2, "2.0"), SIGNED, &request()).unwrap();
        assert!(matches!(made, UpgradePlan::AlreadyWritten { slot: Slot::B, .. }));
    }

    #[test]
    fn a_cluster_goes_to_versions_that_can_open_its_data() {
        let versions = |kubernetes: &str| KubernetesVersions {
            distribution: edge_model::cluster::Distribution::Kubeadm,
            kubernetes: kubernetes.into(),
            etcd: Some("3.7.3".into()),
        };
        let (ledger, present) = (Ledger::default(), versions("v1.37.2"));
        let facts = UpgradeFacts { cluster: Some(&present), ..facts(&ledger) };
        let carried =
            |versions| CarriedKubernetes { upgrades_from: Some(gate::least_before(&versions)), versions };
        let next = |versions: Option<KubernetesVersions>| ImageManifest {
            kubernetes: versions.map(carried),
            ..manifest(2, "2.0")
        };
        assert!(plan(&facts, &next(Some(versions("v1.37.2"))), SIGNED, &request()).is_ok());
        assert!(plan(&facts, &next(Some(versions("v1.38.0"))), SIGNED, &request()).is_ok());
        assert!(
            refusal(&facts, &next(Some(versions("v1.39.0"))), SIGNED).contains("carries Kubernetes 1.39.0")
        );
        assert!(refusal(&facts, &next(None), SIGNED).contains("carries no Kubernetes"));
    }

    #[test]
    fn versions_compare_as_people_expect() {
        let ascending = ["1.0~rc1", "1.0", "1.0.1", "1.2", "1.10", "2.0-beta", "10"];
        for pair in ascending.windows(2) {
            assert_eq!(compare_versions(pair[0], pair[1]), Ordering::Less, "{pair:?}");
        }
    }

    proptest! {
        #[test]
        fn comparing_versions_is_antisymmetric(one in "[0-9a-z.~é]{0,12}", other in "[0-9a-z.~é]{0,12}") {
            prop_assert_eq!(compare_versions(&one, &other), compare_versions(&other, &one).reverse());
            prop_assert_eq!(compare_versions(&one, &one), Ordering::Equal);
        }
    }
}
