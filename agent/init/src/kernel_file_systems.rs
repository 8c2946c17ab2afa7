//! The file systems that the kernel provides.

use std::path::Path;

use edge_host::efivars::EfiVars;
use edge_host::mount::{MountFlags, mount};
use edge_host::{console, modules};
use edge_model::Result;
use edge_model::initrd::MODULE_DIRECTORY;

const DATA: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV).union(MountFlags::NOEXEC);

/// Mounts `/dev`, `/proc`, `/sys` and `/run`.
pub(crate) fn mount_all() -> Result<()> {
    mount("dev", Path::new("/dev"), "devtmpfs", MountFlags::NOSUID, "mode=755")?;
    mount("proc", Path::new("/proc"), "proc", DATA, "")?;
    mount("sys", Path::new("/sys"), "sysfs", DATA, "")?;
    mount("run", Path::new("/run"), "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, "mode=755,size=20%")
}

/// Mounts the firmware's variables, before all other drivers: in them the boots are counted, and a driver may be what fails. A
/// machine without them boots too: its boots are then not counted.
pub(crate) fn mount_firmware_variables() {
    let variables = || mount("efivarfs", EfiVars::mount_point(), "efivarfs", DATA, "");
    if variables().is_ok() {
        return;
    }
    // Whatever has happened to the list of modules, this one has its name.
    let files = std::fs::read_dir(MODULE_DIRECTORY).into_iter().flatten().flatten();
    for file in files.filter(|file| file.file_name().to_string_lossy().starts_with("efivarfs.")) {
        if let Err(error) = modules::load(&file.path()) {
            console::say(&format!("edge: warning: {error}"));
        }
    }
    // Machines that are not started by UEFI have nothing to mount.
    let _ = variables();
}
