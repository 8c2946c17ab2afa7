//! What the daemon knows, shared by its threads.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use edge_host::{kernel, mount, settle, system_info, volumes};
use edge_model::api::{BootState, EventKind, Health, HostStatus, NetworkState, Notice, OperationKind};
use edge_model::cmdline::Mode;
use edge_model::ids::Digest;
use edge_model::stage_log::StageRecord;
use edge_model::user_data::edge::Unsigned;
use edge_model::{Result, paths};
use edge_planner::admission::{self, HostFacts, Wish};
use edge_planner::login::FirstPassword;

use super::events::EventLog;
use super::notices::{self, Notices, Said};
use super::register::Register;
use super::snapshot;
use crate::access::audit::AuditLog;
use crate::access::sessions;
use crate::cluster;
use crate::configuration::{Settings, VOLUMES, site};
use crate::facts::Host;
use crate::host_key::HostKey;
use crate::operations::ASKED_FOR_RECOVERY;
use crate::stages::{self, Moment, plug_ins};
use crate::state_file::StateFile;

/// Locks are taken in this order, and each is let go as soon as its value is read: `looking`; one of `settings`, `network`,
/// `health`, `boot_state`, those of `notices` and of `cluster`; `status`; that of `operations`; that of `events`. Nobody holds one
/// while waiting for the disk, but for `looking`, which only those who look wait for.
pub(crate) struct Shared {
    pub(crate) host: Host,
    pub(crate) operations: Register,
    pub(crate) events: Arc<EventLog>,
    pub(crate) audit: AuditLog,
    pub(crate) cluster: cluster::Board,
    /// What others know this host by.
    host_key: Option<Digest>,
    settings: Mutex<Arc<Settings>>,
    /// What was last seen of the host: answers come from here, and not from the disk.
    pub(super) status: Mutex<Arc<HostStatus>>,
    looking: Mutex<()>,
    /// How the loader stood towards the booted image when it could last be told.
    boot_state: Mutex<Option<BootState>>,
    network: Mutex<NetworkState>,
    /// An operator has confirmed the network on trial.
    confirmed: AtomicBool,
    /// An operator wants the last network back.
    surrendered: AtomicBool,
    health: Mutex<Health>,
    notices: Notices,
    /// An operation has asked for a restart.
    pub(super) restarting: AtomicBool,
    /// When somebody who is logged in last asked for something, or an operation ended. Seconds from power-on.
    last_work: AtomicU64,
    /// The host was not claimed when this boot began.
    is_first_boot: bool,
    /// When the trial of this boot ends, in seconds from power-on; 0 without one.
    trial_ends: AtomicU64,
}

