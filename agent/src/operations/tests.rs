//! Operations on a machine of folders: each of their effects fails once, and is once the last.

use std::fs;

use edge_host::efivars::Variable;
use edge_host::esp::Esp;
use edge_host::faults::{Fault, play};
use edge_host::install_record::{InstallRecord, InstallState};
use edge_model::Class;
use edge_model::api::UpgradeRequest;
use edge_model::ids::{Entry, to_hex};
use edge_model::layout::Role;
use edge_model::ledger::{Ledger, PendingUpgrade, UpgradeStage};
use edge_planner::install::InstallPlan;
use edge_slot_image::signing::{Signer, SigningKey};

use super::*;
use crate::boot_control;
use crate::stand::{Stand, stand_of_medium, stand_with_images};
use crate::state_file::StateFile;
use edge_testkit::every_fault::with_every_fault;
use edge_testkit::image::{MAIN_KERNEL, RECOVERY_KERNEL, SmallImage};

struct Nobody;

impl Report for Nobody {
    fn step(&mut self, _: &str, _: u64) {}

    fn progress(&mut self, _: u64) -> Result<()> {
        Ok(())
    }
}

fn slots_are_whole(stand: &Stand, what: &str) {
    let ledger = stand.host.ledger().load();
    for (role, image) in [(Role::SlotA, &ledger.slot_a), (Role::SlotB, &ledger.slot_b)] {
        let image = image.as_ref().unwrap();
        let reader =
            edge_host::slot::ImageReader::open(stand.host.disk().unwrap().volume(role).unwrap().content())
                .unwrap();
        reader
            .scrub(&image.root_hash, image.data_blocks, |_| Ok(()))
            .unwrap_or_else(|error| panic!("{what}: {error}"));
    }
    assert!(stand.boots_next().is_some(), "{what}: nothing boots");
}

#[test]
fn recovery_is_refreshed_and_the_normal_system_is_never_touched() {
    with_every_fault(
        stand_with_images,
        |stand| recovery::refresh(&stand.host, &mut Nobody).map(drop),
        |stand, what| {
            slots_are_whole(stand, what);
            let ledger = stand.host.ledger().load();
            let known = ledger.recovery.map(|image| image.version);
            let is_true =
                known.is_none() || known.as_deref() == Some("1.0") || known.as_deref() == Some("2.0");
            assert!(is_true, "{what}: {known:?}");
        },
        |stand| {
            let ledger = stand.host.ledger().load();
            assert_eq!(ledger.recovery, ledger.slot_b);
            verify::run(&stand.host, &mut Nobody).unwrap();
            fsck::run(&stand.host, false, &mut Nobody).unwrap();
        },
    );
}

/// Somebody stops the operation at its first chance.
struct Impatient;

impl Report for Impatient {
    fn step(&mut self, _: &str, _: u64) {}

    fn progress(&mut self, _: u64) -> Result<()> {
        Err(crate::report::cancelled())
    }
}

#[test]
fn a_check_of_recovery_that_is_stopped_is_not_taken_for_damage() {
    let stand = stand_with_images();
    recovery::refresh(&stand.host, &mut Nobody).unwrap();
    assert_eq!(recovery::refresh(&stand.host, &mut Impatient).unwrap_err().class, Class::Rejected);
    assert!(stand.host.ledger().load().recovery.is_some(), "it is still there");
    verify::run(&stand.host, &mut Nobody).unwrap();
}

#[test]
fn a_damaged_copy_of_the_partition_table_is_mended() {
    use std::os::unix::fs::FileExt;
    let stand = stand_with_images();
    let disk = fs::OpenOptions::new().write(true).open(stand.host.disk().unwrap().disk.path).unwrap();
    disk.write_all_at(&[0; 512], 512).unwrap();
    let error = fsck::run(&stand.host, false, &mut Nobody).unwrap_err();
    assert!(error.message.contains("partition table"), "{error}");
    fsck::run(&stand.host, true, &mut Nobody).unwrap();
    fsck::run(&stand.host, false, &mut Nobody).unwrap();
}

