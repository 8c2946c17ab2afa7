//! The file systems that the kernel provides.

use std::path::Path;

use edge_host::efivars::EfiVars;
use edge_host::mount::{MountFlags, mount};
use edge_model::Result;

const DATA: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV).union(MountFlags::NOEXEC);

/// Mounts `/dev`, `/proc`, `/sys` and `/run`.
pub(crate) fn mount_all() -> Result<()> {
    mount("dev", Path::new("/dev"), "devtmpfs", MountFlags::NOSUID, "mode=755")?;
    mount("proc", Path::new("/proc"), "proc", DATA, "")?;
    mount("sys", Path::new("/sys"), "sysfs", DATA, "")?;
    mount("run", Path::new("/run"), "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, "mode=755,size=20%")
}

/// Mounts the firmware's variables. A machine without them boots too: its boots are then not counted.
pub(crate) fn mount_firmware_variables() {
    let _ = mount("efivarfs", EfiVars::mount_point(), "efivarfs", DATA, "");
}
