//! EFI variables through efivarfs, and the ones that systemd-boot and we use.
//!
//! <https://systemd.io/BOOT_LOADER_INTERFACE/>

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use edge_model::boot_reason::BootReason;
use edge_model::ids::Entry;
use edge_model::{Context, Error, Result};
use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};

use crate::console;
use crate::faults::effect;

const DIRECTORY: &str = "/sys/firmware/efi/efivars";
const GLOBAL: &str = "8be4df61-93ca-11d2-aa0d-00e098032b8c";
const LOADER: &str = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";
/// Vendor identifier of our own variables.
const EDGE: &str = "5d2b1f6e-93c1-4b8a-9a43-6f0d2f3c7e11";
/// Vendor identifier of what the kernel writes when it crashes.
const PSTORE: &str = "cfc8fc79-be2e-4ddc-97f0-9f98bfe298a0";
/// Non-volatile, boot services, run-time.
const ATTRIBUTES: u32 = 7;

/// The variables of a machine.
#[derive(Debug, Clone)]
pub struct EfiVars {
    directory: PathBuf,
}

/// Variables that we read or write, with their vendors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variable {
    /// The entry that this boot was started from.
    LoaderEntrySelected,
    /// The entry that is started when nothing else is said.
    LoaderEntryDefault,
    /// The entry that is started once, next time.
    LoaderEntryOneShot,
    /// Partition that the loader was read from.
    LoaderDevicePartUuid,
    BootOrder,
    BootNext,
    /// Whether the firmware checks signatures: one byte.
    SecureBoot,
    /// Points of boots that did not last, and how often recovery was entered: `edge_planner::boot::recovery::Counters`.
    BootCount,
    /// The entry to try when the default does not come up.
    FallbackEntry,
    /// Why the next boot is what it is, for the person in front of it.
    BootReason,
    /// Number of the firmware's entry of recovery, so that it can be asked for without the disk.
    RecoveryEntry,
    /// Written and removed again, to see whether there is room.
    RoomProbe,
}

impl Variable {
    fn file_name(self) -> String {
        let (name, vendor) = match self {
            Variable::LoaderEntrySelected => ("LoaderEntrySelected", LOADER),
            Variable::LoaderEntryDefault => ("LoaderEntryDefault", LOADER),
            Variable::LoaderEntryOneShot => ("LoaderEntryOneShot", LOADER),
            Variable::LoaderDevicePartUuid => ("LoaderDevicePartUUID", LOADER),
            Variable::BootOrder => ("BootOrder", GLOBAL),
            Variable::BootNext => ("BootNext", GLOBAL),
            Variable::SecureBoot => ("SecureBoot", GLOBAL),
            Variable::BootCount => ("EdgeBootCount", EDGE),
            Variable::FallbackEntry => ("EdgeFallbackEntry", EDGE),
            Variable::BootReason => ("EdgeBootReason", EDGE),
            Variable::RecoveryEntry => ("EdgeRecoveryEntry", EDGE),
            Variable::RoomProbe => ("EdgeRoomProbe", EDGE),
        };
        format!("{name}-{vendor}")
    }
}

/// What the firmware says of Secure Boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecureBoot {
    On,
    Off,
    /// It does not answer.
    Unknown,
}

impl EfiVars {
    /// The variables of this machine; `None` when it was not started by UEFI firmware.
    pub fn of_machine() -> Option<Self> {
        let directory = PathBuf::from(DIRECTORY);
        let readable = fs::read_dir(&directory).is_ok_and(|mut entries| entries.next().is_some());
        readable.then_some(Self { directory })
    }

