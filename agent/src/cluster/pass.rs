//! Going through a plan: what holds already is passed over, the rest is done. Whoever is cut anywhere begins again at the
//! first step, and comes to the same end.

use edge_model::{Error, Result};
use edge_planner::cluster::{Action, Probe, Step, StepId};

/// What a look says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seen {
    Holds,
    /// Not yet; why, if that can be told.
    NotYet(Option<String>),
}

/// Where a plan is performed: this host, or in tests a fake of it.
pub(super) trait Ground {
    /// # Errors
    /// When it cannot even be looked.
    fn look(&mut self, probe: &Probe) -> Result<Seen>;

    /// # Errors
    /// When it cannot be done. It may be half done then.
    fn act(&mut self, action: &Action) -> Result<()>;

    /// A step has been done by this pass.
    fn done(&mut self, step: StepId);
}

/// How far a plan is.
#[derive(Debug)]
pub(super) enum Progress {
    /// Everything holds.
    Finished,
    /// This step is not there yet, and time will tell.
    Waiting(StepId, Option<String>),
    /// This step could not be done.
    Failed(StepId, Error),
}

/// Takes all steps from `at` on that can be taken now. `at` moves behind those that hold.
pub(super) fn advance(ground: &mut dyn Ground, steps: &[Step], at: &mut usize) -> Progress {
    while let Some(step) = steps.get(*at) {
        match take(ground, step) {
            Ok(Seen::Holds) => *at += 1,
            Ok(Seen::NotYet(why)) => return Progress::Waiting(step.id, why),
            Err(error) => return Progress::Failed(step.id, error),
        }
    }
    Progress::Finished
}

fn take(ground: &mut dyn Ground, step: &Step) -> Result<Seen> {
    let before = ground.look(&step.check)?;
    if before == Seen::Holds || step.act.is_empty() {
        return Ok(before);
    }
    for action in &step.act {
        ground.act(action)?;
    }
    let after = ground.look(&step.check)?;
    if after == Seen::Holds {
        ground.done(step.id);
    }
    Ok(after)
}

#[cfg(test)]
mod tests;