#[test]
fn damaged_kernels_are_found_and_mended_from_their_second_copies() {
    let stand = stand_with_images();
    fsck::run(&stand.host, false, &mut Nobody).unwrap();
    let ledger = stand.host.ledger().load();
    let device = |name: &str| stand.folder.path().join("dev").join(name).join("EFI/Linux");
    let kernels = [
        (device("efi").join(ledger.slot_b.unwrap().root_hash.uki_name()), MAIN_KERNEL),
        (device("efi").join(Entry::recovery_beside().as_str()), RECOVERY_KERNEL),
        (device("efi-recovery").join(Entry::recovery().as_str()), RECOVERY_KERNEL),
    ];
    for (path, whole) in kernels {
        for rotten in [false, true] {
            if rotten {
                fs::write(&path, "rotten").unwrap()
            } else {
                fs::remove_file(&path).unwrap()
            }
            let error = fsck::run(&stand.host, false, &mut Nobody).unwrap_err();
            assert!(
                error.class == Class::Integrity && error.message.contains("damaged or missing"),
                "{error}"
            );
            assert!(error.help.is_some_and(|help| help.contains("--repair")));
            let mended = fsck::run(&stand.host, true, &mut Nobody).unwrap();
            assert!(mended.message.starts_with("mended: "), "{}", mended.message);
            assert_eq!(fs::read(&path).unwrap(), whole);
            fsck::run(&stand.host, false, &mut Nobody).unwrap();
        }
    }
}

#[test]
fn what_is_lost_is_named_and_not_mended_by_a_guess() {
    let stand = stand_with_images();
    stand
        .host
        .ledger()
        .change_or_begin(|ledger| {
            ledger.recovery = None;
            Ok(())
        })
        .unwrap();
    let error = fsck::run(&stand.host, true, &mut Nobody).unwrap_err();
    assert!(error.message.contains("there is no recovery system"), "{error}");
}

#[test]
fn an_image_without_its_recovery_kernel_is_refused_before_anything_is_given_up() {
    let stand = stand_with_images();
    let slot = stand.host.disk().unwrap().volume(Role::SlotB).unwrap();
    SmallImage::new(2, None).put(&stand.host.disk().unwrap(), Role::SlotB);
    let image = SmallImage::new(2, None).record();
    let file = fs::OpenOptions::new().write(true).open(slot.content()).unwrap();
    // Without what is behind the tree.
    file.set_len((image.data_blocks + 3) * 4096).unwrap();
    file.set_len(1 << 30).unwrap();
    let error = recovery::refresh(&stand.host, &mut Nobody).unwrap_err();
    assert!(error.class == Class::Rejected && stand.host.ledger().load().recovery.is_some(), "{error}");
}

#[test]
fn a_restart_during_a_trial_goes_on_with_it() {
    let mut stand = stand_with_images();
    let old = stand.host.ledger().load().slot_a.unwrap();
    let default = stand.host.record.root_hash.entry();
    boot_control::perform(&stand.host, &edge_planner::boot::steps::try_once(old.root_hash.entry(), default))
        .unwrap();
    stand.variables().remove(Variable::LoaderEntryOneShot).unwrap();
    (stand.host.record.root_hash, stand.host.record.slot) = (old.root_hash, Some(edge_model::ids::Slot::A));
    assert_eq!(stand.booted().state(), edge_model::api::BootState::Trial);
    slot_switch::reboot(&stand.host, false).unwrap();
    assert_eq!(stand.boots_next(), Some(old.root_hash.entry()));
    let fallback = stand.variables().get_entry(Variable::FallbackEntry).unwrap();
    assert_ne!(fallback, Some(old.root_hash.entry()), "it would be taken for one that stands in");
    slot_switch::reboot(&stand.host, true).unwrap();
    let next = stand.variables().get(Variable::BootNext).unwrap();
    assert!(next.is_some(), "recovery was asked for");
}

