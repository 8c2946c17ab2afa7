//! What each route does. One file for each subject; this one says which function serves which route.

mod cluster;
mod configuration;
mod content;
mod diagnosis;
mod host;
mod installer;
mod network;
mod operations;
mod users;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use axum::routing::{MethodRouter, delete, get, patch, post, put};
use edge_model::api::network::InterfaceKind;
use edge_model::api::routes::{ROUTES, RouteId};
use edge_model::{Context, Error, Result};
use serde::de::DeserializeOwned;

use super::Door;
use super::answer::Refusal;

/// The handler of a route.
pub(super) fn handler(id: RouteId) -> MethodRouter<Arc<Door>> {
    match id {
        RouteId::Ping => get(host::ping),
        RouteId::Login => post(users::log_in),
        RouteId::Logout => post(users::log_out),
        RouteId::RenewToken => post(users::renew),
        RouteId::ResetPassword => post(users::reset_password),
        RouteId::FirstPassword => post(users::first_password),
        RouteId::CurrentUser => get(users::current),
        RouteId::ChangeUser => patch(users::change),

        RouteId::Status => get(host::status),
        RouteId::Metrics => get(host::metrics),
        RouteId::EventStream => get(operations::events),
        RouteId::Ledger => get(host::ledger),
        RouteId::BlackBox => get(host::black_box),
        RouteId::PutNoticesAway => post(host::put_notices_away),
        RouteId::SetLogLevel => put(host::set_log_level),
        RouteId::StageLog => get(host::stages),
        RouteId::Logs => get(host::logs),

        RouteId::Operations => get(operations::list),
        RouteId::StartOperation => post(operations::start),
        RouteId::Operation => get(operations::one),
        RouteId::CancelOperation => delete(operations::cancel),

        RouteId::Configuration => get(configuration::view),
        RouteId::CheckConfiguration => post(configuration::check),
        RouteId::ConfirmNetwork => post(configuration::confirm),
        RouteId::RestoreNetwork => post(configuration::restore),
        RouteId::SiteSettings => get(configuration::site),
        RouteId::ChangeSiteSettings => patch(configuration::change_site),
        RouteId::SetClock => put(host::set_clock),
        RouteId::ChangeKeyboard => put(configuration::change_keyboard),
        RouteId::OpenShell => post(host::open_shell),

        RouteId::Cluster => get(cluster::view),
        RouteId::CreateCluster => post(cluster::create),
        RouteId::DeleteCluster => post(cluster::delete),
        RouteId::ClusterKubeconfig => post(cluster::kubeconfig),

        RouteId::Content => get(content::view),
        RouteId::RemoveContent => post(content::remove),

        RouteId::Volumes => get(installer::volumes),
        RouteId::InstallDisks => get(installer::disks),
        RouteId::InstallAnswers => get(installer::answers),
        RouteId::ChangeInstallAnswers => put(installer::change_answers),
        RouteId::StartInstallation => post(installer::start),
        RouteId::ExportAnswers => post(installer::export),

        RouteId::ManagementSettings => get(host::management),
        RouteId::EdgeHost => get(host::edge_host),
        RouteId::Reboot => post(operations::reboot),
        RouteId::Shutdown => post(operations::shutdown),
        RouteId::Audits => get(host::audits),
        RouteId::DownloadAudits => get(host::download_audits),
        RouteId::AuditFilters => get(host::audit_filters),
        RouteId::Configurations => get(configuration::configurations),
        RouteId::ChangeConfigurations => put(configuration::change_configurations),
        RouteId::ConfigurationsStatus => get(configuration::configurations_status),
        RouteId::GenerateLogs => post(operations::generate_logs),
        RouteId::GenerateLogsStatus => get(operations::generate_logs_status),
        RouteId::DownloadLogs => get(operations::download_logs),
        RouteId::ErrorLogs => get(host::error_logs),
        RouteId::UserData => get(configuration::user_data),
        RouteId::ChangeUserData => put(configuration::change_user_data),
        RouteId::CheckNetwork => get(diagnosis::network),
        RouteId::PingEndpoint => get(diagnosis::ping),
        RouteId::TraceEndpoint => get(diagnosis::trace),
        RouteId::ResolveName => get(diagnosis::resolve),
        RouteId::ConnectEndpoint => get(diagnosis::connect),
        RouteId::FetchEndpoint => get(diagnosis::fetch),
        RouteId::TimeOffset => get(diagnosis::time),
        RouteId::DiskHealth => get(diagnosis::disks),
        RouteId::Sensors => get(diagnosis::sensors),
        RouteId::Lifecycle => get(host::lifecycle),
        RouteId::Interfaces => get(network::list),
        RouteId::Interface => get(network::one),
        RouteId::ChangeInterface => put(network::change),
        RouteId::ForgetInterface => delete(network::forget),
        RouteId::Vlans => get(|door| network::list_of(InterfaceKind::Vlan, door)),
        RouteId::Vlan => get(|door, name| network::one_of(InterfaceKind::Vlan, door, name)),
        RouteId::ChangeVlan => {
            put(|door, caller, name, body| network::change_of(InterfaceKind::Vlan, door, caller, name, body))
        }
        RouteId::ForgetVlan => {
            delete(|door, caller, name| network::forget_of(InterfaceKind::Vlan, door, caller, name))
        }
        RouteId::Bonds => get(|door| network::list_of(InterfaceKind::Bond, door)),
        RouteId::Bond => get(|door, name| network::one_of(InterfaceKind::Bond, door, name)),
        RouteId::ChangeBond => {
            put(|door, caller, name, body| network::change_of(InterfaceKind::Bond, door, caller, name, body))
        }
        RouteId::ForgetBond => {
            delete(|door, caller, name| network::forget_of(InterfaceKind::Bond, door, caller, name))
        }
        RouteId::Bridges => get(|door| network::list_of(InterfaceKind::Bridge, door)),
        RouteId::Bridge => get(|door, name| network::one_of(InterfaceKind::Bridge, door, name)),
        RouteId::ChangeBridge => put(|door, caller, name, body| {
            network::change_of(InterfaceKind::Bridge, door, caller, name, body)
        }),
        RouteId::ForgetBridge => {
            delete(|door, caller, name| network::forget_of(InterfaceKind::Bridge, door, caller, name))
        }
        RouteId::ManagementInterface => get(network::management),
    }
}

