//! Judging an image on trial: how long it has, and when it has proved itself.

/// A boot on trial that has not finished goes on while something happens in it, up to so many times its deadline.
const AT_MOST: u64 = 4;
/// Seconds without a sign of life after which a boot hangs.
pub const HANGS_AFTER: u64 = 120;
/// Seconds that checks have after a boot that finished late.
const CHECKS_WITHIN: u64 = 60;

/// The outcome of one look at a running system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// The boot has not finished.
    StillStarting,
    Healthy,
    Unhealthy(Vec<String>),
}

/// How a trial stands. Seconds are counted from power-on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrialClock {
    pub now: u64,
    /// When the image has to have proved itself, if nothing of it still moves.
    pub deadline: u64,
    /// When something was last seen to happen in the boot: a unit that has started, or bytes that a disk has moved.
    pub last_sign: u64,
    /// When the boot finished; none while units still start.
    pub finished: Option<u64>,
    pub soak: Soak,
}

/// A system has lasted when it was healthy for so long without a break. What fails just after its first good moment has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Soak {
    /// Seconds that it takes.
    pub seconds: u64,
    /// Since when every look was a good one, in seconds from power-on.
    pub healthy_since: Option<u64>,
}

impl Soak {
    pub fn new(seconds: u64) -> Self {
        Self { seconds, healthy_since: None }
    }

    pub fn looked(&mut self, now: u64, healthy: bool) {
        self.healthy_since = healthy.then(|| self.healthy_since.unwrap_or(now));
    }

    pub fn ends(&self) -> Option<u64> {
        self.healthy_since.map(|since| since + self.seconds)
    }

    pub fn is_over(&self, now: u64) -> bool {
        self.ends().is_some_and(|ends| now >= ends)
    }
}

/// What follows for a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    GoesOn,
    Commit,
    GiveUp,
}

impl TrialClock {
    /// When the image has had its chance, as it looks now. A slow disk is no reason to give an image up, and one that hangs is.
    /// One that is healthy is not given up while it lasts.
    pub fn ends(&self) -> u64 {
        let ends = match (self.soak.ends(), self.finished) {
            (Some(soaked), _) => soaked,
            (None, Some(finished)) => finished + CHECKS_WITHIN,
            (None, None) => self.last_sign + HANGS_AFTER,
        };
        // One that is healthy now and then is not waited for for ever; a soak that has begun in time is.
        let most = (self.deadline * AT_MOST).max(self.deadline + self.soak.seconds);
        ends.min(most).max(self.deadline)
    }

    /// Whatever is still to be tried has been tried for long enough.
    pub fn is_late(&self) -> bool {
        self.now > self.deadline + self.soak.seconds
    }

    pub fn judge(&self) -> Judgement {
        if self.soak.is_over(self.now) {
            Judgement::Commit
        } else if self.now > self.ends() {
            Judgement::GiveUp
        } else {
            Judgement::GoesOn
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOCK: TrialClock = TrialClock {
        now: 601,
        deadline: 600,
        last_sign: 590,
        finished: None,
        soak: Soak { seconds: 120, healthy_since: None },
    };

    fn healthy_since(since: u64) -> Soak {
        Soak { healthy_since: Some(since), ..CLOCK.soak }
    }

    #[test]
    fn a_slow_boot_is_waited_for_and_one_that_hangs_is_not() {
        let clock = CLOCK;
        assert_eq!(clock.judge(), Judgement::GoesOn, "something just happened");
        assert_eq!(TrialClock { last_sign: 480, ..clock }.judge(), Judgement::GiveUp, "nothing happens");
        assert_eq!(TrialClock { now: 600, last_sign: 0, ..clock }.judge(), Judgement::GoesOn, "it has time");
        let late = TrialClock { now: 2401, last_sign: 2401, ..clock };
        assert_eq!(late.judge(), Judgement::GiveUp, "not for ever");
        assert_eq!(
            TrialClock { finished: Some(300), ..clock }.judge(),
            Judgement::GiveUp,
            "up, and not well"
        );
        assert_eq!(
            TrialClock { finished: Some(595), ..clock }.judge(),
            Judgement::GoesOn,
            "checks have begun"
        );
    }

    #[test]
    fn an_image_is_kept_when_it_has_lasted_and_not_at_its_first_good_moment() {
        let at = |now, since| TrialClock { now, finished: Some(30), soak: healthy_since(since), ..CLOCK };
        assert_eq!(at(40, 35).judge(), Judgement::GoesOn);
        assert_eq!(at(155, 35).judge(), Judgement::Commit);
        assert_eq!(
            at(610, 590).judge(),
            Judgement::GoesOn,
            "healthy in time, and the soak goes on beyond it"
        );
        assert_eq!(at(710, 590).judge(), Judgement::Commit);
    }

    #[test]
    fn a_bad_look_begins_the_soak_anew() {
        let mut soak = Soak::new(10);
        soak.looked(5, true);
        soak.looked(14, true);
        assert!(!soak.is_over(14) && soak.is_over(15));
        soak.looked(15, false);
        soak.looked(16, true);
        assert!(!soak.is_over(25) && soak.is_over(26));
    }
}
