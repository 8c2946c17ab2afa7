//! Images that are made from other images.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use edge_host::child::Child;
use edge_model::{Context, Error, Result};
use qemu_tests::bench_ground::{DISK_GIB, Ground};
use qemu_tests::machine::{Bus, Machine, Medium};
use serde_json::Value as Json;

use super::{canvos, ensure};

const DEADLINE: Duration = Duration::from_secs(1800);
/// A real image of Kairos to run the same story with.
pub(super) const REAL_IMAGE: &str = "KAIROS_IMAGE";
/// Part of every base that follows the Kairos contract.
const KAIROS_RELEASE: &str = "KAIROS_ID=\"kairos\"\nKAIROS_NAME=\"kairos-core-debian\"\nKAIROS_VERSION=\"v3.5.0\"\n\
                              KAIROS_FLAVOR=\"debian\"\nKAIROS_FAMILY=\"debian\"\nKAIROS_VARIANT=\"core\"\n";

/// A project with a base of its own.
pub(super) struct Project<'a> {
    pub(super) ground: &'a Ground,
    pub(super) folder: PathBuf,
}

impl Project<'_> {
    pub(super) fn edgeforge(&self, arguments: &[&str]) -> Result<Vec<u8>> {
        Child::new(self.ground.lab.edgeforge()).args(arguments).deadline(DEADLINE).run()
    }

    pub(super) fn path(&self) -> String {
        self.folder.display().to_string()
    }

    fn write(&self, forge: &str) -> Result<()> {
        let put = |name: &str, text: &str| {
            fs::write(self.folder.join(name), text).with_context(|| format!("cannot write {name}"))
        };
        self.edgeforge(&["init", &self.path()])?;
        put("forge.yaml", forge)?;
        let key = &self.ground.key.public;
        let unattended = format!(
            "interactive: never\nhostName: edge-demo\noperator:\n  name: site\n  sshKeys:\n  - {key}\ninstall:\n  after: reboot\n"
        );
        put("unattended.yaml", &unattended)?;
        put("user-data", "#cloud-config\n")
    }

    /// Gives the root hash.
    pub(super) fn build(&self, more: &[&str]) -> Result<String> {
        let path = self.path();
        let arguments: Vec<&str> =
            ["build", &path, "--json"].into_iter().chain(more.iter().copied()).collect();
        let answer: Json = serde_json::from_slice(&self.edgeforge(&arguments)?)
            .context("edgeforge's answer cannot be read")?;
        Ok(answer["root_hash"].as_str().unwrap_or_default().to_owned())
    }
}

/// A base in a registry that follows the Kairos contract is changed in most ways that `forge.yaml` knows; then the same
/// image comes from what is on this machine, drift is refused, and builds do not disturb each other. A provider image
/// and a folder of CanvOS are built upon, too.
pub(super) fn image_from_a_registry(ground: &Ground) -> Result<()> {
    let name = "image-from-a-registry";
    let reference = synthetic_kairos(ground, name)?;
    let project = changed(ground, name, &reference)?;
    let inspected: Json =
        serde_json::from_slice(&project.edgeforge(&["inspect", &project.path(), "--json"])?)
            .context("edgeforge's answer cannot be read")?;
    let packages = inspected["packages"].to_string();
    ensure(packages.contains("\"jq\""), || "the package that was added is not in the image".into())?;
    ensure(!packages.contains("\"smartmontools\""), || "a removed package is in the image".into())?;
    let before = project.build(&[])?;
    let lock = fs::read_to_string(project.folder.join("forge.lock")).context("cannot read forge.lock")?;
    let pinned = lock.contains("\"digest\": \"sha256:");
    ensure(pinned, || format!("the base is not pinned: {lock}"))?;
    let after = project.build(&["--offline", "--locked"])?;
    ensure(before == after, || format!("offline the image is {after}, not {before}"))?;
    fs::write(project.folder.join("overlay/files/new"), "drift").context("cannot change the overlay")?;
    let refused =
        project.build(&["--offline", "--locked"]).err().map(|error| error.to_string()).unwrap_or_default();
    ensure(refused.contains("overlay/files/new added"), || format!("drift was not refused: {refused}"))?;
    builds_do_not_disturb_each_other(&project)?;
    another_image_as_the_base(ground, name)?;
    canvos::folder_builds(ground, &reference)
}

