//! Mounting and unmounting.

use std::fs;
use std::path::{Path, PathBuf};

use edge_model::{Context, Result};
pub use rustix::mount::MountFlags;
use rustix::mount::{MountPropagationFlags, UnmountFlags};

/// Mounts `source` on `target`, which is created when it is missing.
///
/// # Errors
/// When the folder cannot be made or the kernel refuses.
pub fn mount(source: &str, target: &Path, kind: &str, flags: MountFlags, data: &str) -> Result<()> {
    create_mount_point(target)?;
    let data = std::ffi::CString::new(data).unwrap_or_default();
    rustix::mount::mount(source, target, kind, flags, data.as_c_str())
        .map_err(std::io::Error::from)
        .with_context(|| format!("cannot mount {source} ({kind}) on {}", target.display()))
}

fn create_mount_point(target: &Path) -> Result<()> {
    if target.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(target).with_context(|| format!("cannot create {}", target.display()))
}

/// Makes a folder visible in a second place.
///
/// # Errors
/// As [`mount`].
pub fn bind(source: &Path, target: &Path) -> Result<()> {
    create_mount_point(target)?;
    rustix::mount::mount_bind_recursive(source, target)
        .map_err(std::io::Error::from)
        .with_context(|| format!("cannot bind {} to {}", source.display(), target.display()))
}

/// Moves a mount to another place.
///
/// # Errors
/// As [`mount`].
pub fn move_mount(source: &Path, target: &Path) -> Result<()> {
    rustix::mount::mount_move(source, target)
        .map_err(std::io::Error::from)
        .with_context(|| format!("cannot move {} to {}", source.display(), target.display()))
}

/// Unmounts, at the latest when the last user is gone.
///
/// # Errors
/// When nothing is mounted there.
pub fn unmount(target: &Path) -> Result<()> {
    rustix::mount::unmount(target, UnmountFlags::empty())
        .map_err(std::io::Error::from)
        .with_context(|| format!("cannot unmount {}", target.display()))
}

/// Unmounts `top`, if it is a mount, and everything below it, the deepest first. What is still used goes with its last
/// user.
///
/// # Errors
/// When the kernel refuses.
pub fn unmount_below(top: &Path) -> Result<()> {
    unmount_those(|target| target.starts_with(top))
}

/// Like [`unmount_below`], without `top` itself: what is stored there stays in sight.
///
/// # Errors
/// When the kernel refuses.
pub fn unmount_inside(top: &Path) -> Result<()> {
    unmount_those(|target| target.starts_with(top) && target != top)
}

fn unmount_those(wanted: impl Fn(&Path) -> bool) -> Result<()> {
    let mut targets = points()?;
    targets.retain(|target| target != "/" && wanted(Path::new(target)));
    // Mounts over each other stand in the list as often as they are there.
    for target in targets.into_iter().rev() {
        rustix::mount::unmount(target.as_str(), UnmountFlags::DETACH)
            .map_err(std::io::Error::from)
            .with_context(|| format!("cannot unmount {target}"))?;
    }
    Ok(())
}

/// Where something is mounted, the first first; as the kernel writes paths (`\040` is a space).
///
/// # Errors
/// When the kernel does not tell.
pub fn points() -> Result<Vec<String>> {
    let table = fs::read_to_string("/proc/self/mountinfo").context("cannot read the list of mounts")?;
    Ok(table.lines().filter_map(|line| line.split(' ').nth(4).map(str::to_owned)).collect())
}

/// Everything that is mounted, in the form of `/etc/fstab`.
///
/// # Errors
/// When the kernel does not tell.
pub fn table() -> Result<String> {
    fs::read_to_string("/proc/self/mounts").context("cannot read the list of mounts")
}

/// Whether `target` is a mount point.
pub fn is_mounted(target: &Path) -> bool {
    let Ok(table) = fs::read_to_string("/proc/self/mountinfo") else { return false };
    let wanted = target.to_string_lossy();
    table.lines().any(|line| line.split(' ').nth(4) == Some(wanted.as_ref()))
}

/// A mount that ends with its scope.
#[derive(Debug)]
pub struct ScopedMount(PathBuf);

impl ScopedMount {
    /// # Errors
    /// As [`mount`].
    pub fn new(source: &str, target: &Path, kind: &str, flags: MountFlags, data: &str) -> Result<Self> {
        mount(source, target, kind, flags, data)?;
        Ok(Self(target.to_owned()))
    }

    /// Shows a folder in another place, without what is mounted below it.
    ///
    /// # Errors
    /// As [`mount`].
    pub fn bind(source: &Path, target: &Path) -> Result<Self> {
        bind_one(source, target)?;
        Ok(Self(target.to_owned()))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Unmounts and tells whether all data reached the device.
    ///
    /// # Errors
    /// When the file system cannot be unmounted.
    pub fn close(self) -> Result<()> {
        let target = self.0.clone();
        std::mem::forget(self);
        unmount(&target)
    }
}

impl Drop for ScopedMount {
    fn drop(&mut self) {
        // The success path uses `close`; here an error is already on its way.
        let _ = rustix::mount::unmount(&self.0, UnmountFlags::DETACH);
    }
}

/// Makes `new_root`, a mount point, the root directory of this process.
///
/// # Errors
/// When the kernel refuses.
pub fn switch_root(new_root: &Path) -> Result<()> {
    let switch = || -> std::io::Result<()> {
        rustix::process::chdir(new_root)?;
        rustix::mount::mount_move(".", "/")?;
        rustix::process::chroot(".")?;
        rustix::process::chdir("/")?;
        Ok(())
    };
    switch().with_context(|| format!("cannot switch to {}", new_root.display()))
}

/// Makes `new_root`, a mount point, the root of a mount namespace of its own. Nothing of the old one stays.
///
/// # Errors
/// When the kernel refuses.
pub fn pivot_root(new_root: &Path) -> Result<()> {
    let pivot = || -> std::io::Result<()> {
        rustix::process::chdir(new_root)?;
        // The old root lies over the new one for a moment: pivot_root(2), "pivot_root(".", ".")".
        rustix::process::pivot_root(".", ".")?;
        rustix::mount::unmount(".", UnmountFlags::DETACH)?;
        rustix::process::chdir("/")?;
        Ok(())
    };
    pivot().with_context(|| format!("cannot make {} the root", new_root.display()))?;
    change("/", MountPropagationFlags::SHARED | MountPropagationFlags::REC)
}

/// Keeps what is mounted below a path from now on out of other namespaces, and theirs out of this one.
///
/// # Errors
/// When the kernel refuses.
pub fn make_private(top: &Path) -> Result<()> {
    change(&top.to_string_lossy(), MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
}

fn change(top: &str, flags: MountPropagationFlags) -> Result<()> {
    rustix::mount::mount_change(top, flags)
        .map_err(std::io::Error::from)
        .with_context(|| format!("cannot change how mounts below {top} spread"))
}

/// Like [`bind`], without what is mounted below `source`.
///
/// # Errors
/// As [`mount`].
pub fn bind_one(source: &Path, target: &Path) -> Result<()> {
    create_mount_point(target)?;
    rustix::mount::mount_bind(source, target)
        .map_err(std::io::Error::from)
        .with_context(|| format!("cannot bind {} to {}", source.display(), target.display()))
}
