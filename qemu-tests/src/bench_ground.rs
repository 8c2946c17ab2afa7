//! What scenarios share: the lab, an operator, images, a registry, and one installed host to start from.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use edge_host::{files, folder};
use edge_model::{Context, Error, Result};

use crate::images::{self, Built, Recipe, Site};
use crate::lab::Lab;
use crate::machine::{Accelerator, Bus, Machine, Medium, Powered};
use crate::registry::Registry;
use crate::ssh::{Key, Ssh};

/// Seconds from power-on to a running installer on an unloaded two-core machine without KVM.
const CALIBRATION_SECONDS: f64 = 7.0;
const CALIBRATION_LIMIT: Duration = Duration::from_secs(180);
pub const DISK_GIB: u64 = 8;
/// Bytes on the disk for everything that is there at the same time: images 4.5 GiB, the registry 3, the base 1.7, two
/// scenarios; those wait for each other where it gets tight.
const NEEDED: u64 = 11 << 30;
/// Bytes that the builder's cache grows to.
const CACHE: u64 = 4 << 30;
/// On the medium of every host: each stage of an installation says that it ran, and one step does not stay.
const USER_DATA: &str = r#"#cloud-config
hostname: edge-demo
stages:
  kairos-install.pre: [{commands: ["echo mark kairos-install.pre > /dev/console"]}]
  before-install.before: [{commands: ["echo mark before-install.before > /dev/console"]}]
  before-install:
    - name: skip-copy-secret
      commands: ["echo mark before-install > /dev/console"]
  after-install-chroot: [{commands: ["echo mark after-install-chroot > /usr/local/chroot-was-here"]}]
  after-install: [{commands: ["echo mark after-install > /dev/console"]}]
  kairos-install.after: [{commands: ["echo mark kairos-install.after > /dev/console"]}]
"#;
/// Beside the base host: the image that it was installed with.
const BASE_IMAGE: &str = "root-hash";
/// Beside the disk of a machine that was stopped while it ran: its memory.
const STATE: &str = "state";
/// Path of the Kubernetes component that images with a cluster are built from.
pub const KUBERNETES: &str = "KUBERNETES_COMPONENT";
/// The same of the minor release before.
pub const KUBERNETES_BEFORE: &str = "KUBERNETES_COMPONENT_BEFORE";
/// Names the builder of an earlier state of this project; `cargo xtask test-long` makes one.
pub const OLDER_BUILDER: &str = "OLDER_EDGEFORGE";
/// What a node accepts on a machine that is not its own: control groups of version 1, disks that are nearly full. For
/// [`crate::namespaces`], behind [`CLUSTER`].
pub const IN_NAMESPACES: &str = "passthrough:
  kubelet:
    failCgroupV1: false
    evictionHard: {memory.available: 1Mi, nodefs.available: 0%, nodefs.inodesFree: 0%, imagefs.available: 0%}
";
/// The cluster of tests and demo: a page on every address of the host, port 30080.
pub const CLUSTER: &str = include_str!("cluster.yaml");

/// # Errors
/// When the disk has less free space than all scenarios need; what the cache holds already does not come again.
fn has_room(lab: &Lab) -> Result<()> {
    let free = files::free_bytes(lab.work())?;
    let needed = NEEDED + CACHE.saturating_sub(folder::size(&lab.cache())?);
    if free >= needed {
        return Ok(());
    }
    let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
    Err(Error::environment(format!(
        "{} has {:.1} GiB of free space, and virtual machines need {:.1}",
        lab.work().display(),
        gib(free),
        gib(needed)
    ))
    .help("delete what earlier runs left in target/, and the cache of edgeforge"))
}

/// Images that several scenarios use, each made when the first asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SharedImage {
    /// [`Ground::every_envelope`]
    EveryEnvelope,
    /// [`Ground::with_cluster`]
    WithCluster,
}

impl SharedImage {
    pub const ALL: [Self; 2] = [Self::EveryEnvelope, Self::WithCluster];
}

/// The ground on which scenarios run.
#[derive(Debug)]
pub struct Ground {
    /// The checkout.
    pub root: PathBuf,
    pub lab: Lab,
    pub key: Key,
    pub registry: Registry,
    pub accelerator: Accelerator,
    /// Version 1, installed on the base host.
    pub first: Built,
    /// How much slower this machine is than the one that time limits were chosen on.
    slowness: OnceLock<f64>,
    /// The first image in every form, once somebody has asked for it.
    every_envelope: Mutex<Option<Built>>,
    /// An image with Kubernetes, once somebody has asked for it.
    with_cluster: Mutex<Option<Built>>,
    skips: AtomicU32,
}

