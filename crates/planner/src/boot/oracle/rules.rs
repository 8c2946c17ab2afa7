//! What has to hold in every state that the model can be in.

use edge_model::api::BootState;
use edge_model::ids::{Entry, RootHash, Slot};
use edge_model::ledger::{Ledger, PendingUpgrade, UpgradeStage};

use super::firmware::{Esp, Firmware, Quirks, Uki, Variables};
use super::host::{At, BEHAVIOURS, Behaviour, CUTS, Ended, Host, Mistake, image_record};

const OLD: RootHash = RootHash([1; 32]);
const NEW: RootHash = RootHash([2; 32]);
/// More boots than any way out may take.
const MOST_BOOTS: u32 = 60;

/// A committed host with an older image in its other slot.
fn host() -> Host {
    let mut main = Esp { loaders: 2, configured: Some(NEW.entry()), ..Esp::default() };
    for image in [OLD, NEW] {
        main.ukis.insert(image.entry(), Uki::Main(image));
    }
    main.ukis.insert(Entry::recovery_beside(), Uki::Recovery);
    let mut recovery = Esp { loaders: 1, configured: Some(Entry::recovery()), ..Esp::default() };
    recovery.ukis.insert(Entry::recovery(), Uki::Recovery);
    let variables =
        Variables { default: Some(NEW.entry()), fallback: Some(OLD.entry()), ..Variables::default() };
    let direct = Some(OLD.entry());
    let firmware = Firmware { quirks: Quirks::default(), variables, main, recovery, direct };
    let ledger =
        Ledger { slot_a: Some(image_record(OLD)), slot_b: Some(image_record(NEW)), ..Ledger::default() };
    Host::new(firmware, [Some(OLD), Some(NEW)], ledger)
}

/// The same while it is upgraded from the old image to the new one: that is armed.
fn armed() -> Host {
    let mut host = host();
    host.firmware.variables = Variables {
        default: Some(OLD.entry()),
        one_shot: Some(NEW.entry()),
        fallback: Some(OLD.entry()),
        ..Variables::default()
    };
    host.firmware.main.configured = Some(OLD.entry());
    host.ledger = Ledger {
        slot_a: Some(image_record(OLD)),
        pending: Some(PendingUpgrade {
            slot: Slot::B,
            image: image_record(NEW),
            source: String::new(),
            stage: UpgradeStage::Armed,
            tries: 0,
        }),
        ..Ledger::default()
    };
    host
}

/// Something that has gone wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    DefaultBehaves(Behaviour),
    DefaultUki(Uki),
    DefaultUkiGone,
    NoUkis,
    DefaultSlot,
    OtherSlot,
    MainEsp,
    FirstLoader,
    RecoveryEsp,
    RecoveryUki,
    RecoverySlot,
    IgnoresBootNext,
    FirmwareFull,
    Forgets,
    NoFallback,
    DefaultNamesNothing,
    LateDisk(u8),
    NoEvidence,
    Oem,
    Persistent,
    Points(u8),
}

fn faults() -> Vec<Fault> {
    let mut all = vec![
        Fault::None,
        Fault::DefaultUki(Uki::Unstartable),
        Fault::DefaultUki(Uki::Rotten),
        Fault::DefaultUkiGone,
        Fault::NoUkis,
        Fault::DefaultSlot,
        Fault::OtherSlot,
        Fault::MainEsp,
        Fault::FirstLoader,
        Fault::RecoveryEsp,
        Fault::RecoveryUki,
        Fault::RecoverySlot,
        Fault::IgnoresBootNext,
        Fault::FirmwareFull,
        Fault::Forgets,
        Fault::NoFallback,
        Fault::DefaultNamesNothing,
        Fault::LateDisk(1),
        Fault::LateDisk(8),
        Fault::NoEvidence,
        Fault::Oem,
        Fault::Persistent,
    ];
    all.extend(BEHAVIOURS.map(Fault::DefaultBehaves));
    all.extend((0..=u8::MAX).step_by(7).map(Fault::Points));
    all
}

