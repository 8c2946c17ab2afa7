//! What a host remembers of its cluster, and what becomes of it. The record says what was meant; what is there, the
//! disk says.

use edge_model::cluster::{ClusterDefinition, KubernetesVersions};
use edge_model::ids::RootHash;
use serde::{Deserialize, Serialize};

/// Version of this record. A higher one is left alone.
pub const FORMAT: u32 = 1;

/// The record.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Member {
    /// Grows by one with every write.
    #[serde(default)]
    pub generation: u64,
    #[serde(default)]
    pub format: u32,
    #[serde(default)]
    pub state: MemberState,
    /// The definition as it is in force, as text: secrets of workloads are in it.
    #[serde(default)]
    pub definition: String,
    /// Digest of the configured definition that was last used or overruled by a person: only another one is news.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<String>,
    #[serde(default)]
    pub node: String,
    /// Which image opened the data last. None: there is no data yet.
    #[serde(default)]
    pub opened: Option<Opening>,
    /// Seconds since 1970 when it was made; for people.
    #[serde(default)]
    pub created: u64,
    /// What was in force with data that was put aside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aside: Option<InForce>,
}

/// A definition that belongs to data of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InForce {
    pub root_hash: RootHash,
    pub definition: String,
    #[serde(default)]
    pub told: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MemberState {
    /// There is no cluster.
    #[default]
    Alone,
    /// There is one, or one is being made: the steps tell how far it is.
    Member,
    /// Somebody has ordered its end.
    Leaving,
    /// There was one, and somebody ended it: it is not made again by itself from what it was made from.
    Left,
    /// Of a newer agent: nothing is touched.
    #[serde(other)]
    Unknown,
}

/// The stamp of the data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    pub root_hash: RootHash,
    pub versions: KubernetesVersions,
}

/// What the agent has to do for a cluster on this host now.
#[derive(Debug, Clone, PartialEq)]
pub enum Duty {
    Nothing,
    /// Make the cluster of this definition, or go on making it, or start it.
    Run {
        definition: Box<ClusterDefinition>,
        is_new: bool,
    },
    /// Finish its end.
    Remove,
    /// Nothing can be done, and a person should know why.
    Stay(String),
}

/// What a host remembers and is told, and what follows.
///
/// `configured` is the definition that the configuration or the medium has, if there is one that is right.
pub fn duty(
    member: &Member,
    remembered: Option<ClusterDefinition>,
    configured: Option<&ClusterDefinition>,
) -> Duty {
    if member.format > FORMAT || member.state == MemberState::Unknown {
        return Duty::Stay(
            "a newer version of this system wrote down what this cluster is: upgrade to it again".into(),
        );
    }
    match (member.state, remembered, configured) {
        (MemberState::Leaving, ..) => Duty::Remove,
        (MemberState::Left | MemberState::Alone, _, None) => Duty::Nothing,
        (MemberState::Left, Some(old), Some(new)) if old == *new => Duty::Nothing,
        (MemberState::Left | MemberState::Alone, _, Some(new)) => {
            Duty::Run { definition: Box::new(new.clone()), is_new: true }
        }
        (MemberState::Member, Some(present), None) => {
            Duty::Run { definition: Box::new(present), is_new: false }
        }
        (MemberState::Member, Some(_), Some(wanted)) => {
            Duty::Run { definition: Box::new(wanted.clone()), is_new: false }
        }
        (MemberState::Member, None, _) => {
            Duty::Stay("what this cluster is cannot be read from the disk".into())
        }
        (MemberState::Unknown, ..) => Duty::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(name: &str) -> ClusterDefinition {
        super::super::check::parse("cluster.yaml", &format!("name: {name}\n")).unwrap()
    }

    #[test]
    fn nothing_is_made_twice_and_what_was_ended_stays_ended() {
        let member = |state| Member { format: FORMAT, state, ..Member::default() };
        let (a, b) = (definition("a"), definition("b"));
        let run = |definition: &ClusterDefinition, is_new| Duty::Run {
            definition: Box::new(definition.clone()),
            is_new,
        };
        for (state, remembered, configured, expected) in [
            (MemberState::Alone, None, None, Duty::Nothing),
            (MemberState::Alone, None, Some(&a), run(&a, true)),
            (MemberState::Member, Some(&a), None, run(&a, false)),
            (MemberState::Member, Some(&a), Some(&b), run(&b, false)),
            (MemberState::Leaving, Some(&a), Some(&a), Duty::Remove),
            (MemberState::Left, Some(&a), Some(&a), Duty::Nothing),
            (MemberState::Left, Some(&a), None, Duty::Nothing),
            (MemberState::Left, Some(&a), Some(&b), run(&b, true)),
        ] {
            assert_eq!(duty(&member(state), remembered.cloned(), configured), expected, "{state:?}");
        }
        assert!(matches!(duty(&member(MemberState::Member), None, Some(&a)), Duty::Stay(_)));
    }

    #[test]
    fn what_a_newer_agent_wrote_is_left_alone() {
        let text = r#"{"generation":7,"format":2,"state":"restoring","site":{"epoch":3},"node":"till"}"#;
        let member: Member = serde_json::from_str(text).unwrap();
        assert_eq!(member.state, MemberState::Unknown);
        assert!(matches!(duty(&member, None, Some(&definition("a"))), Duty::Stay(_)));
    }
}
