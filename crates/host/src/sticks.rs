//! Removable volumes that somebody carries something away on.

use std::fs;
use std::path::{Path, PathBuf};

use edge_model::api::installer::Volume;
use edge_model::{Context, Error, Result};

use crate::child::Child;
use crate::mount::{MountFlags, ScopedMount};

const CLASS: &str = "/sys/class/block";
const MOUNT_POINT: &str = "/run/edge/stick";
/// File systems that are written to, by blkid's names; who drives them, and how.
const WRITABLE: [(&str, &str, &str); 5] = [
    ("vfat", "vfat", ""),
    ("exfat", "exfat", ""),
    ("ext4", "ext4", NO_PANIC),
    ("ext3", "ext4", NO_PANIC),
    ("ext2", "ext4", NO_PANIC),
];
/// Such a file system says itself what an error in it leads to, and one of them is the end of the whole host (ext4(5), `errors=`).
const NO_PANIC: &str = "errors=remount-ro";
/// File systems that are read only.
const READABLE: [(&str, &str, &str); 2] = [("iso9660", "iso9660", ""), ("udf", "udf", "")];
/// What a foreign file system may never bring: programs, devices, and links that lead elsewhere.
const FOREIGN: MountFlags =
    MountFlags::NOSUID.union(MountFlags::NODEV).union(MountFlags::NOEXEC).union(MountFlags::NOSYMFOLLOW);

/// Volumes on sticks and other removable disks that can be written to, by device. The disk of the host itself, or
/// of the medium, is not among them.
///
/// # Errors
/// When the volumes cannot be listed.
pub fn removable(own_disk: &str) -> Result<Vec<Volume>> {
    // It ends with an error when it finds nothing.
    let outcome = Child::new("blkid").args(["-c", "/dev/null", "-o", "export"]).outcome()?;
    let mut volumes = parse_export(&String::from_utf8_lossy(&outcome.stdout));
    volumes
        .retain(|volume| writer_of(&volume.file_system).is_some() && is_removable(&volume.device, own_disk));
    for volume in &mut volumes {
        volume.size = size_of(&volume.device);
    }
    Ok(volumes)
}

/// Driver and options for a file system that is written to.
fn writer_of(file_system: &str) -> Option<(&'static str, &'static str)> {
    WRITABLE.iter().find(|(name, ..)| *name == file_system).map(|(_, driver, options)| (*driver, *options))
}

/// Driver and options for a file system that is read. Only these: each driver of the kernel that parses what a stranger wrote is
/// a way in.
fn reader_of(file_system: &str) -> Option<(&'static str, &'static str)> {
    let readable = READABLE.iter().find(|(name, ..)| *name == file_system);
    writer_of(file_system).or(readable.map(|(_, driver, options)| (*driver, *options)))
}

/// Whether the disk below a device comes and goes: a stick, a card, or anything on USB.
fn is_removable(device: &str, own_disk: &str) -> bool {
    let Some(folder) = folder_of(device) else { return false };
    let disk =
        if folder.join("partition").exists() { folder.parent().map(Path::to_path_buf) } else { Some(folder) };
    let Some(disk) = disk else { return false };
    if disk.file_name().is_some_and(|name| Path::new("/dev").join(name) == Path::new(own_disk)) {
        return false;
    }
    comes_and_goes(&disk)
}

/// Of a disk's folder in `/sys`, with every link followed.
fn comes_and_goes(disk: &Path) -> bool {
    let removable = fs::read_to_string(disk.join("removable")).is_ok_and(|flag| flag.trim() == "1");
    let on_usb = disk.components().any(|part| part.as_os_str().to_string_lossy().starts_with("usb"));
    removable || on_usb
}

/// Whether a whole disk is a stick, a card, or anything on USB.
pub fn is_removable_disk(disk: &crate::block::Disk) -> bool {
    folder_of(&disk.path).is_some_and(|folder| comes_and_goes(&folder))
}

/// Where the kernel describes the device, with every link followed.
fn folder_of(device: &str) -> Option<PathBuf> {
    fs::canonicalize(Path::new(CLASS).join(device.strip_prefix("/dev/")?)).ok()
}

