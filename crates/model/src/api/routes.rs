//! Every path of the API: who may call it, whether it changes anything, and what goes in and out. The server, the
//! authorisation tests and `docs/openapi.json` are made from this table.

use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::access::{
    CurrentUser, FirstPassword, LoginAnswer, LoginRequest, PasswordChange, Role, Token, UserChange,
};
use super::audit::{AuditFilters, AuditPage};
use super::black_box::BlackBox;
use super::cluster::{ClusterName, ClusterRequest, ClusterView, Kubeconfig};
use super::content::{BundleRemoval, ContentView};
use super::diagnostics::{
    ClockSetting, DiskHealth, HttpCheck, Metrics, NetworkLink, Ping, Resolution, Sensor, TcpCheck, TimeState,
    TraceRoute,
};
use super::host::{
    ConfigurationView, ConfigurationsStatus, EdgeHost, HostConfigurations, LogLines, LogsStatus,
    ManagementSettings, Pong, SiteSettings,
};
use super::installer::{Answers, AnswersRequest, ExportRequest, InstallDisk, Message, Volume};
use super::network::{InterfaceView, ManagementInterface};
use super::{
    ConfigurationRequest, Event, HostStatus, LogSetting, NoticeChoice, OperationRequest, OperationStatus,
};
use crate::keyboard::KeyboardChoice;
use crate::ledger::{HistoryEntry, Ledger};
use crate::stage_log::StageRecord;
use crate::user_data::interface::Interface;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Method {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    pub fn name(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
        }
    }
}

/// What a caller must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everybody on the host: how else would somebody log in?
    Anybody,
    AtLeast(Role),
    /// Somebody with a session, whatever the role.
    Session,
    /// Whoever stands in front of the host; the agent says when.
    Console,
}

type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// What a request or an answer consists of.
#[derive(Debug, Clone, Copy)]
pub enum Body {
    Nothing,
    Json(SchemaOf),
    /// Server-sent events, each with one JSON document.
    Events(SchemaOf),
    Binary(&'static str),
}

#[derive(Debug, Clone, Copy)]
pub struct Parameter {
    pub name: &'static str,
    pub description: &'static str,
    pub required: bool,
}

/// One operation of the API.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    pub id: RouteId,
    pub method: Method,
    /// With `{name}` for what varies.
    pub path: &'static str,
    pub access: Access,
    pub summary: &'static str,
    pub query: &'static [Parameter],
    pub request: Body,
    pub answer: Body,
    /// HTTP status of an answer that went well.
    pub success: u16,
}

impl Route {
    /// Whether the call is written to the audit record and may carry an idempotency key.
    pub fn changes(&self) -> bool {
        self.method != Method::Get
    }
}

fn json<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

const fn query(name: &'static str, description: &'static str) -> Parameter {
    Parameter { name, description, required: false }
}

const fn needed(name: &'static str, description: &'static str) -> Parameter {
    Parameter { name, description, required: true }
}

const ENDPOINT: &[Parameter] = &[needed("endpoint", "Host name or address")];
const AUDIT_QUERY: &[Parameter] = &[
    query("startTime", "Seconds since 1970"),
    query("endTime", "Seconds since 1970"),
    query("userUid", "Only of this actor"),
    query("resourceKind", "Only of this kind"),
    query("actionType", "Only this action, as POST /v1/operations"),
    query("limit", "At most so many records; 50 is the most"),
    query("continue", "As the page before says"),
];
const LOG_QUERY: &[Parameter] = &[
    query("lines", "At most so many lines, the newest; 1000 is the most"),
    query("unit", "Only of this service"),
    query("boot", "0 is this boot, -1 the one before"),
    query("filter", "Only lines with this text"),
    query("priority", "Only this bad or worse: 0 to 7"),
];

