//! Stages that belong inside an image that was just written: `after-install-chroot`, `after-upgrade-chroot`.
//!
//! The image itself is read-only and verified; `/oem`, `/usr/local` and what is below `/run` and `/tmp` can be written.

use edge_model::paths;
use std::fs;
use std::path::Path;
use std::time::Duration;

use edge_host::child::Child;
use edge_host::machine::Machine;
use edge_host::mount::{self, MountFlags, ScopedMount};
use edge_model::stage_log::StageRecord;
use edge_model::{Context, Result};

const ROOT: &str = "/run/edge/chroot";
const DEADLINE: Duration = Duration::from_secs(900);

/// Where the parts of the new system are.
pub(crate) struct Parts<'a> {
    /// The slot with the image.
    pub(crate) image: &'a Path,
    pub(crate) oem: Place<'a>,
    pub(crate) persistent: Place<'a>,
}

/// A device to be mounted, or a folder that is there.
pub(crate) enum Place<'a> {
    Device(&'a Path),
    Folder(&'a Path),
}

/// Runs a stage inside an image; its record comes back.
///
/// # Errors
/// When the image cannot be mounted, or has no agent that runs stages.
pub(crate) fn run_in_image(machine: &Machine, stage: &str, parts: &Parts<'_>) -> Result<StageRecord> {
    machine.must_run_images()?;
    fs::create_dir_all(ROOT).context("cannot create a folder in /run")?;
    let root = Path::new(ROOT);
    let read_only = MountFlags::RDONLY | MountFlags::NODEV;
    let image = ScopedMount::new(&parts.image.to_string_lossy(), root, "erofs", read_only, "")?;
    let mut inner: Vec<ScopedMount> = Vec::new();
    for (place, target) in [(&parts.oem, "oem"), (&parts.persistent, "usr/local")] {
        let target = root.join(target);
        inner.push(match place {
            Place::Device(device) => {
                ScopedMount::new(&device.to_string_lossy(), &target, "ext4", MountFlags::NODEV, "")?
            }
            Place::Folder(folder) => ScopedMount::bind(folder, &target)?,
        });
    }
    for folder in ["dev", "proc", "sys"] {
        inner.push(ScopedMount::bind(&Path::new("/").join(folder), &root.join(folder))?);
    }
    for folder in ["run", "tmp"] {
        inner.push(ScopedMount::new("tmpfs", &root.join(folder), "tmpfs", MountFlags::NODEV, "mode=755")?);
    }
    // Conditions of stages ask how the host was started.
    if mount::is_mounted(Path::new("/run")) {
        fs::create_dir_all(root.join("run/cos")).context("cannot create a folder")?;
        for entry in fs::read_dir(paths::COS_DIR).into_iter().flatten().flatten() {
            let _ = fs::copy(entry.path(), root.join("run/cos").join(entry.file_name()));
        }
    }
    let output = Child::new("chroot")
        .args([ROOT, paths::AGENT_PROGRAM, "--json", "stage", "run", "--in-image", stage])
        .deadline(DEADLINE)
        .run();
    while let Some(mount) = inner.pop() {
        mount.close()?;
    }
    image.close()?;
    let mut record: StageRecord =
        serde_json::from_slice(&output?).context("the record of a stage in the new image cannot be read")?;
    record.stage = format!("{stage} (in the new image)");
    Ok(record)
}
