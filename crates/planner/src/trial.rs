//! How the booted image stands towards the host, and what follows from it.

use edge_model::api::BootState;
use edge_model::cmdline::Mode;
use edge_model::ids::{RootHash, Slot};
use edge_model::ledger::{FailedImage, HistoryEntry, HistoryEvent, Ledger, UpgradeStage};

/// What the loader and early boot say about this boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootedImage {
    pub mode: Mode,
    pub root_hash: RootHash,
    pub slot: Option<Slot>,
    /// The entry that is started when nothing else is said.
    pub default_entry: Option<String>,
}

impl BootedImage {
    /// Booted is not default: that is a trial, whatever the ledger says.
    pub fn state(&self) -> BootState {
        match self.mode {
            Mode::Recovery => BootState::Recovery,
            Mode::Live => BootState::Live,
            Mode::Main => match &self.default_entry {
                Some(entry) if *entry != self.root_hash.uki_name() => BootState::Trial,
                // Without any default, the image that runs is the best there is.
                _ => BootState::Committed,
            },
        }
    }
}

/// The ledger after a boot into a committed image while an upgrade was armed: the image did not come through
/// its trial. `None` when there is nothing to record.
pub fn record_failed_trial(
    ledger: &Ledger,
    booted: &BootedImage,
    verdict: Option<String>,
    now: u64,
) -> Option<Ledger> {
    let pending = ledger.pending.as_ref()?;
    if booted.state() != BootState::Committed
        || pending.stage != UpgradeStage::Armed
        || pending.image.root_hash == booted.root_hash
    {
        return None;
    }
    let reason =
        verdict.unwrap_or_else(|| "it did not finish its first boot (crash, hang or power cut)".into());
    let mut next = ledger.clone();
    next.failed.retain(|failed| failed.root_hash != pending.image.root_hash);
    next.failed.push(FailedImage {
        root_hash: pending.image.root_hash,
        version: pending.image.version.clone(),
        reason: reason.clone(),
        at: now,
    });
    next.record(HistoryEntry {
        at: now,
        event: HistoryEvent::TrialFailed,
        version: pending.image.version.clone(),
        root_hash: pending.image.root_hash,
        slot: Some(pending.slot),
        reason: Some(reason),
    });
    next.set_slot(pending.slot, None);
    next.pending = None;
    Some(next)
}

/// The ledger after the booted image proved healthy on trial.
pub fn record_commit(ledger: &Ledger, booted: &BootedImage, version: &str, now: u64) -> Ledger {
    let mut next = ledger.clone();
    if let Some(pending) = next.pending.take() {
        if pending.image.root_hash == booted.root_hash {
            next.set_slot(pending.slot, Some(pending.image));
        } else {
            next.pending = Some(pending);
        }
    }
    next.failed.retain(|failed| failed.root_hash != booted.root_hash);
    next.record(HistoryEntry {
        at: now,
        event: HistoryEvent::Committed,
        version: version.to_owned(),
        root_hash: booted.root_hash,
        slot: booted.slot,
        reason: None,
    });
    next
}

/// Entries that must stay on the ESP: the booted one, the default, and those of images that the ledger knows.
pub fn protected_entries(ledger: &Ledger, booted: &BootedImage) -> Vec<String> {
    let mut entries = vec![booted.root_hash.uki_name()];
    entries.extend(booted.default_entry.clone());
    let known = [&ledger.slot_a, &ledger.slot_b].into_iter().flatten().map(|image| image.root_hash);
    let pending = ledger.pending.iter().map(|pending| pending.image.root_hash);
    entries.extend(known.chain(pending).map(|root_hash| root_hash.uki_name()));
    entries
}

#[cfg(test)]
mod tests {
    use super::*;
    use edge_model::ledger::{ImageRecord, PendingUpgrade};

    fn image(byte: u8) -> ImageRecord {
        ImageRecord {
            name: "edge".into(),
            version: format!("{byte}.0"),
            root_hash: RootHash([byte; 32]),
            created: 0,
            data_blocks: 10,
            signed: true,
        }
    }

    fn armed() -> Ledger {
        Ledger {
            slot_a: Some(image(1)),
            pending: Some(PendingUpgrade {
                slot: Slot::B,
                image: image(2),
                source: "oci:x".into(),
                stage: UpgradeStage::Armed,
            }),
            ..Ledger::default()
        }
    }

    fn booted(byte: u8, default: u8) -> BootedImage {
        BootedImage {
            mode: Mode::Main,
            root_hash: RootHash([byte; 32]),
            slot: Some(if byte == 1 { Slot::A } else { Slot::B }),
            default_entry: Some(RootHash([default; 32]).uki_name()),
        }
    }

    #[test]
    fn booted_is_not_default_means_trial() {
        assert_eq!(booted(2, 1).state(), BootState::Trial);
        assert_eq!(booted(1, 1).state(), BootState::Committed);
        assert_eq!(BootedImage { default_entry: None, ..booted(1, 1) }.state(), BootState::Committed);
        assert_eq!(BootedImage { mode: Mode::Recovery, ..booted(1, 2) }.state(), BootState::Recovery);
    }

    #[test]
    fn coming_back_to_the_old_image_is_a_failed_trial() {
        let next = record_failed_trial(&armed(), &booted(1, 1), Some("health".into()), 5).unwrap();
        assert_eq!(next.failed[0].reason, "health");
        assert!(next.pending.is_none() && next.slot_b.is_none());
        assert!(!protected_entries(&next, &booted(1, 1)).contains(&image(2).root_hash.uki_name()));
        assert_eq!(
            record_failed_trial(&armed(), &booted(2, 1), None, 5),
            None,
            "the trial itself is running"
        );
        let writing = Ledger {
            pending: armed()
                .pending
                .map(|pending| PendingUpgrade { stage: UpgradeStage::Writing { data_frames: 1 }, ..pending }),
            ..armed()
        };
        assert_eq!(record_failed_trial(&writing, &booted(1, 1), None, 5), None, "it was never tried");
    }

    #[test]
    fn a_commit_moves_the_pending_image_into_its_slot() {
        let next = record_commit(&armed(), &booted(2, 1), "2.0", 9);
        assert_eq!(next.slot_b, Some(image(2)));
        assert!(next.pending.is_none());
        assert_eq!(next.history.last().map(|entry| entry.event), Some(HistoryEvent::Committed));
        assert_eq!(protected_entries(&next, &booted(2, 2)).len(), 4);
    }
}
