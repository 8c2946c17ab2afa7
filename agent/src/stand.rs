//! A host in a folder, for tests: two images on its ESP and in its slots, firmware variables as files, programs that do nothing,
//! well. Every effect on it can fail, or be the last one ([`edge_testkit`]).

use std::fs;

use edge_host::efivars::{EfiVars, Variable};
use edge_host::machine::Machine;
use edge_model::api::{BootRecord, Found, ImageIdentity};
use edge_model::cmdline::Mode;
use edge_model::ids::{Entry, RootHash, Slot};
use edge_model::layout::Role;
use edge_model::ledger::ImageRecord;
use edge_model::paths;
use edge_planner::boot::BootedImage;
use edge_planner::host_kind::HostKind;
use edge_testkit::image::{MAIN_KERNEL, RECOVERY_KERNEL, SmallImage};

use crate::facts::Host;

pub(crate) const OLD: RootHash = RootHash([1; 32]);
pub(crate) const NEW: RootHash = RootHash([2; 32]);

/// A host in a folder that runs an image; both are on its ESP, the old one in slot a.
pub(crate) struct Stand {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) host: Host,
}

pub(crate) fn image(root_hash: RootHash) -> ImageRecord {
    ImageRecord {
        name: "edge".into(),
        version: format!("{}.0", root_hash.0[0]),
        root_hash,
        created: 0,
        data_blocks: 1,
        signed: true,
    }
}

pub(crate) fn stand(booted: RootHash, default: RootHash) -> Stand {
    let folder = tempfile::tempdir().unwrap();
    let machine = Machine::in_folder(folder.path());
    for program in ["systemctl", "systemd-run"] {
        program_of(&machine, program, "exit 0");
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
        disk: Machine::only_disk(),
        reasons: Vec::new(),
        is_fallback: false,
        found: Found::default(),
    };
    let image_record = image(booted);
    let identity =
        ImageIdentity { name: "edge".into(), version: image_record.version.clone(), root_hash: booted };
    let variables = machine.variables();
    let host = Host { kind: HostKind::Appliance, machine, record, image: identity, image_record, variables };
    host.ledger()
        .change_or_begin(|ledger| {
            (ledger.slot_a, ledger.slot_b) = (Some(image(OLD)), Some(image(NEW)));
            Ok(())
        })
        .unwrap();
    Stand { folder, host }
}

fn esp_conf(entry: &Entry) -> String {
    edge_host::esp::loader_conf(entry.as_str())
}

fn program_of(machine: &Machine, name: &str, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    let path = machine.path("bin").join(name);
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

impl Stand {
    pub(crate) fn variables(&self) -> &EfiVars {
        self.host.variables().unwrap()
    }

    /// The image that the loader starts next, by its rules; none when nothing of ours is there.
    pub(crate) fn boots_next(&self) -> Option<Entry> {
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

    pub(crate) fn booted(&self) -> BootedImage {
        self.host.booted().unwrap()
    }
}

/// A host that runs a real image from slot b, committed, with another in slot a and in recovery.
pub(crate) fn stand_with_images() -> Stand {
    let mut stand = stand(NEW, NEW);
    let disk = stand.host.disk().unwrap();
    let (old, new) = (SmallImage::new(1, None), SmallImage::new(2, None));
    old.put(&disk, Role::SlotA);
    new.put(&disk, Role::SlotB);
    old.put(&disk, Role::Recovery);
    let (old, new) = (old.record(), new.record());
    let esp = stand.folder.path().join("dev/efi");
    for image in [&old, &new] {
        fs::write(esp.join("EFI/Linux").join(image.root_hash.uki_name()), MAIN_KERNEL).unwrap();
    }
    fs::write(esp.join("EFI/Linux").join(Entry::recovery_beside().as_str()), RECOVERY_KERNEL).unwrap();
    fs::write(esp.join(paths::ESP_LOADER_CONF), esp_conf(&new.root_hash.entry())).unwrap();
    (stand.host.record.root_hash, stand.host.record.data_blocks) = (new.root_hash, new.data_blocks);
    stand.host.image =
        ImageIdentity { name: new.name.clone(), version: new.version.clone(), root_hash: new.root_hash };
    stand.host.image_record = new.clone();
    let entry = new.root_hash.entry();
    stand.variables().set_entry(Variable::LoaderEntryDefault, &entry).unwrap();
    stand
        .host
        .ledger()
        .change_or_begin(|ledger| {
            ledger.recovery = Some(old.clone());
            (ledger.slot_a, ledger.slot_b) = (Some(old), Some(new));
            Ok(())
        })
        .unwrap();
    let booted = stand.booted();
    crate::boot_control::maintain(&stand.host, &booted, &stand.host.ledger().load()).unwrap();
    stand
}

/// A machine that was started from the medium of an image, with one disk.
pub(crate) fn stand_of_medium(image: &SmallImage) -> Stand {
    let mut stand = stand(image.root_hash(), image.root_hash());
    let machine = &stand.host.machine;
    image.write_medium(&machine.path(paths::MEDIUM_MOUNT));
    image.write_to(&machine.medium_image().unwrap());
    let loader = machine.path(paths::IMAGE_SYSTEMD_BOOT);
    fs::create_dir_all(loader.parent().unwrap()).unwrap();
    fs::write(loader, "MZ loader").unwrap();
    // New partitions of a folder are file systems already.
    for program in ["mkfs.vfat", "mkfs.ext4"] {
        program_of(machine, program, "exit 0");
    }
    stand.host.kind = HostKind::Installer;
    (stand.host.record.mode, stand.host.record.slot) = (Mode::Live, None);
    stand.host.image_record = image.record();
    stand
}
