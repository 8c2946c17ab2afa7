//! Content bundles. Bringing one is an operation; what is here is told, and removed, at once.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use edge_model::api::OperationKind;
use edge_model::api::content::BundleRemoval;
use edge_planner::admission::Wish;

use super::{blocking, parse};
use crate::api::Door;
use crate::api::answer::{Answer, AuditDetail, ok, with_detail};
use crate::content;

pub(super) async fn view(State(door): State<Arc<Door>>) -> Answer {
    let (machine, settings) = (door.shared.host.machine.clone(), door.shared.settings());
    ok(blocking(move || content::view(&machine, settings.edge())).await?)
}

pub(super) async fn remove(State(door): State<Arc<Door>>, body: Bytes) -> Answer {
    door.shared.may(Wish::Operation(OperationKind::ImportContent))?;
    let removal: BundleRemoval = parse(&body)?;
    let (machine, settings) = (door.shared.host.machine.clone(), door.shared.settings());
    let (name, view) = blocking(move || {
        let name = content::remove(&machine, &removal)?;
        Ok((name, content::view(&machine, settings.edge())?))
    })
    .await?;
    with_detail(ok(view), AuditDetail { resource_name: name, ..AuditDetail::default() })
}
