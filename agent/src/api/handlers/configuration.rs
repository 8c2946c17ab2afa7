//! What the host is configured to be, and changing it. Every change is a change of one document, the one that was told
//! to this host, and goes through the same operation: it is checked as a whole, and a changed network is on trial.

use std::path::Path;
use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use edge_host::files;
use edge_model::api::access::Role;
use edge_model::api::host::{
    ConfigurationView, ConfigurationsState, ConfigurationsStatus, HostConfigurations, SiteSettings,
};
use edge_model::api::installer::Message;
use edge_model::api::{
    ConfigurationRequest, OperationKind, OperationRequest, OperationState, OperationStatus,
};
use edge_model::document::{print, problem, tree};
use edge_model::keyboard::{self, KeyboardChoice};
use edge_model::{Class, Error, Result, paths};
use edge_planner::configuration::edit::{self, Change};
use edge_planner::configuration::{self, Form, origin};
use edge_planner::host_kind::HostKind;
use edge_planner::proxy::without_user;
use serde_json::json;

use super::{blocking, parse};
use crate::api::Door;
use crate::api::answer::{Answer, AuditDetail, accepted, ok, with_detail};
use crate::api::caller::Caller;
use crate::configuration::{Settings, console_answers};
use crate::host_state;

/// How the document is called in messages.
const NAME: &str = "local.yaml";

fn local_text() -> Result<String> {
    Ok(files::read_text_if_there(Path::new(paths::OEM_LOCAL))?.unwrap_or_default())
}

fn without_secrets(text: &str) -> String {
    match tree::read(NAME, text) {
        Ok(mut document) => {
            origin::redact(&mut document);
            if document.entries().is_empty() {
                String::new()
            } else {
                format!("#cloud-config\n{}", print::to_yaml(&document))
            }
        }
        Err(problem) => problem.to_string(),
    }
}

