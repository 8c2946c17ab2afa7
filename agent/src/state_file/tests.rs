use edge_host::faults::{Fault, play};
use edge_model::ledger::UpgradeStage;

use super::*;

/// Any change.
fn touch(store: &StateFile<Ledger>, source: &str) {
    store
        .change(|ledger| {
            ledger.last_source = Some(source.into());
            Ok(())
        })
        .unwrap();
}

#[test]
fn a_damaged_copy_gives_way_to_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let store = StateFile::<Ledger>::new(folder.path());
    assert_eq!(store.load(), Ledger::default());
    for generation in 1..=5 {
        touch(&store, &generation.to_string());
        assert_eq!(store.load().generation, generation);
    }
    let newest = store.copy(1);
    let whole = std::fs::read(&newest).unwrap();
    // Cut short, emptied, or with one bit changed: the generation before is used.
    for damage in [&whole[..whole.len() / 2], &[], b"sha256:00\n{}"] {
        std::fs::write(&newest, damage).unwrap();
        assert_eq!(store.load().generation, 4);
    }
    std::fs::write(&newest, &whole).unwrap();
    assert_eq!(store.load().generation, 5);
}

#[test]
fn a_document_of_which_nothing_can_be_read_is_not_written_over_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let store = StateFile::<BTreeMap<String, KeptAccount>>::new(folder.path());
    std::fs::write(store.only(), b"{ half").unwrap();
    let change = |accounts: &mut BTreeMap<String, KeptAccount>| {
        accounts.insert("site".into(), KeptAccount::default());
        Ok(())
    };
    assert!(store.read().is_err() && store.change(change).is_err());
    assert_eq!(std::fs::read(store.only()).unwrap(), b"{ half");
    store.change_or_begin(change).unwrap();
    assert_eq!(store.read().unwrap().len(), 1);
}

#[test]
fn changes_of_several_threads_are_all_kept() {
    let folder = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for number in 0..8_u64 {
            let store = StateFile::<Member>::new(folder.path());
            scope.spawn(move || {
                store
                    .change(|member| {
                        member.created |= 1 << number;
                        Ok(())
                    })
                    .unwrap();
            });
        }
    });
    assert_eq!(StateFile::<Member>::new(folder.path()).load().created, 0xff);
}

#[test]
fn a_change_that_fails_or_changes_nothing_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = StateFile::<Member>::new(folder.path());
    let failed = store.change(|member| {
        member.created = 7;
        Err::<(), _>(Error::internal("no"))
    });
    assert!(failed.is_err() && store.load() == Member::default());
    store.change(|_| Ok(())).unwrap();
    assert!(!store.copy(0).exists() && !store.copy(1).exists());
}

