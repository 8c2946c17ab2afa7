//! A group for a host in every hierarchy of control groups that this machine has.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use edge_model::{Context, Error, Result};

const TOP: &str = "/sys/fs/cgroup";
/// Controllers of version 1 that a service manager and a runtime use. Not the freezer: runc stops a container for a moment
/// while its devices are set, and gives up on a busy machine, where version 1 takes longer than its thousand tries.
pub(super) const CONTROLLERS: [&str; 7] = ["cpu", "cpuacct", "cpuset", "memory", "devices", "blkio", "pids"];
/// Version 1: the service manager's own hierarchy, without a controller.
pub(super) const SYSTEMD: &str = "systemd";
/// Killed processes take their time to go.
const GONE_WITHIN: Duration = Duration::from_secs(60);

/// The unified hierarchy (version 2).
pub(super) fn is_unified() -> bool {
    Path::new(TOP).join("cgroup.controllers").exists()
}

fn groups(name: &str) -> Vec<PathBuf> {
    if is_unified() {
        return vec![Path::new(TOP).join(name)];
    }
    let hierarchies = CONTROLLERS.iter().chain([&SYSTEMD]);
    hierarchies.map(|hierarchy| Path::new(TOP).join(hierarchy).join(name)).collect()
}

/// Makes the group and moves this process there.
pub(super) fn join(name: &str) -> Result<()> {
    let context = || format!("cannot make the control group {name}");
    for group in groups(name) {
        fs::create_dir_all(&group).with_context(context)?;
        // A group without processors and memory takes nobody.
        for file in ["cpuset.cpus", "cpuset.mems"] {
            let above = group.parent().unwrap_or(&group).join(file);
            if let Ok(value) = fs::read(above)
                && !is_unified()
            {
                fs::write(group.join(file), value).with_context(context)?;
            }
        }
        let inherit = group.join("cgroup.clone_children");
        if inherit.exists() && group.join("cpuset.cpus").exists() {
            fs::write(inherit, "1").with_context(context)?;
        }
        fs::write(group.join("cgroup.procs"), std::process::id().to_string()).with_context(context)?;
    }
    Ok(())
}

/// Processor time that the group has used.
pub(super) fn processor_time(name: &str) -> Result<Duration> {
    let text =
        |path: PathBuf| fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()));
    let number = |text: &str| text.trim().parse::<u64>().unwrap_or(0);
    if is_unified() {
        let statistics = text(Path::new(TOP).join(name).join("cpu.stat"))?;
        let usage = statistics.lines().find_map(|line| line.strip_prefix("usage_usec "));
        return Ok(Duration::from_micros(usage.map_or(0, number)));
    }
    Ok(Duration::from_nanos(number(&text(Path::new(TOP).join("cpuacct").join(name).join("cpuacct.usage"))?)))
}

/// Bytes of memory that the group's processes have for themselves alone, without the page cache.
pub(super) fn memory(name: &str) -> Result<u64> {
    let folder =
        if is_unified() { Path::new(TOP).join(name) } else { Path::new(TOP).join("memory").join(name) };
    let path = folder.join("memory.stat");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let wanted = if is_unified() { "anon " } else { "total_rss " };
    let found = text.lines().find_map(|line| line.strip_prefix(wanted)?.trim().parse().ok());
    found.ok_or_else(|| Error::environment(format!("{} has no {wanted}", path.display())))
}

/// Takes the group away when its last process is gone: the next host must not find what the killed one has left.
pub(super) fn remove(name: &str) -> Result<()> {
    let started = Instant::now();
    for group in groups(name) {
        while let Err(error) = remove_tree(&group) {
            thaw_what_is_left(&group);
            if started.elapsed() > GONE_WITHIN {
                return Err(error).with_context(|| format!("cannot remove {}", group.display()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    Ok(())
}

/// Version 1: a runtime stops a container for a moment, and where the power goes in that moment nobody lets it go on. What
/// is stopped does not even end when it is killed.
fn thaw_what_is_left(group: &Path) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            thaw_what_is_left(&entry.path());
        }
    }
    let processes = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    for process in processes.lines() {
        let groups = fs::read_to_string(format!("/proc/{process}/cgroup")).unwrap_or_default();
        let frozen = groups.lines().find_map(|line| line.split_once(":freezer:/"));
        if let Some((_, path)) = frozen {
            // It may have ended meanwhile.
            let _ = fs::write(Path::new(TOP).join("freezer").join(path).join("freezer.state"), "THAWED");
        }
    }
}

fn remove_tree(group: &Path) -> std::io::Result<()> {
    let entries = match fs::read_dir(group) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    fs::remove_dir(group)
}
