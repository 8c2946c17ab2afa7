//! Which disk an installation takes, and what it will do to it.

use edge_model::api::InstallRequest;
use edge_model::ids::InstallationId;
use edge_model::layout::{self, GIB, MIB, Role};
use edge_model::unattended::{DiskChoice, WipePolicy};
use edge_model::user_data::install::ExtraPartition;
use edge_model::{Error, Result};
use serde::{Deserialize, Serialize};

/// A disk as the installer sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskFacts {
    pub path: String,
    /// Other names of the same disk.
    pub links: Vec<String>,
    pub size: u64,
    pub model: String,
    pub serial: String,
    pub rotational: bool,
    pub read_only: bool,
    pub optical: bool,
    /// It comes and goes: a stick, a card, or anything on USB.
    pub removable: bool,
    /// A volume of it has the label under which sites bring their documents.
    pub holds_documents: bool,
    /// The installation runs from it.
    pub is_medium: bool,
    pub in_use: bool,
    /// There is something on it.
    pub has_data: bool,
    pub installation: Option<PreviousInstallation>,
}

/// What an earlier installation left on a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviousInstallation {
    pub id: InstallationId,
    pub finished: bool,
}

/// An installation that has been decided and not begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstallPlan {
    pub disk: String,
    pub disk_size: u64,
    pub model: String,
    pub serial: String,
    /// Something on the disk will be lost.
    pub erases_data: bool,
    pub slot_size: u64,
    pub extra_partitions: Vec<ExtraPartition>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InstallDecision {
    Install(InstallPlan),
    /// This medium has installed that disk already: it is booted, nothing is wiped.
    BootDisk(String),
}

/// Decides where to install an image of `image_size` bytes from the medium `id`.
///
/// # Errors
/// [`edge_model::Class::Rejected`] naming every disk and why it was not taken.
pub fn plan(
    disks: &[DiskFacts],
    request: &InstallRequest,
    image_size: u64,
    id: &InstallationId,
) -> Result<InstallDecision> {
    let installed_by_us = |disk: &&DiskFacts| {
        disk.installation.as_ref().is_some_and(|installation| installation.finished && installation.id == *id)
    };
    if let Some(disk) = disks.iter().filter(|disk| !disk.is_medium).find(installed_by_us) {
        return Ok(InstallDecision::BootDisk(disk.path.clone()));
    }
    let slot_size = match request.slot_size_mib {
        Some(mebibytes) => slot_size(mebibytes, image_size)?,
        None => layout::default_slot_size(image_size),
    };
    let judged = disks.iter().map(|disk| (disk, unusable(disk, request, slot_size, id)));
    let (usable, refused): (Vec<_>, Vec<_>) = judged.partition(|(_, reason)| reason.is_none());
    let chosen = usable.iter().map(|(disk, _)| disk).max_by_key(|disk| disk.size).ok_or_else(|| {
        let list: Vec<String> = refused
            .iter()
            .map(|(disk, reason)| format!("{}: {}", describe(disk), reason.clone().unwrap_or_default()))
            .collect();
        let message = if list.is_empty() { "this machine has no disk".into() } else { list.join("; ") };
        Error::rejected(format!("no disk can be used for the installation: {message}"))
            .help("connect a suitable disk, or change install.disk or install.wipe in unattended.yaml")
    })?;
    Ok(InstallDecision::Install(InstallPlan {
        disk: chosen.path.clone(),
        disk_size: chosen.size,
        model: chosen.model.clone(),
        serial: chosen.serial.clone(),
        erases_data: chosen.has_data,
        slot_size,
        extra_partitions: request.extra_partitions.clone(),
    }))
}

fn slot_size(mebibytes: u64, image_size: u64) -> Result<u64> {
    let bytes = mebibytes.checked_mul(MIB).filter(|bytes| (image_size..=64 * GIB).contains(bytes));
    bytes.ok_or_else(|| {
        Error::invalid(format!(
            "install.slotSizeMib: {mebibytes} does not suit an image of {} MiB",
            image_size.div_ceil(MIB)
        ))
    })
}

fn describe(disk: &DiskFacts) -> String {
    format!("{} ({:.1} GB {})", disk.path, disk.size as f64 / 1e9, disk.model).replace(" )", ")")
}

/// Why nobody could install on a disk, whatever they allow to be erased; `None` when somebody could.
pub fn why_unsuitable(disk: &DiskFacts, image_size: u64, id: &InstallationId) -> Option<String> {
    let named = DiskChoice { path: Some(disk.path.clone()), ..DiskChoice::default() };
    let request = InstallRequest { wipe: WipePolicy::Everything, disk: named, ..InstallRequest::default() };
    unusable(disk, &request, layout::default_slot_size(image_size), id)
}

