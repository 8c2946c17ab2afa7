//! The care for a boot: mend what the next one needs, judge this one, commit or return. What is done when, is decided in
//! [`edge_planner::boot::care`].

use std::fs;
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use edge_host::{console, files, kernel, patience, power};
use edge_model::api::black_box::Ending;
use edge_model::api::{BootState, Health, NetworkState};
use edge_model::ledger::{Ledger, UpgradeStage};
use edge_model::{Class, Context, Result, paths};
use edge_planner::boot::BootedImage;
use edge_planner::boot::care::{
    AFTER_THE_AGENT, BootCare, Deadline, Facts, Rest, Rules, Signs, Step, Turn, waiting_for,
};
use edge_planner::boot::failures::KnownFailures;
use edge_planner::boot::outcome::{self, TrialEvidence, record_commit};
use edge_planner::boot::recovery::Counters;
use edge_planner::boot::trial::Look;

use super::Shared;
use super::care::{self, Caretaker, Then};
use super::notices::Said;
use super::recovery_care;
use crate::configuration::good;
use crate::health::Services;
use crate::operations::{fsck, reset};
use crate::state_file::StateFile;
use crate::{black_box, boot_control, cluster, facts, health};

/// The boot's end is waited for so long before everything else is looked at again.
const WHILE_STARTING: Duration = Duration::from_secs(10);
/// Between looks at a loader that does not tell.
const WHILE_UNKNOWN: Duration = Duration::from_secs(10);
/// A restart that was asked for may take as long as its slowest service.
const BETWEEN_RESTARTS: Duration = Duration::from_secs(180);
/// More often than a trial can be put off.
const MOST_PUT_OFFS: u32 = 32;

/// Watches over the normal system.
pub(super) fn watch_main(shared: &Arc<Shared>) {
    match reset::lead_to_recovery(&shared.host) {
        Ok(false) => {}
        Ok(true) => return leave(shared),
        Err(error) => shared.notice(Said::failed("the host was not reset", &error)),
    }
    let marked = good::mark(&shared.host.machine);
    attempt(shared, "no configuration can be kept as one that works", marked);
    let booted = booted(shared);
    attempt(shared, "the outcome of a trial was not recorded", record_outcome(shared, &booted));
    let ledger = shared.host.ledger().load();
    match boot_control::maintain(&shared.host, &booted, &ledger) {
        Ok(mended) => mended.into_iter().for_each(|line| shared.notice(Said::info(line))),
        Err(error) => shared.notice(Said::failed("the boot partitions could not be mended", &error)),
    }
    tell_of_fallback(shared, &booted, &ledger);
    care::run(shared, BootCaretaker::new(shared, booted));
}

/// Looks after the boot that runs.
pub(super) struct BootCaretaker {
    care: BootCare,
    booted: BootedImage,
    /// Of the service manager, for a trial whose agent hangs.
    deadline: Deadline,
    not_committed_because: Option<String>,
    /// What was last written of failed units.
    remembered: Option<KnownFailures>,
    /// The image was given up: what is seen from now on is a system that stops.
    leaves: bool,
}

impl BootCaretaker {
    pub(super) fn new(shared: &Shared, booted: BootedImage) -> Self {
        let settings = shared.settings();
        let health = &settings.edge().health;
        let rules = Rules { deadline: health.deadline_seconds, soak: health.soak_seconds };
        let now = kernel::up_time().as_secs();
        let is_trial = booted.state() == BootState::Trial;
        let runs = |number: &u32| boot_control::deadline_runs(&shared.host.machine, *number);
        let armed = (0..MOST_PUT_OFFS).find(|number| is_trial && runs(number));
        let mut caretaker = Self {
            care: BootCare::new(rules, is_trial, now),
            booted,
            // Where early boot could not arm one, or an agent before this one has put it off, another one follows at once.
            deadline: Deadline {
                ends: if armed == Some(0) { rules.deadline + AFTER_THE_AGENT } else { 0 },
                number: armed.unwrap_or(0),
            },
            not_committed_because: None,
            remembered: None,
            leaves: false,
        };
        if is_trial && caretaker.deadline.ends == 0 {
            caretaker.put_off(shared, rules.deadline.saturating_sub(now) + AFTER_THE_AGENT);
        }
        caretaker
    }

