//! What may be asked of a host now. One answer for the agent, which refuses, and for every surface, which does not offer it.

use edge_model::api::access::Role;
use edge_model::api::{BootState, NetworkState, OperationKind, Possibility};

use edge_model::{Error, Result};

use crate::host_kind::HostKind;
use crate::take_over::{self, TakeOver};

/// Everything that decides about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostFacts {
    pub kind: HostKind,
    /// None while firmware and loader do not tell: then nothing is begun that could take the way back away.
    pub boot_state: Option<BootState>,
    /// The other slot holds an image.
    pub has_other_image: bool,
    pub network: NetworkState,
    /// There is a network to return to.
    pub network_is_proven: bool,
    pub cluster: ClusterFacts,
}

/// How a host stands towards clusters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClusterFacts {
    /// The image has no Kubernetes.
    Impossible,
    /// A newer version of this system keeps the cluster.
    OfNewer,
    /// There is none, and one can be made.
    None,
    Member,
    Leaving,
}

/// An operation that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    pub kind: OperationKind,
    pub started_by: String,
    /// How long it has been running.
    pub seconds: u64,
}

/// Something that somebody wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    Operation(OperationKind),
    RebootIntoRecovery,
    ConfirmNetwork,
    RestoreNetwork,
    CreateCluster,
    DeleteCluster,
    UseCluster,
}

impl Wish {
    fn of(possibility: Possibility) -> Self {
        match possibility {
            Possibility::Install => Wish::Operation(OperationKind::Install),
            Possibility::Upgrade => Wish::Operation(OperationKind::Upgrade),
            Possibility::Rollback => Wish::Operation(OperationKind::Rollback),
            Possibility::Commit => Wish::Operation(OperationKind::Commit),
            Possibility::Verify => Wish::Operation(OperationKind::Verify),
            Possibility::Configure => Wish::Operation(OperationKind::Configure),
            Possibility::SupportBundle => Wish::Operation(OperationKind::SupportBundle),
            Possibility::Reboot => Wish::Operation(OperationKind::Reboot),
            Possibility::PowerOff => Wish::Operation(OperationKind::PowerOff),
            Possibility::RebootIntoRecovery => Wish::RebootIntoRecovery,
            Possibility::RestoreNetwork => Wish::RestoreNetwork,
            Possibility::CreateCluster => Wish::CreateCluster,
            Possibility::DeleteCluster => Wish::DeleteCluster,
            Possibility::RefreshRecovery => Wish::Operation(OperationKind::RefreshRecovery),
            Possibility::Fsck => Wish::Operation(OperationKind::Fsck),
            Possibility::Reset => Wish::Operation(OperationKind::Reset),
            Possibility::RestoreConfiguration => Wish::Operation(OperationKind::RestoreConfiguration),
            Possibility::ImportContent => Wish::Operation(OperationKind::ImportContent),
        }
    }
}

/// Who may ask for an operation. Single settings have routes of their own; a whole document is an administrator's matter.
pub fn role_for(kind: OperationKind) -> Role {
    match kind {
        OperationKind::Install
        | OperationKind::Configure
        | OperationKind::Reset
        | OperationKind::RestoreConfiguration => Role::Admin,
        _ => Role::Operator,
    }
}

/// Whether this host can do something in its present state, whatever runs on it.
///
/// # Errors
/// [`edge_model::Class::Rejected`] with the reason and what helps.
pub fn may(facts: &HostFacts, wish: Wish) -> Result<()> {
    match wish {
        Wish::Operation(kind) => may_operate(facts, kind),
        Wish::RebootIntoRecovery => normal(facts, "the recovery system is started from the normal one"),
        Wish::ConfirmNetwork => match facts.network {
            NetworkState::Trial { .. } => Ok(()),
            // The first network of a host, whose gateway does not answer.
            NetworkState::Kept if !facts.network_is_proven => Ok(()),
            NetworkState::Kept | NetworkState::Returned => Err(no_trial()),
        },
        Wish::RestoreNetwork if on_trial(facts) && facts.network_is_proven => Ok(()),
        Wish::RestoreNetwork => Err(no_trial()),
        // Whether there is one, its own answer says.
        Wish::UseCluster => normal(facts, "only the normal system has a cluster"),
        Wish::CreateCluster | Wish::DeleteCluster => may_cluster(facts, wish),
    }
}

