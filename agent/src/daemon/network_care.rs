//! The care for the network: a change proves itself, or the last network that worked returns.

use std::path::Path;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use edge_host::{console, files};
use edge_model::api::NetworkState;
use edge_model::{Result, paths};
use edge_planner::network_trial::{Choice, Memory, Reach, prove, reject};

use super::notices::Said;
use super::register::{Stop, StopSign};
use super::{Shared, local_configuration};
use crate::accounts;
use crate::configuration::Settings;
use crate::report::Report;
use crate::{host_state, network_trial};

const BETWEEN_LOOKS: Duration = Duration::from_secs(2);
/// The first network of a host has all the time in the world: there is none to return to.
const BETWEEN_LOOKS_AT_FIRST: Duration = Duration::from_secs(15);

/// Follows what this boot was started with.
pub(super) fn watch(shared: &Arc<Shared>) {
    let state = files::read(Path::new(paths::NETWORK_STATE), 1 << 16)
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default();
    let memory = network_trial::memory();
    let wanted = network_trial::wanted(&shared.settings().data);
    match (state, memory.trial) {
        // Also when an agent was ended between its verdict and what follows from it.
        (state, _) if memory.rejected.as_ref() == Some(&wanted) => {
            if state != NetworkState::Returned {
                attempt(shared, "the last network could not be brought back", use_proven(shared));
            }
            shared.set_network(NetworkState::Returned);
            let why = memory.rejected_because.as_deref().unwrap_or("it did not prove itself");
            taken_back(shared, why);
        }
        (NetworkState::Trial { .. }, Some(trial)) => {
            shared.set_network(state);
            judge(shared, &trial.reach, &StopSign::default());
        }
        // An agent that was started again finds the state that the boot began with, and the trial over.
        _ => {
            shared.set_network(NetworkState::Kept);
            // What is wanted and was not tried yet may still have to go back.
            if memory.proven.as_ref().is_none_or(|proven| *proven == wanted) {
                attempt(shared, "the change was not kept", local_configuration::keep());
            }
            if memory.proven.is_none() {
                wait_for_first(shared);
            }
        }
    }
}

fn attempt(shared: &Shared, what: &str, result: Result<()>) {
    if let Err(error) = result {
        shared.notice(Said::failed(what, &error));
    }
}

fn use_proven(shared: &Shared) -> Result<()> {
    network_trial::apply(&shared.settings().data)?;
    reload(shared);
    Ok(())
}

/// Remembers the first network once it works.
fn wait_for_first(shared: &Shared) {
    loop {
        // An operator may have mended it meanwhile.
        let reach = network_trial::wanted(&shared.settings().data);
        if network_trial::memory().proven.is_some() {
            return;
        }
        if shared.take_confirmation() || network_trial::reaches_its_peers(&reach) {
            return remember(shared, |memory| *memory = prove(reach));
        }
        sleep(BETWEEN_LOOKS_AT_FIRST);
    }
}

fn remember(shared: &Shared, change: impl FnOnce(&mut Memory)) {
    if let Err(error) = network_trial::remember(change) {
        shared.notice(Said::failed("the network's state was not recorded", &error));
    }
}

/// How a trial ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Kept,
    Returned,
    /// The machine is going down: the trial goes on in its next boot.
    Adjourned,
}

/// Watches a network on trial to its end.
fn judge(shared: &Shared, reach: &Reach, stop: &StopSign) -> Verdict {
    let patience = Duration::from_secs(network_trial::confirm_seconds(reach));
    let begun = Instant::now();
    console::say(&format!("edge: a new network is on trial for {} seconds.", patience.as_secs()));
    let why = loop {
        if shared.take_confirmation() || network_trial::reaches_its_peers(reach) {
            remember(shared, |memory| *memory = prove(reach.clone()));
            shared.set_network(NetworkState::Kept);
            if let Err(error) = network_trial::record_state(NetworkState::Kept) {
                shared.notice(Said::failed("the network's state was not recorded", &error));
            }
            attempt(shared, "the change was not kept", local_configuration::keep());
            console::say("edge: the new network is kept.");
            return Verdict::Kept;
        }
        let left = patience.saturating_sub(begun.elapsed());
        if shared.take_surrender() || stop.read() == Stop::Cancelled {
            break "somebody gave it up".to_owned();
        }
        if left.is_zero() {
            break why_not(reach);
        }
        if stop.read() == Stop::TakenOver {
            return Verdict::Adjourned;
        }
        shared.set_network(NetworkState::Trial { seconds_left: left.as_secs() });
        sleep(BETWEEN_LOOKS.min(left));
    };
    console::say("edge: the new network does not work: the last one that did returns.");
    remember(shared, |memory| *memory = reject(memory, reach.clone(), &why));
    attempt(shared, "the last network could not be brought back", use_proven(shared));
    shared.set_network(NetworkState::Returned);
    taken_back(shared, &why);
    Verdict::Returned
}