pub(super) async fn view(State(door): State<Arc<Door>>) -> Answer {
    let settings = door.shared.settings();
    let values = origin::list(&settings.configuration.tree, "");
    let effective = values
        .iter()
        .map(|value| format!("{} = {}  # {}", value.key, first_line(&value.value), value.origin));
    ok(ConfigurationView {
        local: without_secrets(&blocking(local_text).await?),
        effective: effective.collect(),
        findings: settings.complaints(),
    })
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

pub(super) async fn check(body: Bytes) -> Answer {
    let request: ConfigurationRequest = parse(&body)?;
    let message = blocking(move || {
        let problems = configuration::examine(Form::UserData, &request.name, &request.text, None);
        if let Some(error) = problem::as_error(&request.name, &problems) {
            return Err(error);
        }
        let findings = problems.iter().map(ToString::to_string).collect();
        Ok(Message { message: format!("{} can be used", request.name), findings })
    })
    .await?;
    ok(message)
}

pub(super) async fn confirm(State(door): State<Arc<Door>>) -> Answer {
    door.shared.confirm_network()?;
    ok(Message { message: "the network is kept".into(), findings: Vec::new() })
}

pub(super) async fn restore(State(door): State<Arc<Door>>) -> Answer {
    door.shared.give_network_up()?;
    ok(Message { message: "the last network that worked returns".into(), findings: Vec::new() })
}

/// At once, because whoever chooses it types next; and from now on.
pub(super) async fn change_keyboard(
    State(door): State<Arc<Door>>,
    Extension(caller): Extension<Caller>,
    body: Bytes,
) -> Answer {
    let choice: KeyboardChoice = parse(&body)?;
    let layout = keyboard::find(&choice.layout).ok_or_else(|| {
        let all: Vec<&str> = keyboard::LAYOUTS.iter().map(|layout| layout.name).collect();
        Error::invalid(format!("{:?} is no keyboard layout", choice.layout))
            .help(format!("there are {}", all.join(", ")))
    })?;
    let name = layout.name;
    blocking(move || {
        if door.shared.host.kind == HostKind::Installer {
            console_answers::store_keyboard(name)?;
            door.shared.reload_settings();
            return host_state::set_keyboard(&door.shared.settings().edge().site);
        }
        let before = door.shared.settings().edge().site.keyboard.clone().unwrap_or_default();
        let changes = [Change::set(&["edge", "site", "keyboard"], name)];
        change(&door, &caller, &changes, before).map(drop)
    })
    .await?;
    ok(Message { message: format!("the keyboard is {}", layout.label), findings: Vec::new() })
}

/// Changes single values of the document that was told to this host.
pub(super) fn change(
    door: &Door,
    caller: &Caller,
    changes: &[Change],
    before: String,
) -> Result<(OperationStatus, AuditDetail)> {
    let _alone = door.alone()?;
    let text = edit::change(NAME, &local_text()?, changes)?;
    let request = OperationRequest::Configure(ConfigurationRequest { name: NAME.into(), text });
    let status = door.shared.start(request, caller.actor())?;
    let after: Vec<String> = changes.iter().map(describe).collect();
    let detail = AuditDetail {
        resource_id: status.id.to_string(),
        resource_name: changes.first().map(|change| change.path.join(".")).unwrap_or_default(),
        before: Some(before),
        after: Some(after.join("; ")),
        ..AuditDetail::default()
    };
    Ok((status, detail))
}

fn describe(change: &Change) -> String {
    let value = change.value.as_ref().map_or_else(|| "(removed)".into(), ToString::to_string);
    let value = if value.contains("://") { without_user(&value) } else { value };
    format!("{} = {value}", change.path.join("."))
}

pub(super) fn answer(outcome: Result<(OperationStatus, AuditDetail)>) -> Answer {
    let (status, detail) = outcome?;
    with_detail(accepted(status), detail)
}

pub(super) async fn site(State(door): State<Arc<Door>>) -> Answer {
    ok(site_settings(&door.shared.settings()))
}

fn site_settings(settings: &Settings) -> SiteSettings {
    let site = &settings.edge().site;
    let servers = site.network.nameserver.clone().unwrap_or_default();
    SiteSettings {
        host_name: site.host_name.clone().or_else(|| settings.data.hostname.clone()),
        ntp_servers: Some(site.ntp_servers.clone()),
        time_zone: site.time_zone.clone(),
        name_servers: Some(
            servers.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect(),
        ),
        // Everybody reads this: a password that a proxy takes is not part of it.
        http_proxy: site.network.http_proxy.as_deref().map(without_user),
        https_proxy: site.network.https_proxy.as_deref().map(without_user),
        no_proxy: site.network.no_proxy.clone(),
        ca_certs: Some(site.ca_certs.clone()),
    }
}

/// What of a wish differs from what is there. Whoever sends back what they were shown changes nothing.
fn only_changed(mut wanted: SiteSettings, now: &SiteSettings) -> SiteSettings {
    fn keep_if_changed<T: PartialEq + Default>(wanted: &mut Option<T>, now: &Option<T>) {
        let same = wanted.as_ref().is_some_and(|wanted| match now {
            Some(now) => wanted == now,
            None => *wanted == T::default(),
        });
        if same {
            *wanted = None;
        }
    }
    keep_if_changed(&mut wanted.host_name, &now.host_name);
    keep_if_changed(&mut wanted.time_zone, &now.time_zone);
    keep_if_changed(&mut wanted.http_proxy, &now.http_proxy);
    keep_if_changed(&mut wanted.https_proxy, &now.https_proxy);
    keep_if_changed(&mut wanted.no_proxy, &now.no_proxy);
    keep_if_changed(&mut wanted.name_servers, &now.name_servers);
    keep_if_changed(&mut wanted.ntp_servers, &now.ntp_servers);
    keep_if_changed(&mut wanted.ca_certs, &now.ca_certs);
    wanted
}

/// Certificates decide about whom the host believes: they are an administrator's matter. And what another source says
/// cannot be taken away here, only replaced.
fn must_be_allowed(settings: &Settings, caller: &Caller, changes: &[Change]) -> Result<()> {
    for change in changes {
        let path = change.path.join(".");
        if path == "edge.site.caCerts" && caller.role < Some(Role::Admin) {
            return Err(Error::new(Class::Forbidden, "certificates take the role admin"));
        }
        let elsewhere = settings.configuration.tree.find(&path).filter(|_| change.value.is_none());
        if let Some(value) = elsewhere.filter(|value| *value.place.source != *paths::OEM_LOCAL) {
            return Err(Error::rejected(format!("{path} is set by {}", value.place))
                .help("change it there, or give another value here"));
        }
    }
    Ok(())
}

pub(super) async fn change_site(
    State(door): State<Arc<Door>>,
    Extension(caller): Extension<Caller>,
    body: Bytes,
) -> Answer {
    let wanted: SiteSettings = parse(&body)?;
    let settings = door.shared.settings();
    let now = site_settings(&settings);
    let before = serde_json::to_string(&now).unwrap_or_default();
    let changes = changes_of(&only_changed(wanted, &now));
    must_be_allowed(&settings, &caller, &changes)?;
    answer(blocking(move || Ok(change(&door, &caller, &changes, before))).await?)
}

/// What is not named stays; what is named and empty goes.
fn changes_of(wanted: &SiteSettings) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut text = |path: &[&str], value: &Option<String>| {
        if let Some(value) = value {
            changes.push(if value.is_empty() {
                Change::remove(path)
            } else {
                Change::set(path, value.as_str())
            });
        }
    };
    text(&["edge", "site", "hostName"], &wanted.host_name);
    text(&["edge", "site", "timeZone"], &wanted.time_zone);
    text(&["edge", "site", "network", "httpProxy"], &wanted.http_proxy);
    text(&["edge", "site", "network", "httpsProxy"], &wanted.https_proxy);
    text(&["edge", "site", "network", "noProxy"], &wanted.no_proxy);
    text(
        &["edge", "site", "network", "nameserver"],
        &wanted.name_servers.as_ref().map(|names| names.join(",")),
    );
    let mut list = |path: &[&str], value: &Option<Vec<String>>| {
        if let Some(value) = value {
            changes.push(if value.is_empty() {
                Change::remove(path)
            } else {
                Change::set(path, json!(value))
            });
        }
    };
    list(&["edge", "site", "ntpServers"], &wanted.ntp_servers);
    list(&["edge", "site", "caCerts"], &wanted.ca_certs);
    changes
}