/// Runs what may take its time beside the serving thread.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T, Refusal> {
    let done = tokio::task::spawn_blocking(work).await;
    Ok(done.map_err(|error| Error::internal(error.to_string()))??)
}

/// # Errors
/// What is wrong with the body.
pub(super) fn parse<T: DeserializeOwned>(body: &Bytes) -> Result<T> {
    serde_json::from_slice(body).map_err(|error| {
        Error::invalid(error.to_string())
            .context("the request cannot be read")
            .help("docs/openapi.json says what it looks like")
    })
}

/// As [`parse`], for bodies that hold a secret: what is wrong with them is said without quoting them.
///
/// # Errors
/// Where the body is wrong.
pub(super) fn parse_secret<T: DeserializeOwned>(body: &Bytes) -> Result<T> {
    serde_json::from_slice(body).map_err(|error| {
        Error::invalid(format!("it is wrong in line {}, column {}", error.line(), error.column()))
            .context("the request cannot be read")
            .help("docs/openapi.json says what it looks like")
    })
}

/// The parameters behind the `?`, each at most once and none that the route does not know.
pub(super) struct Parameters(BTreeMap<String, String>);

impl Parameters {
    /// # Errors
    /// When a parameter is unknown, doubled, or needed and missing.
    fn check(id: RouteId, given: Vec<(String, String)>) -> Result<Self> {
        let known = ROUTES.iter().find(|route| route.id == id).map_or(&[][..], |route| route.query);
        let mut parameters = BTreeMap::new();
        for (name, value) in given {
            if !known.iter().any(|parameter| parameter.name == name) {
                let names: Vec<&str> = known.iter().map(|parameter| parameter.name).collect();
                return Err(Error::invalid(format!("unknown parameter {name:?}"))
                    .help(format!("known are: {}", names.join(", "))));
            }
            if parameters.insert(name.clone(), value).is_some() {
                return Err(Error::invalid(format!("{name} is given twice")));
            }
        }
        match known.iter().find(|parameter| parameter.required && !parameters.contains_key(parameter.name)) {
            Some(missing) => Err(Error::invalid(format!("the parameter {} is missing", missing.name))),
            None => Ok(Self(parameters)),
        }
    }

    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.0.get(name).filter(|value| !value.is_empty()).cloned()
    }

    /// # Errors
    /// When it is not a number of this kind.
    pub(super) fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>> {
        self.text(name)
            .map(|value| {
                value
                    .parse()
                    .map_err(|_| Error::invalid(format!("{name}: {value:?} is not a number that fits")))
            })
            .transpose()
    }
}

/// The raw parameters of a request; [`Asked::of`] checks them against a route.
pub(super) struct Asked(Result<Vec<(String, String)>>);

impl Asked {
    /// # Errors
    /// As [`Parameters::check`], or when the query cannot be read.
    pub(super) fn of(self, id: RouteId) -> Result<Parameters> {
        Parameters::check(id, self.0?)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Asked {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let query = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri);
        Ok(Self(
            query
                .map(|Query(pairs)| pairs)
                .map_err(|error| Error::invalid(error.to_string()))
                .context("the query cannot be read"),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Uri;

    #[test]
    fn parameters_are_checked_against_the_route() {
        let pairs = |text: &str| {
            Query::<Vec<(String, String)>>::try_from_uri(&format!("/x?{text}").parse::<Uri>().unwrap())
                .unwrap()
                .0
        };
        let check = |text: &str| Parameters::check(RouteId::Logs, pairs(text));
        assert_eq!(check("lines=7&boot=-1").unwrap().number::<i32>("boot").unwrap(), Some(-1));
        assert!(check("lines=x").unwrap().number::<u32>("lines").is_err());
        assert!(check("colour=red").is_err() && check("lines=1&lines=2").is_err());
        assert!(Parameters::check(RouteId::PingEndpoint, Vec::new()).is_err());
    }
}
