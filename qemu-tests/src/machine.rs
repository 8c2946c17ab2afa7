//! One virtual machine: its own copies of disk and firmware variables, TCG unless the host's KVM really works.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use edge_host::child::{Child, Running};
use edge_model::{Context, Error, Result};
use serde_json::json;

use crate::cost::{self, Meter};
use crate::lab::Lab;
use crate::qmp::Qmp;
use crate::serial::Serial;

/// In the folder of a machine.
pub(crate) const DISK: &str = "disk.raw";
const CONTROL: &str = "qmp.sock";
const FIRMWARE: &str = "/usr/share/OVMF/OVMF_CODE_4M.fd";
const VARIABLES: &str = "/usr/share/OVMF/OVMF_VARS_4M.fd";
const MEMORY_MIB: u32 = 1024;
/// With Kubernetes: less is enough, and every user of it has this much.
const CLUSTER_MEMORY_MIB: u32 = 4096;
const CLUSTER_PROCESSORS: u32 = 2;
const START_WITHIN: Duration = Duration::from_secs(20);
/// For a state of at most [`MEMORY_MIB`], on a slow disk.
const STATE_WITHIN: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(50);

/// How a disk is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bus {
    Virtio,
    Nvme,
}

/// How an installation medium is attached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Medium {
    None,
    Cd(PathBuf),
    UsbStick(PathBuf),
}

/// A machine that may be switched on and off.
#[derive(Debug, Clone)]
pub struct Machine {
    folder: PathBuf,
    bus: Bus,
    second_disk: Option<PathBuf>,
    stick: Option<PathBuf>,
    medium: Medium,
    ssh_port: u16,
    /// The machine may stay on when this program ends.
    independent: bool,
    medium_first: bool,
    /// What the firmware downloads and starts.
    http_boot: Option<String>,
    memory_mib: u32,
    processors: u32,
    /// Port of this machine, and of the guest behind it.
    forwarded: Option<(u16, u16)>,
    /// The guest reaches nobody.
    isolated: bool,
}

/// A machine that is on. Dropping it pulls the plug.
#[derive(Debug)]
pub struct Powered {
    // Before the process: it is read a last time when this value goes.
    meter: Meter,
    process: Running,
    pub serial: Serial,
    folder: PathBuf,
    control: PathBuf,
}

impl Machine {
    /// A machine with an empty disk of `disk_gib`, in a new folder.
    ///
    /// # Errors
    /// When the folder cannot be filled.
    pub fn new(lab: &Lab, name: &str, disk_gib: u64, bus: Bus) -> Result<Self> {
        let machine = Self { bus, ..Self::at(&new_folder(lab, name)?, free_port()?) };
        fs::copy(lab.tool_file(VARIABLES), machine.variables())
            .context("cannot copy the firmware's variables")?;
        let disk = fs::File::create(machine.disk()).context("cannot create a disk")?;
        disk.set_len(disk_gib << 30).context("cannot create a disk")?;
        Ok(machine)
    }

    /// A machine with the disk and the firmware's variables of another one that is off, or stopped.
    ///
    /// # Errors
    /// When the state cannot be copied.
    pub fn copy_of(lab: &Lab, original: &Machine, name: &str) -> Result<Self> {
        let machine = Self { bus: original.bus, ..Self::at(&new_folder(lab, name)?, free_port()?) };
        fs::copy(original.variables(), machine.variables())
            .context("cannot copy the firmware's variables")?;
        Child::new("cp").arg("--sparse=always").arg(original.disk()).arg(machine.disk()).run()?;
        Ok(machine)
    }

    /// The machine whose files are in a folder already.
    pub fn at(folder: &Path, ssh_port: u16) -> Self {
        Self {
            folder: folder.to_owned(),
            bus: Bus::Virtio,
            second_disk: None,
            stick: None,
            medium: Medium::None,
            ssh_port,
            independent: false,
            medium_first: false,
            http_boot: None,
            memory_mib: MEMORY_MIB,
            processors: 1,
            forwarded: None,
            isolated: false,
        }
    }

    /// Large enough for a cluster, with a port of the guest reachable at a port of this machine.
    #[must_use]
    pub fn for_cluster(mut self, port: u16, guest_port: u16) -> Self {
        self.memory_mib = CLUSTER_MEMORY_MIB;
        self.processors = CLUSTER_PROCESSORS;
        self.forwarded = Some((port, guest_port));
        self
    }

    /// On a network without a way out and without name servers that answer.
    #[must_use]
    pub fn isolated(mut self) -> Self {
        self.isolated = true;
        self
    }

    #[must_use]
    pub fn with_medium(mut self, medium: Medium) -> Self {
        self.medium = medium;
        self
    }

