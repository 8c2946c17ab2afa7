//! Back to what was installed: the data partition is made anew, and what the site has told is forgotten if asked. Images,
//! machine-id, history and black box stay.
//!
//! The wish is written down first, recovery carries it out, and every step can be done again: the normal system leads to recovery as
//! long as there is a wish, a few times, and recovery goes on with what is left of it. Nothing but the next boot is changed for it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use edge_host::files;
use edge_model::boot_reason::BootReason;
use edge_model::ids::Entry;
use edge_model::layout::Role;
use edge_model::ledger::{HistoryEntry, HistoryEvent, UpgradeStage};
use edge_model::{Context, Error, Result, paths};
use edge_planner::boot::steps::BootStep;
use edge_planner::host_kind::HostKind;
use serde::{Deserialize, Serialize};

use super::Outcome;
use crate::boot_control;
use crate::facts::{self, Host};
use crate::report::Report;

const FORMAT_DEADLINE: Duration = Duration::from_secs(300);

/// What stays on `/oem` when everything else there is forgotten: what the host is, and what became of it.
const KEPT: [&str; 8] = [
    "machine-id",
    "host-key.p8",
    "random-id",
    "ledger-0.json",
    "ledger-1.json",
    "black-box.json",
    "operations.json",
    "audit.jsonl",
];

/// Boots of the normal system that lead to recovery for one wish. Then recovery does not start here, and the wish goes.
const LEADS: u8 = 3;

/// The wish, as it is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Wish {
    oem: bool,
    /// How often the normal system has led to recovery.
    leads: u8,
}

impl Wish {
    fn read(host: &Host) -> Result<Option<Self>> {
        let Some(text) = files::read_text_if_there(&host.machine.path(paths::OEM_RESET))? else {
            return Ok(None);
        };
        serde_json::from_str(&text)
            .map(Some)
            .map_err(|error| Error::integrity(format!("what is to be reset cannot be read: {error}")))
    }

    fn write(&self, host: &Host) -> Result<()> {
        let json = serde_json::to_vec(self).context("cannot write the wish down")?;
        files::write_durably(&host.machine.path(paths::OEM_RESET), &json, 0o600)
    }

    fn remove(host: &Host) -> Result<()> {
        match fs::remove_file(host.machine.path(paths::OEM_RESET)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).context("cannot remove the wish")
            }
            _ => files::sync_folder(&host.machine.path(paths::OEM_EDGE)),
        }
    }
}

/// Takes the wish, and carries it out where it is asked for in recovery.
///
/// # Errors
/// When recovery does not know of wishes, an upgrade waits, it cannot be written down, or the firmware refuses: then there is no
/// wish.
pub(super) fn ask(host: &Host, oem: bool, report: &mut dyn Report) -> Result<Outcome> {
    let wish = Wish { oem, leads: 0 };
    if host.kind == HostKind::Recovery {
        wish.write(host)?;
        return go_on(host, report).map(|_| Outcome::restart("reset: restarting into the normal system"));
    }
    let ledger = host.ledger().load();
    if ledger.recovery.as_ref().is_none_or(|known| known.root_hash != host.record.root_hash) {
        return Err(Error::rejected(
            "recovery is of another version, which may not know how to reset this host",
        )
        .help("edge-agent upgrade --recovery makes it the running one; then ask again"));
    }
    if ledger.pending.as_ref().is_some_and(|pending| pending.stage == UpgradeStage::Armed) {
        return Err(Error::rejected("an upgrade waits for its trial").help("restart the host first"));
    }
    wish.write(host)?;
    if let Err(error) = recovery_is_next(host) {
        Wish::remove(host)?;
        return Err(error);
    }
    Ok(Outcome::restart("restarting into recovery, which resets this host"))
}

/// Only the next boot: what the host starts otherwise stays as it is.
fn recovery_is_next(host: &Host) -> Result<()> {
    boot_control::perform(host, &[BootStep::TryOnce(Entry::recovery_beside())])?;
    let text = "an operator asked for a reset of this host".to_owned();
    host.variables()?.leave_reason(&BootReason { failed: None, text });
    Ok(())
}

