//! When a run has to end: what does not fit any more is skipped by name, instead of everything ending in its middle.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::cost;

/// Share of the base host's installation that every scenario is taken to need at least: copies, builds, waiting.
const LEAST_SHARE: f64 = 0.3;

/// The end of a run, and what is known about how long its scenarios take.
#[derive(Debug)]
pub struct TimeLimit {
    ends: Option<Instant>,
    shares: BTreeMap<String, f64>,
    /// How long the installation of the base host took here, beside other work.
    unit: OnceLock<Duration>,
}

impl TimeLimit {
    /// No end without `within`; the budget of scenarios is read below `root`.
    pub fn new(root: &Path, within: Option<Duration>) -> Self {
        let ends = within.map(|within| Instant::now() + within);
        Self { ends, shares: cost::budget(root), unit: OnceLock::new() }
    }

    /// The scenario by which all are measured has ended.
    pub fn measured(&self, took: Duration) {
        // It runs once.
        let _ = self.unit.set(took);
    }

    /// Whether a scenario that begins now is expected to end in time. Before anything was measured, everything fits.
    pub fn fits(&self, name: &str) -> bool {
        let (Some(ends), Some(unit)) = (self.ends, self.unit.get()) else { return true };
        let share = self.shares.get(name).copied().unwrap_or(1.0).max(LEAST_SHARE);
        Instant::now() + unit.mul_f64(share) <= ends
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(within: Option<u64>) -> TimeLimit {
        let shares = [("short".to_owned(), 0.0), ("long".to_owned(), 3.0)].into();
        TimeLimit {
            ends: within.map(|seconds| Instant::now() + Duration::from_secs(seconds)),
            shares,
            unit: OnceLock::new(),
        }
    }

    #[test]
    fn what_ends_too_late_does_not_begin() {
        let limit = limit(Some(1000));
        assert!(limit.fits("long"), "nothing is measured yet");
        limit.measured(Duration::from_secs(400));
        assert_eq!(["short", "long", "new"].map(|name| limit.fits(name)), [true, false, true]);
    }

    #[test]
    fn without_an_end_everything_fits() {
        let limit = limit(None);
        limit.measured(Duration::from_secs(400));
        assert!(limit.fits("long"));
    }
}
