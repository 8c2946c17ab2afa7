//! The care for a boot of the normal system: from what was seen last to what is done next. Whoever acts on it decides nothing; what
//! has failed is seen at the next look, and decided again.

use edge_model::api::Health;

use super::trial::{HANGS_AFTER, Judgement, Look, Soak, TrialClock};

/// Seconds after the agent's own deadline when the service manager ends a trial whose agent hangs.
pub const AFTER_THE_AGENT: u64 = 60;
/// Bytes that show that a disk works for the boot, and not only for its log.
const MOVED: u64 = 4 << 20;
/// After this time somebody may wonder what the boot waits for.
const LONG_START: u64 = 180;
/// Kernels are read as a whole: not while a host has just started, and once a boot.
const KERNELS_AFTER: u64 = 600;

/// What a site asks of a boot.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Seconds from power-on that an image on trial has.
    pub deadline: u64,
    /// Seconds that a boot has to be healthy before it has lasted.
    pub soak: u64,
}

/// One look at a host. Times are seconds from power-on.
#[derive(Debug, Clone)]
pub struct Facts {
    pub now: u64,
    pub look: Look,
    /// The part of a cluster that is not up yet on a system that is.
    pub missing: Option<String>,
    /// The running image is the default, whoever made it so.
    pub is_committed: bool,
    /// Why the image could not be committed at the last try.
    pub not_committed_because: Option<String>,
    /// This boot was started with the documents that are there, and its network has proved itself.
    pub configuration_is_in_use: bool,
    /// An operation runs.
    pub at_work: bool,
    /// What the boot waits for, and what the disks have moved; looked at where [`BootCare::wants_signs`] says so.
    pub signs: Option<Signs>,
}

/// What shows that something happens in a boot that has not finished.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Signs {
    /// Units that are being started.
    pub waits_for: Vec<String>,
    /// Bytes that all disks have moved since power-on.
    pub moved: u64,
}

/// Something to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The running image becomes the default.
    Commit,
    /// Nothing ends this boot any more: the image is committed.
    EndTrial,
    /// The image has had its chance: the reason is recorded, and the host restarts.
    GiveUp(String),
    /// This boot has lasted: those before it no longer count.
    HasLasted,
    /// The host is well with this configuration, and has lasted.
    KeepConfiguration,
    /// What the firmware starts may rot where no hash tree looks.
    MendKernels,
    Show(Health),
    /// Said on the consoles once; the site is closed to what comes from outside.
    SayHealthy,
    /// Said on the consoles when it is news.
    SayUnhealthy(Vec<String>),
    /// Said on the consoles once: the boot takes long.
    SayStillStarting,
    /// Told once: the trial has more time than was planned.
    TellSlow,
    /// The service manager is asked to tell when the boot has finished.
    AwaitStart,
}

/// When to look again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    Milliseconds(u64),
    Seconds(u64),
}

/// What follows from a look: steps in their order. One that fails ends them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    pub steps: Vec<Step>,
    pub rest: Rest,
}

#[derive(Debug)]
pub struct BootCare {
    trial: Option<Trial>,
    soak: Soak,
    /// A boot that is up and never finishes has lasted too, after so many seconds.
    at_the_latest: u64,
    /// It was watched for as long as every other boot, as a trial.
    was_watched: bool,
    has_lasted: bool,
    configuration_is_kept: bool,
    kernels_were_looked_at: bool,
    said: Said,
}

#[derive(Debug)]
struct Trial {
    clock: TrialClock,
    /// When something was last seen to happen.
    signs: Signs,
    told_slow: bool,
}

/// What the consoles know.
#[derive(Debug, Default)]
struct Said {
    healthy: bool,
    reasons: Vec<String>,
    still_starting: bool,
}

impl BootCare {
    pub fn new(rules: Rules, on_trial: bool, now: u64) -> Self {
        let soak = Soak::new(rules.soak);
        let trial = on_trial.then(|| Trial {
            clock: TrialClock { now, deadline: rules.deadline, last_sign: 0, finished: None, soak },
            signs: Signs::default(),
            told_slow: false,
        });
        Self {
            trial,
            soak,
            at_the_latest: rules.deadline,
            was_watched: false,
            has_lasted: false,
            configuration_is_kept: false,
            kernels_were_looked_at: false,
            said: Said::default(),
        }
    }