impl Ground {
    /// Builds the first image and prepares everything else.
    ///
    /// # Errors
    /// When the lab, the registry or the image cannot be made.
    pub fn prepare(root: &std::path::Path, work: &std::path::Path) -> Result<Self> {
        let lab = Lab::open(root, work)?;
        Registry::forget(&lab)?;
        has_room(&lab)?;
        let key = Key::prepare(&lab)?;
        let registry = Registry::start(&lab)?;
        let first = images::build(&lab, "first", &Recipe::version("1.0.0"), &site(&key), None)?;
        let accelerator = Accelerator::probe(&lab, &first.iso())?;
        let (slowness, every_envelope, with_cluster) = (OnceLock::new(), Mutex::new(None), Mutex::new(None));
        Ok(Self {
            root: root.to_owned(),
            lab,
            key,
            registry,
            accelerator,
            first,
            slowness,
            every_envelope,
            with_cluster,
            skips: AtomicU32::new(0),
        })
    }

    /// Says that a part of a scenario cannot run here, and counts it.
    pub fn skip(&self, name: &str, reason: impl std::fmt::Display) {
        println!("SKIPPED {name}: {reason}");
        self.skips.fetch_add(1, Ordering::Relaxed);
    }

    pub fn skips(&self) -> u32 {
        self.skips.load(Ordering::Relaxed)
    }

    /// The first image, written in every form that there is.
    ///
    /// # Errors
    /// When the builder fails.
    pub fn every_envelope(&self) -> Result<Built> {
        let mut built = self.every_envelope.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(built) = &*built {
            return Ok(built.clone());
        }
        // The smallest archive: one empty frame.
        let bundles = self.bundles();
        fs::create_dir_all(&bundles)
            .and_then(|()| {
                fs::write(bundles.join("bundle.tar.zst"), [0x28, 0xb5, 0x2f, 0xfd, 0x20, 0, 1, 0, 0])
            })
            .context("cannot write a bundle")?;
        let recipe = Recipe::every_envelope(&self.first.version, &bundles);
        let made = images::build(&self.lab, "every-envelope", &recipe, &self.site(), None)?;
        Ok(built.insert(made).clone())
    }

    /// An image with Kubernetes, whose medium brings [`CLUSTER`].
    ///
    /// # Errors
    /// When there is no component, or the builder fails.
    pub fn with_cluster(&self) -> Result<Built> {
        let component = std::env::var_os(KUBERNETES).ok_or_else(|| {
            Error::environment(format!("{KUBERNETES} is not set")).help("cargo xtask kubernetes makes one")
        })?;
        self.with_cluster_of(Path::new(&component))
    }

    /// Like [`Ground::with_cluster`], of this component.
    ///
    /// # Errors
    /// When the builder fails.
    pub fn with_cluster_of(&self, component: &Path) -> Result<Built> {
        let mut built = self.with_cluster.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(built) = &*built {
            return Ok(built.clone());
        }
        let recipe = Recipe::with_cluster("1.0.0", component, CLUSTER);
        let made = images::build(&self.lab, "with-cluster", &recipe, &self.site(), None)?;
        Ok(built.insert(made).clone())
    }

    /// An image of the minor release before, in a project with this name.
    ///
    /// # Errors
    /// As [`Ground::with_cluster`].
    pub fn with_cluster_before(&self, name: &str) -> Result<Built> {
        let component = std::env::var_os(KUBERNETES_BEFORE)
            .ok_or_else(|| Error::environment(format!("{KUBERNETES_BEFORE} is not set")))
            .map_err(|error| error.help("cargo xtask kubernetes --before makes one"))?;
        let recipe = Recipe::with_cluster("0.9.0", Path::new(&component), CLUSTER);
        images::build(&self.lab, name, &recipe, &self.site(), None)
    }

    /// Removes a shared image; who asks for it again has it built again.
    ///
    /// # Errors
    /// When its folder cannot be removed.
    pub fn forget(&self, image: SharedImage) -> Result<()> {
        let made = match image {
            SharedImage::EveryEnvelope => &self.every_envelope,
            SharedImage::WithCluster => &self.with_cluster,
        };
        let built = made.lock().unwrap_or_else(PoisonError::into_inner).take();
        built.map_or(Ok(()), |built| {
            fs::remove_dir_all(&built.folder).context("cannot remove an image that nobody needs any more")
        })
    }

    /// The folder with the content of [`Ground::every_envelope`].
    pub fn bundles(&self) -> PathBuf {
        self.lab.work().join("bundles")
    }

    /// A time limit that fits this machine, from one that fits the machine it was chosen on.
    pub fn patience(&self, seconds: u64) -> Duration {
        Duration::from_secs_f64(seconds as f64 * self.slowness.get().copied().unwrap_or(1.0))
    }

