//! What the kernel leaves behind when it crashes, in memory that a restart does not clear: variables of the firmware,
//! or a reserved piece of RAM.
//!
//! <https://docs.kernel.org/admin-guide/abi-testing.html#abi-sys-fs-pstore>

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use edge_model::{Context, Result};

use crate::child::Child;
use crate::files;
use crate::mount::{self, MountFlags};

const FOLDER: &str = "/sys/fs/pstore";
/// Where the kernel says who keeps its records.
const BACKEND: &str = "/sys/module/pstore/parameters/backend";
const NO_BACKEND: &str = "(null)";
const DRIVER: &str = "efi_pstore";
const DRIVER_DEADLINE: Duration = Duration::from_secs(5);
/// Longest record that is read; the kernel writes 64 KiB at most.
const RECORD_LIMIT: u64 = 64 << 10;
const MOST_RECORDS: usize = 128;

/// Records of crashes that are kept for us.
#[derive(Debug, Default)]
pub struct Crashes {
    /// Texts, in the order of their names.
    pub records: Vec<String>,
    paths: Vec<PathBuf>,
}

impl Crashes {
    /// Reads what is there. Loads the driver for the firmware's variables when nobody else keeps records, so that a
    /// crash of this boot is kept too.
    ///
    /// # Errors
    /// When the kernel has such records and does not show them.
    pub fn read() -> Result<Self> {
        let folder = Path::new(FOLDER);
        if !folder.is_dir() {
            return Ok(Self::default());
        }
        let backend = fs::read_to_string(BACKEND).unwrap_or_default();
        if backend.trim() == NO_BACKEND && Path::new("/sys/firmware/efi").is_dir() {
            // An image without the driver keeps no records, which is what nothing found says.
            let _ = Child::new("modprobe").args(["-q", DRIVER]).deadline(DRIVER_DEADLINE).outcome();
        }
        if !mount::is_mounted(folder) {
            let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
            mount::mount("pstore", folder, "pstore", flags, "")?;
        }
        Self::read_in(folder)
    }

    fn read_in(folder: &Path) -> Result<Self> {
        let entries = fs::read_dir(folder).context("cannot list what the kernel left behind")?;
        let mut paths: Vec<PathBuf> = entries
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().starts_with("dmesg-"))
            .map(|entry| entry.path())
            .collect();
        paths.sort();
        // What the kernel could not unpack is not text.
        let text = |path: &&PathBuf| !path.to_string_lossy().ends_with(".enc.z");
        let read = |path: &PathBuf| files::read(path, RECORD_LIMIT).ok();
        let records = paths.iter().filter(text).take(MOST_RECORDS).filter_map(read);
        let records = records.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).collect();
        Ok(Self { records, paths })
    }

    /// Removes the records: the firmware has little room for them.
    ///
    /// # Errors
    /// When one of them cannot be removed; the others are.
    pub fn remove(self) -> Result<()> {
        let mut outcome = Ok(());
        for path in &self.paths {
            if let Err(error) = fs::remove_file(path) {
                outcome = Err(error).context("the record of a crash cannot be removed");
            }
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_crashes_are_read_and_removed_and_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in
            [("dmesg-efi_pstore-2", "b"), ("dmesg-efi_pstore-1", "a"), ("dmesg-ramoops-0.enc.z", "z")]
        {
            fs::write(folder.path().join(name), content).unwrap();
        }
        fs::write(folder.path().join("console-ramoops-0"), "c").unwrap();
        let crashes = Crashes::read_in(folder.path()).unwrap();
        assert_eq!(crashes.records, ["a", "b"]);
        crashes.remove().unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
