//! One method for each route that surfaces use. All fail with what the agent answers, or with
//! [`edge_model::Class::Environment`] when it cannot be reached.

use edge_model::Result;
use edge_model::api::routes::RouteId;
use edge_model::api::{
    ConfigurationRequest, HostStatus, LogLevel, LogSetting, NoticeChoice, OperationRequest, OperationStatus,
    access, audit, black_box, cluster, content, diagnostics, host, installer, network,
};
use edge_model::keyboard::KeyboardChoice;
use edge_model::ledger::Ledger;
use edge_model::stage_log::StageRecord;
use edge_model::user_data::interface::Interface;

use crate::{Call, Client};

macro_rules! calls {
    (reads { $($read:ident $read_id:ident -> $read_answer:ty;)* }
     endpoints { $($check:ident $check_id:ident -> $check_answer:ty;)* }
     changes { $($change:ident $change_id:ident ($request:ty) -> $change_answer:ty;)* }
     acts { $($act:ident $act_id:ident -> $act_answer:ty;)* }) => {
        impl Client {
            $(pub fn $read(&self) -> Result<$read_answer> { self.call(RouteId::$read_id, Call::default()) })*
            $(pub fn $check(&self, endpoint: &str) -> Result<$check_answer> {
                self.call(RouteId::$check_id, Call::default().query("endpoint", endpoint))
            })*
            $(pub fn $change(&self, request: &$request) -> Result<$change_answer> {
                self.call(RouteId::$change_id, Call::default().body(request)?)
            })*
            $(pub fn $act(&self) -> Result<$act_answer> { self.call(RouteId::$act_id, Call::default()) })*
        }
    };
}

calls! {
    reads {
    ping Ping -> host::Pong;
    status Status -> HostStatus;
    metrics Metrics -> diagnostics::Metrics;
    ledger Ledger -> Ledger;
    black_box BlackBox -> black_box::BlackBox;
    stages StageLog -> Vec<StageRecord>;
    operations Operations -> Vec<OperationStatus>;
    configuration Configuration -> host::ConfigurationView;
    site_settings SiteSettings -> host::SiteSettings;
    volumes Volumes -> Vec<installer::Volume>;
    install_disks InstallDisks -> Vec<installer::InstallDisk>;
    install_answers InstallAnswers -> installer::Answers;
    edge_host EdgeHost -> host::EdgeHost;
    interfaces Interfaces -> Vec<network::InterfaceView>;
    current_user CurrentUser -> access::CurrentUser;
    check_network CheckNetwork -> Vec<diagnostics::NetworkLink>;
    time_offset TimeOffset -> diagnostics::TimeState;
    disk_health DiskHealth -> Vec<diagnostics::DiskHealth>;
    sensors Sensors -> Vec<diagnostics::Sensor>;
    cluster Cluster -> cluster::ClusterView;
    content Content -> content::ContentView;
    audits Audits -> audit::AuditPage;
    }
    endpoints {
    ping_endpoint PingEndpoint -> diagnostics::Ping;
    trace_endpoint TraceEndpoint -> diagnostics::TraceRoute;
    resolve_name ResolveName -> diagnostics::Resolution;
    connect_endpoint ConnectEndpoint -> diagnostics::TcpCheck;
    fetch_endpoint FetchEndpoint -> diagnostics::HttpCheck;
    }
    changes {
    log_in Login (access::LoginRequest) -> access::LoginAnswer;
    start StartOperation (OperationRequest) -> OperationStatus;
    check_configuration CheckConfiguration (ConfigurationRequest) -> installer::Message;
    change_site_settings ChangeSiteSettings (host::SiteSettings) -> OperationStatus;
    change_install_answers ChangeInstallAnswers (installer::AnswersRequest) -> installer::Answers;
    export_answers ExportAnswers (installer::ExportRequest) -> installer::Message;
    set_clock SetClock (diagnostics::ClockSetting) -> installer::Message;
    change_keyboard ChangeKeyboard (KeyboardChoice) -> installer::Message;
    create_cluster CreateCluster (cluster::ClusterRequest) -> cluster::ClusterView;
    delete_cluster DeleteCluster (cluster::ClusterName) -> cluster::ClusterView;
    remove_content RemoveContent (content::BundleRemoval) -> content::ContentView;
    change_user ChangeUser (access::UserChange) -> access::CurrentUser;
    }
    acts {
    confirm_network ConfirmNetwork -> installer::Message;
    restore_network RestoreNetwork -> installer::Message;
    open_shell OpenShell -> installer::Message;
    start_installation StartInstallation -> OperationStatus;
    cluster_kubeconfig ClusterKubeconfig -> cluster::Kubeconfig;
    renew_token RenewToken -> access::Token;
    }
}

/// Which lines of the journal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogQuery {
    pub lines: u32,
    pub unit: Option<String>,
    /// 0 is this boot, -1 the one before.
    pub boot: i32,
    pub filter: Option<String>,
}

impl Client {
    pub fn operation(&self, id: u64) -> Result<OperationStatus> {
        self.call(RouteId::Operation, Call::default().segment("id", id))
    }

    pub fn cancel(&self, id: u64) -> Result<OperationStatus> {
        self.call(RouteId::CancelOperation, Call::default().segment("id", id))
    }

    pub fn logs(&self, query: &LogQuery) -> Result<host::LogLines> {
        let mut call = Call::default().query("lines", query.lines).query("boot", query.boot);
        if let Some(unit) = &query.unit {
            call = call.query("unit", unit);
        }
        if let Some(filter) = &query.filter {
            call = call.query("filter", filter);
        }
        self.call(RouteId::Logs, call)
    }

    pub fn change_interface(&self, name: &str, interface: &Interface) -> Result<OperationStatus> {
        self.call(RouteId::ChangeInterface, Call::default().segment("name", name).body(interface)?)
    }

    pub fn forget_interface(&self, name: &str) -> Result<OperationStatus> {
        self.call(RouteId::ForgetInterface, Call::default().segment("name", name))
    }

    pub fn log_out(&self) -> Result<()> {
        self.tell(RouteId::Logout, Call::default())
    }

    pub fn set_first_password(&self, first: &access::FirstPassword) -> Result<access::LoginAnswer> {
        self.call(RouteId::FirstPassword, Call::default().body(first)?)
    }

    pub fn set_log_level(&self, level: LogLevel) -> Result<()> {
        self.tell(RouteId::SetLogLevel, Call::default().body(&LogSetting { level })?)
    }

    /// # Errors
    /// As [`Client::call`].
    pub fn put_notices_away(&self, which: &NoticeChoice) -> Result<()> {
        self.tell(RouteId::PutNoticesAway, Call::default().body(which)?)
    }

    pub fn change_password(&self, change: &access::PasswordChange) -> Result<()> {
        self.tell(RouteId::ResetPassword, Call::default().body(change)?)
    }

    /// Passes the support bundle on, piece by piece.
    pub fn download_logs(&self, take: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        self.stream(RouteId::DownloadLogs, Call::default(), take)
    }
}
