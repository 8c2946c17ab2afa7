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
    let base = synthetic_kairos(ground, name)?;
    layers_unpack_as_elsewhere(ground, name, &base)?;
    story(ground, name, &base)?;
    another_image_as_the_base(ground, name)?;
    canvos::folder_builds(ground, &base.reference)
}

/// Images are large, and other scenarios need the room: what has been looked at goes.
fn forget(folder: &Path) -> Result<()> {
    fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))
}

/// What every base in a registry goes through.
fn story(ground: &Ground, name: &str, base: &Base) -> Result<()> {
    let project = changed(ground, name, base)?;
    let inspected: Json =
        serde_json::from_slice(&project.edgeforge(&["inspect", &project.path(), "--json"])?)
            .context("edgeforge's answer cannot be read")?;
    let packages = inspected["packages"].to_string();
    ensure(packages.contains("\"jq\""), || "the package that was added is not in the image".into())?;
    for removed in &base.removable {
        ensure(!packages.contains(&format!("\"{removed}\"")), || format!("{removed} is in the image"))?;
    }
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
    update_shows_what_changed(&project)?;
    builds_do_not_disturb_each_other(&project)
}

/// A lock that is behind names a package of another version: the update shows it, and only then writes it.
fn update_shows_what_changed(project: &Project<'_>) -> Result<()> {
    let path = project.folder.join("forge.lock");
    let lock = || fs::read_to_string(&path).context("cannot read forge.lock");
    let mut old: Json = serde_json::from_str(&lock()?).context("forge.lock is no JSON")?;
    let Some(package) = old["packages"]["packages"][0].as_object_mut() else {
        return Err(Error::integrity("no added package is locked"));
    };
    let name = package["name"].to_string();
    package["version"] = "0.1".into();
    fs::write(&path, old.to_string()).context("cannot write forge.lock")?;
    let before = lock()?;
    for (dry, writes) in [(&["--dry-run"][..], false), (&[], true)] {
        let folder = project.path();
        let arguments = [&["update", folder.as_str()], dry].concat();
        let said = String::from_utf8_lossy(&project.edgeforge(&arguments)?).into_owned();
        let expected = format!("~ {} 0.1 → ", name.trim_matches('"'));
        ensure(said.contains(&expected), || format!("the update does not show {expected:?}: {said}"))?;
        ensure((lock()? != before) == writes, || format!("update {dry:?} wrote, or did not"))?;
    }
    Ok(())
}

/// Layers with whiteouts come out as umoci unpacks them: kinds, modes, sizes, links and contents.
fn layers_unpack_as_elsewhere(ground: &Ground, name: &str, base: &Base) -> Result<()> {
    let folder = ground.lab.work().join(name);
    let (ours, bundle) = (folder.join("unpacked"), folder.join("bundle").display().to_string());
    let source = format!("oci:{}", base.reference);
    let target = ours.display().to_string();
    Child::new(ground.lab.edgeforge())
        .args(["unpack", &source, &target, "--plain-http"])
        .deadline(DEADLINE)
        .run()?;
    let image = format!("{}:kairos", folder.join("layout").display());
    ground.lab.tool("umoci")?.args(["unpack", "--rootless", "--image", &image, &bundle]).run()?;
    let list = |root: &str| -> Result<String> {
        let script = "cd \"$0\"; (find . -type d -printf 'd %m %P\\n' -o -printf '%y %m %s %n %l %P\\n'; find . -type f -exec sha256sum {} +) | sort";
        let list = Child::new("sh").args(["-ec", script, root]).deadline(DEADLINE).run()?;
        Ok(String::from_utf8_lossy(&list).into_owned())
    };
    let (ours, theirs) = (list(&target)?, list(&format!("{bundle}/rootfs"))?);
    ensure(ours.lines().count() > 1000, || format!("{} entries were unpacked", ours.lines().count()))?;
    let theirs: std::collections::BTreeSet<&str> = theirs.lines().collect();
    let ours: std::collections::BTreeSet<&str> = ours.lines().collect();
    let different: Vec<_> = ours.symmetric_difference(&theirs).take(10).collect();
    ensure(different.is_empty(), || format!("umoci unpacks otherwise: {different:?}"))?;
    [Path::new(&target), Path::new(&bundle)].into_iter().try_for_each(forget)
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
             files: [{{ path: /etc/derived, content: 'yes' }}]\nenvelopes: []\n"
        ))?;
        let hash = project.build(&[])?;
        forget(&project.folder.join("build"))?;
        Ok(hash)
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
    forget(&twin.folder)?;
    let again = project.build(&[])?;
    ensure(again == other, || format!("the builds differ: {again} and {other}"))?;
    forget(&project.folder.join("build"))
}

/// A base in a registry, and what is known of it beforehand.
struct Base {
    reference: String,
    /// Installed in it, and not needed.
    removable: Vec<&'static str>,
    /// What a host that is made from it says.
    says: Vec<&'static str>,
}

