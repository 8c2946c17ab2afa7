use super::*;

const RULES: Rules = Rules { deadline: 600, soak: 120 };

fn at(now: u64, look: Look) -> Facts {
    Facts {
        now,
        look,
        missing: None,
        is_committed: false,
        not_committed_because: None,
        configuration_is_in_use: true,
        at_work: false,
        signs: None,
    }
}

fn ill() -> Look {
    Look::Unhealthy(vec!["a.service has failed".into()])
}

/// Looks until something is decided about the trial; the seconds that it took.
fn until_decided(care: &mut BootCare, facts: impl Fn(u64) -> Facts) -> (u64, Step) {
    for now in 30..10_000 {
        let turn = care.decide(&facts(now));
        let decision = turn.steps.iter().find(|step| matches!(step, Step::Commit | Step::GiveUp(_)));
        if let Some(decision) = decision {
            return (now, decision.clone());
        }
        turn.steps.iter().for_each(|step| care.done(step));
    }
    panic!("a trial without an end");
}

#[test]
fn a_healthy_image_is_kept_after_its_soak_and_told_as_healthy_after_the_trial() {
    let mut care = BootCare::new(RULES, true, 20);
    let (now, decision) = until_decided(&mut care, |now| at(now, Look::Healthy));
    assert_eq!((now, decision), (150, Step::Commit));
    // The next look finds it committed.
    let committed = Facts { is_committed: true, ..at(151, Look::Healthy) };
    let turn = care.decide(&committed);
    assert_eq!(turn, Turn { steps: vec![Step::EndTrial], rest: Rest::Milliseconds(0) });
    // What ends the trial from outside could not be stopped: nothing else is done before that.
    assert_eq!(care.decide(&committed).steps, [Step::EndTrial]);
    care.done(&Step::EndTrial);
    let turn = care.decide(&committed);
    assert_eq!(turn.steps, [Step::SayHealthy, Step::Show(Health::Healthy), Step::HasLasted]);
    care.done(&Step::HasLasted);
    assert_eq!(care.decide(&committed).steps, [Step::Show(Health::Healthy), Step::KeepConfiguration]);
    let changed = Facts { configuration_is_in_use: false, ..committed.clone() };
    assert_eq!(care.decide(&changed).steps, [Step::Show(Health::Healthy)], "no boot was started with it");
    care.done(&Step::KeepConfiguration);
    assert_eq!(care.decide(&committed).steps, [Step::Show(Health::Healthy)], "once a boot");
}

#[test]
fn an_image_that_is_not_healthy_has_its_whole_chance_and_no_more() {
    let mut care = BootCare::new(RULES, true, 20);
    let (now, decision) = until_decided(&mut care, |now| at(now, ill()));
    assert_eq!((now, decision), (601, Step::GiveUp("a.service has failed".into())));
    let mut care = BootCare::new(RULES, true, 20);
    let missing = |now| Facts { missing: Some("the cluster is starting".into()), ..at(now, Look::Healthy) };
    let (now, decision) = until_decided(&mut care, missing);
    assert_eq!((now, decision), (601, Step::GiveUp("the cluster is starting".into())));
}

#[test]
fn a_boot_that_moves_has_more_time_and_is_told_as_slow_once() {
    let mut care = BootCare::new(RULES, true, 20);
    assert!(!care.wants_signs(30) && care.wants_signs(480));
    let waits = |now| Facts {
        signs: Some(Signs { waits_for: vec![format!("unit-{}", now / 100)], moved: 0 }),
        ..at(now, Look::StillStarting)
    };
    let mut slow = 0;
    for now in 30..2400 {
        let turn = care.decide(&waits(now));
        assert!(!turn.steps.iter().any(|step| matches!(step, Step::GiveUp(_))), "at {now}");
        slow += turn.steps.iter().filter(|step| **step == Step::TellSlow).count();
    }
    assert_eq!(slow, 1);
    let Step::GiveUp(why) = until_decided(&mut care, |now| waits(now + 2400)).1 else { panic!("kept") };
    assert_eq!(why, "its boot did not finish in time, waiting for unit-24");
}

