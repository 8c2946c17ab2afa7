//! The configuration with which this host was last healthy: kept beside the present one, and put in its place when somebody asks.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use edge_host::files;
use edge_host::machine::Machine;
use edge_model::{Context, Error, Result, paths};
use edge_planner::network_trial::Memory;
use serde::{Deserialize, Serialize};

use super::{documents, site};
use crate::accounts::KeptAccount;
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

/// What the last restoration has taken away, for whoever wants to read it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct ReplacedConfiguration {
    documents: Documents,
    /// The restoration has not come to its end: what is there is a mixture.
    unfinished: bool,
}

impl Kept for ReplacedConfiguration {
    const NAME: &'static str = "replaced-configuration";
    const COPIES: Copies = Copies::One;
}

fn folder(machine: &Machine) -> PathBuf {
    machine.path(paths::OEM_EDGE)
}

/// Together; a copy must be readable.
const LARGEST: usize = 2 << 20;

/// Remembers what this boot was started with, as far as an agent knows that starts: an agent that is started again does not.
pub(crate) fn mark(machine: &Machine) -> Result<()> {
    let path = machine.path(paths::CONFIGURATION_MARK);
    if path.exists() {
        return Ok(());
    }
    files::write_durably(&path, digest(&present(machine)?).as_bytes(), 0o600)
}

/// Whether the documents are those that this boot was started with, and no network of theirs has still to prove itself.
pub(crate) fn is_in_use(machine: &Machine) -> bool {
    let began = files::read_text_if_there(&machine.path(paths::CONFIGURATION_MARK)).ok().flatten();
    let is_the_same = began.is_some_and(|began| present(machine).is_ok_and(|now| digest(&now) == began));
    is_the_same && !machine.path(paths::OEM_LOCAL_BEFORE).exists()
}

fn digest(documents: &Documents) -> String {
    let bytes = serde_json::to_vec(documents).unwrap_or_default();
    edge_slot_image::sha256(&bytes).to_string()
}

/// Remembers the present configuration as one that works. Does nothing where that is known.
///
/// # Errors
/// When `/oem` cannot be read or written, or the documents are too many to be kept twice.
pub(crate) fn keep(machine: &Machine) -> Result<()> {
    let now = present(machine)?;
    if now.values().map(String::len).sum::<usize>() > LARGEST {
        return Err(Error::rejected("the documents on /oem are too large to be kept twice"));
    }
    good(machine).change_or_begin(|good| {
        good.documents = now;
        Ok(())
    })
}

fn good(machine: &Machine) -> StateFile<GoodConfiguration> {
    StateFile::new(&folder(machine))
}

fn replaced(machine: &Machine) -> StateFile<ReplacedConfiguration> {
    StateFile::new(&folder(machine))
}

/// Puts the configuration of the last healthy boot in the place of the present one.
///
/// # Errors
/// [`edge_model::Class::Rejected`] when none is known; when `/oem` cannot be written: doing it again goes on.
pub(crate) fn restore(machine: &Machine) -> Result<()> {
    let good = good(machine).read()?.documents;
    if good.is_empty() {
        return Err(Error::rejected("no boot of this host was healthy with a configuration that is known")
            .help("what the site has brought can be forgotten: edge-agent config restore --without-site"));
    }
    let now = present(machine)?;
    replaced(machine).change_or_begin(|replaced| {
        if !replaced.unfinished {
            *replaced = ReplacedConfiguration { documents: now, unfinished: true };
        }
        Ok(())
    })?;
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
    let newer: Vec<_> = present(machine)?.into_keys().filter(|name| !good.contains_key(name)).collect();
    for name in newer {
        remove(&oem.join(name))?;
    }
    // Otherwise the end of a trial of before would put another one in its place.
    remove(&machine.path(paths::OEM_LOCAL_BEFORE))?;
    replaced(machine).change_or_begin(|replaced| {
        replaced.unfinished = false;
        Ok(())
    })
}

