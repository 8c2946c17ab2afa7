//! What became of the last boots, and what the ledger should say about it.

use edge_model::api::black_box::{BlackBox, Ending};
use edge_model::api::{BootState, Found};
use edge_model::cmdline::Mode;
use edge_model::ids::{Entry, RootHash, Slot};
use edge_model::ledger::{
    FailedImage, HistoryEntry, HistoryEvent, ImageRecord, Ledger, PendingUpgrade, UpgradeStage,
};

use super::BootedImage;

/// How often an image whose trial was cut off is tried in all.
pub const TRIES: u8 = 3;

/// What is known about the last boot of an image on trial, once another image runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrialEvidence {
    /// Why its own agent, or its early boot, gave it up.
    pub verdict: Option<String>,
    /// The last words of a kernel that crashed since the boot before.
    pub crash: Option<String>,
    /// The watchdog says that it has reset the machine.
    pub watchdog: bool,
    /// How its boot ended, if that came as far as to be recorded.
    pub ending: Option<Ending>,
}

impl TrialEvidence {
    /// What the black box and the beginning of this boot say about the last trial of `image`. `verdict` is what its own agent left.
    pub fn gather(verdict: Option<String>, found: &Found, black_box: &BlackBox, image: &RootHash) -> Self {
        // What another image said about itself says nothing about this one.
        let spoke = found.failed_entry.as_deref() == Some(image.entry().as_str());
        let verdict = verdict.or_else(|| found.failure.clone().filter(|_| spoke));
        let (ending, its_own) = Self::last_trial(black_box, image);
        Self {
            verdict,
            crash: found.crash.clone().filter(|_| its_own),
            watchdog: found.watchdog && its_own,
            ending,
        }
    }

    /// How the last boot of `image` ended, if it was recorded, and whether what was found at the beginning of this boot is its:
    /// the boot that armed it ended in an orderly way, and what comes between is the trial's, or another boot's.
    fn last_trial(black_box: &BlackBox, image: &RootHash) -> (Option<Ending>, bool) {
        for (back, boot) in black_box.boots.iter().rev().skip(1).enumerate() {
            if boot.root_hash == *image && boot.mode == Mode::Main {
                return (Some(boot.ending.clone()), back == 0);
            }
            if matches!(boot.ending, Ending::Restarted { .. } | Ending::SwitchedOff { .. }) {
                return (None, back == 0);
            }
        }
        (None, black_box.boots.len() < 2)
    }

    fn judge(&self, tries: u8) -> TrialEnd {
        if let Some(verdict) = &self.verdict {
            return TrialEnd::Failed(verdict.clone());
        }
        let crash = match &self.ending {
            Some(Ending::Crashed { reason }) => Some(reason),
            _ => self.crash.as_ref(),
        };
        if let Some(crash) = crash {
            return TrialEnd::Failed(format!("its first boot crashed: {crash}"));
        }
        if self.watchdog {
            return TrialEnd::Failed("its first boot hung, and the watchdog reset the machine".into());
        }
        match &self.ending {
            Some(Ending::Restarted { reason } | Ending::SwitchedOff { reason }) => {
                TrialEnd::again(format!("its trial was ended: {reason}"), tries)
            }
            Some(_) => TrialEnd::again("its first boot ended without a word: a power cut, or a hang".into(), tries),
            None => TrialEnd::Unproven(
                "its first boot did not come to life: the firmware did not start it, it hung at once, or the power was cut"
                    .into(),
            ),
        }
    }
}

impl TrialEnd {
    fn again(reason: String, tries: u8) -> Self {
        if tries + 1 < TRIES {
            return TrialEnd::Again(reason);
        }
        TrialEnd::Unproven(format!("{reason}; {TRIES} tries came to nothing"))
    }
}

enum TrialEnd {
    /// It showed that it is bad: it is not tried again unless that is asked for.
    Failed(String),
    /// Nothing speaks against it: it is tried once more.
    Again(String),
    /// Nothing speaks against it, and it was not proved. It may be ordered again.
    Unproven(String),
}

/// The ledger as this boot shows it should be; `None` when it is right already.
///
/// Since it was written, a trial may have come back, a commit may have been cut before it was recorded, the default may not
/// have come up, or the host was never installed by an installer and its image is unknown.
pub fn settle(
    ledger: &Ledger,
    booted: &BootedImage,
    image: &ImageRecord,
    evidence: &TrialEvidence,
    now: u64,
) -> Option<Ledger> {
    match booted.state() {
        BootState::Committed => settle_committed(ledger, booted, image, evidence, now),
        BootState::Fallback => record_fallback(ledger, booted, &image.version, now),
        BootState::Trial | BootState::Recovery | BootState::Live => None,
    }
}

