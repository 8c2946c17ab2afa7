//! What init does with a host that did not finish its last boots.
//!
//! ```text
//! unfinished boots   0 1 2   3 4 5            6 and more
//! main image         start   start previous   start recovery
//! ```

use edge_model::cmdline::Mode;
use edge_model::ids::RootHash;

use crate::trial::is_trial;

/// From so many unfinished boots on, the previous image is tried.
pub const TRY_PREVIOUS_AT: u8 = 3;
/// From so many on, the recovery image is started.
pub const TRY_RECOVERY_AT: u8 = 6;

/// What the firmware's variables say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootFacts {
    pub mode: Mode,
    /// Boots that were begun since the last one that finished, without this one.
    pub unfinished: u8,
    /// The image that was started now.
    pub booted: RootHash,
    /// The entry that is started when nothing else is said.
    pub default: Option<String>,
    /// The entry of the previous image.
    pub fallback: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BootDecision {
    Start,
    /// Restart into this entry, once.
    TryEntry(String),
    Recovery,
}

impl BootFacts {
    fn can_fall_back(&self) -> bool {
        self.fallback.as_ref().is_some_and(|fallback| *fallback != self.booted.uki_name())
    }

    pub fn decide(&self) -> BootDecision {
        if self.mode != Mode::Main || self.unfinished < TRY_PREVIOUS_AT {
            return BootDecision::Start;
        }
        if self.unfinished >= TRY_RECOVERY_AT {
            return BootDecision::Recovery;
        }
        match &self.fallback {
            Some(entry) if self.can_fall_back() => BootDecision::TryEntry(entry.clone()),
            _ => BootDecision::Start,
        }
    }

    /// The count after a boot whose root could not be found: that will not mend itself, so the next step of
    /// the ladder is taken at once. A trial returns to the default by itself, which deserves all its tries.
    pub fn count_without_root(&self) -> u8 {
        let is_fallback = self.fallback.as_ref().is_some_and(|fallback| *fallback == self.booted.uki_name());
        if is_trial(&self.booted, self.default.as_deref()) && !is_fallback {
            return self.unfinished;
        }
        if self.can_fall_back() {
            self.unfinished.max(TRY_PREVIOUS_AT)
        } else {
            self.unfinished.max(TRY_RECOVERY_AT)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: RootHash = RootHash([1; 32]);
    const NEW: RootHash = RootHash([2; 32]);
    const TRIED: RootHash = RootHash([3; 32]);
    const RECOVERY: RootHash = RootHash([4; 32]);

    fn facts(unfinished: u8, booted: RootHash, fallback: Option<RootHash>) -> BootFacts {
        BootFacts {
            mode: Mode::Main,
            unfinished,
            booted,
            default: Some(NEW.uki_name()),
            fallback: fallback.map(|image| image.uki_name()),
        }
    }

    #[test]
    fn the_ladder_is_climbed_in_order() {
        for count in 0..3 {
            assert_eq!(facts(count, NEW, Some(OLD)).decide(), BootDecision::Start);
        }
        for count in 3..6 {
            assert_eq!(facts(count, NEW, Some(OLD)).decide(), BootDecision::TryEntry(OLD.uki_name()));
            assert_eq!(facts(count, OLD, Some(OLD)).decide(), BootDecision::Start, "the previous one itself");
            assert_eq!(facts(count, NEW, None).decide(), BootDecision::Start);
        }
        for count in [6, 255] {
            assert_eq!(facts(count, NEW, Some(OLD)).decide(), BootDecision::Recovery);
        }
        let recovery = BootFacts { mode: Mode::Recovery, ..facts(9, RECOVERY, None) };
        assert_eq!(recovery.decide(), BootDecision::Start, "recovery never leads away from itself");
    }

    #[test]
    fn a_missing_root_takes_the_next_step_at_once() {
        assert_eq!(facts(0, NEW, Some(OLD)).count_without_root(), TRY_PREVIOUS_AT);
        assert_eq!(facts(3, OLD, Some(OLD)).count_without_root(), TRY_RECOVERY_AT);
        assert_eq!(facts(0, NEW, None).count_without_root(), TRY_RECOVERY_AT);
        assert_eq!(facts(0, TRIED, None).count_without_root(), 0, "a trial goes back to the default");
    }
}
