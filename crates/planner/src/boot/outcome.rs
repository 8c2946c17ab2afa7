//! How the booted image stands towards the host, and what follows from it.

use edge_model::api::BootState;
use edge_model::cmdline::Mode;
use edge_model::ids::{RootHash, Slot};
use edge_model::ledger::{FailedImage, HistoryEntry, HistoryEvent, ImageRecord, Ledger, UpgradeStage};

/// What the loader and early boot say about this boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootedImage {
    pub mode: Mode,
    pub root_hash: RootHash,
    pub slot: Option<Slot>,
    /// The entry that is started when nothing else is said.
    pub default_entry: Option<String>,
    /// The entry that is started once, at the next boot.
    pub armed_entry: Option<String>,
}

impl BootedImage {
    /// Booted is not default: that is a trial, whatever the ledger says.
    pub fn state(&self) -> BootState {
        match self.mode {
            Mode::Recovery => BootState::Recovery,
            Mode::Live => BootState::Live,
            Mode::Main if is_trial(&self.root_hash, self.default_entry.as_deref()) => BootState::Trial,
            Mode::Main => BootState::Committed,
        }
    }
}

/// Booted is not default: that is a trial, for init, early boot and agent alike. Without any default, the image that runs
/// is the best there is.
pub fn is_trial(booted: &RootHash, default_entry: Option<&str>) -> bool {
    default_entry.is_some_and(|entry| entry != booted.uki_name())
}

/// A boot on trial that has not finished goes on while something happens in it, up to so many times its deadline.
const AT_MOST: u64 = 4;
/// Seconds without a sign of life after which a boot hangs.
pub const HANGS_AFTER: u64 = 120;
/// Seconds that checks have after a boot that finished late.
const CHECKS_WITHIN: u64 = 60;

/// How a trial stands. Seconds are counted from power-on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrialClock {
    pub now: u64,
    /// When the image has to have proved itself, if nothing of it still moves.
    pub deadline: u64,
    /// When something was last seen to happen in the boot: a unit that has started, or bytes that a disk has moved.
    pub last_sign: u64,
    /// When the boot finished; none while units still start.
    pub finished: Option<u64>,
}

impl TrialClock {
    /// When the image has had its chance, as it looks now. A slow disk is no reason to give an image up, and one that hangs is.
    pub fn ends(&self) -> u64 {
        let ends = match self.finished {
            Some(finished) => finished + CHECKS_WITHIN,
            None => self.last_sign + HANGS_AFTER,
        };
        ends.min(self.deadline * AT_MOST).max(self.deadline)
    }

    pub fn is_over(&self) -> bool {
        self.now > self.ends()
    }
}

/// The ledger as this boot shows it should be; `None` when it is right already.
///
/// Three things can have happened since it was written: a trial came back, a commit was cut before it was
/// recorded, or the host was never installed by an installer and its image is unknown.
pub fn settle(
    ledger: &Ledger,
    booted: &BootedImage,
    image: &ImageRecord,
    verdict: Option<String>,
    now: u64,
) -> Option<Ledger> {
    if booted.state() != BootState::Committed {
        return None;
    }
    if ledger.pending.as_ref().is_some_and(|pending| pending.image.root_hash == booted.root_hash) {
        return Some(record_commit(ledger, booted, &image.version, now));
    }
    let failed = record_failed_trial(ledger, booted, verdict, now);
    let slot = booted.slot?;
    if ledger.slot(slot).map(|known| known.root_hash) == Some(booted.root_hash) {
        return failed;
    }
    let mut next = failed.unwrap_or_else(|| ledger.clone());
    next.set_slot(slot, Some(image.clone()));
    Some(next)
}

/// The ledger after a boot into a committed image while an upgrade was armed: the image did not come through
/// its trial. `None` when there is nothing to record.
fn record_failed_trial(
    ledger: &Ledger,
    booted: &BootedImage,
    verdict: Option<String>,
    now: u64,
) -> Option<Ledger> {
    let pending = ledger.pending.as_ref()?;
    if booted.state() != BootState::Committed
        || pending.stage != UpgradeStage::Armed
        || pending.image.root_hash == booted.root_hash
        // It is still to be tried: the agent was restarted, not the host.
        || booted.armed_entry.as_ref() == Some(&pending.image.root_hash.uki_name())
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
    use edge_model::ledger::PendingUpgrade;

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
            armed_entry: None,
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
    fn a_slow_boot_is_waited_for_and_one_that_hangs_is_not() {
        let clock = TrialClock { now: 601, deadline: 600, last_sign: 590, finished: None };
        assert!(!clock.is_over(), "something just happened");
        assert!(TrialClock { last_sign: 480, ..clock }.is_over(), "nothing happens any more");
        assert!(!TrialClock { now: 600, last_sign: 0, ..clock }.is_over(), "it still has time");
        assert!(TrialClock { now: 2401, last_sign: 2401, ..clock }.is_over(), "not for ever");
        assert!(TrialClock { finished: Some(300), ..clock }.is_over(), "it is up, and not healthy");
        assert!(!TrialClock { finished: Some(595), ..clock }.is_over(), "its checks have just begun");
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
    fn a_restarted_agent_does_not_fail_an_image_that_waits_for_its_trial() {
        let waiting = BootedImage { armed_entry: Some(image(2).root_hash.uki_name()), ..booted(1, 1) };
        assert_eq!(settle(&armed(), &waiting, &image(1), None, 5), None);
        assert!(settle(&armed(), &booted(1, 1), &image(1), None, 5).is_some());
    }

    #[test]
    fn a_commit_that_was_cut_and_an_unknown_image_are_settled() {
        let next = settle(&armed(), &booted(2, 2), &image(2), None, 5).unwrap();
        assert!(next.pending.is_none() && next.slot_b == Some(image(2)));
        let adopted = settle(&Ledger::default(), &booted(1, 1), &image(1), None, 5).unwrap();
        assert_eq!(adopted.slot_a, Some(image(1)));
        assert_eq!(settle(&adopted, &booted(1, 1), &image(1), None, 5), None);
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