fn settle_committed(
    ledger: &Ledger,
    booted: &BootedImage,
    image: &ImageRecord,
    evidence: &TrialEvidence,
    now: u64,
) -> Option<Ledger> {
    if ledger.pending.as_ref().is_some_and(|pending| pending.image.root_hash == booted.root_hash) {
        return Some(record_commit(ledger, booted, &image.version, now));
    }
    let returned = record_return(ledger, booted, evidence, now);
    let slot = booted.slot?;
    if ledger.slot(slot).map(|known| known.root_hash) == Some(booted.root_hash) {
        return returned;
    }
    let mut next = returned.unwrap_or_else(|| ledger.clone());
    next.set_slot(slot, Some(image.clone()));
    Some(next)
}

/// The ledger after a boot into a committed image while an upgrade was armed: the image did not come through its trial. `None`
/// when there is nothing to record.
fn record_return(
    ledger: &Ledger,
    booted: &BootedImage,
    evidence: &TrialEvidence,
    now: u64,
) -> Option<Ledger> {
    let pending = ledger.pending.as_ref()?;
    if pending.stage != UpgradeStage::Armed
        // It is still to be tried: the agent was restarted, not the host.
        || booted.armed_entry.as_ref() == Some(&pending.image.root_hash.entry())
    {
        return None;
    }
    let mut next = ledger.clone();
    let pending = next.pending.take()?;
    let history = |event, reason: &str| HistoryEntry {
        at: now,
        event,
        version: pending.image.version.clone(),
        root_hash: pending.image.root_hash,
        slot: Some(pending.slot),
        reason: Some(reason.to_owned()),
    };
    match evidence.judge(pending.tries) {
        TrialEnd::Failed(reason) => {
            next.failed.retain(|failed| failed.root_hash != pending.image.root_hash);
            next.failed.push(FailedImage {
                root_hash: pending.image.root_hash,
                version: pending.image.version.clone(),
                reason: reason.clone(),
                at: now,
            });
            next.record(history(HistoryEvent::TrialFailed, &reason));
            next.set_slot(pending.slot, None);
        }
        TrialEnd::Unproven(reason) => {
            next.record(history(HistoryEvent::TrialFailed, &reason));
            next.set_slot(pending.slot, None);
        }
        TrialEnd::Again(reason) => {
            next.record(history(HistoryEvent::TrialInterrupted, &reason));
            let tries = pending.tries + 1;
            next.pending = Some(PendingUpgrade { stage: UpgradeStage::Interrupted, tries, ..pending });
        }
    }
    Some(next)
}

/// The entry to arm again on a committed host that has lasted: that of an image whose trial was cut off.
pub fn tries_again(ledger: &Ledger, booted: &BootedImage) -> Option<Entry> {
    let pending = ledger.pending.as_ref()?;
    let waits = booted.state() == BootState::Committed && pending.stage == UpgradeStage::Interrupted;
    waits.then(|| pending.image.root_hash.entry())
}

