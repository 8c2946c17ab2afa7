//! News for whoever follows this host: numbered, the last ones kept, so that a reader may come back and go on.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use edge_model::api::{Event, EventKind};
use tokio::sync::watch;

/// So many events are kept for readers that are slow or come back.
const KEPT: usize = 256;

pub(crate) struct EventLog {
    kept: Mutex<VecDeque<Arc<Event>>>,
    newest: watch::Sender<u64>,
}

/// A reader's place. It holds no events: a slow reader costs nothing.
pub(crate) struct EventCursor {
    log: Arc<EventLog>,
    seen: u64,
    newest: watch::Receiver<u64>,
}

impl EventLog {
    /// Numbers begin where no earlier run of the agent can have been.
    pub(crate) fn new(first: u64) -> Self {
        Self { kept: Mutex::new(VecDeque::new()), newest: watch::channel(first).0 }
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<Arc<Event>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn emit(&self, kind: EventKind) {
        let mut kept = self.kept();
        let sequence = *self.newest.borrow() + 1;
        kept.push_back(Arc::new(Event { sequence, kind }));
        if kept.len() > KEPT {
            kept.pop_front();
        }
        self.newest.send_replace(sequence);
    }

    /// A place behind the event with this number, or behind the newest one.
    pub(crate) fn cursor(self: &Arc<Self>, seen: Option<u64>) -> EventCursor {
        let newest = self.newest.subscribe();
        let last = *newest.borrow();
        EventCursor { log: self.clone(), seen: seen.unwrap_or(last), newest }
    }

    /// The event behind `seen`; when it is gone, news that some are missing.
    fn behind(&self, seen: u64) -> Option<Arc<Event>> {
        let kept = self.kept();
        let newest = *self.newest.borrow();
        let oldest = kept.front().map_or(newest + 1, |event| event.sequence);
        if seen > newest || seen + 1 < oldest {
            return Some(Arc::new(Event { sequence: oldest - 1, kind: EventKind::Missed }));
        }
        kept.get((seen + 1 - oldest) as usize).cloned()
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

    fn numbers(log: &Arc<EventLog>, seen: Option<u64>, count: usize) -> Vec<(u64, bool)> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut cursor = log.cursor(seen);
        let mut take =
            || runtime.block_on(cursor.next()).map(|event| (event.sequence, event.kind == EventKind::Missed));
        (0..count).filter_map(|_| take()).collect()
    }

    #[test]
    fn a_reader_goes_on_where_it_was_or_learns_what_it_missed() {
        let log = Arc::new(EventLog::new(1000));
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
}
