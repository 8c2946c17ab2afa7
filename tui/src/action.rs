//! What the console does: it asks the agent, or draws everything again. The runner performs it.

use edge_client::LogQuery;
use edge_model::api::access::{CurrentUser, Role};
use edge_model::api::black_box::BlackBox;
use edge_model::api::diagnostics::{
    ClockSetting, DiskHealth, HttpCheck, Metrics, NetworkLink, Ping, Resolution, Sensor, TcpCheck, TimeState,
    TraceRoute,
};
use edge_model::api::host::{LogLines, SiteSettings};
use edge_model::api::installer::{Answers, InstallDisk, Message, Volume};
use edge_model::api::network::InterfaceView;
use edge_model::api::routes::{Access, ROUTES, RouteId};
use edge_model::api::{OperationRequest, OperationStatus};
use edge_model::keyboard::KeyboardChoice;
use edge_model::secret::Secret;
use edge_model::user_data::interface::Interface;
use serde::{Deserialize, Serialize};

pub use edge_words::destructive::UpgradeSource;

use crate::confirm::{Confirmed, Destructive, route_of};

/// Ties an answer to what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ticket(pub u64);

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "action", content = "with")]
pub enum Action {
    Ask {
        ticket: Ticket,
        request: Request,
    },
    /// Draws all cells, also those that are believed to be right.
    Repaint,
    /// Ends the program; only when a person started it.
    Leave,
}

/// A question or order to the agent. Secrets in it are hidden when it is written down.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "request", content = "with")]
pub enum Request {
    LogIn {
        name: String,
        password: Secret,
    },
    /// The operator's first password, and a login with it.
    SetFirstPassword {
        name: String,
        password: Secret,
    },
    LogOut,
    Metrics,
    Interfaces,
    ChangeInterface {
        name: String,
        interface: Box<Interface>,
    },
    ConfirmNetwork,
    RestoreNetwork,
    PutNoticesAway,
    ChangeKeyboard(KeyboardChoice),
    SetClock(ClockSetting),
    SiteSettings,
    ChangeSiteSettings(Box<SiteSettings>),
    CurrentUser,
    ChangeKeys(Vec<String>),
    ChangePassword {
        old: Secret,
        new: Secret,
    },
    Start(Work),
    Operation(u64),
    Cancel(u64),
    Check(Check),
    Logs(LogRequest),
    BlackBox,
    Volumes,
    InstallDisks,
    InstallAnswers,
    /// An unattended file, with secrets.
    GiveAnswers(Secret),
    ExportAnswers {
        device: String,
        this_machine: bool,
    },
    OpenShell,
    Destroy(Confirmed<Destructive>),
}

/// Operations that end nothing that runs and erase nothing that is used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "work", content = "with")]
pub enum Work {
    /// Prepares an image; the host is not restarted.
    Upgrade(UpgradeSource),
    Commit,
    Verify,
    /// Looks at what a start needs, and mends it.
    Repair,
    RefreshRecovery,
    SupportBundle {
        stick: bool,
    },
}

impl Work {
    pub(crate) fn request(&self) -> OperationRequest {
        match self {
            Work::Upgrade(source) => source.request(false),
            Work::Commit => OperationRequest::Commit,
            Work::Verify => OperationRequest::Verify,
            Work::Repair => OperationRequest::Fsck { repair: true },
            Work::RefreshRecovery => OperationRequest::RefreshRecovery,
            Work::SupportBundle { stick } => OperationRequest::SupportBundle { stick: *stick },
        }
    }
}

/// What a person wants to find out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "check", content = "of")]
pub enum Check {
    /// Every link of the way out.
    Network,
    Ping(String),
    Route(String),
    Name(String),
    Port(String),
    Web(String),
    Time,
    Disks,
    Sensors,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct LogRequest {
    pub unit: Option<String>,
    pub boot: i32,
    pub filter: Option<String>,
}

impl LogRequest {
    /// Enough to scroll through for minutes.
    const LINES: u32 = 500;

