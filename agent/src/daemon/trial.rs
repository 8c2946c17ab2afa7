//! An image on trial: kept when it proves healthy, given up when it has had its chance.

use edge_host::{console, files, kernel, patience};
use edge_model::Result;
use edge_model::api::BootState;
use edge_model::api::black_box::Ending;
use edge_model::paths;
use edge_planner::boot::BootedImage;
use edge_planner::boot::outcome::record_commit;
use edge_planner::boot::trial::{HANGS_AFTER, Judgement, Look, Soak, TrialClock};

use super::Shared;
use super::boot_care::{attempt, unfinished};
use super::notices::Said;
use crate::health;
use crate::{black_box, boot_control, facts};

/// Bytes that show that a disk works for the boot, and not only for its log.
const MOVED: u64 = 4 << 20;
/// Seconds after the agent's own deadline when the service manager ends a trial whose agent hangs.
const AFTER_THE_AGENT: u64 = 60;

/// More often than a trial can be put off.
const MOST_PUT_OFFS: u32 = 32;

/// What became of a trial.
pub(super) enum Verdict {
    GoesOn,
    /// The image is committed.
    Over,
    /// The verdict is recorded, and the host has to restart.
    Failed,
}

/// The trial of this boot.
pub(super) struct Trial {
    clock: TrialClock,
    /// What the boot waited for when something was last seen to happen.
    waits_for: Vec<String>,
    /// Bytes that disks had moved then.
    moved: u64,
    /// When the service manager ends the trial, and how often that was put off. Seconds from power-on.
    ends: u64,
    put_off: u32,
    /// Somebody has been told that the boot is slow.
    told: bool,
}

impl Trial {
    pub(super) fn begin(shared: &Shared) -> Self {
        let settings = shared.settings();
        let health = &settings.edge().health;
        let deadline = health.deadline_seconds;
        let now = kernel::up_time().as_secs();
        let machine = &shared.host.machine;
        let armed = (0..MOST_PUT_OFFS).find(|number| boot_control::deadline_runs(machine, *number));
        let mut trial = Self {
            clock: TrialClock {
                now,
                deadline,
                last_sign: 0,
                finished: None,
                soak: Soak::new(health.soak_seconds),
            },
            waits_for: Vec::new(),
            moved: 0,
            // Where early boot could not arm one, or an agent before this one has put it off, another one follows at once.
            ends: if armed == Some(0) { deadline + AFTER_THE_AGENT } else { 0 },
            put_off: armed.unwrap_or(0),
            told: false,
        };
        trial.put_off(shared, deadline.saturating_sub(now));
        trial
    }

    /// Commits a healthy image, and gives up one that has had its chance. `missing` is the part of a cluster that is not up
    /// yet on a system that is.
    pub(super) fn judge(
        &mut self,
        shared: &Shared,
        booted: &BootedImage,
        look: &Look,
        missing: Option<&str>,
    ) -> Verdict {
        // An operator may have committed it meanwhile.
        if shared.host.booted().is_ok_and(|now| now.state() == BootState::Committed) {
            return self.over(shared);
        }
        let healthy = (look, missing) == (&Look::Healthy, None);
        self.look_at_the_clock(*look != Look::StillStarting && missing.is_none());
        self.clock.soak.looked(self.clock.now, healthy);
        shared.set_trial_end(self.clock.ends());
        match self.clock.judge() {
            Judgement::GoesOn => {}
            Judgement::Commit => match commit(shared, booted) {
                Ok(()) => return self.over(shared),
                Err(error) if self.clock.is_late() => {
                    give_up(shared, &format!("it could not be committed: {error}"));
                    return Verdict::Failed;
                }
                Err(error) => {
                    shared.notice(Said::failed("the image on trial could not be committed", &error));
                }
            },
            Judgement::GiveUp => {
                give_up(shared, &reason(look, missing));
                return Verdict::Failed;
            }
        }
        if !healthy && self.clock.now > self.clock.deadline && !std::mem::replace(&mut self.told, true) {
            let text = format!("the new system is slow to start, and gets more time{}", unfinished());
            shared.notice(Said::warning(text));
        }
        Verdict::GoesOn
    }

    fn look_at_the_clock(&mut self, is_up: bool) {
        self.clock.now = kernel::up_time().as_secs();
        if is_up {
            self.clock.finished.get_or_insert(self.clock.now);
            return;
        }
        self.clock.finished = None;
        // A boot that is in time is not kept from it by being watched.
        if self.clock.now + HANGS_AFTER < self.clock.deadline {
            return;
        }
        let (waits_for, moved) = (health::waits_for().unwrap_or_default(), patience::disk_bytes());
        if waits_for != self.waits_for || moved.saturating_sub(self.moved) >= MOVED {
            (self.waits_for, self.moved) = (waits_for, moved);
            self.clock.last_sign = self.clock.now;
        }
    }

    /// To be called before the checks of the site run, which may take `check_seconds` together: while the trial goes on, what
    /// ends it without us waits too, a little at a time.
    pub(super) fn before_look(&mut self, shared: &Shared, check_seconds: u64) {
        self.clock.now = kernel::up_time().as_secs();
        let longest_look = check_seconds + AFTER_THE_AGENT;
        if self.clock.now + longest_look >= self.ends {
            self.put_off(shared, check_seconds + HANGS_AFTER);
        }
    }

    fn put_off(&mut self, shared: &Shared, seconds: u64) {
        let now = self.clock.now;
        if now + seconds < self.ends {
            return;
        }
        let more = seconds + AFTER_THE_AGENT;
        match boot_control::put_deadline_off(&shared.host.machine, self.put_off, more) {
            Ok(()) => {
                self.put_off += 1;
                self.ends = now + more;
            }
            // Tried again at the next look.
            Err(error) => shared.notice(Said::failed("the trial has no more time", &error)),
        }
    }

    /// Nothing ends a boot that is committed.
    fn over(&self, shared: &Shared) -> Verdict {
        match boot_control::stop_deadline(&shared.host.machine) {
            Ok(()) => Verdict::Over,
            Err(error) => {
                shared.notice(Said::failed("the image is committed", &error));
                Verdict::GoesOn
            }
        }
    }
}

fn reason(look: &Look, missing: Option<&str>) -> String {
    match (look, missing) {
        (Look::Unhealthy(reasons), _) => reasons.join("; "),
        (Look::StillStarting, _) => format!("its boot did not finish in time{}", unfinished()),
        (Look::Healthy, Some(missing)) => missing.to_owned(),
        (Look::Healthy, None) => "it did not stay healthy".into(),
    }
}

fn give_up(shared: &Shared, reason: &str) {
    let text = format!("the new system is not healthy: {reason}. Returning to the previous one.");
    console::say(&format!("edge: {text}"));
    shared.notice(Said::problem(text));
    attempt(shared, "the verdict was not recorded", record_verdict(shared, reason));
    let ending = Ending::Restarted { reason: format!("the image on trial is not healthy: {reason}") };
    attempt(shared, "the restart was not recorded", black_box::intend(ending));
}

fn commit(shared: &Shared, booted: &BootedImage) -> Result<()> {
    boot_control::commit(&shared.host, booted)?;
    shared.host.ledger().change_or_begin(|ledger| {
        *ledger = record_commit(ledger, booted, &shared.host.image.version, facts::now());
        Ok(())
    })
}

fn record_verdict(shared: &Shared, reason: &str) -> Result<()> {
    files::write_durably(&shared.host.machine.path(paths::OEM_TRIAL_VERDICT), reason.as_bytes(), 0o600)
}
