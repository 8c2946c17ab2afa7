//! Checking, growing and mounting the host's own file systems.

use std::path::Path;
use std::time::Duration;

use edge_host::child::Child;
use edge_host::disk::PartitionedDisk;
use edge_host::mount::{self, MountFlags};
use edge_host::{block, ext4, gpt};
use edge_model::layout::Role;
use edge_model::{Context, Error, Result, paths};

/// A check of a large damaged file system takes its time; the watchdog is fed meanwhile.
const CHECK_DEADLINE: Duration = Duration::from_secs(30 * 60);

/// Exit status of e2fsck from which on errors are left.
const ERRORS_LEFT: i32 = 4;

pub(super) fn mount_oem(disk: &PartitionedDisk, reasons: &mut Vec<String>) -> Result<()> {
    let device = disk.volume(Role::Oem)?.content().to_owned();
    check(&device, "the configuration partition (oem)", reasons)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOATIME;
    mount::mount(&device.to_string_lossy(), Path::new(paths::OEM), "ext4", flags, "")
}

/// The partition grows before its file system is checked: after a cut the file system may be larger than what the table says,
/// and no check would pass.
pub(super) fn mount_persistent(disk: &PartitionedDisk, reasons: &mut Vec<String>) -> Result<()> {
    let volume = disk.volume(Role::Persistent)?;
    let device = volume.content();
    if let Err(error) = extend_partition(disk, volume.partition()) {
        reasons.push(format!("the data partition could not be extended: {error}"));
    }
    check(device, "the data partition (persistent)", reasons)?;
    mount::mount(&device.to_string_lossy(), Path::new(paths::PERSISTENT), "ext4", MountFlags::NOATIME, "")?;
    if let Err(error) = fill_partition(device) {
        reasons.push(format!("the data partition's file system could not be extended: {error}"));
    }
    Ok(())
}

/// Extends the partition when the disk is larger than when the table was written, as it is for a raw image on a real disk. What
/// a boot before this one has begun is gone on with: only sizes are compared.
fn extend_partition(disk: &PartitionedDisk, partition_device: &Path) -> Result<()> {
    let role = Role::Persistent;
    let mut device = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(&disk.disk.path)
        .with_context(|| format!("cannot open {}", disk.disk.path))?;
    if gpt::grow_last_partition(&mut device, disk.disk.size, disk.disk.logical_sector)? {
        // The file system must never be on the disk before the partition that it needs.
        device.sync_all().context("cannot flush the partition table")?;
    }
    let table = gpt::read(&mut device).unwrap_or_default();
    let partition = table
        .iter()
        .find(|partition| partition.number == role.number())
        .ok_or_else(|| Error::integrity("the partition table lost its last partition"))?;
    if block::size(partition_device)? < partition.length {
        block::resize_partition(&device, partition.number, partition.start, partition.length)?;
    }
    Ok(())
}

/// Extends the mounted file system when it is smaller than its partition, whoever has extended that.
fn fill_partition(device: &Path) -> Result<()> {
    // The smallest unit that a file system of ours grows by: one group of blocks.
    const WORTH_IT: u64 = 128 << 20;
    if ext4::size(device)? + WORTH_IT > block::size(device)? {
        return Ok(());
    }
    Child::new("resize2fs").arg(device).deadline(CHECK_DEADLINE).run().map(drop)
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