/// On the normal system: leads to recovery, when there is a wish that it has to fulfil. Tells whether the host has to restart.
///
/// # Errors
/// When recovery cannot be reached: the wish is gone then, and the host goes on.
pub(crate) fn lead_to_recovery(host: &Host) -> Result<bool> {
    let lead = || -> Result<bool> {
        let Some(wish) = Wish::read(host)? else { return Ok(false) };
        if wish.leads >= LEADS {
            return Err(Error::environment("recovery does not start: this host was not reset")
                .help("edge-agent fsck --repair, then ask again"));
        }
        Wish { leads: wish.leads + 1, ..wish }.write(host)?;
        recovery_is_next(host).map(|()| true)
    };
    lead().inspect_err(|_| {
        if let Err(error) = Wish::remove(host) {
            tracing::warn!("{error}");
        }
    })
}

/// In recovery: does what is left to do of a wish. Tells whether there was one.
///
/// # Errors
/// When a step fails; the wish stays, unless it cannot be read.
pub(crate) fn go_on(host: &Host, report: &mut dyn Report) -> Result<bool> {
    let wish = match Wish::read(host) {
        Ok(Some(wish)) => wish,
        Ok(None) => return Ok(false),
        Err(error) => {
            Wish::remove(host)?;
            return Err(error);
        }
    };
    report.step("erasing the data partition", 0);
    erase_data(host)?;
    if wish.oem {
        report.step("forgetting what the site has told", 0);
        forget_site(&host.machine.path(paths::OEM))?;
    }
    record(host, &wish)?;
    Wish::remove(host)?;
    Ok(true)
}

/// The program itself refuses a device that is mounted. The place where it is mounted usually says nothing: in recovery it is a
/// file system in memory.
fn erase_data(host: &Host) -> Result<()> {
    let role = Role::Persistent;
    let volume = host.disk()?.volume(role)?;
    let label = role.spec().fs_label.unwrap_or_default();
    let format = host.machine.program("mkfs.ext4").args(["-q", "-F", "-L", label]).arg(volume.content());
    format.deadline(FORMAT_DEADLINE).run().map(drop)
}

/// Everything on `/oem` goes but [`KEPT`] and the wish itself, which goes last.
fn forget_site(oem: &Path) -> Result<()> {
    let edge = oem.join("edge");
    let wish = Path::new(paths::OEM_RESET).file_name().unwrap_or_default();
    for folder in [oem, &edge] {
        for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
            let entry = entry.context("cannot list /oem")?;
            let name = entry.file_name();
            let is_kept = folder == edge && (name == wish || KEPT.iter().any(|kept| name == *kept));
            if is_kept || entry.path() == edge || name == "lost+found" {
                continue;
            }
            let removed = if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                fs::remove_dir_all(entry.path())
            } else {
                fs::remove_file(entry.path())
            };
            removed.with_context(|| format!("cannot remove {}", entry.path().display()))?;
        }
        files::sync_folder(folder)?;
    }
    Ok(())
}

/// The history speaks of the image that is in recovery: it has done it.
fn record(host: &Host, wish: &Wish) -> Result<()> {
    let image = &host.image_record;
    host.ledger().change_or_begin(|ledger| {
        ledger.record(HistoryEntry {
            at: facts::now(),
            event: HistoryEvent::Reset,
            version: image.version.clone(),
            root_hash: image.root_hash,
            slot: None,
            reason: Some(if wish.oem { "data and site" } else { "data" }.into()),
        });
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgetting_a_site_keeps_what_the_host_is() {
        let folder = tempfile::tempdir().unwrap();
        let oem = folder.path();
        fs::create_dir_all(oem.join("edge/site/site/cidata")).unwrap();
        for name in
            ["90_custom.yaml", "edge/machine-id", "edge/ledger-1.json", "edge/local.yaml", "edge/reset.json"]
        {
            fs::write(oem.join(name), "x").unwrap();
        }
        fs::write(oem.join("edge/site/site/cidata/user-data"), "x").unwrap();
        for _ in 0..2 {
            forget_site(oem).unwrap();
            let names = |folder: &Path| {
                let mut names: Vec<_> =
                    fs::read_dir(folder).unwrap().flatten().map(|entry| entry.file_name()).collect();
                names.sort();
                names
            };
            assert_eq!(names(oem), ["edge"]);
            assert_eq!(names(&oem.join("edge")), ["ledger-1.json", "machine-id", "reset.json"]);
        }
    }
}
