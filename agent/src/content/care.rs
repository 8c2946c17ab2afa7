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

/// Lengths alone are looked at; whoever has brought a bundle again sees soon that nothing is missing any more.
const BETWEEN_LOOKS: Duration = Duration::from_secs(60);
/// When everything was read through the last time: the time of this file.
const SCRUBBED: &str = ".scrubbed";
/// Images that a notice names.
const MOST_NAMED: usize = 5;

#[derive(Debug, Default)]
pub(crate) struct ContentCaretaker;

/// What was seen.
pub(crate) struct Facts {
    /// Why none: it cannot be read.
    inventory: std::result::Result<Inventory, String>,
    /// Since everything was read; none when it never was.
    read_ago: Option<Duration>,
}

/// What there is to do about it.
pub(crate) enum Step {
    TellUnreadable(String),
    Look { inventory: Inventory, reads_all: bool },
}

fn store() -> Store {
    Store::at(Path::new(paths::CONTENT))
}

impl Caretaker for ContentCaretaker {
    /// None while this host has no bundles.
    type Facts = Option<Facts>;
    type Step = Option<Step>;

    fn look(&mut self, _: &Arc<Shared>) -> Self::Facts {
        let store = store();
        if !store.folder().exists() {
            return None;
        }
        let inventory = store.inventory().map_err(|error| error.to_string());
        let read = std::fs::metadata(store.folder().join(SCRUBBED)).and_then(|found| found.modified());
        let read_ago = read.ok().and_then(|when| SystemTime::now().duration_since(when).ok());
        Some(Facts { inventory, read_ago })
    }

    fn decide(&mut self, facts: Self::Facts) -> Self::Step {
        facts.map(|facts| match facts.inventory {
            Ok(inventory) => {
                let due = !inventory.bundles.is_empty() && scrub_is_due(facts.read_ago);
                Step::Look { inventory, reads_all: due }
            }
            Err(why) => Step::TellUnreadable(why),
        })
    }

    fn act(&mut self, shared: &Arc<Shared>, step: Self::Step) -> Then {
        let store = store();
        match step {
            None => {}
            Some(Step::TellUnreadable(why)) => {
                let said = Said::problem(format!("the list of content bundles cannot be read: {why}"))
                    .help("import the bundles of this site again: the list is begun anew");
                shared.notice_while("content", vec![said]);
            }
            Some(Step::Look { inventory, reads_all }) => {
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