/// Why a disk cannot be taken; `None` when it can.
fn unusable(
    disk: &DiskFacts,
    request: &InstallRequest,
    slot_size: u64,
    id: &InstallationId,
) -> Option<String> {
    if disk.is_medium {
        return Some("it is the installation medium".into());
    }
    if disk.optical || disk.read_only {
        return Some("it cannot be written".into());
    }
    if disk.holds_documents {
        return Some("the site's documents are on it: take it out when they are copied".into());
    }
    if let Some(reason) = unwanted(disk, &request.disk) {
        return Some(reason);
    }
    if disk.removable && !names_one(&request.disk) {
        return Some("it is removable: it is taken only when install.disk names it".into());
    }
    if disk.in_use {
        return Some("it is in use".into());
    }
    let extra: u64 =
        request.extra_partitions.iter().map(|partition| partition.size.saturating_mul(MIB)).sum();
    let needed = layout::minimum_disk(slot_size).saturating_add(extra);
    if disk.size < needed {
        return Some(format!("it is too small: {:.1} GB are needed", needed as f64 / 1e9));
    }
    let interrupted = disk
        .installation
        .as_ref()
        .is_some_and(|installation| !installation.finished && installation.id == *id);
    let allowed = match request.wipe {
        WipePolicy::Never => interrupted,
        WipePolicy::Installations => disk.installation.is_some(),
        WipePolicy::Everything => true,
    };
    if disk.has_data && !allowed {
        return Some("it holds data, and install.wipe does not allow to erase it".into());
    }
    None
}

/// Whether a choice means one disk, and not just a kind of disk.
fn names_one(choice: &DiskChoice) -> bool {
    let path = choice.path.as_deref().filter(|path| *path != "auto");
    path.or(choice.id.as_deref()).or(choice.serial.as_deref()).is_some()
}

fn unwanted(disk: &DiskFacts, choice: &DiskChoice) -> Option<String> {
    let is_named = |path: &str| disk.path == path || disk.links.iter().any(|link| link == path);
    let gib = |bytes: u64| bytes / GIB;
    if let Some(path) = choice.path.as_deref().filter(|path| *path != "auto" && !is_named(path)) {
        return Some(format!("it is not {path}"));
    }
    if let Some(id) = choice.id.as_deref().filter(|id| !is_named(&format!("/dev/disk/by-id/{id}"))) {
        return Some(format!("its id is not {id}"));
    }
    if let Some(serial) = choice.serial.as_deref().filter(|serial| disk.serial != *serial) {
        return Some(format!("its serial number is not {serial}"));
    }
    if let Some(model) = choice.model.as_deref().filter(|model| !disk.model.contains(*model)) {
        return Some(format!("its model is not {model}"));
    }
    if let Some(rotational) = choice.rotational.filter(|rotational| disk.rotational != *rotational) {
        return Some(if rotational { "it does not rotate".into() } else { "it rotates".into() });
    }
    if let Some(least) = choice.min_size_gib.filter(|least| gib(disk.size) < *least) {
        return Some(format!("it is smaller than {least} GiB"));
    }
    choice
        .max_size_gib
        .filter(|most| gib(disk.size) > *most)
        .map(|most| format!("it is larger than {most} GiB"))
}

