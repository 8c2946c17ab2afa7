//! What the host keeps about its cluster, and what it is told about one.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use edge_host::{files, network};
use edge_model::api::cluster::{ClusterPhase, ClusterStatus};
use edge_model::cluster::{ClusterDefinition, ImageKubernetes, KubernetesVersions};
use edge_model::document::format::network_address;
use edge_model::document::print;
use edge_model::{Context, Error, Result, paths};
use edge_planner::admission::ClusterFacts;
use edge_planner::cluster::member::{FORMAT, Member, MemberState};
use edge_planner::cluster::{StepId, check};

use super::Board;
use crate::configuration::Settings;
use crate::facts;
use crate::state_file::StateFile;

/// Name of the definition in messages, where it came from the record.
const RECORDED: &str = "the recorded definition";

pub(super) fn member() -> StateFile<Member> {
    StateFile::new(Path::new(paths::CLUSTER_STATE))
}

/// A definition with the text that it was read from.
#[derive(Debug, Clone)]
pub(super) struct Told {
    pub(super) definition: ClusterDefinition,
    pub(super) text: String,
}

impl Told {
    pub(super) fn digest(&self) -> String {
        edge_slot_image::sha256(self.text.as_bytes()).to_string()
    }
}

/// The definition that the record holds; none when there is none or it cannot be read.
pub(super) fn remembered(member: &Member) -> Option<ClusterDefinition> {
    check::parse(RECORDED, &member.definition).ok()
}

/// The definition of the configuration, or the one that the medium brought.
///
/// # Errors
/// What is wrong with the one that counts.
pub(super) fn configured(settings: &Settings) -> Result<Option<Told>> {
    if let Some(node) = settings.configuration.tree.find("edge.cluster")
        && settings.edge().cluster.is_some()
    {
        // Not every way to this host has looked at more than its shape.
        let text = print::to_yaml(node);
        return Ok(Some(Told { definition: check::parse("edge.cluster", &text)?, text }));
    }
    let path = Path::new(paths::OEM_CLUSTER);
    let Some(text) = files::read_text_if_there(path)? else { return Ok(None) };
    let definition = check::parse("cluster.yaml", &text)?;
    Ok(Some(Told { definition, text }))
}

/// Full names of the container images that workloads of this host's cluster start.
///
/// # Errors
/// When what is kept of the cluster cannot be read.
pub(crate) fn images_that_it_names() -> Result<BTreeSet<String>> {
    let member = member().read()?;
    let definition = remembered(&member).filter(|_| member.state == MemberState::Member);
    Ok(definition.map(|definition| edge_planner::cluster::images_of(&definition)).unwrap_or_default())
}

/// The Kubernetes of the image, if it has one.
///
/// # Errors
/// When its description is damaged.
pub(super) fn image() -> Result<Option<ImageKubernetes>> {
    let path = Path::new(paths::IMAGE_KUBERNETES);
    let Some(text) = files::read_text_if_there(path)? else { return Ok(None) };
    serde_json::from_str(&text).map(Some).context("the image's description of its Kubernetes cannot be read")
}

/// The versions that this host's cluster was opened with; none where there is no cluster.
pub(crate) fn opened_versions() -> Option<KubernetesVersions> {
    let member = member().load();
    member.opened.filter(|_| member.state == MemberState::Member).map(|opening| opening.versions)
}

