//! What is known of the cluster, for everybody else, and news for its caretaker.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use edge_model::api::cluster::{ClusterPhase, ClusterStatus, PodStatus};

#[derive(Debug, Default)]
pub(crate) struct Board {
    shown: Mutex<Shown>,
    /// Something was ordered, or the configuration changed.
    news: Mutex<bool>,
    changed: Condvar,
}

#[derive(Debug, Default, Clone, PartialEq)]
struct Shown {
    status: Option<ClusterStatus>,
    pods: Vec<PodStatus>,
}

/// A value is still whole after another thread's panic: each is replaced as one.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Board {
    pub(crate) fn status(&self) -> Option<ClusterStatus> {
        lock(&self.shown).status.clone()
    }

    pub(crate) fn pods(&self) -> Vec<PodStatus> {
        lock(&self.shown).pods.clone()
    }

    /// Tells whether this is different from what was known.
    pub(super) fn show(&self, status: Option<ClusterStatus>, pods: Vec<PodStatus>) -> bool {
        let now = Shown { status, pods };
        let mut shown = lock(&self.shown);
        let differs = *shown != now;
        *shown = now;
        differs
    }

    /// Shows at once what was ordered: the caretaker may be busy.
    pub(crate) fn announce(&self, name: &str, phase: ClusterPhase) {
        let mut shown = lock(&self.shown);
        let blank = ClusterStatus::new(name, phase);
        shown.status.get_or_insert(blank).phase = phase;
    }

    /// Wakes the caretaker.
    pub(crate) fn tell(&self) {
        *lock(&self.news) = true;
        self.changed.notify_all();
    }

    /// Sleeps until there is news, or for so long.
    pub(super) fn wait(&self, longest: Option<Duration>) {
        let mut news = lock(&self.news);
        match longest {
            Some(longest) if !*news => {
                news = self.changed.wait_timeout(news, longest).unwrap_or_else(PoisonError::into_inner).0;
            }
            Some(_) => {}
            None => {
                while !*news {
                    news = self.changed.wait(news).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
        *news = false;
    }
}
