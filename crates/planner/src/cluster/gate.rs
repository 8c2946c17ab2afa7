//! The gate: data of a cluster meets an image only when both fit together.
//!
//! What a newer minor version has opened, an older one cannot read: etcd raises the format of its data at its first start
//! (<https://etcd.io/docs/v3.7/upgrades/upgrade_3_7/>), and Kubernetes stores objects as its newest version knows them
//! (<https://kubernetes.io/releases/version-skew-policy/>). So data is kept before another minor opens it, and an image that
//! comes back gets what it left.

use edge_model::api::BootState;
use edge_model::cluster::{CarriedKubernetes, KubernetesVersions, UpgradesFrom};
use edge_model::ids::RootHash;
use edge_model::{Error, Result};

use super::member::{Member, Opening};

/// Releases of etcd that others can be upgraded from, where more is asked for than the minor version before.
/// <https://etcd.io/docs/v3.7/upgrades/upgrade_3_7/>, <https://etcd.io/blog/2025/upgrade_from_3.5_to_3.6_issue_followup/>
const LEAST_ETCD: [((u32, u32), &str); 2] = [((3, 7), "3.6.11"), ((3, 6), "3.5.26")];

/// What has to happen before the image that runs may open the data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// There is no data yet.
    Fresh,
    /// It is of versions that this image can read and leave as they are.
    Open,
    /// It is of an older minor version: it is kept as it is, for the image that left it, and then opened.
    Keep(Opening),
    /// The image that left data has come back: its data is put in the place of what the other image made of it, and that is put aside,
    /// for the case that the other one is started again.
    Restore(Opening),
    /// This image's data was put aside by one that did not stay, or that was cut while it did so: it is put back.
    TakeBack,
}

impl Verdict {
    /// Whether there is data.
    pub fn has_data(&self) -> bool {
        *self != Verdict::Fresh
    }
}

/// What of the image that runs is held beside the data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Held {
    /// A copy of what it left, from before another one opened that.
    pub kept: bool,
    /// What it has made, put aside by an image that came back and did not stay.
    pub aside: bool,
    /// There is no data in its place, and somebody's data waits beside it.
    pub hollow: bool,
}

/// Decides for the image with this root hash.
///
/// # Errors
/// [`edge_model::Class::Rejected`] with both versions.
pub fn verdict(
    member: &Member,
    image: &KubernetesVersions,
    root_hash: RootHash,
    held: Held,
    state: BootState,
) -> Result<Verdict> {
    let Some(opened) = &member.opened else { return Ok(Verdict::Fresh) };
    // Its own, by its own record: whoever put it aside was cut.
    if held.aside && opened.root_hash == root_hash {
        return Ok(Verdict::TakeBack);
    }
    let is_readable = opened.root_hash == root_hash || are_of_one_minor(&opened.versions, image);
    if is_readable && held.hollow {
        return Err(Error::integrity("the cluster's data is not in its place").help(
            "what a version has made of it is in /var/lib/etcd, under .edge-old or .edge-aside: ask support",
        ));
    }
    if is_readable && !held.aside {
        return Ok(Verdict::Open);
    }
    if state == BootState::Fallback {
        // Nobody has asked for other data, and the next restart tries the other image again.
        return Err(Error::rejected(format!(
            "this image stands in for one that did not come up, and the data of the cluster is of {}: it is left as it is",
            opened.versions
        ))
        .help("restart to try the other image again; `edge-agent commit` keeps this one, with data that it can open"));
    }
    if held.aside {
        return Ok(Verdict::TakeBack);
    }
    if held.kept && opened.versions.distribution == image.distribution {
        return Ok(Verdict::Restore(opened.clone()));
    }
    may_follow(&opened.versions, image, &least_before(image)).map_err(|error| {
        Error::rejected(format!("this image cannot open the data of this cluster: {}", error.message))
            .help("go back to the image before with `edge-agent rollback`, or delete the cluster")
    })?;
    Ok(Verdict::Keep(opened.clone()))
}

