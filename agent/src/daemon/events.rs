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
/// Of what happened, unlike how things stand, so many are kept, on the disk too.
const LASTING: usize = 64;
/// Between the last number of one run and the first of the next: more than a run can use without a write.
const BETWEEN_RUNS: u64 = 1 << 32;
/// Numbers of a second of the clock, so that they go on also where the disk has forgotten. Until 2240 they are exact in JSON.
const NUMBERS_OF_A_SECOND: u32 = 20;

pub(crate) struct EventLog {
    kept: Mutex<Kept>,
    newest: watch::Sender<u64>,
    /// None where nothing can be kept: in the installer.
    file: Option<StateFile<KeptEvents>>,
}

#[derive(Default)]
struct Kept {
    /// The newest of everything, without a gap.
    all: VecDeque<Arc<Event>>,
    /// The newest of what happened, also before this run.
    lasting: VecDeque<Arc<Event>>,
}

/// A reader's place. It holds no events: a slow reader costs nothing.
pub(crate) struct EventCursor {
    log: Arc<EventLog>,
    seen: u64,
    newest: watch::Receiver<u64>,
}

impl EventLog {
    /// In memory.
    pub(crate) fn new() -> Self {
        Self::from(Kept::default(), of_the_clock(), None)
    }

    /// With what earlier runs have left; says that this one has begun.
    pub(crate) fn kept_in(file: StateFile<KeptEvents>, boot_id: String) -> Self {
        let begun = file.change_or_begin(|kept| {
            let first = of_the_clock().max(kept.newest + BETWEEN_RUNS);
            let started = EventKind::Started { boot_id };
            kept.newest = first + 1;
            kept.events.push(Event { sequence: first + 1, at: facts::now(), kind: started });
            let over = kept.events.len().saturating_sub(LASTING);
            kept.events.drain(..over);
            Ok(kept.clone())
        });
        match begun {
            Ok(kept) => {
                let lasting: VecDeque<_> = kept.events.into_iter().map(Arc::new).collect();
                let all = lasting.back().cloned().into_iter().collect();
                Self::from(Kept { all, lasting }, kept.newest, Some(file))
            }
            Err(error) => {
                tracing::warn!("news are not kept: {error}");
                Self::new()
            }
        }
    }

