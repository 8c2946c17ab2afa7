//! The care for the network: a change proves itself, or the last network that worked returns. What follows when is decided in
//! [`edge_planner::network_trial`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use edge_host::files;
use edge_model::api::NetworkState;
use edge_model::{Result, paths};
use edge_planner::network_trial::{
    self as planner, Beginning, Choice, Memory, Reach, Sight, Verdict, prove, reject,
};

use super::boot_care::attempt;
use super::care::{Caretaker, Then};
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

/// What people want of a network on trial. Each wish is heard once.
#[derive(Debug, Default)]
pub(super) struct NetworkWishes {
    keep: AtomicBool,
    give_up: AtomicBool,
}

impl NetworkWishes {
    pub(super) fn keep(&self) {
        self.keep.store(true, Ordering::Release);
    }

    pub(super) fn give_up(&self) {
        self.give_up.store(true, Ordering::Release);
    }

    fn take_keep(&self) -> bool {
        self.keep.swap(false, Ordering::AcqRel)
    }

    fn take_give_up(&self) -> bool {
        self.give_up.swap(false, Ordering::AcqRel)
    }

    /// What was said before does not mean what is tried now.
    fn forget(&self) {
        self.take_keep();
        self.take_give_up();
    }
}

/// Follows what this boot was started with.
pub(super) enum NetworkCaretaker {
    Begins,
    Watches(OnTrial),
    /// Until the first network works: then there is one to return to.
    AwaitsTheFirst,
    IsDone,
}

pub(super) enum Facts {
    Beginning(Beginning),
    Trial(Sight),
    /// An operator may have mended it meanwhile.
    First {
        wanted: Reach,
        is_known: bool,
        works: bool,
    },
    Nothing,
}

pub(super) enum Step {
    Begin(Beginning),
    Judge(Verdict, Sight),
    Remember(Reach),
    LookAgain,
    End,
}

impl Caretaker for NetworkCaretaker {
    type Facts = Facts;
    type Step = Step;

    fn look(&mut self, shared: &Arc<Shared>) -> Facts {
        let machine = &shared.host.machine;
        let wanted = || network_trial::wanted(&shared.settings().data);
        match self {
            Self::Begins => {
                let state = files::read(&machine.path(paths::NETWORK_STATE), 1 << 16).ok();
                let state = state.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
                Facts::Beginning(planner::begin(state, &network_trial::memory(machine), &wanted()))
            }
            Self::Watches(trial) => Facts::Trial(trial.look(shared, Stop::Not)),
            Self::AwaitsTheFirst => {
                let wanted = wanted();
                let is_known = network_trial::memory(machine).proven.is_some();
                let works = is_known
                    || shared.network_wishes.take_keep()
                    || network_trial::reaches_its_peers(machine, &wanted);
                Facts::First { wanted, is_known, works }
            }
            Self::IsDone => Facts::Nothing,
        }
    }

    fn decide(&mut self, facts: Facts) -> Step {
        match facts {
            Facts::Beginning(beginning) => Step::Begin(beginning),
            Facts::Trial(sight) => Step::Judge(planner::judge(&sight), sight),
            Facts::First { is_known: true, .. } | Facts::Nothing => Step::End,
            Facts::First { wanted, works: true, .. } => Step::Remember(wanted),
            Facts::First { .. } => Step::LookAgain,
        }
    }

    fn act(&mut self, shared: &Arc<Shared>, step: Step) -> Then {
        match step {
            Step::Begin(beginning) => {
                *self = begin(shared, beginning);
                if matches!(self, Self::IsDone) { Then::End } else { Then::LookAgain(Duration::ZERO) }
            }
            Step::Judge(verdict, sight) => {
                let Self::Watches(trial) = self else { return Then::End };
                match trial.follow(shared, verdict, &sight) {
                    Some(_) => Then::End,
                    None => Then::LookAgain(rest(&sight)),
                }
            }
            Step::Remember(reach) => {
                remember(shared, |memory| *memory = prove(reach));
                Then::End
            }
            Step::LookAgain => Then::LookAgain(BETWEEN_LOOKS_AT_FIRST),
            Step::End => Then::End,
        }
    }
}

fn begin(shared: &Shared, beginning: Beginning) -> NetworkCaretaker {
    match beginning {
        Beginning::GoBack { is_used, why } => {
            if !is_used {
                attempt(shared, "the last network could not be brought back", use_proven(shared));
            }
            shared.set_network(NetworkState::Returned);
            taken_back(shared, &why);
            NetworkCaretaker::IsDone
        }
        Beginning::Watch(reach) => NetworkCaretaker::Watches(OnTrial::begin(shared, reach)),
        Beginning::Settled { keeps_the_change, is_first } => {
            shared.set_network(NetworkState::Kept);
            if keeps_the_change {
                attempt(shared, "the change was not kept", local_configuration::keep());
            }
            if is_first { NetworkCaretaker::AwaitsTheFirst } else { NetworkCaretaker::IsDone }
        }
    }
}

fn use_proven(shared: &Shared) -> Result<()> {
    network_trial::apply(&shared.host.machine, &shared.settings().data)?;
    reload(shared);
    Ok(())
}