/// A value is still whole after another thread's panic: each is replaced as one.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(super) fn new(host: Host, settings: Settings, audit: AuditLog) -> Self {
        // Whoever asked for recovery knows why it is here.
        let reasons = host.record.reasons.iter().filter(|reason| *reason != ASKED_FOR_RECOVERY);
        let notices = Notices::of_this_boot();
        for reason in reasons {
            notices.add(Said::problem(reason));
        }
        for complaint in stages::read_present().iter().flat_map(complaints) {
            notices.add(Said::problem(complaint));
        }
        let status = snapshot::blank(&host);
        let has_oem = host.record.mode != Mode::Live && mount::is_mounted(&host.machine.path(paths::OEM));
        let operations = if has_oem {
            Register::kept_in(StateFile::new(&host.machine.path(paths::OEM_EDGE)))
        } else {
            Register::default()
        };
        let events = if has_oem {
            EventLog::kept_in(StateFile::new(&host.machine.path(paths::OEM_EDGE)), system_info::boot_id())
        } else {
            EventLog::new()
        };
        let key = (has_oem && host.record.mode == Mode::Main)
            .then(|| HostKey::prepare(&host.machine.path(paths::OEM_HOST_KEY)));
        if let Some(Err(error)) = &key {
            notices.add(Said::failed("the host's own key cannot be used", error));
        }
        let shared = Self {
            host_key: key.and_then(|key| key.ok()).map(|key| key.fingerprint()),
            host,
            operations,
            events: Arc::new(events),
            audit,
            cluster: cluster::Board::default(),
            settings: Mutex::new(Arc::new(settings)),
            status: Mutex::new(Arc::new(status)),
            looking: Mutex::new(()),
            boot_state: Mutex::new(None),
            network: Mutex::new(NetworkState::default()),
            confirmed: AtomicBool::new(false),
            surrendered: AtomicBool::new(false),
            health: Mutex::new(Health::Checking),
            notices,
            restarting: AtomicBool::new(false),
            last_work: AtomicU64::new(0),
            is_first_boot: !site::is_claimed(),
            trial_ends: AtomicU64::new(0),
        };
        shared.tell_of_settings();
        shared.refresh();
        shared
    }

    /// The present configuration.
    pub(crate) fn settings(&self) -> Arc<Settings> {
        lock(&self.settings).clone()
    }

    /// Reads the configuration again.
    pub(crate) fn reload_settings(&self) {
        *lock(&self.settings) = Arc::new(Settings::load(self.host.record.mode));
        self.tell_of_settings();
        // A definition may have come, or changed.
        self.cluster.tell();
    }

    /// What is wrong with the configuration, or unusual in it, as long as it is.
    fn tell_of_settings(&self) {
        let settings = self.settings();
        let complaints = settings.complaints().into_iter();
        self.notice_while(
            "configuration",
            complaints.map(|problem| Said::problem(format!("configuration: {problem}"))).collect(),
        );
        let allowed = settings.edge().upgrade.unsigned == Unsigned::Allow;
        let unsigned = allowed.then(|| {
            Said::warning("UNSIGNED images are accepted on this host (edge.upgrade.unsigned: allow)")
        });
        self.notice_while("unsigned", unsigned.into_iter().collect());
    }

    /// The account that whoever stands in front of the host may give its first password.
    pub(crate) fn first_password(&self) -> Option<String> {
        let settings = self.settings();
        FirstPassword {
            mode: self.host.record.mode,
            operator: settings.edge().operator.as_ref().map(|operator| operator.name.as_str()),
            is_first_boot: self.is_first_boot,
            up_time: kernel::up_time().as_secs(),
            somebody_can_log_in: sessions::somebody_can_log_in(),
            is_forbidden: settings.edge().disable_password_update.unwrap_or(false),
        }
        .account()
        .map(str::to_owned)
    }

    pub(super) fn set_trial_end(&self, seconds: u64) {
        self.trial_ends.store(seconds, Ordering::Release);
    }

    pub(super) fn trial_ends(&self) -> u64 {
        self.trial_ends.load(Ordering::Acquire)
    }

    pub(super) fn set_network(&self, state: NetworkState) {
        *lock(&self.network) = state;
        self.refresh();
    }

    pub(crate) fn network(&self) -> NetworkState {
        *lock(&self.network)
    }

    pub(super) fn admission_facts(&self) -> HostFacts {
        snapshot::admission_facts(self, self.booted_state(), &self.host.ledger().load())
    }

    /// Whether this host can do something in its present state.
    ///
    /// # Errors
    /// As [`admission::may`].
    pub(crate) fn may(&self, wish: Wish) -> Result<()> {
        admission::may(&self.admission_facts(), wish)
    }

    /// Whether an operation could begin now.
    ///
    /// # Errors
    /// As [`admission::may_begin`].
    pub(crate) fn may_begin(&self, kind: OperationKind) -> Result<()> {
        let running = self.operations.running();
        admission::may_begin(&self.admission_facts(), Wish::Operation(kind), running.as_ref())
    }

    /// # Errors
    /// [`edge_model::Class::Rejected`] when no network is on trial.
    pub(crate) fn confirm_network(&self) -> Result<()> {
        self.may(Wish::ConfirmNetwork)?;
        self.confirmed.store(true, Ordering::Release);
        Ok(())
    }

    /// # Errors
    /// [`edge_model::Class::Rejected`] when no network is on trial.
    pub(crate) fn give_network_up(&self) -> Result<()> {
        self.may(Wish::RestoreNetwork)?;
        self.surrendered.store(true, Ordering::Release);
        Ok(())
    }

    pub(super) fn take_confirmation(&self) -> bool {
        self.confirmed.swap(false, Ordering::AcqRel)
    }

    pub(super) fn take_surrender(&self) -> bool {
        self.surrendered.swap(false, Ordering::AcqRel)
    }

    /// The first site boot has finished: nothing outside is read any more.
    pub(super) fn claim(self: &Arc<Self>) {
        if site::is_claimed() {
            let shared = self.clone();
            // Nobody waits for a stick that means nothing any more.
            std::thread::spawn(move || shared.tell_what_is_not_read());
            return;
        }
        let record = stages::run("kairos-agent.bootstrap", &Moment::of_running_system(self.host.record.mode));
        let settings = self.settings();
        let of_plug_ins = plug_ins::notify("agent.bootstrap", &settings);
        let failed = record.failed_steps().map(|step| format!("stage {}: {step} failed", record.stage));
        failed.chain(of_plug_ins).for_each(|failure| self.notice(Said::problem(failure)));
        if let Some(why) = site::unread() {
            let text = format!("this host is not claimed yet, and the next boot looks again: {why}");
            return self.notice(Said::warning(text));
        }
        if let Err(error) = site::claim() {
            let what = "the host could not be closed to further configuration from outside";
            self.notice(Said::failed(what, &error));
        }
    }

    /// Somebody who plugs documents in expects something of it.
    fn tell_what_is_not_read(&self) {
        const HELP: &str = "to take what it says at the next start: edge-agent config unclaim";
        for silent in settle::storage() {
            let text = format!("{silent} does not answer, and is not read: this host is claimed");
            self.notice(Said::warning(text).help(HELP));
        }
        for (_, label) in volumes::with_labels(&VOLUMES).unwrap_or_default() {
            let text = format!("the volume {label} is not read: this host is claimed");
            self.notice(Said::warning(text).help(HELP));
        }
    }

    pub(super) fn set_health(&self, health: Health) {
        let mut present = lock(&self.health);
        if *present != health {
            *present = health.clone();
            drop(present);
            self.events.emit(EventKind::Health { health });
            self.refresh();
        }
    }

    pub(super) fn health(&self) -> Health {
        lock(&self.health).clone()
    }

    /// Something that an operator should know, also in the log.
    pub(crate) fn notice(&self, said: Said) {
        notices::log(said.severity(), &said);
        if self.notices.add(said) {
            self.refresh();
        }
    }

    /// Tells what is true about something, as long as it lasts.
    pub(super) fn notice_while(&self, about: &'static str, now: Vec<Said>) {
        for news in self.notices.while_it_lasts(about, now) {
            notices::log(news.severity, &news.text);
        }
    }

    pub(super) fn notices(&self) -> Vec<Notice> {
        self.notices.shown()
    }

    /// Somebody has read a notice, or all of them.
    ///
    /// # Errors
    /// As [`Notices::put_away`].
    pub(crate) fn put_notices_away(&self, which: Option<&str>) -> Result<()> {
        self.notices.put_away(which)?;
        self.refresh();
        Ok(())
    }

    /// What was last seen of the host.
    pub(crate) fn status(&self) -> Arc<HostStatus> {
        lock(&self.status).clone()
    }

    /// Looks at the host again; those who follow it hear of what has changed.
    pub(crate) fn refresh(&self) {
        // An older look must not take the place of a newer one.
        let _one_at_a_time = lock(&self.looking);
        let now = Arc::new(snapshot::look(self));
        let mut present = lock(&self.status);
        if **present != *now {
            *present = now.clone();
            drop(present);
            self.events.emit(EventKind::Status { status: Box::new((*now).clone()) });
        }
    }

    pub(crate) fn somebody_works(&self) {
        self.last_work.store(kernel::up_time().as_secs(), Ordering::Relaxed);
    }

    /// How long nobody has: since power-on, if nobody has at all.
    pub(super) fn since_last_work(&self) -> Duration {
        let last = Duration::from_secs(self.last_work.load(Ordering::Relaxed));
        kernel::up_time().saturating_sub(last)
    }

    pub(crate) fn host_key(&self) -> Option<Digest> {
        self.host_key
    }

    /// None when firmware and loader do not tell.
    pub(super) fn booted_state(&self) -> Option<BootState> {
        match self.host.booted_now() {
            Ok(Some(booted)) => {
                self.notice_while("boot loader", Vec::new());
                let state = booted.state();
                *lock(&self.boot_state) = Some(state);
                Some(state)
            }
            // Somebody writes a kernel: nobody who only looks waits for that, once there was a look.
            Ok(None) => {
                let known = *lock(&self.boot_state);
                known.or_else(|| self.host.booted().ok().map(|booted| booted.state()))
            }
            Err(error) => {
                let said = Said::failed("the boot loader's state cannot be read", &error);
                self.notice_while("boot loader", vec![said]);
                None
            }
        }
    }

    /// Whether the last operation ended with a restart of the machine.
    pub(super) fn is_restarting(&self) -> bool {
        self.restarting.load(Ordering::Acquire)
    }

    /// Whether administrators may open a shell on the console.
    pub(super) fn shell_is_allowed(&self) -> bool {
        self.host.record.mode == Mode::Main && std::path::Path::new(paths::IMAGE_CONSOLE_SHELL).exists()
    }
}

