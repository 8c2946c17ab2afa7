//! Who did what to this host. The names of the fields are those of Palette's local API.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Surface;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditRecord {
    /// Grows by one with each record.
    pub sequence: u64,
    /// Seconds since 1970 by the host's clock, and whether that clock had been set by then.
    pub at: u64,
    pub clock_is_set: bool,
    pub edge_host_id: String,
    /// Account, or `root`, or the system account of a surface.
    pub actor: String,
    /// Through what the call came.
    #[serde(default)]
    pub surface: Surface,
    /// The idempotency key of the call, where it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<String>,
    /// The role that the call had.
    pub actor_type: String,
    /// Process and user at the other end of the socket.
    pub from: String,
    /// `POST /v1/operations`.
    pub action: String,
    pub resource_kind: String,
    pub resource_id: String,
    pub resource_name: String,
    /// What was asked, without secrets.
    pub content_msg: String,
    /// What it was before, where there is a before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    pub outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "result")]
pub enum Outcome {
    Accepted { status: u16 },
    Refused { status: u16, reason: String },
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditPage {
    pub items: Vec<AuditRecord>,
    /// Where the next page begins; none at the end.
    #[serde(rename = "continue", default)]
    pub next: Option<u64>,
}

/// Values that occur, for a search form.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditFilters {
    pub actors: Vec<String>,
    pub action_types: Vec<String>,
    pub resource_kinds: Vec<String>,
}
