//! Sizes, times and memory against their marks. Prints what it measured; judges nothing by itself.

mod builder;
mod cluster;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use edge_host::child::Child;
use edge_model::{Context, Result};
use qemu_tests::bench_ground::Ground;
use qemu_tests::images::{self, Built, Recipe};
use qemu_tests::machine::{Machine, Powered};
use qemu_tests::ssh::Ssh;

use crate::{build, packages, root};

const MIB: f64 = (1u64 << 20) as f64;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Part {
    All,
    Builder,
    Host,
    Cluster,
}

/// Builds, boots and upgrades, and prints a table.
///
/// # Errors
/// When a step fails.
pub(crate) fn bench(part: Part) -> Result<()> {
    packages::for_builder()?;
    // What users get, not what tests are quick to compile. Of a cluster little is ours.
    build::build(part != Part::Cluster)?;
    let ground = Ground::prepare(&root(), &root().join("target/bench"))?;
    if matches!(part, Part::All | Part::Builder) {
        builds(&ground)?;
        sizes(&ground.first)?;
        validation(&ground)?;
        builder::compare(&ground)?;
    }
    if matches!(part, Part::All | Part::Host) {
        host(&ground)?;
    }
    if matches!(part, Part::All | Part::Cluster) {
        // Runner of namespaces and page of pods.
        build::build(false)?;
        cluster::measure(&ground)?;
    }
    Ok(())
}

fn row(what: &str, value: String, mark: &str) {
    println!("{what:<44} {value:>14}   {mark}");
}