fn spoil(host: &mut Host, fault: Fault, default: RootHash) {
    let firmware = &mut host.firmware;
    let slot = usize::from(default == NEW);
    match fault {
        Fault::None => {}
        Fault::DefaultBehaves(behaviour) => host.behaviours.push((default, behaviour)),
        Fault::DefaultUki(uki) => drop(firmware.main.ukis.insert(default.entry(), uki)),
        Fault::DefaultUkiGone => drop(firmware.main.ukis.remove(&default.entry())),
        Fault::NoUkis => firmware.main.ukis.clear(),
        Fault::DefaultSlot => host.slots[slot] = None,
        Fault::OtherSlot => host.slots[1 - slot] = None,
        Fault::MainEsp => firmware.main.unreadable = true,
        Fault::FirstLoader => firmware.main.loaders -= 1,
        Fault::RecoveryEsp => firmware.recovery.unreadable = true,
        Fault::RecoveryUki => drop(firmware.recovery.ukis.insert(Entry::recovery(), Uki::Unstartable)),
        Fault::RecoverySlot => host.recovery_slot = false,
        Fault::IgnoresBootNext => firmware.quirks.ignores_boot_next = true,
        Fault::FirmwareFull => firmware.quirks.refuses_writes = true,
        Fault::Forgets => firmware.quirks.forgets = true,
        Fault::NoFallback => (firmware.variables.fallback, firmware.direct) = (None, None),
        Fault::DefaultNamesNothing => firmware.variables.default = Some(RootHash([9; 32]).entry()),
        Fault::LateDisk(boots) => host.late_disk = boots,
        Fault::NoEvidence => host.leaves_evidence = false,
        Fault::Oem => host.oem = false,
        Fault::Persistent => host.persistent = false,
        Fault::Points(points) => firmware.variables.counters.points = points,
    }
}

/// Where a host comes to rest.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Rest {
    Up(RootHash, BootState),
    /// Recovery comes up again and again, and tries the normal system in between.
    Recovery,
    Stuck,
    Loop,
}

/// Lets a host go on until it rests. Recovery is left after its time, as it leaves itself.
fn rest(host: &mut Host) -> Rest {
    rest_within(host, 6)
}

fn rest_within(host: &mut Host, recoveries: u8) -> Rest {
    for _ in 0..recoveries {
        let mut ends = (0..MOST_BOOTS).map(|_| host.boot(None)).skip_while(|ended| *ended == Ended::Again);
        match ends.next() {
            Some(Ended::Up(image, state)) => return Rest::Up(image, state),
            Some(Ended::FirmwareStops) => return Rest::Stuck,
            Some(Ended::Recovery) => {}
            Some(Ended::Again) | None => return Rest::Loop,
        }
    }
    Rest::Recovery
}

/// A kernel that never comes to our init is beyond us, and firmware that keeps nothing cannot be told where to go.
fn beyond_us(fault: Fault) -> bool {
    matches!(
        fault,
        Fault::DefaultBehaves(Behaviour::DiesBeforeInit | Behaviour::HangsBeforeInit)
            | Fault::DefaultUki(Uki::Rotten)
    )
}

fn cannot_be_told(fault: Fault) -> bool {
    matches!(fault, Fault::FirmwareFull | Fault::Forgets)
}

type Verdict = Result<(), String>;

/// The page for people says how many states were walked, and not more.
fn the_page_says(rule: &str, states: usize) {
    let page = include_str!("../../../../../docs/power-cuts.md");
    let row = page.lines().find(|line| line.contains(rule)).unwrap_or_default();
    assert!(row.ends_with(&format!("| {states} |")), "docs/power-cuts.md: {rule}: {states} states\n{row}");
}

fn single_faults(mistake: Option<Mistake>) -> Result<usize, String> {
    let mut states = 0;
    for fault in faults().into_iter().filter(|fault| !beyond_us(*fault)) {
        let mut host = host();
        host.mistake = mistake;
        states += 1;
        spoil(&mut host, fault, NEW);
        let rest = rest(&mut host);
        let broken = [Fault::Oem, Fault::Persistent, Fault::NoUkis, Fault::MainEsp].contains(&fault);
        match rest {
            Rest::Up(..) => {}
            Rest::Recovery if broken => {}
            rest => return Err(format!("{fault:?}: {rest:?}")),
        }
        if !host.is_default(&NEW) && fault != Fault::DefaultNamesNothing {
            return Err(format!("{fault:?}: something committed itself"));
        }
    }
    Ok(states)
}

#[test]
fn no_single_fault_is_the_end() {
    the_page_says("no single fault", single_faults(None).unwrap());
}

/// Nothing is left that could run, or that could be shown.
fn nothing_is_left(faults: [Fault; 2], rest: &Rest) -> bool {
    let has = |fault: Fault| faults.contains(&fault);
    let no_recovery = has(Fault::RecoveryEsp) || has(Fault::RecoveryUki) || has(Fault::RecoverySlot);
    let no_images = has(Fault::NoUkis) || has(Fault::MainEsp);
    // It goes round between images that cannot run and a recovery that is gone.
    let broken_data = (has(Fault::Oem) || has(Fault::Persistent)) && *rest == Rest::Loop;
    no_recovery && (no_images || broken_data)
}