#[test]
fn from_recovery_the_other_image_is_tried_and_the_default_is_what_is_fallen_back_to() {
    let mut stand = stand_with_images();
    let default = stand.host.record.root_hash.entry();
    let other = stand.host.ledger().load().slot_a.unwrap().root_hash.entry();
    stand.host.kind = edge_planner::host_kind::HostKind::Recovery;
    (stand.host.record.mode, stand.host.record.slot) = (edge_model::cmdline::Mode::Recovery, None);
    slot_switch::rollback(&stand.host).unwrap();
    assert_eq!(stand.boots_next(), Some(other));
    assert_eq!(stand.variables().get_entry(Variable::FallbackEntry).unwrap(), Some(default.clone()));
    assert_eq!(stand.variables().get_entry(Variable::LoaderEntryDefault).unwrap(), Some(default));
}

#[test]
fn a_reset_leads_to_recovery_a_few_times_and_changes_nothing_else() {
    let stand = stand_with_images();
    let refused = reset::ask(&stand.host, false, &mut Nobody).unwrap_err();
    assert!(refused.help.unwrap().contains("upgrade --recovery"), "recovery is another version");
    recovery::refresh(&stand.host, &mut Nobody).unwrap();
    let default = stand.variables().get_entry(Variable::LoaderEntryDefault).unwrap();
    reset::ask(&stand.host, false, &mut Nobody).unwrap();
    for _ in 0..3 {
        assert_eq!(
            stand.variables().get_entry(Variable::LoaderEntryOneShot).unwrap(),
            Some(Entry::recovery_beside())
        );
        assert!(reset::lead_to_recovery(&stand.host).unwrap());
    }
    let given_up = reset::lead_to_recovery(&stand.host).unwrap_err();
    assert!(given_up.message.contains("was not reset"));
    assert!(!reset::lead_to_recovery(&stand.host).unwrap(), "the wish is gone, and the host goes on");
    assert_eq!(stand.variables().get_entry(Variable::LoaderEntryDefault).unwrap(), default);
}

#[test]
fn a_wish_that_the_firmware_does_not_take_is_none() {
    let stand = stand_with_images();
    recovery::refresh(&stand.host, &mut Nobody).unwrap();
    let effects = play(None, || reset::ask(&stand.host, false, &mut Nobody)).effects;
    let at = effects.iter().position(|effect| effect.starts_with("set variable")).unwrap();
    let stand = stand_with_images();
    recovery::refresh(&stand.host, &mut Nobody).unwrap();
    let refused = play(Some((at, Fault::Fails(28))), || reset::ask(&stand.host, false, &mut Nobody));
    assert!(refused.outcome.unwrap().is_err());
    assert!(
        !reset::lead_to_recovery(&stand.host).unwrap(),
        "what was reported as failed does not happen later"
    );
}

/// An OCI layout of an image that the stand's host does not have, signed by a key that it trusts.
fn offered(number: u8, blocks: u64) -> (SmallImage, tempfile::TempDir, String) {
    let image = SmallImage::of_blocks(blocks, number, Some(&*SIGNER));
    let layout = tempfile::tempdir().unwrap();
    image.write_layout(layout.path());
    let source = format!("oci-layout:{}", layout.path().display());
    (image, layout, source)
}

/// What is installed, and offered.
static THIRD: std::sync::LazyLock<SmallImage> = std::sync::LazyLock::new(|| SmallImage::new(3, None));

static SIGNER: std::sync::LazyLock<SigningKey> =
    std::sync::LazyLock::new(|| SigningKey::generate().unwrap().0);

/// A host that trusts the key of [`offered`].
fn stand_that_trusts() -> Stand {
    let stand = stand_with_images();
    let keys = stand.host.machine.path(edge_model::paths::IMAGE_KEYS);
    fs::create_dir_all(&keys).unwrap();
    fs::write(keys.join("image-signing.pub"), SIGNER.public().to_text()).unwrap();
    stand
}

fn upgrade_to(stand: &Stand, source: &str) -> Result<()> {
    let request = UpgradeRequest {
        source: source.to_owned(),
        allow_downgrade: false,
        root_hash: None,
        retry_failed: false,
        plain_http: false,
        reboot: false,
        dry_run: false,
    };
    let settings = Settings::from(&[], Vec::new());
    upgrade::run(&stand.host, &settings, &request, &mut Nobody).map(drop)
}

