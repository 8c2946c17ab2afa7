//! What the daemon knows, shared by its threads.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use edge_host::{network, power};
use edge_model::api::{
    BootState, Event, EventKind, Health, HostStatus, NetworkState, OperationRequest, OperationState,
    OperationStatus,
};
use edge_model::stage_log::StageRecord;
use edge_model::user_data::edge::Unsigned;
use edge_model::{Error, Result};
use tokio::sync::broadcast;

use crate::configuration::{Settings, site};
use crate::facts::{self, Host};
use crate::network_trial;
use crate::operations::{self, Afterwards};
use crate::report::{Report, cancelled};
use crate::stages::{self, Moment, plug_ins};

/// News that a slow reader may be behind.
const EVENT_BACKLOG: usize = 256;
/// Progress is told at most so often.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(250);

pub(crate) struct Shared {
    pub(crate) host: Host,
    settings: Mutex<Arc<Settings>>,
    network: Mutex<NetworkState>,
    /// An operator has confirmed the network on trial.
    confirmed: AtomicBool,
    health: Mutex<Health>,
    notices: Mutex<Vec<String>>,
    operation: Mutex<Option<OperationStatus>>,
    cancel: AtomicBool,
    /// An operation has asked for a restart.
    restarting: AtomicBool,
    events: broadcast::Sender<Event>,
    sequence: AtomicU64,
}

