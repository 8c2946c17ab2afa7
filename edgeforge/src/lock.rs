//! `forge.lock`: every input of a build by its digest, the builder's own tools among them, so that the same project
//! gives the same image anywhere.

use std::collections::BTreeMap;
use std::path::Path;

use edge_host::files;
use edge_model::ids::Digest;
use edge_model::{Context, Error, Result};
use serde::{Deserialize, Serialize};

use crate::apt::{Package, Pinned};

const FORMAT: u32 = 2;
const LIMIT: u64 = 16 << 20;

/// The document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Lock {
    pub(crate) format: u32,
    pub(crate) base: LockedBase,
    /// What a base of packages is made of; an image has none.
    pub(crate) system: Pinned,
    /// What is added to the base.
    pub(crate) packages: Pinned,
    /// Packages of the tools tree, which shapes the image's bytes too.
    pub(crate) tools: Pinned,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) kubernetes: Option<LockedComponent>,
    /// Commands that used the network: what they fetched is not pinned.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) commands_with_network: Vec<String>,
    /// What comes from the builder: its programs for hosts and its recipes; and the key that images are signed with.
    pub(crate) builder: BTreeMap<String, Digest>,
    /// The project's own files that shape the image.
    pub(crate) files: BTreeMap<String, Digest>,
    /// Those that are on the medium only.
    #[serde(default)]
    pub(crate) medium: BTreeMap<String, Digest>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct LockedBase {
    pub(crate) from: String,
    /// Of the image; a base of packages has none but theirs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) digest: Option<Digest>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct LockedComponent {
    pub(crate) name: String,
    pub(crate) version: String,
    /// File, address or reference.
    pub(crate) source: String,
    pub(crate) digest: Digest,
}

impl Lock {
    pub(crate) fn new(base: LockedBase, system: Pinned, packages: Pinned, tools: Pinned) -> Self {
        Self {
            format: FORMAT,
            base,
            system,
            packages,
            tools,
            kubernetes: None,
            commands_with_network: Vec::new(),
            builder: BTreeMap::new(),
            files: BTreeMap::new(),
            medium: BTreeMap::new(),
        }
    }

    /// The lock of a project, if it has one.
    ///
    /// # Errors
    /// [`edge_model::Class::InvalidInput`] when it cannot be read.
    pub(crate) fn load(path: &Path) -> Result<Option<Self>> {
        if !path.exists() {
            return Ok(None);
        }
        let context = || format!("{} cannot be used", path.display());
        Self::parse(&files::read(path, LIMIT)?).with_context(context).map(Some)
    }

    fn parse(bytes: &[u8]) -> Result<Self> {
        let help = "edgeforge update writes a new one";
        let lock: Self = serde_json::from_slice(bytes)
            .context("the lock cannot be read")
            .map_err(|error| error.help(help))?;
        if lock.format != FORMAT {
            return Err(Error::invalid(format!("it has format {}, not {FORMAT}", lock.format)).help(help));
        }
        let packages = lock.packages_of_the_image().chain(&lock.tools.packages);
        packages.map(Package::digest).try_for_each(|digest| digest.map(drop))?;
        Ok(lock)
    }

    /// # Errors
    /// When the project's folder cannot be written.
    pub(crate) fn store(&self, path: &Path) -> Result<()> {
        files::write_durably(path, &self.bytes()?, 0o644)
    }

    /// As they stand in the file.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub(crate) fn bytes(&self) -> Result<Vec<u8>> {
        let text = serde_json::to_string_pretty(self).context("cannot write the lock")?;
        Ok((text + "\n").into_bytes())
    }

    pub(crate) fn packages_of_the_image(&self) -> impl Iterator<Item = &Package> {
        self.system.packages.iter().chain(&self.packages.packages)
    }

    /// What is different in `new`, a line for each.
    pub(crate) fn drift(&self, new: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.base != new.base {
            lines.push(format!("base {} → {}", shown(&self.base), shown(&new.base)));
        }
        lines.extend(package_drift(self.packages_of_the_image(), new.packages_of_the_image()));
        let tools = package_drift(&self.tools.packages, &new.tools.packages);
        lines.extend(tools.into_iter().map(|line| format!("tools {line}")));
        if self.kubernetes != new.kubernetes {
            let shown = |one: &Option<LockedComponent>| {
                one.as_ref().map_or_else(
                    || "none".to_owned(),
                    |one| format!("{} {} {}", one.name, one.version, one.digest),
                )
            };
            lines.push(format!("kubernetes {} → {}", shown(&self.kubernetes), shown(&new.kubernetes)));
        }
        if self.commands_with_network != new.commands_with_network {
            lines.push("the commands that use the network".into());
        }
        lines.extend(digest_drift("builder", &self.builder, &new.builder));
        lines.extend(digest_drift("file", &self.files, &new.files));
        lines.extend(digest_drift("file", &self.medium, &new.medium));
        if lines.is_empty() && self != new {
            lines.push("the request of packages".into());
        }
        lines
    }
}

