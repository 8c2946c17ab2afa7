//! What was last seen of the host: answers come from here, and not from the disk.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use edge_host::kernel;
use edge_model::api::{BootState, Health, HostStatus, NetworkState, OperationStatus, WebUi};

use super::shared::lock;

/// One lock for each value, and none that is held while another is taken, but for `looking`.
pub(super) struct Board {
    status: Mutex<Arc<HostStatus>>,
    looking: Mutex<()>,
    /// How the loader stood towards the booted image when it could last be told.
    boot_state: Mutex<Option<BootState>>,
    network: Mutex<NetworkState>,
    health: Mutex<Health>,
    /// The web page, when there is one; its address is looked up.
    web: Mutex<Option<WebUi>>,
    /// When the trial of this boot ends, in seconds from power-on; 0 without one.
    trial_ends: AtomicU64,
}

impl Board {
    pub(super) fn new(status: HostStatus) -> Self {
        Self {
            status: Mutex::new(Arc::new(status)),
            looking: Mutex::new(()),
            boot_state: Mutex::new(None),
            network: Mutex::new(NetworkState::default()),
            health: Mutex::new(Health::Checking),
            web: Mutex::new(None),
            trial_ends: AtomicU64::new(0),
        }
    }

    pub(super) fn status(&self) -> Arc<HostStatus> {
        lock(&self.status).clone()
    }

    /// Looks at the host; what it is like, if that is news. An older look does not take the place of a newer one.
    pub(super) fn look(&self, look: impl FnOnce() -> HostStatus) -> Option<Arc<HostStatus>> {
        let _one_at_a_time = lock(&self.looking);
        let now = Arc::new(look());
        let mut present = lock(&self.status);
        if **present == *now {
            return None;
        }
        *present = now.clone();
        Some(now)
    }

    /// News of an operation, which is part of the status too.
    pub(super) fn show_operation(&self, last: Option<OperationStatus>) {
        let mut present = lock(&self.status);
        let mut changed = (**present).clone();
        changed.operation = last;
        *present = Arc::new(changed);
    }

    pub(super) fn web(&self) -> Option<WebUi> {
        lock(&self.web).clone()
    }

    pub(super) fn set_web(&self, page: Option<WebUi>) {
        *lock(&self.web) = page;
    }

    pub(super) fn health(&self) -> Health {
        lock(&self.health).clone()
    }

    /// Whether that is news.
    pub(super) fn set_health(&self, health: &Health) -> bool {
        let mut present = lock(&self.health);
        let is_news = *present != *health;
        present.clone_from(health);
        is_news
    }

    pub(super) fn network(&self) -> NetworkState {
        *lock(&self.network)
    }

    pub(super) fn set_network(&self, state: NetworkState) {
        *lock(&self.network) = state;
    }

    pub(super) fn boot_state(&self) -> Option<BootState> {
        *lock(&self.boot_state)
    }

    pub(super) fn set_boot_state(&self, state: BootState) {
        *lock(&self.boot_state) = Some(state);
    }

    pub(super) fn trial_ends(&self) -> u64 {
        self.trial_ends.load(Ordering::Acquire)
    }

    pub(super) fn set_trial_end(&self, seconds: u64) {
        self.trial_ends.store(seconds, Ordering::Release);
    }
}

/// When somebody was last at work here.
#[derive(Debug, Default)]
pub(super) struct Attendance {
    /// Somebody who is logged in asked for something, or an operation ended. Seconds from power-on.
    last: AtomicU64,
}

impl Attendance {
    pub(super) fn note(&self) {
        self.last.store(kernel::up_time().as_secs(), Ordering::Relaxed);
    }

    /// How long nobody has been: since power-on, if nobody has at all.
    pub(super) fn since(&self) -> Duration {
        kernel::up_time().saturating_sub(Duration::from_secs(self.last.load(Ordering::Relaxed)))
    }
}
