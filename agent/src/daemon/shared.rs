//! What the daemon knows, shared by its threads.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use edge_host::{kernel, settle, system_info, volumes};
use edge_model::api::{BootState, EventKind, Health, HostStatus, NetworkState, Notice, OperationKind, WebUi};
use edge_model::ids::Digest;
use edge_model::stage_log::StageRecord;
use edge_model::user_data::edge::Unsigned;
use edge_model::{Result, paths};
use edge_planner::admission::{self, HostFacts, Wish};
use edge_planner::host_kind::HostKind;
use edge_planner::login::FirstPassword;

use super::board::{Attendance, Board};
use super::events::EventLog;
use super::network_care::NetworkWishes;
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

/// Its parts, each with locks of its own, and what one of them means for another.
///
/// Locks are taken in this order, and each is let go as soon as its value is read: `looking` of the board; one of `settings`, the
/// board's other values, those of `notices` and of `cluster`; the board's `status`; that of `operations`; that of `events`. Nobody
/// holds one while waiting for the disk, but for `looking`, which only those who look wait for.
pub(crate) struct Shared {
    pub(crate) host: Host,
    pub(crate) operations: Register,
    pub(crate) events: Arc<EventLog>,
    pub(crate) audit: AuditLog,
    pub(crate) cluster: cluster::Board,
    /// What others know this host by.
    host_key: Option<Digest>,
    /// What people want of a network on trial.
    pub(super) network_wishes: NetworkWishes,
    pub(super) board: Board,
    notices: Notices,
    attendance: Attendance,
    settings: Mutex<Arc<Settings>>,
    /// The host was not claimed when this boot began.
    is_first_boot: bool,
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
        let keeps = host.keeps_state();
        let folder = host.machine.path(paths::OEM_EDGE);
        let (operations, events) = if keeps {
            let events = EventLog::kept_in(StateFile::new(&folder), system_info::boot_id());
            (Register::kept_in(StateFile::new(&folder)), events)
        } else {
            (Register::default(), EventLog::new())
        };
        let key = (keeps && host.kind == HostKind::Appliance)
            .then(|| HostKey::prepare(&host.machine.path(paths::OEM_HOST_KEY)));
        if let Some(Err(error)) = &key {
            notices.add(Said::failed("the host's own key cannot be used", error));
        }
        let shared = Self {
            host_key: key.and_then(|key| key.ok()).map(|key| key.fingerprint()),
            is_first_boot: !site::is_claimed(&host.machine),
            host,
            operations,
            events: Arc::new(events),
            audit,
            cluster: cluster::Board::default(),
            network_wishes: NetworkWishes::default(),
            board: Board::new(status),
            notices,
            attendance: Attendance::default(),
            settings: Mutex::new(Arc::new(settings)),
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
        *lock(&self.settings) = Arc::new(Settings::load(self.host.kind));
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
            kind: self.host.kind,
            operator: settings.edge().operator.as_ref().map(|operator| operator.name.as_str()),
            is_first_boot: self.is_first_boot,
            up_time: kernel::up_time().as_secs(),
            somebody_can_log_in: sessions::somebody_can_log_in(),
            is_forbidden: settings.edge().disable_password_update.unwrap_or(false),
        }
        .account()
        .map(str::to_owned)
    }

    pub(super) fn set_network(&self, state: NetworkState) {
        self.board.set_network(state);
        self.refresh();
    }

    pub(crate) fn network(&self) -> NetworkState {
        self.board.network()
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
        self.network_wishes.keep();
        Ok(())
    }

    /// # Errors
    /// [`edge_model::Class::Rejected`] when no network is on trial.
    pub(crate) fn give_network_up(&self) -> Result<()> {
        self.may(Wish::RestoreNetwork)?;
        self.network_wishes.give_up();
        Ok(())
    }

    /// The first site boot has finished: nothing outside is read any more.
    pub(super) fn claim(self: &Arc<Self>) {
        if site::is_claimed(&self.host.machine) {
            let shared = self.clone();
            // Nobody waits for a stick that means nothing any more.
            std::thread::spawn(move || shared.tell_what_is_not_read());
            return;
        }
        let record = stages::run(
            "kairos-agent.bootstrap",
            &Moment::of_running_system(&self.host.machine, self.host.kind),
        );
        let settings = self.settings();
        let of_plug_ins = plug_ins::notify("agent.bootstrap", &settings);
        let failed = record.failed_steps().map(|step| format!("stage {}: {step} failed", record.stage));
        failed.chain(of_plug_ins).for_each(|failure| self.notice(Said::problem(failure)));
        if let Some(why) = site::unread() {
            let text = format!("this host is not claimed yet, and the next boot looks again: {why}");
            return self.notice(Said::warning(text));
        }
        if let Err(error) = site::claim(&self.host.machine) {
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
        if self.board.set_health(&health) {
            self.events.emit(EventKind::Health { health });
            self.refresh();
        }
    }

    /// Something that an operator should know, also in the log.
    pub(crate) fn notice(&self, said: Said) {
        notices::log(said.severity(), &said);
        if self.notices.add(said) {
            self.refresh();
        }
    }

    /// Tells what is true about something, as long as it lasts.
    pub(crate) fn notice_while(&self, about: &'static str, now: Vec<Said>) {
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
        self.board.status()
    }

    /// From now on this is the web page, or there is none.
    pub(crate) fn show_web(&self, page: Option<WebUi>) {
        self.board.set_web(page);
        self.refresh();
    }

    /// Looks at the host again; those who follow it hear of what has changed.
    pub(crate) fn refresh(&self) {
        if let Some(now) = self.board.look(|| snapshot::look(self)) {
            self.events.emit(EventKind::Status { status: Box::new((*now).clone()) });
        }
    }

    pub(crate) fn somebody_works(&self) {
        self.attendance.note();
    }

    pub(super) fn since_last_work(&self) -> Duration {
        self.attendance.since()
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
                self.board.set_boot_state(state);
                Some(state)
            }
            // Somebody writes a kernel: nobody who only looks waits for that, once there was a look.
            Ok(None) => {
                let known = self.board.boot_state();
                known.or_else(|| self.host.booted().ok().map(|booted| booted.state()))
            }
            Err(error) => {
                let said = Said::failed("the boot loader's state cannot be read", &error);
                self.notice_while("boot loader", vec![said]);
                None
            }
        }
    }

    /// Whether administrators may open a shell on the console.
    pub(super) fn shell_is_allowed(&self) -> bool {
        self.host.kind == HostKind::Appliance && std::path::Path::new(paths::IMAGE_CONSOLE_SHELL).exists()
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
    pub(crate) fn of_test(kind: HostKind, audit: &std::path::Path) -> Arc<Self> {
        use edge_host::machine::Machine;
        use edge_model::api::{BootRecord, Found, ImageIdentity};
        use edge_model::cmdline::Mode;
        use edge_model::ids::RootHash;
        use edge_model::ledger::ImageRecord;
        let root_hash = RootHash([7; 32]);
        let mode = match kind {
            HostKind::Appliance => Mode::Main,
            HostKind::Recovery => Mode::Recovery,
            HostKind::Installer => Mode::Live,
        };
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
        let host = Host { kind, machine, record, image, image_record, variables: None };
        Arc::new(Self::new(host, Settings::from(&[], Vec::new()), AuditLog::open(audit)))
    }

    /// Of a host in a folder.
    pub(crate) fn of_host(host: Host, settings: Settings) -> Arc<Self> {
        let audit = AuditLog::open(&host.machine.path(paths::OEM_AUDIT));
        Arc::new(Self::new(host, settings, audit))
    }
}
