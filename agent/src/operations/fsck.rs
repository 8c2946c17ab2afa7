//! Everything that a boot needs, looked at one by one, and mended where there is something to mend it with.

use edge_host::disk::PartitionedDisk;
use edge_host::efivars::{EfiVars, Variable};
use edge_host::esp::Esp;
use edge_host::slot::ImageReader;
use edge_host::uki_store::{StoredUkis, Which};
use edge_host::{files, firmware, gpt};
use edge_model::api::BootState;
use edge_model::ids::{Entry, Slot};
use edge_model::layout::Role;
use edge_model::ledger::{ImageRecord, Ledger};
use edge_model::manifest::Blob;
use edge_model::{Context, Error, Result, paths};
use edge_planner::host_kind::HostKind;

use super::Outcome;
use crate::boot_control;
use crate::facts::Host;
use crate::report::Report;

/// What one look has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Finding {
    Good,
    Mended(String),
    /// It is wrong, and can be mended.
    Wrong(String),
    /// Nothing here can mend it.
    Lost(String),
}

/// Where to look, and whether to mend.
struct Bench {
    host: Host,
    disk: PartitionedDisk,
    ledger: Ledger,
    repair: bool,
}

type Check = fn(&Bench) -> Result<Finding>;

/// In the order of a boot.
const CHECKS: [(&str, Check); 7] = [
    ("partition table", Bench::table),
    ("firmware's memory", Bench::firmware_memory),
    ("boot entries", Bench::entries),
    ("kernels", Bench::kernels),
    ("recovery's kernels", Bench::recovery_kernels),
    ("ledger", Bench::ledger),
    ("space on /oem", Bench::space),
];

/// Looks at all of it.
///
/// # Errors
/// [`edge_model::Class::Integrity`] when something is wrong after all; the message names each.
pub(super) fn run(host: &Host, repair: bool, report: &mut dyn Report) -> Result<Outcome> {
    let bench = Bench { host: host.clone(), disk: host.disk()?, ledger: host.ledger().load(), repair };
    let (mut wrong, mut mended) = (Vec::new(), Vec::new());
    let mut mendable = false;
    for (name, check) in CHECKS {
        report.step(name, 0);
        match check(&bench) {
            Ok(Finding::Good) => {}
            Ok(Finding::Mended(what)) => mended.push(what),
            Ok(Finding::Wrong(what)) => {
                mendable = true;
                wrong.push(what);
            }
            Ok(Finding::Lost(what)) => wrong.push(what),
            Err(error) => wrong.push(format!("{name}: {error}")),
        }
    }
    if !wrong.is_empty() {
        let error = Error::integrity(wrong.join("; "));
        // What nothing here can mend says itself what helps.
        return Err(if mendable {
            error.help("edge-agent fsck --repair mends what can be mended")
        } else {
            error
        });
    }
    Ok(Outcome::stay(match mended.as_slice() {
        [] => "everything that a boot needs is there".to_owned(),
        mended => format!("mended: {}", mended.join("; ")),
    }))
}

/// Mends the kernels of this host from their second copies; says what was mended. For a host that runs well, by itself.
///
/// # Errors
/// When they cannot be read or written.
pub(crate) fn mend_kernels(host: &Host) -> Result<Vec<String>> {
    let bench = Bench { host: host.clone(), disk: host.disk()?, ledger: host.ledger().load(), repair: true };
    let found = [bench.kernels()?, bench.recovery_kernels()?];
    Ok(found
        .into_iter()
        .filter_map(|finding| match finding {
            Finding::Mended(what) | Finding::Lost(what) | Finding::Wrong(what) => Some(what),
            Finding::Good => None,
        })
        .collect())
}