    /// Lets the machine stay on when this program ends; see [`Powered::detach`].
    #[must_use]
    pub fn independent(mut self) -> Self {
        self.independent = true;
        self
    }

    /// Attaches another disk, whose content is not changed.
    #[must_use]
    pub fn with_second_disk(mut self, image: &Path) -> Self {
        self.second_disk = Some(image.to_owned());
        self
    }

    /// Plugs a stick in that the machine may write to.
    #[must_use]
    pub fn with_stick(mut self, image: &Path) -> Self {
        self.stick = Some(image.to_owned());
        self
    }

    /// Pulls the stick out.
    #[must_use]
    pub fn without_stick(mut self) -> Self {
        self.stick = None;
        self
    }

    /// Makes the firmware start the medium before any disk.
    #[must_use]
    pub fn preferring_medium(mut self) -> Self {
        self.medium_first = true;
        self
    }

    /// Makes the firmware download a medium and start it, before any disk.
    #[must_use]
    pub fn starting_over_http(mut self, url: &str) -> Self {
        self.http_boot = Some(url.to_owned());
        self
    }

    /// Puts the firmware's variables back to those of a new machine.
    ///
    /// # Errors
    /// When they cannot be copied.
    pub fn forget_firmware_variables(&self, lab: &Lab) -> Result<()> {
        fs::copy(lab.tool_file(VARIABLES), self.variables())
            .map(drop)
            .context("cannot copy the firmware's variables")
    }

