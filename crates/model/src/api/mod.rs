//! What the agent says about a host and what it can be asked to do. Wire types of `/run/edge/agent.sock`.
//!
//! Start with [`routes`]: every path with its role, its effect and its types.

pub mod access;
mod actor;
pub mod audit;
pub mod black_box;
pub mod cluster;
pub mod content;
pub mod diagnostics;
pub mod host;
pub mod installer;
pub mod network;
mod operation;
pub mod routes;
mod status;

pub use actor::{Actor, Surface};
pub use operation::{
    ConfigurationRequest, Event, EventKind, InstallRequest, KeptEvents, KeptOperations, LogLevel, LogSetting,
    OperationKind, OperationRequest, OperationState, OperationStatus, StepRecord, UpgradeRequest,
};
pub use status::{
    BootRecord, BootState, ConsoleRules, Found, Health, HostStatus, ImageIdentity, InterfaceAddress,
    Management, NetworkState, Notice, NoticeChoice, NoticeEnd, NoticeSeverity, Possibility, WebSettings,
    WebUi,
};