/// Whether an operation may begin beside what runs, and what becomes of that.
///
/// # Errors
/// As [`may`]; also when something runs that does not give way.
pub fn may_begin(facts: &HostFacts, wish: Wish, running: Option<&Running>) -> Result<()> {
    may(facts, wish)?;
    let kind = match wish {
        Wish::Operation(kind) => kind,
        Wish::RebootIntoRecovery => OperationKind::Reboot,
        _ => return Ok(()),
    };
    match running {
        Some(running) if take_over::decide(running.kind, kind) == TakeOver::Refuse => {
            let Running { kind, started_by, seconds } = running;
            Err(Error::rejected(format!("busy with {kind}, started by {started_by} {seconds} s ago")).help(
                "wait for its end, or stop it: edge-agent operation cancel ID; edge-agent status shows it",
            ))
        }
        _ => Ok(()),
    }
}

/// What surfaces offer: what this host can do now. What runs comes to its end, and takes no offer away.
pub fn possible(facts: &HostFacts) -> Vec<Possibility> {
    Possibility::ALL.into_iter().filter(|possibility| may(facts, Wish::of(*possibility)).is_ok()).collect()
}

fn may_operate(facts: &HostFacts, kind: OperationKind) -> Result<()> {
    match kind {
        OperationKind::SupportBundle | OperationKind::Reboot | OperationKind::PowerOff => Ok(()),
        OperationKind::Install if facts.kind == HostKind::Installer => Ok(()),
        OperationKind::Install => Err(Error::rejected("only the installer installs")
            .help("start the machine from the installation medium")),
        OperationKind::Verify if facts.kind == HostKind::Installer => {
            Err(Error::rejected("nothing of this medium can be verified: only an installed system can"))
        }
        OperationKind::Verify => Ok(()),
        OperationKind::Fsck | OperationKind::Reset if facts.kind == HostKind::Installer => {
            Err(Error::rejected("a medium has nothing to mend or to reset: only an installed system has"))
        }
        OperationKind::Fsck => Ok(()),
        OperationKind::Reset if facts.kind == HostKind::Recovery => Ok(()),
        OperationKind::Reset => no_image_on_trial(facts),
        OperationKind::RestoreConfiguration => match facts.kind {
            HostKind::Installer => Err(Error::rejected("a medium has no configuration of its own")),
            HostKind::Recovery => Ok(()),
            HostKind::Appliance => {
                no_network_on_trial(facts)?;
                no_image_on_trial(facts)
            }
        },
        // From the image that has lasted, and from no other.
        OperationKind::RefreshRecovery => {
            normal(facts, "recovery is refreshed from the normal system")?;
            no_image_on_trial(facts)
        }
        OperationKind::Commit if matches!(boot_state(facts)?, BootState::Trial | BootState::Fallback) => {
            Ok(())
        }
        OperationKind::Commit => {
            Err(Error::rejected("no image is on trial: the running one is committed already"))
        }
        OperationKind::Upgrade => {
            normal(facts, "an upgrade needs the normal system, and this is not it")?;
            no_image_on_trial(facts)?;
            no_network_on_trial(facts)
        }
        OperationKind::Rollback => may_go_back(facts),
        // Beside whatever is on trial: it changes nothing that a boot needs.
        OperationKind::ImportContent | OperationKind::VerifyContent => {
            normal(facts, "only the normal system has a place for content")
        }
        OperationKind::Configure => {
            normal(facts, "only the normal system takes a configuration")?;
            no_network_on_trial(facts)?;
            no_image_on_trial(facts)
        }
    }
}

