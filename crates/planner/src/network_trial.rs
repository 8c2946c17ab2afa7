//! Changes of the network that a host comes back from: a new network is on trial until it has proved itself, and the
//! last one that did returns otherwise, also across restarts.

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

#[cfg(test)]
mod tests {
    use super::*;

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
