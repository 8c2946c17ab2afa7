//! Counting boots that do not last, before anything that could keep one from lasting.
//!
//! The count is kept here and not in the root: a damaged root would never be counted. No step of it needs the disk, which may
//! be what is missing.

use edge_host::efivars::{EfiVars, Variable};
use edge_host::{console, firmware, power, watchdog};
use edge_model::boot_reason::BootReason;
use edge_model::cmdline::{CommandLine, Mode};
use edge_model::ids::Entry;
use edge_model::{Error, Result};
use edge_planner::boot::ladder::{LadderFacts, Step, Way};
use edge_planner::boot::recovery::Counters;

pub(crate) struct Attempts {
    variables: Option<EfiVars>,
    facts: LadderFacts,
    counters: Counters,
    /// What was counted is kept by the firmware.
    kept: bool,
}

impl Attempts {
    /// Counts this boot. Nothing was done before, so that nothing can have failed.
    pub(crate) fn begin(command_line: &CommandLine) -> Self {
        let variables = EfiVars::of_machine();
        let entry =
            |variable| variables.as_ref().and_then(|variables| variables.get_entry(variable).ok().flatten());
        let count =
            variables.as_ref().and_then(|variables| variables.get(Variable::BootCount).ok().flatten());
        let counters = Counters::from_bytes(&count.unwrap_or_default());
        let facts = LadderFacts {
            mode: command_line.mode,
            points: counters.points,
            booted: command_line.root_hash,
            default: entry(Variable::LoaderEntryDefault),
            fallback: entry(Variable::FallbackEntry),
        };
        let mut attempts = Self { variables, facts, counters, kept: false };
        if attempts.facts.mode == Mode::Main {
            attempts.keep(attempts.facts.begun());
        }
        attempts
    }

    /// This image was started because the default did not come up.
    pub(crate) fn is_fallback(&self) -> bool {
        self.facts.mode == Mode::Main && self.facts.is_fallback()
    }

    /// Takes the step of the ladder that this boot is for: starts another image, or returns. Drivers are loaded now, so that
    /// crashes of the boots before are seen. When a step cannot be arranged, this image is started all the same: one more try
    /// is better than none.
    pub(crate) fn act(&mut self) {
        if self.facts.mode != Mode::Main {
            return;
        }
        let crashed = self.variables.as_ref().is_some_and(EfiVars::has_crash_records);
        if crashed || watchdog::has_reset_the_machine() {
            self.facts = self.facts.clone().after_a_crash();
            self.keep(self.facts.begun());
        }
        if let Err(error) = self.take(self.facts.step()) {
            console::say(&format!("edge: warning: {error}"));
        }
    }

    /// Takes the next step of the ladder at the next boot, because this one cannot succeed.
    pub(crate) fn cannot_go_on(&mut self, error: &Error) {
        if self.facts.mode == Mode::Main {
            self.keep(self.facts.cannot_go_on(self.counters.points));
            let failed = Some(self.facts.booted.entry());
            self.leave_reason(failed, format!("the image did not start: {error}"));
        }
    }

    fn take(&self, step: Step) -> Result<()> {
        let Some(variables) = self.variables.as_ref().filter(|_| self.kept) else { return Ok(()) };
        match step {
            Step::Start => return Ok(()),
            Step::TryEntry(entry) => {
                console::say("edge: the last boots did not last. Trying the previous system.");
                self.leave_reason(None, "several boots of the default image did not last".into());
                variables.set_entry(Variable::LoaderEntryOneShot, &entry)?;
            }
            Step::Recovery(way) => {
                console::say("edge: the last boots did not last. Starting recovery.");
                self.leave_reason(None, "several boots of this host did not last".into());
                match way {
                    Way::Firmware => firmware::boot_recovery_next(variables)?,
                    Way::Loader => {
                        variables.set_entry(Variable::LoaderEntryOneShot, &Entry::recovery_beside())?;
                    }
                }
            }
        }
        power::restart_now().map(|never| match never {})
    }

    fn keep(&mut self, points: u8) {
        let Some(variables) = &self.variables else { return };
        self.counters.points = points;
        let set = || variables.set(Variable::BootCount, &self.counters.to_bytes());
        // What kernels leave when they crash can fill the firmware's memory: it is read after this, and never if this fails.
        let kept = set().or_else(|error| if variables.drop_crash_records() { set() } else { Err(error) });
        self.kept = kept.is_ok();
        if let Err(error) = kept {
            console::say(&format!("edge: warning: this boot is not counted: {error}"));
        }
    }

    fn leave_reason(&self, failed: Option<Entry>, text: String) {
        if let Some(variables) = &self.variables {
            variables.leave_reason(&BootReason { failed, text });
        }
    }
}
