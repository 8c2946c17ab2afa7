//! The way into namespaces: a control group first, because its namespace begins where its first process is.

use std::convert::Infallible;
use std::path::Path;

use edge_host::child::{self, Child};
use edge_model::{Context, Result};

use super::control_groups;

/// Argument of the program that goes on inside.
const INSIDE: &str = "--inside";
pub(super) const NAMESPACES: [&str; 6] = ["--mount", "--net", "--pid", "--uts", "--ipc", "--cgroup"];

/// Why there can be no hosts in namespaces here, if there cannot.
pub fn missing() -> Option<String> {
    let tried = Child::new("unshare").args(NAMESPACES).args(["--fork", "true"]).run();
    if let Err(error) = tried {
        return Some(format!("this user cannot make namespaces: {error}"));
    }
    let known = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    let missing = ["erofs", "overlay"].into_iter().find(|kind| !known.contains(kind));
    missing.map(|kind| format!("this machine's kernel does not know {kind}"))
}

/// Joins the control group of a host, and becomes the program that makes its namespaces.
///
/// # Errors
/// When the group cannot be made.
pub fn enter(group: &str, folder: &Path) -> Result<Infallible> {
    control_groups::join(group)?;
    let program = std::env::current_exe().context("this program has no path")?;
    let (program, folder) = (program.to_string_lossy(), folder.to_string_lossy());
    let mut words = NAMESPACES.to_vec();
    words.extend(["--fork", "--kill-child", &program, INSIDE, &folder]);
    Err(child::become_program("unshare", &words))
}
