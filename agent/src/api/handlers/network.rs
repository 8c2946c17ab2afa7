//! Interfaces: as the kernel has them, as the configuration wants them, and changing that.

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, State};
use edge_host::network;
use edge_model::api::network::{InterfaceKind, InterfaceView, ManagementInterface};
use edge_model::user_data::interface::{Interface, Interfaces};
use edge_model::{Class, Error, Result};
use edge_planner::configuration::edit::Change;
use serde_json::Value as Json;

use super::configuration::{answer, change as change_values};
use super::{blocking, parse};
use crate::api::Door;
use crate::api::answer::{Answer, ok};
use crate::api::caller::Caller;

/// Where interfaces stand in user data.
const PLACE: [&str; 4] = ["edge", "site", "network", "interfaces"];

/// Interfaces that are there, and those that are only configured.
fn views(configured: &Interfaces) -> Result<Vec<InterfaceView>> {
    let mut views = network::interfaces()?;
    for view in &mut views {
        view.configured = configured.get(&view.name).cloned();
    }
    // A pattern names no interface.
    let missing = configured.iter().filter(|(name, _)| !name.contains(['*', '?', '[']));
    for (name, interface) in missing {
        if !views.iter().any(|view| view.name == *name) {
            views.push(InterfaceView {
                name: name.clone(),
                kind: InterfaceKind::Missing,
                mac: String::new(),
                carrier: false,
                addresses: Vec::new(),
                gateway: None,
                configured: Some(interface.clone()),
            });
        }
    }
    Ok(views)
}

async fn all(door: &Door) -> Result<Vec<InterfaceView>, crate::api::answer::Refusal> {
    let settings = door.shared.settings();
    blocking(move || views(&settings.edge().site.network.interfaces)).await
}

pub(super) async fn list(State(door): State<Arc<Door>>) -> Answer {
    ok(all(&door).await?)
}

pub(super) async fn one(State(door): State<Arc<Door>>, Path(name): Path<String>) -> Answer {
    let found = all(&door).await?.into_iter().find(|view| view.name == name);
    ok(found.ok_or_else(|| no_such(&name))?)
}

fn no_such(name: &str) -> Error {
    Error::new(Class::NotFound, format!("there is no such interface: {name:?}"))
        .help("the list of interfaces has their names")
}

/// Whether an interface is of a kind, or is configured to become one.
fn is_of(view: &InterfaceView, kind: InterfaceKind) -> bool {
    view.kind == kind || view.configured.as_ref().is_some_and(|configured| wants(configured, kind))
}

fn wants(interface: &Interface, kind: InterfaceKind) -> bool {
    match kind {
        InterfaceKind::Vlan => interface.vlan.is_some(),
        InterfaceKind::Bond => interface.bond.is_some(),
        InterfaceKind::Bridge => interface.bridge.is_some(),
        InterfaceKind::Physical | InterfaceKind::Missing | InterfaceKind::Other => false,
    }
}

pub(super) async fn list_of(kind: InterfaceKind, State(door): State<Arc<Door>>) -> Answer {
    ok(all(&door).await?.into_iter().filter(|view| is_of(view, kind)).collect::<Vec<_>>())
}

pub(super) async fn one_of(
    kind: InterfaceKind,
    State(door): State<Arc<Door>>,
    Path(name): Path<String>,
) -> Answer {
    let found = all(&door).await?.into_iter().find(|view| view.name == name && is_of(view, kind));
    ok(found.ok_or_else(|| no_such(&name))?)
}

pub(super) async fn change_of(
    kind: InterfaceKind,
    State(door): State<Arc<Door>>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    body: Bytes,
) -> Answer {
    let interface: Interface = parse(&body)?;
    if !wants(&interface, kind) {
        let word = format!("{kind:?}").to_lowercase();
        return Err(Error::invalid(format!("the interface does not say what it is a {word} of"))
            .help(format!("add the section {word:?}"))
            .into());
    }
    change(State(door), Extension(caller), Path(name), body).await
}

pub(super) async fn forget_of(
    kind: InterfaceKind,
    State(door): State<Arc<Door>>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Answer {
    if !all(&door).await?.iter().any(|view| view.name == name && is_of(view, kind)) {
        return Err(no_such(&name).into());
    }
    begin(door, caller, name, None).await
}

pub(super) async fn change(
    State(door): State<Arc<Door>>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    body: Bytes,
) -> Answer {
    let interface: Interface = parse(&body)?;
    let value = without_nothing(serde_json::to_value(&interface).unwrap_or_default());
    begin(door, caller, name, Some(value)).await
}

pub(super) async fn forget(
    State(door): State<Arc<Door>>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Answer {
    begin(door, caller, name, None).await
}

async fn begin(door: Arc<Door>, caller: Caller, name: String, value: Option<Json>) -> Answer {
    if name.is_empty() || name.len() > 64 {
        return Err(Error::invalid(format!("{name:?} is not the name of an interface")).into());
    }
    let settings = door.shared.settings();
    let before = settings.edge().site.network.interfaces.get(&name);
    let before = before.map_or_else(
        || "(not configured)".into(),
        |before| serde_json::to_string(before).unwrap_or_default(),
    );
    let mut path: Vec<String> = PLACE.iter().map(|key| (*key).to_owned()).collect();
    path.push(name);
    let changes = vec![Change { path, value }];
    answer(blocking(move || Ok(change_values(&door, &caller, &changes, before))).await?)
}

/// A document says only what it wants: keys with nothing in them are left out.
fn without_nothing(value: Json) -> Json {
    match value {
        Json::Object(fields) => fields
            .into_iter()
            .filter(|(_, value)| !value.is_null() && *value != Json::Array(Vec::new()))
            .map(|(key, value)| (key, without_nothing(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        other => other,
    }
}

pub(super) async fn management(State(door): State<Arc<Door>>) -> Answer {
    let name = blocking(|| Ok(network::default_interface())).await?;
    let address = name.as_ref().and_then(|name| {
        let status = door.shared.status();
        status.addresses.iter().find(|address| address.interface == *name).map(|found| found.address.clone())
    });
    ok(ManagementInterface { name, address })
}
