//! Which paths of the read-only root become writable, and what of them survives a restart.
//!
//! The image is always the lower layer and only local changes are stored, so files of old images never linger.
//! Names follow Kairos' `cos-layout.env`.

use crate::host_kind::HostKind;
use edge_model::paths;
use edge_model::{Error, Result};

/// What `cos-layout.env` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateLayout {
    /// Size of the memory for ephemeral changes, as tmpfs takes it.
    pub overlay_size: String,
    pub rw_paths: Vec<String>,
    pub persistent_paths: Vec<String>,
}

/// How one path becomes writable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StateMount {
    /// Changes are kept in memory.
    Ephemeral(String),
    /// Changes are kept on the persistent partition, above the image.
    PersistentOverlay(String),
    /// The image has nothing there: the folder is on the persistent partition, so that container runtimes
    /// can put their own overlays on it.
    PersistentBind(String),
}

impl StateMount {
    pub fn path(&self) -> &str {
        match self {
            StateMount::Ephemeral(path)
            | StateMount::PersistentOverlay(path)
            | StateMount::PersistentBind(path) => path,
        }
    }

    /// Folder name below the state directory: `/var/lib/x` is `var-lib-x`.
    pub fn store_name(&self) -> String {
        let name = self.path().trim_start_matches('/').replace('/', "-");
        match self {
            StateMount::Ephemeral(_) | StateMount::PersistentOverlay(_) => format!("{name}.overlay"),
            StateMount::PersistentBind(_) => format!("{name}.bind"),
        }
    }
}

impl StateLayout {
    /// Reads the file: `KEY="value value"`, `#` for comments.
    ///
    /// # Errors
    /// [`edge_model::Class::InvalidInput`] for a line that is neither, or a path that leaves the root.
    pub fn parse(text: &str) -> Result<Self> {
        let mut layout =
            Self { overlay_size: "25%".into(), rw_paths: Vec::new(), persistent_paths: Vec::new() };
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (key, value) = line
                .split_once('=')
                .ok_or_else(|| Error::invalid(format!("cos-layout.env: {line:?} has no =")))?;
            let value = value.trim().trim_matches('"');
            match key.trim() {
                "OVERLAY" => layout.overlay_size = overlay_size(value)?,
                "RW_PATHS" => layout.rw_paths = paths(value)?,
                "PERSISTENT_STATE_PATHS" => layout.persistent_paths = paths(value)?,
                // Fixed in this system: /usr/local and /usr/local/.state.
                "VOLUMES" | "PERSISTENT_STATE_TARGET" => {}
                "CUSTOM_BIND_MOUNTS" => layout.persistent_paths.extend(paths(value)?),
                "CUSTOM_EPHEMERAL_MOUNTS" => layout.rw_paths.extend(paths(value)?),
                // Of Kairos' own boot; this system finds its disk by other means.
                "OEM_LABEL" | "PERSISTENT_STATE_BIND" | "PERSISTENT_STATE_SQUASH" | "DEBUG_RW" => {}
                other => return Err(Error::invalid(format!("cos-layout.env: {other} is not a known key"))),
            }
        }
        Ok(layout)
    }

    /// Adds what stages wrote to `extra-layout.env`, and gives the keys that nothing acts on.
    ///
    /// # Errors
    /// [`edge_model::Class::InvalidInput`] for a path that leaves the root.
    pub fn extend(&mut self, text: &str) -> Result<Vec<String>> {
        let mut unused = Vec::new();
        for (key, value) in text.lines().filter_map(|line| line.trim().split_once('=')) {
            let value = value.trim().trim_matches(['"', '\'']);
            match key.trim() {
                // immucore reads its own keys from here, too: Kairos' steps for a family of systems write them so.
                "CUSTOM_BIND_MOUNTS" | "PERSISTENT_STATE_PATHS" => {
                    self.persistent_paths.extend(paths(value)?);
                }
                "CUSTOM_EPHEMERAL_MOUNTS" | "RW_PATHS" => self.rw_paths.extend(paths(value)?),
                other if other.starts_with('#') => {}
                other => unused.push(other.to_owned()),
            }
        }
        Ok(unused)
    }

    /// Adds paths of the configuration, which has been checked.
    pub fn add_paths(&mut self, persistent: &[String], ephemeral: &[String]) {
        let usable = |path: &&String| paths(path).is_ok();
        self.persistent_paths.extend(persistent.iter().filter(usable).cloned());
        self.rw_paths.extend(ephemeral.iter().filter(usable).cloned());
    }

    /// The mounts of a boot, outer paths before inner ones. `image_is_empty` tells whether the image has
    /// nothing (or no folder) at a path.
    pub fn mounts(&self, kind: HostKind, image_is_empty: impl Fn(&str) -> bool) -> Vec<StateMount> {
        let ephemeral = |path: &String| StateMount::Ephemeral(path.clone());
        let mut mounts: Vec<StateMount> = match kind {
            HostKind::Appliance => self.rw_paths.iter().map(ephemeral).collect(),
            HostKind::Recovery | HostKind::Installer => {
                WITHOUT_PERSISTENT.map(|path| StateMount::Ephemeral(path.into())).into()
            }
        };
        if kind == HostKind::Appliance {
            mounts.extend(self.persistent_paths.iter().map(|path| {
                if image_is_empty(path) {
                    StateMount::PersistentBind(path.clone())
                } else {
                    StateMount::PersistentOverlay(path.clone())
                }
            }));
        }
        mounts.sort_by_key(|mount| (mount.path().matches('/').count(), mount.path().to_owned()));
        mounts.dedup_by(|later, earlier| later.path() == earlier.path());
        mounts
    }
}