/// What of a stage a person should know.
fn complaints(record: &StageRecord) -> Vec<String> {
    let of_files = record.problems.iter().map(|problem| format!("stage {}: {problem}", record.stage));
    of_files
        .chain(record.failed_steps().map(|step| format!("stage {}: {step} failed", record.stage)))
        .collect()
}

#[cfg(test)]
impl Shared {
    /// Of a host that is not there.
    pub(crate) fn of_test(mode: Mode, audit: &std::path::Path) -> Arc<Self> {
        use edge_host::machine::Machine;
        use edge_model::api::{BootRecord, Found, ImageIdentity};
        use edge_model::ids::RootHash;
        use edge_model::ledger::ImageRecord;
        let root_hash = RootHash([7; 32]);
        let record = BootRecord {
            mode,
            root_hash,
            data_blocks: 1,
            slot: None,
            disk: "/dev/not-there".into(),
            reasons: Vec::new(),
            is_fallback: false,
            found: Found::default(),
        };
        let image = ImageIdentity { name: "edge".into(), version: "1.0.0".into(), root_hash };
        let image_record = ImageRecord {
            name: image.name.clone(),
            version: image.version.clone(),
            root_hash,
            created: 0,
            data_blocks: 1,
            signed: true,
        };
        let machine = Machine::real();
        let host = Host { machine, record, image, image_record, variables: None };
        Arc::new(Self::new(host, Settings::from(&[], Vec::new()), AuditLog::open(audit)))
    }
}
