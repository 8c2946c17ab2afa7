//! Every plan on a host that is not there, cut at every place.

use std::collections::{BTreeMap, BTreeSet};

use edge_model::api::BootState;
use edge_model::cluster::{CoreImages, Distribution, ImageKubernetes, KubernetesVersions};
use edge_model::ids::RootHash;
use edge_planner::cluster::gate::{self, Held};
use edge_planner::cluster::member::{Member, Opening};
use edge_planner::cluster::{Placement, RenderedFile, check, steps};

use super::*;

/// The image that runs: of two minor versions.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Image {
    #[default]
    Old,
    New,
}

#[derive(Debug, Default, Clone, PartialEq)]
struct Store {
    format: Image,
    /// What people have made in it, by image.
    made: Vec<Image>,
    /// A copy that was cut.
    torn: bool,
}

impl Image {
    fn opening(self) -> Opening {
        let versions = placement(self).versions;
        Opening { root_hash: RootHash([self as u8 + 1; 32]), versions }
    }
}

/// What a power cut leaves, and what it does not.
#[derive(Debug, Default, Clone)]
struct FakeHost {
    // On the disk.
    keys: BTreeSet<String>,
    staged: BTreeSet<String>,
    opened: Option<Opening>,
    /// Content of the datastore, and the image whose etcd has opened it last.
    store: Store,
    kept: Option<(Opening, Store)>,
    aside: Option<(Opening, Store)>,
    /// The loader's default.
    default: Image,
    /// How often keys were made: a cluster has one set.
    key_sets: u32,
    /// Whether anything was in the datastore when keys were made.
    data: bool,
    objects: BTreeSet<String>,
    applied: BTreeMap<String, String>,
    image: Image,
    // In memory.
    bridge: bool,
    files: BTreeMap<String, RenderedFile>,
    mounted: bool,
    units: BTreeSet<&'static str>,
    /// Looks at the API before it answers.
    until_api: u32,
    /// Actions until the power goes; the one at which it goes is done by half.
    until_cut: Option<u32>,
    done: Vec<StepId>,
}

impl FakeHost {
    fn power_cut(&mut self) {
        self.bridge = false;
        self.files.clear();
        self.mounted = false;
        self.units.clear();
        self.until_api = 2;
        self.until_cut = None;
    }

    fn api_answers(&self) -> bool {
        self.units.contains("kubelet.service") && self.until_api == 0
    }

    /// Counts an action; an error means that the power went in the middle of it.
    fn may_be_cut(&mut self) -> Result<bool> {
        match &mut self.until_cut {
            Some(0) => Ok(true),
            Some(left) => {
                *left -= 1;
                Ok(false)
            }
            None => Ok(false),
        }
    }

    fn move_keys(&mut self, names: &[&str], by_half: bool) {
        assert_eq!(self.staged.len(), 3, "keys move when all of them are there");
        let count = if by_half { names.len() / 2 } else { names.len() };
        self.keys.extend(names[..count].iter().map(|name| (*name).to_owned()));
        if !by_half {
            self.key_sets += 1;
            self.staged.clear();
        }
    }

    fn change_data(&mut self, action: &Action, by_half: bool) {
        match action {
            // Two copies with generations: the old record or the new one.
            Action::RecordOpening if by_half => {}
            Action::RecordOpening => self.opened = Some(self.image.opening()),
            Action::KeepData(of) => {
                assert!(self.units.is_empty(), "nothing may write to the data meanwhile");
                self.kept = (!by_half).then(|| (of.clone(), self.store.clone()));
            }
            Action::RestoreData(by) => {
                assert!(self.units.is_empty(), "nothing may write to the data meanwhile");
                let (of, store) = self.kept.clone().expect("something is kept");
                assert_eq!(of, self.image.opening());
                if self.aside.is_none() {
                    self.aside = Some((by.clone(), self.store.clone()));
                }
                self.store = Store { torn: by_half, ..store };
            }
            Action::TakeBack if by_half => self.store.torn = true,
            Action::TakeBack => {
                assert!(self.units.is_empty(), "nothing may write to the data meanwhile");
                self.store = self.aside.take().expect("it stands aside").1;
            }
            Action::Settle if by_half || self.default != self.image => {}
            Action::Settle => {
                self.aside = None;
                self.kept = self.kept.take().filter(|(of, _)| *of != self.image.opening());
            }
            _ => {}
        }
    }