fn may_go_back(facts: &HostFacts) -> Result<()> {
    if facts.kind == HostKind::Installer {
        return Err(Error::rejected("a medium has no images to go back to"));
    }
    boot_state(facts)?;
    no_network_on_trial(facts)?;
    if facts.has_other_image {
        return Ok(());
    }
    Err(Error::rejected("there is no previous image to go back to")
        .help("edge-agent history shows what was installed"))
}

fn may_cluster(facts: &HostFacts, wish: Wish) -> Result<()> {
    normal(facts, "only the normal system has a cluster")?;
    match (wish, facts.cluster) {
        // Whoever asks again after a lost answer gets the same one.
        (Wish::CreateCluster, ClusterFacts::None)
        | (Wish::DeleteCluster, ClusterFacts::Member | ClusterFacts::Leaving) => Ok(()),
        (_, ClusterFacts::OfNewer) => {
            Err(Error::rejected("a newer version of this system keeps this cluster"))
        }
        (Wish::CreateCluster, ClusterFacts::Member) => {
            Err(Error::rejected("this host has a cluster already"))
        }
        (_, ClusterFacts::Leaving) => {
            Err(Error::rejected("the cluster of before is still being removed").help("wait for its end"))
        }
        (Wish::CreateCluster, _) => Err(Error::rejected("this image has no Kubernetes")
            .help("build an image with `kubernetes:` in forge.yaml")),
        (_, _) => Err(Error::rejected("this host has no cluster")),
    }
}

fn on_trial(facts: &HostFacts) -> bool {
    matches!(facts.network, NetworkState::Trial { .. })
}

fn normal(facts: &HostFacts, otherwise: &str) -> Result<()> {
    if facts.kind == HostKind::Appliance {
        return Ok(());
    }
    Err(Error::rejected(otherwise).help("restart the host into its normal system first"))
}

/// Two trials at once could not be told apart: what failed would be guessed.
fn no_network_on_trial(facts: &HostFacts) -> Result<()> {
    if !on_trial(facts) {
        return Ok(());
    }
    Err(Error::rejected("a change of the network is on trial")
        .help("wait for its end, or keep it with edge-agent config confirm"))
}

/// An image that is not the default starts nothing that would take the default away.
fn no_image_on_trial(facts: &HostFacts) -> Result<()> {
    match boot_state(facts)? {
        BootState::Trial => Err(Error::rejected("the running image is still on trial")
            .help("wait until it is committed, or confirm it with edge-agent commit")),
        BootState::Fallback => {
            Err(Error::rejected("the running image stands in for one that did not come up")
                .help("restart to try that one again, or keep this one with edge-agent commit"))
        }
        BootState::Committed | BootState::Recovery | BootState::Live => Ok(()),
    }
}

fn boot_state(facts: &HostFacts) -> Result<BootState> {
    facts.boot_state.ok_or_else(|| {
        Error::rejected("the boot loader's state cannot be read: whether an image is on trial is not known")
            .help("try again; if it stays so, restart the host")
    })
}

