//! The care for a boot: mend what the next one needs, judge this one, commit or return.

use std::fs;
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use edge_host::{console, files, kernel, power};
use edge_model::api::{BootState, Health};
use edge_model::ledger::{Ledger, UpgradeStage};
use edge_model::{Context, Result, paths};
use edge_planner::boot::BootedImage;
use edge_planner::boot::outcome::{self, TrialEvidence};
use edge_planner::boot::recovery::Counters;
use edge_planner::boot::trial::{Look, Soak};

use super::Shared;
use super::notices::Said;
use super::recovery_care;
use super::trial::{Trial, Verdict};
use crate::operations::{fsck, reset};
use crate::{black_box, boot_control, cluster, facts, health};

/// The boot's end is waited for so long before everything else is looked at again.
const WHILE_STARTING: Duration = Duration::from_secs(10);
/// Between looks while the boot is being judged.
const WHILE_JUDGING: Duration = Duration::from_millis(200);
const WHILE_FAILING: Duration = Duration::from_secs(2);
const WHILE_SOAKING: Duration = Duration::from_secs(1);
const WHILE_UNHEALTHY: Duration = Duration::from_secs(10);
const WHILE_HEALTHY: Duration = Duration::from_secs(300);
/// After this time somebody may wonder what the boot waits for.
const LONG_START: Duration = Duration::from_secs(180);
/// A restart that was asked for may take as long as its slowest service.
const BETWEEN_RESTARTS: Duration = Duration::from_secs(180);

/// Watches over the normal system.
pub(super) fn watch_main(shared: &Arc<Shared>) {
    let mut told = Told::default();
    match reset::lead_to_recovery(&shared.host) {
        Ok(false) => {}
        Ok(true) => return leave(shared),
        Err(error) => shared.notice(Said::failed("the host was not reset", &error)),
    }
    let booted = booted(shared, &mut told);
    attempt(shared, "the outcome of a trial was not recorded", record_outcome(shared, &booted));
    let ledger = shared.host.ledger().load();
    match boot_control::maintain(&shared.host, &booted, &ledger) {
        Ok(mended) => mended.into_iter().for_each(|line| shared.notice(Said::info(line))),
        Err(error) => shared.notice(Said::failed("the boot partitions could not be mended", &error)),
    }
    tell_of_fallback(shared, &booted, &ledger);
    let mut trial = (booted.state() == BootState::Trial).then(|| Trial::begin(shared));
    let mut lasting = Lasting::begin(shared);
    loop {
        let settings = shared.settings();
        if let Some(running) = &mut trial {
            running.before_look(shared, health::longest_look(&settings.edge().health));
        }
        let mut look = health::look(&settings.edge().health);
        if let Some(running) = &mut trial {
            // An image whose cluster does not come up is not kept.
            let is_up = look == Look::Healthy;
            let missing = is_up.then(|| cluster::missing_on_trial(&shared.cluster)).flatten();
            match running.judge(shared, &booted, &look, missing.as_deref()) {
                Verdict::GoesOn => {}
                // It has been watched for as long as every other boot.
                Verdict::Over => {
                    trial = None;
                    lasting.is_over(shared, &booted);
                }
                // What is seen from now on is a system that stops: nothing more is judged by it.
                Verdict::Failed => return leave(shared),
            }
            look = missing.map_or(look, |why| Look::Unhealthy(vec![why]));
        }
        let mut pause = show(shared, &look, trial.is_some(), &mut told);
        if trial.is_none() {
            pause = lasting.look(shared, &booted, &look).map_or(pause, |rest| pause.min(rest));
        }
        lasting.mend_kernels(shared, &look);
        sleep(pause);
    }
}

/// Until this boot has lasted, it counts as one that did not.
struct Lasting {
    soak: Soak,
    /// A boot that is up and never finishes has lasted too, after so many seconds.
    at_the_latest: u64,
    over: bool,
    kernels_were_looked_at: bool,
}

/// Kernels are read as a whole: not while a host has just started, and once a boot.
const KERNELS_AFTER: Duration = Duration::from_secs(600);

impl Lasting {
    fn begin(shared: &Shared) -> Self {
        let settings = shared.settings();
        let health = &settings.edge().health;
        Self {
            soak: Soak::new(health.soak_seconds),
            at_the_latest: health.deadline_seconds,
            over: false,
            kernels_were_looked_at: false,
        }
    }