/// The running image is never touched, and whatever boots next is whole.
fn the_running_image_is_whole(stand: &Stand, what: &str) {
    let running = &stand.host.record;
    let slot = stand.host.disk().unwrap().volume(Role::SlotB).unwrap();
    let reader = edge_host::slot::ImageReader::open(slot.content()).unwrap();
    reader
        .scrub(&running.root_hash, running.data_blocks, |_| Ok(()))
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    let next = stand.boots_next().unwrap_or_else(|| panic!("{what}: nothing boots"));
    if next == running.root_hash.entry() {
        return;
    }
    // Another one is started only once all of it is there.
    let slot = stand.host.disk().unwrap().volume(Role::SlotA).unwrap();
    let reader = edge_host::slot::ImageReader::open(slot.content()).unwrap();
    let offered = THIRD.record();
    assert_eq!(next, offered.root_hash.entry(), "{what}");
    reader
        .scrub(&offered.root_hash, offered.data_blocks, |_| Ok(()))
        .unwrap_or_else(|error| panic!("{what}: {error}"));
}

#[test]
fn an_upgrade_leaves_a_whole_image_to_boot_whatever_fails_and_comes_to_its_end_when_it_is_run_again() {
    let (image, _layout, source) = offered(3, 16);
    let effects = with_every_fault(
        stand_that_trusts,
        |stand| upgrade_to(stand, &source),
        the_running_image_is_whole,
        |stand| {
            assert_eq!(stand.boots_next(), Some(image.root_hash().entry()));
            let ledger = stand.host.ledger().load();
            assert_eq!(ledger.pending.map(|pending| pending.image), Some(image.record()));
            assert!(ledger.recovery.is_some(), "recovery is not touched");
        },
    );
    assert!(effects.len() > 20, "{effects:?}");
}

#[test]
fn an_upgrade_that_was_cut_goes_on_at_the_frame_where_it_was() {
    let (image, layout, source) = offered(3, 1024 * 18);
    let stand = stand_that_trusts();
    let blob = layout.path().join("blobs/sha256").join(to_hex(&image.manifest.root.blob.digest.0));
    let whole = fs::read(&blob).unwrap();
    // The first 17 frames are there: what comes behind them is missing.
    let tree: usize = image.manifest.root.tree_frames.iter().map(|size| *size as usize).sum();
    let last = *image.manifest.root.data_frames.last().unwrap() as usize;
    let mut broken = whole.clone();
    let end = whole.len() - tree;
    broken[end - last..end].fill(0);
    fs::write(&blob, &broken).unwrap();
    upgrade_to(&stand, &source).unwrap_err();
    let at = |stand: &Stand| stand.host.ledger().load().pending.map(|pending| pending.stage);
    assert_eq!(at(&stand), Some(UpgradeStage::Writing { data_frames: 16 }));
    // What was written is not fetched again.
    let mut rest = whole.clone();
    rest[..image.manifest.root.data_frames[0] as usize].fill(0);
    fs::write(&blob, &rest).unwrap();
    upgrade_to(&stand, &source).unwrap();
    assert_eq!(at(&stand), Some(UpgradeStage::Armed));
    the_slot_holds(&stand, Role::SlotA, &image);
}

fn the_slot_holds(stand: &Stand, role: Role, image: &SmallImage) {
    let volume = stand.host.disk().unwrap().volume(role).unwrap();
    let reader = edge_host::slot::ImageReader::open(volume.content()).unwrap();
    let record = image.record();
    reader.scrub(&record.root_hash, record.data_blocks, |_| Ok(())).unwrap();
}

#[test]
fn an_image_that_nobody_signed_changes_nothing() {
    let image = SmallImage::new(3, None);
    let layout = tempfile::tempdir().unwrap();
    image.write_layout(layout.path());
    let stand = stand_that_trusts();
    let source = format!("oci-layout:{}", layout.path().display());
    let played = play(None, || upgrade_to(&stand, &source));
    assert_eq!(played.outcome.unwrap().unwrap_err().class, Class::Rejected);
    // Whether the firmware has room is found out by trying.
    let changes = |effect: &&String| !effect.contains("EdgeRoomProbe");
    assert_eq!(played.effects.iter().find(changes), None, "{:?}", played.effects);
}