impl Bench {
    fn table(&self) -> Result<Finding> {
        let missing: Vec<&str> = edge_model::layout::PARTITIONS
            .iter()
            .filter(|spec| self.disk.partition(spec.role).is_none())
            .map(|spec| spec.label)
            .collect();
        if !missing.is_empty() {
            return Ok(Finding::Lost(format!(
                "the partition table lacks {}: install again from a medium",
                missing.join(", ")
            )));
        }
        let mut device = self.disk.disk.open()?;
        let whole = gpt::both_copies_are_whole(&mut device, self.disk.disk.logical_sector);
        Ok(match (whole, self.repair) {
            (true, _) => Finding::Good,
            (false, false) => Finding::Wrong("one copy of the partition table is damaged".into()),
            (false, true) => {
                gpt::rewrite(&self.disk.disk.path, self.disk.disk.logical_sector)?;
                Finding::Mended("the partition table was written again".into())
            }
        })
    }

    fn firmware_memory(&self) -> Result<Finding> {
        let Some(variables) = &self.host.variables else { return Ok(Finding::Good) };
        if variables.has_room() {
            return Ok(Finding::Good);
        }
        if self.repair && variables.drop_crash_records() && variables.has_room() {
            return Ok(Finding::Mended("records of crashed kernels filled the firmware's memory".into()));
        }
        let what = "the firmware's memory takes no more settings".to_owned();
        let lost = || Finding::Lost(format!("{what}: remove old boot entries in its setup"));
        Ok(if variables.has_crash_records() { Finding::Wrong(what.clone()) } else { lost() })
    }

    /// The firmware's entries, and what the loader starts.
    fn entries(&self) -> Result<Finding> {
        let Some(variables) = &self.host.variables else { return Ok(Finding::Good) };
        let known = variables.get_entry(Variable::FallbackEntry)?;
        let known = self.esp(|esp| Ok(known.filter(|entry| esp.contains_uki(entry.as_str()))))?;
        if self.host.kind != HostKind::Appliance {
            return self.firmware_entries(variables, known.as_ref());
        }
        let booted = self.host.booted()?;
        let are_there = firmware::has_entries(variables, &self.disk, known.as_ref())?;
        let configured = booted.state() != BootState::Committed
            || self.esp(|esp| esp.is_configured_for(&booted.root_hash.entry()))?;
        Ok(match (are_there && configured, self.repair) {
            (true, _) => Finding::Good,
            (false, false) => Finding::Wrong("the way from the firmware to the images is not whole".into()),
            (false, true) => {
                boot_control::maintain(&self.host, &booted, &self.ledger)?;
                Finding::Mended("the way from the firmware to the images".into())
            }
        })
    }

    fn firmware_entries(&self, variables: &EfiVars, previous: Option<&Entry>) -> Result<Finding> {
        Ok(match (firmware::has_entries(variables, &self.disk, previous)?, self.repair) {
            (true, _) => Finding::Good,
            (false, false) => Finding::Wrong("the firmware's boot entries are not complete".into()),
            (false, true) => {
                firmware::ensure_entries(variables, &self.disk, previous)?;
                Finding::Mended("the firmware's boot entries were restored".into())
            }
        })
    }

    fn esp<T>(&self, look: impl FnOnce(&Esp) -> Result<T>) -> Result<T> {
        let esp = Esp::open(&self.disk, Role::Efi)?;
        let seen = look(&esp)?;
        esp.close()?;
        Ok(seen)
    }

    /// The kernels of both slots, against the copies behind their images.
    fn kernels(&self) -> Result<Finding> {
        let known = [Slot::A, Slot::B].map(|slot| (slot, self.ledger.slot(slot)));
        let mut findings = Vec::new();
        for (slot, image) in known.into_iter().filter_map(|(slot, image)| Some((slot, image?))) {
            findings.push(Kernel::of_slot(slot, image).look(&self.disk, self.repair)?);
        }
        Ok(worst(findings))
    }

    fn recovery_kernels(&self) -> Result<Finding> {
        let Some(image) = &self.ledger.recovery else {
            return Ok(Finding::Lost(
                "there is no recovery system: edge-agent upgrade --recovery makes one".into(),
            ));
        };
        let looked =
            Kernel::of_recovery(image).into_iter().map(|kernel| kernel.look(&self.disk, self.repair));
        Ok(worst(looked.collect::<Result<_>>()?))
    }