fn shown(base: &LockedBase) -> String {
    base.digest.map_or_else(|| base.from.clone(), |digest| format!("{} ({digest})", base.from))
}

fn digest_drift(kind: &str, old: &BTreeMap<String, Digest>, new: &BTreeMap<String, Digest>) -> Vec<String> {
    let what = |path: &String| match (old.get(path), new.get(path)) {
        (Some(before), Some(after)) if before == after => None,
        (Some(_), Some(_)) => Some("changed"),
        (Some(_), None) => Some("removed"),
        _ => Some("added"),
    };
    let paths = old.keys().chain(new.keys().filter(|path| !old.contains_key(*path)));
    paths.filter_map(|path| Some(format!("{kind} {path} {}", what(path)?))).collect()
}

fn package_drift<'a>(
    old: impl IntoIterator<Item = &'a Package>,
    new: impl IntoIterator<Item = &'a Package>,
) -> Vec<String> {
    let named = |one: &'a Package| ((one.name.clone(), one.architecture.clone()), one);
    let old: BTreeMap<_, _> = old.into_iter().map(named).collect();
    let new: BTreeMap<_, _> = new.into_iter().map(named).collect();
    let mut lines = Vec::new();
    for (key, before) in &old {
        match new.get(key) {
            None => lines.push(format!("- {} {}", key.0, before.version)),
            Some(after) if after.version != before.version => {
                lines.push(format!("~ {} {} → {}", key.0, before.version, after.version));
            }
            Some(after) if after.sha256 != before.sha256 => {
                lines.push(format!("~ {} {}: other bytes under the same version", key.0, before.version));
            }
            Some(_) => {}
        }
    }
    let added = new.iter().filter(|(key, _)| !old.contains_key(key));
    lines.extend(added.map(|(key, after)| format!("+ {} {}", key.0, after.version)));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn package(name: &str, version: &str) -> Package {
        serde_json::from_value(serde_json::json!({
            "name": name, "version": version, "architecture": "amd64", "archive": "main",
            "path": format!("pool/{name}.deb"), "size": 1, "sha256": "ab".repeat(32),
        }))
        .unwrap()
    }

    fn lock(packages: Vec<Package>) -> Lock {
        let base = LockedBase { from: "debian:trixie".into(), digest: None };
        let pinned = |packages| Pinned { request: Digest([0; 32]), packages };
        Lock::new(base, pinned(packages), pinned(Vec::new()), pinned(vec![package("mtools", "1")]))
    }

    #[test]
    fn drift_names_every_package_and_file() {
        let mut old = lock(vec![package("apt", "1"), package("curl", "1"), package("vim", "1")]);
        let mut new = lock(vec![package("apt", "1"), package("curl", "2")]);
        new.packages.packages.push(package("zstd", "1"));
        old.files.insert("overlay/files/a".into(), Digest([1; 32]));
        new.files.insert("overlay/files/a".into(), Digest([2; 32]));
        new.tools.packages = vec![package("mtools", "2")];
        new.builder.insert("recipes".into(), Digest([3; 32]));
        assert_eq!(
            old.drift(&new),
            [
                "~ curl 1 → 2",
                "- vim 1",
                "+ zstd 1",
                "tools ~ mtools 1 → 2",
                "builder recipes added",
                "file overlay/files/a changed"
            ]
        );
        assert!(old.drift(&old).is_empty());
    }

    #[test]
    fn a_lock_survives_writing_and_a_newer_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let lock = lock(vec![package("apt", "1")]);
        let path = folder.path().join("forge.lock");
        assert_eq!(Lock::load(&path).unwrap(), None);
        lock.store(&path).unwrap();
        assert_eq!(Lock::load(&path).unwrap(), Some(lock.clone()));
        let text = serde_json::to_string(&Lock { format: 9, ..lock }).unwrap();
        assert!(Lock::parse(text.as_bytes()).unwrap_err().to_string().contains("format 9"));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Lock::parse(&bytes).is_err());
        }
    }
}