    fn from(kept: Kept, newest: u64, file: Option<StateFile<KeptEvents>>) -> Self {
        Self { kept: Mutex::new(kept), newest: watch::channel(newest).0, file }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn emit(&self, kind: EventKind) {
        let mut kept = self.kept();
        let sequence = *self.newest.borrow() + 1;
        let lasts = kind.is_kept() && !is_said_again(&kept.lasting, &kind);
        let event = Arc::new(Event { sequence, at: facts::now(), kind });
        push(&mut kept.all, event.clone(), KEPT);
        if lasts {
            push(&mut kept.lasting, event, LASTING);
        }
        self.newest.send_replace(sequence);
        drop(kept);
        if lasts {
            self.keep();
        }
    }

    /// The disk may be slow; readers do not wait for it.
    fn keep(&self) {
        let Some(file) = &self.file else { return };
        // Whoever writes last writes the newest: the file's own lock comes first.
        let written = file.change_or_begin(|on_disk| {
            on_disk.events = self.kept().lasting.iter().map(|event| Event::clone(event)).collect();
            on_disk.newest = *self.newest.borrow();
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
        if seen == newest {
            return None;
        }
        let missed = |last| Some(Arc::new(Event { sequence: last, at: 0, kind: EventKind::Missed }));
        let oldest = kept.all.front().map_or(newest + 1, |event| event.sequence);
        if seen > newest {
            return missed((oldest - 1).min(newest));
        }
        if seen + 1 >= oldest {
            return kept.all.get((seen + 1 - oldest) as usize).cloned();
        }
        match kept.lasting.iter().find(|event| event.sequence > seen) {
            Some(next) if next.sequence < oldest => Some(next.clone()),
            // The reader knows that there was a gap, and goes on behind it.
            _ => missed(oldest - 1),
        }
    }
}

fn of_the_clock() -> u64 {
    facts::now() << NUMBERS_OF_A_SECOND
}

fn push(events: &mut VecDeque<Arc<Event>>, event: Arc<Event>, most: usize) {
    events.push_back(event);
    if events.len() > most {
        events.pop_front();
    }
}

/// The same verdict with other words is no news for the disk: checks that fail may say something else each time.
fn is_said_again(lasting: &VecDeque<Arc<Event>>, kind: &EventKind) -> bool {
    let EventKind::Health { health } = kind else { return false };
    let told = lasting.iter().rev().find_map(|event| match &event.kind {
        EventKind::Health { health } => Some(Some(std::mem::discriminant(health))),
        EventKind::Started { .. } => Some(None),
        _ => None,
    });
    told.flatten() == Some(std::mem::discriminant(health))
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

    fn run(folder: &std::path::Path) -> Arc<EventLog> {
        Arc::new(EventLog::kept_in(StateFile::new(folder), "boot".into()))
    }

    fn well() -> EventKind {
        EventKind::Health { health: Health::Healthy }
    }

    fn ill(why: &str) -> EventKind {
        EventKind::Health { health: Health::Unhealthy(vec![why.into()]) }
    }

    #[test]
    fn a_reader_goes_on_where_it_was_or_learns_what_it_missed() {
        let log = Arc::new(EventLog::from(Kept::default(), 1000, None));
        for _ in 0..300 {
            log.emit(EventKind::Unknown);
        }
        assert_eq!(numbers(&log, Some(1298), 2), [(1299, false), (1300, false)]);
        assert_eq!(numbers(&log, Some(5), 2), [(1044, true), (1045, false)]);
        assert_eq!(numbers(&log, Some(99_999), 2), [(1044, true), (1045, false)], "a number of another host");
        let mut late = log.cursor(None);
        log.emit(EventKind::Missed);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        assert_eq!(runtime.block_on(late.next()).map(|event| event.sequence), Some(1301));
    }

    #[test]
    fn what_happened_is_told_after_a_restart_to_who_was_there_before() {
        let folder = tempfile::tempdir().unwrap();
        let first = run(folder.path());
        let seen = *first.newest.borrow();
        first.emit(well());
        // How things stood, more often than anything is kept in memory.
        (0..2 * KEPT).for_each(|_| first.emit(EventKind::Unknown));
        first.emit(ill("x"));
        drop(first);
        let second = run(folder.path());
        let told = numbers(&second, Some(seen), 4);
        assert_eq!(told[0], (seen + 1, false), "what happened is still known");
        assert_eq!(told[1], (seen + 2 + 2 * KEPT as u64, false));
        assert!(
            told[2].1 && told[2].0 + 1 == told[3].0,
            "between two runs something may be missing: {told:?}"
        );
        assert_eq!(told[3], (*second.newest.borrow(), false));
    }

    #[test]
    fn numbers_go_on_also_where_the_disk_has_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let first = run(folder.path());
        first.emit(well());
        std::fs::remove_file(folder.path().join("events.json")).unwrap();
        first.emit(ill("x"));
        let seen = *first.newest.borrow();
        let second = run(folder.path());
        assert!(*second.newest.borrow() > seen);
        std::fs::remove_file(folder.path().join("events.json")).unwrap();
        let third = run(folder.path());
        let newest = *third.newest.borrow();
        // Whatever a reader says that it has seen, it arrives.
        for seen in [0, seen, newest - 1, newest, newest + 7, u64::MAX - 1] {
            let mut cursor = seen;
            for _ in 0..4 {
                let Some(event) = third.behind(cursor) else { break };
                assert_ne!(event.sequence, cursor, "from {seen}");
                cursor = event.sequence;
            }
            assert_eq!(cursor, newest, "from {seen}");
        }
    }

    #[test]
    fn the_disk_hears_of_verdicts_and_not_of_their_words_and_keeps_an_end() {
        let folder = tempfile::tempdir().unwrap();
        let kept = || StateFile::<KeptEvents>::new(folder.path()).load();
        let log = run(folder.path());
        for number in 0..20 {
            log.emit(ill(&format!("timed out after {number} ms")));
        }
        assert_eq!(kept().events.len(), 2, "its start and one verdict");
        for _ in 0..LASTING {
            log.emit(well());
            log.emit(ill("x"));
        }
        assert_eq!(kept().events.len(), LASTING);
        assert_eq!(kept().newest, *log.newest.borrow());
    }
}
