//! The list of kernel modules in the initrd: written by the builder, read by init.

use serde::{Deserialize, Serialize};

/// Where the list and the modules are, in the initrd.
pub const MODULE_DIRECTORY: &str = "/modules";
pub const MODULE_LIST: &str = "/modules/list.json";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModuleEntry {
    /// File name in [`MODULE_DIRECTORY`].
    pub file: String,
    /// Files that must be loaded before.
    pub needs: Vec<String>,
    pub load: Load,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Load {
    Always,
    /// When a device matches one of these patterns.
    ForHardware(Vec<String>),
    /// Only because another module needs it.
    AsNeeded,
    /// When the machine turned out to have no hardware watchdog.
    WithoutWatchdog,
}