    fn ledger(&self) -> Result<Finding> {
        self.host.ledger().read().map(|_| Finding::Good)
    }

    fn space(&self) -> Result<Finding> {
        /// What an upgrade and the black box need to be written down.
        const NEEDED: u64 = 1 << 20;
        let free = files::free_bytes(&self.host.machine.path(paths::OEM))?;
        Ok(if free >= NEEDED {
            Finding::Good
        } else {
            Finding::Lost("/oem is full: remove what you have put there".into())
        })
    }
}

/// A kernel on a boot partition, and where its second copy is.
pub(super) struct Kernel<'a> {
    held_by: Role,
    pub(super) image: &'a ImageRecord,
    pub(super) on: Role,
    pub(super) entry: Entry,
    pub(super) which: Which,
}

impl<'a> Kernel<'a> {
    pub(super) fn of_slot(slot: Slot, image: &'a ImageRecord) -> Self {
        let entry = image.root_hash.entry();
        Self { held_by: Role::of_slot(slot), image, on: Role::Efi, entry, which: Which::Main }
    }

    /// On its own boot partition, and beside the main images.
    pub(super) fn of_recovery(image: &'a ImageRecord) -> [Self; 2] {
        let on = |on, entry| Self { held_by: Role::Recovery, image, on, entry, which: Which::Recovery };
        [on(Role::EfiRecovery, Entry::recovery()), on(Role::Efi, Entry::recovery_beside())]
    }

    pub(super) fn look(&self, disk: &PartitionedDisk, repair: bool) -> Result<Finding> {
        let Self { image, on, entry, which, .. } = self;
        let partition = ImageReader::open(disk.volume(self.held_by)?.content())?;
        let what = format!("{entry} of version {} on {}", image.version, on.spec().label);
        let esp = Esp::open(disk, *on)?;
        let Some(stored) = StoredUkis::read(&partition, &image.root_hash, image.data_blocks) else {
            let there = esp.contains_uki(entry.as_str());
            esp.close()?;
            return Ok(if there {
                Finding::Good
            } else {
                Finding::Lost(format!(
                    "{what} is missing, and there is no copy of it: upgrade, or start the medium that installed this host"
                ))
            });
        };
        let wanted: Blob = if *which == Which::Main { stored.main } else { stored.recovery };
        let whole = esp.has_uki(entry.as_str(), wanted);
        if !whole && repair {
            let mut copy = stored.open(&partition, image.data_blocks, *which);
            esp.add_uki(entry.as_str(), wanted, &mut copy)
                .with_context(|| format!("{what} is damaged, and its copy too"))?;
        }
        esp.close()?;
        Ok(match (whole, repair) {
            (true, _) => Finding::Good,
            (false, true) => Finding::Mended(format!("{what} was damaged or missing")),
            (false, false) => Finding::Wrong(format!("{what} is damaged or missing")),
        })
    }
}

/// All of it in one: what is lost before what is wrong, before what was mended.
fn worst(findings: Vec<Finding>) -> Finding {
    let texts = |wanted: fn(&Finding) -> Option<&String>| -> Vec<String> {
        findings.iter().filter_map(wanted).cloned().collect()
    };
    let lost = texts(|finding| if let Finding::Lost(what) = finding { Some(what) } else { None });
    let wrong = texts(|finding| if let Finding::Wrong(what) = finding { Some(what) } else { None });
    let mended = texts(|finding| if let Finding::Mended(what) = finding { Some(what) } else { None });
    match (lost.is_empty(), wrong.is_empty(), mended.is_empty()) {
        (false, _, _) => Finding::Lost([lost, wrong].concat().join("; ")),
        (true, false, _) => Finding::Wrong(wrong.join("; ")),
        (true, true, false) => Finding::Mended(mended.join("; ")),
        (true, true, true) => Finding::Good,
    }
}