    /// For the next image on trial. Written when it is news: a host without failures writes nothing.
    fn remember(&mut self, shared: &Shared, failed: &[String]) {
        let now = KnownFailures { units: failed.iter().cloned().collect() };
        if self.booted.state() != BootState::Committed || !shared.host.keeps_state() {
            return;
        }
        let file = known_failures(shared);
        let before = self.remembered.take().unwrap_or_else(|| file.load());
        let kept = before == now
            || file
                .change_or_begin(|kept| {
                    kept.clone_from(&now);
                    Ok(())
                })
                .inspect_err(|error| tracing::warn!("failed units are not remembered: {error}"))
                .is_ok();
        self.remembered = kept.then_some(now);
    }

    fn put_off(&mut self, shared: &Shared, seconds: u64) {
        match boot_control::put_deadline_off(&shared.host.machine, self.deadline.number, seconds) {
            Ok(()) => {
                let ends = kernel::up_time().as_secs() + seconds;
                self.deadline = Deadline { ends, number: self.deadline.number + 1 };
            }
            // Tried again at the next look.
            Err(error) => shared.notice(Said::failed("the trial has no more time", &error)),
        }
    }

    /// What there is to decide about, with one look at the services.
    fn facts(&self, shared: &Shared, look: Look) -> Facts {
        let on_trial = self.care.is_trial();
        let now = kernel::up_time().as_secs();
        // An image whose cluster does not come up is not kept.
        let asks_the_cluster = on_trial && look == Look::Healthy;
        let missing = asks_the_cluster.then(|| cluster::missing_on_trial(&shared.cluster)).flatten();
        let is_committed =
            on_trial && shared.host.booted().is_ok_and(|now| now.state() == BootState::Committed);
        let unfinished = look == Look::StillStarting || missing.is_some();
        let signs = (unfinished && self.care.wants_signs(now)).then(|| Signs {
            waits_for: health::waits_for(&shared.host.machine).unwrap_or_default(),
            moved: patience::disk_bytes(),
        });
        let is_kept = matches!(shared.network(), NetworkState::Kept);
        Facts {
            now,
            configuration_is_in_use: self.care.wants_to_keep(&look)
                && is_kept
                && good::is_in_use(&shared.host.machine),
            look,
            missing,
            is_committed,
            not_committed_because: self.not_committed_because.clone(),
            at_work: shared.operations.running().is_some(),
            signs,
        }
    }

    /// # Errors
    /// What kept the step from being taken, which was told already; what was to follow it does not.
    fn take(&mut self, shared: &Arc<Shared>, step: &Step) -> Result<()> {
        let told = |what: &str, result: Result<()>| {
            result.inspect_err(|error| shared.notice(Said::failed(what, error)))
        };
        match step {
            Step::Commit => {
                let committed = commit(shared, &self.booted);
                self.not_committed_because = committed.as_ref().err().map(ToString::to_string);
                told("the image on trial could not be committed", committed)
            }
            Step::EndTrial => {
                let stopped = boot_control::stop_deadline(&shared.host.machine);
                told("the image is committed", stopped)
            }
            Step::GiveUp(reason) => {
                give_up(shared, reason);
                self.leaves = true;
                Ok(())
            }
            Step::HasLasted => {
                let cleared = boot_control::set_counters(&shared.host, Counters::default());
                told("unfinished boots are still counted", cleared)?;
                let again = try_again(shared, &self.booted);
                attempt(shared, "the next try of an image was not arranged", again);
                Ok(())
            }
            Step::KeepConfiguration => {
                match told(
                    "the configuration is not kept as one that works",
                    good::keep(&shared.host.machine),
                ) {
                    // What is too large is not smaller at the next look.
                    Err(error) if error.class == Class::Rejected => Ok(()),
                    kept => kept,
                }
            }
            other => {
                tell(shared, other);
                Ok(())
            }
        }
    }
}

impl Caretaker for BootCaretaker {
    /// None while the host leaves.
    type Facts = Option<Facts>;
    type Step = Option<Turn>;

    fn look(&mut self, shared: &Arc<Shared>) -> Option<Facts> {
        if self.leaves {
            return None;
        }
        let settings = shared.settings();
        let rules = &settings.edge().health;
        // While the checks of the site run, what ends a trial without us has to wait.
        let now = kernel::up_time().as_secs();
        if self.care.is_trial()
            && let Some(seconds) = self.deadline.put_off(now, health::longest_look(rules))
        {
            self.put_off(shared, seconds);
        }
        let services = health::services(&shared.host.machine);
        let known = self.care.is_trial().then(|| known_failures(shared).load());
        if let Ok(Services::Started(failed)) = &services
            && !self.care.is_trial()
        {
            self.remember(shared, failed);
        }
        Some(self.facts(shared, health::look(&shared.host.machine, rules, services, known.as_ref())))
    }