/// Said once for each time that the default did not come up.
fn record_fallback(ledger: &Ledger, booted: &BootedImage, version: &str, now: u64) -> Option<Ledger> {
    let told = ledger
        .history
        .last()
        .is_some_and(|entry| entry.event == HistoryEvent::FellBack && entry.root_hash == booted.root_hash);
    if told {
        return None;
    }
    let mut next = ledger.clone();
    next.record(HistoryEntry {
        at: now,
        event: HistoryEvent::FellBack,
        version: version.to_owned(),
        root_hash: booted.root_hash,
        slot: booted.slot,
        reason: Some("the default image did not come up".into()),
    });
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

/// Whether the ledger knows that somebody wants this image tried now. An agent of before arms a trial without making the running
/// image the fallback first, and its image would be taken for one that stands in.
pub fn was_ordered(ledger: &Ledger, image: &RootHash) -> bool {
    let armed = ledger
        .pending
        .as_ref()
        .is_some_and(|pending| pending.image.root_hash == *image && pending.stage == UpgradeStage::Armed);
    let last = ledger.history.last();
    armed || last.is_some_and(|last| last.event == HistoryEvent::RolledBack && last.root_hash == *image)
}

/// The ledger when somebody goes back to the image of the other slot. One on trial that is left so has not failed: nobody asked it
/// any more.
pub fn record_rollback(
    ledger: &Ledger,
    booted: &BootedImage,
    to: &ImageRecord,
    slot: Slot,
    now: u64,
) -> Ledger {
    let mut next = ledger.clone();
    if next.pending.as_ref().is_some_and(|pending| pending.image.root_hash == booted.root_hash) {
        next.pending = None;
        if let Some(booted) = booted.slot {
            next.set_slot(booted, None);
        }
    }
    next.record(HistoryEntry {
        at: now,
        event: HistoryEvent::RolledBack,
        version: to.version.clone(),
        root_hash: to.root_hash,
        slot: Some(slot),
        reason: Some("asked for by an operator".into()),
    });
    next
}

/// The image to try when the committed one does not come up: what the other slot holds, if it has not failed. While another
/// image waits for its trial there is none but the running one.
pub fn fallback(ledger: &Ledger, booted: &BootedImage) -> Option<Entry> {
    if let Some(pending) = &ledger.pending
        && matches!(pending.stage, UpgradeStage::Armed)
    {
        return Some(booted.root_hash.entry());
    }
    let other = ledger.slot(booted.slot?.other())?;
    let is_good = ledger.failure_of(&other.root_hash).is_none() && other.root_hash != booted.root_hash;
    is_good.then(|| other.root_hash.entry())
}

/// Entries that must stay on the ESP: the booted one, the default, and those of images that the ledger knows.
pub fn protected_entries(ledger: &Ledger, booted: &BootedImage) -> Vec<Entry> {
    let mut entries = vec![booted.root_hash.entry()];
    entries.extend(booted.default_entry.clone());
    let known = [&ledger.slot_a, &ledger.slot_b].into_iter().flatten().map(|image| image.root_hash);
    let pending = ledger.pending.iter().map(|pending| pending.image.root_hash);
    entries.extend(known.chain(pending).map(|root_hash| root_hash.entry()));
    entries
}

#[cfg(test)]
mod tests {
    use super::*;
    use edge_model::api::black_box::Boot;

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
                tries: 0,
            }),
            ..Ledger::default()
        }
    }

    fn booted(byte: u8, default: u8) -> BootedImage {
        BootedImage {
            mode: Mode::Main,
            root_hash: RootHash([byte; 32]),
            slot: Some(if byte == 1 { Slot::A } else { Slot::B }),
            default_entry: Some(RootHash([default; 32]).entry()),
            armed_entry: None,
            is_fallback: false,
        }
    }

    fn returned(evidence: &TrialEvidence) -> Ledger {
        settle(&armed(), &booted(1, 1), &image(1), evidence, 5).unwrap()
    }

    fn ended(ending: Ending) -> TrialEvidence {
        TrialEvidence { ending: Some(ending), ..TrialEvidence::default() }
    }

    #[test]
    fn an_image_that_showed_that_it_is_bad_is_not_tried_again() {
        let crash = Ending::Crashed { reason: "Kernel panic".into() };
        let silent = TrialEvidence::default;
        for (evidence, reason) in [
            (TrialEvidence { verdict: Some("health".into()), ..silent() }, "health"),
            (TrialEvidence { crash: Some("oops".into()), ..silent() }, "its first boot crashed: oops"),
            (
                TrialEvidence { watchdog: true, ..silent() },
                "its first boot hung, and the watchdog reset the machine",
            ),
            (ended(crash), "its first boot crashed: Kernel panic"),
        ] {
            let next = returned(&evidence);
            assert_eq!(next.failed[0].reason, reason);
            assert!(next.pending.is_none() && next.slot_b.is_none());
            assert!(!protected_entries(&next, &booted(1, 1)).contains(&image(2).root_hash.entry()));
        }
    }

    #[test]
    fn an_image_that_was_cut_off_is_tried_again_and_never_condemned() {
        let mut ledger = armed();
        for tries in 1..TRIES {
            ledger = settle(&ledger, &booted(1, 1), &image(1), &ended(Ending::LostPowerOrReset), 5).unwrap();
            let pending = ledger.pending.as_mut().unwrap();
            assert_eq!((pending.stage, pending.tries), (UpgradeStage::Interrupted, tries));
            pending.stage = UpgradeStage::Armed;
        }
        let last = settle(&ledger, &booted(1, 1), &image(1), &ended(Ending::LostPowerOrReset), 5).unwrap();
        assert!(last.pending.is_none() && last.failed.is_empty(), "{last:?}");
        let never = returned(&TrialEvidence::default());
        assert!(
            never.pending.is_none()
                && never.failed.is_empty()
                && never.history.last().unwrap().reason.is_some()
        );
        let asked = returned(&ended(Ending::Restarted { reason: "asked for".into() }));
        assert_eq!(tries_again(&asked, &booted(1, 1)), Some(image(2).root_hash.entry()));
        assert_eq!(tries_again(&asked, &booted(2, 1)), None, "it runs");
        assert_eq!(tries_again(&armed(), &booted(1, 1)), None, "it is armed");
    }

    #[test]
    fn only_a_trial_that_was_to_be_has_come_back() {
        let quiet = TrialEvidence::default();
        assert_eq!(
            settle(&armed(), &booted(2, 1), &image(2), &quiet, 5),
            None,
            "the trial itself is running"
        );
        let writing = Ledger {
            pending: armed()
                .pending
                .map(|pending| PendingUpgrade { stage: UpgradeStage::Writing { data_frames: 1 }, ..pending }),
            ..armed()
        };
        assert_eq!(settle(&writing, &booted(1, 1), &image(1), &quiet, 5), None, "it was never tried");
    }

    #[test]
    fn a_fallback_is_told_and_keeps_nothing() {
        let fallback = BootedImage { is_fallback: true, ..booted(1, 2) };
        let next = settle(&Ledger::default(), &fallback, &image(1), &TrialEvidence::default(), 5).unwrap();
        assert_eq!(next.history.last().map(|entry| entry.event), Some(HistoryEvent::FellBack));
        assert_eq!(settle(&next, &fallback, &image(1), &TrialEvidence::default(), 6), None, "once");
    }

    #[test]
    fn an_image_that_was_ordered_is_on_trial_also_by_an_agent_of_before() {
        assert!(was_ordered(&armed(), &image(2).root_hash) && !was_ordered(&armed(), &image(1).root_hash));
        let back = record_rollback(&Ledger::default(), &booted(2, 2), &image(1), Slot::A, 5);
        assert!(was_ordered(&back, &image(1).root_hash));
        assert!(!was_ordered(&Ledger::default(), &image(1).root_hash));
    }

    #[test]
    fn the_image_of_the_other_slot_is_the_fallback_unless_it_has_failed() {
        let ledger = Ledger { slot_a: Some(image(1)), slot_b: Some(image(2)), ..Ledger::default() };
        assert_eq!(fallback(&ledger, &booted(2, 2)), Some(image(1).root_hash.entry()));
        let failed = FailedImage {
            root_hash: image(1).root_hash,
            version: "1.0".into(),
            reason: "crash".into(),
            at: 0,
        };
        assert_eq!(fallback(&Ledger { failed: vec![failed], ..ledger.clone() }, &booted(2, 2)), None);
        assert_eq!(fallback(&armed(), &booted(1, 1)), Some(image(1).root_hash.entry()), "never one on trial");
        assert_eq!(fallback(&Ledger::default(), &booted(1, 1)), None);
    }

    #[test]
    fn what_is_found_belongs_to_the_boot_that_left_it() {
        let boot = |byte: u8, ending: Ending| Boot {
            id: byte.to_string(),
            mode: Mode::Main,
            slot: None,
            version: String::new(),
            root_hash: RootHash([byte; 32]),
            began: None,
            ending,
            console: Vec::new(),
            doubts: Vec::new(),
        };
        let armed = || boot(1, Ending::Restarted { reason: "upgrade".into() });
        let now = || boot(1, Ending::StillRunning);
        let found = Found { crash: Some("panic".into()), watchdog: true, ..Found::default() };
        let gather = |boots: Vec<Boot>| {
            let evidence = TrialEvidence::gather(None, &found, &BlackBox { boots }, &RootHash([2; 32]));
            (evidence.ending, evidence.crash.is_some(), evidence.watchdog)
        };
        let cut = || Ending::LostPowerOrReset;
        assert_eq!(gather(vec![armed(), boot(2, cut()), now()]), (Some(cut()), true, true));
        assert_eq!(gather(vec![armed(), now()]), (None, true, true), "it crashed before it was recorded");
        let other = vec![armed(), boot(2, cut()), boot(1, cut()), now()];
        assert_eq!(gather(other), (Some(cut()), false, false), "the old image crashed, and not the new one");
        let of_another =
            Found { failure: Some("no root".into()), failed_entry: Some("x.efi".into()), ..found.clone() };
        let evidence = TrialEvidence::gather(None, &of_another, &BlackBox::default(), &RootHash([2; 32]));
        assert_eq!(evidence.verdict, None);
    }

    #[test]
    fn a_restarted_agent_does_not_fail_an_image_that_waits_for_its_trial() {
        let waiting = BootedImage { armed_entry: Some(image(2).root_hash.entry()), ..booted(1, 1) };
        assert_eq!(settle(&armed(), &waiting, &image(1), &TrialEvidence::default(), 5), None);
        assert!(settle(&armed(), &booted(1, 1), &image(1), &TrialEvidence::default(), 5).is_some());
    }

    #[test]
    fn a_commit_that_was_cut_and_an_unknown_image_are_settled() {
        let next = settle(&armed(), &booted(2, 2), &image(2), &TrialEvidence::default(), 5).unwrap();
        assert!(next.pending.is_none() && next.slot_b == Some(image(2)));
        let adopted =
            settle(&Ledger::default(), &booted(1, 1), &image(1), &TrialEvidence::default(), 5).unwrap();
        assert_eq!(adopted.slot_a, Some(image(1)));
        assert_eq!(settle(&adopted, &booted(1, 1), &image(1), &TrialEvidence::default(), 5), None);
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
