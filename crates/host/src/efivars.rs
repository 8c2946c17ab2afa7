//! EFI variables through efivarfs, and the ones that systemd-boot and we use.
//!
//! <https://systemd.io/BOOT_LOADER_INTERFACE/>

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use edge_model::{Context, Error, Result};
use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};

const DIRECTORY: &str = "/sys/firmware/efi/efivars";
const GLOBAL: &str = "8be4df61-93ca-11d2-aa0d-00e098032b8c";
const LOADER: &str = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";
/// Vendor identifier of our own variables.
const EDGE: &str = "5d2b1f6e-93c1-4b8a-9a43-6f0d2f3c7e11";
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
    /// Boots since the last one that finished: one byte.
    BootCount,
    /// The entry to try when the default does not come up.
    FallbackEntry,
    /// Why the next boot is what it is, for the person in front of it.
    BootReason,
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

    #[cfg(test)]
    fn in_directory(directory: &Path) -> Self {
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
            Ok(content) => Ok(Some(content.get(4..).unwrap_or_default().to_vec())),
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
            make_changeable(&path)?;
            let mut content = ATTRIBUTES.to_le_bytes().to_vec();
            content.extend_from_slice(value);
            // efivarfs takes a variable in one write.
            let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(&path)?;
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

fn from_utf16(bytes: &[u8]) -> String {
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
}