    fn decide(&mut self, facts: Option<Facts>) -> Option<Turn> {
        facts.map(|facts| self.care.decide(&facts))
    }

    fn act(&mut self, shared: &Arc<Shared>, turn: Option<Turn>) -> Then {
        let mut rest = Rest::Seconds(BETWEEN_RESTARTS.as_secs());
        if let Some(turn) = turn {
            rest = turn.rest;
            for step in &turn.steps {
                match self.take(shared, step) {
                    Ok(()) => self.care.done(step),
                    Err(_) => {
                        self.care.failed(step);
                        // Not at once, and not in a loop that leaves the disk no time.
                        rest = Rest::Seconds(1);
                        break;
                    }
                }
            }
            shared.board.set_trial_end(self.care.trial_ends().unwrap_or(0));
        }
        if self.leaves {
            attempt(shared, "the host does not restart", power::restart(&shared.host.machine));
            rest = Rest::Seconds(BETWEEN_RESTARTS.as_secs());
        }
        Then::LookAgain(match rest {
            Rest::Milliseconds(milliseconds) => Duration::from_millis(milliseconds),
            Rest::Seconds(seconds) => Duration::from_secs(seconds),
        })
    }
}

fn known_failures(shared: &Shared) -> StateFile<KnownFailures> {
    StateFile::new(&shared.host.machine.path(paths::OEM_EDGE))
}

/// Steps that only tell somebody, or look at something once.
fn tell(shared: &Arc<Shared>, step: &Step) {
    let machine = &shared.host.machine;
    let unfinished = || match health::waits_for(machine) {
        Ok(units) => waiting_for(&units),
        Err(error) => format!(" ({error})"),
    };
    match step {
        Step::Show(health) => shared.set_health(health.clone()),
        Step::SayHealthy => {
            let record = &shared.host.record;
            let slot = record.slot.map_or_else(|| "none".into(), |slot| slot.to_string());
            shared.claim();
            machine.say(&format!("{} slot={slot} root={}", paths::HEALTHY_MARKER, record.root_hash));
        }
        Step::SayUnhealthy(reasons) => machine.say(&format!("edge: not healthy: {}", reasons.join("; "))),
        Step::SayStillStarting => machine.say(&format!("edge: still starting{}", unfinished())),
        Step::TellSlow => {
            let text = format!("the new system is slow to start, and gets more time{}", unfinished());
            shared.notice(Said::warning(text));
        }
        Step::AwaitStart => health::wait_for_start(machine, WHILE_STARTING),
        Step::MendKernels => mend_kernels(shared),
        Step::Commit | Step::EndTrial | Step::GiveUp(_) | Step::HasLasted | Step::KeepConfiguration => {}
    }
}

/// What the firmware starts may rot where no hash tree looks: it is mended from the second copy.
fn mend_kernels(shared: &Shared) {
    match fsck::mend_kernels(&shared.host) {
        Ok(mended) => mended.into_iter().for_each(|line| shared.notice(Said::warning(line))),
        Err(error) => shared.notice(Said::failed("the kernels could not be looked at", &error)),
    }
}

