//! The network of a host as it is, and as it is configured.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::user_data::interface::Interface;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InterfaceView {
    pub name: String,
    pub kind: InterfaceKind,
    #[serde(default)]
    pub mac: String,
    /// A cable is plugged in and something answers.
    pub carrier: bool,
    /// With prefix length.
    pub addresses: Vec<String>,
    #[serde(default)]
    pub gateway: Option<String>,
    /// What the configuration says about it; none when only the defaults apply.
    #[serde(default)]
    pub configured: Option<Interface>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum InterfaceKind {
    Physical,
    Vlan,
    Bond,
    Bridge,
    /// Configured, and not there.
    Missing,
    Other,
}

/// Which interface a management plane and people reach this host by.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ManagementInterface {
    pub name: Option<String>,
    pub address: Option<String>,
}