    fn perform(&mut self, action: &Action, by_half: bool) -> Result<()> {
        match action {
            Action::MakeBridge { .. } => self.bridge = !by_half,
            Action::Write(files) => {
                let count = if by_half { files.len() / 2 } else { files.len() };
                for file in &files[..count] {
                    assert!(
                        !file.path.starts_with("/etc/kubernetes/manifests") || self.mounted,
                        "{}",
                        file.path
                    );
                    self.files.insert(file.path.clone(), file.clone());
                }
            }
            Action::MountMemory(_) => self.mounted = true,
            Action::EmptyFolder(_) => self.staged.clear(),
            Action::Run { arguments, output, .. } => {
                if arguments.iter().any(|word| word.contains("kubeadm-new.yaml")) {
                    assert!(self.opened.is_none() && !self.data, "keys are made for data that is there");
                    self.staged.insert(output.clone().unwrap_or_else(|| arguments.join(" ")));
                } else if arguments.contains(&"upload-config".into())
                    || arguments.contains(&"mark-control-plane".into())
                {
                    assert!(self.api_answers());
                    // Of the two uploads the second one is looked for.
                    if !by_half && arguments[3] != "kubelet" {
                        self.objects.insert(arguments[2].clone());
                    }
                } else {
                    assert!(self.mounted, "manifests are in memory");
                }
            }
            Action::MoveDurably { names, .. } => self.move_keys(names, by_half),
            Action::RecordOpening
            | Action::KeepData(_)
            | Action::RestoreData(_)
            | Action::TakeBack
            | Action::Settle => self.change_data(action, by_half),
            Action::Start(unit) => {
                if *unit == "kubelet.service" {
                    assert_eq!(self.opened, Some(self.image.opening()));
                    assert!(self.mounted && self.units.contains("containerd.service"));
                    assert!(!self.store.torn && self.store.format <= self.image, "{:?}", self.store);
                    self.data = true;
                    self.store.format = self.image;
                    self.store.made.push(self.image);
                }
                self.units.insert(unit);
            }
            Action::Apply(set) => {
                assert!(self.api_answers());
                if !by_half {
                    self.applied.insert(set.name.clone(), set.digest());
                }
            }
            Action::Refuse(reason) => return Err(Error::integrity(*reason)),
            // What is done again each time, and leaves nothing that anybody looks at here.
            _ => {}
        }
        Ok(())
    }
}

impl Ground for FakeHost {
    fn look(&mut self, probe: &Probe) -> Result<Seen> {
        let holds = match probe {
            Probe::Address { .. } => self.bridge,
            Probe::Files(files) => files.iter().all(|file| self.files.get(&file.path) == Some(file)),
            Probe::Present(paths) => paths.iter().all(|path| {
                self.keys.iter().any(|name| path.starts_with(&format!("/etc/kubernetes/{name}")))
            }),
            Probe::Opened => {
                let own = self.image.opening();
                let is_own =
                    |held: &Option<(Opening, Store)>| held.as_ref().is_some_and(|(of, _)| *of == own);
                let is_settled = self.aside.is_none() && !is_own(&self.kept);
                self.opened == Some(own.clone())
                    && !is_own(&self.aside)
                    && (self.default != self.image || is_settled)
            }
            Probe::Unit(unit) | Probe::Runtime(unit) => self.units.contains(unit),
            Probe::Api => {
                self.until_api = self.until_api.saturating_sub(1);
                self.api_answers()
            }
            Probe::Object { path, .. } => self.objects.contains(if path.contains("/nodes/") {
                "mark-control-plane"
            } else {
                "upload-config"
            }),
            Probe::NodeReady(_) => self.api_answers(),
            Probe::Applied(set) => self.applied.get(&set.name) == Some(&set.digest()),
        };
        Ok(if holds { Seen::Holds } else { Seen::NotYet(None) })
    }

