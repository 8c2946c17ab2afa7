//! Every effect of what changes the next boot fails once, and once the power goes there: whatever happens, an image that is whole
//! boots next, and doing it again gets there.

use std::fs;
use std::path::Path;

use edge_host::efivars::{EfiVars, Variable};
use edge_host::faults::{Fault, play};
use edge_host::machine::Machine;
use edge_model::api::{BootRecord, Found, ImageIdentity};
use edge_model::cmdline::Mode;
use edge_model::ids::{Entry, RootHash, Slot};
use edge_model::ledger::ImageRecord;
use edge_model::paths;

use super::*;
use crate::operations::slot_switch;

const OLD: RootHash = RootHash([1; 32]);
const NEW: RootHash = RootHash([2; 32]);
const IO: i32 = 5;
const NO_SPACE: i32 = 28;

/// A host in a folder that runs an image; both are on its ESP, the old one in slot a.
struct Stand {
    folder: tempfile::TempDir,
    host: Host,
}

fn image(root_hash: RootHash) -> ImageRecord {
    ImageRecord {
        name: "edge".into(),
        version: format!("{}.0", root_hash.0[0]),
        root_hash,
        created: 0,
        data_blocks: 1,
        signed: true,
    }
}

fn stand(booted: RootHash, default: RootHash) -> Stand {
    let folder = tempfile::tempdir().unwrap();
    let machine = Machine::in_folder(folder.path());
    for program in ["systemctl", "systemd-run"] {
        script(&machine.path("bin").join(program));
    }
    let esp = folder.path().join("dev/efi");
    for name in [OLD.entry(), NEW.entry()] {
        fs::write(esp.join("EFI/Linux").join(name.as_str()), b"kernel").unwrap();
    }
    let recovery = folder.path().join("dev/efi-recovery/EFI/Linux").join(Entry::recovery().as_str());
    fs::write(recovery, b"recovery kernel").unwrap();
    fs::create_dir_all(esp.join("loader")).unwrap();
    fs::write(esp.join(paths::ESP_LOADER_CONF), esp_conf(&default.entry())).unwrap();
    let variables = machine.variables().unwrap();
    variables.set_entry(Variable::LoaderEntryDefault, &default.entry()).unwrap();
    let record = BootRecord {
        mode: Mode::Main,
        root_hash: booted,
        data_blocks: 1,
        slot: Some(if booted == OLD { Slot::A } else { Slot::B }),
        disk: "/dev/vda".into(),
        reasons: Vec::new(),
        is_fallback: false,
        found: Found::default(),
    };
    let image_record = image(booted);
    let image =
        ImageIdentity { name: "edge".into(), version: image_record.version.clone(), root_hash: booted };
    let variables = machine.variables();
    let host = Host { machine, record, image, image_record, variables };
    host.ledger()
        .change_or_begin(|ledger| {
            (ledger.slot_a, ledger.slot_b) = (Some(super::tests::image(OLD)), Some(super::tests::image(NEW)));
            Ok(())
        })
        .unwrap();
    Stand { folder, host }
}

fn esp_conf(entry: &Entry) -> String {
    edge_host::esp::loader_conf(entry.as_str())
}

/// A program that does nothing, well.
fn script(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::write(path, "#!/bin/sh\nexit 0\n").unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

impl Stand {
    fn variables(&self) -> &EfiVars {
        self.host.variables().unwrap()
    }

    /// The image that the loader starts next, by its rules; none when nothing of ours is there.
    fn boots_next(&self) -> Option<Entry> {
        let esp = self.folder.path().join("dev/efi");
        let conf = fs::read_to_string(esp.join(paths::ESP_LOADER_CONF)).ok();
        let entry = |variable| self.variables().get_entry(variable).ok().flatten();
        let asked = [
            entry(Variable::LoaderEntryOneShot),
            entry(Variable::LoaderEntryDefault),
            conf.as_deref().and_then(edge_host::esp::default_entry),
        ];
        let is_whole = |entry: &Entry| {
            fs::read(esp.join("EFI/Linux").join(entry.as_str())).is_ok_and(|bytes| bytes == b"kernel")
        };
        asked.into_iter().flatten().find(is_whole)
    }

    fn booted(&self) -> BootedImage {
        self.host.booted().unwrap()
    }
}

/// Runs `work` with a fault at each of its effects, on a fresh host each time, and again after it.
fn with_every_fault(
    make: impl Fn() -> Stand,
    work: impl Fn(&Stand) -> Result<()>,
    holds: impl Fn(&Stand, &str),
    done: impl Fn(&Stand),
) {
    let whole = make();
    let played = play(None, || work(&whole));
    played.outcome.unwrap().unwrap();
    done(&whole);
    assert!(played.effects.len() > 1, "{:?}", played.effects);
    for (at, effect) in played.effects.iter().enumerate() {
        for fault in [Fault::Fails(IO), Fault::Fails(NO_SPACE), Fault::PowerGoes] {
            let stand = make();
            let outcome = play(Some((at, fault)), || work(&stand)).outcome;
            let what = format!("{fault:?} at {effect}");
            if let Some(Err(error)) = outcome {
                assert!(!error.message.is_empty(), "{what}");
            }
            holds(&stand, &what);
            work(&stand).unwrap_or_else(|error| panic!("{what}, and again: {error}"));
            done(&stand);
        }
    }
}

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
        |stand| try_next(&stand.host, NEW.entry()),
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
