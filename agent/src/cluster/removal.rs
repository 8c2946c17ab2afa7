//! Ending a cluster on this host, step by step.

use std::fs;
use std::path::Path;
use std::time::Duration;

use edge_host::child::Child;
use edge_host::{mount, network};
use edge_model::{Context, Result};
use edge_planner::cluster::member::MemberState;
use edge_planner::cluster::removal::{Removal, steps};

use super::store;

/// Everything of a pod ends within its own time, and a second look takes what is left.
const STOP_DEADLINE: Duration = Duration::from_secs(300);
/// Of processes in the slice of pods.
const PODS: &str = "kubepods.slice";

/// Takes all steps. Whoever is cut takes them again.
///
/// # Errors
/// When one cannot be taken; those before it are done.
pub(super) fn run() -> Result<()> {
    for step in steps() {
        tracing::info!("cluster: removing: {step:?}");
        take(&step).with_context(|| format!("cannot remove the cluster: {step:?}"))?;
    }
    Ok(())
}

fn take(step: &Removal) -> Result<()> {
    match step {
        // An image without Kubernetes has no such unit, and nothing that it could have started.
        Removal::Stop(unit) if !is_known(unit)? => Ok(()),
        Removal::Stop(unit) => {
            // Containers outlive a restart of their runtime; here they must not.
            let _ = Child::new("systemctl").args(["kill", "--signal=KILL", unit]).outcome()?;
            Child::new("systemctl").args(["stop", unit]).deadline(STOP_DEADLINE).run().map(drop)
        }
        // Ending a slice that is not there is well.
        Removal::EndPods => {
            let _ = Child::new("systemctl").args(["kill", "--signal=KILL", PODS]).outcome()?;
            Child::new("systemctl").args(["stop", PODS]).deadline(STOP_DEADLINE).run().map(drop)
        }
        Removal::Unmount(path) => mount::unmount_below(Path::new(path)),
        Removal::UnmountInside(path) => mount::unmount_inside(Path::new(path)),
        Removal::RemoveNetworks { folder, prefix } => remove_networks(Path::new(folder), prefix),
        Removal::RemoveDevice(name) => network::remove_device(name),
        Removal::RemoveRules => network::remove_rules_of_pods(),
        Removal::Empty(path) => empty(Path::new(path)),
        Removal::RecordEnd => store::member().change(|member| {
            member.state = MemberState::Left;
            member.opened = None;
            Ok(())
        }),
    }
}

fn is_known(unit: &str) -> Result<bool> {
    let output = Child::new("systemctl").args(["show", "--property=LoadState", "--value", unit]).run()?;
    Ok(String::from_utf8_lossy(&output).trim() != "not-found")
}

/// A network lives as long as something holds it, and its end is what takes the host's side of its cable away.
fn remove_networks(folder: &Path, prefix: &str) -> Result<()> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    for entry in entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix)) {
        mount::unmount_below(&entry.path())?;
        let context = || format!("cannot remove {}", entry.path().display());
        fs::remove_file(entry.path()).with_context(context)?;
    }
    Ok(())
}

/// The folder itself may be a mount, and stays.
fn empty(folder: &Path) -> Result<()> {
    let context = || format!("cannot empty {}", folder.display());
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries.with_context(context)?,
    };
    for entry in entries {
        let path = entry.with_context(context)?.path();
        let metadata = fs::symlink_metadata(&path).with_context(context)?;
        let removed = if metadata.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(())
}
