//! Every effect of what changes the next boot fails once, and once the power goes there: whatever happens, an image that is whole
//! boots next, and doing it again gets there.

use std::fs;

use edge_host::faults::play;
use edge_model::ids::Entry;
use edge_model::paths;

use super::*;
use crate::operations::slot_switch;
use crate::stand::{NEW, OLD, Stand, stand};
use edge_testkit::every_fault::with_every_fault;

fn an_image_boots(stand: &Stand, what: &str) {
    let next = stand.boots_next();
    assert!(next == Some(OLD.entry()) || next == Some(NEW.entry()), "{what}: {next:?}");
}

#[test]
fn a_commit_is_done_or_not_done() {
    with_every_fault(
        || stand(NEW, OLD),
        |stand| commit(&stand.host, &BootedImage { default_entry: Some(OLD.entry()), ..stand.booted() }),
        an_image_boots,
        |stand| {
            assert_eq!(stand.boots_next(), Some(NEW.entry()));
            assert_eq!(stand.booted().state(), BootState::Committed);
            let fallback = stand.variables().get_entry(Variable::FallbackEntry).unwrap();
            assert_eq!(fallback, Some(OLD.entry()));
        },
    );
}

#[test]
fn a_trial_is_armed_or_not() {
    with_every_fault(
        || stand(OLD, OLD),
        |stand| try_next(&stand.host, NEW.entry(), OLD.entry()),
        |stand, what| {
            an_image_boots(stand, what);
            assert!(!stand.booted().is_fallback);
        },
        |stand| {
            assert_eq!(stand.boots_next(), Some(NEW.entry()));
            let fallback = stand.variables().get_entry(Variable::FallbackEntry).unwrap();
            assert_eq!(fallback, Some(OLD.entry()), "one on trial is never taken for a stand-in");
        },
    );
}

#[test]
fn going_back_is_a_trial_of_the_other_image() {
    with_every_fault(
        || stand(NEW, NEW),
        |stand| slot_switch::rollback(&stand.host).map(drop),
        an_image_boots,
        |stand| assert_eq!(stand.boots_next(), Some(OLD.entry())),
    );
}

/// Firmware that has lost everything, a loader that is set to something else, and a UKI of an image that is gone.
fn neglected() -> Stand {
    let stand = stand(NEW, NEW);
    stand.variables().remove(Variable::LoaderEntryDefault).unwrap();
    let esp = stand.folder.path().join("dev/efi");
    fs::write(esp.join(paths::ESP_LOADER_CONF), "default edge-*\n").unwrap();
    fs::write(esp.join("EFI/Linux/edge-0000000000000000.efi"), b"kernel").unwrap();
    stand
}

#[test]
fn what_the_next_boot_needs_is_mended_and_never_made_worse() {
    with_every_fault(
        neglected,
        |stand| {
            let committed = BootedImage { default_entry: None, ..stand.booted() };
            maintain(&stand.host, &committed, &stand.host.ledger().load()).map(drop)
        },
        |stand, what| {
            let ukis = stand.folder.path().join("dev/efi/EFI/Linux");
            for needed in [OLD.entry(), NEW.entry()] {
                assert!(ukis.join(needed.as_str()).exists(), "{what}: {needed} is gone");
            }
        },
        |stand| {
            assert_eq!(stand.boots_next(), Some(NEW.entry()));
            let ukis = stand.folder.path().join("dev/efi/EFI/Linux");
            assert!(!ukis.join("edge-0000000000000000.efi").exists());
            assert_eq!(fs::read(ukis.join(Entry::recovery_beside().as_str())).unwrap(), b"recovery kernel");
            let variables = stand.variables();
            assert_eq!(
                variables.boot_entries().unwrap().len(),
                4,
                "two loaders, the previous image, recovery"
            );
            assert_eq!(variables.get_entry(Variable::FallbackEntry).unwrap(), Some(OLD.entry()));
            firmware::boot_recovery_next(variables).unwrap();
        },
    );
}

#[test]
fn a_host_that_is_whole_is_not_written_to() {
    let stand = neglected();
    let mend = || {
        let committed = BootedImage { default_entry: None, ..stand.booted() };
        maintain(&stand.host, &committed, &stand.host.ledger().load())
    };
    assert!(!mend().unwrap().is_empty());
    let again = play(None, mend);
    assert_eq!(again.outcome.unwrap().unwrap(), Vec::<String>::new());
    assert!(again.effects.is_empty(), "{:?}", again.effects);
    set_counters(&stand.host, Counters { points: 1, recoveries: 0 }).unwrap();
    let healthy_boot = play(None, || set_counters(&stand.host, Counters::default()));
    assert_eq!(healthy_boot.effects.len(), 1, "init and this: two writes a boot");
}

#[test]
fn the_unit_and_what_takes_its_place_say_the_same() {
    let unit =
        include_str!("../../../images/appliance/files/usr/lib/systemd/system/edge-trial-deadline.service");
    let verdict = format!("echo it did not prove itself in time > {}", paths::OEM_TRIAL_VERDICT);
    assert!(unit.contains(&verdict) && last_resort().contains(&verdict));
    let restart = "/usr/bin/systemctl --force --force reboot";
    assert!(unit.contains(restart) && last_resort().contains(restart));
}
