//! What cannot be taken back, and how it is asked for: the same on every surface.

use edge_model::api::{OperationRequest, UpgradeRequest};
use serde::Serialize;

/// What ends or erases something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "destroys", content = "with")]
pub enum Destructive {
    Install {
        disk: String,
        /// What the disk holds is lost.
        erases: bool,
    },
    Rollback {
        /// Since when the cluster's data goes with it: a day and a time.
        loses: Option<String>,
    },
    Restart,
    RestartIntoRecovery,
    PowerOff,
    /// Restarts when the image is ready.
    UpgradeAndRestart(UpgradeSource),
    Reset {
        /// What the site has told is forgotten too.
        oem: bool,
    },
    /// Restarts with other settings; data stays.
    RestoreConfiguration {
        /// Forget what came from outside, instead of going back to what worked.
        without_site: bool,
    },
}

impl Destructive {
    /// The word that must be typed; none where a plain yes is enough.
    pub fn word(&self) -> Option<&'static str> {
        match self {
            Destructive::Install { erases: true, .. } => Some("ERASE"),
            Destructive::RestartIntoRecovery => Some("RECOVERY"),
            Destructive::PowerOff => Some("OFF"),
            Destructive::Reset { .. } => Some("RESET"),
            Destructive::Rollback { loses: Some(_) } => Some("RETURN"),
            Destructive::Install { erases: false, .. }
            | Destructive::Rollback { loses: None }
            | Destructive::Restart
            | Destructive::RestoreConfiguration { .. }
            | Destructive::UpgradeAndRestart(_) => None,
        }
    }
}

/// An image to go to, and what is allowed on the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UpgradeSource {
    pub source: String,
    pub allow_downgrade: bool,
    pub retry_failed: bool,
    pub plain_http: bool,
}

impl UpgradeSource {
    /// The order that it is.
    pub fn request(&self, reboot: bool) -> OperationRequest {
        OperationRequest::Upgrade(UpgradeRequest {
            source: self.source.clone(),
            allow_downgrade: self.allow_downgrade,
            root_hash: None,
            retry_failed: self.retry_failed,
            plain_http: self.plain_http,
            reboot,
            dry_run: false,
        })
    }
}
