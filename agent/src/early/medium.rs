//! The file system of the installation medium, beside the image that was booted from it.

use std::path::Path;

use edge_host::mount::{self, MountFlags};
use edge_host::{block, device_mapper};
use edge_model::{Error, Result, paths};

/// Mounts the medium read-only. The device itself is held by the image's window, so the files are reached
/// through a second one over the whole medium.
pub(super) fn mount(device: &str) -> Result<()> {
    let medium = block::disks()
        .into_iter()
        .find(|disk| disk.path == device)
        .ok_or_else(|| Error::environment(format!("the installation medium {device} is gone")))?;
    let files = device_mapper::create_linear("edge-medium-files", device, 0, medium.size)?;
    let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount::mount(&files.to_string_lossy(), Path::new(paths::MEDIUM_MOUNT), "iso9660", flags, "")
}