/// Forgets what volumes and operators have brought, with the accounts and networks that came of it; what the medium has installed
/// stays. The next boot looks outside again.
///
/// # Errors
/// When `/oem` cannot be written: doing it again goes on.
pub(crate) fn forget_site(machine: &Machine) -> Result<()> {
    // First: a cut must not leave a host that has no site and reads none.
    site::unclaim(machine)?;
    files::sync_folder(&folder(machine))?;
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
    for kept in [Memory::NAME, BTreeMap::<String, KeptAccount>::NAME, ReplacedConfiguration::NAME] {
        remove(&folder(machine).join(format!("{kept}.json")))?;
    }
    files::sync_folder(&folder(machine))?;
    let is_of_the_site = |name: &str| {
        let path = Path::new(paths::OEM).join(name);
        path.starts_with(paths::OEM_SITE) || path == Path::new(paths::OEM_LOCAL)
    };
    good(machine).change_or_begin(|good| {
        good.documents.retain(|name, _| !is_of_the_site(name));
        Ok(())
    })
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        Err(_) => Ok(()),
        Ok(()) => files::sync_folder(path.parent().unwrap_or(Path::new("/"))),
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
        host.write("edge/local-before.yaml", "of a trial before");
        host.write("edge/network.json", "{}");
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
                let good = good(&host.machine).read().unwrap();
                assert_eq!(good.documents.len(), 3, "{what}");
            },
            |host| {
                let good = ["90_custom.yaml", "edge/local.yaml", SITE];
                let wanted = good.map(|name| (name.to_owned(), "good".to_owned()));
                assert_eq!(texts(host), wanted);
                assert!(!host.machine.path(paths::OEM_LOCAL_BEFORE).exists());
                assert!(!replaced(&host.machine).read().unwrap().unfinished);
            },
        );
    }

    #[test]
    fn what_was_replaced_can_be_read() {
        let host = changed();
        restore(&host.machine).unwrap();
        assert_eq!(replaced(&host.machine).read().unwrap().documents["99_new.yaml"], "bad");
    }

    #[test]
    fn what_a_site_brought_is_forgotten_and_the_host_is_open_again() {
        with_every_fault(
            || {
                let host = changed();
                host.write(SITE, "bad");
                host
            },
            |host| forget_site(&host.machine),
            |host, what| {
                let has_site = host.machine.path(paths::OEM).join(SITE).exists();
                assert!(has_site || !site::is_claimed(&host.machine), "{what}: no site, and none is read");
            },
            |host| {
                let left: Vec<String> = texts(host).into_iter().map(|(name, _)| name).collect();
                assert_eq!(left, ["90_custom.yaml", "99_new.yaml"], "what is no site's stays");
                assert!(!site::is_claimed(&host.machine));
                let good: Vec<String> = good(&host.machine).load().documents.into_keys().collect();
                assert_eq!(good, ["90_custom.yaml"], "and it does not come back");
                assert!(!host.machine.path("/oem/edge/network.json").exists());
            },
        );
    }

    #[test]
    fn what_no_boot_was_started_with_is_not_taken_for_good() {
        let host = changed();
        assert!(!is_in_use(&host.machine), "nobody has looked at the beginning");
        fs::remove_file(host.machine.path(paths::OEM_LOCAL_BEFORE)).unwrap();
        mark(&host.machine).unwrap();
        assert!(is_in_use(&host.machine));
        host.write("edge/local-before.yaml", "a network is on trial");
        assert!(!is_in_use(&host.machine));
        fs::remove_file(host.machine.path(paths::OEM_LOCAL_BEFORE)).unwrap();
        host.write("99_new.yaml", "changed while it ran");
        mark(&host.machine).unwrap();
        assert!(!is_in_use(&host.machine), "also for an agent that was started again");
    }

    #[test]
    fn a_host_that_was_never_healthy_says_what_can_be_done() {
        let folder = tempfile::tempdir().unwrap();
        let error = restore(&Machine::in_folder(folder.path())).unwrap_err();
        assert!(error.help.unwrap().contains("--without-site"));
    }
}