    pub(crate) fn query(&self) -> LogQuery {
        LogQuery { lines: Self::LINES, unit: self.unit.clone(), boot: self.boot, filter: self.filter.clone() }
    }
}

impl Request {
    /// The route that answers it.
    fn route(&self) -> RouteId {
        match self {
            Request::LogIn { .. } => RouteId::Login,
            Request::SetFirstPassword { .. } => RouteId::FirstPassword,
            Request::LogOut => RouteId::Logout,
            Request::Metrics => RouteId::Metrics,
            Request::Interfaces => RouteId::Interfaces,
            Request::ChangeInterface { .. } => RouteId::ChangeInterface,
            Request::ConfirmNetwork => RouteId::ConfirmNetwork,
            Request::RestoreNetwork => RouteId::RestoreNetwork,
            Request::PutNoticesAway => RouteId::PutNoticesAway,
            Request::ChangeKeyboard(_) => RouteId::ChangeKeyboard,
            Request::SetClock(_) => RouteId::SetClock,
            Request::SiteSettings => RouteId::SiteSettings,
            Request::ChangeSiteSettings(_) => RouteId::ChangeSiteSettings,
            Request::CurrentUser => RouteId::CurrentUser,
            Request::ChangeKeys(_) => RouteId::ChangeUser,
            Request::ChangePassword { .. } => RouteId::ResetPassword,
            Request::Start(_) => RouteId::StartOperation,
            Request::Operation(_) => RouteId::Operation,
            Request::Cancel(_) => RouteId::CancelOperation,
            Request::Check(check) => check.route(),
            Request::Logs(_) => RouteId::Logs,
            Request::BlackBox => RouteId::BlackBox,
            Request::Volumes => RouteId::Volumes,
            Request::InstallDisks => RouteId::InstallDisks,
            Request::InstallAnswers => RouteId::InstallAnswers,
            Request::GiveAnswers(_) => RouteId::ChangeInstallAnswers,
            Request::ExportAnswers { .. } => RouteId::ExportAnswers,
            Request::OpenShell => RouteId::OpenShell,
            Request::Destroy(confirmed) => route_of(confirmed.get()),
        }
    }

    /// A newer one of its kind takes its place on the screen.
    pub fn is_a_question_of_the_moment(&self) -> bool {
        matches!(self, Request::Check(_) | Request::Logs(_))
    }

    /// What somebody must be for it.
    pub fn access(&self) -> Access {
        access_of(self.route())
    }
}

impl Check {
    fn route(&self) -> RouteId {
        match self {
            Check::Network => RouteId::CheckNetwork,
            Check::Ping(_) => RouteId::PingEndpoint,
            Check::Route(_) => RouteId::TraceEndpoint,
            Check::Name(_) => RouteId::ResolveName,
            Check::Port(_) => RouteId::ConnectEndpoint,
            Check::Web(_) => RouteId::FetchEndpoint,
            Check::Time => RouteId::TimeOffset,
            Check::Disks => RouteId::DiskHealth,
            Check::Sensors => RouteId::Sensors,
        }
    }
}

/// By the agent's own table; what is not in it is for administrators.
pub(crate) fn access_of(route: RouteId) -> Access {
    ROUTES.iter().find(|entry| entry.id == route).map_or(Access::AtLeast(Role::Admin), |entry| entry.access)
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "answer", content = "with")]
pub enum Answer {
    Done,
    /// The token stays with the runner.
    LoggedIn {
        name: String,
        role: Role,
    },
    Message(Message),
    Operation(OperationStatus),
    Metrics(Metrics),
    Interfaces(Vec<InterfaceView>),
    SiteSettings(SiteSettings),
    User(CurrentUser),
    Network(Vec<NetworkLink>),
    Ping(Ping),
    Route(TraceRoute),
    Name(Resolution),
    Port(TcpCheck),
    Web(HttpCheck),
    Time(TimeState),
    Disks(Vec<DiskHealth>),
    Sensors(Vec<Sensor>),
    Logs(LogLines),
    BlackBox(BlackBox),
    Volumes(Vec<Volume>),
    InstallDisks(Vec<InstallDisk>),
    InstallAnswers(Answers),
}