    /// A boot that has finished counts, well or not: only an unfinished one speaks against the image. Tells when to look again
    /// at the latest.
    fn look(&mut self, shared: &Shared, booted: &BootedImage, look: &Look) -> Option<Duration> {
        if self.over {
            return None;
        }
        let now = kernel::up_time().as_secs();
        self.soak.looked(now, *look != Look::StillStarting || now > self.at_the_latest);
        if self.soak.is_over(now) {
            self.is_over(shared, booted);
        }
        let rest = self.soak.ends().map_or(self.soak.seconds, |ends| ends.saturating_sub(now));
        Some(Duration::from_secs(rest.max(1)))
    }

    /// What the firmware starts may rot where no hash tree looks: a host that runs well mends it from the second copy.
    fn mend_kernels(&mut self, shared: &Shared, look: &Look) {
        let at_work = shared.operations.running().is_some();
        if self.kernels_were_looked_at
            || at_work
            || *look != Look::Healthy
            || kernel::up_time() < KERNELS_AFTER
        {
            return;
        }
        self.kernels_were_looked_at = true;
        match fsck::mend_kernels(&shared.host) {
            Ok(mended) => mended.into_iter().for_each(|line| shared.notice(Said::warning(line))),
            Err(error) => shared.notice(Said::failed("the kernels could not be looked at", &error)),
        }
    }

    fn is_over(&mut self, shared: &Shared, booted: &BootedImage) {
        let cleared = boot_control::set_counters(&shared.host, Counters::default());
        self.over = cleared.is_ok();
        // What was refused is tried again, not at once.
        self.soak.healthy_since = None;
        attempt(shared, "unfinished boots are still counted", cleared);
        attempt(shared, "the next try of an image was not arranged", try_again(shared, booted));
    }
}

/// An image whose trial was cut off gets another one, at the next restart: nobody's work is interrupted for it.
fn try_again(shared: &Shared, booted: &BootedImage) -> Result<()> {
    let ledger = shared.host.ledger();
    let Some(entry) = outcome::tries_again(&ledger.load(), booted) else { return Ok(()) };
    boot_control::try_next(&shared.host, entry)?;
    let version = ledger.change_or_begin(|ledger| {
        Ok(ledger.pending.as_mut().map(|pending| {
            pending.stage = UpgradeStage::Armed;
            pending.image.version.clone()
        }))
    })?;
    if let Some(version) = version {
        shared.notice(Said::warning(format!(
            "the trial of version {version} was cut off; the next restart tries it again"
        )));
    }
    Ok(())
}

/// The image that was to run is named, and what a person can do.
fn tell_of_fallback(shared: &Shared, booted: &BootedImage, ledger: &Ledger) {
    if booted.state() != BootState::Fallback {
        return;
    }
    let other = booted.slot.and_then(|slot| ledger.slot(slot.other()));
    let default =
        other.map_or_else(|| "the version after it".into(), |image| format!("version {}", image.version));
    shared.notice(Said::problem(format!(
        "{default} did not come up, and version {} runs in its place. The next restart tries it again; to keep this one: edge-agent commit",
        shared.host.image.version
    )));
}

/// What the loader says about this boot. Without that nothing can be judged: it is asked until it answers.
fn booted(shared: &Shared, told: &mut Told) -> BootedImage {
    loop {
        match shared.host.booted() {
            Ok(booted) => return booted,
            Err(error) => {
                let reasons = vec![format!("the boot loader's state cannot be read: {error}")];
                told.reasons(&reasons);
                shared.set_health(Health::Unhealthy(reasons));
                sleep(WHILE_UNHEALTHY);
            }
        }
    }
}

/// Restarts, however often it takes.
fn leave(shared: &Shared) {
    loop {
        attempt(shared, "the host does not restart", power::restart());
        sleep(BETWEEN_RESTARTS);
    }
}

pub(super) fn attempt(shared: &Shared, what: &str, result: Result<()>) {
    if let Err(error) = result {
        shared.notice(Said::failed(what, &error));
    }
}

/// What the consoles have been told about this boot.
#[derive(Debug, Default)]
struct Told {
    healthy: bool,
    /// The last reasons why it is not.
    reasons: Vec<String>,
    /// What the boot waits for, when it takes long.
    waiting: bool,
}