/// An image whose trial was cut off gets another one, at the next restart: nobody's work is interrupted for it.
fn try_again(shared: &Shared, booted: &BootedImage) -> Result<()> {
    let ledger = shared.host.ledger();
    let Some(entry) = outcome::tries_again(&ledger.load(), booted) else { return Ok(()) };
    boot_control::try_next(&shared.host, entry, booted.root_hash.entry())?;
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
fn booted(shared: &Shared) -> BootedImage {
    let mut said = None;
    loop {
        match shared.host.booted() {
            Ok(booted) => return booted,
            Err(error) => {
                let reason = format!("the boot loader's state cannot be read: {error}");
                if said.as_ref() != Some(&reason) {
                    console::say(&format!("edge: not healthy: {reason}"));
                    said = Some(reason.clone());
                }
                shared.set_health(Health::Unhealthy(vec![reason]));
                sleep(WHILE_UNKNOWN);
            }
        }
    }
}

/// Restarts, however often it takes.
fn leave(shared: &Shared) {
    loop {
        attempt(shared, "the host does not restart", power::restart(&shared.host.machine));
        sleep(BETWEEN_RESTARTS);
    }
}

pub(super) fn attempt(shared: &Shared, what: &str, result: Result<()>) {
    if let Err(error) = result {
        shared.notice(Said::failed(what, &error));
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
    let host = &shared.host;
    let black_box = black_box::load(&host.machine);
    TrialEvidence::gather(verdict, &host.record.found, &black_box, &pending.image.root_hash)
}

fn commit(shared: &Shared, booted: &BootedImage) -> Result<()> {
    boot_control::commit(&shared.host, booted)?;
    shared.host.ledger().change_or_begin(|ledger| {
        *ledger = record_commit(ledger, booted, &shared.host.image.version, facts::now());
        Ok(())
    })
}

fn give_up(shared: &Shared, reason: &str) {
    let machine = &shared.host.machine;
    let text = format!("the new system is not healthy: {reason}. Returning to the previous one.");
    machine.say(&format!("edge: {text}"));
    shared.notice(Said::problem(text));
    let verdict = machine.path(paths::OEM_TRIAL_VERDICT);
    let recorded = files::write_durably(&verdict, reason.as_bytes(), 0o600);
    attempt(shared, "the verdict was not recorded", recorded);
    let ending = Ending::Restarted { reason: format!("the image on trial is not healthy: {reason}") };
    attempt(shared, "the restart was not recorded", black_box::intend(machine, ending));
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
    mend_kernels(shared);
    recovery_care::fulfil_reset(shared);
    care::run(shared, recovery_care::RecoveryCaretaker::new(shared, counters.recoveries));
}

#[cfg(test)]
mod tests {
    use edge_model::ids::RootHash;
    use edge_testkit::every_fault::with_every_fault;

    use super::*;
    use crate::configuration::Settings;
    use crate::stand::{NEW, OLD, Stand, stand};

    /// An agent that starts on a host, and looks so often until the trial is decided.
    fn watch(stand: &Stand, look: &Look) -> Result<BootCaretaker> {
        let shared = Shared::of_host(stand.host.clone(), Settings::from(&[], Vec::new()));
        let mut caretaker = BootCaretaker::new(&shared, stand.booted());
        for round in 0..6 {
            // The test's machine may have been up for days: the host was started half a minute ago.
            let now = 30 + 200 * round;
            let facts = Facts { now, ..caretaker.facts(&shared, look.clone()) };
            let turn = caretaker.decide(Some(facts));
            caretaker.act(&shared, turn);
            if caretaker.leaves || !caretaker.care.is_trial() {
                return Ok(caretaker);
            }
        }
        Err(edge_model::Error::rejected("the trial is not decided"))
    }

    fn boots(stand: &Stand) -> Option<RootHash> {
        let next = stand.boots_next()?;
        [OLD, NEW].into_iter().find(|image| image.entry() == next)
    }

    #[test]
    fn a_healthy_trial_is_committed_whatever_fails_on_the_way() {
        with_every_fault(
            || {
                let stand = stand(NEW, OLD);
                let shared = Shared::of_host(stand.host.clone(), Settings::from(&[], Vec::new()));
                record_outcome(&shared, &stand.booted()).unwrap();
                stand
            },
            |stand| {
                if stand.booted().state() == BootState::Committed {
                    return record_outcome(
                        &Shared::of_host(stand.host.clone(), Settings::from(&[], Vec::new())),
                        &stand.booted(),
                    );
                }
                watch(stand, &Look::Healthy).map(drop)
            },
            |stand, what| assert!(boots(stand).is_some(), "{what}: nothing boots"),
            |stand| assert_eq!(boots(stand), Some(NEW)),
        );
    }

    #[test]
    fn an_ill_image_is_given_up_and_the_old_one_boots_whatever_fails_on_the_way() {
        with_every_fault(
            || stand(NEW, OLD),
            |stand| {
                let caretaker = watch(stand, &Look::Unhealthy(vec!["a.service has failed".into()]))?;
                let verdict = stand.host.machine.path(paths::OEM_TRIAL_VERDICT);
                let is_recorded = files::read_text(&verdict).is_ok_and(|text| text == "a.service has failed");
                if caretaker.leaves && is_recorded {
                    return Ok(());
                }
                Err(edge_model::Error::environment("nothing says why the image was given up"))
            },
            |stand, what| assert_eq!(boots(stand), Some(OLD), "{what}"),
            |stand| {
                assert_eq!(boots(stand), Some(OLD));
                let said = fs::read_to_string(stand.host.machine.path("console")).unwrap();
                assert!(
                    said.contains("edge: the new system is not healthy: a.service has failed."),
                    "{said}"
                );
            },
        );
    }
}