    fn act(&mut self, action: &Action) -> Result<()> {
        let cut = self.may_be_cut()?;
        self.perform(action, cut)?;
        if cut { Err(Error::environment("the power is gone")) } else { Ok(()) }
    }

    fn done(&mut self, step: StepId) {
        self.done.push(step);
    }
}

fn placement(image: Image) -> Placement {
    let (kubernetes, etcd) = match image {
        Image::Old => ("v1.36.3", "3.6.16"),
        Image::New => ("v1.37.2", "3.7.3"),
    };
    let text = "name: shop\nworkloads: [{name: a, manifests: '{apiVersion: v1, kind: Namespace, metadata: {name: a}}'}]\n";
    let definition = check::parse("cluster.yaml", text).unwrap();
    let name = |name: &str| format!("registry.k8s.io/{name}:{kubernetes}");
    let image = ImageKubernetes {
        versions: KubernetesVersions {
            distribution: Distribution::Kubeadm,
            kubernetes: kubernetes.into(),
            etcd: Some(etcd.into()),
        },
        images: Some(CoreImages {
            api_server: name("kube-apiserver"),
            controller_manager: name("kube-controller-manager"),
            scheduler: name("kube-scheduler"),
            proxy: name("kube-proxy"),
            etcd: name("etcd"),
            core_dns: name("coredns"),
            pause: name("pause"),
        }),
    };
    Placement::new(&definition, &image, "till", &[]).unwrap()
}

/// As the caretaker does: with a plan of now, from its beginning, until nothing is left to do.
fn go_on(host: &mut FakeHost) -> Result<()> {
    let placed = placement(host.image);
    let member = Member { opened: host.opened.clone(), ..Member::default() };
    let own = host.image.opening();
    let is_own = |held: &Option<(Opening, Store)>| held.as_ref().is_some_and(|(of, _)| *of == own);
    let held = Held { kept: is_own(&host.kept), aside: is_own(&host.aside), hollow: false };
    let state = if host.default == host.image { BootState::Committed } else { BootState::Trial };
    let verdict = gate::verdict(&member, &placed.versions, own.root_hash, held, state)?;
    let plan = steps(&placed, &verdict).unwrap();
    let mut at = 0;
    for _ in 0..20 {
        match advance(host, &plan, &mut at) {
            Progress::Finished => return Ok(()),
            Progress::Waiting(..) => {}
            Progress::Failed(_, error) => return Err(error),
        }
    }
    panic!("it never ends: step {at}");
}

#[test]
fn a_plan_comes_to_its_end_and_finds_nothing_to_do_then() {
    let mut host = FakeHost { until_api: 3, ..FakeHost::default() };
    go_on(&mut host).unwrap();
    assert_eq!(host.key_sets, 1);
    let (done, applied) = (host.done.len(), host.applied.clone());
    assert_eq!(done, StepId::ALL.len() - 2, "two steps only wait");
    go_on(&mut host).unwrap();
    assert_eq!((host.done.len(), host.applied), (done, applied));
}

#[test]
fn a_cut_at_every_action_ends_well_and_keys_are_made_once() {
    let mut whole = FakeHost { until_api: 2, ..FakeHost::default() };
    go_on(&mut whole).unwrap();
    let mut cuts = 0;
    for at in 0.. {
        let mut host = FakeHost { until_api: 2, until_cut: Some(at), ..FakeHost::default() };
        if go_on(&mut host).is_ok() {
            break;
        }
        cuts += 1;
        // And the power goes again, a little later, twice.
        for more in [1, 3] {
            host.power_cut();
            host.until_cut = Some(more);
            let _ = go_on(&mut host);
        }
        host.power_cut();
        go_on(&mut host).unwrap_or_else(|error| panic!("after a cut at action {at}: {error}"));
        assert_eq!(host.applied, whole.applied, "after a cut at action {at}");
        assert!(host.key_sets == 1 && host.opened.is_some() && host.data, "after a cut at action {at}");
    }
    assert!(cuts >= 20, "only {cuts} places were cut");
}

