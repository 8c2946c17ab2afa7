//! The second half of early boot, from the verified root and still PID 1: makes the host's own state visible
//! and starts the service manager.
//!
//! It ends in one of two ways only: systemd, or a restart with the reason, into what the boot ladder says.

mod failure;
mod file_systems;
mod host;
mod medium;
mod mounts;
mod state;
mod trial;

use std::convert::Infallible;
use std::fs;
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use edge_host::disk::{self, PartitionedDisk};
use edge_host::install_record::{InstallRecord, InstallState};
use edge_host::machine::Machine;
use edge_host::watchdog::Watchdog;
use edge_host::{child, console, files, patience, power, settle};
use edge_model::api::black_box::Ending;
use edge_model::api::{BootRecord, BootState};
use edge_model::user_data::install::Install;
use edge_model::{Context, Result, error, paths};
use edge_planner::host_kind::HostKind;

use crate::configuration::tried::{self, Tried};
use crate::configuration::{Settings, site};
use crate::facts::Host;
use crate::stages::{self, Moment, plug_ins};
use crate::{accounts, black_box};

const SERVICE_MANAGER: &str = "/usr/lib/systemd/systemd";
/// Longest time that one step of early boot, or the service manager's start, may take.
const WATCHDOG_TIMEOUT: Duration = Duration::from_secs(60);
const FEED_EVERY: Duration = Duration::from_secs(10);
/// Work that moves nothing on any disk for so long hangs. Stages may wait for a network, for 90 seconds each.
const FED_WITHOUT_A_SIGN: Duration = Duration::from_secs(300);
/// A stage of early boot that takes longer is ended; the boot goes on.
const STAGE_DEADLINE: Duration = Duration::from_secs(90);
const READING_TIME: Duration = Duration::from_secs(10);

/// Runs early boot. Returns only when even a restart is impossible.
pub(crate) fn run() -> Result<Infallible> {
    let error = match start() {
        Ok(never) => match never {},
        Err(error) => error,
    };
    console::say(&format!(
        "edge: this system cannot start.\r\n{}",
        error::render(&error).replace('\n', "\r\n")
    ));
    console::say("edge: restarting in 10 seconds; if this was the normal system, into another one.");
    if let Err(second) = failure::record(&error) {
        console::say(&format!("edge: warning: {second}"));
    }
    if let Err(second) = black_box::end_now(&Machine::real(), Ending::Restarted { reason: error.to_string() })
    {
        console::say(&format!("edge: the reason is not recorded: {second}"));
    }
    std::thread::sleep(READING_TIME);
    power::restart_now()
}

fn start() -> Result<Infallible> {
    let guard = Guard::arm();
    let mut record = read_boot_record()?;
    failure::take_over(&mut record);
    tell_what_starts();
    state::publish_layout()?;
    write_sentinels(HostKind::of(record.mode))?;
    match HostKind::of(record.mode) {
        HostKind::Appliance => prepare_main(&mut record, &guard)?,
        HostKind::Recovery => prepare_recovery(&mut record, &guard)?,
        HostKind::Installer => prepare_live(&mut record, &guard)?,
    }
    guard.feed();
    if let Err(error) = mounts::stay_until_the_end() {
        // A shutdown takes longer.
        console::say(&format!("edge: warning: {error}"));
    }
    write_boot_record(&record)?;
    drop(guard); // keeps ticking until the service manager takes it
    Err(child::become_program(SERVICE_MANAGER, &[]))
}

/// On an empty screen, until the console comes.
fn tell_what_starts() {
    let Ok(host) = Host::observe() else { return };
    let what = format!("{} {}", host.image.name, host.image.version);
    let on_trial = || host.booted().is_ok_and(|booted| booted.state() == BootState::Trial);
    match host.kind {
        HostKind::Appliance if on_trial() => console::say_alone(&format!(
            "edge: trying {what}. The version before returns by itself if this one does not prove healthy."
        )),
        HostKind::Appliance if host.record.is_fallback => console::say_alone(&format!(
            "edge: starting {what}, because the version after it did not come up."
        )),
        HostKind::Appliance => console::say_alone(&format!("edge: starting {what}.")),
        HostKind::Recovery => console::say_alone(&format!("edge: starting recovery of {what}.")),
        // Init has said what comes.
        HostKind::Installer => {}
    }
}

fn prepare_main(record: &mut BootRecord, guard: &Guard) -> Result<()> {
    let disk = disk::at_path(&record.disk)?;
    guard.while_feeding(|| file_systems::mount_oem(&disk, &mut record.reasons))?;
    black_box::begin(&Machine::real(), record);
    look_at_installation(&disk, &mut record.reasons);
    guard.while_feeding(|| adopt_site(&disk, &mut record.reasons));
    let mut tried = Tried::default();
    guard.while_feeding(|| tried::before_boot(HostKind::Appliance, &mut tried, &mut record.reasons));
    guard.while_feeding(|| run_stage("rootfs", HostKind::Appliance));
    guard.while_feeding(|| file_systems::mount_persistent(&disk, &mut record.reasons))?;
    // What plug-ins have left there, and what the first stage has written.
    guard.while_feeding(|| tried::before_boot(HostKind::Appliance, &mut tried, &mut record.reasons));
    let settings = Settings::load(HostKind::Appliance);
    let layout = state::layout(&settings.data.install, &mut record.reasons)?;
    state::apply(&layout, HostKind::Appliance)?;
    if let Err(error) = trial::arm_deadline(&settings) {
        record.reasons.push(format!("no deadline was armed for this boot: {error}"));
    }
    guard.while_feeding(|| host::apply(&settings, &mut record.reasons))?;
    guard.while_feeding(|| {
        run_stage("initramfs", HostKind::Appliance);
        restore_accounts(&settings, &mut record.reasons);
        record.reasons.extend(plug_ins::notify("agent.boot", &settings));
    });
    Ok(())
}

