//! What a host remembers about its images across boots. Kept in `/oem/edge`, in two copies with generations.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::{RootHash, Slot};

/// How many entries of history are kept.
pub const HISTORY_LIMIT: usize = 50;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ledger {
    /// Grows by one with every write; the higher readable copy is the truth.
    #[serde(default)]
    pub generation: u64,
    #[serde(default)]
    pub slot_a: Option<ImageRecord>,
    #[serde(default)]
    pub slot_b: Option<ImageRecord>,
    #[serde(default)]
    pub recovery: Option<ImageRecord>,
    /// An upgrade that has begun and is neither committed nor given up.
    #[serde(default)]
    pub pending: Option<PendingUpgrade>,
    /// Images that failed their trial; never tried again by themselves.
    #[serde(default)]
    pub failed: Vec<FailedImage>,
    #[serde(default)]
    pub history: Vec<HistoryEntry>,
    /// Where the image of the last upgrade came from: the next one will probably come from there too.
    #[serde(default)]
    pub last_source: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ImageRecord {
    pub name: String,
    pub version: String,
    pub root_hash: RootHash,
    pub created: u64,
    pub data_blocks: u64,
    pub signed: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PendingUpgrade {
    pub slot: Slot,
    pub image: ImageRecord,
    pub source: String,
    pub stage: UpgradeStage,
    /// Trials that ended without a word about the image.
    #[serde(default)]
    pub tries: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "at")]
pub enum UpgradeStage {
    /// The slot is being written; `data_frames` of them are known to be on the disk.
    Writing { data_frames: u32 },
    /// The slot is complete, its UKI is on the ESP, and the one-shot entry is set.
    Armed,
    /// Its trial was cut off, and nothing speaks against it: it is armed again when the host has come to rest.
    Interrupted,
    /// Of a newer agent.
    #[serde(other)]
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FailedImage {
    pub root_hash: RootHash,
    pub version: String,
    pub reason: String,
    /// Seconds since 1970 by the host's clock; for people, never for decisions.
    pub at: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HistoryEntry {
    pub at: u64,
    pub event: HistoryEvent,
    pub version: String,
    pub root_hash: RootHash,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<Slot>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum HistoryEvent {
    Installed,
    UpgradeStarted,
    /// Written, checked and armed for its trial boot.
    UpgradeArmed,
    Committed,
    /// The trial failed and the host came back to the other image.
    TrialFailed,
    /// The trial was cut off, and is made again.
    TrialInterrupted,
    /// The default image did not come up, and this one runs in its place.
    FellBack,
    RolledBack,
    /// Recovery is this image from now on.
    RecoveryRefreshed,
    /// The data partition was erased.
    Reset,
    /// Of a newer agent.
    #[serde(other)]
    Unknown,
}

impl Ledger {
    pub fn slot(&self, slot: Slot) -> Option<&ImageRecord> {
        match slot {
            Slot::A => self.slot_a.as_ref(),
            Slot::B => self.slot_b.as_ref(),
        }
    }

    pub fn set_slot(&mut self, slot: Slot, record: Option<ImageRecord>) {
        match slot {
            Slot::A => self.slot_a = record,
            Slot::B => self.slot_b = record,
        }
    }

    /// Appends to the history, dropping the oldest entries beyond [`HISTORY_LIMIT`].
    pub fn record(&mut self, entry: HistoryEntry) {
        self.history.push(entry);
        let surplus = self.history.len().saturating_sub(HISTORY_LIMIT);
        self.history.drain(..surplus);
    }

    pub fn failure_of(&self, root_hash: &RootHash) -> Option<&FailedImage> {
        self.failed.iter().find(|failed| failed.root_hash == *root_hash)
    }
}