/// Writable, in memory, where there is no persistent partition.
const WITHOUT_PERSISTENT: [&str; 7] = ["/etc", "/home", "/opt", "/root", "/srv", paths::PERSISTENT, "/var"];

fn overlay_size(value: &str) -> Result<String> {
    let size = value.strip_prefix("tmpfs:").unwrap_or_default();
    let digits = size.trim_end_matches(['%', 'k', 'm', 'g']);
    if digits.is_empty()
        || !digits.chars().all(|digit| digit.is_ascii_digit())
        || size.len() - digits.len() > 1
    {
        return Err(Error::invalid(format!("cos-layout.env: OVERLAY={value:?} is not like tmpfs:25%")));
    }
    Ok(size.to_owned())
}

fn paths(value: &str) -> Result<Vec<String>> {
    let check = |path: &str| {
        let inner = path.strip_prefix('/').unwrap_or_default();
        if inner.is_empty() || inner.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(Error::invalid(format!("cos-layout.env: {path:?} is not a path below /")));
        }
        Ok(path.to_owned())
    };
    value.split_whitespace().map(check).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn inner_paths_come_after_outer_ones() {
        let text = "# comment\nOVERLAY=tmpfs:20%\nRW_PATHS=\"/var /etc\"\nPERSISTENT_STATE_PATHS=\"/etc/ssh /var/lib/kubelet\"\n";
        let layout = StateLayout::parse(text).unwrap();
        let mounts = layout.mounts(HostKind::Appliance, |path| path == "/var/lib/kubelet");
        assert_eq!(
            mounts,
            [
                StateMount::Ephemeral("/etc".into()),
                StateMount::Ephemeral("/var".into()),
                StateMount::PersistentOverlay("/etc/ssh".into()),
                StateMount::PersistentBind("/var/lib/kubelet".into()),
            ]
        );
        assert_eq!(mounts[3].store_name(), "var-lib-kubelet.bind");
        let live = layout.mounts(HostKind::Installer, |_| true);
        assert!(live.iter().all(|mount| matches!(mount, StateMount::Ephemeral(_))));
    }

    #[test]
    fn what_stages_add_is_kept_as_the_rest() {
        let mut layout = StateLayout::parse("RW_PATHS=\"/etc\"\n").unwrap();
        let text = "# more\nPERSISTENT_STATE_PATHS=\"/var/lib/tailscale /etc/zfs\"\nRW_PATHS='/srv'\n\
                    CUSTOM_BIND_MOUNTS=/opt/x\nCUSTOM_EPHEMERAL_MOUNTS=/mnt/y\nSPELT_WRONG=/a\n";
        assert_eq!(layout.extend(text).unwrap(), ["SPELT_WRONG"]);
        assert_eq!(layout.persistent_paths, ["/var/lib/tailscale", "/etc/zfs", "/opt/x"]);
        assert_eq!(layout.rw_paths, ["/etc", "/srv", "/mnt/y"]);
        assert!(layout.extend("PERSISTENT_STATE_PATHS=/../x").is_err());
    }

    #[test]
    fn paths_that_leave_the_root_are_refused() {
        for wrong in ["RW_PATHS=\"/etc/../x\"", "RW_PATHS=\"etc\"", "OVERLAY=disk:1", "WHAT=1", "nonsense"] {
            assert!(StateLayout::parse(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[ -~\n]{0,200}") {
            let _ = StateLayout::parse(&text);
        }
    }
}
