//! News for whoever follows this host: numbered, the last ones kept, so that a reader may come back and go on. What happened,
//! unlike how things stand, is kept through restarts, and numbers go on from run to run.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use edge_model::api::{Event, EventKind, KeptEvents};
use tokio::sync::watch;

use crate::facts;
use crate::state_file::StateFile;

/// So many events are kept for readers that are slow or come back.
const KEPT: usize = 256;
/// Of those so many on the disk.
const KEPT_ON_DISK: usize = 64;
/// Numbers of one run: more than it can use, and few enough that a million runs stay exact in JSON.
const NUMBERS_OF_A_RUN: u64 = 1 << 32;

pub(crate) struct EventLog {
    kept: Mutex<VecDeque<Arc<Event>>>,
    newest: watch::Sender<u64>,
    /// None where nothing can be kept: in the installer.
    file: Option<StateFile<KeptEvents>>,
}

/// A reader's place. It holds no events: a slow reader costs nothing.
pub(crate) struct EventCursor {
    log: Arc<EventLog>,
    seen: u64,
    newest: watch::Receiver<u64>,
}

impl EventLog {
    /// In memory; numbers begin where, as far as the clock can be trusted, no earlier run of the agent can have been.
    pub(crate) fn new() -> Self {
        Self::from(VecDeque::new(), facts::now(), None)
    }

    /// With what earlier runs have left.
    pub(crate) fn kept_in(file: StateFile<KeptEvents>) -> Self {
        let begun = file.change_or_begin(|kept| {
            kept.runs += 1;
            Ok(kept.clone())
        });
        match begun {
            Ok(kept) => {
                let events = kept.events.into_iter().map(Arc::new).collect();
                Self::from(events, kept.runs * NUMBERS_OF_A_RUN, Some(file))
            }
            Err(error) => {
                tracing::warn!("news are not kept: {error}");
                Self::new()
            }
        }
    }

    fn from(kept: VecDeque<Arc<Event>>, first: u64, file: Option<StateFile<KeptEvents>>) -> Self {
        Self { kept: Mutex::new(kept), newest: watch::channel(first).0, file }
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<Arc<Event>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn emit(&self, kind: EventKind) {
        let mut kept = self.kept();
        let sequence = *self.newest.borrow() + 1;
        let event = Event { sequence, at: facts::now(), kind };
        let on_disk = event.kind.is_kept();
        kept.push_back(Arc::new(event));
        if kept.len() > KEPT {
            kept.pop_front();
        }
        self.newest.send_replace(sequence);
        drop(kept);
        if on_disk {
            self.keep();
        }
    }

    /// The disk may be slow; readers do not wait for it.
    fn keep(&self) {
        let Some(file) = &self.file else { return };
        // Whoever writes last writes the newest: the file's own lock comes first.
        let written = file.change_or_begin(|kept| {
            let all = self.kept();
            let lasting = all.iter().rev().filter(|event| event.kind.is_kept()).take(KEPT_ON_DISK);
            kept.events = lasting.map(|event| Event::clone(event)).collect();
            kept.events.reverse();
            Ok(())
        });
        if let Err(error) = written {
            tracing::warn!("news are not kept: {error}");
        }
    }

    /// A place behind the event with this number, or behind the newest one.
    pub(crate) fn cursor(self: &Arc<Self>, seen: Option<u64>) -> EventCursor {
        let newest = self.newest.subscribe();
        let last = *newest.borrow();
        EventCursor { log: self.clone(), seen: seen.unwrap_or(last), newest }
    }

    /// The event behind `seen`; when there may have been one that is gone, news that some are missing. Between runs numbers have
    /// gaps, behind which something was that nobody kept.
    fn behind(&self, seen: u64) -> Option<Arc<Event>> {
        let kept = self.kept();
        let newest = *self.newest.borrow();
        let missed = |last| Some(Arc::new(Event { sequence: last, at: 0, kind: EventKind::Missed }));
        if seen > newest {
            return missed(kept.front().map_or(newest, |oldest| oldest.sequence - 1));
        }
        match kept.iter().find(|event| event.sequence > seen) {
            Some(next) if next.sequence == seen + 1 => Some(next.clone()),
            // The reader knows that there was a gap, and goes on behind it.
            Some(next) => missed(next.sequence - 1),
            None if seen < newest => missed(newest),
            None => None,
        }
    }
}

impl EventCursor {
    /// Waits for the next event.
    pub(crate) async fn next(&mut self) -> Option<Arc<Event>> {
        loop {
            if let Some(event) = self.log.behind(self.seen) {
                self.seen = event.sequence;
                return Some(event);
            }
            self.newest.changed().await.ok()?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use edge_model::api::Health;

    fn numbers(log: &Arc<EventLog>, seen: Option<u64>, count: usize) -> Vec<(u64, bool)> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut cursor = log.cursor(seen);
        let mut take =
            || runtime.block_on(cursor.next()).map(|event| (event.sequence, event.kind == EventKind::Missed));
        (0..count).filter_map(|_| take()).collect()
    }

    #[test]
    fn a_reader_goes_on_where_it_was_or_learns_what_it_missed() {
        let log = Arc::new(EventLog::from(VecDeque::new(), 1000, None));
        for _ in 0..300 {
            log.emit(EventKind::Unknown);
        }
        assert_eq!(numbers(&log, Some(1298), 2), [(1299, false), (1300, false)]);
        assert_eq!(numbers(&log, Some(5), 2), [(1044, true), (1045, false)]);
        assert_eq!(numbers(&log, Some(99_999), 1), [(1044, true)], "a number of another host");
        let mut late = log.cursor(None);
        log.emit(EventKind::Missed);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        assert_eq!(runtime.block_on(late.next()).map(|event| event.sequence), Some(1301));
    }

    #[test]
    fn what_happened_is_told_after_a_restart_to_who_was_there_before() {
        let folder = tempfile::tempdir().unwrap();
        let run = || Arc::new(EventLog::kept_in(StateFile::new(folder.path())));
        let first = run();
        let seen = *first.newest.borrow();
        first.emit(EventKind::Health { health: Health::Healthy });
        first.emit(EventKind::Unknown);
        drop(first);
        let second = run();
        second.emit(EventKind::Started { boot_id: "b".into() });
        let told = numbers(&second, Some(seen), 3);
        assert_eq!(told[0], (seen + 1, false), "what happened is still known");
        assert!(told[1].1, "how things stood is not");
        assert_eq!(told[2], (2 * NUMBERS_OF_A_RUN + 1, false));
    }

    #[test]
    fn what_is_kept_has_an_end() {
        let folder = tempfile::tempdir().unwrap();
        let file = || StateFile::<KeptEvents>::new(folder.path());
        let log = EventLog::kept_in(file());
        for _ in 0..KEPT_ON_DISK + 5 {
            log.emit(EventKind::Health { health: Health::Checking });
        }
        let kept = file().load();
        assert_eq!(kept.events.len(), KEPT_ON_DISK);
        assert_eq!(kept.events.last().map(|event| event.sequence), Some(*log.newest.borrow()));
    }
}
