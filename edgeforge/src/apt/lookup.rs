//! The packages of a request: what is locked, or what apt answers. An answer is kept with the state of the archives that
//! it was given for; without a network the last one counts.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use edge_model::ids::{Digest, to_hex};
use edge_model::{Context, Error, Result};
use serde::{Deserialize, Serialize};

use super::resolve::{Package, Request, resolve};
use super::{Archives, Distribution, Pool};
use crate::cache::{Cache, Key};
use crate::progress::Progress;

/// Packages by their digests, and what they are the answer to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pinned {
    /// While it is the same, the packages are.
    pub(crate) request: Digest,
    pub(crate) packages: Vec<Package>,
}

impl Pinned {
    /// The answer when nothing is asked for.
    pub(crate) fn nothing() -> Self {
        Self { request: edge_slot_image::sha256(b""), packages: Vec::new() }
    }

    /// What names a tree that is made of these packages.
    pub(crate) fn key(&self, key: Key) -> Key {
        self.packages.iter().fold(key, |key, package| key.with(package.sha256.as_bytes()))
    }
}

/// Looks packages up, and fetches them.
pub(crate) struct Lookup<'a> {
    pub(crate) cache: &'a Cache,
    pub(crate) progress: &'a Progress,
    pub(crate) offline: bool,
    /// Whoever has a lock wants nothing else.
    pub(crate) strict: bool,
    /// By the archives' lines: each is asked once.
    states: RefCell<BTreeMap<String, Option<String>>>,
}

impl<'a> Lookup<'a> {
    pub(crate) fn new(cache: &'a Cache, progress: &'a Progress, offline: bool) -> Self {
        Self { cache, progress, offline, strict: false, states: RefCell::default() }
    }

    /// Which packages of a suite a request means. They need not be on this machine, and the archives are looked for only
    /// when the answer is not locked.
    ///
    /// # Errors
    /// Those of apt; [`edge_model::Class::Rejected`] when the answer must be locked and is not;
    /// [`edge_model::Class::Environment`] when the network may not be used and the request was never looked up here.
    pub(crate) fn pin(
        &self,
        of: (Distribution, &str),
        request: &Request<'_>,
        locked: Option<&Pinned>,
        archives: impl FnOnce() -> Result<Archives>,
    ) -> Result<Pinned> {
        let name = request.identity(of);
        if let Some(locked) = locked.filter(|locked| locked.request == name) {
            return Ok(locked.clone());
        }
        if self.strict && locked.is_some() {
            return Err(Error::rejected("the project asks for other packages than those of forge.lock")
                .help("look at the changes, and take them with `edgeforge update`"));
        }
        let archives = &archives()?;
        let _lock = self.cache.lock("resolution")?;
        let kept = self.place(archives, name);
        let state = self.state(archives);
        let packages = match (Answer::load(&kept)?, state) {
            (Some(answer), state) if state.as_ref().is_none_or(|state| *state == answer.state) => {
                answer.packages
            }
            (None, None) if self.offline => {
                return Err(Error::environment("the packages were never looked up here").help(
                    "run `edgeforge fetch` where there is a network, or bring forge.lock and the cache along",
                ));
            }
            (_, state) => {
                let scratch = self.scratch()?;
                let pool = Pool::open(self.cache.root())?;
                let packages = resolve(archives, request, &pool, scratch.path())?;
                if let Some(state) = state {
                    Answer { state, packages: packages.clone() }.store(&kept)?;
                }
                packages
            }
        };
        Ok(Pinned { request: name, packages })
    }

    /// Fetches what is missing. The archives are looked for only when something is.
    ///
    /// # Errors
    /// Those of [`Pool::fill`]; [`edge_model::Class::Environment`] when something is missing and the network may not be
    /// used.
    pub(crate) fn fetch(&self, pinned: &Pinned, archives: impl FnOnce() -> Result<Archives>) -> Result<()> {
        let _lock = self.cache.lock("packages")?;
        let pool = Pool::open(self.cache.root())?;
        let missing = pool.missing(&pinned.packages);
        match missing.first() {
            None => Ok(()),
            Some(first) if self.offline => Err(Error::environment(format!(
                "{} packages are not on this machine, {} among them",
                missing.len(),
                first.name
            ))
            .help("run `edgeforge fetch` where there is a network, or build without --offline")),
            Some(_) => pool.fill(&missing, &archives()?, self.progress),
        }
    }

    fn scratch(&self) -> Result<tempfile::TempDir> {
        tempfile::tempdir_in(self.cache.root()).context("cannot create a temporary folder")
    }

    fn place(&self, archives: &Archives, request: Digest) -> PathBuf {
        let lines = archives.source_lines().join("\n");
        let name = Key::of("resolution-1").with(&request.0).with(lines.as_bytes()).digest();
        self.cache.root().join(format!("resolution-{}", &to_hex(&name.0)[..24]))
    }

    /// `None` when the archives cannot be asked.
    fn state(&self, archives: &Archives) -> Option<String> {
        if self.offline {
            return None;
        }
        let lines = archives.source_lines().join("\n");
        if let Some(state) = self.states.borrow().get(&lines) {
            return state.clone();
        }
        let asked = self.scratch().and_then(|scratch| archives.state(scratch.path()));
        let state = match asked {
            Ok(state) => Some(state.to_string()),
            Err(error) => {
                self.progress.say(&format!("the last known state of the package archive is used: {error}"));
                None
            }
        };
        self.states.borrow_mut().insert(lines, state.clone());
        state
    }
}

/// What apt said, and when.
#[derive(Debug, Serialize, Deserialize)]
struct Answer {
    /// Of the archives.
    state: String,
    packages: Vec<Package>,
}

impl Answer {
    fn load(path: &Path) -> Result<Option<Self>> {
        let text = edge_host::files::read_text_if_there(path)?;
        // What is used is not old, and is not the first to go when the cache is full.
        crate::cache::touch(path);
        text.map(|text| serde_json::from_str(&text).context("a file of the cache is damaged")).transpose()
    }

    fn store(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string(self).context("cannot keep apt's answer")?;
        edge_host::files::write_durably(path, text.as_bytes(), 0o644)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, SystemTime};

    #[test]
    fn an_answer_that_is_used_is_not_old() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("resolution-1");
        Answer { state: "s".into(), packages: Vec::new() }.store(&path).unwrap();
        let long_ago = SystemTime::now() - Duration::from_secs(3600);
        std::fs::File::open(&path).unwrap().set_modified(long_ago).unwrap();
        assert!(Answer::load(&path).unwrap().is_some());
        let modified = std::fs::metadata(&path).unwrap().modified().unwrap();
        assert!(modified > long_ago + Duration::from_secs(1800));
    }
}
