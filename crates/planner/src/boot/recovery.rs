//! When recovery tries the normal system again. What kept it from starting may have gone: a disk that came late, a storm of
//! power cuts, a second disk with the same image.

use std::time::Duration;

/// Points of the ladder, and how often recovery was entered since the normal system last ran well: what is kept in the firmware.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    pub points: u8,
    pub recoveries: u8,
}

impl Counters {
    /// From the variable's bytes. A system of before knows only the first one: it counts boots in it, begins anew with what it
    /// finds there, and takes the variable away when a boot has lasted.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let byte = |at: usize| bytes.get(at).copied();
        let points = byte(2).or(byte(0)).unwrap_or(0);
        Self { points, recoveries: byte(1).unwrap_or(0) }
    }

    /// The first byte stays below what made such a system turn away from itself.
    pub fn to_bytes(self) -> [u8; 3] {
        const OLD_SYSTEMS_START: u8 = 2;
        [self.points.min(OLD_SYSTEMS_START), self.recoveries, self.points]
    }

    /// Recovery has come up: the normal system begins anew when it is tried next.
    pub fn in_recovery(self) -> Self {
        Self { points: 0, recoveries: self.recoveries.saturating_add(1) }
    }
}

/// How long recovery stays when nobody is at work there. `recoveries` counts this one.
pub fn stays(recoveries: u8) -> Duration {
    const MINUTE: u64 = 60;
    Duration::from_secs(match recoveries {
        0 | 1 => 10 * MINUTE,
        2 => 30 * MINUTE,
        3 => 60 * MINUTE,
        _ => 24 * 60 * MINUTE,
    })
}

/// Whether the normal system is to be tried now. `quiet` is how long nobody has been at work: since the last request, operation
/// or key, or since recovery came up.
pub fn tries_again(recoveries: u8, quiet: Duration) -> bool {
    quiet >= stays(recoveries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recovery_waits_longer_each_time_and_always_leaves() {
        let minutes = |recoveries| stays(recoveries).as_secs() / 60;
        assert_eq!([1, 2, 3, 4, u8::MAX].map(minutes), [10, 30, 60, 1440, 1440]);
        assert!(!tries_again(1, Duration::from_secs(599)) && tries_again(1, Duration::from_secs(600)));
    }

    #[test]
    fn counters_of_an_older_system_are_understood() {
        assert_eq!(Counters::from_bytes(&[3]), Counters { points: 3, recoveries: 0 });
        assert_eq!(Counters::from_bytes(&[]), Counters::default());
        let seen = Counters { points: 13, recoveries: 255 };
        assert!(seen.to_bytes()[0] < 3, "a system of before starts, when it is the previous one");
        assert_eq!(Counters::from_bytes(&seen.to_bytes()), seen);
        assert_eq!(seen.in_recovery(), Counters { points: 0, recoveries: 255 });
    }
}