#[test]
fn one_that_nobody_can_commit_is_given_up_in_the_end() {
    let mut care = BootCare::new(RULES, true, 20);
    let refused = |now| Facts { not_committed_because: Some("no space".into()), ..at(now, Look::Healthy) };
    let mut last = None;
    for now in 30..2000 {
        let turn = care.decide(&refused(now));
        if let Some(Step::GiveUp(why)) = turn.steps.first() {
            last = Some((now, why.clone()));
            break;
        }
    }
    assert_eq!(last, Some((721, "it could not be committed: no space".into())));
}

#[test]
fn a_boot_has_lasted_after_its_soak_and_not_before() {
    let mut care = BootCare::new(RULES, false, 20);
    let turn = care.decide(&at(40, Look::Healthy));
    assert_eq!(turn.steps, [Step::SayHealthy, Step::Show(Health::Healthy)]);
    assert_eq!(turn.rest, Rest::Seconds(120), "looked at when it has lasted, and not minutes later");
    assert!(care.decide(&at(160, Look::Healthy)).steps.contains(&Step::HasLasted));
    care.failed(&Step::HasLasted);
    assert!(!care.decide(&at(161, Look::Healthy)).steps.contains(&Step::HasLasted), "not at once");
    assert!(care.decide(&at(281, Look::Healthy)).steps.contains(&Step::HasLasted));
    care.done(&Step::HasLasted);
    assert_eq!(care.decide(&at(282, Look::Healthy)).rest, Rest::Seconds(300));
}

#[test]
fn a_boot_that_never_finishes_lasts_too_and_one_that_is_ill_as_well() {
    let mut care = BootCare::new(RULES, false, 20);
    assert_eq!(care.decide(&at(40, Look::StillStarting)).steps, [Step::AwaitStart]);
    assert_eq!(
        care.decide(&at(200, Look::StillStarting)).steps,
        [Step::SayStillStarting, Step::AwaitStart],
        "said once"
    );
    assert_eq!(care.decide(&at(601, Look::StillStarting)).steps, [Step::AwaitStart]);
    assert!(care.decide(&at(721, Look::StillStarting)).steps.contains(&Step::HasLasted));
    let mut care = BootCare::new(RULES, false, 20);
    let said = care.decide(&at(40, ill())).steps;
    assert!(matches!(said[..], [Step::SayUnhealthy(_), Step::Show(Health::Unhealthy(_))]));
    assert!(matches!(care.decide(&at(50, ill())).steps[..], [Step::Show(_)]), "said when it is news");
    assert!(care.decide(&at(160, ill())).steps.contains(&Step::HasLasted));
}

#[test]
fn kernels_are_looked_at_once_and_not_beside_work() {
    let mut care = BootCare::new(RULES, false, 20);
    let looks = |care: &mut BootCare, facts| {
        let looks = care.decide(&facts).steps.contains(&Step::MendKernels);
        if looks {
            care.done(&Step::MendKernels);
        }
        looks
    };
    assert!(!looks(&mut care, at(599, Look::Healthy)));
    assert!(!looks(&mut care, Facts { at_work: true, ..at(600, Look::Healthy) }));
    assert!(!looks(&mut care, at(601, ill())));
    assert!(looks(&mut care, at(700, Look::Healthy)) && !looks(&mut care, at(1000, Look::Healthy)));
}

#[test]
fn what_ends_a_trial_without_the_agent_waits_for_an_agent_that_works() {
    let deadline = Deadline { ends: 660, number: 0 };
    assert_eq!(deadline.put_off(30, 60), None);
    assert_eq!(deadline.put_off(540, 60), Some(240));
    assert!(Deadline { ends: 0, number: 0 }.put_off(10, 0).is_some(), "none is armed");
}