/// What an installation leaves is a disk that is not begun, one that the same medium goes on with, or a whole host.
fn the_disk_is_blank_begun_or_installed(stand: &Stand, what: &str) {
    let mut disk = fs::File::open(stand.host.disk().unwrap().disk.path).unwrap();
    let record = InstallRecord::read(&mut disk);
    if record.is_some_and(|record| record.state == InstallState::Installed) {
        the_host_is_whole(stand, what);
    }
}

fn the_host_is_whole(stand: &Stand, what: &str) {
    let image = &*THIRD;
    for role in [Role::SlotA, Role::Recovery] {
        the_slot_holds(stand, role, image);
    }
    assert_eq!(stand.boots_next(), Some(image.root_hash().entry()), "{what}");
    let dev = stand.folder.path().join("dev");
    let kernel = |esp: &str, entry: Entry| fs::read(dev.join(esp).join("EFI/Linux").join(entry.as_str()));
    assert_eq!(kernel("efi-recovery", Entry::recovery()).unwrap(), RECOVERY_KERNEL, "{what}");
    assert_eq!(kernel("efi", Entry::recovery_beside()).unwrap(), RECOVERY_KERNEL, "{what}");
    let ledger: Ledger = StateFile::new(&dev.join("oem/edge")).read().unwrap();
    assert_eq!(ledger.slot_a.map(|image| image.root_hash), Some(image.root_hash()), "{what}");
}

fn install_on(stand: &Stand) -> Result<()> {
    let host = &stand.host;
    let disk = host.machine.disks().remove(0);
    let plan = InstallPlan {
        disk: disk.path.clone(),
        disk_size: disk.size,
        model: String::new(),
        serial: String::new(),
        erases_data: false,
        slot_size: edge_model::layout::SLOT_MINIMUM,
        extra_partitions: Vec::new(),
    };
    let medium = install::Medium::open(host)?;
    let left_out = install::execute(host, &medium, &plan, &disk, &[], &mut Nobody)?;
    assert!(left_out.iter().all(|error| error.to_string().contains("bad.tar.zst")), "{left_out:?}");
    Ok(())
}

#[test]
fn content_of_the_medium_comes_along_and_a_bad_bundle_stops_nothing() {
    let stand = stand_of_medium(&THIRD);
    let folder =
        stand.host.machine.path(edge_model::paths::MEDIUM_MOUNT).join(edge_model::paths::MEDIUM_CONTENT);
    fs::create_dir_all(&folder).unwrap();
    let good = content::tests::bundle("shop", &[("r.example/a:1", b"layer")], None);
    fs::write(folder.join("bad.tar.zst"), &good[..good.len() / 2]).unwrap();
    fs::write(folder.join("good.tar.zst"), good).unwrap();
    install_on(&stand).unwrap();
    the_host_is_whole(&stand, "with content");
    let kept = stand.folder.path().join("dev/persistent/edge/content");
    let inventory: edge_model::content::Inventory = StateFile::new(&kept).read().unwrap();
    assert_eq!(inventory.bundles.iter().map(|bundle| bundle.name.as_str()).collect::<Vec<_>>(), ["shop"]);
}

#[test]
fn an_installation_can_be_begun_again_after_a_fault_at_every_effect() {
    let effects = with_every_fault(
        || stand_of_medium(&THIRD),
        install_on,
        the_disk_is_blank_begun_or_installed,
        |stand| the_host_is_whole(stand, "at the end"),
    );
    assert!(effects.iter().any(|effect| effect == "run mkfs.vfat"), "{effects:?}");
}

/// An installed host of which nothing that a start needs is whole.
fn broken_host(image: &SmallImage) -> Stand {
    let stand = stand_of_medium(image);
    install_on(&stand).unwrap();
    let dev = stand.folder.path().join("dev");
    fs::write(dev.join("oem/kept"), "data").unwrap();
    for slot in ["slot-a", "recovery"] {
        use std::os::unix::fs::FileExt;
        let file = fs::OpenOptions::new().write(true).open(dev.join(slot)).unwrap();
        file.write_all_at(b"rotten", 5000).unwrap();
    }
    fs::remove_dir_all(dev.join("efi/EFI")).unwrap();
    fs::write(dev.join("efi-recovery").join(edge_model::paths::ESP_LOADER_RECOVERY), "rotten").unwrap();
    fs::write(dev.join("efi").join(edge_model::paths::ESP_LOADER_CONF), "default nothing\n").unwrap();
    stand.variables().remove(Variable::LoaderEntryDefault).unwrap();
    // Its last boots did not last.
    stand.variables().set(Variable::BootCount, &[2, 0, 4]).unwrap();
    stand
}