fn size_of(device: &str) -> u64 {
    let sectors = folder_of(device).and_then(|folder| fs::read_to_string(folder.join("size")).ok());
    sectors.and_then(|text| text.trim().parse::<u64>().ok()).unwrap_or(0).saturating_mul(512)
}

/// `KEY=VALUE` lines, a device after the other.
fn parse_export(text: &str) -> Vec<Volume> {
    let mut volumes: Vec<Volume> = Vec::new();
    for (key, value) in text.lines().filter_map(|line| line.split_once('=')) {
        let value = value.replace('\\', "");
        match (key, volumes.last_mut()) {
            ("DEVNAME", _) => {
                volumes.push(Volume {
                    device: value,
                    label: String::new(),
                    file_system: String::new(),
                    size: 0,
                });
            }
            ("LABEL", Some(volume)) => volume.label = value,
            ("TYPE", Some(volume)) => volume.file_system = value,
            _ => {}
        }
    }
    volumes.sort_by(|one, other| one.device.cmp(&other.device));
    volumes
}

/// Does something in the top folder of a volume that can be written to. When this returns well, everything is on
/// the volume, and it may be pulled out.
///
/// # Errors
/// When the volume cannot be mounted for writing, what is done there fails, or it cannot be let go.
pub fn use_volume<T>(volume: &Volume, work: impl FnOnce(&Path) -> Result<T>) -> Result<T> {
    let name = || format!("the volume {} ({})", volume.label, volume.device);
    let (driver, options) =
        writer_of(&volume.file_system).ok_or_else(|| unknown(&name(), &volume.file_system))?;
    let flags = FOREIGN | MountFlags::NOATIME;
    let mount = ScopedMount::new(&volume.device, Path::new(MOUNT_POINT), driver, flags, options)
        .with_context(|| format!("{} cannot be written to", name()))?;
    let result = work(mount.path())?;
    mount.close().with_context(|| format!("{} cannot be let go", name()))?;
    Ok(result)
}

/// Mounts a volume for reading, as long as the result lives.
///
/// # Errors
/// When it cannot be mounted.
pub fn look_at(volume: &Volume) -> Result<ScopedMount> {
    let name = format!("the volume {} ({})", volume.label, volume.device);
    mount_foreign(Path::new(&volume.device), &volume.file_system, Path::new(MOUNT_POINT), &name)
}

/// Mounts what a stranger made for reading; `name` is what people call it.
///
/// # Errors
/// When it has no file system that is read here, or cannot be mounted.
pub(crate) fn mount_foreign(
    device: &Path,
    file_system: &str,
    target: &Path,
    name: &str,
) -> Result<ScopedMount> {
    let (driver, options) = reader_of(file_system).ok_or_else(|| unknown(name, file_system))?;
    ScopedMount::new(&device.to_string_lossy(), target, driver, FOREIGN | MountFlags::RDONLY, options)
        .with_context(|| format!("{name} cannot be read"))
}

fn unknown(name: &str, file_system: &str) -> Error {
    let has = if file_system.is_empty() { "no file system" } else { file_system };
    Error::rejected(format!("{name} has {has}")).help("use a stick with FAT32, exFAT or ext4")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn volumes_are_read_with_label_and_file_system() {
        let text = "DEVNAME=/dev/sdb1\nLABEL=MY\\ STICK\nUUID=1\nTYPE=vfat\n\nDEVNAME=/dev/sda1\nTYPE=ext4\n";
        let volumes = parse_export(text);
        assert_eq!(volumes[1].label, "MY STICK");
        assert_eq!((volumes[0].device.as_str(), volumes[0].file_system.as_str()), ("/dev/sda1", "ext4"));
        assert_eq!(writer_of("ext2"), Some(("ext4", "errors=remount-ro")));
        assert_eq!((writer_of("iso9660"), reader_of("iso9660")), (None, Some(("iso9660", ""))));
        for strange in ["btrfs", "xfs", "squashfs", "crypto_LUKS", "", "proc"] {
            assert_eq!(reader_of(strange), None, "{strange}");
        }
    }

    proptest! {
        #[test]
        fn no_list_panics(text in "(?s)(DEVNAME|LABEL|TYPE)?=?.{0,60}") {
            let _ = parse_export(&text);
        }
    }
}