    /// Measures how slow this machine is by the first boot of the installer.
    ///
    /// # Errors
    /// When the installer does not come up at all.
    pub fn calibrate(&self, powered: &mut Powered) -> Result<()> {
        let started = Instant::now();
        powered.serial.expect("edge: starting the installer", CALIBRATION_LIMIT)?;
        let slowness = (started.elapsed().as_secs_f64() / CALIBRATION_SECONDS).max(1.0);
        // Later measurements say no more than the first.
        let _ = self.slowness.set(slowness);
        Ok(())
    }

    pub fn site(&self) -> Site {
        site(&self.key)
    }

    pub fn ssh<'a>(&'a self, machine: &Machine) -> Ssh<'a> {
        Ssh { lab: &self.lab, key: &self.key, port: machine.ssh_port() }
    }

    /// Builds an image and pushes it under its version.
    ///
    /// # Errors
    /// When builder or registry refuse.
    pub fn publish(&self, name: &str, recipe: &Recipe) -> Result<Built> {
        let reference = self.registry.reference(&recipe.version);
        let built = images::build(&self.lab, name, recipe, &self.site(), Some(&reference))?;
        built.keep_only_manifest()?;
        Ok(built)
    }

    /// The command that upgrades a guest to a published version.
    pub fn upgrade_command(&self, version: &str) -> String {
        format!("sudo edge-agent upgrade oci:{} --plain-http", self.registry.guest_reference(version))
    }

    /// A new machine that installs the first image from a CD.
    ///
    /// # Errors
    /// When its files cannot be made.
    pub fn new_machine(&self, name: &str) -> Result<Machine> {
        Ok(Machine::new(&self.lab, name, DISK_GIB, Bus::Virtio)?.with_medium(Medium::Cd(self.first.iso())))
    }

    fn running_folder(&self) -> PathBuf {
        self.lab.work().join("base-running")
    }

    /// Keeps a healthy machine with its memory, for [`Ground::healthy_copy`]; it goes on.
    ///
    /// # Errors
    /// When its state cannot be saved.
    pub fn keep_running(&self, machine: &Machine, powered: &Powered) -> Result<()> {
        let saved = machine.folder().join(STATE);
        powered.save_state(&saved)?;
        let copy = Machine::copy_of(&self.lab, machine, "base-running")?;
        fs::rename(saved, copy.folder().join(STATE)).context("cannot keep the base's state")?;
        fs::write(copy.folder().join(BASE_IMAGE), &self.first.root_hash)
            .context("cannot name the base's image")?;
        powered.go_on()
    }

    /// Whether an earlier run has left a base host of the present image.
    pub fn has_base(&self) -> bool {
        fs::read_to_string(self.running_folder().join(BASE_IMAGE))
            .is_ok_and(|hash| hash == self.first.root_hash)
    }

    /// A copy of the installed host at a moment at which it was healthy: one boot less for each scenario.
    ///
    /// # Errors
    /// When there is no base (its scenario failed) or the copy cannot be reached.
    pub fn healthy_copy(&self, name: &str) -> Result<(Machine, Powered)> {
        let running = self.running_folder();
        if !fs::exists(&running).context("cannot look for the base host")? {
            return Err(Error::environment("there is no installed host to start from"));
        }
        let machine = Machine::copy_of(&self.lab, &Machine::at(&running, 0), name)?;
        let powered = machine.resume(&self.lab, self.accelerator, &running.join(STATE))?;
        self.ssh(&machine).run("true", self.patience(120))?;
        Ok((machine, powered))
    }

    /// Waits for the marker of a healthy host.
    ///
    /// # Errors
    /// When another slot or image comes up, or none.
    pub fn expect_healthy(&self, powered: &mut Powered, slot: &str, image: &Built) -> Result<()> {
        self.expect_healthy_despite(powered, slot, image, &[])
    }

    /// Like [`Ground::expect_healthy`], where the failures in `allowed` are part of the story.
    ///
    /// # Errors
    /// As [`Ground::expect_healthy`].
    pub fn expect_healthy_despite(
        &self,
        powered: &mut Powered,
        slot: &str,
        image: &Built,
        allowed: &[&str],
    ) -> Result<()> {
        let line = powered.serial.expect_despite("edge: healthy", allowed, self.patience(240))?;
        let wanted = format!("edge: healthy slot={slot} root={}", image.root_hash);
        if line.contains(&wanted) {
            return Ok(());
        }
        Err(Error::integrity(format!("expected {wanted:?}, the machine says {line:?}")))
    }
}

fn site(key: &Key) -> Site {
    Site {
        password: None,
        operator_key: key.public.clone(),
        after: "reboot",
        wipe: false,
        asks: false,
        user_data: USER_DATA.into(),
    }
}
