//! A host between power-on and the end of a boot: init, early boot and agent, as far as they decide.

use edge_model::api::black_box::{BlackBox, Ending};
use edge_model::api::{BootState, Found};
use edge_model::cmdline::Mode;
use edge_model::ids::{RootHash, Slot};
use edge_model::ledger::{ImageRecord, Ledger, UpgradeStage};

use super::super::ladder::{self, LadderFacts, Step, Way};
use super::super::outcome::{self, TrialEvidence};
use super::super::recovery::Counters;
use super::super::steps::{self, BootStep};
use super::super::trial::{Judgement, Soak, TrialClock};
use super::super::{BootedImage, is_trial};
use super::firmware::{Firmware, Uki};
use crate::black_box::{self, Evidence};

/// What an image does when it is started, if nothing around it is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Behaviour {
    Good,
    /// The kernel dies or hangs before init.
    DiesBeforeInit,
    HangsBeforeInit,
    PanicsInInit,
    HangsInInit,
    FailsInEarly,
    /// The service manager hangs.
    HangsInUserSpace,
    NeverFinishes,
    Unhealthy,
    PanicsAfterItsFirstGoodMoment,
}

pub(super) const BEHAVIOURS: [Behaviour; 10] = [
    Behaviour::Good,
    Behaviour::DiesBeforeInit,
    Behaviour::HangsBeforeInit,
    Behaviour::PanicsInInit,
    Behaviour::HangsInInit,
    Behaviour::FailsInEarly,
    Behaviour::HangsInUserSpace,
    Behaviour::NeverFinishes,
    Behaviour::Unhealthy,
    Behaviour::PanicsAfterItsFirstGoodMoment,
];

/// Points of a boot at which the plug may be pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum At {
    Init,
    Early,
    UserSpace,
    FirstGoodMoment,
    /// After so many steps of a commit.
    Commit(u8),
}

pub(super) const CUTS: [At; 7] =
    [At::Init, At::Early, At::UserSpace, At::FirstGoodMoment, At::Commit(1), At::Commit(2), At::Commit(3)];

/// How a boot ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ended {
    /// It has lasted.
    Up(RootHash, BootState),
    Recovery,
    /// The machine starts again by itself, or somebody switches it off and on.
    Again,
    /// The firmware has nothing to start, and shows its own screen.
    FirmwareStops,
}

/// What was decided wrongly once, put back to see that the rules see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mistake {
    /// Early boot that fails asks for recovery, also on trial.
    EarlyAsksForRecovery,
    /// The ladder ends in recovery.
    LadderEndsInRecovery,
    /// A loader without images offers the firmware's set-up.
    LoaderOffersFirmware,
    /// A boot without its root is not counted on.
    RootIsNotCounted,
    /// The previous image is committed when it comes up.
    FallbackIsATrial,
}

#[derive(Debug, Clone)]
pub(super) struct Host {
    pub(super) mistake: Option<Mistake>,
    pub(super) firmware: Firmware,
    /// What the slots hold; nothing when the image does not match its tree.
    pub(super) slots: [Option<RootHash>; 2],
    pub(super) recovery_slot: bool,
    /// The disk shows up too late for init, so many times.
    pub(super) late_disk: u8,
    pub(super) oem: bool,
    pub(super) persistent: bool,
    pub(super) behaviours: Vec<(RootHash, Behaviour)>,
    /// A crash leaves a record, and the watchdog tells its reset.
    pub(super) leaves_evidence: bool,
    crashed: bool,
    by_watchdog: bool,
    /// What is on `/oem`.
    pub(super) ledger: Ledger,
    pub(super) black_box: BlackBox,
    verdict: Option<String>,
    pub(super) power_ons: u32,
}

impl Host {
    pub(super) fn new(firmware: Firmware, slots: [Option<RootHash>; 2], ledger: Ledger) -> Self {
        Self {
            mistake: None,
            firmware,
            slots,
            recovery_slot: true,
            late_disk: 0,
            oem: true,
            persistent: true,
            behaviours: Vec::new(),
            leaves_evidence: true,
            crashed: false,
            by_watchdog: false,
            ledger,
            black_box: BlackBox::default(),
            verdict: None,
            power_ons: 0,
        }
    }

    fn behaviour(&self, image: &RootHash) -> Behaviour {
        let known = self.behaviours.iter().find(|(known, _)| known == image);
        known.map_or(Behaviour::Good, |(_, behaviour)| *behaviour)
    }

    fn crash(&mut self) -> Ended {
        self.crashed = self.leaves_evidence;
        Ended::Again
    }

    fn hang(&mut self) -> Ended {
        self.by_watchdog = self.leaves_evidence;
        Ended::Again
    }

