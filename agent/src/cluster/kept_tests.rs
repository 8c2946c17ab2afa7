//! Two images and one datastore, with the power going after every effect.

use super::*;
use edge_model::cluster::{Distribution, KubernetesVersions};
use edge_testkit::every_fault::with_every_fault;

struct Stand(tempfile::TempDir);

const A: RootHash = RootHash([1; 32]);
const B: RootHash = RootHash([2; 32]);
const BOTH: [RootHash; 2] = [A, B];

fn opening(root_hash: RootHash) -> Opening {
    let versions = KubernetesVersions {
        distribution: Distribution::Kubeadm,
        kubernetes: "v1.36.3".into(),
        etcd: Some("3.6.16".into()),
    };
    Opening { root_hash, versions }
}

fn in_force() -> InForce {
    InForce { root_hash: A, definition: "name: shop\n".into(), told: None }
}

impl Stand {
    fn new() -> Self {
        let stand = Self(tempfile::tempdir().unwrap());
        fs::create_dir_all(stand.places().data().join("snap")).unwrap();
        fs::create_dir(stand.0.path().join("kept")).unwrap();
        stand.write("of A");
        stand
    }

    fn places(&self) -> Places {
        Places { kept: self.0.path().join("kept"), datastore: self.0.path().join("etcd") }
    }

    fn write(&self, text: &str) {
        fs::write(self.places().data().join("snap/db"), text).unwrap();
    }

    fn read(&self) -> String {
        read(&self.places().data())
    }

    /// B has opened what A left, and made something.
    fn after_a_change() -> Self {
        let stand = Self::new();
        stand.places().keep(&opening(A), in_force(), 7).unwrap();
        stand.write("of B");
        stand
    }

    /// A has come back, on trial, and made something too.
    fn after_a_return() -> Self {
        let stand = Self::after_a_change();
        stand.places().restore(&A, &B).unwrap();
        stand.write("of A, again");
        stand
    }
}

fn read(folder: &Path) -> String {
    fs::read_to_string(folder.join("snap/db")).unwrap_or_default()
}

#[test]
fn data_is_kept_whole_or_not_at_all_whatever_fails() {
    let effects = with_every_fault(
        Stand::new,
        |stand| stand.places().keep(&opening(A), in_force(), 7),
        |stand, what| {
            assert_eq!(stand.read(), "of A", "{what}");
            if stand.places().held(&A).kept {
                assert_eq!(read(&stand.places().folder(&A).join(DATA)), "of A", "{what}");
            }
        },
        |stand| {
            let kept = stand.places().kept(&A).unwrap().unwrap();
            assert_eq!((kept.of, kept.in_force), (opening(A), in_force()));
        },
    );
    assert!(effects.len() > 10, "{effects:?}");
}

#[test]
fn a_return_that_is_cut_anywhere_is_done_again_or_undone_and_nothing_is_lost() {
    let is_somewhere = |stand: &Stand, what: &str| {
        let places = stand.places();
        let of_b = [places.data(), places.aside(&B)].iter().any(|place| read(place) == "of B");
        assert!(of_b && read(&places.folder(&A).join(DATA)) == "of A", "{what}");
    };
    with_every_fault(
        Stand::after_a_change,
        |stand| stand.places().restore(&A, &B).map(drop),
        |stand, what| is_somewhere(stand, what),
        |stand| {
            assert_eq!((stand.read().as_str(), read(&stand.places().aside(&B)).as_str()), ("of A", "of B"));
        },
    );
    // B is started instead, wherever the return was cut.
    let effects = edge_host::faults::play(None, || Stand::after_a_change().places().restore(&A, &B)).effects;
    for (at, effect) in effects.iter().enumerate() {
        let stand = Stand::after_a_change();
        let cut = Some((at, edge_host::faults::Fault::PowerGoes));
        let _ = edge_host::faults::play(cut, || stand.places().restore(&A, &B).map(drop));
        stand.places().take_back(&B).unwrap();
        assert_eq!(stand.read(), "of B", "cut at {effect}");
        // And A once more: what is kept for it is still there.
        stand.places().restore(&A, &B).unwrap();
        assert_eq!(stand.read(), "of A");
    }
}

#[test]
fn who_came_back_and_did_not_stay_gives_the_data_back() {
    with_every_fault(
        Stand::after_a_return,
        |stand| stand.places().take_back(&B),
        |stand, what| {
            let of_b = [stand.places().data(), stand.places().aside(&B)];
            assert!(of_b.iter().any(|place| read(place) == "of B"), "{what}");
        },
        |stand| {
            assert_eq!(stand.read(), "of B");
            assert!(!stand.places().held(&B).aside && stand.places().held(&A).kept);
        },
    );
}

#[test]
fn who_stays_settles_it_and_the_next_change_begins_anew() {
    let stand = Stand::after_a_return();
    assert!(!stand.places().is_settled(&A, &BOTH));
    stand.places().settle(&A, &BOTH).unwrap();
    assert!(stand.places().is_settled(&A, &BOTH) && !stand.places().held(&B).aside);
    assert_eq!(read(&stand.0.path().join("etcd").join(OLD)), "of B", "it waits for a person");
    stand.places().keep(&opening(A), in_force(), 8).unwrap();
    assert!(!stand.0.path().join("etcd").join(OLD).exists());
    assert!(stand.places().is_settled(&B, &BOTH), "what is kept for the image of the other slot stays");
    assert!(!stand.places().is_settled(&B, &[B]), "of an image that is nowhere any more nothing is kept");
}

#[test]
fn what_is_damaged_is_not_restored_and_nothing_is_written() {
    let stand = Stand::after_a_change();
    fs::write(stand.places().folder(&A).join("member/snap/db"), "of a").unwrap();
    let error = stand.places().restore(&A, &B).unwrap_err();
    assert!(error.to_string().contains("damaged") && stand.read() == "of B", "{error}");
    assert!(!stand.places().datastore.join(COMING).exists());
    assert!(stand.places().restore(&B, &A).unwrap_err().message.contains("is gone"));
    // A record that cannot be read troubles nobody who does not need it.
    fs::write(stand.places().folder(&A).join(RECORD), "{").unwrap();
    assert!(
        stand.places().kept(&A).is_err() && stand.places().held(&A).kept && !stand.places().held(&B).kept
    );
}

#[test]
fn an_image_that_had_no_data_yet_gets_none() {
    let stand = Stand::new();
    fs::remove_dir_all(stand.places().data()).unwrap();
    stand.places().keep(&opening(A), in_force(), 7).unwrap();
    fs::create_dir_all(stand.places().data().join("snap")).unwrap();
    stand.write("of B");
    stand.places().restore(&A, &B).unwrap();
    assert!(!stand.places().data().exists());
    stand.places().take_back(&B).unwrap();
    assert_eq!(stand.read(), "of B");
}

#[test]
fn data_that_is_not_in_its_place_is_not_taken_for_none() {
    let stand = Stand::after_a_return();
    stand.places().settle(&A, &BOTH).unwrap();
    assert!(!stand.places().held(&A).hollow);
    fs::remove_dir_all(stand.places().data()).unwrap();
    assert!(stand.places().held(&A).hollow);
    assert!(!Stand::new().places().held(&A).hollow);
}

#[test]
fn a_copy_is_nobody_elses() {
    use std::os::unix::fs::PermissionsExt;
    let stand = Stand::after_a_change();
    fs::set_permissions(stand.places().data(), fs::Permissions::from_mode(0o700)).unwrap();
    let folder = fs::metadata(stand.places().folder(&A)).unwrap();
    assert_eq!(folder.permissions().mode() & 0o777, 0o700);
}
