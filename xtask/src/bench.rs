//! Sizes, times and memory against their marks. Prints what it measured; judges nothing by itself.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use edge_host::child::Child;
use edge_model::{Context, Result};
use qemu_tests::bench_ground::Ground;
use qemu_tests::images::{self, Built, Recipe};

use crate::{build, packages, root};

const MIB: f64 = (1u64 << 20) as f64;
const PASS_DEADLINE: Duration = Duration::from_secs(600);

/// Builds, boots and upgrades, and prints a table.
///
/// # Errors
/// When a step fails.
pub(crate) fn bench() -> Result<()> {
    packages::for_builder()?;
    build::build(false)?;
    let ground = Ground::prepare(&root(), &root().join("target/bench"))?;
    builds(&ground)?;
    sizes(&ground.first)?;
    host(&ground)
}

fn row(what: &str, value: String, mark: &str) {
    println!("{what:<44} {value:>14}   {mark}");
}

fn builds(ground: &Ground) -> Result<()> {
    let build = |version: &str, no_cache: bool| -> Result<f64> {
        let started = Instant::now();
        let folder = ground.lab.work().join("timed");
        images::build_in(&ground.lab, &folder, &Recipe::version(version), &ground.site(), None, no_cache)?;
        Ok(started.elapsed().as_secs_f64())
    };
    row("image build, nothing cached", format!("{:.1} s", build("8.0.0", true)?), "mark 180 s");
    row("image build after a change of one file", format!("{:.1} s", build("8.0.1", false)?), "mark 15 s");
    Ok(())
}

fn sizes(built: &Built) -> Result<()> {
    let size = |path: &Path| -> Result<f64> {
        Ok(fs::metadata(path).with_context(|| format!("cannot look at {}", path.display()))?.len() as f64
            / MIB)
    };
    row("ISO", format!("{:.1} MiB", size(&built.iso())?), "mark 400 MB");
    row("UKI", format!("{:.1} MiB", size(&built.uki())?), "mark 25 MB");
    Ok(())
}

/// An installation, a boot and an upgrade in a virtual machine.
fn host(ground: &Ground) -> Result<()> {
    let second = ground.publish("bench-second", &Recipe::version("2.0.0"))?;
    let machine = ground.new_machine("bench")?;
    let mut powered = machine.power_on(&ground.lab, ground.accelerator)?;
    ground.calibrate(&mut powered)?;
    powered.serial.expect("is installed on", ground.patience(180))?;
    let installed = powered.processor_seconds()?;
    row("CPU, power-on to installed", format!("{installed:.1} s"), "");
    ground.expect_healthy(&mut powered, "a", &ground.first)?;
    let ssh = ground.ssh(&machine);
    ssh.outcome("sudo systemctl poweroff", ground.patience(60))?;
    powered.wait_until_off(ground.patience(60))?;
    let mut powered = machine.power_on(&ground.lab, ground.accelerator)?;
    ground.expect_healthy(&mut powered, "a", &ground.first)?;
    row("CPU, power-on to healthy", format!("{:.1} s", powered.processor_seconds()?), "");
    let within = ground.patience(240);
    let analysis = ssh.run("systemd-analyze | head -1", within)?;
    row("of which, by the service manager", analysis, "");
    let resident =
        "sudo sh -c 'grep VmRSS /proc/$(systemctl show -P MainPID edge-agent)/status' | tr -s ' \\t' ' '";
    row("agent, idle", ssh.run(resident, within)?, "mark 12 MB");
    let before = agent_seconds(&ssh, within)?;
    ssh.run(&ground.upgrade_command("2.0.0"), within)?;
    let used = agent_seconds(&ssh, within)? - before;
    row("agent CPU of a full upgrade, emulated", format!("{used:.1} s"), "");
    let peak =
        "sudo sh -c 'grep VmHWM /proc/$(systemctl show -P MainPID edge-agent)/status' | tr -s ' \\t' ' '";
    row("agent, peak during the upgrade", ssh.run(peak, within)?, "mark 32 MiB");
    peer(&second)
}

/// Processor seconds of the agent so far.
fn agent_seconds(ssh: &qemu_tests::ssh::Ssh<'_>, within: Duration) -> Result<f64> {
    let text = ssh
        .run("sudo sh -c 'cut -d\" \" -f14,15 /proc/$(systemctl show -P MainPID edge-agent)/stat'", within)?;
    Ok(text.split_whitespace().filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0)
}

/// The peer on this machine: decompress and hash the same bytes.
fn peer(image: &Built) -> Result<()> {
    let bytes = fs::read(image.folder.join("build/manifest.json")).context("cannot read the manifest")?;
    let manifest = edge_slot_image::signing::parse_manifest(&bytes)?;
    let blob =
        image.layout().join("blobs/sha256").join(edge_model::ids::to_hex(&manifest.root.blob.digest.0));
    let command = format!("zstd -dc < {} | openssl dgst -sha256", blob.display());
    let started = Instant::now();
    Child::new("sh").args(["-c", &command]).deadline(PASS_DEADLINE).run()?;
    row(
        "zstd -dc | openssl dgst, this machine, wall",
        format!("{:.2} s", started.elapsed().as_secs_f64()),
        "",
    );
    Ok(())
}
