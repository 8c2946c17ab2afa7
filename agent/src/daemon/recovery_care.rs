//! Recovery leaves by itself: what kept the normal system from starting may have gone.

use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use edge_host::{console, power};
use edge_model::Result;
use edge_model::api::black_box::Ending;
use edge_planner::boot::recovery;

use super::Shared;
use super::boot_care::attempt;
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

/// Restarts into the normal system when nobody has been at work for long enough. `recoveries` counts this one.
pub(super) fn return_when_quiet(shared: &Arc<Shared>, recoveries: u8) {
    let minutes = recovery::stays(recoveries).as_secs() / 60;
    shared.notice(Said::info(format!(
        "the normal system is tried again when nobody has worked here for {minutes} minutes"
    )));
    loop {
        sleep(BETWEEN_LOOKS);
        if recovery::tries_again(recoveries, quiet(shared)) {
            break;
        }
    }
    console::say("edge: nobody is at work here: trying the normal system again.");
    restart(shared, "recovery tries the normal system again");
}

fn restart(shared: &Shared, reason: &str) {
    let ending = Ending::Restarted { reason: reason.to_owned() };
    attempt(shared, "the restart was not recorded", black_box::intend(ending));
    while let Err(error) = power::restart() {
        shared.notice(Said::failed("the host does not restart", &error));
        sleep(BETWEEN_LOOKS);
    }
    // The service manager stops this program.
    loop {
        sleep(BETWEEN_LOOKS);
    }
}

/// How long nothing has been typed, at the console or over the network, nobody has asked for anything, and no operation has run.
fn quiet(shared: &Shared) -> Duration {
    if shared.operations.running().is_some() {
        return Duration::ZERO;
    }
    console::since_last_key().unwrap_or(Duration::MAX).min(shared.since_last_work())
}
