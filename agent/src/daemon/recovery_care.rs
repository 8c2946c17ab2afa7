//! Recovery leaves by itself: what kept the normal system from starting may have gone.

use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, SystemTime};

use edge_host::{console, kernel, power};
use edge_model::Result;
use edge_model::api::black_box::Ending;
use edge_planner::boot::recovery;

use super::Shared;
use super::boot_care::attempt;
use super::care::{Caretaker, Then};
use super::notices::Said;
use crate::black_box;
use crate::operations::reset;
use crate::report::Report;

const BETWEEN_LOOKS: Duration = Duration::from_secs(15);

/// Goes on with a reset that was asked for on the normal system, or cut off here.
pub(super) fn fulfil_reset(shared: &Arc<Shared>) {
    match reset::go_on(&shared.host, &mut Quiet) {
        Ok(false) => {}
        Ok(true) => restart(shared, "the host is reset"),
        Err(error) => shared.notice(Said::failed("the host could not be reset", &error)),
    }
}

/// Nobody follows it here: the console shows recovery.
struct Quiet;

impl Report for Quiet {
    fn step(&mut self, title: &str, _: u64) {
        console::say(&format!("edge: reset: {title}"));
    }

    fn progress(&mut self, _: u64) -> Result<()> {
        Ok(())
    }
}

/// Restarts into the normal system when nobody has been at work for long enough.
pub(super) struct RecoveryCaretaker {
    /// With this one.
    recoveries: u8,
    keys: Keys,
}

impl RecoveryCaretaker {
    pub(super) fn new(shared: &Shared, recoveries: u8) -> Self {
        let minutes = recovery::stays(recoveries).as_secs() / 60;
        shared.notice(Said::info(format!(
            "the normal system is tried again when nobody has worked here for {minutes} minutes"
        )));
        Self { recoveries, keys: Keys::seen_now(console::mark_of_keys()) }
    }
}

impl Caretaker for RecoveryCaretaker {
    /// How long nobody has been at work.
    type Facts = Duration;
    /// Whether the normal system is tried.
    type Step = bool;

    fn look(&mut self, shared: &Arc<Shared>) -> Duration {
        self.keys.look(console::mark_of_keys(), kernel::up_time());
        quiet(shared, &self.keys)
    }

    fn decide(&mut self, quiet: Duration) -> bool {
        recovery::tries_again(self.recoveries, quiet)
    }

    fn act(&mut self, shared: &Arc<Shared>, tries_again: bool) -> Then {
        if tries_again {
            console::say("edge: nobody is at work here: trying the normal system again.");
            restart(shared, "recovery tries the normal system again");
        }
        Then::LookAgain(BETWEEN_LOOKS)
    }
}

fn restart(shared: &Shared, reason: &str) {
    let ending = Ending::Restarted { reason: reason.to_owned() };
    attempt(shared, "the restart was not recorded", black_box::intend(&shared.host.machine, ending));
    while let Err(error) = power::restart(&shared.host.machine) {
        shared.notice(Said::failed("the host does not restart", &error));
        sleep(BETWEEN_LOOKS);
    }
    // The service manager stops this program.
    loop {
        sleep(BETWEEN_LOOKS);
    }
}

/// How long nothing has been typed, at the console or over the network, nobody has asked for anything, and no operation has run.
fn quiet(shared: &Shared, keys: &Keys) -> Duration {
    if shared.operations.running().is_some() {
        return Duration::ZERO;
    }
    kernel::up_time().saturating_sub(keys.changed).min(shared.since_last_work())
}

/// When somebody last typed, by the clock that never jumps: a host that learns the time in recovery must not take that for hours
/// of silence.
struct Keys {
    mark: Option<SystemTime>,
    changed: Duration,
}

impl Keys {
    fn seen_now(mark: Option<SystemTime>) -> Self {
        Self { mark, changed: kernel::up_time() }
    }

    fn look(&mut self, mark: Option<SystemTime>, now: Duration) {
        if mark != self.mark {
            *self = Self { mark, changed: now };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_jumps_is_no_silence_and_a_key_is_none_either() {
        let mark = |seconds| Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        let mut keys = Keys { mark: mark(100), changed: Duration::from_secs(10) };
        // The wall clock is 56 years further, and nobody has typed.
        keys.look(mark(100), Duration::from_secs(40));
        assert_eq!(keys.changed, Duration::from_secs(10));
        keys.look(mark(1_795_000_000), Duration::from_secs(60));
        assert_eq!(keys.changed, Duration::from_secs(60));
        // Whoever logs out was there until now.
        keys.look(mark(100), Duration::from_secs(80));
        assert_eq!(keys.changed, Duration::from_secs(80));
    }
}