fn builds(ground: &Ground) -> Result<()> {
    let build = |recipe: &Recipe, no_cache: bool| -> Result<f64> {
        let started = Instant::now();
        let folder = ground.lab.work().join("timed");
        images::build_in(&ground.lab, &folder, recipe, &ground.site(), None, no_cache)?;
        Ok(started.elapsed().as_secs_f64())
    };
    let recipe = Recipe::version("8.0.0");
    row("image build, nothing cached", format!("{:.1} s", build(&recipe, true)?), "mark 180 s");
    // Never seen before, or the cache would know the answer.
    let changed = recipe.file("etc/motd", &format!("{:?}\n", Instant::now()), false);
    row("image build after a change of one file", format!("{:.1} s", build(&changed, false)?), "mark 15 s");
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

/// User data of 5,000 lines, as `edgeforge validate` reads and checks it; the best of five.
fn validation(ground: &Ground) -> Result<()> {
    let path = ground.lab.work().join("long-user-data");
    fs::write(&path, many_steps(1666)).context("cannot write a document")?;
    let mut best = f64::MAX;
    for _ in 0..5 {
        let started = Instant::now();
        Child::new(ground.lab.edgeforge()).arg("validate").arg(&path).run()?;
        best = best.min(started.elapsed().as_secs_f64());
    }
    row("validation of 5,000 lines", format!("{:.1} ms", best * 1000.0), "mark 50 ms");
    Ok(())
}

/// A stage of so many steps, three lines each.
fn many_steps(count: usize) -> String {
    let step = |index| {
        format!(
            "    - name: step {index}\n      files:\n        - {{path: /run/steps/{index}, content: \"{{{{ .Values.node.hostname }}}}\"}}\n"
        )
    };
    format!("#cloud-config\nstages:\n  boot:\n{}", (0..count).map(step).collect::<String>())
}

/// A boot with 200 steps against one without, as processor seconds until the host is healthy.
fn boot_with_steps(ground: &Ground, machine: &Machine, without: f64) -> Result<()> {
    let within = ground.patience(300);
    let boot = || -> Result<(f64, Powered)> {
        let mut powered = machine.power_on(&ground.lab, ground.accelerator)?;
        ground.expect_healthy(&mut powered, "a", &ground.first)?;
        Ok((powered.processor_seconds()?, powered))
    };
    let ssh = ground.ssh(machine);
    let (_, mut powered) = boot()?;
    let path = ground.lab.work().join("steps.yaml");
    fs::write(&path, many_steps(200)).context("cannot write a document")?;
    ssh.copy(&path, "/home/site/steps.yaml", within)?;
    ssh.outcome("sudo mv steps.yaml /oem/60_steps.yaml; sudo systemctl poweroff", within)?;
    powered.wait_until_off(within)?;
    let (with, mut powered) = boot()?;
    row("CPU, power-on to healthy, 200 steps", format!("{with:.1} s"), "");
    row("ratio", format!("{:.2}", with / without), "");
    ssh.outcome("sudo rm /oem/60_steps.yaml; sudo systemctl poweroff", within)?;
    powered.wait_until_off(within)
}

/// An installation, a boot and an upgrade in a virtual machine.
fn host(ground: &Ground) -> Result<()> {
    let tools = Recipe { packages: vec!["zstd".into(), "curl".into()], ..Recipe::version("2.0.0") };
    let second = ground.publish("bench-second", &tools)?;
    let machine = ground.new_machine("bench")?;
    let mut powered = machine.power_on(&ground.lab, ground.accelerator)?;
    ground.calibrate(&mut powered)?;
    powered.serial.expect("is installed on", ground.patience(180))?;
    row("CPU, power-on to installed", format!("{:.1} s", powered.processor_seconds()?), "");
    ground.expect_healthy(&mut powered, "a", &ground.first)?;
    let (ssh, within) = (ground.ssh(&machine), ground.patience(300));
    ssh.outcome("sudo systemctl poweroff", within)?;
    powered.wait_until_off(within)?;
    let mut powered = machine.power_on(&ground.lab, ground.accelerator)?;
    ground.expect_healthy(&mut powered, "a", &ground.first)?;
    let seconds = powered.processor_seconds()?;
    row("CPU, power-on to healthy", format!("{seconds:.1} s"), "");
    ssh.outcome("sudo systemctl poweroff", within)?;
    powered.wait_until_off(within)?;
    boot_with_steps(ground, &machine, seconds)?;
    let mut powered = machine.power_on(&ground.lab, ground.accelerator)?;
    ground.expect_healthy(&mut powered, "a", &ground.first)?;
    println!("{}", ssh.run("systemd-analyze | head -1; systemd-analyze blame | grep edge", within)?);
    row("agent, idle", ssh.run(&memory("VmRSS", "edge-agent"), within)?, "mark 12 MB");
    row("console, idle", ssh.run(&memory("VmRSS", "edge-tui@tty1"), within)?, "aim 8 MB");
    // The peer's tools are in the second image.
    ssh.outcome(&format!("{} --reboot", ground.upgrade_command("2.0.0")), within)?;
    ground.expect_healthy(&mut powered, "b", &second)?;
    status_under_load(&ssh, within)?;
    upgrade_against_peer(ground, &ssh, within)
}

fn memory(field: &str, unit: &str) -> String {
    format!("sudo sh -c 'grep {field} /proc/$(systemctl show -P MainPID {unit})/status' | tr -s ' \\t' ' '")
}

/// Status while 50 readers follow the news and another client asks without a pause; seconds in the emulated guest.
fn status_under_load(ssh: &Ssh<'_>, within: Duration) -> Result<()> {
    let socket = edge_model::paths::AGENT_SOCKET;
    let curl = format!("curl -s --unix-socket {socket}");
    let command = format!(
        "sudo bash -c 'for i in $(seq 50); do {curl} -N http://a/v1/events > /dev/null & done; \
         {curl} -o /dev/null \"http://a/v1/ledger?[1-100000]\" & \
         {curl} -o /dev/null -w \"%{{time_total}}\\n\" \"http://a/v1/status?[1-500]\" | sort -n | sed -n \"250p;495p\"; kill $(jobs -p)'"
    );
    let seconds = ssh.run(&command, within)?;
    row("status under load, median and 99th of 100", seconds.replace('\n', " s, ") + " s", "mark 0.005 s");
    Ok(())
}

/// A full upgrade from a local file, and the peer that only decompresses and hashes the same bytes: both on the
/// same machine, as processor seconds.
fn upgrade_against_peer(ground: &Ground, ssh: &Ssh<'_>, within: Duration) -> Result<()> {
    let third = images::build(&ground.lab, "bench-third", &Recipe::version("3.0.0"), &ground.site(), None)?;
    let bytes = fs::read(third.folder.join("build/manifest.json")).context("cannot read the manifest")?;
    let manifest = edge_slot_image::signing::parse_manifest(&bytes)?;
    let blob =
        third.layout().join("blobs/sha256").join(edge_model::ids::to_hex(&manifest.root.blob.digest.0));
    ssh.copy(&blob, "/home/site/root.frames", within)?;
    ssh.copy(&third.archive(), "/home/site/image.oci.tar", within)?;
    let before = agent_seconds(ssh, within)?;
    ssh.run("sudo edge-agent upgrade file:/home/site/image.oci.tar", within)?;
    let ours = agent_seconds(ssh, within)? - before;
    let peer = "bash -c 'zstd -dc < root.frames | openssl dgst -sha256 > /dev/null; times' | tail -1";
    let peer = seconds_of_times(&ssh.run(peer, within)?);
    row("local full upgrade, CPU", format!("{ours:.2} s"), "");
    row("zstd -dc | openssl dgst -sha256, CPU", format!("{peer:.2} s"), "");
    row("ratio", format!("{:.2}", ours / peer), "mark 1.5");
    row("agent, peak", ssh.run(&memory("VmHWM", "edge-agent"), within)?, "mark 32 MiB");
    Ok(())
}

/// User and system seconds of the children, as the shell's `times` prints them: `0m1.234s 0m0.567s`.
fn seconds_of_times(line: &str) -> f64 {
    let seconds = |word: &str| {
        let (minutes, rest) = word.trim_end_matches('s').split_once('m')?;
        Some(minutes.parse::<f64>().ok()? * 60.0 + rest.parse::<f64>().ok()?)
    };
    line.split_whitespace().filter_map(seconds).sum()
}

/// Processor seconds of the agent so far.
fn agent_seconds(ssh: &Ssh<'_>, within: Duration) -> Result<f64> {
    let text = ssh
        .run("sudo sh -c 'cut -d\" \" -f14,15 /proc/$(systemctl show -P MainPID edge-agent)/stat'", within)?;
    Ok(text.split_whitespace().filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        assert!((seconds_of_times("1m2.500s 0m0.250s") - 62.75).abs() < 1e-9);
    }
}