    pub fn is_trial(&self) -> bool {
        self.trial.is_some()
    }

    /// When the trial ends, as it looks now.
    pub fn trial_ends(&self) -> Option<u64> {
        self.trial.as_ref().map(|trial| trial.clock.ends())
    }

    /// Whether signs of life are to be looked for: a boot that is in time is not kept from it by being watched.
    pub fn wants_signs(&self, now: u64) -> bool {
        self.trial.as_ref().is_some_and(|trial| now + HANGS_AFTER >= trial.clock.deadline)
    }

    /// Whether the documents are to be looked at, to be kept as ones that work.
    pub fn wants_to_keep(&self, look: &Look) -> bool {
        self.has_lasted && !self.configuration_is_kept && *look == Look::Healthy
    }

    /// Decides on the next steps.
    pub fn decide(&mut self, facts: &Facts) -> Turn {
        let mut steps = Vec::new();
        if let Some(trial) = &mut self.trial {
            match trial.judge(facts, &mut steps) {
                Verdict::GoesOn => {}
                // What is seen from now on is a system that stops, or one that is no trial any more.
                Verdict::Decided => return Turn { steps, rest: Rest::Milliseconds(0) },
            }
        }
        let rest = self.show(facts, &mut steps);
        self.mend_kernels(facts, &mut steps);
        if self.has_lasted && facts.configuration_is_in_use && !self.configuration_is_kept {
            steps.push(Step::KeepConfiguration);
        }
        // The last one: firmware may refuse it again and again.
        let rest = self.last(facts, rest, &mut steps);
        Turn { steps, rest }
    }

    /// A step was taken.
    pub fn done(&mut self, step: &Step) {
        match step {
            Step::EndTrial => {
                self.trial = None;
                self.was_watched = true;
            }
            Step::HasLasted => self.has_lasted = true,
            Step::KeepConfiguration => self.configuration_is_kept = true,
            Step::MendKernels => self.kernels_were_looked_at = true,
            _ => {}
        }
    }

    /// A step was refused. What counts is tried again, not at once.
    pub fn failed(&mut self, step: &Step) {
        if *step == Step::HasLasted {
            self.was_watched = false;
            self.soak.healthy_since = None;
        }
    }

    fn show(&mut self, facts: &Facts, steps: &mut Vec<Step>) -> Rest {
        let on_trial = self.trial.is_some();
        let missing = facts.missing.as_ref().filter(|_| on_trial && facts.look == Look::Healthy);
        let reasons = match (&facts.look, missing) {
            (_, Some(missing)) => Some(vec![missing.clone()]),
            (Look::Unhealthy(reasons), None) => Some(reasons.clone()),
            (Look::StillStarting | Look::Healthy, None) => None,
        };
        if let Some(reasons) = reasons {
            if self.said.reasons != reasons {
                self.said.reasons.clone_from(&reasons);
                steps.push(Step::SayUnhealthy(reasons.clone()));
            }
            steps.push(Step::Show(Health::Unhealthy(reasons)));
            return Rest::Seconds(if on_trial { 2 } else { 10 });
        }
        if facts.look == Look::StillStarting {
            if facts.now > LONG_START && !std::mem::replace(&mut self.said.still_starting, true) {
                steps.push(Step::SayStillStarting);
            }
            steps.push(Step::AwaitStart);
            return Rest::Milliseconds(200);
        }
        if on_trial {
            // It is watched until it has lasted.
            steps.push(Step::Show(Health::Checking));
            return Rest::Seconds(1);
        }
        self.said.reasons.clear();
        if !std::mem::replace(&mut self.said.healthy, true) {
            steps.push(Step::SayHealthy);
        }
        steps.push(Step::Show(Health::Healthy));
        Rest::Seconds(300)
    }

