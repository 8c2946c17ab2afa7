//! The configuration with which this host was last healthy: kept beside the present one, and put in its place when somebody asks.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use edge_host::files;
use edge_host::machine::Machine;
use edge_model::{Context, Error, Result, paths};
use serde::{Deserialize, Serialize};

use super::{documents, site};
use crate::state_file::{Copies, Kept, StateFile};

/// Documents by their paths below `/oem`.
type Documents = BTreeMap<String, String>;

/// What the last healthy boot was configured with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct GoodConfiguration {
    documents: Documents,
}

impl Kept for GoodConfiguration {
    const NAME: &'static str = "good-configuration";
    const COPIES: Copies = Copies::One;
}

/// What the last restoration has taken away.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct ReplacedConfiguration {
    documents: Documents,
}

impl Kept for ReplacedConfiguration {
    const NAME: &'static str = "replaced-configuration";
    const COPIES: Copies = Copies::One;
}

fn folder(machine: &Machine) -> PathBuf {
    machine.path(paths::OEM_EDGE)
}

/// Remembers the present configuration as one that works. Does nothing where that is known.
///
/// # Errors
/// When `/oem` cannot be read or written.
pub(crate) fn keep(machine: &Machine) -> Result<()> {
    let now = present(machine)?;
    StateFile::<GoodConfiguration>::new(&folder(machine)).change_or_begin(|good| {
        good.documents = now;
        Ok(())
    })
}

/// Puts the configuration of the last healthy boot in the place of the present one.
///
/// # Errors
/// [`edge_model::Class::Rejected`] when none is known; when `/oem` cannot be written: doing it again goes on.
pub(crate) fn restore(machine: &Machine) -> Result<()> {
    let good = StateFile::<GoodConfiguration>::new(&folder(machine)).read()?.documents;
    if good.is_empty() {
        return Err(Error::rejected("no boot of this host was healthy with a configuration that is known")
            .help("what the site has brought can be forgotten: edge-agent config restore --without-site"));
    }
    set_aside(machine)?;
    let oem = machine.path(paths::OEM);
    for (name, text) in &good {
        let path = oem.join(name);
        if files::read_text_if_there(&path)?.as_deref() == Some(text) {
            continue;
        }
        let folder = path.parent().unwrap_or(&oem);
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        files::write_durably(&path, text.as_bytes(), 0o600)?;
    }
    // What came since then goes last: until here it says more than nothing.
    let mut newer = present(machine)?.into_keys().filter(|name| !good.contains_key(name));
    newer.try_for_each(|name| remove(&oem.join(name)))
}

/// Forgets what volumes and operators have brought; what the medium has installed stays. The next boot looks outside again.
///
/// # Errors
/// When `/oem` cannot be written: doing it again goes on.
pub(crate) fn forget_site(machine: &Machine) -> Result<()> {
    set_aside(machine)?;
    let site = machine.path(paths::OEM_SITE);
    match fs::remove_dir_all(&site) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot remove {}", site.display()));
        }
        _ => {}
    }
    for document in [paths::OEM_LOCAL, paths::OEM_LOCAL_BEFORE] {
        remove(&machine.path(document))?;
    }
    site::unclaim(machine)?;
    files::sync_folder(&folder(machine))
}

/// What is replaced can still be read: a cut in the middle of a restoration must not overwrite it with a mixture.
fn set_aside(machine: &Machine) -> Result<()> {
    let now = present(machine)?;
    StateFile::<ReplacedConfiguration>::new(&folder(machine)).change_or_begin(|replaced| {
        replaced.documents = now;
        Ok(())
    })
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// The documents of `/oem` that make this host what it is.
fn present(machine: &Machine) -> Result<Documents> {
    let oem = machine.path(paths::OEM);
    let mut found = documents(&oem);
    found.extend([paths::OEM_UNATTENDED, paths::OEM_LOCAL].map(|path| machine.path(path)));
    found.extend(site::documents_in(&machine.path(paths::OEM_SITE)).into_iter().map(|(_, path)| path));
    let mut documents = Documents::new();
    for path in found {
        if let (Some(text), Ok(name)) = (files::read_text_if_there(&path)?, path.strip_prefix(&oem)) {
            documents.insert(name.to_string_lossy().into_owned(), text);
        }
    }
    Ok(documents)
}

#[cfg(test)]
mod tests {
    use edge_testkit::every_fault::with_every_fault;

    use super::*;

    struct Host {
        _folder: tempfile::TempDir,
        machine: Machine,
    }

    impl Host {
        fn write(&self, name: &str, text: &str) {
            let path = self.machine.path(paths::OEM).join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    const SITE: &str = "edge/site/site/cidata/user-data";

    /// It was healthy, and then somebody changed all of it.
    fn changed() -> Host {
        let folder = tempfile::tempdir().unwrap();
        let host = Host { machine: Machine::in_folder(folder.path()), _folder: folder };
        host.write("90_custom.yaml", "good");
        host.write("edge/local.yaml", "good");
        host.write(SITE, "good");
        keep(&host.machine).unwrap();
        host.write("90_custom.yaml", "bad");
        host.write("99_new.yaml", "bad");
        host.write("edge/local.yaml", "bad");
        host.write("edge/claimed", "");
        fs::remove_file(host.machine.path(paths::OEM).join(SITE)).unwrap();
        host
    }

    fn texts(host: &Host) -> Vec<(String, String)> {
        present(&host.machine).unwrap().into_iter().collect()
    }

    #[test]
    fn the_last_good_configuration_comes_back_whatever_fails_on_the_way() {
        with_every_fault(
            changed,
            |host| restore(&host.machine),
            |host, what| {
                // The good one is never lost.
                let good = StateFile::<GoodConfiguration>::new(&folder(&host.machine)).read().unwrap();
                assert_eq!(good.documents.len(), 3, "{what}");
            },
            |host| {
                let good = ["90_custom.yaml", "edge/local.yaml", SITE];
                let wanted = good.map(|name| (name.to_owned(), "good".to_owned()));
                assert_eq!(texts(host), wanted);
            },
        );
    }

    #[test]
    fn what_a_site_brought_is_forgotten_and_the_host_is_open_again() {
        let host = changed();
        host.write(SITE, "bad");
        with_every_fault(
            || {
                let host = changed();
                host.write(SITE, "bad");
                host
            },
            |host| forget_site(&host.machine),
            |_, _| {},
            |host| {
                let left: Vec<String> = texts(host).into_iter().map(|(name, _)| name).collect();
                assert_eq!(left, ["90_custom.yaml", "99_new.yaml"], "what is no site's stays");
                assert!(!site::is_claimed(&host.machine));
            },
        );
    }

    #[test]
    fn a_host_that_was_never_healthy_says_what_can_be_done() {
        let folder = tempfile::tempdir().unwrap();
        let error = restore(&Machine::in_folder(folder.path())).unwrap_err();
        assert!(error.help.unwrap().contains("--without-site"));
    }
}
