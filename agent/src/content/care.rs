//! The care for content bundles: what a power cut or a disk has taken from them is told, and what nobody needs goes.

use std::path::Path;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use edge_host::files;
use edge_model::content::Inventory;
use edge_model::{Result, paths};
use edge_planner::content::scrub_is_due;

use super::damaged_images;
use super::store::{Store, distinct};
use crate::daemon::Shared;
use crate::daemon::care::{Caretaker, Then};
use crate::daemon::notices::Said;

const BETWEEN_LOOKS: Duration = Duration::from_secs(3600);
/// When everything was read through the last time: the time of this file.
const SCRUBBED: &str = ".scrubbed";
/// Images that a notice names.
const MOST_NAMED: usize = 5;

#[derive(Debug, Default)]
pub(crate) struct ContentCaretaker;

/// What was seen.
pub(crate) struct Facts {
    inventory: Inventory,
    /// Since everything was read; none when it never was.
    read_ago: Option<Duration>,
}

fn store() -> Store {
    Store::at(Path::new(paths::CONTENT))
}

impl Caretaker for ContentCaretaker {
    /// None while this host has no bundles.
    type Facts = Option<Facts>;
    type Step = Option<(Inventory, bool)>;

    fn look(&mut self, _: &Arc<Shared>) -> Self::Facts {
        let store = store();
        if !store.folder().exists() {
            return None;
        }
        let inventory = match store.inventory() {
            Ok(inventory) => inventory,
            Err(error) => {
                tracing::error!("content: the list of bundles cannot be read: {error}");
                return None;
            }
        };
        let read = std::fs::metadata(store.folder().join(SCRUBBED)).and_then(|found| found.modified());
        let read_ago = read.ok().and_then(|when| SystemTime::now().duration_since(when).ok());
        Some(Facts { inventory, read_ago })
    }

    fn decide(&mut self, facts: Self::Facts) -> Self::Step {
        facts.map(|facts| {
            let due = !facts.inventory.bundles.is_empty() && scrub_is_due(facts.read_ago);
            (facts.inventory, due)
        })
    }

    fn act(&mut self, shared: &Arc<Shared>, step: Self::Step) -> Then {
        let Some((inventory, reads_all)) = step else { return Then::LookAgain(BETWEEN_LOOKS) };
        let store = store();
        tell(shared, &store, &inventory);
        if let Err(error) = tidy(&store) {
            tracing::warn!("content: what nobody needs stays: {error}");
        }
        if reads_all {
            match read_all(&store, &inventory) {
                Ok(()) => tell(shared, &store, &inventory),
                Err(error) => tracing::warn!("content: not everything could be read: {error}"),
            }
        }
        Then::LookAgain(BETWEEN_LOOKS)
    }
}

fn tell(shared: &Shared, store: &Store, inventory: &Inventory) {
    let damaged = damaged_images(store, inventory);
    let said = (!damaged.is_empty()).then(|| {
        let named = damaged.iter().take(MOST_NAMED).cloned().collect::<Vec<_>>().join(", ");
        let more = if damaged.len() > MOST_NAMED { ", …" } else { "" };
        Said::problem(format!("something is missing of container images of this site: {named}{more}"))
            .help("import their bundle again: only what is missing is written")
    });
    shared.notice_while("content", said.into_iter().collect());
}

/// What imports that were cut have left is of use for a day.
fn tidy(store: &Store) -> Result<()> {
    // Whoever works on it needs no help.
    let Ok(_alone) = store.lock() else { return Ok(()) };
    store.sweep(Some(SystemTime::now()))
}

/// Reads every blob, and rests as long as each reading took: others need the disk more.
fn read_all(store: &Store, inventory: &Inventory) -> Result<()> {
    for (digest, size) in distinct(inventory) {
        let began = Instant::now();
        store.check(digest, size)?;
        sleep(began.elapsed());
    }
    files::write_durably(&store.folder().join(SCRUBBED), b"", 0o600)
}