fn two_faults(mistake: Option<Mistake>) -> Result<usize, String> {
    let mut states = 0;
    for one in faults() {
        for other in faults() {
            if [one, other].into_iter().any(|fault| beyond_us(fault) || cannot_be_told(fault)) {
                continue;
            }
            let mut host = host();
            host.mistake = mistake;
            spoil(&mut host, one, NEW);
            spoil(&mut host, other, NEW);
            let rest = rest(&mut host);
            states += 1;
            if !matches!(rest, Rest::Up(..) | Rest::Recovery) && !nothing_is_left([one, other], &rest) {
                return Err(format!("{one:?} and {other:?}: {rest:?}"));
            }
        }
    }
    Ok(states)
}

#[test]
fn no_two_faults_are_the_end_while_a_slot_and_its_uki_are_whole() {
    the_page_says("nor do any two", two_faults(None).unwrap());
}

fn bad_images(mistake: Option<Mistake>) -> Verdict {
    for behaviour in BEHAVIOURS.into_iter().filter(|behaviour| *behaviour != Behaviour::Good) {
        for leaves_evidence in [true, false] {
            let mut host = armed();
            host.mistake = mistake;
            host.leaves_evidence = leaves_evidence;
            host.behaviours.push((NEW, behaviour));
            let ends = [host.boot(None), host.boot(None)];
            if ends != [Ended::Again, Ended::Up(OLD, BootState::Committed)] || !host.is_default(&OLD) {
                return Err(format!("{behaviour:?}: {ends:?}"));
            }
            let last = host.ledger.history.last();
            if !last.is_some_and(|last| last.root_hash == NEW && last.reason.is_some()) {
                return Err(format!("{behaviour:?}: nobody says why: {last:?}"));
            }
            let silent = matches!(behaviour, Behaviour::DiesBeforeInit | Behaviour::HangsBeforeInit);
            if leaves_evidence && !silent && host.ledger.failed.len() != 1 {
                return Err(format!("{behaviour:?} is not remembered: {last:?}"));
            }
        }
    }
    Ok(())
}

#[test]
fn a_bad_image_leaves_the_old_one_within_two_power_ons_and_says_why() {
    bad_images(None).unwrap();
}

#[test]
fn the_rules_see_what_was_wrong_once() {
    bad_images(Some(Mistake::EarlyAsksForRecovery)).unwrap_err();
    two_faults(Some(Mistake::LadderEndsInRecovery)).unwrap_err();
    single_faults(Some(Mistake::LoaderOffersFirmware)).unwrap_err();
    single_faults(Some(Mistake::RootIsNotCounted)).unwrap_err();
    single_faults(Some(Mistake::FallbackIsATrial)).unwrap_err();
}

#[test]
fn a_bad_image_that_leaves_no_trace_is_given_up_after_three_tries() {
    for behaviour in
        [Behaviour::HangsInUserSpace, Behaviour::HangsInInit, Behaviour::PanicsAfterItsFirstGoodMoment]
    {
        let mut host = armed();
        host.leaves_evidence = false;
        host.behaviours.push((NEW, behaviour));
        let mut trials = 0;
        for _ in 0..20 {
            if host.boot(None) == Ended::Again {
                trials += 1;
            }
        }
        assert!((1..=3).contains(&trials), "{behaviour:?}: {trials} trials");
        assert!(host.ledger.pending.is_none(), "{behaviour:?}");
    }
}

/// Every plan of up to three cuts, one for a boot.
fn cuts() -> Vec<Vec<Option<At>>> {
    let points = || std::iter::once(None).chain(CUTS.into_iter().map(Some));
    let mut plans = Vec::new();
    for one in points() {
        for two in points() {
            for three in points() {
                plans.push(vec![one, two, three]);
            }
        }
    }
    plans
}

#[test]
fn a_good_image_is_never_condemned_by_cuts_and_the_upgrade_is_not_lost() {
    let mut states = 0;
    for plan in cuts() {
        for leaves_evidence in [true, false] {
            states += 1;
            let mut host = armed();
            host.leaves_evidence = leaves_evidence;
            for cut in &plan {
                host.boot(*cut);
            }
            let end = rest(&mut host);
            assert!(matches!(end, Rest::Up(_, BootState::Committed)), "{plan:?}: {end:?}");
            assert!(host.ledger.failed.is_empty(), "{plan:?}: {:?}", host.ledger.failed);
            let Rest::Up(image, _) = end else { unreachable!() };
            assert!(host.is_default(&image));
            let told = host.ledger.history.last().is_some_and(|entry| entry.root_hash == NEW);
            assert!(image == NEW || told, "{plan:?}: the upgrade was lost without a word");
        }
    }
    the_page_says("a good image whose trial is cut", states);
}

