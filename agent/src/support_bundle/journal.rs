//! The journal of the last boots, one file each: also of boots on trial that failed, and, in recovery, of the normal
//! system.

use std::path::{Path, PathBuf};
use std::time::Duration;

use edge_host::child::Child;
use edge_host::disk;
use edge_host::mount::{self, MountFlags, ScopedMount};
use edge_model::cmdline::Mode;
use edge_model::layout::Role;
use edge_model::{Error, Result, paths};
use serde::Deserialize;

use super::Inputs;
use super::archive::{Archive, Collected, FILE_LIMIT};
use crate::report::Report;

const LIST_DEADLINE: Duration = Duration::from_secs(30);
const READ_DEADLINE: Duration = Duration::from_secs(60);
const BOOTS: usize = 8;
/// The newest lines of a boot; so many fit into one file, and few boots have more.
const LINES: &str = "100000";
const PERSISTENT_MOUNT: &str = "/run/edge/support-persistent";
/// Where the journal of the normal system is on the persistent partition, with and without the image having one.
const KEPT: [&str; 2] = [".state/var-log.overlay/upper/journal", ".state/var-log.bind/journal"];

/// A boot that the journal knows.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct KnownBoot {
    /// 0 is the newest, -1 the one before.
    index: i64,
    boot_id: String,
}

/// Adds the journals of all boots that can be found.
///
/// # Errors
/// When the archive cannot be written.
pub(super) fn add(archive: &mut Archive, inputs: &Inputs, report: &mut dyn Report) -> Result<()> {
    add_from(archive, "journal", None, report)?;
    let in_recovery = inputs.record.as_ref().filter(|record| record.mode == Mode::Recovery);
    let Some(record) = in_recovery.filter(|_| !mount::is_mounted(Path::new(paths::PERSISTENT))) else {
        return Ok(());
    };
    let folder = "journal-of-the-normal-system";
    match mount_persistent(&record.disk) {
        Ok((_mount, journal)) => add_from(archive, folder, Some(&journal), report),
        Err(error) => archive.add(&format!("{folder}/boots.json"), Err(error)),
    }
}

/// Only for reading, and without a repair: a damaged file system is left as it is.
fn mount_persistent(disk: &str) -> Result<(ScopedMount, PathBuf)> {
    let volume = disk::at_path(disk)?.volume(Role::Persistent)?;
    let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let target = Path::new(PERSISTENT_MOUNT);
    let mount = ScopedMount::new(&volume.content().to_string_lossy(), target, "ext4", flags, "noload")?;
    let journal = KEPT.iter().map(|path| mount.path().join(path)).find(|path| path.is_dir());
    let journal = journal.ok_or_else(|| Error::environment("the normal system has left no journal"))?;
    Ok((mount, journal))
}

fn add_from(
    archive: &mut Archive,
    folder: &str,
    journal: Option<&Path>,
    report: &mut dyn Report,
) -> Result<()> {
    let list = journalctl(journal).args(["--list-boots", "-o", "json"]).deadline(LIST_DEADLINE).run();
    let list = list.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let boots = list.as_deref().map(parse_boots).unwrap_or_default();
    archive.add(&format!("{folder}/boots.json"), list.map(Collected::text))?;
    for boot in boots {
        report.progress(archive.bytes())?;
        let file = format!("{folder}/boot{}-{}.txt", boot.index, &boot.boot_id[..8]);
        archive.add(&file, read(journal, &boot))?;
    }
    Ok(())
}

fn journalctl(journal: Option<&Path>) -> Child {
    let child = Child::new("journalctl").args(["--no-pager", "--quiet"]);
    match journal {
        Some(folder) => child.arg("--directory").arg(folder),
        None => child,
    }
}

fn read(journal: Option<&Path>, boot: &KnownBoot) -> Result<Collected> {
    let child = journalctl(journal)
        .args(["-o", "short-iso", "--no-hostname", "-n", LINES, "-b", &boot.boot_id])
        .deadline(READ_DEADLINE)
        .output_limit(FILE_LIMIT as u64 + 1);
    Ok(Collected::text(String::from_utf8_lossy(&child.run()?)))
}

/// The newest boots, the newest first.
fn parse_boots(text: &str) -> Vec<KnownBoot> {
    let mut boots: Vec<KnownBoot> = serde_json::from_str(text).unwrap_or_default();
    let is_id = |id: &str| id.len() == 32 && id.chars().all(|digit| digit.is_ascii_hexdigit());
    boots.retain(|boot| is_id(&boot.boot_id));
    boots.sort_by_key(|boot| std::cmp::Reverse(boot.index));
    boots.truncate(BOOTS);
    boots
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_newest_boots_are_taken() {
        let boot = |index: i64| {
            format!(
                "{{\"index\":{index},\"boot_id\":\"{:032x}\",\"first_entry\":1,\"last_entry\":2}}",
                -index
            )
        };
        let list: Vec<String> = (-11..=0).map(boot).collect();
        let boots = parse_boots(&format!("[{}]", list.join(",")));
        assert_eq!(boots.iter().map(|boot| boot.index).collect::<Vec<_>>(), [0, -1, -2, -3, -4, -5, -6, -7]);
        assert!(parse_boots("[{\"index\":0,\"boot_id\":\"--all\"}]").is_empty());
        assert!(parse_boots("No journal files were found.").is_empty());
    }

    proptest! {
        #[test]
        fn no_list_panics(text in "(?s).{0,200}") {
            let _ = parse_boots(&text);
        }
    }
}