/// Fills in what most routes have in common, so that each line of the table says what is its own.
macro_rules! routes {
    ($($id:ident $method:ident $path:literal $access:expr, $summary:literal,
       $request:expr => $answer:expr $(, query $query:expr)? $(, status $status:literal)?;)*) => {
        /// Names of the routes; the server must have a handler for each.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum RouteId { $($id,)* }

        pub const ROUTES: &[Route] = &[$(Route {
            id: RouteId::$id,
            method: Method::$method,
            path: $path,
            access: $access,
            summary: $summary,
            query: routes!(@query $($query)?),
            request: $request,
            answer: $answer,
            success: routes!(@status $($status)?),
        },)*];
    };
    (@query) => { &[] };
    (@query $query:expr) => { $query };
    (@status) => { 200 };
    (@status $status:literal) => { $status };
}

use Access::{Anybody, AtLeast, Console, Session};
use Body::{Binary, Events, Json, Nothing};
use Role::{Admin, Operator, Viewer};

routes! {
    Ping Get "/v1/ping" Anybody, "Whether the agent answers", Nothing => Json(json::<Pong>);
    Login Post "/v1/users/default/login" Anybody, "Begin a session", Json(json::<LoginRequest>) => Json(json::<LoginAnswer>);
    Logout Post "/v1/users/default/logout" Session, "End the session", Nothing => Nothing, status 204;
    RenewToken Post "/v1/users/default/token/renewal" Session, "A new token for the session", Nothing => Json(json::<Token>);
    ResetPassword Post "/v1/users/default/password/reset" Session, "Change one's own password", Json(json::<PasswordChange>) => Nothing, status 204;
    FirstPassword Post "/v1/users/default/password/first" Console, "Give the operator of a host that has just been installed a password, and begin a session", Json(json::<FirstPassword>) => Json(json::<LoginAnswer>);
    CurrentUser Get "/v1/users/current" Session, "The account of the session", Nothing => Json(json::<CurrentUser>);
    ChangeUser Patch "/v1/users/current" Session, "Change one's own SSH keys", Json(json::<UserChange>) => Json(json::<CurrentUser>);

    Status Get "/v1/status" AtLeast(Viewer), "What this host is and how it is", Nothing => Json(json::<HostStatus>);
    Metrics Get "/v1/metrics" AtLeast(Viewer), "Memory, disks, load and temperature", Nothing => Json(json::<Metrics>);
    EventStream Get "/v1/events" AtLeast(Viewer), "News as server-sent events; the header Last-Event-ID resumes", Nothing => Events(json::<Event>);
    Ledger Get "/v1/ledger" AtLeast(Viewer), "What was installed, tried and kept", Nothing => Json(json::<Ledger>);
    PutNoticesAway Post "/v1/notices/put-away" AtLeast(Operator), "One notice was read, or all", Json(json::<NoticeChoice>) => Nothing, status 204;
    BlackBox Get "/v1/black-box" AtLeast(Viewer), "How the last boots ended", Nothing => Json(json::<BlackBox>);
    StageLog Get "/v1/stages" AtLeast(Admin), "What stages did in this boot", Nothing => Json(json::<Vec<StageRecord>>);
    SetLogLevel Put "/v1/logs/level" AtLeast(Admin), "How much the agent says to the journal, until it starts again", Json(json::<LogSetting>) => Nothing, status 204;
    Logs Get "/v1/logs" AtLeast(Operator), "Lines of the journal", Nothing => Json(json::<LogLines>), query LOG_QUERY;

    Operations Get "/v1/operations" AtLeast(Viewer), "The last operations, the newest last", Nothing => Json(json::<Vec<OperationStatus>>);
    StartOperation Post "/v1/operations" AtLeast(Operator), "Start an operation", Json(json::<OperationRequest>) => Json(json::<OperationStatus>), status 202;
    Operation Get "/v1/operations/{id}" AtLeast(Viewer), "One operation", Nothing => Json(json::<OperationStatus>);
    CancelOperation Delete "/v1/operations/{id}" AtLeast(Operator), "Stop an operation at its next safe point", Nothing => Json(json::<OperationStatus>), status 202;

    Configuration Get "/v1/configuration" AtLeast(Admin), "What is configured, and where each value comes from", Nothing => Json(json::<ConfigurationView>);
    CheckConfiguration Post "/v1/configuration/check" AtLeast(Operator), "Check a document and change nothing", Json(json::<ConfigurationRequest>) => Json(json::<Message>);
    ConfirmNetwork Post "/v1/configuration/confirm" AtLeast(Operator), "Keep the network that is on trial", Nothing => Json(json::<Message>);
    RestoreNetwork Post "/v1/configuration/restore" AtLeast(Operator), "Give up the network on trial for the last one that worked", Nothing => Json(json::<Message>);
    SiteSettings Get "/v1/configuration/site" AtLeast(Viewer), "Names, time and proxies in use", Nothing => Json(json::<SiteSettings>);
    ChangeSiteSettings Patch "/v1/configuration/site" AtLeast(Operator), "Change names, time or proxies", Json(json::<SiteSettings>) => Json(json::<OperationStatus>), status 202;
    SetClock Put "/v1/clock" AtLeast(Operator), "Set the clock of a host that no time server sets", Json(json::<ClockSetting>) => Json(json::<Message>);
    ChangeKeyboard Put "/v1/keyboard" AtLeast(Operator), "Use another keyboard layout at the console, now and from now on", Json(json::<KeyboardChoice>) => Json(json::<Message>);
    OpenShell Post "/v1/shell" AtLeast(Admin), "A shell on another console, if the image allows it", Nothing => Json(json::<Message>);

    Cluster Get "/v1/cluster" AtLeast(Viewer), "The cluster of this host and its pods", Nothing => Json(json::<ClusterView>);
    CreateCluster Post "/v1/cluster" AtLeast(Admin), "Make a cluster, of a definition or of the one that this host was told", Json(json::<ClusterRequest>) => Json(json::<ClusterView>), status 202;
    DeleteCluster Post "/v1/cluster/removal" AtLeast(Admin), "End the cluster and remove its data; its name says that this one is meant", Json(json::<ClusterName>) => Json(json::<ClusterView>), status 202;
    ClusterKubeconfig Post "/v1/cluster/kubeconfig" AtLeast(Admin), "Access to the cluster for a day", Nothing => Json(json::<Kubeconfig>);

    Content Get "/v1/content" AtLeast(Viewer), "Container images on this host, and the bundles that brought them", Nothing => Json(json::<ContentView>);
    RemoveContent Post "/v1/content/removal" AtLeast(Operator), "Remove a content bundle; what other bundles need of it stays", Json(json::<BundleRemoval>) => Json(json::<ContentView>);

    Volumes Get "/v1/volumes" AtLeast(Viewer), "Removable volumes", Nothing => Json(json::<Vec<Volume>>);
    InstallDisks Get "/v1/installer/disks" AtLeast(Viewer), "Disks, and what is on them", Nothing => Json(json::<Vec<InstallDisk>>);
    InstallAnswers Get "/v1/installer/answers" AtLeast(Viewer), "The answers that are known", Nothing => Json(json::<Answers>);
    ChangeInstallAnswers Put "/v1/installer/answers" AtLeast(Admin), "Give answers", Json(json::<AnswersRequest>) => Json(json::<Answers>);
    StartInstallation Post "/v1/installer/start" AtLeast(Admin), "Install by the answers", Nothing => Json(json::<OperationStatus>), status 202;
    ExportAnswers Post "/v1/installer/export" AtLeast(Admin), "Write an unattended.yaml to a stick", Json(json::<ExportRequest>) => Json(json::<Message>);

    ManagementSettings Get "/v1/edge-mgmt/settings" AtLeast(Viewer), "How this host is managed", Nothing => Json(json::<ManagementSettings>);
    EdgeHost Get "/v1/edge-mgmt/edgehosts/current" AtLeast(Viewer), "Hardware, system and state", Nothing => Json(json::<EdgeHost>);
    Reboot Post "/v1/edge-mgmt/edgehosts/current/actions/reboot" AtLeast(Operator), "Restart", Nothing => Json(json::<OperationStatus>), status 202;
    Shutdown Post "/v1/edge-mgmt/edgehosts/current/actions/shutdown" AtLeast(Operator), "Switch off", Nothing => Json(json::<OperationStatus>), status 202;
    Audits Get "/v1/edge-mgmt/edgehosts/current/audits" AtLeast(Admin), "Who did what", Nothing => Json(json::<AuditPage>), query AUDIT_QUERY;
    DownloadAudits Get "/v1/edge-mgmt/edgehosts/current/audits/download" AtLeast(Admin), "All audit records, one JSON document a line", Nothing => Binary("application/x-ndjson");
    AuditFilters Get "/v1/edge-mgmt/edgehosts/current/audits/filters" AtLeast(Admin), "Values that occur in audit records", Nothing => Json(json::<AuditFilters>);
    Configurations Get "/v1/edge-mgmt/edgehosts/current/configurations" AtLeast(Viewer), "Proxies and certificates", Nothing => Json(json::<HostConfigurations>);
    ChangeConfigurations Put "/v1/edge-mgmt/edgehosts/current/configurations" AtLeast(Operator), "Set proxies and certificates", Json(json::<HostConfigurations>) => Json(json::<OperationStatus>), status 202;
    ConfigurationsStatus Get "/v1/edge-mgmt/edgehosts/current/configurations/status" AtLeast(Viewer), "What became of the last change", Nothing => Json(json::<ConfigurationsStatus>);
    GenerateLogs Post "/v1/edge-mgmt/edgehosts/current/generate-logs" AtLeast(Operator), "Make a support bundle", Nothing => Json(json::<OperationStatus>), status 202;
    GenerateLogsStatus Get "/v1/edge-mgmt/edgehosts/current/generate-logs-status" AtLeast(Viewer), "Whether the support bundle is ready", Nothing => Json(json::<LogsStatus>);
    DownloadLogs Get "/v1/edge-mgmt/edgehosts/current/download-logs" AtLeast(Operator), "The support bundle", Nothing => Binary("application/zstd");
    ErrorLogs Get "/v1/edge-mgmt/edgehosts/current/error-logs" AtLeast(Operator), "The newest errors of the journal", Nothing => Json(json::<LogLines>), query &[query("logCount", "At most so many lines")];
    UserData Get "/v1/edge-mgmt/edgehosts/current/userdata" AtLeast(Admin), "The document that was told to this host", Nothing => Json(json::<ConfigurationRequest>);
    ChangeUserData Put "/v1/edge-mgmt/edgehosts/current/userdata" AtLeast(Admin), "Use a document in its place", Json(json::<ConfigurationRequest>) => Json(json::<OperationStatus>), status 202;
    CheckNetwork Get "/v1/edge-mgmt/edgehosts/current/connectivity" AtLeast(Operator), "The way out of this host, link by link: cable, address, gateway, name server, time, proxy, registries", Nothing => Json(json::<Vec<NetworkLink>>);
    PingEndpoint Get "/v1/edge-mgmt/edgehosts/current/connectivity/ping" AtLeast(Operator), "Ping", Nothing => Json(json::<Ping>), query ENDPOINT;
    TraceEndpoint Get "/v1/edge-mgmt/edgehosts/current/connectivity/traceroute" AtLeast(Operator), "The way to a host", Nothing => Json(json::<TraceRoute>), query ENDPOINT;
    ResolveName Get "/v1/edge-mgmt/edgehosts/current/connectivity/dns" AtLeast(Operator), "Look a name up", Nothing => Json(json::<Resolution>), query ENDPOINT;
    ConnectEndpoint Get "/v1/edge-mgmt/edgehosts/current/connectivity/tcp" AtLeast(Operator), "Open a connection to HOST:PORT", Nothing => Json(json::<TcpCheck>), query ENDPOINT;
    FetchEndpoint Get "/v1/edge-mgmt/edgehosts/current/connectivity/http" AtLeast(Operator), "Ask a web address through the configured proxy", Nothing => Json(json::<HttpCheck>), query ENDPOINT;
    TimeOffset Get "/v1/edge-mgmt/edgehosts/current/connectivity/ntp" AtLeast(Operator), "How far the clock is off", Nothing => Json(json::<TimeState>);
    DiskHealth Get "/v1/edge-mgmt/edgehosts/current/disks" AtLeast(Operator), "What disks say of themselves", Nothing => Json(json::<Vec<DiskHealth>>);
    Sensors Get "/v1/edge-mgmt/edgehosts/current/sensors" AtLeast(Viewer), "Temperatures, fans and voltages", Nothing => Json(json::<Vec<Sensor>>);
    Lifecycle Get "/v1/edge-mgmt/events/lifecycle" AtLeast(Viewer), "The history of images", Nothing => Json(json::<Vec<HistoryEntry>>);
    Interfaces Get "/v1/edge-mgmt/network/interfaces" AtLeast(Viewer), "Interfaces as they are and as configured", Nothing => Json(json::<Vec<InterfaceView>>);
    Interface Get "/v1/edge-mgmt/network/interfaces/{name}" AtLeast(Viewer), "One interface", Nothing => Json(json::<InterfaceView>);
    ChangeInterface Put "/v1/edge-mgmt/network/interfaces/{name}/config" AtLeast(Operator), "Configure an interface, VLAN, bond or bridge; on trial until it works", Json(json::<Interface>) => Json(json::<OperationStatus>), status 202;
    ForgetInterface Delete "/v1/edge-mgmt/network/interfaces/{name}/config" AtLeast(Operator), "Forget what was told about an interface", Nothing => Json(json::<OperationStatus>), status 202;
    Vlans Get "/v1/edge-mgmt/network/vlans" AtLeast(Viewer), "All VLANs", Nothing => Json(json::<Vec<InterfaceView>>);
    Vlan Get "/v1/edge-mgmt/network/vlans/{name}" AtLeast(Viewer), "One VLAN", Nothing => Json(json::<InterfaceView>);
    ChangeVlan Put "/v1/edge-mgmt/network/vlans/{name}" AtLeast(Operator), "Make or change a VLAN; on trial until it works", Json(json::<Interface>) => Json(json::<OperationStatus>), status 202;
    ForgetVlan Delete "/v1/edge-mgmt/network/vlans/{name}" AtLeast(Operator), "Remove a VLAN", Nothing => Json(json::<OperationStatus>), status 202;
    Bonds Get "/v1/edge-mgmt/network/bonds" AtLeast(Viewer), "All bonds", Nothing => Json(json::<Vec<InterfaceView>>);
    Bond Get "/v1/edge-mgmt/network/bonds/{name}" AtLeast(Viewer), "One bond", Nothing => Json(json::<InterfaceView>);
    ChangeBond Put "/v1/edge-mgmt/network/bonds/{name}" AtLeast(Operator), "Make or change a bond; on trial until it works", Json(json::<Interface>) => Json(json::<OperationStatus>), status 202;
    ForgetBond Delete "/v1/edge-mgmt/network/bonds/{name}" AtLeast(Operator), "Remove a bond", Nothing => Json(json::<OperationStatus>), status 202;
    Bridges Get "/v1/edge-mgmt/network/bridges" AtLeast(Viewer), "All bridges", Nothing => Json(json::<Vec<InterfaceView>>);
    Bridge Get "/v1/edge-mgmt/network/bridges/{name}" AtLeast(Viewer), "One bridge", Nothing => Json(json::<InterfaceView>);
    ChangeBridge Put "/v1/edge-mgmt/network/bridges/{name}" AtLeast(Operator), "Make or change a bridge; on trial until it works", Json(json::<Interface>) => Json(json::<OperationStatus>), status 202;
    ForgetBridge Delete "/v1/edge-mgmt/network/bridges/{name}" AtLeast(Operator), "Remove a bridge", Nothing => Json(json::<OperationStatus>), status 202;
    ManagementInterface Get "/v1/edge-mgmt/network/management-interface" AtLeast(Viewer), "The interface that this host is reached by", Nothing => Json(json::<ManagementInterface>);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_route_stands_twice_and_every_change_needs_more_than_looking() {
        let mut seen = BTreeSet::new();
        for route in ROUTES {
            assert!(seen.insert((route.path, route.method)), "{} {}", route.method.name(), route.path);
            let looks_only = matches!(route.access, Anybody | AtLeast(Viewer));
            assert!(!route.changes() || !looks_only || route.id == RouteId::Login, "{}", route.path);
        }
    }
}