fn no_trial() -> Error {
    Error::rejected("no change of the network is on trial")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRIAL: NetworkState = NetworkState::Trial { seconds_left: 9 };

    fn host() -> HostFacts {
        HostFacts {
            kind: HostKind::Appliance,
            boot_state: Some(BootState::Committed),
            has_other_image: true,
            network: NetworkState::Kept,
            network_is_proven: true,
            cluster: ClusterFacts::None,
        }
    }

    fn every_host() -> Vec<HostFacts> {
        let states = [
            (HostKind::Appliance, Some(BootState::Committed)),
            (HostKind::Appliance, Some(BootState::Trial)),
            (HostKind::Appliance, Some(BootState::Fallback)),
            (HostKind::Appliance, None),
            (HostKind::Recovery, Some(BootState::Recovery)),
            (HostKind::Installer, Some(BootState::Live)),
        ];
        let networks = [NetworkState::Kept, TRIAL, NetworkState::Returned];
        let clusters = [
            ClusterFacts::Impossible,
            ClusterFacts::OfNewer,
            ClusterFacts::None,
            ClusterFacts::Member,
            ClusterFacts::Leaving,
        ];
        let mut all = Vec::new();
        for (kind, boot_state) in states {
            for network in networks {
                for cluster in clusters {
                    for flags in 0..4 {
                        all.push(HostFacts {
                            kind,
                            boot_state,
                            has_other_image: flags & 1 == 1,
                            network,
                            network_is_proven: flags & 2 == 2,
                            cluster,
                        });
                    }
                }
            }
        }
        all
    }

    #[test]
    fn every_state_leaves_a_way_on_and_every_refusal_says_why() {
        for facts in every_host() {
            let offered = possible(&facts);
            for always in [Possibility::Reboot, Possibility::PowerOff, Possibility::SupportBundle] {
                assert!(offered.contains(&always), "{facts:?}");
            }
            for possibility in Possibility::ALL {
                let answer = may(&facts, Wish::of(possibility));
                assert_eq!(answer.is_ok(), offered.contains(&possibility));
                assert!(answer.err().is_none_or(|error| error.class == edge_model::Class::Rejected));
            }
            assert!(
                !(offered.contains(&Possibility::CreateCluster)
                    && offered.contains(&Possibility::DeleteCluster))
            );
        }
    }

    #[test]
    fn there_is_one_trial_at_a_time() {
        for facts in every_host().into_iter().filter(|facts| facts.network == TRIAL) {
            let offered = possible(&facts);
            for other in [Possibility::Upgrade, Possibility::Rollback, Possibility::Configure] {
                assert!(!offered.contains(&other), "{facts:?}");
            }
        }
        let on_trial = HostFacts { boot_state: Some(BootState::Trial), ..host() };
        let offered = possible(&on_trial);
        assert!(offered.contains(&Possibility::Commit) && offered.contains(&Possibility::Rollback));
        assert!(!offered.contains(&Possibility::Upgrade) && !offered.contains(&Possibility::Configure));
    }

    #[test]
    fn nothing_that_could_end_a_trial_begins_while_nobody_knows_of_one() {
        let offered = possible(&HostFacts { boot_state: None, ..host() });
        for changes in
            [Possibility::Upgrade, Possibility::Rollback, Possibility::Configure, Possibility::Commit]
        {
            assert!(!offered.contains(&changes));
        }
    }

    #[test]
    fn what_runs_is_in_the_way_of_some_and_is_named() {
        let running = |kind| Running { kind, started_by: "site".into(), seconds: 7 };
        let begin = |kind, wish| may_begin(&host(), Wish::Operation(wish), Some(&running(kind)));
        let refusal = begin(OperationKind::Upgrade, OperationKind::Reboot).unwrap_err();
        assert_eq!(refusal.message, "busy with upgrade, started by site 7 s ago");
        begin(OperationKind::Verify, OperationKind::Upgrade).unwrap();
        assert!(may_begin(&host(), Wish::Operation(OperationKind::Commit), None).is_err());
    }

    #[test]
    fn the_first_network_can_be_kept_by_hand_and_only_a_trial_is_given_up() {
        let first = HostFacts { network_is_proven: false, ..host() };
        assert!(may(&first, Wish::ConfirmNetwork).is_ok() && may(&first, Wish::RestoreNetwork).is_err());
        assert!(may(&host(), Wish::ConfirmNetwork).is_err());
        let trial = HostFacts { network: TRIAL, ..host() };
        assert!(may(&trial, Wish::ConfirmNetwork).is_ok() && may(&trial, Wish::RestoreNetwork).is_ok());
    }
}
