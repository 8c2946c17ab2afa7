//! What init does with a host that did not finish its last boots.
//!
//! Every boot of a main image adds a point before it does anything else, and one more when the boot before it left a crash
//! behind: a kernel that panics is worse than a plug that is pulled. A boot that lasts takes all points away.
//!
//! ```text
//! points   0 … 5     6 … 11           12 13      14 15   16 … 18          19 20         21
//! image    default   previous image   recovery   default previous image   recovery      default, then as from 12
//!                                     (firmware)                          (loader)
//! ```
//!
//! No state of it is without an exit: what is asked for and does not come costs a point, and from 12 on it goes round.

use edge_model::cmdline::Mode;
use edge_model::ids::{Entry, RootHash};

use super::is_trial;

/// From so many points on, the previous image is tried: three crashes, or six boots that ended without a word.
pub const PREVIOUS_FROM: u8 = 6;
/// From so many on, recovery, and then all of them in turn.
pub const ROUND_FROM: u8 = 12;
const ROUND: u8 = 10;
/// Points stay below this: the same place of a round, further down.
const MOST: u8 = ROUND_FROM + 20 * ROUND;

/// What the firmware's variables say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LadderFacts {
    pub mode: Mode,
    /// Points of the boots since the last one that lasted, without this one.
    pub points: u8,
    /// The image that was started now.
    pub booted: RootHash,
    /// The entry that is started when nothing else is said.
    pub default: Option<Entry>,
    /// The entry of the previous image.
    pub fallback: Option<Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Start,
    /// Restart into this entry, once.
    TryEntry(Entry),
    Recovery(Way),
}

/// How recovery is asked for. Firmware may ignore one; a partition may be damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Its own loader on its own partition, by the firmware's `BootNext`.
    Firmware,
    /// Its copy beside the other images, by the loader's one-shot entry.
    Loader,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Default,
    Previous,
    Recovery(Way),
}

fn phase(points: u8) -> Phase {
    match points {
        0..PREVIOUS_FROM => Phase::Default,
        PREVIOUS_FROM..ROUND_FROM => Phase::Previous,
        _ => match (points - ROUND_FROM) % ROUND {
            0 | 1 => Phase::Recovery(Way::Firmware),
            4..=6 => Phase::Previous,
            7 | 8 => Phase::Recovery(Way::Loader),
            _ => Phase::Default,
        },
    }
}

fn add(points: u8, more: u8) -> u8 {
    let sum = points.saturating_add(more);
    if sum < MOST { sum } else { sum - 20 * ROUND }
}

impl LadderFacts {
    /// Points once this boot has begun.
    pub fn begun(&self) -> u8 {
        add(self.points, 1)
    }

    /// The boot before this one left a crash behind, which weighs more than one that ended without a word.
    #[must_use]
    pub fn after_a_crash(self) -> Self {
        Self { points: add(self.points, 1), ..self }
    }

    fn is_previous(&self) -> bool {
        self.fallback.as_ref() == Some(&self.booted.entry())
    }

    /// A trial begins with few points: what is not the default and comes again and again is not on trial, but all there is.
    fn on_trial(&self) -> bool {
        is_trial(&self.booted, self.default.as_ref()) && !self.is_fallback() && self.points < PREVIOUS_FROM
    }

    /// This image runs because the default did not come up, and not to prove itself: whoever puts the previous image on trial
    /// makes another one the fallback first ([`super::steps::try_once`]).
    pub fn is_fallback(&self) -> bool {
        is_trial(&self.booted, self.default.as_ref()) && self.is_previous()
    }

    /// What this boot does. To be taken only when its points are kept: a step that costs nothing could be taken for ever.
    pub fn step(&self) -> Step {
        // A trial ends with the default image in any case, which has its own turns.
        if self.mode != Mode::Main || self.on_trial() {
            return Step::Start;
        }
        match (phase(self.points), &self.fallback) {
            (Phase::Recovery(way), _) => Step::Recovery(way),
            (Phase::Previous, Some(entry)) if !self.is_previous() => Step::TryEntry(entry.clone()),
            _ => Step::Start,
        }
    }