    /// Copies an image to the beginning of the disk, whose size stays.
    ///
    /// # Errors
    /// When it cannot be copied.
    pub fn fill_disk_from(&self, image: &Path) -> Result<()> {
        let size = fs::metadata(self.disk()).context("cannot look at the disk")?.len();
        Child::new("cp").arg("--sparse=always").arg(image).arg(self.disk()).run()?;
        let disk = fs::OpenOptions::new().write(true).open(self.disk()).context("cannot open the disk")?;
        disk.set_len(size).context("cannot restore the size of the disk")
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn disk(&self) -> PathBuf {
        self.folder.join(DISK)
    }

    pub fn variables(&self) -> PathBuf {
        self.folder.join("vars.fd")
    }

    pub fn ssh_port(&self) -> u16 {
        self.ssh_port
    }

    /// Writes a picture (PNG) of the screen of a machine that is on, whoever has switched it on.
    ///
    /// # Errors
    /// When it is off, or QEMU cannot write the file.
    pub fn picture(&self, file: &Path) -> Result<()> {
        let arguments = json!({ "filename": file, "format": "png" });
        Qmp::connect(&self.folder.join(CONTROL))?.command("screendump", arguments).map(drop)
    }

    /// Switches the machine on.
    ///
    /// # Errors
    /// When the emulator does not start.
    pub fn power_on(&self, lab: &Lab, accelerator: Accelerator) -> Result<Powered> {
        self.start(lab, accelerator, |emulator| emulator)
    }

    /// Lets the machine go on from the moment at which [`Powered::save_state`] stopped it.
    ///
    /// # Errors
    /// When the emulator does not start or the state is not one of this machine.
    pub fn resume(&self, lab: &Lab, accelerator: Accelerator, state: &Path) -> Result<Powered> {
        let state = format!("file:{}", state.display());
        let powered = self.start(lab, accelerator, |emulator| emulator.args(["-incoming", &state]))?;
        let mut control = Qmp::connect(&powered.control)?;
        let started = Instant::now();
        while control.command("query-status", json!({}))?["status"] == "inmigrate" {
            if started.elapsed() > STATE_WITHIN {
                return Err(Error::environment("the machine's state was not loaded in time"));
            }
            sleep(POLL);
        }
        control.command("cont", json!({}))?;
        Ok(powered)
    }

    fn start(
        &self,
        lab: &Lab,
        accelerator: Accelerator,
        prepare: impl FnOnce(Child) -> Child,
    ) -> Result<Powered> {
        let serial = self.folder.join("serial.log");
        let control = self.folder.join(CONTROL);
        for stale in [&serial, &control] {
            // They belong to an earlier run.
            let _ = fs::remove_file(stale);
        }
        let mut emulator = prepare(self.emulator(lab, accelerator, &serial, &control)?);
        if self.independent {
            emulator = emulator.independent();
        }
        let process = emulator.spawn(&self.folder.join("qemu.log"))?;
        let mut powered = Powered {
            meter: Meter::of(process.id()),
            process,
            serial: Serial::new(&serial),
            folder: self.folder.clone(),
            control,
        };
        powered.wait_for_control()?;
        Ok(powered)
    }

    fn emulator(&self, lab: &Lab, accelerator: Accelerator, serial: &Path, control: &Path) -> Result<Child> {
        let mut qemu = lab
            .tool("qemu-system-x86_64")?
            .args(["-nodefaults", "-no-user-config", "-display", "none", "-machine", "q35"])
            .args(["-accel", &accelerator.with(self.processors), "-cpu", "max"])
            .args(["-smp", &self.processors.to_string(), "-m", &self.memory_mib.to_string()])
            .arg("-drive")
            .arg(format!("if=pflash,format=raw,unit=0,readonly=on,file={FIRMWARE}"))
            .arg("-drive")
            .arg(format!("if=pflash,format=raw,unit=1,file={}", self.variables().display()))
            .arg("-serial")
            .arg(format!("file:{}", serial.display()))
            .arg("-qmp")
            .arg(format!("unix:{},server=on,wait=off", control.display()))
            .args(["-device", "i6300esb", "-action", "watchdog=reset"])
            .args(["-device", "virtio-rng-pci", "-device", "VGA"])
            .args(self.network())
            .arg("-drive")
            .arg(format!(
                "if=none,id=disk,format=raw,cache=unsafe,discard=unmap,file={}",
                self.disk().display()
            ))
            .args(["-device", self.bus.device()]);
        if let Some(image) = &self.second_disk {
            qemu = qemu
                .arg("-drive")
                .arg(format!("if=none,id=second,format=raw,snapshot=on,file={}", image.display()))
                .args(["-device", "virtio-blk-pci,drive=second"]);
        }
        if let Some(image) = &self.stick {
            qemu = qemu
                .arg("-drive")
                .arg(format!("if=none,id=stick,format=raw,file={}", image.display()))
                .args([
                    "-device",
                    "qemu-xhci,id=sticks",
                    "-device",
                    "usb-storage,bus=sticks.0,drive=stick,removable=on",
                ]);
        }
        // Every machine has a CD drive, so that a saved state fits all of them.
        let mut drive = String::from("ide-cd,id=cd,bus=ide.0");
        qemu = match &self.medium {
            Medium::None => qemu,
            Medium::Cd(iso) => {
                drive.push_str(",drive=medium");
                if self.medium_first {
                    drive.push_str(",bootindex=0");
                }
                qemu.arg("-drive").arg(format!(
                    "if=none,id=medium,format=raw,media=cdrom,readonly=on,file={}",
                    iso.display()
                ))
            }
            Medium::UsbStick(iso) => qemu
                .arg("-drive")
                .arg(format!("if=none,id=medium,format=raw,readonly=on,file={}", iso.display()))
                .args(["-device", "qemu-xhci", "-device", "usb-storage,drive=medium,removable=on"]),
        };
        Ok(qemu.args(["-device", &drive]))
    }
}

impl Machine {
    fn network(&self) -> Vec<String> {
        let mut user = format!("user,id=net,hostfwd=tcp:127.0.0.1:{}-:22", self.ssh_port);
        if let Some((port, guest_port)) = self.forwarded {
            user.push_str(&format!(",hostfwd=tcp:127.0.0.1:{port}-:{guest_port}"));
        }
        if self.isolated {
            user.push_str(",restrict=on");
        }
        let words: Vec<String> = match &self.http_boot {
            None => vec!["-netdev".into(), user, "-device".into(), "virtio-net-pci,netdev=net".into()],
            Some(url) => vec![
                "-netdev".into(),
                // Over IPv6 nobody answers, and the firmware waits for minutes.
                format!("{user},ipv6=off,bootfile={url}"),
                "-device".into(),
                "virtio-net-pci,netdev=net,romfile=,bootindex=0".into(),
                "-fw_cfg".into(),
                "name=opt/org.tianocore/IPv4PXESupport,string=n".into(),
                "-fw_cfg".into(),
                "name=opt/org.tianocore/IPv6PXESupport,string=n".into(),
            ],
        };
        words
    }
}

fn new_folder(lab: &Lab, name: &str) -> Result<PathBuf> {
    let folder = lab.work().join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    Ok(folder)
}

impl Bus {
    fn device(self) -> &'static str {
        match self {
            Bus::Virtio => "virtio-blk-pci,drive=disk,serial=EDGE-DISK-1",
            Bus::Nvme => "nvme,drive=disk,serial=EDGE-DISK-1",
        }
    }
}

/// What runs the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accelerator {
    Tcg,
    Kvm,
}

impl Accelerator {
    /// Translated code is kept in 128 MiB for each processor, not in QEMU's 1 GiB: after a restart of the guest what is left of the
    /// system before is thrown away page by page while it is overwritten, which made a warm start cost 75 processor seconds
    /// instead of 50.
    fn with(self, processors: u32) -> String {
        match self {
            Accelerator::Tcg => format!("tcg,thread=multi,tb-size={}", 128 * processors),
            Accelerator::Kvm => "kvm".into(),
        }
    }

