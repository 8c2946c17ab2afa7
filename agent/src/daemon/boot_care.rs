//! The care for a boot: mend what the next one needs, judge this one, commit or return.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use edge_host::{console, files, kernel, power};
use edge_model::api::{BootState, Health};
use edge_model::{Context, Result, paths};
use edge_planner::trial::{BootedImage, settle};

use super::Shared;
use super::notices::Said;
use super::trial::{Trial, Verdict};
use crate::health::{self, Look};
use crate::operations::ledger_store;
use crate::{boot_control, cluster, facts};

/// The boot's end is waited for so long before everything else is looked at again.
const WHILE_STARTING: Duration = Duration::from_secs(10);
/// Between looks while the boot is being judged.
const WHILE_JUDGING: Duration = Duration::from_millis(200);
const WHILE_FAILING: Duration = Duration::from_secs(2);
const WHILE_UNHEALTHY: Duration = Duration::from_secs(10);
const WHILE_HEALTHY: Duration = Duration::from_secs(300);
/// After this time somebody may wonder what the boot waits for.
const LONG_START: Duration = Duration::from_secs(180);
/// A restart that was asked for may take as long as its slowest service.
const BETWEEN_RESTARTS: Duration = Duration::from_secs(180);
/// What a failed trial leaves for the image that comes after it.
pub(super) const VERDICT: &str = "/oem/edge/trial-verdict";

/// Watches over the normal system.
pub(super) fn watch_main(shared: &Arc<Shared>) {
    let mut told = Told::default();
    let booted = booted(shared, &mut told);
    attempt(shared, "the outcome of a trial was not recorded", record_outcome(shared, &booted));
    match boot_control::maintain(&shared.host, &booted, &ledger_store().load()) {
        Ok(mended) => mended.into_iter().for_each(|line| shared.notice(Said::info(line))),
        Err(error) => shared.notice(Said::failed("the boot partitions could not be mended", &error)),
    }
    let mut trial = (booted.state() == BootState::Trial).then(|| Trial::begin(shared));
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
                Verdict::Over => trial = None,
                // What is seen from now on is a system that stops: nothing more is judged by it.
                Verdict::Failed => return leave(shared),
            }
            look = missing.map_or(look, |why| Look::Unhealthy(vec![why]));
        }
        let pause = show(shared, &look, trial.is_some(), &mut told);
        sleep(pause);
    }
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
            if on_trial {
                return WHILE_FAILING;
            }
            // The boot has finished, well or not: only an unfinished one counts against the image.
            attempt(
                shared,
                "unfinished boots are still counted",
                boot_control::clear_boot_count(&shared.host),
            );
            WHILE_UNHEALTHY
        }
        Look::Healthy if on_trial => {
            shared.set_health(Health::Unhealthy(vec!["the image could not be committed".into()]));
            WHILE_FAILING
        }
        Look::Healthy => {
            told.reasons.clear();
            if !told.healthy {
                told.healthy = true;
                attempt(
                    shared,
                    "unfinished boots are still counted",
                    boot_control::clear_boot_count(&shared.host),
                );
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
    let verdict = files::read_text_if_there(Path::new(VERDICT))?;
    ledger_store().change_or_begin(|ledger| {
        let settled = settle(ledger, booted, &shared.host.image_record, verdict.clone(), facts::now());
        if let Some(settled) = settled {
            *ledger = settled;
        }
        Ok(())
    })?;
    if verdict.is_some() && booted.state() == BootState::Committed {
        fs::remove_file(VERDICT).context("cannot remove an old verdict")?;
    }
    Ok(())
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
    attempt(shared, "unfinished boots are still counted", boot_control::clear_boot_count(&shared.host));
    shared.set_health(Health::Healthy);
}