    /// Points when a boot that has begun, with `begun` points, finds that it cannot go on: that rarely mends itself, so the next
    /// phase comes at once. After a trial the default image comes next in any case, and has its own tries.
    pub fn cannot_go_on(&self, begun: u8) -> u8 {
        if self.on_trial() || begun > ROUND_FROM {
            return begun;
        }
        let previous_is_left = begun <= PREVIOUS_FROM && self.fallback.is_some() && !self.is_previous();
        begun.max(if previous_is_left { PREVIOUS_FROM } else { ROUND_FROM })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: RootHash = RootHash([1; 32]);
    const NEW: RootHash = RootHash([2; 32]);
    const TRIED: RootHash = RootHash([3; 32]);
    const RECOVERY: RootHash = RootHash([4; 32]);

    fn facts(points: u8, booted: RootHash, fallback: Option<RootHash>) -> LadderFacts {
        LadderFacts {
            mode: Mode::Main,
            points,
            booted,
            default: Some(NEW.entry()),
            fallback: fallback.map(|image| image.entry()),
        }
    }

    #[test]
    fn the_ladder_is_climbed_in_order() {
        for points in 0..PREVIOUS_FROM {
            assert_eq!(facts(points, NEW, Some(OLD)).step(), Step::Start);
        }
        for points in PREVIOUS_FROM..ROUND_FROM {
            assert_eq!(facts(points, NEW, Some(OLD)).step(), Step::TryEntry(OLD.entry()));
            assert_eq!(facts(points, OLD, Some(OLD)).step(), Step::Start, "the previous one itself");
            assert_eq!(facts(points, NEW, None).step(), Step::Start);
        }
        assert_eq!(facts(12, NEW, Some(OLD)).step(), Step::Recovery(Way::Firmware));
        assert_eq!(facts(19, NEW, Some(OLD)).step(), Step::Recovery(Way::Loader));
        let recovery = LadderFacts { mode: Mode::Recovery, ..facts(12, RECOVERY, None) };
        assert_eq!(recovery.step(), Step::Start, "recovery never leads away from itself here");
        assert_eq!(facts(5, TRIED, Some(OLD)).step(), Step::Start, "a trial is started");
        assert_eq!(
            facts(12, TRIED, Some(OLD)).step(),
            Step::Recovery(Way::Firmware),
            "no trial comes so often"
        );
    }

    #[test]
    fn three_crashes_or_six_boots_without_a_word_lead_to_the_previous_image() {
        let boots_until = |crashes: bool| {
            let (mut points, mut boots) = (0, 0);
            loop {
                let boot = facts(points, NEW, Some(OLD));
                let boot = if crashes && boots > 0 { boot.after_a_crash() } else { boot };
                if boot.step() != Step::Start {
                    return boots;
                }
                points = boot.begun();
                boots += 1;
            }
        };
        assert_eq!((boots_until(true), boots_until(false)), (3, 6));
    }

    #[test]
    fn every_exit_comes_again_from_every_place() {
        for first in 0..=u8::MAX {
            let (mut points, mut seen) = (first, Vec::new());
            for _ in 0..30 {
                let boot = facts(points, NEW, Some(OLD));
                seen.push(boot.step());
                points = boot.begun();
            }
            for exit in [
                Step::Start,
                Step::TryEntry(OLD.entry()),
                Step::Recovery(Way::Firmware),
                Step::Recovery(Way::Loader),
            ] {
                assert!(seen.contains(&exit), "{exit:?} is never taken from {first}");
            }
        }
    }

    #[test]
    fn a_boot_that_cannot_go_on_takes_the_next_step_at_once() {
        let fails = |points, booted, fallback| {
            let facts = facts(points, booted, fallback);
            facts.cannot_go_on(facts.begun())
        };
        assert_eq!(fails(0, NEW, Some(OLD)), PREVIOUS_FROM);
        assert_eq!(fails(7, OLD, Some(OLD)), ROUND_FROM);
        assert_eq!(fails(0, NEW, None), ROUND_FROM);
        assert_eq!(fails(14, NEW, None), 15, "a round goes on");
        assert_eq!(fails(0, TRIED, None), 1, "after a trial comes the default");
        assert_eq!(fails(0, OLD, Some(NEW)), 1, "also after one of the previous image");
    }

    #[test]
    fn the_previous_image_is_a_fallback_only_when_the_default_did_not_come_up() {
        assert!(facts(6, OLD, Some(OLD)).is_fallback());
        assert!(facts(0, OLD, Some(OLD)).is_fallback(), "the firmware could not start the default");
        assert!(!facts(0, OLD, Some(NEW)).is_fallback(), "somebody goes back to it");
        assert!(!facts(6, NEW, Some(OLD)).is_fallback());
    }
}