    /// One boot. `cut` pulls the plug there.
    pub(super) fn boot(&mut self, cut: Option<At>) -> Ended {
        self.power_ons += 1;
        let offers = self.mistake == Some(Mistake::LoaderOffersFirmware);
        if offers && self.firmware.main.ukis.is_empty() && !self.firmware.main.unreadable {
            return Ended::FirmwareStops;
        }
        match self.firmware.power_on() {
            None => Ended::FirmwareStops,
            Some(Uki::Unstartable | Uki::Rotten) => Ended::Again,
            Some(Uki::Recovery) => self.boot_recovery(),
            Some(Uki::Main(image)) => self.boot_main(image, cut),
        }
    }

    fn boot_recovery(&mut self) -> Ended {
        if !self.recovery_slot {
            return Ended::Again;
        }
        self.firmware.set(|variables| {
            variables.counters = variables.counters.in_recovery();
            variables.reason = None;
        });
        (self.crashed, self.by_watchdog) = (false, false);
        Ended::Recovery
    }

    fn facts(&self, image: RootHash) -> LadderFacts {
        let variables = &self.firmware.variables;
        LadderFacts {
            mode: Mode::Main,
            points: variables.counters.points,
            booted: image,
            default: variables.default.clone(),
            fallback: variables.fallback.clone(),
        }
    }

    fn boot_main(&mut self, image: RootHash, cut: Option<At>) -> Ended {
        let behaviour = self.behaviour(&image);
        match behaviour {
            Behaviour::DiesBeforeInit => return Ended::Again,
            // Nothing watches yet: somebody has to switch it off and on.
            Behaviour::HangsBeforeInit => return Ended::Again,
            _ => {}
        }
        let mut facts = self.facts(image);
        if self.crashed || self.by_watchdog {
            facts = facts.after_a_crash();
        }
        let points = facts.begun();
        let counted = self.firmware.set(|variables| variables.counters.points = points);
        if cut == Some(At::Init) {
            return Ended::Again;
        }
        let step = match self.mistake {
            Some(Mistake::LadderEndsInRecovery) if facts.points >= ladder::ROUND_FROM => {
                Step::Recovery(Way::Firmware)
            }
            _ => facts.step(),
        };
        match step {
            Step::TryEntry(entry) if counted => {
                self.firmware.set(|variables| variables.one_shot = Some(entry));
                return Ended::Again;
            }
            Step::Recovery(way) if counted => {
                self.firmware.ask_for_recovery(way);
                return Ended::Again;
            }
            _ => {}
        }
        match behaviour {
            Behaviour::PanicsInInit => return self.crash(),
            Behaviour::HangsInInit => return self.hang(),
            _ => {}
        }
        let late = self.late_disk > 0;
        self.late_disk = self.late_disk.saturating_sub(1);
        let slot = self.slots.iter().position(|held| *held == Some(image));
        let Some(slot) = slot.filter(|_| !late) else {
            if self.mistake == Some(Mistake::RootIsNotCounted) {
                self.firmware.set(|variables| variables.counters.points = facts.points);
                return Ended::Again;
            }
            return self.cannot_go_on(&facts, "no root");
        };
        self.early(&facts, if slot == 0 { Slot::A } else { Slot::B }, cut)
    }

    fn cannot_go_on(&mut self, facts: &LadderFacts, why: &str) -> Ended {
        let points = facts.cannot_go_on(self.firmware.variables.counters.points);
        self.firmware.set(|variables| {
            variables.counters.points = points;
            variables.reason = Some((facts.booted.entry(), why.to_owned()));
        });
        Ended::Again
    }

    fn early(&mut self, facts: &LadderFacts, slot: Slot, cut: Option<At>) -> Ended {
        let reason = self.firmware.variables.reason.take();
        if !self.oem {
            return self.cannot_go_on(facts, "no /oem");
        }
        let found = Found {
            failed_entry: reason.as_ref().map(|(entry, _)| entry.to_string()),
            failure: reason.map(|(_, why)| why),
            crash: std::mem::take(&mut self.crashed).then(|| "Kernel panic".to_owned()),
            watchdog: std::mem::take(&mut self.by_watchdog),
        };
        // Few are looked at; to carry them all costs the model its speed.
        let surplus = self.black_box.boots.len().saturating_sub(6);
        self.black_box.boots.drain(..surplus);
        let evidence = Evidence { crashes: found.crash.iter().cloned().collect(), watchdog: found.watchdog };
        let boot = black_box::boot_of(&self.power_ons.to_string(), facts.booted, slot);
        self.black_box = black_box::begin(std::mem::take(&mut self.black_box), boot, &evidence);
        if cut == Some(At::Early) {
            return Ended::Again;
        }
        if self.behaviour(&facts.booted) == Behaviour::FailsInEarly || !self.persistent {
            if self.mistake == Some(Mistake::EarlyAsksForRecovery) {
                self.firmware.ask_for_recovery(Way::Firmware);
                return Ended::Again;
            }
            return self.cannot_go_on(facts, "early boot failed");
        }
        let booted = BootedImage {
            mode: Mode::Main,
            root_hash: facts.booted,
            slot: Some(slot),
            is_fallback: facts.is_fallback() && self.mistake != Some(Mistake::FallbackIsATrial),
            default_entry: self.firmware.variables.default.clone().or(self.firmware.main.configured.clone()),
            armed_entry: self.firmware.variables.one_shot.clone(),
        };
        self.agent(&booted, found, cut)
    }

