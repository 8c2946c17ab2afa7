//! Back to what was installed: the data partition is made anew, and what the site has told is forgotten if asked. Images,
//! machine-id, history and black box stay.
//!
//! The wish is written down first, then recovery becomes the default, and every step can be done again: a cut anywhere leads
//! back to recovery, which goes on.

use std::fs;
use std::path::Path;
use std::time::Duration;

use edge_host::efivars::Variable;
use edge_host::{files, mount};
use edge_model::cmdline::Mode;
use edge_model::ids::{Entry, RootHash};
use edge_model::layout::Role;
use edge_model::ledger::{HistoryEntry, HistoryEvent};
use edge_model::{Context, Error, Result, paths};
use serde::{Deserialize, Serialize};

use super::Outcome;
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

/// The wish, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Wish {
    oem: bool,
    /// The image that boots when all is done.
    image: Option<RootHash>,
}

/// Takes the wish, and carries it out where it is asked for in recovery.
///
/// # Errors
/// When it cannot be written down, or the firmware refuses.
pub(super) fn ask(host: &Host, oem: bool, report: &mut dyn Report) -> Result<Outcome> {
    let image = match host.record.mode {
        Mode::Main => Some(host.record.root_hash),
        // The newest that is known to be whole.
        _ => host
            .variables()?
            .get_entry(Variable::LoaderEntryDefault)?
            .and_then(|entry| image_of(host, &entry)),
    };
    let wish = Wish { oem, image };
    let json = serde_json::to_vec(&wish).context("cannot write the wish down")?;
    files::write_durably(&host.machine.path(paths::OEM_RESET), &json, 0o600)?;
    if host.record.mode == Mode::Recovery {
        return go_on(host, report).map(|_| Outcome::restart("reset: restarting into the normal system"));
    }
    recovery_is_next(host)?;
    Ok(Outcome::restart("restarting into recovery, which resets this host"))
}

fn image_of(host: &Host, entry: &Entry) -> Option<RootHash> {
    let ledger = host.ledger().load();
    let images = [ledger.slot_a, ledger.slot_b].into_iter().flatten();
    images.map(|image| image.root_hash).find(|root_hash| root_hash.entry() == *entry)
}

/// Until the wish is fulfilled, every boot is one of recovery.
fn recovery_is_next(host: &Host) -> Result<()> {
    host.variables()?.set_entry(Variable::LoaderEntryDefault, &Entry::recovery_beside())
}

/// Whether a wish waits on this host.
pub(crate) fn is_wished(host: &Host) -> bool {
    host.machine.path(paths::OEM_RESET).exists()
}

/// On the normal system, where a wish waits: recovery is to fulfil it.
///
/// # Errors
/// When the firmware refuses.
pub(crate) fn lead_to_recovery(host: &Host) -> Result<()> {
    recovery_is_next(host)
}

/// In recovery: does what is left to do of a wish. Tells whether there was one.
///
/// # Errors
/// When a step fails; the wish stays.
pub(crate) fn go_on(host: &Host, report: &mut dyn Report) -> Result<bool> {
    let file = host.machine.path(paths::OEM_RESET);
    let Some(text) = files::read_text_if_there(&file)? else { return Ok(false) };
    let wish: Wish = serde_json::from_str(&text)
        .map_err(|error| Error::integrity(format!("what is to be reset cannot be read: {error}")))?;
    recovery_is_next(host)?;
    report.step("erasing the data partition", 0);
    erase_data(host)?;
    if wish.oem {
        report.step("forgetting what the site has told", 0);
        forget_site(&host.machine.path(paths::OEM))?;
    }
    record(host, &wish)?;
    let variables = host.variables()?;
    match wish.image {
        Some(image) => variables.set_entry(Variable::LoaderEntryDefault, &image.entry())?,
        // The loader's configuration names it.
        None => variables.remove(Variable::LoaderEntryDefault)?,
    }
    fs::remove_file(&file).context("cannot remove the wish")?;
    files::sync_folder(&host.machine.path(paths::OEM_EDGE))?;
    Ok(true)
}

fn erase_data(host: &Host) -> Result<()> {
    let role = Role::Persistent;
    let device = host.disk()?.device(role)?;
    if mount::is_mounted(Path::new(paths::PERSISTENT)) {
        return Err(Error::rejected("the data partition is in use"));
    }
    let label = role.spec().fs_label.unwrap_or_default();
    let format = host.machine.program("mkfs.ext4").args(["-q", "-F", "-L", label]).arg(device);
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

fn record(host: &Host, wish: &Wish) -> Result<()> {
    host.ledger().change_or_begin(|ledger| {
        let image = wish.image.and_then(|wanted| {
            [&ledger.slot_a, &ledger.slot_b].into_iter().flatten().find(|image| image.root_hash == wanted)
        });
        let Some(image) = image.cloned() else { return Ok(()) };
        ledger.record(HistoryEntry {
            at: facts::now(),
            event: HistoryEvent::Reset,
            version: image.version,
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