/// What released agents have written is read, and written again without a loss.
#[test]
fn every_released_form_is_read() {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in [
        ("ledger-1.json", &include_bytes!("fixtures/ledger.json")[..]),
        ("member-1.json", include_bytes!("fixtures/member.json")),
    ] {
        std::fs::write(folder.path().join(name), sealed::seal(bytes)).unwrap();
    }
    for (name, bytes) in [
        ("black-box.json", &include_bytes!("fixtures/black-box.json")[..]),
        ("network.json", include_bytes!("fixtures/network.json")),
        ("operations.json", include_bytes!("fixtures/operations.json")),
        ("events.json", include_bytes!("fixtures/events.json")),
        ("accounts.json", include_bytes!("fixtures/accounts.json")),
    ] {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    let ledger = StateFile::<Ledger>::new(folder.path()).read().unwrap();
    assert_eq!((ledger.generation, ledger.history.len(), ledger.failed.len()), (5, 2, 1));
    assert_eq!(ledger.pending.unwrap().stage, UpgradeStage::Writing { data_frames: 12 });
    let member = StateFile::<Member>::new(folder.path()).read().unwrap();
    assert_eq!((member.node.as_str(), member.format), ("shop-17", 1));
    let ring = StateFile::<BlackBox>::new(folder.path()).read().unwrap();
    assert_eq!(ring.boots.len(), 3);
    let memory = StateFile::<Memory>::new(folder.path()).read().unwrap();
    assert!(memory.proven.is_some() && memory.trial.unwrap().boots == 1);
    let accounts = StateFile::<BTreeMap<String, KeptAccount>>::new(folder.path()).read().unwrap();
    assert!(accounts.contains_key("site"));
    let operations = StateFile::<KeptOperations>::new(folder.path()).read().unwrap().operations;
    assert!(operations.len() == 2 && !operations[0].is_running() && operations[1].is_running());
    let events = StateFile::<KeptEvents>::new(folder.path()).read().unwrap();
    assert!(
        events.newest == 12_884_901_889
            && events.events[0].kind.is_kept()
            && events.events[2].sequence == 12_884_901_889
    );
}

/// The image that a host comes back to reads what the newer one has written, and takes nothing away from it.
#[test]
fn an_older_image_keeps_what_it_does_not_know() {
    let folder = tempfile::tempdir().unwrap();
    let store = StateFile::<Ledger>::new(folder.path());
    let newer = br#"{"generation":8,"format":2,"slots":{"c":1},"history":[],"failed":[],"pending":null}"#;
    std::fs::write(store.copy(0), sealed::seal(newer)).unwrap();
    touch(&store, "stick:");
    let value = store.raw(&store.copy(1)).unwrap().unwrap();
    assert_eq!(
        (&value["slots"]["c"], &value["format"], &value["generation"]),
        (&1.into(), &2.into(), &9.into())
    );
    assert_eq!(value["last_source"], "stick:");
}

/// Every effect of a change fails once, and once everything stops there. What is read then is the document of before or of
/// after, and the same change done again makes it the one of after.
fn survives<T: Kept + std::fmt::Debug>(change: impl Fn(&mut T)) {
    const IO_ERROR: i32 = 5;
    let folder = tempfile::tempdir().unwrap();
    let store = StateFile::<T>::new(folder.path());
    let apply = || {
        store.change(|document| {
            change(document);
            Ok(())
        })
    };
    // Without its generation, which tells how often it was written.
    let content = |document: &T| {
        let mut value = serde_json::to_value(document).unwrap();
        value.as_object_mut().unwrap().remove(GENERATION);
        value
    };
    let mut after = T::default();
    change(&mut after);
    let effects = play(None, apply).effects;
    assert!(effects.len() >= 5, "{effects:?}");
    for (at, effect) in effects.iter().enumerate() {
        for fault in [Fault::Fails(IO_ERROR), Fault::PowerGoes] {
            for file in std::fs::read_dir(folder.path()).unwrap() {
                std::fs::remove_file(file.unwrap().path()).unwrap();
            }
            let played = play(Some((at, fault)), apply);
            assert!(!matches!(played.outcome, Some(Ok(()))), "{fault:?} at {effect}");
            let seen = content(&store.read().unwrap());
            assert!(seen == content(&T::default()) || seen == content(&after), "{fault:?} at {effect}");
            apply().unwrap();
            assert_eq!(content(&store.read().unwrap()), content(&after), "{fault:?} at {effect}");
        }
    }
}

#[test]
fn a_change_of_any_document_survives_a_fault_at_every_effect() {
    survives::<Ledger>(|ledger| ledger.last_source = Some("stick:".into()));
    survives::<Member>(|member| member.node = "shop-17".into());
    survives::<Memory>(|memory| memory.rejected = Some(edge_planner::network_trial::Reach::default()));
    survives::<BTreeMap<String, KeptAccount>>(|all| drop(all.insert("site".into(), KeptAccount::default())));
    survives::<BlackBox>(|ring| {
        let text = include_str!("fixtures/black-box.json");
        *ring = serde_json::from_str(text).unwrap();
    });
}