/// Whether an upgrade may lead to an image with this Kubernetes.
///
/// # Errors
/// [`edge_model::Class::Rejected`] with both versions.
pub fn may_upgrade(opened: Option<&KubernetesVersions>, next: Option<&CarriedKubernetes>) -> Result<()> {
    let Some(opened) = opened else { return Ok(()) };
    let Some(next) = next else {
        return Err(Error::rejected(format!(
            "this host has a cluster of {opened}, and the new image carries no Kubernetes"
        ))
        .help("use an image with Kubernetes, or delete the cluster first"));
    };
    let Some(least) = &next.upgrades_from else {
        // Of the first releases: their agent opens data of its own versions alone.
        return if next.versions == *opened {
            Ok(())
        } else {
            Err(Error::rejected(format!(
                "this host has a cluster of {opened}, and the image carries {}, which does not say what it takes over",
                next.versions
            ))
            .help("build the image anew with this version of edgeforge"))
        };
    };
    if are_of_one_minor(opened, &next.versions) { Ok(()) } else { may_follow(opened, &next.versions, least) }
}

/// The oldest releases that an image can be upgraded from; the builder writes them into the signed manifest.
pub fn least_before(image: &KubernetesVersions) -> UpgradesFrom {
    let before = |text: &str, sign: &str| {
        minor(text).map(|(major, minor)| format!("{sign}{major}.{}.0", minor.saturating_sub(1)))
    };
    let etcd = image.etcd.as_deref().and_then(|etcd| {
        let known = minor(etcd).and_then(|of| LEAST_ETCD.iter().find(|(minor, _)| *minor == of));
        known.map(|(_, least)| (*least).to_owned()).or_else(|| before(etcd, ""))
    });
    UpgradesFrom {
        kubernetes: before(&image.kubernetes, "v").unwrap_or_else(|| image.kubernetes.clone()),
        etcd,
    }
}

/// Data moves freely between releases of one minor version.
pub fn are_of_one_minor(one: &KubernetesVersions, other: &KubernetesVersions) -> bool {
    let etcd = |versions: &KubernetesVersions| versions.etcd.as_deref().map(minor);
    one == other
        || (one.distribution == other.distribution
            && minor(&one.kubernetes).is_some()
            && minor(&one.kubernetes) == minor(&other.kubernetes)
            && etcd(one) == etcd(other))
}

fn may_follow(opened: &KubernetesVersions, next: &KubernetesVersions, least: &UpgradesFrom) -> Result<()> {
    let no = |why: String, help: &str| {
        Err(Error::rejected(format!(
            "this host has a cluster of {opened}, and the image carries {next}: {why}"
        ))
        .help(help))
    };
    if opened.distribution != next.distribution {
        return no("a cluster keeps its distribution".into(), "use an image with the same one");
    }
    let back = "edge-agent rollback returns to the image before, with the cluster's data of then";
    if minor(&next.kubernetes) < minor(&opened.kubernetes) {
        return no("Kubernetes does not go back".into(), back);
    }
    if numbers(&opened.kubernetes) < numbers(&least.kubernetes) {
        let why = format!("Kubernetes goes one minor version at a time, from {} on", least.kubernetes);
        return no(why, "upgrade to images with the versions between first");
    }
    let (Some(before), Some(etcd)) = (opened.etcd.as_deref(), next.etcd.as_deref()) else {
        return if opened.etcd == next.etcd {
            Ok(())
        } else {
            no("a cluster keeps its datastore".into(), "use an image with the same one")
        };
    };
    if minor(etcd) < minor(before) {
        return no("etcd does not go back".into(), back);
    }
    if let Some(least) = least.etcd.as_deref()
        && minor(etcd) != minor(before)
        && numbers(before) < numbers(least)
    {
        let why = format!("etcd {etcd} can open data of {least} and later only");
        return no(why, "upgrade to an image with a later release of the present etcd first");
    }
    Ok(())
}

fn minor(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.trim_start_matches('v').split('.').map(str::parse::<u32>);
    Some((parts.next()?.ok()?, parts.next()?.ok()?))
}

