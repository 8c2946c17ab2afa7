//! Operations on a machine of folders: each of their effects fails once, and is once the last.

use std::fs;

use edge_host::efivars::Variable;
use edge_host::faults::{Fault, play};
use edge_model::Class;
use edge_model::ids::Entry;
use edge_model::layout::Role;

use super::*;
use crate::boot_control;
use crate::stand::{MAIN_KERNEL, RECOVERY_KERNEL, Stand, put_image, stand_with_images, with_every_fault};

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
            edge_host::slot::ImageReader::open(&stand.host.disk().unwrap().device(role).unwrap()).unwrap();
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
    let slot = stand.host.disk().unwrap().device(Role::SlotB).unwrap();
    let image = put_image(&stand, Role::SlotB, 2);
    let file = fs::OpenOptions::new().write(true).open(slot).unwrap();
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