/// The same story, installed: the agent runs the stages that the base brings along.
pub(super) fn kairos_base_runs(ground: &Ground) -> Result<()> {
    let name = "kairos-base-runs";
    let base = synthetic_kairos(ground, name)?;
    runs(ground, name, &base)
}

/// Both stories with an image that Kairos published.
pub(super) fn real_kairos_base_runs(ground: &Ground) -> Result<()> {
    let reference = std::env::var(REAL_IMAGE)
        .map_err(|_| Error::environment(format!("{REAL_IMAGE} names no image of Kairos")))?;
    let base = Base { reference, removable: Vec::new(), says: Vec::new() };
    let name = "real-kairos-base-runs";
    story(ground, name, &base)?;
    runs(ground, name, &base)
}

fn runs(ground: &Ground, name: &str, base: &Base) -> Result<()> {
    let project = changed(ground, name, base)?;
    let hash = project.build(&[])?;
    let iso = project.folder.join("build/kairos-shop-1.0.0-amd64.iso");
    // In a folder of its own: that of the project would be emptied.
    let machine = Machine::new(&ground.lab, &format!("{name}-host"), DISK_GIB, Bus::Virtio)?
        .with_medium(Medium::Cd(iso));
    let mut powered = machine.power_on(&ground.lab, ground.accelerator)?;
    let line = powered.serial.expect("edge: healthy", ground.patience(480))?;
    ensure(line.contains(&hash), || format!("another image came up: {line}"))?;
    let ssh = ground.ssh(&machine);
    let report = "cat /run/project-stage-ran /run/base-stage-ran; kairos-agent state get boot; . /etc/kairos-release; \
                  test \"$(kairos-agent state get kairos.version)\" = \"$KAIROS_VERSION\" && echo \"the version is $KAIROS_VERSION\"; \
                  jq --version; id app; cat /etc/made-by-a-command; sudo cat /etc/app.conf; systemctl is-enabled kairos-agent.service; \
                  test -e /run/kairos-ran || echo nothing of Kairos ran; sudo grep -c '^%admin' /etc/sudoers.d/90-kairos-admin; \
                  grep -c '^kairos:' /etc/passwd";
    let seen = ssh.outcome(report, ground.patience(60))?;
    let text = String::from_utf8_lossy(&seen.stdout).into_owned();
    let always = [
        "a stage of the project ran",
        "active_boot",
        "the version is v",
        "jq-",
        "(app)",
        "made here",
        "colour=blue",
        "nothing of Kairos ran",
        "\n1\n0",
    ];
    for expected in always.iter().chain(&base.says) {
        ensure(text.contains(expected), || format!("{expected:?} is not in {text}"))?;
    }
    Ok(())
}

/// Packages added and removed, a command, files, an account, hardening and Kubernetes from a file.
fn changed<'a>(ground: &'a Ground, name: &str, base: &Base) -> Result<Project<'a>> {
    let reference = &base.reference;
    let folder = ground.lab.work().join(name).join("project");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let project = Project { ground, folder };
    let host = reference.split('/').next().unwrap_or_default();
    let keys = ground.lab.work().join("keys");
    project.write(&format!(
        "name: kairos-shop\nversion: 1.0.0\nbase: oci:{reference}\nregistries:\n- {{ host: '{host}', plain-http: {} }}\n\
         packages: {{ add: [jq], remove: [{}] }}\n\
         run:\n- echo made here > /etc/made-by-a-command\n\
         - 'test \"$(wc -l < /proc/net/route)\" -le 1'\n\
         files:\n- {{ path: /etc/app.conf, content: \"colour=blue\\n\", owner: 'app:app', permissions: '0640' }}\n\
         users:\n- {{ name: app, system: true }}\n\
         cis-hardening: true\nenvelopes: []\nkeys: {}\n",
        host.starts_with("127."),
        base.removable.join(", "),
        keys.display()
    ))?;
    let stage =
        "stages:\n  boot:\n  - commands: [\"echo a stage of the project ran > /run/project-stage-ran\"]\n";
    let path = project.folder.join("overlay/files/system/oem/95_project.yaml");
    fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))
        .and_then(|()| fs::write(&path, stage))
        .context("cannot write a stage")?;
    project.build(&[])?;
    Ok(project)
}

/// Made from the container image of the first build: Debian packages, with the files of the contract in a layer of
/// their own, and one file less. Pushed to the registry.
fn synthetic_kairos(ground: &Ground, name: &str) -> Result<Base> {
    let first = ground.every_envelope()?;
    let folder = ground.lab.work().join(name);
    if folder.exists() {
        forget(&folder)?;
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
        "stages:\n  initramfs:\n  - name: would run Kairos\n    commands: [touch /run/kairos-ran]\n",
    )?;
    put(
        "system/oem/31_hosts.yaml",
        "name: hosts\nstages:\n  boot:\n  - name: tell\n    commands: [\"echo a stage of the base ran > /run/base-stage-ran\"]\n",
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
    let says = vec!["a stage of the base ran", "the version is v3.5.0", "uid=900(app)", "masked"];
    Ok(Base { reference, removable: vec!["smartmontools"], says })
}