/// A provider image in a registry and its container form are the same base.
fn another_image_as_the_base(ground: &Ground, name: &str) -> Result<()> {
    let first = ground.every_envelope()?;
    let host = format!("127.0.0.1:{}", ground.registry.port());
    let reference = format!("{host}/edge/{name}:1");
    let layout = format!("oci:{}", first.layout().display());
    let pushed = ["--insecure-policy", "copy", "-q", "--dest-tls-verify=false", &layout];
    ground.lab.tool("skopeo")?.args(pushed).arg(format!("docker://{reference}")).run()?;
    let derived = |folder: &str, base: &str| -> Result<String> {
        let folder = ground.lab.work().join(name).join(folder);
        fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let project = Project { ground, folder };
        project.write(&format!(
            "name: derived\nversion: 2.0.0\nbase: {base}\nregistries: [{{ host: '{host}', plain-http: true }}]\n\
             files: [{{ path: /etc/derived, content: 'yes' }}]\n"
        ))?;
        project.build(&[])
    };
    let provider = derived("from-provider", &format!("oci:{reference}"))?;
    let container = first.folder.join("build/container");
    let container = derived("from-container", &format!("oci-layout:{}", container.display()))?;
    ensure(provider == container, || format!("a provider image gives {provider}, its container {container}"))
}

/// Two projects that need the same are built at the same time, and one of the builds is killed.
fn builds_do_not_disturb_each_other(project: &Project<'_>) -> Result<()> {
    let twin = Project { ground: project.ground, folder: project.folder.with_file_name("twin") };
    let copy = format!("rm -rf {1}; cp -r {0} {1}; rm -rf {1}/build", project.path(), twin.path());
    Child::new("sh").args(["-ec", &copy]).deadline(DEADLINE).run()?;
    let log = project.folder.with_file_name("killed.log");
    let mut killed =
        Child::new(project.ground.lab.edgeforge()).args(["build", &project.path()]).spawn(&log)?;
    let other = std::thread::scope(|scope| {
        let other = scope.spawn(|| twin.build(&[]));
        // In the middle of the step that both need.
        std::thread::sleep(Duration::from_secs(2));
        killed.kill();
        other.join().map_err(|_| Error::internal("a build panicked"))
    })??;
    let again = project.build(&[])?;
    ensure(again == other, || format!("the builds differ: {again} and {other}"))
}

/// The same story, installed: the agent runs the stages that the base brings along.
pub(super) fn kairos_base_runs(ground: &Ground) -> Result<()> {
    let name = "kairos-base-runs";
    let reference = synthetic_kairos(ground, name)?;
    runs(ground, name, &reference)
}

/// With an image that Kairos published.
pub(super) fn real_kairos_base_runs(ground: &Ground) -> Result<()> {
    let reference = std::env::var(REAL_IMAGE)
        .map_err(|_| Error::environment(format!("{REAL_IMAGE} names no image of Kairos")))?;
    runs(ground, "real-kairos-base-runs", &reference)
}

fn runs(ground: &Ground, name: &str, reference: &str) -> Result<()> {
    let project = changed(ground, name, reference)?;
    let hash = project.build(&[])?;
    let iso = project.folder.join("build/kairos-shop-1.0.0-amd64.iso");
    // In a folder of its own: that of the project would be emptied.
    let machine = Machine::new(&ground.lab, &format!("{name}-host"), DISK_GIB, Bus::Virtio)?
        .with_medium(Medium::Cd(iso));
    let mut powered = machine.power_on(&ground.lab, ground.accelerator)?;
    let line = powered.serial.expect("edge: healthy", ground.patience(480))?;
    ensure(line.contains(&hash), || format!("another image came up: {line}"))?;
    let ssh = ground.ssh(&machine);
    let report = "cat /run/oem-stage-ran; kairos-agent state get boot; kairos-agent state get kairos.version; \
                  jq --version; id app; cat /etc/made-by-a-command; sudo cat /etc/app.conf; systemctl is-enabled kairos-agent.service";
    let seen = ssh.outcome(report, ground.patience(60))?;
    let text = String::from_utf8_lossy(&seen.stdout).into_owned();
    for expected in [
        "stage boot ran",
        "active_boot",
        "v3.5.0",
        "jq-",
        "uid=900(app)",
        "made here",
        "colour=blue",
        "masked",
    ] {
        ensure(text.contains(expected), || format!("{expected:?} is not in {text}"))?;
    }
    Ok(())
}