/// A host whose cluster the old image has made, at the first boot of `image`.
fn at_first_boot_of(image: Image) -> FakeHost {
    let mut host = FakeHost { until_api: 2, ..FakeHost::default() };
    go_on(&mut host).unwrap();
    host.power_cut();
    host.image = image;
    host
}

#[test]
fn another_minor_is_opened_after_its_data_was_kept_and_the_old_image_gets_it_back_whatever_is_cut() {
    let mut cuts = 0;
    for (forward, back) in (0..14).flat_map(|forward| (0..12).map(move |back| (forward, back))) {
        let mut host = at_first_boot_of(Image::New);
        host.until_cut = Some(forward);
        let migrated = go_on(&mut host).is_ok();
        // The next power-on is the old image's: a trial that was cut is given up, or the new image does not get well.
        host.power_cut();
        host.image = Image::Old;
        host.until_cut = Some(back);
        let returned = go_on(&mut host).is_ok();
        host.power_cut();
        go_on(&mut host).unwrap_or_else(|error| panic!("cut at {forward} and {back}: {error}"));
        assert!(!host.store.made.contains(&Image::New), "cut at {forward} and {back}: {:?}", host.store);
        assert_eq!((host.opened.clone(), host.kept.clone()), (Some(Image::Old.opening()), None));
        assert_eq!(host.aside, None, "the old image is the one that stays");
        // And it is tried once more, and stays.
        host.power_cut();
        host.image = Image::New;
        go_on(&mut host).unwrap();
        assert_eq!(host.store.format, Image::New);
        assert_eq!(host.kept.as_ref().map(|(of, _)| of.clone()), Some(Image::Old.opening()));
        cuts += u32::from(!migrated) + u32::from(!returned);
    }
    assert!(cuts > 150, "only {cuts} cuts");
}

/// Somebody goes back by hand, to the old image on trial, and it does not stay.
#[test]
fn what_the_new_image_had_made_is_never_lost_by_a_return_that_does_not_last() {
    for (back, forth) in (0..14).flat_map(|back| (0..14).map(move |forth| (back, forth))) {
        let mut host = at_first_boot_of(Image::New);
        go_on(&mut host).unwrap();
        host.default = Image::New;
        host.power_cut();
        go_on(&mut host).unwrap();
        let made = host.store.made.clone();
        host.power_cut();
        host.image = Image::Old;
        host.until_cut = Some(back);
        let _ = go_on(&mut host);
        // The default is still the new one.
        host.power_cut();
        host.image = Image::New;
        host.until_cut = Some(forth);
        let _ = go_on(&mut host);
        host.power_cut();
        go_on(&mut host).unwrap_or_else(|error| panic!("cut at {back} and {forth}: {error}"));
        assert!(host.store.made.starts_with(&made), "cut at {back} and {forth}: {:?}", host.store);
        assert_eq!(
            host.kept.as_ref().map(|(of, _)| of.clone()),
            Some(Image::Old.opening()),
            "and it can be tried again"
        );
    }
}

#[test]
fn data_that_nothing_is_kept_of_is_not_opened_by_the_old_image() {
    let mut host = at_first_boot_of(Image::New);
    go_on(&mut host).unwrap();
    host.power_cut();
    (host.image, host.kept) = (Image::Old, None);
    let error = go_on(&mut host).unwrap_err();
    assert!(error.message.contains("does not go back") && host.units.is_empty(), "{error}");
}

#[test]
fn keys_that_are_lost_are_never_replaced() {
    let mut host = FakeHost { until_api: 2, ..FakeHost::default() };
    go_on(&mut host).unwrap();
    host.power_cut();
    host.keys.clear();
    let error = go_on(&mut host).unwrap_err();
    assert!(error.message.contains("are gone") && host.key_sets == 1, "{error}");
    assert!(host.units.is_empty(), "nothing was started");
}