/// An upgrade on a machine with a fault, of an image of any behaviour, with the plug pulled in its first two boots.
fn upgrade_in_trouble(
    fault: Fault,
    behaviour: Behaviour,
    cuts: &[Option<At>],
    leaves_evidence: bool,
) -> Verdict {
    let mut host = armed();
    spoil(&mut host, fault, OLD);
    host.leaves_evidence &= leaves_evidence;
    host.behaviours.push((NEW, behaviour));
    for cut in cuts {
        host.boot(*cut);
    }
    let end = rest_within(&mut host, 2);
    let told = || format!("{fault:?}, {behaviour:?}, {cuts:?}, evidence {leaves_evidence}: {end:?}");
    match end {
        Rest::Up(..) | Rest::Recovery => {}
        // What keeps the old image from running too, and cannot be told where to go, is beyond us.
        Rest::Loop if cannot_be_told(fault) => {}
        Rest::Stuck | Rest::Loop => return Err(told()),
    }
    if behaviour == Behaviour::Good && !host.ledger.failed.is_empty() && !speaks_against_a_good_image(fault) {
        return Err(format!("{}: a good image is condemned", told()));
    }
    let is_default = host.is_default(&NEW) && host.firmware.variables.default.is_some();
    if is_default && behaviour != Behaviour::Good && !matches!(fault, Fault::DefaultNamesNothing) {
        return Err(format!("{}: a bad image was committed", told()));
    }
    Ok(())
}

/// Faults in which an image that is good by itself gives itself up, or cannot be told from one that does.
fn speaks_against_a_good_image(fault: Fault) -> bool {
    matches!(
        fault,
        Fault::Oem
            | Fault::Persistent
            | Fault::LateDisk(_)
            | Fault::OtherSlot
            | Fault::FirmwareFull
            | Fault::DefaultBehaves(_)
    )
}

#[test]
fn an_upgrade_in_trouble_ends_in_a_system_that_runs_or_in_recovery() {
    let mut states = 0;
    let points = || std::iter::once(None).chain(CUTS.into_iter().map(Some));
    // An upgrade begins on a host that has lasted, with few points.
    let can_be = |fault: &Fault| !beyond_us(*fault) && !matches!(fault, Fault::Points(7..));
    for fault in faults().into_iter().filter(can_be) {
        for behaviour in BEHAVIOURS {
            // The loader takes what is left, which is the one that never comes to our init.
            let silent = matches!(behaviour, Behaviour::DiesBeforeInit | Behaviour::HangsBeforeInit);
            if silent && matches!(fault, Fault::DefaultUkiGone | Fault::DefaultNamesNothing) {
                continue;
            }
            for one in points() {
                for two in points() {
                    for leaves_evidence in [true, false] {
                        upgrade_in_trouble(fault, behaviour, &[one, two], leaves_evidence).unwrap();
                        states += 1;
                    }
                }
            }
        }
    }
    the_page_says("an upgrade on a machine with a fault", states);
}

#[test]
fn a_storm_of_cuts_never_changes_the_default() {
    for length in 0..40 {
        for cut in CUTS {
            let mut host = host();
            for _ in 0..length {
                host.boot(Some(cut));
            }
            let end = rest(&mut host);
            assert!(matches!(end, Rest::Up(..)), "{length} cuts at {cut:?}: {end:?}");
            assert!(host.is_default(&NEW), "{length} cuts at {cut:?} committed something");
            assert_eq!(host.boot(None), Ended::Up(NEW, BootState::Committed), "the default is tried again");
        }
    }
}

#[test]
fn a_default_that_stays_bad_gives_way_at_each_restart_and_is_never_replaced_silently() {
    let mut host = host();
    host.behaviours.push((NEW, Behaviour::PanicsAfterItsFirstGoodMoment));
    for _ in 0..3 {
        assert_eq!(rest(&mut host), Rest::Up(OLD, BootState::Fallback));
        assert!(host.is_default(&NEW));
    }
    assert!(
        host.ledger.history.iter().any(|entry| entry.event == edge_model::ledger::HistoryEvent::FellBack)
    );
}