/// Packages added and removed, a command, files, an account, hardening and Kubernetes from a file.
fn changed<'a>(ground: &'a Ground, name: &str, reference: &str) -> Result<Project<'a>> {
    let folder = ground.lab.work().join(name).join("project");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let project = Project { ground, folder };
    let host = reference.split('/').next().unwrap_or_default();
    let keys = ground.lab.work().join("keys");
    project.write(&format!(
        "name: kairos-shop\nversion: 1.0.0\nbase: oci:{reference}\nregistries:\n- {{ host: '{host}', plain-http: {} }}\n\
         packages: {{ add: [jq], remove: [smartmontools] }}\n\
         run:\n- echo made here > /etc/made-by-a-command\n\
         - 'test \"$(wc -l < /proc/net/route)\" -le 1'\n\
         files:\n- {{ path: /etc/app.conf, content: \"colour=blue\\n\", owner: 'app:app', permissions: '0640' }}\n\
         users:\n- {{ name: app, system: true }}\n\
         cis-hardening: true\nenvelopes: [raw-zst]\nkeys: {}\n",
        host.starts_with("127."),
        keys.display()
    ))?;
    project.build(&[])?;
    Ok(project)
}

/// Made from the container image of the first build: Debian packages, with the files of the contract in a layer of
/// their own, and one file less. Pushed to the registry.
fn synthetic_kairos(ground: &Ground, name: &str) -> Result<String> {
    let first = ground.every_envelope()?;
    let folder = ground.lab.work().join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    let added = folder.join("added");
    let put = |path: &str, text: &str| {
        let path = added.join(path);
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))
            .and_then(|()| fs::write(&path, text))
            .with_context(|| format!("cannot write {}", path.display()))
    };
    put("etc/kairos-release", KAIROS_RELEASE)?;
    put(
        "system/oem/09_systemd_services.yaml",
        "stages:\n  initramfs:\n  - name: would run Kairos\n    commands: [exit 1]\n",
    )?;
    put(
        "system/oem/31_hosts.yaml",
        "name: hosts\nstages:\n  boot:\n  - name: tell\n    commands: [\"echo stage boot ran > /run/oem-stage-ran\"]\n",
    )?;
    put("usr/bin/kairos-agent", "#!/bin/sh\nexit 1\n")?;
    put("etc/systemd/system/kairos-agent.service", "[Service]\nExecStart=/usr/bin/kairos-agent start\n")?;
    let tool = |program: &str, arguments: &[&str]| -> Result<()> {
        ground.lab.tool(program)?.args(arguments).deadline(DEADLINE).run().map(drop)
    };
    let source = format!("oci:{}:{}", first.folder.join("build/container").display(), first.version);
    let image = format!("{}:kairos", folder.join("layout").display());
    tool("skopeo", &["--insecure-policy", "copy", "-q", &source, &format!("oci:{image}")])?;
    for path in
        ["etc/kairos-release", "system", "usr/bin/kairos-agent", "etc/systemd/system/kairos-agent.service"]
    {
        let from = added.join(path).display().to_string();
        let target = if path == "system" { "/system".to_owned() } else { format!("/{path}") };
        tool("umoci", &["insert", "--rootless", "--image", &image, &from, &target])?;
    }
    tool("umoci", &["insert", "--rootless", "--image", &image, "--whiteout", "/etc/motd"])?;
    let reference = format!("127.0.0.1:{}/kairos/{name}:v3.5.0", ground.registry.port());
    let target = format!("docker://{reference}");
    tool(
        "skopeo",
        &["--insecure-policy", "copy", "-q", "--dest-tls-verify=false", &format!("oci:{image}"), &target],
    )?;
    Ok(reference)
}
