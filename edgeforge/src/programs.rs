//! The programs that go into every image: in `host/` beside this one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use edge_model::ids::Digest;
use edge_model::{Context, Error, Result};

/// Programs of the root, and where they are in it.
pub(crate) const IN_THE_ROOT: [(&str, &str); 3] = [
    ("edge-agent", "usr/bin/edge-agent"),
    ("edge-local-ui", "usr/bin/edge-local-ui"),
    ("edge-tui", "usr/bin/edge-tui"),
];
/// The first program of the initrd.
pub(crate) const INIT: &str = "edge-init";

/// The folder that has them all.
#[derive(Debug, Clone)]
pub(crate) struct Programs(PathBuf);

impl Programs {
    /// # Errors
    /// [`edge_model::Class::Environment`] naming the program that is missing.
    pub(crate) fn find() -> Result<Self> {
        let own = std::env::current_exe().context("cannot find the path of this program")?;
        let folder = own.parent().unwrap_or(Path::new("/")).join("host");
        match names().find(|name| !folder.join(name).exists()) {
            None => Ok(Self(folder)),
            Some(name) => Err(Error::environment(format!("{} has no {name}", folder.display()))
                .help("run `make build`, and keep edgeforge together with its folder host/")),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// # Errors
    /// When one cannot be read.
    pub(crate) fn digests(&self) -> Result<BTreeMap<String, Digest>> {
        names().map(|name| Ok((name.to_owned(), edge_host::files::digest(&self.path(name))?.0))).collect()
    }
}

fn names() -> impl Iterator<Item = &'static str> {
    IN_THE_ROOT.iter().map(|(name, _)| *name).chain([INIT])
}