#[test]
fn the_medium_that_installed_a_host_mends_all_that_it_needs_to_start_and_keeps_its_data() {
    with_every_fault(
        || broken_host(&THIRD),
        |stand| {
            mend(stand);
            Ok(())
        },
        |stand, what| {
            let kept = fs::read(stand.folder.path().join("dev/oem/kept"));
            assert_eq!(kept.unwrap(), b"data", "{what}");
        },
        |stand| {
            the_host_is_whole(stand, "mended");
            let dev = stand.folder.path().join("dev");
            for (esp, loader) in [
                ("efi", edge_model::paths::ESP_LOADER_MAIN),
                ("efi-recovery", edge_model::paths::ESP_LOADER_RECOVERY),
            ] {
                assert_eq!(fs::read(dev.join(esp).join(loader)).unwrap(), b"MZ loader");
            }
            assert_eq!(fs::read(dev.join("oem/kept")).unwrap(), b"data");
        },
    );
}

#[test]
fn a_whole_host_is_not_touched_by_its_medium() {
    let stand = stand_of_medium(&THIRD);
    install_on(&stand).unwrap();
    let medium = install::Medium::open(&stand.host).unwrap();
    let disk = stand.host.disk().unwrap();
    let played = play(None, || mend::from_medium(&stand.host, &medium, &disk, &mut Nobody));
    assert_eq!(played.outcome.unwrap().unwrap(), Vec::<String>::new());
    let writes = |effect: &&String| !effect.starts_with("read ");
    assert_eq!(played.effects.iter().find(writes), None, "{:?}", played.effects);
}

/// An installed host that has been upgraded: another version is in slot b, whole, and is what starts.
fn upgraded_host(record: impl Fn(&mut Ledger, &SmallImage)) -> (Stand, SmallImage) {
    let stand = stand_of_medium(&THIRD);
    install_on(&stand).unwrap();
    let newer = SmallImage::new(4, None);
    newer.put(&stand.host.disk().unwrap(), Role::SlotB);
    let dev = stand.folder.path().join("dev");
    fs::write(dev.join("efi/EFI/Linux").join(newer.root_hash().uki_name()), MAIN_KERNEL).unwrap();
    let entry = newer.root_hash().entry();
    stand.variables().set_entry(Variable::LoaderEntryDefault, &entry).unwrap();
    Esp::open(&stand.host.disk().unwrap(), Role::Efi).unwrap().set_default_entry(&entry).unwrap();
    let change = |ledger: &mut Ledger| {
        record(ledger, &newer);
        Ok(())
    };
    StateFile::<Ledger>::new(&dev.join("oem/edge")).change(change).unwrap();
    // Its last boots did not last: all of it is read.
    stand.variables().set(Variable::BootCount, &[2, 0, 4]).unwrap();
    (stand, newer)
}

fn mend(stand: &Stand) -> Vec<String> {
    let medium = install::Medium::open(&stand.host).unwrap();
    mend::from_medium(&stand.host, &medium, &stand.host.disk().unwrap(), &mut Nobody).unwrap()
}

#[test]
fn a_commit_whose_record_was_cut_off_is_not_taken_back_by_the_medium() {
    let (stand, newer) = upgraded_host(|ledger, newer| {
        ledger.pending = Some(PendingUpgrade {
            slot: edge_model::ids::Slot::B,
            image: newer.record(),
            source: "oci:example".into(),
            stage: UpgradeStage::Armed,
            tries: 0,
        });
    });
    assert_eq!(mend(&stand), Vec::<String>::new());
    assert_eq!(stand.boots_next(), Some(newer.root_hash().entry()));
    // Nor is the count taken away, by which a host that does not last finds another way.
    assert_eq!(stand.variables().get(Variable::BootCount).unwrap(), Some(vec![2, 0, 4]));
}

