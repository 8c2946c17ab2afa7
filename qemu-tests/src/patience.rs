//! How long something is waited for: as long as there is a sign of life.

use std::time::{Duration, Instant};

/// Something that lives and never gets there is given up after this many times the patience.
const AT_MOST: u32 = 6;

/// A limit for the time in which nothing happens: a busy machine takes longer, and a machine that hangs does nothing.
#[derive(Debug)]
pub struct Patience<S> {
    within: Duration,
    started: Instant,
    since: Instant,
    signs: Option<S>,
}

impl<S: PartialEq> Patience<S> {
    pub fn new(within: Duration) -> Self {
        let now = Instant::now();
        Self { within, started: now, since: now, signs: None }
    }

    /// Takes the signs of life that are seen now; tells whether they have been the same for too long.
    pub fn is_over(&mut self, signs: S) -> bool {
        if self.signs.as_ref() != Some(&signs) {
            (self.signs, self.since) = (Some(signs), Instant::now());
        }
        self.since.elapsed() > self.within || self.started.elapsed() > self.within * AT_MOST
    }

    /// How long it was waited for in all.
    pub fn waited(&self) -> Duration {
        self.started.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_silence_ends_it() {
        let short = Duration::from_millis(30);
        let mut patience = Patience::new(short);
        for sign in 0..3 {
            std::thread::sleep(short / 2);
            assert!(!patience.is_over(sign), "after {:?}", patience.waited());
        }
        std::thread::sleep(short * 2);
        assert!(patience.is_over(2));
        assert!(Patience::new(Duration::ZERO).is_over(()), "nothing lives for ever");
    }
}