impl InstallPlan {
    /// The plan as a person reads it before agreeing.
    pub fn lines(&self) -> Vec<String> {
        let mebibytes = |bytes: u64| bytes / MIB;
        let mut lines = vec![format!(
            "install on {} ({} MiB, model {:?}, serial {:?})",
            self.disk,
            mebibytes(self.disk_size),
            self.model,
            self.serial
        )];
        let fate = if self.erases_data { "EVERYTHING on this disk is erased" } else { "the disk is empty" };
        lines.push(fate.into());
        let extra = self.extra_partitions.iter().map(|partition| partition.size.saturating_mul(MIB)).sum();
        for (role, _, length) in layout::place(self.disk_size, self.slot_size, extra).unwrap_or_default() {
            let content = match role {
                Role::Efi => "boot loader and kernels",
                Role::EfiRecovery => "boot loader and recovery kernel",
                Role::Oem => "configuration",
                Role::Recovery => "this image, for recovery",
                Role::SlotA => "this image",
                Role::SlotB => "empty, for the first upgrade",
                Role::Persistent => "data",
            };
            lines.push(format!(
                "partition {:<12} {:>7} MiB  {content}",
                role.spec().label,
                mebibytes(length)
            ));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use edge_model::ids::Digest;

    fn disk(path: &str, gib: u64) -> DiskFacts {
        DiskFacts {
            path: path.into(),
            links: vec![format!("/dev/disk/by-id/{}", path.trim_start_matches("/dev/"))],
            size: gib * GIB,
            model: "M".into(),
            serial: format!("S{gib}"),
            rotational: false,
            read_only: false,
            optical: false,
            removable: false,
            holds_documents: false,
            is_medium: false,
            in_use: false,
            has_data: false,
            installation: None,
        }
    }

    fn id(byte: u8) -> InstallationId {
        InstallationId(Digest([byte; 32]))
    }

    fn decide(disks: &[DiskFacts], request: &InstallRequest) -> Result<InstallDecision> {
        plan(disks, request, 300 * MIB, &id(1))
    }

    fn chosen(disks: &[DiskFacts], request: &InstallRequest) -> String {
        match decide(disks, request).unwrap() {
            InstallDecision::Install(plan) => plan.disk,
            InstallDecision::BootDisk(disk) => format!("boot {disk}"),
        }
    }

    #[test]
    fn the_largest_disk_that_is_not_the_medium_is_taken() {
        let medium = DiskFacts { is_medium: true, ..disk("/dev/sdb", 500) };
        let disks = [disk("/dev/sda", 32), disk("/dev/nvme0n1", 64), medium];
        assert_eq!(chosen(&disks, &InstallRequest::default()), "/dev/nvme0n1");
        let choose = |choice: DiskChoice| InstallRequest { disk: choice, ..InstallRequest::default() };
        let by_serial = choose(DiskChoice { serial: Some("S32".into()), ..DiskChoice::default() });
        assert_eq!(chosen(&disks, &by_serial), "/dev/sda");
        let by_id = choose(DiskChoice { id: Some("sda".into()), ..DiskChoice::default() });
        assert_eq!(chosen(&disks, &by_id), "/dev/sda");
        let by_size = choose(DiskChoice { max_size_gib: Some(40), ..DiskChoice::default() });
        assert_eq!(chosen(&disks, &by_size), "/dev/sda");
    }

    /// A disk is more than a place to install on: somebody's stick may be the largest one.
    #[test]
    fn what_is_used_for_something_else_is_left_alone() {
        let wipe = |disk: DiskChoice| InstallRequest {
            disk,
            wipe: WipePolicy::Everything,
            ..InstallRequest::default()
        };
        let stick = DiskFacts { removable: true, has_data: true, ..disk("/dev/sdb", 64) };
        let documents = DiskFacts { holds_documents: true, ..stick.clone() };
        for larger in [&stick, &documents] {
            let disks = [disk("/dev/sda", 32), larger.clone()];
            assert_eq!(chosen(&disks, &wipe(DiskChoice::default())), "/dev/sda");
            let error = decide(std::slice::from_ref(larger), &wipe(DiskChoice::default())).unwrap_err();
            assert!(error.to_string().contains("/dev/sdb"), "{error}");
        }
        let by_path = DiskChoice { path: Some("/dev/sdb".into()), ..DiskChoice::default() };
        assert_eq!(chosen(std::slice::from_ref(&stick), &wipe(by_path.clone())), "/dev/sdb");
        assert!(decide(std::slice::from_ref(&documents), &wipe(by_path)).is_err());
        assert_eq!(why_unsuitable(&stick, 300 * MIB, &id(1)), None, "a person may point at it");
        assert!(why_unsuitable(&documents, 300 * MIB, &id(1)).is_some());
    }

    #[test]
    fn data_is_erased_only_when_told_or_when_it_is_our_own_unfinished_work() {
        let full = DiskFacts { has_data: true, ..disk("/dev/sda", 32) };
        let error = decide(std::slice::from_ref(&full), &InstallRequest::default()).unwrap_err();
        assert!(error.to_string().contains("holds data"), "{error}");
        let wipe = InstallRequest { wipe: WipePolicy::Everything, ..InstallRequest::default() };
        assert_eq!(chosen(std::slice::from_ref(&full), &wipe), "/dev/sda");
        let previous = |byte, finished| Some(PreviousInstallation { id: id(byte), finished });
        let unfinished = DiskFacts { installation: previous(1, false), ..full.clone() };
        assert_eq!(chosen(&[unfinished], &InstallRequest::default()), "/dev/sda");
        let ours = DiskFacts { installation: previous(1, true), ..full.clone() };
        assert_eq!(chosen(&[disk("/dev/sdz", 900), ours], &wipe), "boot /dev/sda");
        let foreign = DiskFacts { installation: previous(2, true), ..full };
        assert!(decide(&[foreign], &InstallRequest::default()).is_err());
    }

    #[test]
    fn small_and_missing_disks_are_named() {
        let error = decide(&[disk("/dev/sda", 2)], &InstallRequest::default()).unwrap_err().to_string();
        assert!(error.contains("/dev/sda") && error.contains("too small"), "{error}");
        let error = decide(&[], &InstallRequest::default()).unwrap_err().to_string();
        assert!(error.contains("no disk"), "{error}");
        let wrong = InstallRequest { slot_size_mib: Some(10), ..InstallRequest::default() };
        assert!(decide(&[disk("/dev/sda", 32)], &wrong).is_err());
    }

    #[test]
    fn the_plan_says_what_is_lost() {
        let full = DiskFacts { has_data: true, ..disk("/dev/sda", 32) };
        let wipe = InstallRequest { wipe: WipePolicy::Everything, ..InstallRequest::default() };
        let InstallDecision::Install(plan) = decide(&[full], &wipe).unwrap() else {
            panic!("not an installation")
        };
        let text = plan.lines().join("\n");
        assert!(text.contains("EVERYTHING") && text.contains("slot-b"), "{text}");
    }
}
