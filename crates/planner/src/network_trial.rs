//! Changes of the network that a host comes back from: a new network is on trial until it has proved itself, and the
//! last one that did returns otherwise, also across restarts.

use edge_model::api::NetworkState;
use edge_model::user_data::edge::SiteNetwork;
use serde::{Deserialize, Serialize};

/// Everything that can cut a host off.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reach {
    pub network: SiteNetwork,
    pub management_endpoint: Option<String>,
}

/// What the host remembers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// The last network that proved itself.
    pub proven: Option<Reach>,
    /// A network that did not.
    pub rejected: Option<Reach>,
    /// Why, for people: also after a restart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rejected_because: Option<String>,
    pub trial: Option<Trial>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    pub reach: Reach,
    /// Boots that began with it and did not end the trial.
    pub boots: u32,
}

/// A trial that was begun in so many boots without an end has failed.
const MOST_BOOTS: u32 = 3;
pub const DEFAULT_CONFIRM_SECONDS: u64 = 180;

/// Which network to use now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// It has proved itself.
    Proven(Reach),
    /// There is none to return to.
    First(Reach),
    /// It must prove itself.
    Trial(Reach),
    /// The wanted one has failed: this one worked.
    Returned(Reach),
}

impl Choice {
    pub fn reach(&self) -> &Reach {
        match self {
            Choice::Proven(reach) | Choice::First(reach) | Choice::Trial(reach) | Choice::Returned(reach) => {
                reach
            }
        }
    }
}

/// Chooses the network for what is wanted, and what to remember before it is used.
pub fn choose(memory: &Memory, wanted: Reach) -> (Choice, Memory) {
    let mut next = memory.clone();
    let Some(proven) = memory.proven.clone() else {
        next.trial = None;
        return (Choice::First(wanted), next);
    };
    if wanted == proven {
        next.trial = None;
        next.rejected = None;
        next.rejected_because = None;
        return (Choice::Proven(wanted), next);
    }
    if memory.rejected.as_ref() == Some(&wanted) {
        next.trial = None;
        return (Choice::Returned(proven), next);
    }
    let boots = match &memory.trial {
        Some(trial) if trial.reach == wanted => trial.boots + 1,
        _ => 1,
    };
    if boots > MOST_BOOTS {
        return (
            Choice::Returned(proven),
            reject(memory, wanted, "the host restarted again and again while it was on trial"),
        );
    }
    next.trial = Some(Trial { reach: wanted.clone(), boots });
    (Choice::Trial(wanted), next)
}

/// The network has proved itself.
#[must_use]
pub fn prove(reach: Reach) -> Memory {
    Memory { proven: Some(reach), ..Memory::default() }
}

/// The network has not.
#[must_use]
pub fn reject(memory: &Memory, reach: Reach, why: &str) -> Memory {
    Memory { rejected: Some(reach), rejected_because: Some(why.to_owned()), trial: None, ..memory.clone() }
}

/// What an agent finds to do when it starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Beginning {
    /// What is wanted has failed before: the network before it is used, again where it is not yet.
    GoBack { is_used: bool, why: String },
    /// A trial goes on.
    Watch(Reach),
    /// Nothing is on trial. What is wanted and was not tried yet may still have to go back; the first network proves itself.
    Settled { keeps_the_change: bool, is_first: bool },
}

/// How the care for the network begins. `state` is what this boot began with; an agent that is started again finds it, and the
/// trial perhaps over.
pub fn begin(state: NetworkState, memory: &Memory, wanted: &Reach) -> Beginning {
    // Also when an agent was ended between its verdict and what follows from it.
    if memory.rejected.as_ref() == Some(wanted) {
        let why = memory.rejected_because.clone().unwrap_or_else(|| "it did not prove itself".into());
        return Beginning::GoBack { is_used: state == NetworkState::Returned, why };
    }
    match (state, &memory.trial) {
        (NetworkState::Trial { .. }, Some(trial)) => Beginning::Watch(trial.reach.clone()),
        _ => Beginning::Settled {
            keeps_the_change: memory.proven.as_ref().is_none_or(|proven| proven == wanted),
            is_first: memory.proven.is_none(),
        },
    }
}

