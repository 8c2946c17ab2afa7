//! Looking for what is wrong: the network around the host, its time, its disks.

use std::sync::Arc;

use axum::extract::State;
use edge_model::Result;
use edge_model::api::routes::RouteId;
use edge_planner::ways_out;
use serde::Serialize;

use super::{Asked, blocking};
use crate::api::Door;
use crate::api::answer::{Answer, ok};
use crate::configuration::Settings;
use crate::diagnostics::{self, connectivity, network_links, web};

async fn look<T: Serialize + Send + 'static>(
    id: RouteId,
    asked: Asked,
    look: impl FnOnce(&str) -> Result<T> + Send + 'static,
) -> Answer {
    let endpoint = asked.of(id)?.text("endpoint").unwrap_or_default();
    ok(blocking(move || look(&endpoint)).await?)
}

pub(super) async fn ping(asked: Asked) -> Answer {
    look(RouteId::PingEndpoint, asked, |endpoint| connectivity::ping(&endpoint.parse()?)).await
}

pub(super) async fn trace(asked: Asked) -> Answer {
    look(RouteId::TraceEndpoint, asked, |endpoint| connectivity::trace_route(&endpoint.parse()?)).await
}

pub(super) async fn resolve(asked: Asked) -> Answer {
    look(RouteId::ResolveName, asked, |endpoint| connectivity::resolve(&endpoint.parse()?)).await
}

pub(super) async fn connect(asked: Asked) -> Answer {
    look(RouteId::ConnectEndpoint, asked, |endpoint| connectivity::connect(&endpoint.parse()?)).await
}

pub(super) async fn fetch(State(door): State<Arc<Door>>, asked: Asked) -> Answer {
    let settings = door.shared.settings();
    look(RouteId::FetchEndpoint, asked, move |endpoint| {
        web::fetch(&endpoint.parse()?, &settings.edge().site.network)
    })
    .await
}

pub(super) async fn network(State(door): State<Arc<Door>>) -> Answer {
    let settings = door.shared.settings();
    ok(blocking(move || {
        let source = door.shared.host.ledger().load().last_source;
        network_links::check(&settings.edge().site, &registries(&settings, source.as_deref()))
    })
    .await?)
}

/// The registries that this host is told of, and the one that its last image came from.
fn registries(settings: &Settings, source: Option<&str>) -> Vec<String> {
    let reference = source.and_then(|source| source.strip_prefix("oci:"));
    let used = reference.and_then(|reference| edge_registry::parse(reference).ok());
    ways_out::registries(settings.edge(), used.as_ref().map(|reference| reference.resolve_registry()))
}

pub(super) async fn time() -> Answer {
    ok(blocking(|| Ok(diagnostics::time::time_offset())).await?)
}

pub(super) async fn disks() -> Answer {
    ok(blocking(|| Ok(diagnostics::disks::disks())).await?)
}

pub(super) async fn sensors() -> Answer {
    ok(blocking(|| Ok(diagnostics::sensors())).await?)
}
