//! Clusters, as data: whether a definition is right, whether image and data fit together, which files follow, and which
//! steps lead to a running node. The agent performs the steps; no decision is left to it.
//!
//! A step is known to be done by looking ([`Probe`]), never by remembering. So the plan of a creation, of a creation
//! that was cut, and of an ordinary boot are the same plan.

pub mod check;
pub mod gate;
mod kubeadm;
mod manifests;
pub mod member;
mod name_service;
mod node;
mod placement;
pub mod removal;
mod runtime;
pub mod state;
pub mod step;
pub mod trouble;

use std::collections::BTreeSet;

use edge_model::cluster::{ClusterDefinition, Distribution};
use edge_model::{Error, Result};

use crate::content;
use gate::Verdict;
pub use placement::Placement;
pub use step::{Action, Authority, ObjectSet, Probe, RenderedFile, Step, StepId};

/// The steps that make a host a running node, or find that it is one.
///
/// # Errors
/// [`edge_model::Class::Rejected`] for a distribution whose clusters are not made yet.
pub fn steps(placement: &Placement, verdict: &Verdict) -> Result<Vec<Step>> {
    match placement.versions.distribution {
        Distribution::Kubeadm => Ok(kubeadm::steps(placement, verdict)),
        Distribution::K3s => Err(Error::rejected("clusters of K3s are not made yet")
            .help("use an image with kubernetes: {kubeadm: …}")),
    }
}

/// Full names of the images that a definition's workloads start. What cannot be read starts nothing.
pub fn images_of(definition: &ClusterDefinition) -> BTreeSet<String> {
    let objects = definition.workloads.iter().filter_map(|one| manifests::parse(one.manifests.reveal()).ok());
    content::images_of(&objects.flatten().collect::<Vec<_>>())
}

/// From the record on this image answers for the data.
fn opening(verdict: &Verdict) -> Step {
    let act = match verdict {
        Verdict::Fresh | Verdict::Open => vec![Action::RecordOpening, Action::Settle],
        Verdict::Keep(of) => vec![Action::KeepData(of.clone()), Action::RecordOpening],
        Verdict::Restore(of) => vec![Action::RestoreData(of.clone()), Action::RecordOpening, Action::Settle],
        // The record first: what stands aside tells until the end that this is not done.
        Verdict::TakeBack => vec![Action::RecordOpening, Action::TakeBack, Action::Settle],
    };
    Step { id: StepId::Opening, check: Probe::Opened, act }
}

/// One step for each workload of the definition.
fn workloads(placement: &Placement) -> impl Iterator<Item = Step> {
    placement.workloads.iter().map(|workload| {
        // What cannot be read was refused when the definition was checked.
        let objects = manifests::parse(workload.manifests.reveal()).unwrap_or_default();
        let set = ObjectSet { name: format!("workload-{}", workload.name), objects };
        Step { id: StepId::Workloads, check: Probe::Applied(set.clone()), act: vec![Action::Apply(set)] }
    })
}

#[cfg(test)]
mod tests;