impl Told {
    /// Says why the host is not healthy, when that is news.
    fn reasons(&mut self, reasons: &[String]) {
        if self.reasons != reasons {
            self.reasons = reasons.to_vec();
            console::say(&format!("edge: not healthy: {}", reasons.join("; ")));
        }
    }

    /// Says once what a boot waits for that takes suspiciously long.
    fn waiting(&mut self) {
        if !self.waiting && kernel::up_time() > LONG_START {
            self.waiting = true;
            console::say(&format!("edge: still starting{}", unfinished()));
        }
    }
}

/// What a boot still waits for, as the end of a sentence.
pub(super) fn unfinished() -> String {
    match health::waits_for() {
        Ok(units) if units.is_empty() => String::new(),
        Ok(units) => format!(", waiting for {}", units.join(", ")),
        Err(error) => format!(" ({error})"),
    }
}

/// Publishes a look; says how long to wait for the next.
fn show(shared: &Arc<Shared>, look: &Look, on_trial: bool, told: &mut Told) -> Duration {
    match look {
        Look::StillStarting => {
            told.waiting();
            health::wait_for_start(WHILE_STARTING);
            WHILE_JUDGING
        }
        Look::Unhealthy(reasons) => {
            told.reasons(reasons);
            shared.set_health(Health::Unhealthy(reasons.clone()));
            if on_trial { WHILE_FAILING } else { WHILE_UNHEALTHY }
        }
        Look::Healthy if on_trial => {
            // It is watched until it has lasted.
            shared.set_health(Health::Checking);
            WHILE_SOAKING
        }
        Look::Healthy => {
            told.reasons.clear();
            if !told.healthy {
                told.healthy = true;
                let record = &shared.host.record;
                let slot = record.slot.map_or_else(|| "none".into(), |slot| slot.to_string());
                shared.claim();
                console::say(&format!("{} slot={slot} root={}", paths::HEALTHY_MARKER, record.root_hash));
            }
            shared.set_health(Health::Healthy);
            WHILE_HEALTHY
        }
    }
}

/// Writes down what became of the last boots.
fn record_outcome(shared: &Shared, booted: &BootedImage) -> Result<()> {
    let host = &shared.host;
    let file = host.machine.path(paths::OEM_TRIAL_VERDICT);
    let verdict = files::read_text_if_there(&file)?.map(|text| text.trim().to_owned());
    host.ledger().change_or_begin(|ledger| {
        let evidence = evidence(shared, ledger, verdict.clone());
        let settled = outcome::settle(ledger, booted, &host.image_record, &evidence, facts::now());
        if let Some(settled) = settled {
            *ledger = settled;
        }
        Ok(())
    })?;
    if verdict.is_some() && booted.state() == BootState::Committed {
        fs::remove_file(file).context("cannot remove an old verdict")?;
    }
    Ok(())
}

fn evidence(shared: &Shared, ledger: &Ledger, verdict: Option<String>) -> TrialEvidence {
    let Some(pending) = &ledger.pending else { return TrialEvidence::default() };
    let found = &shared.host.record.found;
    TrialEvidence::gather(verdict, found, &black_box::load(), &pending.image.root_hash)
}

/// Recovery has come up: that is all it has to prove. It says why it is here.
pub(super) fn watch_recovery(shared: &Arc<Shared>) {
    let reasons = &shared.host.record.reasons;
    let why =
        if reasons.is_empty() { "the normal system could not be started".into() } else { reasons.join("; ") };
    if reasons.is_empty() {
        shared.notice(Said::problem(why.clone()));
    }
    console::say(&format!("edge: recovery: {why}"));
    let counters = shared.host.counters().unwrap_or_default().in_recovery();
    attempt(
        shared,
        "recovery does not know when to leave",
        boot_control::set_counters(&shared.host, counters),
    );
    shared.set_health(Health::Healthy);
    // A kernel that could not be started may be why this is recovery.
    match fsck::mend_kernels(&shared.host) {
        Ok(mended) => mended.into_iter().for_each(|line| shared.notice(Said::warning(line))),
        Err(error) => shared.notice(Said::failed("the kernels could not be looked at", &error)),
    }
    recovery_care::fulfil_reset(shared);
    recovery_care::return_when_quiet(shared, counters.recoveries);
}
