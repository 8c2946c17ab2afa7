//! A host in a folder, for tests: two images on its ESP and in its slots, firmware variables as files, programs that do nothing,
//! well. Every effect on it can fail, or be the last one.

use std::fs;
use std::path::Path;

use edge_host::efivars::{EfiVars, Variable};
use edge_host::faults::{Fault, play};
use edge_host::machine::Machine;
use edge_host::slot::ImageWriter;
use edge_host::uki_store::{StoredUkis, Which};
use edge_model::api::{BootRecord, Found, ImageIdentity};
use edge_model::cmdline::Mode;
use edge_model::ids::{Entry, RootHash, Slot};
use edge_model::layout::Role;
use edge_model::ledger::ImageRecord;
use edge_model::manifest::{BLOCK_SIZE, Blob};
use edge_model::{Result, paths};
use edge_planner::boot::BootedImage;
use edge_slot_image::verity::TreeBuilder;

use crate::facts::Host;

pub(crate) const OLD: RootHash = RootHash([1; 32]);
pub(crate) const NEW: RootHash = RootHash([2; 32]);
const IO: i32 = 5;
const NO_SPACE: i32 = 28;

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
        disk: Machine::only_disk(),
        reasons: Vec::new(),
        is_fallback: false,
        found: Found::default(),
    };
    let image_record = image(booted);
    let identity =
        ImageIdentity { name: "edge".into(), version: image_record.version.clone(), root_hash: booted };
    let variables = machine.variables();
    let host = Host { machine, record, image: identity, image_record, variables };
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

/// A program that does nothing, well.
fn script(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::write(path, "#!/bin/sh\nexit 0\n").unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
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

/// Runs `work` with a fault at each of its effects, on a fresh host each time, and again after it.
pub(crate) fn with_every_fault(
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

/// The kernels of a real image, as files.
pub(crate) const MAIN_KERNEL: &[u8] = b"kernel";
pub(crate) const RECOVERY_KERNEL: &[u8] = b"recovery kernel";

/// A small image that is whole, in a partition, with its kernels behind it. `seed` makes it another one.
pub(crate) fn put_image(stand: &Stand, role: Role, seed: u8) -> ImageRecord {
    const BLOCKS: u64 = 16;
    let data: Vec<u8> = (0..BLOCKS * BLOCK_SIZE).map(|at| (at / 7) as u8 ^ seed).collect();
    let mut tree = TreeBuilder::default();
    tree.push(&data).unwrap();
    let (root_hash, tree) = tree.finish([seed; 16]).unwrap();
    let disk = stand.host.disk().unwrap();
    fs::write(disk.device(role).unwrap(), [data, tree].concat()).unwrap();
    fs::OpenOptions::new().write(true).open(disk.device(role).unwrap()).unwrap().set_len(1 << 30).unwrap();
    let target = ImageWriter::of_new_disk(&disk, role).unwrap();
    let blob = |bytes: &[u8]| Blob { digest: edge_slot_image::sha256(bytes), size: bytes.len() as u64 };
    let stored = StoredUkis { image: root_hash, main: blob(MAIN_KERNEL), recovery: blob(RECOVERY_KERNEL) };
    stored.write(&target, BLOCKS, Which::Main, &mut &MAIN_KERNEL[..]).unwrap();
    stored.write(&target, BLOCKS, Which::Recovery, &mut &RECOVERY_KERNEL[..]).unwrap();
    stored.seal(&target, BLOCKS).unwrap();
    ImageRecord { root_hash, data_blocks: BLOCKS, ..image(RootHash([seed; 32])) }
}

/// A host that runs a real image from slot b, committed, with another in slot a and in recovery.
pub(crate) fn stand_with_images() -> Stand {
    let mut stand = stand(NEW, NEW);
    let old = put_image(&stand, Role::SlotA, 1);
    let new = put_image(&stand, Role::SlotB, 2);
    put_image(&stand, Role::Recovery, 1);
    let esp = stand.folder.path().join("dev/efi");
    for image in [&old, &new] {
        fs::write(esp.join("EFI/Linux").join(image.root_hash.uki_name()), MAIN_KERNEL).unwrap();
    }
    fs::write(esp.join("EFI/Linux").join(Entry::recovery_beside().as_str()), RECOVERY_KERNEL).unwrap();
    fs::write(esp.join(paths::ESP_LOADER_CONF), esp_conf(&new.root_hash.entry())).unwrap();
    (stand.host.record.root_hash, stand.host.record.data_blocks) = (new.root_hash, new.data_blocks);
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