/// Has a cluster made: of a definition, or of the one that this host was told before. Gives its name.
///
/// # Errors
/// [`edge_model::Class::InvalidInput`] when the definition is wrong, [`edge_model::Class::Rejected`] when there is a
/// cluster already, or none is known.
pub(crate) fn order_start(settings: &Settings, text: Option<&str>) -> Result<String> {
    let told = match text {
        Some(text) => Told { definition: check::parse("cluster.yaml", text)?, text: text.to_owned() },
        None => configured(settings)?.ok_or_else(|| {
            Error::rejected("this host was told no cluster definition")
                .help("give a file: edge-agent cluster create cluster.yaml")
        })?,
    };
    check::fits_versions(&told.definition, image()?.as_ref().map(|image| &image.versions))?;
    check::fits_site(&told.definition, &site_networks())?;
    // What is configured was known to whoever orders something else.
    let known = configured(settings).ok().flatten().map(|told| told.digest());
    member().change(|member| {
        match member.state {
            MemberState::Alone | MemberState::Left => {}
            MemberState::Member => return Err(Error::rejected("this host has a cluster already")),
            MemberState::Leaving => {
                return Err(
                    Error::rejected("the cluster of before is still being removed").help("wait for its end")
                );
            }
            MemberState::Unknown => {
                return Err(Error::rejected("a newer version of this system keeps this cluster"));
            }
        }
        begin(member, &told.text, known.clone());
        Ok(())
    })?;
    Ok(told.definition.name)
}

/// Interface, address and prefix of what the site has.
pub(super) fn site_networks() -> Vec<(String, Ipv4Addr, u8)> {
    let interfaces = network::interfaces().unwrap_or_default();
    let addresses = interfaces.into_iter().flat_map(|interface| {
        let name = interface.name;
        interface.addresses.into_iter().map(move |address| (name.clone(), address))
    });
    addresses
        .filter_map(|(name, address)| match network_address(&address) {
            Ok((IpAddr::V4(address), prefix)) => Some((name, address, prefix)),
            _ => None,
        })
        .collect()
}

/// A record for a cluster that is to be made; `told` is the digest of what is configured.
pub(super) fn begin(member: &mut Member, text: &str, told: Option<String>) {
    *member = Member {
        generation: member.generation,
        format: FORMAT,
        state: MemberState::Member,
        definition: text.to_owned(),
        told,
        node: String::new(),
        opened: None,
        created: facts::now(),
        aside: None,
    };
}

/// Orders the end of the cluster with this name.
///
/// # Errors
/// [`edge_model::Class::Rejected`] when there is none, or it is another.
pub(crate) fn order_end(name: &str) -> Result<()> {
    member().change(|member| {
        let there = match member.state {
            MemberState::Member => remembered(member).map(|definition| definition.name),
            MemberState::Leaving => return Ok(()),
            MemberState::Alone | MemberState::Left => {
                return Err(Error::rejected("this host has no cluster"));
            }
            MemberState::Unknown => {
                return Err(Error::rejected("a newer version of this system keeps this cluster"));
            }
        };
        if let Some(there) = there.filter(|there| there != name) {
            return Err(Error::rejected(format!("the cluster of this host is called {there}, not {name}"))
                .help("type its name to delete it"));
        }
        member.state = MemberState::Leaving;
        Ok(())
    })
}

/// How this host stands towards clusters.
pub(crate) fn facts() -> ClusterFacts {
    match member().load().state {
        MemberState::Member => ClusterFacts::Member,
        MemberState::Leaving => ClusterFacts::Leaving,
        MemberState::Alone | MemberState::Left if Path::new(paths::IMAGE_KUBERNETES).exists() => {
            ClusterFacts::None
        }
        MemberState::Alone | MemberState::Left => ClusterFacts::Impossible,
        MemberState::Unknown => ClusterFacts::OfNewer,
    }
}

/// Why an image on trial cannot be kept yet: a cluster that has run on this host does not run.
pub(crate) fn missing_on_trial(board: &Board) -> Option<String> {
    opened_versions()?;
    match board.status() {
        Some(status) if status.phase == ClusterPhase::Running => None,
        // The node is ready. What a workload lacks, another image does not bring.
        Some(ClusterStatus { phase: ClusterPhase::Degraded, waits_for: Some(wait), .. })
            if wait.what == StepId::Workloads.waits_for() =>
        {
            None
        }
        Some(status) => {
            let waits =
                status.waits_for.map_or_else(String::new, |wait| format!(", waiting for {}", wait.what));
            Some(format!("the cluster is {}{waits}", status.phase.words()))
        }
        None => Some("the cluster is not started".into()),
    }
}
