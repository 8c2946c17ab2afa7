//! What a site brings to a host that nobody has claimed yet: copied to `/oem` at each boot until the first site boot
//! has finished well, and not looked at again.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use edge_host::disk::PartitionedDisk;
use edge_host::machine::Machine;
use edge_host::{files, settle};
use edge_model::{Context, Error, Result, paths};
use edge_planner::configuration::{Kind, Source, for_the_host};

use super::{hash_password, sources, tried};

/// Names of the folders of kinds.
const KINDS: [(Kind, &str); 4] = [
    (Kind::UserData, "fetched"),
    (Kind::Site, "site"),
    (Kind::Machine, "machine"),
    (Kind::Unattended, "unattended"),
];

pub(crate) fn is_claimed(machine: &Machine) -> bool {
    machine.path(paths::OEM_CLAIMED).exists()
}

/// From now on nothing outside is read.
///
/// # Errors
/// When `/oem` cannot be written.
pub(crate) fn claim(machine: &Machine) -> Result<()> {
    files::write_durably(&machine.path(paths::OEM_CLAIMED), b"", 0o644)
}

/// The next boot looks outside again.
///
/// # Errors
/// When `/oem` cannot be written.
pub(crate) fn unclaim(machine: &Machine) -> Result<()> {
    // Counted anew.
    let _ = fs::remove_file(machine.path(paths::OEM_OPEN_BOOTS));
    match fs::remove_file(machine.path(paths::OEM_CLAIMED)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).context("cannot open the host again")
        }
        _ => Ok(()),
    }
}

/// Looks outside, and keeps what is there. What an earlier boot found stays while there is nothing new.
///
/// # Errors
/// When something is there and cannot be read, or `/oem` cannot be written.
pub(crate) fn adopt(disk: &PartitionedDisk) -> Result<()> {
    let silent = settle::storage();
    let mut found = sources::of_boot_partition(disk)?;
    found.extend(sources::foreign()?);
    // Nothing is stored before it has been tried: what ends its reader would end every boot.
    let mut problems = Vec::new();
    let mut found = tried::without_bad(found, &mut problems)?;
    // A volume is taken as a whole or not at all: what an earlier boot has stored of it stays.
    let volume = |name: &str| name.rsplit_once(':').map(|(label, _)| label.to_owned());
    let bad: Vec<_> = problems.iter().map(|problem| volume(&problem.place.source)).collect();
    found.retain(|source| !bad.contains(&volume(&source.name)));
    store(&found, Path::new(paths::OEM_SITE))?;
    if let Some(problem) = problems.first() {
        return Err(Error::invalid(problem.to_string()));
    }
    if silent.is_empty() { Ok(()) } else { Err(no_answer(&silent)) }
}

/// Devices that say they store something, and have not shown what.
pub(crate) fn no_answer(silent: &[String]) -> Error {
    Error::environment(format!("{} does not answer", silent.join(", ")))
        .help("plug it in again or take it away, and restart")
}

/// A part that is broken for good must not leave a host open for ever.
const MOST_OPEN_BOOTS: usize = 3;

/// Something outside could not be read in this boot: the host stays open, and the next boot looks again. Not without end.
///
/// # Errors
/// When it cannot be written down.
pub(crate) fn keep_open(why: &str) -> Result<()> {
    let boots = Path::new(paths::OEM_OPEN_BOOTS);
    // One line for each.
    let before = files::read_text_if_there(boots)?.unwrap_or_default();
    if before.lines().count() >= MOST_OPEN_BOOTS {
        return Ok(());
    }
    files::write_durably(
        boots,
        format!("{before}{}\n", why.lines().next().unwrap_or_default()).as_bytes(),
        0o600,
    )?;
    leave_open(why)
}

/// This boot does not close the host.
///
/// # Errors
/// When it cannot be written down.
pub(crate) fn leave_open(why: &str) -> Result<()> {
    files::write_durably(Path::new(paths::SITE_UNREAD), why.as_bytes(), 0o644)
}

/// Why this boot must not close the host, if it must not.
pub(crate) fn unread() -> Option<String> {
    files::read_text_if_there(Path::new(paths::SITE_UNREAD)).ok().flatten()
}

