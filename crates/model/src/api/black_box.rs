//! What a host remembers about its last boots: what was started, and how it ended. Kept in `/oem/edge`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cmdline::Mode;
use crate::ids::{RootHash, Slot};

/// How many boots are kept.
pub const BOOTS_KEPT: usize = 32;
/// Largest size of the whole, in bytes of JSON.
pub const SIZE_LIMIT: usize = 256 << 10;
/// How much of a crash's last words is kept, in bytes.
pub const CONSOLE_LIMIT: usize = 8 << 10;

/// The last boots, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct BlackBox {
    pub boots: Vec<Boot>,
}

/// One boot that came as far as `/oem`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Boot {
    /// Identifier of the boot, as the journal has it.
    pub id: String,
    pub mode: Mode,
    /// None in recovery.
    #[serde(default)]
    pub slot: Option<Slot>,
    /// Version of the image; empty when the image does not say.
    pub version: String,
    pub root_hash: RootHash,
    /// None when the clock was certainly wrong.
    #[serde(default)]
    pub began: Option<WallTime>,
    pub ending: Ending,
    /// The last lines of the kernel, when it crashed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub console: Vec<String>,
    /// What is not certain about this entry.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub doubts: Vec<String>,
}

/// Seconds since 1970, and how far they can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WallTime {
    pub at: u64,
    /// A time server has confirmed the clock since.
    pub proven: bool,
}

/// How a boot ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "as")]
pub enum Ending {
    StillRunning,
    Restarted {
        reason: String,
    },
    SwitchedOff {
        reason: String,
    },
    /// The kernel left a record of its crash.
    Crashed {
        reason: String,
    },
    /// Nothing was said: a power cut, the reset button, or the watchdog.
    LostPowerOrReset,
    /// In a way that a newer agent knows.
    #[serde(other)]
    Unknown,
}