    /// KVM only when a probe guest has really come up with it: a device file proves nothing.
    ///
    /// # Errors
    /// When the probe cannot be prepared.
    pub fn probe(lab: &Lab, iso: &Path) -> Result<Self> {
        const WITHIN: Duration = Duration::from_secs(10);
        if !Path::new("/dev/kvm").exists() {
            return Ok(Accelerator::Tcg);
        }
        let machine = Machine::new(lab, "kvm-probe", 1, Bus::Virtio)?.with_medium(Medium::Cd(iso.to_owned()));
        let works = machine
            .power_on(lab, Accelerator::Kvm)
            .and_then(|mut powered| powered.serial.expect("edge: starting the installer", WITHIN))
            .is_ok();
        Ok(if works { Accelerator::Kvm } else { Accelerator::Tcg })
    }
}

impl Powered {
    fn wait_for_control(&mut self) -> Result<()> {
        let started = Instant::now();
        while !self.control.exists() {
            if self.process.ended()?.is_some() || started.elapsed() > START_WITHIN {
                let log = fs::read_to_string(self.folder.join("qemu.log")).unwrap_or_default();
                return Err(Error::environment(format!("the emulator did not start: {}", log.trim())));
            }
            sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Waits until the guest has switched itself off.
    ///
    /// # Errors
    /// When it does not in time.
    pub fn wait_until_off(&mut self, within: Duration) -> Result<()> {
        let started = Instant::now();
        loop {
            // Before it is waited for: afterwards nobody knows.
            self.meter.look();
            if self.process.ended()?.is_some() {
                return Ok(());
            }
            if started.elapsed() > within {
                return Err(Error::environment(format!(
                    "the machine was still on after {} s",
                    within.as_secs()
                )));
            }
            sleep(Duration::from_millis(100));
        }
    }

    /// Pulls the plug: guest memory is gone, what the guest gave to its disk is kept.
    pub fn pull_the_plug(mut self) {
        self.meter.look();
        self.process.kill();
    }

    /// Takes the disc out of the drive, stops the machine and writes what it holds in memory to a file, for
    /// [`Machine::resume`] with disk and variables as they are now; [`Powered::go_on`] starts it again.
    ///
    /// # Errors
    /// When the emulator refuses.
    pub fn save_state(&self, state: &Path) -> Result<()> {
        let mut control = Qmp::connect(&self.control)?;
        control.command("eject", json!({ "id": "cd", "force": true }))?;
        control.command("stop", json!({}))?;
        control.command("migrate-set-parameters", json!({ "max-bandwidth": 1_u64 << 33 }))?;
        control.command("migrate", json!({ "uri": format!("file:{}", state.display()) }))?;
        let started = Instant::now();
        loop {
            let answer = control.command("query-migrate", json!({}))?;
            match answer["status"].as_str() {
                Some("completed") => return Ok(()),
                Some("failed") => return Err(Error::environment(format!("no state was saved: {answer}"))),
                _ if started.elapsed() > STATE_WITHIN => {
                    return Err(Error::environment(format!("the state was not saved in time: {answer}")));
                }
                _ => sleep(POLL),
            }
        }
    }

    /// Starts a machine that [`Powered::save_state`] has stopped.
    ///
    /// # Errors
    /// When the emulator refuses.
    pub fn go_on(&self) -> Result<()> {
        Qmp::connect(&self.control)?.command("cont", json!({})).map(drop)
    }

    /// QEMU's control of this machine.
    ///
    /// # Errors
    /// When it is gone.
    pub fn control(&self) -> Result<Qmp> {
        Qmp::connect(&self.control)
    }

    /// Presses the reset button.
    ///
    /// # Errors
    /// When the emulator does not answer.
    pub fn reset(&self) -> Result<()> {
        Qmp::connect(&self.control)?.command("system_reset", json!({})).map(drop)
    }

    /// Processor seconds that the machine has used so far.
    ///
    /// # Errors
    /// When it is gone.
    pub fn processor_seconds(&self) -> Result<f64> {
        cost::processor_seconds(self.process.id())
    }

    /// Leaves the machine running when this program ends; returns the emulator's process identifier.
    pub fn detach(self) -> u32 {
        std::mem::forget(self.meter);
        self.process.detach()
    }
}

/// A port of the loopback interface that is free now.
///
/// # Errors
/// When there is none.
pub fn free_port() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").context("cannot find a free port")?;
    Ok(listener.local_addr().context("cannot find a free port")?.port())
}
