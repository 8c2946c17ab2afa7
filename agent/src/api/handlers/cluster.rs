//! The cluster of this host. A cluster is a wish: it is written down, and its caretaker sees to it.

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use edge_model::api::cluster::{ClusterName, ClusterPhase, ClusterRequest, ClusterView};
use edge_planner::admission::Wish;

use super::{blocking, parse, parse_secret};
use crate::api::Door;
use crate::api::answer::{Answer, AuditDetail, accepted, ok, with_detail};
use crate::api::caller::Caller;
use crate::cluster;

fn seen(door: &Door) -> ClusterView {
    let board = &door.shared.cluster;
    ClusterView { status: board.status(), pods: board.pods() }
}

pub(super) async fn view(State(door): State<Arc<Door>>) -> Answer {
    ok(seen(&door))
}

fn detail(name: &str) -> AuditDetail {
    AuditDetail { resource_name: name.to_owned(), ..AuditDetail::default() }
}

pub(super) async fn create(State(door): State<Arc<Door>>, body: Bytes) -> Answer {
    door.shared.may(Wish::CreateCluster)?;
    // A definition may hold secrets.
    let request: ClusterRequest =
        if body.is_empty() { ClusterRequest::default() } else { parse_secret(&body)? };
    let settings = door.shared.settings();
    let name = blocking(move || cluster::order_start(&settings, request.definition.as_deref())).await?;
    door.shared.cluster.announce(&name, ClusterPhase::Making);
    door.shared.cluster.tell();
    with_detail(accepted(seen(&door)), detail(&name))
}

pub(super) async fn delete(State(door): State<Arc<Door>>, body: Bytes) -> Answer {
    door.shared.may(Wish::DeleteCluster)?;
    let request: ClusterName = parse(&body)?;
    let name = request.name.clone();
    blocking(move || cluster::order_end(&request.name)).await?;
    door.shared.cluster.announce(&name, ClusterPhase::Removing);
    door.shared.cluster.tell();
    with_detail(accepted(seen(&door)), detail(&name))
}

pub(super) async fn kubeconfig(
    State(door): State<Arc<Door>>,
    Extension(caller): Extension<Caller>,
) -> Answer {
    door.shared.may(Wish::UseCluster)?;
    let who = caller.name();
    ok(blocking(move || cluster::people::kubeconfig(&who)).await?)
}