    fn agent(&mut self, booted: &BootedImage, found: Found, cut: Option<At>) -> Ended {
        if cut == Some(At::UserSpace) {
            return Ended::Again;
        }
        let behaviour = self.behaviour(&booted.root_hash);
        if behaviour == Behaviour::HangsInUserSpace {
            return self.hang();
        }
        let pending = self.ledger.pending.as_ref().map(|pending| pending.image.root_hash);
        let evidence = pending.map_or_else(TrialEvidence::default, |image| {
            TrialEvidence::gather(self.verdict.clone(), &found, &self.black_box, &image)
        });
        let image = image_record(booted.root_hash);
        if let Some(settled) = outcome::settle(&self.ledger, booted, &image, &evidence, 0) {
            self.ledger = settled;
        }
        if booted.state() == BootState::Committed {
            self.verdict = None;
        }
        if matches!(behaviour, Behaviour::Good | Behaviour::PanicsAfterItsFirstGoodMoment)
            && cut == Some(At::FirstGoodMoment)
        {
            return Ended::Again;
        }
        if behaviour == Behaviour::PanicsAfterItsFirstGoodMoment {
            return self.crash();
        }
        match booted.state() {
            BootState::Trial => self.on_trial(booted, behaviour, cut),
            state => self.lasted(booted, state),
        }
    }

    /// Looks every ten seconds until the clock says what follows.
    fn on_trial(&mut self, booted: &BootedImage, behaviour: Behaviour, cut: Option<At>) -> Ended {
        let mut clock =
            TrialClock { now: 30, deadline: 600, last_sign: 30, finished: None, soak: Soak::new(120) };
        loop {
            clock.soak.looked(clock.now, behaviour == Behaviour::Good);
            if behaviour != Behaviour::NeverFinishes {
                clock.finished.get_or_insert(clock.now);
            }
            match clock.judge() {
                Judgement::GoesOn => clock.now += 10,
                Judgement::Commit => return self.commit(booted, cut),
                Judgement::GiveUp => {
                    self.verdict = Some("it is not healthy".into());
                    return self.restart("the image on trial is not healthy");
                }
            }
        }
    }

    fn restart(&mut self, reason: &str) -> Ended {
        let ending = Ending::Restarted { reason: reason.to_owned() };
        let id = self.power_ons.to_string();
        self.black_box = black_box::end(std::mem::take(&mut self.black_box), &id, ending);
        Ended::Again
    }

    fn commit(&mut self, booted: &BootedImage, cut: Option<At>) -> Ended {
        let mut done = 0;
        for step in steps::commit(booted, true) {
            let taken = self.perform(step);
            done += 1;
            if cut == Some(At::Commit(done)) {
                return Ended::Again;
            }
            if !taken {
                // It is tried again until its time is over.
                self.verdict = Some("it could not be committed".into());
                return self.restart("the image on trial could not be committed");
            }
        }
        self.ledger = outcome::record_commit(&self.ledger, booted, "", 0);
        self.lasted(booted, BootState::Committed)
    }

    fn perform(&mut self, step: BootStep) -> bool {
        match step {
            BootStep::SetFallback(entry) => self.firmware.set(|variables| variables.fallback = Some(entry)),
            BootStep::SetDefault(entry) => self.firmware.set(|variables| variables.default = Some(entry)),
            BootStep::TryOnce(entry) => self.firmware.set(|variables| variables.one_shot = Some(entry)),
            BootStep::SetConfigured(entry) => {
                self.firmware.main.configured = Some(entry);
                true
            }
        }
    }

    fn lasted(&mut self, booted: &BootedImage, state: BootState) -> Ended {
        self.firmware.set(|variables| variables.counters = Counters::default());
        if let Some(entry) = outcome::tries_again(&self.ledger, booted)
            && self.perform(BootStep::TryOnce(entry))
            && let Some(pending) = &mut self.ledger.pending
        {
            pending.stage = UpgradeStage::Armed;
        }
        Ended::Up(booted.root_hash, state)
    }

    /// The image whose entry is the default, if it has one.
    pub(super) fn is_default(&self, image: &RootHash) -> bool {
        !is_trial(image, self.firmware.variables.default.as_ref().or(self.firmware.main.configured.as_ref()))
    }
}

pub(super) fn image_record(root_hash: RootHash) -> ImageRecord {
    ImageRecord {
        name: "edge".into(),
        version: format!("{}.0", root_hash.0[0]),
        root_hash,
        created: 0,
        data_blocks: 10,
        signed: true,
    }
}