    /// Where the file system of the variables has to be mounted.
    pub fn mount_point() -> &'static Path {
        Path::new(DIRECTORY)
    }

    /// Variables of a folder, for tests.
    #[cfg(any(test, feature = "faults"))]
    pub fn in_directory(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// The value, without attributes; `None` when the variable does not exist.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn get(&self, variable: Variable) -> Result<Option<Vec<u8>>> {
        self.get_raw(&variable.file_name())
    }

    /// Sets the value; does nothing when it is set already, to spare the flash memory.
    ///
    /// # Errors
    /// When the firmware refuses, for example because its memory is full.
    pub fn set(&self, variable: Variable, value: &[u8]) -> Result<()> {
        self.set_raw(&variable.file_name(), value)
    }

    /// # Errors
    /// When it exists and cannot be removed.
    pub fn remove(&self, variable: Variable) -> Result<()> {
        self.remove_raw(&variable.file_name())
    }

    /// Whether the firmware takes as much as an upgrade will write: the loader's next and usual image, and the one to fall
    /// back to. Its memory may be full, or worn out.
    pub fn has_room(&self) -> bool {
        const NEEDED: usize = 1024;
        let took = self.set(Variable::RoomProbe, &[0; NEEDED]);
        took.and(self.remove(Variable::RoomProbe)).is_ok()
    }

    /// Like [`EfiVars::get`], for a variable that holds text.
    ///
    /// # Errors
    /// As [`EfiVars::get`].
    pub fn get_text(&self, variable: Variable) -> Result<Option<String>> {
        Ok(self.get(variable)?.map(|value| from_utf16(&value)))
    }

    /// Like [`EfiVars::set`], for a variable that holds text.
    ///
    /// # Errors
    /// As [`EfiVars::set`].
    pub fn set_text(&self, variable: Variable, value: &str) -> Result<()> {
        self.set(variable, &to_utf16(value))
    }

    /// Whether the firmware starts only what is signed.
    pub fn secure_boot(&self) -> SecureBoot {
        match self.get(Variable::SecureBoot) {
            Ok(Some(value)) if value == [1] => SecureBoot::On,
            // Firmware without it does not know Secure Boot.
            Ok(_) => SecureBoot::Off,
            Err(_) => SecureBoot::Unknown,
        }
    }

    /// The entry of the loader that a variable names.
    ///
    /// # Errors
    /// As [`EfiVars::get`].
    pub fn get_entry(&self, variable: Variable) -> Result<Option<Entry>> {
        Ok(self.get_text(variable)?.as_deref().and_then(Entry::named))
    }

    /// # Errors
    /// As [`EfiVars::set`].
    pub fn set_entry(&self, variable: Variable, entry: &Entry) -> Result<()> {
        self.set_text(variable, entry.as_str())
    }

    /// Leaves a sentence for people, and of which image it speaks. It stops nothing: where there is no room for it, the boot goes
    /// its way without it.
    pub fn leave_reason(&self, reason: &BootReason) {
        if let Err(error) = self.set_text(Variable::BootReason, &reason.to_text()) {
            console::say(&format!("edge: warning: {error}"));
        }
    }

    /// What an earlier boot has left to be said, once.
    pub fn take_reason(&self) -> Option<BootReason> {
        let reason = self.get_text(Variable::BootReason).ok().flatten()?;
        if let Err(error) = self.remove(Variable::BootReason) {
            console::say(&format!("edge: warning: {error}"));
        }
        Some(BootReason::parse(&reason))
    }

    /// Names of what kernels have left here when they crashed: `dump-type0-PART-COUNT-TIME-C`
    /// (`drivers/firmware/efi/efi-pstore.c` of Linux).
    fn crash_records(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.directory).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        names.filter(|name| name.starts_with("dump-type") && name.ends_with(PSTORE)).collect()
    }

    /// Whether a kernel has crashed since somebody last looked.
    pub fn has_crash_records(&self) -> bool {
        !self.crash_records().is_empty()
    }

    /// Gives up what crashed kernels have left, because the firmware's memory is full: that the next boot finds its way counts
    /// for more. Tells whether there was any.
    pub fn drop_crash_records(&self) -> bool {
        let removed = self.crash_records().iter().filter(|name| self.remove_raw(name).is_ok()).count();
        removed > 0
    }

    /// The load option of a firmware boot entry.
    ///
    /// # Errors
    /// As [`EfiVars::get`].
    pub fn boot_entry(&self, number: u16) -> Result<Option<Vec<u8>>> {
        self.get_raw(&boot_entry_name(number))
    }

    /// # Errors
    /// As [`EfiVars::set`].
    pub fn set_boot_entry(&self, number: u16, option: &[u8]) -> Result<()> {
        self.set_raw(&boot_entry_name(number), option)
    }

    /// # Errors
    /// When it exists and cannot be removed.
    pub fn remove_boot_entry(&self, number: u16) -> Result<()> {
        self.remove_raw(&boot_entry_name(number))
    }

    /// Numbers of all firmware boot entries.
    ///
    /// # Errors
    /// When the variables cannot be listed.
    pub fn boot_entries(&self) -> Result<Vec<u16>> {
        let entries = fs::read_dir(&self.directory).context("cannot list the firmware's variables")?;
        let suffix = format!("-{GLOBAL}");
        let mut numbers: Vec<u16> = entries
            .flatten()
            .filter_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                let digits = name.strip_suffix(&suffix)?.strip_prefix("Boot")?;
                (digits.len() == 4).then(|| u16::from_str_radix(digits, 16).ok())?
            })
            .collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    fn get_raw(&self, name: &str) -> Result<Option<Vec<u8>>> {
        match fs::read(self.directory.join(name)) {
            // Some firmware leaves names without values behind: nothing is what they say.
            Ok(content) => Ok(content.get(4..).filter(|value| !value.is_empty()).map(<[u8]>::to_vec)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read the firmware's variable {name}")),
        }
    }

    fn set_raw(&self, name: &str, value: &[u8]) -> Result<()> {
        if self.get_raw(name)?.as_deref() == Some(value) {
            return Ok(());
        }
        let path = self.directory.join(name);
        let write = || -> Result<()> {
            effect("set variable", &path)?;
            make_changeable(&path)?;
            let mut content = ATTRIBUTES.to_le_bytes().to_vec();
            content.extend_from_slice(value);
            // efivarfs takes a variable in one write, and a truncation for another one.
            let in_folder = self.directory != Path::new(DIRECTORY);
            let mut file = OpenOptions::new().write(true).create(true).truncate(in_folder).open(&path)?;
            file.write_all(&content)?;
            Ok(())
        };
        write().with_context(|| format!("cannot set the firmware's variable {name}"))
    }

    fn remove_raw(&self, name: &str) -> Result<()> {
        let path = self.directory.join(name);
        if !path.exists() {
            return Ok(());
        }
        let remove = || -> Result<()> {
            effect("remove variable", &path)?;
            make_changeable(&path)?;
            Ok(fs::remove_file(&path)?)
        };
        remove().with_context(|| format!("cannot remove the firmware's variable {name}"))
    }
}