fn remember(shared: &Shared, change: impl FnOnce(&mut Memory)) {
    if let Err(error) = network_trial::remember(&shared.host.machine, change) {
        shared.notice(Said::failed("the network's state was not recorded", &error));
    }
}

/// A network that has to prove itself.
pub(super) struct OnTrial {
    reach: Reach,
    begun: Instant,
}

/// How a trial ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Kept,
    Returned,
    /// The machine is going down: the trial goes on in its next boot.
    Adjourned,
}

fn rest(sight: &Sight) -> Duration {
    BETWEEN_LOOKS.min(Duration::from_secs(sight.seconds_left))
}

impl OnTrial {
    fn begin(shared: &Shared, reach: Reach) -> Self {
        let seconds = network_trial::confirm_seconds(&reach);
        shared.set_network(NetworkState::Trial { seconds_left: seconds });
        shared.host.machine.say(&format!("edge: a new network is on trial for {seconds} seconds."));
        Self { reach, begun: Instant::now() }
    }

    fn look(&self, shared: &Shared, stop: Stop) -> Sight {
        let proves_itself = shared.network_wishes.take_keep()
            || network_trial::reaches_its_peers(&shared.host.machine, &self.reach);
        let seconds = Duration::from_secs(network_trial::confirm_seconds(&self.reach));
        Sight {
            proves_itself,
            is_given_up: !proves_itself && (shared.network_wishes.take_give_up() || stop == Stop::Cancelled),
            is_taken_over: stop == Stop::TakenOver,
            // The last part of a second is waited for, too.
            seconds_left: seconds.saturating_sub(self.begun.elapsed()).as_secs_f64().ceil() as u64,
        }
    }

    /// Does what follows from a look; how the trial ended, if it has.
    fn follow(&self, shared: &Shared, verdict: Verdict, sight: &Sight) -> Option<End> {
        match verdict {
            Verdict::Keep => {
                self.keep(shared);
                Some(End::Kept)
            }
            Verdict::GiveUp => Some(self.go_back(shared, "somebody gave it up")),
            Verdict::TimeIsUp => Some(self.go_back(shared, &why_not(&self.reach))),
            Verdict::Adjourn => Some(End::Adjourned),
            Verdict::GoOn => {
                shared.set_network(NetworkState::Trial { seconds_left: sight.seconds_left });
                None
            }
        }
    }

    fn keep(&self, shared: &Shared) {
        remember(shared, |memory| *memory = prove(self.reach.clone()));
        shared.set_network(NetworkState::Kept);
        let recorded = network_trial::record_state(&shared.host.machine, NetworkState::Kept);
        attempt(shared, "the network's state was not recorded", recorded);
        attempt(shared, "the change was not kept", local_configuration::keep());
        shared.host.machine.say("edge: the new network is kept.");
    }

    fn go_back(&self, shared: &Shared, why: &str) -> End {
        shared.host.machine.say("edge: the new network does not work: the last one that did returns.");
        remember(shared, |memory| *memory = reject(memory, self.reach.clone(), why));
        attempt(shared, "the last network could not be brought back", use_proven(shared));
        shared.set_network(NetworkState::Returned);
        taken_back(shared, why);
        End::Returned
    }
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
    network_trial::apply(&shared.host.machine, &settings.data)?;
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
    shared.network_wishes.forget();
    let machine = &shared.host.machine;
    // Somebody wants it now: the cable may be plugged in that was missing when it failed before.
    if changes_network {
        network_trial::remember(machine, |memory| (memory.rejected, memory.rejected_because) = (None, None))?;
    }
    let before = network_trial::memory(machine);
    let settings = shared.settings();
    let identity = host_state::identity(&settings.data)?;
    host_state::write_identity(&host_state::machine_id()?, &identity)?;
    let choice = network_trial::apply(machine, &settings.data)?;
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
            let trial = OnTrial::begin(shared, reach);
            let end = loop {
                let sight = trial.look(shared, stop.read());
                match trial.follow(shared, planner::judge(&sight), &sight) {
                    Some(end) => break end,
                    None => sleep(rest(&sight)),
                }
            };
            Ok(match end {
                End::Kept => Applied::Used("the new network works and is kept"),
                End::Adjourned => Applied::Adjourned("the trial of the new network goes on in the next boot"),
                End::Returned => Applied::Returned,
            })
        }
        Choice::Returned(_) => Ok(Applied::Returned),
        Choice::First(_) | Choice::Proven(_) => Ok(Applied::Used("the configuration is used")),
    }
}

/// What cannot cut the host off needs no trial.
fn apply_the_rest(shared: &Shared, settings: &Settings) {
    let site = &settings.edge().site;
    let attempt = |what: &str, result| attempt(shared, what, result);
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
    network_trial::reload_services(&shared.host.machine)
        .into_iter()
        .for_each(|failure| shared.notice(Said::problem(failure)));
}

/// What of it failed is shown; the trial judges the network as it is then.
fn reload(shared: &Shared) {
    network_trial::reload(&shared.host.machine)
        .into_iter()
        .for_each(|failure| shared.notice(Said::problem(failure)));
}
