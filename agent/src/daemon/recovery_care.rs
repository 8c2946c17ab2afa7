//! Recovery leaves by itself: what kept the normal system from starting may have gone.

use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use edge_host::{console, kernel, power};
use edge_model::api::black_box::Ending;
use edge_planner::boot::recovery;

use super::Shared;
use super::boot_care::attempt;
use super::notices::Said;
use crate::black_box;

const BETWEEN_LOOKS: Duration = Duration::from_secs(15);

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
    let reason = "recovery tries the normal system again".to_owned();
    attempt(shared, "the restart was not recorded", black_box::intend(Ending::Restarted { reason }));
    while let Err(error) = power::restart() {
        shared.notice(Said::failed("the host does not restart", &error));
        sleep(BETWEEN_LOOKS);
    }
}

/// How long nothing has been typed, at the console or over the network, and no operation has run.
fn quiet(shared: &Shared) -> Duration {
    if shared.operations.running().is_some() {
        return Duration::ZERO;
    }
    let typed = console::since_last_key().unwrap_or(Duration::MAX);
    typed.min(kernel::up_time())
}
