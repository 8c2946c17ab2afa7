//! What early boot has mounted stays until the last step of a shutdown.
//!
//! The service manager takes every mount for one of its own and unmounts it when the host stops: a program for each of some
//! thirty, and `/var` and `/var/log`, which the journal still uses, fail. systemd-shutdown(8) unmounts all of them by itself when
//! nothing runs any more.

use std::fs;
use std::path::Path;

use edge_host::mount;
use edge_model::{Context, Result, paths};

/// Takes away the conflict with `umount.target`. Nobody waits for these mounts: they are there.
const STAYS: &str = "[Unit]\nDefaultDependencies=no\n";
/// The service manager leaves these alone.
const ITS_OWN: [&str; 4] = ["/dev", "/proc", "/run", "/sys"];

/// Tells the service manager, before it starts, to leave what is mounted now.
///
/// # Errors
/// When the settings cannot be written.
pub(super) fn stay_until_the_end() -> Result<()> {
    for point in mount::points()?.iter().filter(|point| is_ours(point)) {
        let folder = Path::new(paths::RUN_UNITS).join(format!("{}.mount.d", unit_of(point)));
        fs::create_dir_all(&folder)
            .and_then(|()| fs::write(folder.join("50-edge.conf"), STAYS))
            .with_context(|| format!("cannot write settings below {}", paths::RUN_UNITS))?;
    }
    Ok(())
}

fn is_ours(point: &str) -> bool {
    let below = |top: &&str| *top != "/run" && Path::new(point).starts_with(top);
    point != "/" && !ITS_OWN.contains(&point) && !ITS_OWN.iter().any(below)
}

/// The name of a unit from a path, as systemd-escape(1) makes it.
fn unit_of(path: &str) -> String {
    let mut name = String::new();
    for (at, byte) in path.trim_matches('/').bytes().enumerate() {
        match byte {
            b'/' => name.push('-'),
            b'.' if at == 0 => name.push_str("\\x2e"),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b':' | b'_' | b'.' => name.push(char::from(byte)),
            other => name.push_str(&format!("\\x{other:02x}")),
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_named_as_systemd_names_them() {
        for (path, unit) in [
            ("/oem", "oem"),
            ("/var/lib/kubelet", "var-lib-kubelet"),
            ("/etc/modprobe.d", "etc-modprobe.d"),
            ("/usr/libexec/kubernetes-x", "usr-libexec-kubernetes\\x2dx"),
            ("/.hidden", "\\x2ehidden"),
        ] {
            assert_eq!(unit_of(path), unit);
        }
    }

    #[test]
    fn what_the_service_manager_mounts_is_its_own() {
        let ours = ["/oem", "/var/log", "/run/edge/image", "/tmp"];
        let others = ["/", "/run", "/proc", "/proc/sys/fs/binfmt_misc", "/dev/shm", "/sys/fs/cgroup"];
        assert!(ours.iter().all(|point| is_ours(point)));
        assert!(!others.iter().any(|point| is_ours(point)));
    }
}