#[test]
fn a_host_whose_ledger_is_lost_keeps_its_images() {
    let (stand, newer) = upgraded_host(|ledger, newer| ledger.slot_b = Some(newer.record()));
    let edge = stand.folder.path().join("dev/oem/edge");
    for copy in ["ledger-0.json", "ledger-1.json"] {
        fs::write(edge.join(copy), "rotten").unwrap();
    }
    let played = play(None, || mend(&stand));
    assert_eq!(played.outcome.unwrap().len(), 1);
    assert!(!played.effects.iter().any(|effect| effect.contains("slot") || effect.contains("recovery")));
    the_slot_holds(&stand, Role::SlotB, &newer);
    assert_eq!(stand.boots_next(), Some(newer.root_hash().entry()));
}

#[test]
fn a_version_that_the_medium_does_not_have_is_forgotten_when_it_cannot_start() {
    let (stand, newer) = upgraded_host(|ledger, newer| {
        (ledger.slot_b, ledger.recovery) = (Some(newer.record()), Some(newer.record()));
    });
    let disk = stand.host.disk().unwrap();
    newer.put(&disk, Role::Recovery);
    let dev = stand.folder.path().join("dev");
    // Without the copies behind it: an older system has written it.
    for (slot, role) in [("slot-b", Role::SlotB), ("recovery", Role::Recovery)] {
        let volume = disk.volume(role).unwrap();
        newer.write_to(volume.content());
        fs::OpenOptions::new().write(true).open(dev.join(slot)).unwrap().set_len(1 << 30).unwrap();
    }
    fs::remove_file(dev.join("efi/EFI/Linux").join(newer.root_hash().uki_name())).unwrap();
    fs::remove_file(dev.join("efi-recovery/EFI/Linux").join(Entry::recovery().as_str())).unwrap();
    let lines = mend(&stand);
    assert!(
        lines.iter().any(|line| line == "version 4.0 in slot b cannot start, and is forgotten"),
        "{lines:?}"
    );
    // The kernel of recovery belongs to the image in recovery.
    the_host_is_whole(&stand, "mended");
    assert_eq!(mend(&stand), Vec::<String>::new(), "there is nothing left to mend");
}

#[test]
fn a_boot_partition_that_takes_nothing_costs_no_newer_image() {
    let (stand, newer) = upgraded_host(|ledger, newer| {
        (ledger.slot_a, ledger.slot_b) = (None, Some(newer.record()));
    });
    let dev = stand.folder.path().join("dev");
    let kernel = dev.join("efi/EFI/Linux").join(newer.root_hash().uki_name());
    fs::remove_file(&kernel).unwrap();
    // The first effect on the boot partition is the one that brings the kernel back.
    let effects = play(None, || mend(&stand)).effects;
    let at = effects.iter().position(|effect| effect.starts_with("create edge-")).unwrap();
    fs::remove_file(&kernel).unwrap();
    play(Some((at, Fault::Fails(28))), || mend(&stand)).outcome.unwrap();
    the_slot_holds(&stand, Role::SlotB, &newer);
    mend(&stand);
    assert_eq!(stand.boots_next(), Some(newer.root_hash().entry()));
}

#[test]
fn an_upgrade_that_is_being_written_is_not_an_image_yet() {
    let (stand, _) = upgraded_host(|ledger, newer| {
        ledger.pending = Some(PendingUpgrade {
            slot: edge_model::ids::Slot::B,
            image: newer.record(),
            source: "oci:example".into(),
            stage: UpgradeStage::Writing { data_frames: 3 },
            tries: 0,
        });
    });
    let entry = THIRD.root_hash().entry();
    stand.variables().set_entry(Variable::LoaderEntryDefault, &entry).unwrap();
    Esp::open(&stand.host.disk().unwrap(), Role::Efi).unwrap().set_default_entry(&entry).unwrap();
    assert_eq!(mend(&stand), Vec::<String>::new());
    let ledger: Ledger = StateFile::new(&stand.folder.path().join("dev/oem/edge")).read().unwrap();
    assert!(ledger.pending.is_some(), "it goes on where it stopped");
    assert_eq!(stand.boots_next(), Some(entry));
}
