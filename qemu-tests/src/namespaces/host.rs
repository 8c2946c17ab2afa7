//! A host in namespaces, from outside.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use edge_host::child::{Child, Running};
use edge_host::files;
use edge_model::api::cluster::{ClusterPhase, ClusterView};
use edge_model::api::{BootRecord, Found};
use edge_model::cmdline::Mode;
use edge_model::ids::Slot;
use edge_model::{Context, Error, Result};

use super::{control_groups, root_image};
use crate::images::Built;
use crate::patience::Patience;

/// Names in the folder of a host.
pub(super) const ROOT: &str = "root";
pub(super) const ROOT_IMAGE: &str = "root.erofs";
pub(super) const PERSISTENT: &str = "partitions";
pub(super) const CONSOLE: &str = "console";
pub(super) const BOOT_RECORD: &str = "boot.json";
pub(super) const NAME_SERVERS: &str = "name-servers";
const LOG: &str = "log";
const JOURNAL: &str = "journal";

/// The host's address on the site's network, and the gateway, which is not there.
pub const ADDRESS: &str = "10.250.0.2";
/// A name of it that only the site's name server knows.
pub const SITE_NAME: &str = "till.site.example";
pub(super) const GATEWAY: &str = "10.250.0.1";
/// As long as nothing moves.
const PATIENCE: Duration = Duration::from_secs(150);
const POLL: Duration = Duration::from_millis(100);
/// Between a line of the journal and the cut that it triggers.
const WATCHFUL: Duration = Duration::from_millis(4);
const BLIND: Duration = Duration::from_millis(500);
const PROGRAM_DEADLINE: Duration = Duration::from_secs(600);

/// What a host finds at its site.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// `cluster.yaml`, as the medium brings it.
    pub cluster: String,
    pub name_server: Option<String>,
}

/// What a look for a state says.
#[derive(Debug)]
pub enum Deed<T> {
    Done(T),
    /// Not yet; what was seen. Nobody loses patience while that changes.
    Seen(String),
}

/// A host, running or not.
#[derive(Debug)]
pub struct NamespaceHost {
    /// `edge-namespace`.
    program: PathBuf,
    group: String,
    folder: PathBuf,
    running: Option<(Running, u32)>,
}

impl NamespaceHost {
    /// A host on which an image was just installed; `program` is `edge-namespace`.
    ///
    /// # Errors
    /// When its folder cannot be made.
    pub fn install(program: &Path, work: &Path, name: &str, built: &Built, facts: &Facts) -> Result<Self> {
        let folder = work.join(name);
        let host = Self { program: program.to_owned(), group: format!("edge-{name}"), folder, running: None };
        control_groups::remove(&host.group)?;
        let context = || format!("cannot prepare {}", host.folder.display());
        if host.folder.exists() {
            fs::remove_dir_all(&host.folder).with_context(context)?;
        }
        fs::create_dir_all(host.folder.join(PERSISTENT).join("oem/edge")).with_context(context)?;
        host.next_image(built, Slot::A)?;
        host.tell(facts)?;
        Ok(host)
    }

    /// Another image is in the slot that is started next.
    ///
    /// # Errors
    /// When its root cannot be had.
    pub fn next_image(&self, built: &Built, slot: Slot) -> Result<()> {
        let context = || format!("cannot prepare {}", self.folder.display());
        let root = root_image::unpack(built)?;
        let place = self.folder.join(ROOT_IMAGE);
        if place.exists() {
            fs::remove_file(&place).with_context(context)?;
        }
        fs::hard_link(&root, &place).with_context(context)?;
        let record = BootRecord {
            mode: Mode::Main,
            root_hash: built.root_hash.parse()?,
            data_blocks: fs::metadata(&root).with_context(context)?.len() / 4096,
            slot: Some(slot),
            disk: "/dev/none".into(),
            reasons: Vec::new(),
            is_fallback: false,
            found: Found::default(),
        };
        let record = serde_json::to_vec(&record).with_context(context)?;
        fs::write(self.folder.join(BOOT_RECORD), record).with_context(context)
    }