/// The rejected network is told once, and is not what is wanted any more; neither is what came with it.
fn taken_back(shared: &Shared, why: &str) {
    match local_configuration::take_back(shared) {
        Ok(true) => attempt(shared, "what was used before is not used again", apply_again(shared)),
        Ok(false) => {}
        Err(error) => shared.notice(Said::failed("", &error)),
    }
    let text = format!("the last change of the network was taken back: {why}; the network before it is used");
    shared.notice(Said::warning(text));
}

fn apply_again(shared: &Shared) -> Result<()> {
    let settings = shared.settings();
    let identity = host_state::identity(&settings.data)?;
    host_state::write_identity(&host_state::machine_id()?, &identity)?;
    network_trial::apply(&settings.data)?;
    apply_the_rest(shared, &settings);
    reload_services(shared);
    Ok(())
}

fn why_not(reach: &Reach) -> String {
    let peers = edge_planner::network::peers(&reach.network);
    if peers.is_empty() {
        "no gateway answered".into()
    } else {
        format!("{} did not answer", peers.join(", "))
    }
}

/// What became of changed settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Applied {
    /// They are used; what a person should read.
    Used(&'static str),
    /// The trial of their network goes on in the next boot; what a person should read.
    Adjourned(&'static str),
    /// Their network did not prove itself: the last one that did is used.
    Returned,
}

/// Puts changed settings to use while the host runs; a changed network is followed to the end of its trial. Whether the
/// change is about the network, the caller knows.
///
/// # Errors
/// When settings cannot be written.
pub(super) fn apply_now(
    shared: &Shared,
    changes_network: bool,
    report: &mut dyn Report,
    stop: &StopSign,
) -> Result<Applied> {
    // What was said before does not mean this change.
    shared.take_confirmation();
    shared.take_surrender();
    // Somebody wants it now: the cable may be plugged in that was missing when it failed before.
    if changes_network {
        network_trial::remember(|memory| (memory.rejected, memory.rejected_because) = (None, None))?;
    }
    let before = network_trial::memory();
    let settings = shared.settings();
    let identity = host_state::identity(&settings.data)?;
    host_state::write_identity(&host_state::machine_id()?, &identity)?;
    let choice = network_trial::apply(&settings.data)?;
    let changed = match &choice {
        Choice::Proven(_) => before.trial.is_some(),
        // Another change does not try again what was rejected, and is not undone by it.
        Choice::Returned(_) => changes_network,
        Choice::First(_) | Choice::Trial(_) => true,
    };
    shared.set_network(network_trial::state_of(&choice));
    apply_the_rest(shared, &settings);
    if !changed {
        reload_services(shared);
        return Ok(Applied::Used("the configuration is used"));
    }
    reload(shared);
    match choice {
        Choice::Trial(reach) => {
            let seconds = network_trial::confirm_seconds(&reach);
            report.step(&format!("the new network is on trial for {seconds} seconds"), 0);
            Ok(match judge(shared, &reach, stop) {
                Verdict::Kept => Applied::Used("the new network works and is kept"),
                Verdict::Adjourned => {
                    Applied::Adjourned("the trial of the new network goes on in the next boot")
                }
                Verdict::Returned => Applied::Returned,
            })
        }
        Choice::Returned(_) => Ok(Applied::Returned),
        Choice::First(_) | Choice::Proven(_) => Ok(Applied::Used("the configuration is used")),
    }
}

/// What cannot cut the host off needs no trial.
fn apply_the_rest(shared: &Shared, settings: &Settings) {
    let site = &settings.edge().site;
    let attempt = |what: &str, result: Result<()>| {
        if let Err(error) = result {
            shared.notice(Said::failed(what, &error));
        }
    };
    if let Some(operator) = &settings.edge().operator {
        attempt("operator's account not made", host_state::create_operator(operator));
        let configured = accounts::Configured::of(Some(operator));
        attempt("changed accounts not restored", accounts::restore(configured.as_ref()));
    }
    attempt("certificates not trusted", host_state::trust_certificates(&site.ca_certs));
    attempt("keyboard not set", host_state::set_keyboard(site));
    if let Some(zone) = &site.time_zone {
        attempt("time zone not set", host_state::set_time_zone(zone));
    }
}

fn reload_services(shared: &Shared) {
    network_trial::reload_services().into_iter().for_each(|failure| shared.notice(Said::problem(failure)));
}

/// What of it failed is shown; the trial judges the network as it is then.
fn reload(shared: &Shared) {
    network_trial::reload().into_iter().for_each(|failure| shared.notice(Said::problem(failure)));
}
