//! Checking, growing and mounting the host's own file systems.

use std::path::Path;
use std::time::Duration;

use edge_host::child::Child;
use edge_host::disk::PartitionedDisk;
use edge_host::mount::{self, MountFlags};
use edge_host::{block, gpt};
use edge_model::layout::Role;
use edge_model::{Context, Error, Result, paths};

/// A check of a large damaged file system takes its time; the watchdog is fed meanwhile.
const CHECK_DEADLINE: Duration = Duration::from_secs(30 * 60);

/// Exit status of e2fsck from which on errors are left.
const ERRORS_LEFT: i32 = 4;

pub(super) fn mount_oem(disk: &PartitionedDisk, reasons: &mut Vec<String>) -> Result<()> {
    let device = disk.device(Role::Oem)?;
    check(&device, "the configuration partition (oem)", reasons)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOATIME;
    mount::mount(&device.to_string_lossy(), Path::new(paths::OEM), "ext4", flags, "")
}

pub(super) fn mount_persistent(disk: &PartitionedDisk, reasons: &mut Vec<String>) -> Result<()> {
    let device = disk.device(Role::Persistent)?;
    check(&device, "the data partition (persistent)", reasons)?;
    let grown = grow(disk).unwrap_or_else(|error| {
        reasons.push(format!("the data partition could not be extended: {error}"));
        false
    });
    mount::mount(&device.to_string_lossy(), Path::new(paths::PERSISTENT), "ext4", MountFlags::NOATIME, "")?;
    if grown {
        Child::new("resize2fs")
            .arg(&device)
            .deadline(CHECK_DEADLINE)
            .run()
            .context("the data partition was extended, its file system was not")?;
    }
    Ok(())
}

/// Extends partition and file system when the disk is larger than when the table was written, as it is for a
/// raw image on a real disk. Tells whether the file system has to follow.
fn grow(disk: &PartitionedDisk) -> Result<bool> {
    let role = Role::Persistent;
    let mut device = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(&disk.disk.path)
        .with_context(|| format!("cannot open {}", disk.disk.path))?;
    let grown = gpt::grow_last_partition(&mut device, disk.disk.size, disk.disk.logical_sector)?;
    if grown {
        let table = gpt::read(&mut device).unwrap_or_default();
        let partition = table
            .iter()
            .find(|partition| partition.number == role.number())
            .ok_or_else(|| Error::integrity("the partition table lost its last partition"))?;
        block::resize_partition(&device, partition.number, partition.start, partition.length)?;
    }
    Ok(grown)
}

/// Repairs what can be repaired without a question, then what can be repaired at all.
fn check(device: &Path, what: &str, reasons: &mut Vec<String>) -> Result<()> {
    if run_check("-p", device)? < ERRORS_LEFT {
        return Ok(());
    }
    reasons.push(format!("{what} was damaged and had to be repaired"));
    match run_check("-fy", device)? {
        status if status < ERRORS_LEFT => Ok(()),
        status => Err(Error::integrity(format!("{what} cannot be repaired (e2fsck ended with {status})"))),
    }
}

fn run_check(how: &str, device: &Path) -> Result<i32> {
    let outcome = Child::new("e2fsck").arg(how).arg(device).deadline(CHECK_DEADLINE).outcome()?;
    Ok(outcome.status.code().unwrap_or(i32::MAX))
}