    /// Until a boot has lasted, it counts as one that did not. One that has finished counts, well or not: only an unfinished one
    /// speaks against the image.
    fn last(&mut self, facts: &Facts, rest: Rest, steps: &mut Vec<Step>) -> Rest {
        if self.trial.is_some() || self.has_lasted {
            return rest;
        }
        let up = facts.look != Look::StillStarting || facts.now > self.at_the_latest;
        self.soak.looked(facts.now, up);
        if self.was_watched || self.soak.is_over(facts.now) {
            steps.push(Step::HasLasted);
        }
        let left = self.soak.ends().map_or(self.soak.seconds, |ends| ends.saturating_sub(facts.now)).max(1);
        match rest {
            Rest::Seconds(seconds) => Rest::Seconds(seconds.min(left)),
            milliseconds @ Rest::Milliseconds(_) => milliseconds,
        }
    }

    fn mend_kernels(&mut self, facts: &Facts, steps: &mut Vec<Step>) {
        let is_time = facts.look == Look::Healthy && !facts.at_work && facts.now >= KERNELS_AFTER;
        if is_time && !self.kernels_were_looked_at {
            steps.push(Step::MendKernels);
        }
    }
}

enum Verdict {
    GoesOn,
    Decided,
}

impl Trial {
    fn judge(&mut self, facts: &Facts, steps: &mut Vec<Step>) -> Verdict {
        // An operator may have committed it meanwhile.
        if facts.is_committed {
            steps.push(Step::EndTrial);
            return Verdict::Decided;
        }
        let healthy = facts.look == Look::Healthy && facts.missing.is_none();
        self.look_at_the_clock(facts);
        self.clock.soak.looked(facts.now, healthy);
        let refused = facts.not_committed_because.as_ref();
        match (self.clock.judge(), refused.filter(|_| self.clock.is_late())) {
            (Judgement::GoesOn, _) => {}
            (Judgement::Commit, None) => steps.push(Step::Commit),
            (Judgement::Commit, Some(why)) => {
                steps.push(Step::GiveUp(format!("it could not be committed: {why}")));
                return Verdict::Decided;
            }
            (Judgement::GiveUp, _) => {
                steps.push(Step::GiveUp(self.reason(facts)));
                return Verdict::Decided;
            }
        }
        if !healthy && facts.now > self.clock.deadline && !std::mem::replace(&mut self.told_slow, true) {
            steps.push(Step::TellSlow);
        }
        Verdict::GoesOn
    }

    fn look_at_the_clock(&mut self, facts: &Facts) {
        self.clock.now = facts.now;
        if facts.look != Look::StillStarting && facts.missing.is_none() {
            self.clock.finished.get_or_insert(facts.now);
            return;
        }
        self.clock.finished = None;
        let Some(signs) = &facts.signs else { return };
        let more = signs.moved.saturating_sub(self.signs.moved);
        if signs.waits_for != self.signs.waits_for || more >= MOVED {
            self.signs.clone_from(signs);
            self.clock.last_sign = facts.now;
        }
    }

    fn reason(&self, facts: &Facts) -> String {
        match (&facts.look, &facts.missing) {
            (Look::Unhealthy(reasons), _) => reasons.join("; "),
            (Look::StillStarting, _) => {
                format!("its boot did not finish in time{}", waiting_for(&self.signs.waits_for))
            }
            (Look::Healthy, Some(missing)) => missing.clone(),
            (Look::Healthy, None) => "it did not stay healthy".into(),
        }
    }
}

/// What a boot still waits for, as the end of a sentence.
pub fn waiting_for(units: &[String]) -> String {
    if units.is_empty() { String::new() } else { format!(", waiting for {}", units.join(", ")) }
}

/// The service manager's own deadline of a trial: it ends one whose agent hangs, and is put off while the agent does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline {
    /// When it ends the trial; 0 where none is armed.
    pub ends: u64,
    /// How often it was put off.
    pub number: u32,
}

impl Deadline {
    /// Seconds by which it is to be put off before the checks of the site run, which may take `check_seconds` together; none while
    /// there is time.
    pub fn put_off(&self, now: u64, check_seconds: u64) -> Option<u64> {
        let is_near = now + check_seconds + AFTER_THE_AGENT >= self.ends;
        is_near.then_some(check_seconds + HANGS_AFTER + AFTER_THE_AGENT)
    }
}

#[cfg(test)]
#[path = "care_tests.rs"]
mod tests;
