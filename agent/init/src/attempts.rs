//! Counting boots that do not finish, before anything that could keep one from finishing.
//!
//! The count is kept here and not in the root: a damaged root would never be counted.

use std::time::{Duration, Instant};

use edge_host::efivars::{EfiVars, Variable};
use edge_host::{console, disk, firmware, gpt, power};
use edge_model::cmdline::{CommandLine, Mode};
use edge_model::{Error, Result};
use edge_planner::boot::{BootDecision, BootFacts};

use crate::hardware::Hardware;

pub(crate) struct Attempts {
    variables: Option<EfiVars>,
    facts: BootFacts,
}

impl Attempts {
    /// Counts this boot and, when too many did not finish, restarts into another image. When that cannot be
    /// arranged, this image is started all the same: one more try is better than none.
    pub(crate) fn begin(command_line: &CommandLine, hardware: &mut Hardware) -> Self {
        let mode = command_line.mode;
        let variables = EfiVars::of_machine();
        let text =
            |variable| variables.as_ref().and_then(|variables| variables.get_text(variable).ok().flatten());
        let count =
            variables.as_ref().and_then(|variables| variables.get(Variable::BootCount).ok().flatten());
        let facts = BootFacts {
            mode,
            unfinished: count.and_then(|bytes| bytes.first().copied()).unwrap_or(0),
            booted: command_line.root_hash,
            default: text(Variable::LoaderEntryDefault),
            fallback: text(Variable::FallbackEntry),
        };
        let attempts = Self { variables, facts };
        if mode == Mode::Main {
            attempts.set_count(attempts.facts.unfinished.saturating_add(1));
        }
        if let Err(error) = attempts.act(hardware) {
            console::say(&format!("edge: warning: {error}"));
        }
        attempts
    }

    /// Takes the next step of the ladder at the next boot, because this one cannot succeed.
    pub(crate) fn root_is_missing(&self, error: &Error) {
        if self.facts.mode == Mode::Main {
            self.set_count(self.facts.count_without_root());
            self.set_reason(&format!("the image did not start: {error}"));
        }
    }

    fn act(&self, hardware: &mut Hardware) -> Result<()> {
        let Some(variables) = &self.variables else { return Ok(()) };
        match self.facts.decide() {
            BootDecision::Start => return Ok(()),
            BootDecision::TryEntry(entry) => {
                console::say("edge: the last boots did not finish. Trying the previous system.");
                self.set_reason(&format!(
                    "{} boots of the default image did not finish",
                    self.facts.unfinished
                ));
                variables.set_text(Variable::LoaderEntryOneShot, &entry)?;
            }
            BootDecision::Recovery => {
                console::say("edge: the last boots did not finish. Starting recovery.");
                self.set_reason(&format!("{} boots did not finish", self.facts.unfinished));
                boot_recovery_next(variables, hardware)?;
            }
        }
        power::restart_now().map(|never| match never {})
    }

    fn set_count(&self, count: u8) {
        let Some(variables) = &self.variables else { return };
        if let Err(error) = variables.set(Variable::BootCount, &[count]) {
            console::say(&format!("edge: warning: this boot is not counted: {error}"));
        }
    }

    fn set_reason(&self, reason: &str) {
        let Some(variables) = &self.variables else { return };
        // Only for people; the boot goes its way without it.
        let _ = variables.set_text(Variable::BootReason, reason);
    }
}

/// Slow disks appear late; the entry of recovery cannot be named without them.
fn boot_recovery_next(variables: &EfiVars, hardware: &mut Hardware) -> Result<()> {
    const PATIENCE: Duration = Duration::from_secs(30);
    let uuid = gpt::Guid::parse(&variables.get_text(Variable::LoaderDevicePartUuid)?.unwrap_or_default())?;
    let started = Instant::now();
    loop {
        if let Some(disk) = disk::disk_with_partition(uuid) {
            return firmware::boot_recovery_next(variables, &disk);
        }
        if started.elapsed() > PATIENCE {
            return Err(Error::environment("the disk that this system was started from is not there"));
        }
        std::thread::sleep(Duration::from_millis(100));
        hardware.load_for_new_devices();
    }
}
