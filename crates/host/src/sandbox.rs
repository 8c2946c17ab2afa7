//! Another root directory for a child process, without privileges: a user and mount namespace in which
//! folders of the machine are bound into the tree. Nothing is mounted on the machine itself.

use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use edge_model::{Context, Error, Result};
use rustix::mount::{MountPropagationFlags, mount_bind_recursive, mount_change};
use rustix::thread::{UnshareFlags, unshare_unsafe};

/// A directory tree in which tools run as (apparent) root.
#[derive(Debug, Clone)]
pub struct Sandbox {
    root: PathBuf,
    shared: Vec<PathBuf>,
}

impl Sandbox {
    /// `root` must belong to the calling user. `/dev`, `/proc` and `/tmp` are shared with it.
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), shared: ["/dev", "/proc", "/tmp"].map(PathBuf::from).to_vec() }
    }

    /// Shares one more folder, under the same path inside.
    #[must_use]
    pub fn share(mut self, folder: &Path) -> Self {
        self.shared.push(folder.to_owned());
        self
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Makes `command` run inside.
    pub(crate) fn attach(&self, command: &mut Command) -> Result<()> {
        let plan = Plan::new(self)?;
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", "/root");
        enter_before_exec(command, plan);
        Ok(())
    }
}

/// Everything that the child needs, prepared before the fork.
struct Plan {
    root: CString,
    binds: Vec<(CString, CString)>,
    user_map: String,
    group_map: String,
    directory: CString,
}

impl Plan {
    fn new(sandbox: &Sandbox) -> Result<Self> {
        let c_path = |path: &Path| {
            CString::new(path.as_os_str().as_bytes())
                .map_err(|_| Error::invalid(format!("{} cannot be a path", path.display())))
        };
        // A tree that is gone is not begun again as an empty one, which would then be taken for a result.
        if !sandbox.root.is_dir() {
            let message = format!("{} is gone", sandbox.root.display());
            return Err(Error::environment(message).help("run the command again: it is made anew"));
        }
        let mut binds = Vec::new();
        for folder in &sandbox.shared {
            let inside = sandbox.root.join(folder.strip_prefix("/").unwrap_or(folder));
            fs::create_dir_all(&inside).with_context(|| format!("cannot create {}", inside.display()))?;
            binds.push((c_path(folder)?, c_path(&inside)?));
        }
        let shared_directory = std::env::current_dir()
            .ok()
            .filter(|current| sandbox.shared.iter().any(|folder| current.starts_with(folder)));
        Ok(Self {
            root: c_path(&sandbox.root)?,
            binds,
            user_map: format!("0 {} 1", rustix::process::geteuid().as_raw()),
            group_map: format!("0 {} 1", rustix::process::getegid().as_raw()),
            directory: c_path(&shared_directory.unwrap_or_else(|| "/".into()))?,
        })
    }

    fn enter(&self) -> std::io::Result<()> {
        // SAFETY: called between fork and exec, where this process has a single thread.
        #[allow(unsafe_code)]
        unsafe {
            unshare_unsafe(UnshareFlags::NEWUSER | UnshareFlags::NEWNS)?;
        }
        fs::write("/proc/self/setgroups", "deny")?;
        fs::write("/proc/self/uid_map", &self.user_map)?;
        fs::write("/proc/self/gid_map", &self.group_map)?;
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
        for (outside, inside) in &self.binds {
            mount_bind_recursive(outside.as_c_str(), inside.as_c_str())?;
        }
        rustix::process::chroot(self.root.as_c_str())?;
        rustix::process::chdir(self.directory.as_c_str())?;
        Ok(())
    }
}

#[allow(unsafe_code)]
fn enter_before_exec(command: &mut Command, plan: Plan) {
    // SAFETY: the child has one thread; everything that `enter` needs was allocated before the fork, and the
    // short writes to /proc use the allocator only through glibc, which is usable in the child of a fork.
    unsafe {
        command.pre_exec(move || plan.enter());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_that_is_gone_is_not_begun_again() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("lab-1");
        let sandbox = Sandbox { root: root.clone(), shared: vec!["/tmp".into()] };
        let error = Plan::new(&sandbox).map(drop).unwrap_err();
        assert!(error.to_string().contains("is gone"), "{error}");
        assert!(!root.exists());
    }
}