/// What stands behind a hyphen or a plus sign does not count.
fn numbers(version: &str) -> Vec<u32> {
    let plain = version.trim_start_matches('v').split(['-', '+']).next().unwrap_or_default();
    plain.split('.').map(|part| part.parse().unwrap_or(0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use edge_model::cluster::Distribution;
    use proptest::prelude::*;

    fn versions(kubernetes: &str, etcd: &str) -> KubernetesVersions {
        KubernetesVersions {
            distribution: Distribution::Kubeadm,
            kubernetes: kubernetes.into(),
            etcd: Some(etcd.into()),
        }
    }

    fn carried(versions: KubernetesVersions) -> CarriedKubernetes {
        CarriedKubernetes { upgrades_from: Some(least_before(&versions)), versions }
    }

    const OLD: RootHash = RootHash([1; 32]);
    const NEW: RootHash = RootHash([2; 32]);

    fn member(root_hash: RootHash, kubernetes: &str, etcd: &str) -> Member {
        let opened = Some(Opening { root_hash, versions: versions(kubernetes, etcd) });
        Member { opened, ..Member::default() }
    }

    #[derive(Debug, PartialEq)]
    enum Expected {
        Open,
        Keep,
        Restore,
        TakeBack,
        Refuse(&'static str),
    }

    #[test]
    fn data_and_image_meet_only_when_they_fit() {
        use Expected::{Keep, Open, Refuse, Restore, TakeBack};
        let (old, new) = (("v1.36.3", "3.6.16"), ("v1.37.2", "3.7.3"));
        let nothing = Held::default();
        let (kept, aside) = (Held { kept: true, ..nothing }, Held { kept: true, aside: true, ..nothing });
        // Whose data it is and of which versions; the image that runs, its versions; what is held for it.
        for (of, opened, runs, image, held, expected) in [
            (NEW, new, NEW, new, nothing, Open),
            (OLD, new, NEW, new, nothing, Open),
            (OLD, ("v1.37.1", "3.7.4"), NEW, new, nothing, Open),
            (OLD, old, NEW, new, nothing, Keep),
            (NEW, new, OLD, old, kept, Restore),
            // The old one has not stayed, or was cut while it put the data aside.
            (OLD, old, NEW, new, aside, TakeBack),
            (NEW, new, NEW, new, aside, TakeBack),
            (NEW, new, OLD, old, nothing, Refuse("does not go back")),
            (
                OLD,
                ("v1.35.9", "3.6.16"),
                NEW,
                new,
                nothing,
                Refuse("one minor version at a time, from v1.36.0 on"),
            ),
            (OLD, ("v1.36.3", "3.6.10"), NEW, new, nothing, Refuse("data of 3.6.11 and later only")),
            (OLD, ("v1.36.3", "3.7.3"), NEW, ("v1.37.0", "3.6.20"), nothing, Refuse("etcd does not go back")),
        ] {
            let member = member(of, opened.0, opened.1);
            let seen = verdict(&member, &versions(image.0, image.1), runs, held, BootState::Trial);
            let what = format!("{of:?} {opened:?} {runs:?} {image:?} {held:?}: {seen:?}");
            match (expected, seen) {
                (Open, Ok(Verdict::Open))
                | (Keep, Ok(Verdict::Keep(_)))
                | (Restore, Ok(Verdict::Restore(_)))
                | (TakeBack, Ok(Verdict::TakeBack)) => {}
                (Refuse(why), Err(error)) => {
                    assert!(error.message.contains(why) && error.help.is_some(), "{what}");
                }
                (expected, _) => panic!("{what}, not {expected:?}"),
            }
        }
        let image = versions(new.0, new.1);
        assert_eq!(verdict(&Member::default(), &image, NEW, nothing, BootState::Trial), Ok(Verdict::Fresh));
        let (of_new, of_old) = (member(NEW, new.0, new.1), member(OLD, old.0, old.1));
        let old = versions(old.0, old.1);
        for (member, image, runs, held) in
            [(&of_new, &old, OLD, kept), (&of_old, &image, NEW, aside), (&of_old, &image, NEW, nothing)]
        {
            let stands_in = verdict(member, image, runs, held, BootState::Fallback).unwrap_err();
            assert!(
                stands_in.message.contains("stands in"),
                "months of data are not exchanged unasked: {stands_in}"
            );
        }
        let undone = verdict(&of_new, &image, NEW, aside, BootState::Fallback);
        assert_eq!(undone, Ok(Verdict::TakeBack), "its own, by its own record");
        let hollow = Held { hollow: true, ..nothing };
        assert!(verdict(&of_new, &image, NEW, hollow, BootState::Committed).is_err(), "no empty one is made");
    }

    #[test]
    fn a_forbidden_upgrade_is_refused_beforehand() {
        let opened = versions("v1.36.3", "3.6.16");
        assert!(may_upgrade(None, None).is_ok());
        assert!(may_upgrade(Some(&opened), None).unwrap_err().message.contains("no Kubernetes"));
        for (next, why) in [
            (versions("v1.36.9", "3.6.20"), None),
            (versions("v1.36.1", "3.6.10"), None),
            (versions("v1.37.2", "3.7.3"), None),
            (versions("v1.37.2", "3.6.16"), None),
            (versions("v1.38.0", "3.7.3"), Some("one minor version at a time")),
            (versions("v1.35.0", "3.6.16"), Some("does not go back")),
            (versions("v1.37.2", "3.5.26"), Some("etcd does not go back")),
            (KubernetesVersions { distribution: Distribution::K3s, ..opened.clone() }, Some("distribution")),
            (KubernetesVersions { etcd: None, ..versions("v1.37.0", "") }, Some("datastore")),
        ] {
            let seen = may_upgrade(Some(&opened), Some(&carried(next.clone())));
            match (why, seen) {
                (None, Ok(())) => {}
                (Some(why), Err(error)) => assert!(error.message.contains(why), "{next}: {error}"),
                (_, seen) => panic!("{next}: {seen:?}"),
            }
        }
        let silent = CarriedKubernetes { versions: versions("v1.37.2", "3.7.3"), upgrades_from: None };
        assert!(may_upgrade(Some(&opened), Some(&silent)).is_err(), "its agent would refuse the data");
        let silent = CarriedKubernetes { versions: opened.clone(), upgrades_from: None };
        assert!(may_upgrade(Some(&opened), Some(&silent)).is_ok());
        // What the image says of itself counts more than what this version knows of its release.
        let least = UpgradesFrom { kubernetes: "v1.36.5".into(), etcd: None };
        let strict = CarriedKubernetes { versions: versions("v1.37.2", "3.7.3"), upgrades_from: Some(least) };
        assert!(may_upgrade(Some(&opened), Some(&strict)).unwrap_err().message.contains("from v1.36.5 on"));
    }

    #[test]
    fn the_manifest_names_what_comes_before() {
        let least = least_before(&versions("v1.37.2", "3.7.3"));
        assert_eq!((least.kubernetes.as_str(), least.etcd.as_deref()), ("v1.36.0", Some("3.6.11")));
        let later = least_before(&versions("v1.39.0", "3.8.1"));
        assert_eq!((later.kubernetes.as_str(), later.etcd.as_deref()), ("v1.38.0", Some("3.7.0")));
    }

    proptest! {
        /// Whatever way leads to another minor version, the way back is open afterwards.
        #[test]
        fn whoever_opens_data_of_another_minor_has_kept_it(
            a in 30_u32..40, b in 30_u32..40, c in 5_u32..9, d in 5_u32..9, patch in 0_u32..30,
        ) {
            let (one, other) = (format!("v1.{a}.{patch}"), format!("v1.{b}.3"));
            let (etcd, next) = (format!("3.{c}.30"), format!("3.{d}.{patch}"));
            let data = member(OLD, &one, &etcd);
            let nothing = Held::default();
            let forward = verdict(&data, &versions(&other, &next), NEW, nothing, BootState::Trial);
            if let Ok(Verdict::Keep(of)) = forward {
                prop_assert_eq!(of.root_hash, OLD);
                prop_assert!(b - a <= 1 && d >= c);
                let opened = member(NEW, &other, &next);
                let kept = Held { kept: true, ..Held::default() };
                let back = verdict(&opened, &versions(&one, &etcd), OLD, kept, BootState::Committed);
                prop_assert_eq!(back, Ok(Verdict::Restore(opened.opened.unwrap())));
            }
        }

        #[test]
        fn no_version_panics(kubernetes in "[v0-9.+-]{0,12}", etcd in "[v0-9.-]{0,12}") {
            let image = versions(&kubernetes, &etcd);
            let _ = (least_before(&image), verdict(&member(OLD, "v1.36.3", "3.6.16"), &image, NEW, Held::default(), BootState::Trial));
        }
    }
}