pub(super) async fn configurations(State(door): State<Arc<Door>>) -> Answer {
    ok(host_configurations(&door.shared.settings()))
}

fn host_configurations(settings: &Settings) -> HostConfigurations {
    let site = site_settings(settings);
    HostConfigurations {
        ca_certs: site.ca_certs.unwrap_or_default(),
        http_proxy: site.http_proxy,
        https_proxy: site.https_proxy,
        no_proxy: site.no_proxy,
    }
}

pub(super) async fn change_configurations(
    State(door): State<Arc<Door>>,
    Extension(caller): Extension<Caller>,
    body: Bytes,
) -> Answer {
    let wanted: HostConfigurations = parse(&body)?;
    let settings = door.shared.settings();
    let before = serde_json::to_string(&host_configurations(&settings)).unwrap_or_default();
    // The whole is replaced: what is not named goes.
    let wanted = SiteSettings {
        ca_certs: Some(wanted.ca_certs),
        http_proxy: Some(wanted.http_proxy.unwrap_or_default()),
        https_proxy: Some(wanted.https_proxy.unwrap_or_default()),
        no_proxy: Some(wanted.no_proxy.unwrap_or_default()),
        ..SiteSettings::default()
    };
    let changes = changes_of(&only_changed(wanted, &site_settings(&settings)));
    must_be_allowed(&settings, &caller, &changes)?;
    answer(blocking(move || Ok(change(&door, &caller, &changes, before))).await?)
}

pub(super) async fn configurations_status(State(door): State<Arc<Door>>) -> Answer {
    let last = door.shared.operations.last_of(OperationKind::Configure).map(|last| last.state);
    let status = match last {
        Some(OperationState::Running) => ConfigurationsState::InProgress,
        Some(OperationState::Failed { .. }) => ConfigurationsState::Failed,
        Some(OperationState::Done { .. }) => ConfigurationsState::Configured,
        None if host_configurations(&door.shared.settings()) == HostConfigurations::default() => {
            ConfigurationsState::NotConfigured
        }
        None => ConfigurationsState::Configured,
    };
    ok(ConfigurationsStatus { status })
}

pub(super) async fn user_data() -> Answer {
    ok(ConfigurationRequest { name: NAME.into(), text: without_secrets(&blocking(local_text).await?) })
}

pub(super) async fn change_user_data(
    State(door): State<Arc<Door>>,
    Extension(caller): Extension<Caller>,
    body: Bytes,
) -> Answer {
    let mut request: ConfigurationRequest = parse(&body)?;
    let outcome = blocking(move || {
        let _alone = door.alone()?;
        let old = local_text()?;
        let before = without_secrets(&old);
        // Whoever sends back what they were shown means the secrets that were hidden from them.
        request.text = edit::fill_hidden(&request.name, &request.text, &old)?;
        let detail = AuditDetail {
            resource_name: request.name.clone(),
            before: Some(before),
            after: Some(without_secrets(&request.text)),
            ..AuditDetail::default()
        };
        let status = door.shared.start(OperationRequest::Configure(request), caller.actor())?;
        Ok((status, detail))
    })
    .await?;
    answer(Ok(outcome))
}
