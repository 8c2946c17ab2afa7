//! Waiting for storage that shows up late: a stick answers seconds after the machine has found its port, and before
//! udev runs nobody loads the driver for it. *Not yet* must not be taken for *not there*.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::child::Child;
use crate::modules;

const USB: &str = "/sys/bus/usb/devices";
const BLOCK: &str = "/sys/class/block";
const SCSI: &str = "/sys/class/scsi_host";
/// So long after the last change nothing more is expected: a hub asks its ports one after the other, and each device
/// gets up to a second to answer.
const QUIET: Duration = Duration::from_secs(3);
/// A stick that has not shown its disk so long after the last change is broken, or a reader without a driver.
const PATIENCE: Duration = Duration::from_secs(30);
/// A part that comes and goes is not waited for without end.
const LONGEST: Duration = Duration::from_secs(180);
const PAUSE: Duration = Duration::from_millis(100);
/// `bInterfaceClass` of sticks, disks and card readers. <https://www.usb.org/defined-class-codes>
const MASS_STORAGE: &str = "08";

/// Waits until storage has stopped showing up, and loads the drivers that it asks for meanwhile. Devices at USB that
/// say they store something and have not shown a disk in time are named.
pub fn storage() -> Vec<String> {
    let started = Instant::now();
    let (mut asked, mut seen, mut changed) = (BTreeSet::new(), Seen::default(), Instant::now());
    loop {
        load_drivers(&mut asked);
        let now = Seen::look();
        if now != seen {
            (seen, changed) = (now, Instant::now());
        }
        let missing = seen.without_a_disk();
        if is_over(changed.elapsed(), started.elapsed(), missing.is_empty()) {
            return missing;
        }
        sleep(PAUSE);
    }
}

/// Counted from the last change: on a slow machine everything is late, and still comes.
fn is_over(since_change: Duration, since_start: Duration, is_complete: bool) -> bool {
    let enough = if is_complete { QUIET } else { PATIENCE };
    since_change >= enough || since_start >= LONGEST
}

/// Where udev runs, the drivers are there already.
fn load_drivers(asked: &mut BTreeSet<String>) {
    let all = modules::hardware_aliases();
    let new: Vec<String> =
        all.into_iter().filter(|alias| stores(alias) && asked.insert(alias.clone())).collect();
    if !new.is_empty() {
        // Whoever has no driver in this kernel is named at the end, by the disk that it does not show.
        let _ = Child::new("modprobe").args(["--all", "--quiet", "--use-blacklist"]).args(&new).outcome();
    }
}

/// Whether a device with this identifier stores something, or leads to what does: controllers of disks, cards and USB,
/// and what is found behind them.
fn stores(alias: &str) -> bool {
    const CONTROLLERS: [&str; 3] = ["bc01", "bc08sc05", "bc0Csc03"];
    match alias.split_once(':') {
        Some(("pci", rest)) => CONTROLLERS.iter().any(|class| rest.contains(class)),
        Some(("usb", rest)) => rest.contains(&format!("ic{MASS_STORAGE}")),
        Some(("scsi" | "mmc" | "virtio", _)) => true,
        _ => false,
    }
}

/// What there is at one moment.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    usb: BTreeSet<String>,
    hosts: BTreeSet<String>,
    blocks: BTreeSet<String>,
    /// Folders in `/sys` of disks at USB, and of interfaces that store something.
    disks: BTreeSet<PathBuf>,
    interfaces: BTreeSet<PathBuf>,
}

impl Seen {
    fn look() -> Self {
        let (usb, blocks) = (names(Path::new(USB)), names(Path::new(BLOCK)));
        let folder = |class: &str, name: &String| fs::canonicalize(Path::new(class).join(name)).ok();
        let interfaces =
            usb.iter().filter_map(|name| folder(USB, name)).filter(|path| is_storage(path)).collect();
        let disks = blocks.iter().filter_map(|name| folder(BLOCK, name)).collect();
        Self { hosts: names(Path::new(SCSI)), usb, blocks, disks, interfaces }
    }

    fn without_a_disk(&self) -> Vec<String> {
        let shows = |interface: &Path| self.disks.iter().any(|disk| disk.starts_with(interface));
        self.interfaces.iter().filter(|path| !shows(path)).map(|path| describe(path)).collect()
    }
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

fn is_storage(interface: &Path) -> bool {
    attribute(interface, "bInterfaceClass").is_some_and(|class| class == MASS_STORAGE)
}

/// What the device calls itself, and where it is plugged in.
fn describe(interface: &Path) -> String {
    let device = interface.parent().unwrap_or(interface);
    let says = ["manufacturer", "product"].map(|name| attribute(device, name).unwrap_or_default());
    let at = device.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let name = says.join(" ").trim().to_owned();
    if name.is_empty() { format!("the device at USB port {at}") } else { format!("{name} (USB port {at})") }
}

fn attribute(folder: &Path, name: &str) -> Option<String> {
    /// A device may say anything, and it is shown on terminals.
    const LONGEST: usize = 64;
    let text = fs::read_to_string(folder.join(name)).ok()?;
    Some(text.trim().chars().filter(|letter| !letter.is_control()).take(LONGEST).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_storage_and_what_leads_to_it_is_asked_for() {
        let cases = [
            ("pci:v00001B36d0000000Dsv00001AF4sd00001100bc0Csc03i30", true),
            ("pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01", true),
            ("pci:v00001234d00001111sv00001AF4sd00001100bc03sc00i00", false),
            ("usb:v46F4p0001d0000dc00dsc00dp00ic08isc06ip50in00", true),
            ("usb:v0627p0001d0000dc00dsc00dp00ic03isc00ip00in00", false),
            ("scsi:t-0x00", true),
            ("acpi:PNP0A08:", false),
        ];
        for (alias, expected) in cases {
            assert_eq!(stores(alias), expected, "{alias}");
        }
    }

    #[test]
    fn what_still_shows_up_is_waited_for_on_a_slow_machine() {
        let seconds = Duration::from_secs;
        assert!(!is_over(seconds(2), seconds(100), true) && is_over(seconds(3), seconds(3), true));
        assert!(!is_over(seconds(29), seconds(100), false) && is_over(seconds(30), seconds(40), false));
        assert!(is_over(seconds(0), LONGEST, false));
    }

    #[test]
    fn a_stick_without_its_disk_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let interface = folder.path().join("usb1/1-2/1-2:1.0");
        fs::create_dir_all(&interface).unwrap();
        fs::write(interface.join("bInterfaceClass"), "08\n").unwrap();
        fs::write(folder.path().join("usb1/1-2/product"), "Stick\n").unwrap();
        assert!(is_storage(&interface));
        let mut seen = Seen { interfaces: [interface.clone()].into(), ..Seen::default() };
        assert_eq!(seen.without_a_disk(), ["Stick (USB port 1-2)"]);
        seen.disks.insert(interface.join("host0/target0:0:0/0:0:0:0/block/sda"));
        assert!(seen.without_a_disk().is_empty());
    }
}