/// One look at a network on trial.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sight {
    /// Everything that must answer does, or somebody who came through it keeps it.
    pub proves_itself: bool,
    /// Somebody wants the network before it back.
    pub is_given_up: bool,
    /// The host is needed for something else: it restarts.
    pub is_taken_over: bool,
    pub seconds_left: u64,
}

/// What follows for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Keep,
    /// Somebody gave it up.
    GiveUp,
    /// Nothing answered in time.
    TimeIsUp,
    /// The trial goes on in the next boot.
    Adjourn,
    GoOn,
}

pub fn judge(sight: &Sight) -> Verdict {
    match sight {
        Sight { proves_itself: true, .. } => Verdict::Keep,
        Sight { is_given_up: true, .. } => Verdict::GiveUp,
        Sight { seconds_left: 0, .. } => Verdict::TimeIsUp,
        Sight { is_taken_over: true, .. } => Verdict::Adjourn,
        _ => Verdict::GoOn,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_that_starts_finds_out_where_the_trial_is() {
        let trial = NetworkState::Trial { seconds_left: 9 };
        let settled = |keeps_the_change, is_first| Beginning::Settled { keeps_the_change, is_first };
        assert_eq!(begin(NetworkState::Kept, &Memory::default(), &reach("a")), settled(true, true));
        let proven = prove(reach("a"));
        assert_eq!(begin(NetworkState::Kept, &proven, &reach("a")), settled(true, false));
        assert_eq!(begin(NetworkState::Kept, &proven, &reach("b")), settled(false, false), "not tried yet");
        let (_, trying) = choose(&proven, reach("b"));
        assert_eq!(begin(trial, &trying, &reach("b")), Beginning::Watch(reach("b")));
        assert_eq!(begin(trial, &proven, &reach("a")), settled(true, false), "an agent started again");
        let rejected = reject(&trying, reach("b"), "silence");
        for (state, is_used) in [(trial, false), (NetworkState::Returned, true)] {
            let back = Beginning::GoBack { is_used, why: "silence".into() };
            assert_eq!(begin(state, &rejected, &reach("b")), back);
        }
    }

    #[test]
    fn a_proof_counts_more_than_everything_and_time_more_than_a_restart() {
        let every = Sight { proves_itself: true, is_given_up: true, is_taken_over: true, seconds_left: 0 };
        assert_eq!(judge(&every), Verdict::Keep);
        let silent = Sight { proves_itself: false, ..every };
        assert_eq!(judge(&silent), Verdict::GiveUp);
        assert_eq!(judge(&Sight { is_given_up: false, ..silent }), Verdict::TimeIsUp);
        let restarts = Sight { is_given_up: false, seconds_left: 1, ..silent };
        assert_eq!(judge(&restarts), Verdict::Adjourn);
        assert_eq!(judge(&Sight { is_taken_over: false, ..restarts }), Verdict::GoOn);
    }

    fn reach(name: &str) -> Reach {
        Reach { management_endpoint: Some(name.into()), ..Reach::default() }
    }

    #[test]
    fn a_change_is_tried_and_the_proven_network_returns() {
        let (choice, _) = choose(&Memory::default(), reach("a"));
        assert_eq!(choice, Choice::First(reach("a")));
        let memory = prove(reach("a"));
        assert_eq!(choose(&memory, reach("a")).0, Choice::Proven(reach("a")));
        let (choice, trying) = choose(&memory, reach("b"));
        assert_eq!(choice, Choice::Trial(reach("b")));
        let rejected = reject(&trying, reach("b"), "the gateway is silent");
        assert_eq!(choose(&rejected, reach("b")).0, Choice::Returned(reach("a")));
        assert_eq!(
            choose(&rejected, reach("c")).0,
            Choice::Trial(reach("c")),
            "another change gets its chance"
        );
        let (choice, cleared) = choose(&rejected, reach("a"));
        assert_eq!((choice, cleared.rejected), (Choice::Proven(reach("a")), None));
    }

    #[test]
    fn boots_that_end_no_trial_end_it() {
        let mut memory = prove(reach("a"));
        for _ in 0..MOST_BOOTS {
            let (choice, next) = choose(&memory, reach("b"));
            assert_eq!(choice, Choice::Trial(reach("b")));
            memory = next;
        }
        let (choice, memory) = choose(&memory, reach("b"));
        assert_eq!(choice, Choice::Returned(reach("a")));
        assert_eq!(memory.rejected, Some(reach("b")));
    }
}