/// A value is still whole after another thread's panic: each is replaced as one.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(super) fn new(host: Host, settings: Settings) -> Self {
        let mut notices = host.record.reasons.clone();
        notices.extend(settings.complaints().iter().map(|problem| format!("configuration: {problem}")));
        notices.extend(stages::read_present().iter().flat_map(complaints));
        if settings.edge().upgrade.unsigned == Unsigned::Allow {
            notices.push("UNSIGNED images are accepted on this host (edge.upgrade.unsigned: allow)".into());
        }
        Self {
            host,
            settings: Mutex::new(Arc::new(settings)),
            network: Mutex::new(NetworkState::default()),
            confirmed: AtomicBool::new(false),
            health: Mutex::new(Health::Checking),
            notices: Mutex::new(notices),
            operation: Mutex::new(None),
            cancel: AtomicBool::new(false),
            restarting: AtomicBool::new(false),
            events: broadcast::channel(EVENT_BACKLOG).0,
            sequence: AtomicU64::new(0),
        }
    }

    /// The present configuration.
    pub(crate) fn settings(&self) -> Arc<Settings> {
        lock(&self.settings).clone()
    }

    /// Reads the configuration again.
    pub(super) fn reload_settings(&self) {
        *lock(&self.settings) = Arc::new(Settings::load(self.host.record.mode));
    }

    pub(super) fn set_network(&self, state: NetworkState) {
        *lock(&self.network) = state;
    }

    pub(super) fn network(&self) -> NetworkState {
        *lock(&self.network)
    }

    /// # Errors
    /// [`edge_model::Class::Rejected`] when no network is on trial.
    pub(super) fn confirm_network(&self) -> Result<()> {
        match self.network() {
            NetworkState::Trial { .. } => {
                self.confirmed.store(true, Ordering::Release);
                Ok(())
            }
            // The first network of a host, whose gateway does not answer.
            NetworkState::Kept if network_trial::memory().proven.is_none() => {
                self.confirmed.store(true, Ordering::Release);
                Ok(())
            }
            NetworkState::Kept | NetworkState::Returned => {
                Err(Error::rejected("no change of the network is on trial"))
            }
        }
    }

    pub(super) fn take_confirmation(&self) -> bool {
        self.confirmed.swap(false, Ordering::AcqRel)
    }

    /// The first site boot has finished: nothing outside is read any more.
    pub(super) fn claim(&self) {
        if site::is_claimed() {
            return;
        }
        let record = stages::run("kairos-agent.bootstrap", &Moment::of_running_system(self.host.record.mode));
        let settings = self.settings();
        let of_plug_ins = plug_ins::notify("agent.bootstrap", &settings);
        let failed = record.failed_steps().map(|step| format!("stage {}: {step} failed", record.stage));
        failed.chain(of_plug_ins).for_each(|failure| self.notice(failure));
        if let Err(error) = site::claim() {
            self.notice(format!(
                "the host could not be closed to further configuration from outside: {error}"
            ));
        }
    }

    pub(super) fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    fn emit(&self, kind: EventKind) {
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed);
        // Nobody may be listening.
        let _ = self.events.send(Event { sequence, kind });
    }

    pub(super) fn set_health(&self, health: Health) {
        let mut present = lock(&self.health);
        if *present != health {
            *present = health.clone();
            drop(present);
            self.emit(EventKind::Health { health });
        }
    }

    /// Something that an operator should know, also in the log.
    pub(super) fn notice(&self, text: String) {
        eprintln!("notice: {text}");
        let mut notices = lock(&self.notices);
        if !notices.contains(&text) {
            notices.push(text);
        }
    }

    pub(super) fn status(&self) -> Result<HostStatus> {
        let ledger = operations::ledger_store().load();
        let boot_state = match self.host.booted() {
            Ok(booted) => booted.state(),
            Err(error) => {
                self.notice(format!("the boot loader's state cannot be read: {error}"));
                BootState::Committed
            }
        };
        Ok(HostStatus {
            agent_version: env!("CARGO_PKG_VERSION").into(),
            host_name: facts::host_name()?,
            host_id: facts::host_id(),
            network: self.network(),
            mode: self.host.record.mode,
            boot_state,
            health: lock(&self.health).clone(),
            image: self.host.image.clone(),
            slot: self.host.record.slot,
            slot_a: ledger.slot_a.clone(),
            slot_b: ledger.slot_b.clone(),
            addresses: network::addresses(),
            last_event: ledger.history.last().cloned(),
            failed: ledger.failed,
            notices: lock(&self.notices).clone(),
            operation: lock(&self.operation).clone(),
        })
    }

    /// Starts an operation in a thread of its own.
    ///
    /// # Errors
    /// [`edge_model::Class::Rejected`] while another one runs.
    pub(super) fn start(self: &Arc<Self>, request: OperationRequest) -> Result<OperationStatus> {
        let mut present = lock(&self.operation);
        if let Some(running) = present.as_ref().filter(|running| running.state == OperationState::Running) {
            return Err(Error::rejected(format!("the operation {:?} is running", running.operation))
                .help("wait for its end; edge-agent status shows it"));
        }
        if matches!(request, OperationRequest::Upgrade(_) | OperationRequest::Rollback)
            && matches!(self.network(), NetworkState::Trial { .. })
        {
            return Err(Error::rejected("a change of the network is on trial")
                .help("wait for its end, or keep it with edge-agent config confirm"));
        }
        let status = OperationStatus {
            id: present.as_ref().map_or(1, |last| last.id + 1),
            operation: request.name().into(),
            state: OperationState::Running,
            step: String::new(),
            done: 0,
            total: 0,
        };
        *present = Some(status.clone());
        drop(present);
        self.cancel.store(false, Ordering::Relaxed);
        let shared = self.clone();
        std::thread::spawn(move || shared.run(&request));
        Ok(status)
    }

    /// Asks the running operation to stop at its next safe point.
    pub(super) fn cancel(&self) {
        self.cancel.store(true, Ordering::Relaxed);
    }

    fn run(&self, request: &OperationRequest) {
        let mut reporter = Reporter { shared: self, told: Instant::now() };
        let result = operations::run(request, &self.host, &self.settings(), &mut reporter);
        let restart = result.as_ref().is_ok_and(|outcome| outcome.afterwards == Afterwards::Restart);
        self.restarting.store(restart, Ordering::Release);
        let state = match result {
            Ok(outcome) => OperationState::Done { message: outcome.message },
            Err(error) => {
                eprintln!("{} failed: {error}", request.name());
                OperationState::Failed { error }
            }
        };
        self.update(|status| status.state = state);
        if restart && let Err(error) = power::restart() {
            self.notice(error.to_string());
        }
    }

    /// Whether the last operation ended with a restart of the machine.
    pub(super) fn is_restarting(&self) -> bool {
        self.restarting.load(Ordering::Acquire)
    }

    /// The present or last operation.
    pub(super) fn operation(&self) -> Option<OperationStatus> {
        lock(&self.operation).clone()
    }

    fn update(&self, change: impl FnOnce(&mut OperationStatus)) {
        let mut present = lock(&self.operation);
        if let Some(status) = present.as_mut() {
            change(status);
            let status = status.clone();
            drop(present);
            self.emit(EventKind::Operation(status));
        }
    }
}

/// What of a stage a person should know.
fn complaints(record: &StageRecord) -> Vec<String> {
    let of_files = record.problems.iter().map(|problem| format!("stage {}: {problem}", record.stage));
    of_files
        .chain(record.failed_steps().map(|step| format!("stage {}: {step} failed", record.stage)))
        .collect()
}

struct Reporter<'a> {
    shared: &'a Shared,
    told: Instant,
}

impl Report for Reporter<'_> {
    fn step(&mut self, title: &str, total: u64) {
        eprintln!("{title}");
        self.shared.update(|status| {
            status.step = title.to_owned();
            status.done = 0;
            status.total = total;
        });
    }

    fn progress(&mut self, done: u64) -> Result<()> {
        if self.shared.cancel.load(Ordering::Relaxed) {
            return Err(cancelled());
        }
        if self.told.elapsed() >= PROGRESS_INTERVAL {
            self.told = Instant::now();
            self.shared.update(|status| status.done = done);
        }
        Ok(())
    }
}