/// efivarfs protects variables against `rm -rf` by the immutable flag.
fn make_changeable(path: &Path) -> Result<()> {
    let Ok(file) = File::open(path) else { return Ok(()) };
    match ioctl_getflags(&file) {
        Ok(flags) if flags.contains(IFlags::IMMUTABLE) => {
            ioctl_setflags(&file, flags - IFlags::IMMUTABLE).map_err(std::io::Error::from)?;
            Ok(())
        }
        _ => Ok(()),
    }
}

fn boot_entry_name(number: u16) -> String {
    format!("Boot{number:04X}-{GLOBAL}")
}

/// UTF-16, little-endian, with a terminating zero.
pub fn to_utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect()
}

/// Text up to the terminating zero, if there is one.
pub fn from_utf16(bytes: &[u8]) -> String {
    let units: Vec<u16> = bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
    let end = units.iter().position(|unit| *unit == 0).unwrap_or(units.len());
    String::from_utf16_lossy(&units[..end])
}

/// The error of a machine that needs UEFI and has none.
pub fn missing() -> Error {
    Error::environment("this machine was not started by UEFI firmware")
        .help("switch the firmware setup from legacy (CSM) to UEFI boot")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_round_trip_with_attributes() {
        let folder = tempfile::tempdir().unwrap();
        let variables = EfiVars::in_directory(folder.path());
        assert_eq!(variables.get_text(Variable::LoaderEntryDefault).unwrap(), None);
        variables.set_text(Variable::LoaderEntryDefault, "edge-1.efi").unwrap();
        assert_eq!(variables.get_text(Variable::LoaderEntryDefault).unwrap().as_deref(), Some("edge-1.efi"));
        let file = folder.path().join(Variable::LoaderEntryDefault.file_name());
        assert_eq!(fs::read(file).unwrap()[..4], ATTRIBUTES.to_le_bytes());
        variables.set_boot_entry(0x1a, b"option").unwrap();
        assert_eq!(variables.boot_entries().unwrap(), [0x1a]);
        assert!(variables.has_room() && variables.get(Variable::RoomProbe).unwrap().is_none());
        variables.remove(Variable::LoaderEntryDefault).unwrap();
        assert_eq!(variables.get(Variable::LoaderEntryDefault).unwrap(), None);
    }

    #[test]
    fn names_without_values_and_what_crashes_leave_are_no_settings() {
        let folder = tempfile::tempdir().unwrap();
        let variables = EfiVars::in_directory(folder.path());
        fs::write(folder.path().join(Variable::BootCount.file_name()), ATTRIBUTES.to_le_bytes()).unwrap();
        assert_eq!(variables.get(Variable::BootCount).unwrap(), None);
        assert!(!variables.has_crash_records() && !variables.drop_crash_records());
        fs::write(folder.path().join(format!("dump-type0-1-1-1700000000-C-{PSTORE}")), "crash").unwrap();
        assert!(variables.has_crash_records() && variables.drop_crash_records());
        assert!(!variables.has_crash_records());
    }
}