/// Puts documents under a folder as `KIND/LABEL/NAME`. Each label is replaced as a whole; labels that are not among
/// `found` stay.
///
/// # Errors
/// When the folder cannot be written.
pub(crate) fn store(found: &[Source], folder: &Path) -> Result<()> {
    let mut groups: BTreeMap<PathBuf, Vec<&Source>> = BTreeMap::new();
    for source in found {
        if let Some(group) = group_of(source) {
            groups.entry(group).or_default().push(source);
        }
    }
    for (group, sources) in groups {
        let target = folder.join(&group);
        let temporary = folder.join("part");
        remove(&temporary)?;
        fs::create_dir_all(&temporary).context("cannot keep the site's documents")?;
        for source in sources {
            // What cannot be read is kept as it is: the boot says what is wrong with it.
            let text = for_the_host(source.form, &source.name, &source.text, &mut hash_password)
                .unwrap_or_else(|_| source.text.clone());
            files::write_durably(&temporary.join(sources::file_name(source.form)), text.as_bytes(), 0o600)?;
        }
        let parent = target.parent().unwrap_or(folder);
        fs::create_dir_all(parent).context("cannot keep the site's documents")?;
        // A cut between the two leaves a host that is not claimed: its next boot does this again.
        remove(&target)?;
        files::rename_folder(&temporary, &target)?;
    }
    Ok(())
}

/// Folder of a source; none for the medium's own files, which are kept elsewhere.
fn group_of(source: &Source) -> Option<PathBuf> {
    let kind = KINDS.iter().find(|(kind, _)| *kind == source.kind)?.1;
    let label = source.name.rsplit_once(':').filter(|_| !source.name.starts_with('/'))?.0;
    let label = if label.starts_with("http") { &source.name } else { label };
    // Sticks are labelled in any case, and a new one takes the place of the old one.
    let label: String = label
        .to_lowercase()
        .chars()
        .map(|other| if other.is_ascii_alphanumeric() { other } else { '-' })
        .collect();
    Some(PathBuf::from(kind).join(label))
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot replace {}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// User data of the site, for its stages.
pub(crate) fn stage_files(machine: &Machine) -> Vec<PathBuf> {
    let found = documents_in(&machine.path(paths::OEM_SITE))
        .into_iter()
        .filter(|(kind, _)| *kind == Kind::Site)
        .map(|(_, path)| path);
    found.filter(|path| sources::form_of(path) == edge_planner::configuration::Form::UserData).collect()
}

/// What a host keeps, in the order in which an installer reads it.
pub(super) fn documents() -> Vec<(Kind, PathBuf)> {
    documents_in(Path::new(paths::OEM_SITE))
}

/// The documents that [`store`] has put under a folder.
pub(super) fn documents_in(folder: &Path) -> Vec<(Kind, PathBuf)> {
    let list = |folder: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut found: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        found.sort_by_key(|path| (rank(path), path.clone()));
        found
    };
    let mut found = Vec::new();
    for (kind, name) in KINDS {
        for label in list(&folder.join(name)) {
            found.extend(list(&label).into_iter().map(|path| (kind, path)));
        }
    }
    found
}

/// Later ones overrule earlier ones.
fn rank(path: &Path) -> usize {
    let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    ["esp", "cidata", "edgedata"].iter().position(|label| *label == name).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use edge_host::faults::{Fault, play};
    use edge_planner::configuration::Form;

    use super::*;

    fn source(text: &str) -> Source {
        Source { kind: Kind::Site, form: Form::UserData, name: "CIDATA:/user-data".into(), text: text.into() }
    }

    fn kept(folder: &Path) -> Vec<String> {
        documents_in(folder).into_iter().map(|(_, path)| fs::read_to_string(path).unwrap()).collect()
    }

    /// The host is not claimed before all of it is there: whatever happens in between, the next boot does it again.
    #[test]
    fn what_a_site_brings_survives_a_fault_at_every_effect() {
        const NO_SPACE: i32 = 28;
        let folder = tempfile::tempdir().unwrap();
        let (old, new) = ([source("#cloud-config\nhostname: a\n")], [source("#cloud-config\nhostname: b\n")]);
        let effects = play(None, || store(&new, folder.path())).effects;
        let wanted = kept(folder.path());
        assert!(effects.len() > 5 && wanted.len() == 1, "{effects:?} {wanted:?}");
        for (at, effect) in effects.iter().enumerate() {
            for fault in [Fault::Fails(NO_SPACE), Fault::PowerGoes] {
                store(&old, folder.path()).unwrap();
                let before = kept(folder.path());
                let played = play(Some((at, fault)), || store(&new, folder.path()));
                assert!(!matches!(played.outcome, Some(Ok(()))), "{fault:?} at {effect}");
                let seen = kept(folder.path());
                // Never half a document, and never both.
                assert!(
                    seen == before || seen == wanted || seen.is_empty(),
                    "{fault:?} at {effect}: {seen:?}"
                );
                store(&new, folder.path()).unwrap();
                assert_eq!(kept(folder.path()), wanted, "{fault:?} at {effect}");
            }
        }
    }
}