/// Recovery must come up whatever the disk looks like, and whatever stages would do to it.
fn prepare_recovery(record: &mut BootRecord, guard: &Guard) -> Result<()> {
    let mounted =
        disk::at_path(&record.disk).and_then(|disk| file_systems::mount_oem(&disk, &mut record.reasons));
    if let Err(error) = mounted {
        record.reasons.push(format!("the host's configuration is not readable: {error}"));
    }
    black_box::begin(&Machine::real(), record);
    guard
        .while_feeding(|| tried::before_boot(HostKind::Recovery, &mut Tried::default(), &mut record.reasons));
    let layout = state::layout(&Install::default(), &mut record.reasons)?;
    state::apply(&layout, HostKind::Recovery)?;
    let settings = Settings::load(HostKind::Recovery);
    host::apply(&settings, &mut record.reasons)?;
    restore_accounts(&settings, &mut record.reasons);
    Ok(())
}

/// What people changed about their accounts holds in this boot too.
fn restore_accounts(settings: &Settings, reasons: &mut Vec<String>) {
    let configured = accounts::Configured::of(settings.edge().operator.as_ref());
    if let Err(error) = accounts::restore(configured.as_ref()) {
        reasons.push(format!("changed accounts not restored: {error}"));
    }
}

fn prepare_live(record: &mut BootRecord, guard: &Guard) -> Result<()> {
    medium::mount(&record.disk)?;
    let silent = guard.while_feeding(settle::storage);
    if !silent.is_empty() {
        record.reasons.push(site::no_answer(&silent).to_string());
    }
    guard.while_feeding(|| {
        tried::before_boot(HostKind::Installer, &mut Tried::default(), &mut record.reasons)
    });
    guard.while_feeding(|| run_stage("rootfs", HostKind::Installer));
    let layout = state::layout(&Install::default(), &mut record.reasons)?;
    state::apply(&layout, HostKind::Installer)?;
    host::apply_to_installer(&mut record.reasons)?;
    guard.while_feeding(|| run_stage("initramfs", HostKind::Installer));
    Ok(())
}

/// An installation that was cut off, and whose medium is gone: the host runs as far as it was written, and is not closed, so that
/// the medium can go on.
fn look_at_installation(disk: &PartitionedDisk, reasons: &mut Vec<String>) {
    let record = disk.disk.open().ok().and_then(|mut device| InstallRecord::read(&mut device));
    if record.is_none_or(|record| record.state == InstallState::Installed) {
        return;
    }
    let why = "the installation of this host was cut off: start its medium again, which goes on with it";
    if let Err(error) = site::leave_open(why) {
        console::say(&format!("edge: warning: {error}"));
    }
    reasons.push(why.to_owned());
}

/// Takes what a site brought to a host that nobody has claimed.
fn adopt_site(disk: &PartitionedDisk, reasons: &mut Vec<String>) {
    if site::is_claimed(&Machine::real()) {
        return;
    }
    if let Err(error) = site::adopt(disk) {
        let why = format!("the site's configuration was not taken: {error}");
        if let Err(error) = site::keep_open(&why) {
            console::say(&format!("edge: warning: {error}"));
        }
        reasons.push(why);
    }
}

fn run_stage(stage: &str, kind: HostKind) {
    stages::run(
        stage,
        &Moment { machine: Machine::real(), kind, early: Some(STAGE_DEADLINE), dry_run: false },
    );
}

fn read_boot_record() -> Result<BootRecord> {
    let bytes = files::read(Path::new(paths::BOOT_RECORD), 1 << 20)?;
    serde_json::from_slice(&bytes).context("the boot record of init cannot be read")
}

fn write_boot_record(record: &BootRecord) -> Result<()> {
    let bytes = serde_json::to_vec(record).context("cannot write the boot record")?;
    files::write_durably(Path::new(paths::BOOT_RECORD), &bytes, 0o644)
}

/// Kairos' files that tell scripts how this boot came about.
fn write_sentinels(kind: HostKind) -> Result<()> {
    let name = match kind {
        HostKind::Appliance => "active_mode",
        HostKind::Recovery => "recovery_mode",
        HostKind::Installer => "live_mode",
    };
    fs::write(Path::new(paths::COS_DIR).join(name), "1").context("cannot write a sentinel")
}

/// The watchdog during early boot. A machine without one starts all the same; init has said so.
struct Guard(Arc<Mutex<Option<Watchdog>>>);

impl Guard {
    fn arm() -> Self {
        Self(Arc::new(Mutex::new(Watchdog::arm(WATCHDOG_TIMEOUT).ok().flatten())))
    }

    fn feed(&self) {
        if let Some(watchdog) = self.0.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            // A watchdog that is gone resets the machine by itself if it still ticks.
            let _ = watchdog.feed();
        }
    }

    /// Runs work that has a deadline of its own, longer than the watchdog's: the check of a large disk. What shows no sign of
    /// life for long is not fed: then the watchdog ends it.
    fn while_feeding<T>(&self, work: impl FnOnce() -> T) -> T {
        let (done, finished) = mpsc::channel::<()>();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let mut moved = patience::disk_bytes();
                let mut last_sign = Instant::now();
                while finished.recv_timeout(FEED_EVERY) == Err(RecvTimeoutError::Timeout) {
                    let now = patience::disk_bytes();
                    if now != moved {
                        (moved, last_sign) = (now, Instant::now());
                    }
                    if last_sign.elapsed() < FED_WITHOUT_A_SIGN {
                        self.feed();
                    }
                }
            });
            let result = work();
            drop(done);
            result
        })
    }
}