    /// Changes what it finds at its next start.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn tell(&self, facts: &Facts) -> Result<()> {
        let put = |name: &str, content: &str| {
            fs::write(self.folder.join(name), content).with_context(|| format!("cannot write {name}"))
        };
        if !facts.cluster.is_empty() {
            put(&format!("{PERSISTENT}/oem/edge/cluster.yaml"), &facts.cluster)?;
        }
        put(NAME_SERVERS, facts.name_server.as_deref().unwrap_or_default())
    }

    /// Switches it on, until its service manager answers.
    ///
    /// # Errors
    /// When it ends before that.
    pub fn start(&mut self) -> Result<()> {
        fs::write(self.folder.join(CONSOLE), "").context("cannot make a console")?;
        let log = self.folder.join(LOG);
        let mut running = Child::new(&self.program).arg(&self.group).arg(&self.folder).spawn(&log)?;
        let children = format!("/proc/{0}/task/{0}/children", running.id());
        let started = Instant::now();
        let init = loop {
            if running.ended()?.is_some() || started.elapsed() > PATIENCE {
                let said = fs::read_to_string(&log).unwrap_or_default();
                return Err(Error::environment(format!("the host did not start: {}", said.trim())));
            }
            let child = fs::read_to_string(&children).ok().and_then(|text| text.trim().parse::<u32>().ok());
            if let Some(child) = child
                && fs::read_link(format!("/proc/{child}/exe"))
                    .is_ok_and(|exe| exe.ends_with("systemd/systemd"))
            {
                break child;
            }
            std::thread::sleep(POLL);
        };
        self.running = Some((running, init));
        self.expect("the service manager", |host| {
            Ok(match host.run(&["systemctl", "show-environment"]) {
                Ok(_) => Deed::Done(()),
                Err(error) => Deed::Seen(error.to_string()),
            })
        })
    }

    /// All processes end at once, and what was in memory is gone.
    ///
    /// # Errors
    /// When something does not end.
    pub fn power_cut(&mut self) -> Result<()> {
        if let Some((mut running, _)) = self.running.take() {
            running.kill();
        }
        control_groups::remove(&self.group)
    }

    fn inside(&self, words: &[&str]) -> Result<Child> {
        let (_, init) = self.running.as_ref().ok_or_else(|| Error::internal("the host is off"))?;
        let environment = ["env", "-i", "PATH=/usr/sbin:/usr/bin", "HOME=/root"];
        Ok(Child::new("nsenter")
            .args(["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--target", &init.to_string()])
            .args(environment)
            .args(words)
            .deadline(PROGRAM_DEADLINE))
    }

    /// Runs a program of the host, as root.
    ///
    /// # Errors
    /// When it fails.
    pub fn run(&self, words: &[&str]) -> Result<String> {
        let output = self.inside(words)?.run()?;
        Ok(String::from_utf8_lossy(&output).into_owned())
    }

    /// Runs a program of this machine on the host's network.
    ///
    /// # Errors
    /// When it fails.
    pub fn on_its_network(&self, program: &Path, arguments: &[&str]) -> Result<Vec<u8>> {
        let (_, init) = self.running.as_ref().ok_or_else(|| Error::internal("the host is off"))?;
        Child::new("nsenter")
            .args(["--net", "--target", &init.to_string()])
            .arg(program)
            .args(arguments)
            .deadline(PROGRAM_DEADLINE)
            .run()
    }

    /// `kubectl` with the rights of the cluster's administrator.
    ///
    /// # Errors
    /// When it fails.
    pub fn kubectl(&self, words: &[&str]) -> Result<String> {
        self.run(&[&["kubectl", "--kubeconfig=/etc/kubernetes/admin.conf"], words].concat())
    }

    /// What the agent says of the cluster.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn cluster(&self) -> Result<ClusterView> {
        let answer = self.run(&["edge-agent", "--json", "cluster", "status"])?;
        serde_json::from_str(&answer).context("the agent's answer cannot be read")
    }

    /// Processor time of everything on it since it was switched on.
    ///
    /// # Errors
    /// When the kernel does not count.
    pub fn processor_time(&self) -> Result<Duration> {
        control_groups::processor_time(&self.group)
    }

    /// Bytes of memory that its processes have for themselves.
    ///
    /// # Errors
    /// When the kernel does not count.
    pub fn memory(&self) -> Result<u64> {
        control_groups::memory(&self.group)
    }

    /// A file or folder of its persistent partition.
    pub fn kept(&self, path: &str) -> PathBuf {
        self.folder.join(PERSISTENT).join(path)
    }

    /// Looks until something is there; gives up when nothing has changed for a long time.
    ///
    /// # Errors
    /// What was seen last.
    pub fn expect<T>(&self, what: &str, look: impl Fn(&Self) -> Result<Deed<T>>) -> Result<T> {
        let mut patience = Patience::new(PATIENCE);
        loop {
            let seen = match look(self)? {
                Deed::Done(found) => return Ok(found),
                Deed::Seen(seen) => seen,
            };
            if patience.is_over(seen.clone()) {
                let error = Error::environment(format!("{what} did not come about; last seen: {seen}"));
                return Err(error.help(format!("logs are in {}", self.folder.display())));
            }
            std::thread::sleep(POLL);
        }
    }

    /// The cluster runs, with all its pods.
    ///
    /// # Errors
    /// As [`NamespaceHost::expect`].
    pub fn expect_cluster(&self) -> Result<ClusterView> {
        self.expect("a running cluster", |host| {
            let view = match host.cluster() {
                Ok(view) => view,
                Err(error) => return Ok(Deed::Seen(error.to_string())),
            };
            let Some(status) = &view.status else { return Ok(Deed::Seen("no cluster".into())) };
            let whole = status.pods.wanted > 0 && status.pods.running == status.pods.wanted;
            let seen = format!("{:?}, {:?}, {:?}", status.phase, status.waits_for, status.troubled);
            Ok(if status.phase == ClusterPhase::Running && whole {
                Deed::Done(view)
            } else {
                Deed::Seen(seen)
            })
        })
    }

    /// Waits until the agent's log of this start has one of some lines, without losing time; gives the number of the
    /// first that it has.
    ///
    /// # Errors
    /// When the log stands still for too long.
    pub fn expect_log(&self, lines: &[String]) -> Result<usize> {
        let path = self.folder.join(JOURNAL);
        let follow = ["journalctl", "--follow", "--lines=all", "--boot", "--output=cat", "--unit=edge-agent"];
        let mut follower = self.inside(&follow)?.spawn(&path)?;
        let mut begun = Instant::now();
        let mut patience = Patience::new(PATIENCE);
        loop {
            let text = files::read_text(&path)?;
            if let Some(at) = lines.iter().position(|line| text.contains(line.as_str())) {
                return Ok(at);
            }
            // Begun before there is a journal of this start, it never sees one.
            let is_blind = text.is_empty() && begun.elapsed() > BLIND;
            if is_blind || follower.ended()?.is_some() {
                follower.kill();
                (follower, begun) = (self.inside(&follow)?.spawn(&path)?, Instant::now());
            }
            if patience.is_over(text.len()) {
                let last = text.lines().last().unwrap_or_default();
                return Err(Error::environment(format!(
                    "the log has none of {lines:?}; its last line: {last}"
                )));
            }
            std::thread::sleep(WATCHFUL);
        }
    }
}

impl Drop for NamespaceHost {
    fn drop(&mut self) {
        crate::cost::add(self.processor_time().map_or(0.0, |time| time.as_secs_f64()));
        // Whoever has failed already keeps its own error.
        let _ = self.power_cut();
    }
}
