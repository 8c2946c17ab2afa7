//! Upgrades that go well.

use std::path::PathBuf;

use edge_model::Result;
use qemu_tests::bench_ground::{DISK_GIB, Ground, OLDER_BUILDER};
use qemu_tests::images::{self, Recipe};
use qemu_tests::machine::{Bus, Machine, Medium};
use qemu_tests::records::{self, Said};

use super::ensure;

/// A service that works on its disk for much longer than the trial has.
const SLOW_SERVICE: &str = "[Unit]\nDescription=Works on its disk\n[Service]\nType=oneshot\nTimeoutStartSec=infinity\n\
    ExecStart=/bin/sh -c 'for i in $(seq 16); do dd if=/dev/urandom of=/usr/local/slow bs=1M count=8 conv=fsync; sleep 8; done'\n";
const WANTS_IT: &str = "[Unit]\nWants=slow.service\nAfter=slow.service\n";
const SHORT_TRIAL: &str = "edge: {health: {deadlineSeconds: 40}}\n";

/// An image whose boot takes long because its disk is busy is kept.
pub(super) fn slow_and_kept(ground: &Ground) -> Result<()> {
    let slow = Recipe::version("2.0.0")
        .file("usr/lib/systemd/system/slow.service", SLOW_SERVICE, false)
        .file("usr/lib/systemd/system/multi-user.target.d/slow.conf", WANTS_IT, false)
        .file("system/oem/50_trial.yaml", SHORT_TRIAL, false);
    let slow = ground.publish("slow-trial", &slow)?;
    let (machine, mut powered) = ground.healthy_copy("slow-trial-is-kept")?;
    let ssh = ground.ssh(&machine);
    ssh.outcome(&format!("{} --reboot", ground.upgrade_command("2.0.0")), ground.patience(180))?;
    ground.expect_healthy(&mut powered, "b", &slow)?;
    let up_time = ssh.run("cut -d. -f1 /proc/uptime", ground.patience(60))?;
    ensure(up_time.trim().parse().is_ok_and(|seconds: u64| seconds > 100), || {
        format!("the boot was not slow: {up_time}")
    })?;
    // Those that run, and not those that could.
    let status = ssh.run("edge-agent status; systemctl list-timers", ground.patience(60))?;
    ensure(status.contains("slow to start") && !status.contains("edge-trial-deadline"), || {
        format!("nobody says why, or a deadline is left: {status}")
    })
}

/// A host with an older agent takes this one, comes back, and takes it again: what each keeps is read by the other, and nothing of
/// it is lost.
pub(super) fn from_an_older_agent(ground: &Ground) -> Result<()> {
    let name = "from-an-older-agent-and-back";
    let builder = std::env::var_os(OLDER_BUILDER).map(PathBuf::from).unwrap_or_default();
    let folder = ground.lab.work().join("projects").join(name);
    // It does not know of a time to soak.
    let recipe = Recipe { soak_seconds: None, ..Recipe::version("0.9.0") };
    let older = images::build_by(&builder, &ground.lab, &folder, &recipe, &ground.site(), None, false)?;
    let newer = ground.publish(&format!("{name}-newer"), &Recipe::version("2.5.0"))?;
    let machine =
        Machine::new(&ground.lab, name, DISK_GIB, Bus::Virtio)?.with_medium(Medium::Cd(older.iso()));
    let mut powered = machine.power_on(&ground.lab, ground.accelerator)?;
    ground.expect_healthy(&mut powered, "a", &older)?;
    let ssh = ground.ssh(&machine);
    let identity = "cat /etc/machine-id; cat /run/edge/host-id; sudo sha256sum /oem/90_custom.yaml";
    let before = ssh.run(identity, ground.patience(60))?;
    ssh.outcome(&format!("{} --reboot", ground.upgrade_command("2.5.0")), ground.patience(180))?;
    ground.expect_healthy(&mut powered, "b", &newer)?;
    let looked =
        "sudo edge-agent status; sudo edge-agent history; sudo edge-agent fsck; sudo edge-agent verify";
    let seen = ssh.run(looked, ground.patience(240))?;
    ensure(seen.contains("2.5.0") && !seen.contains("damaged"), || format!("the newer agent says: {seen}"))?;
    ssh.outcome("sudo edge-agent rollback", ground.patience(90))?;
    ground.expect_healthy(&mut powered, "a", &older)?;
    let seen = ssh.run("sudo edge-agent status; sudo edge-agent history", ground.patience(60))?;
    ensure(seen.contains("0.9.0") && !seen.contains("damaged"), || format!("the older agent says: {seen}"))?;
    ssh.outcome("sudo edge-agent rollback", ground.patience(90))?;
    ground.expect_healthy(&mut powered, "b", &newer)?;
    let after = ssh.run(identity, ground.patience(60))?;
    ensure(before == after, || format!("identity or data changed: {before} → {after}"))?;
    let history = ssh.run("sudo edge-agent history", ground.patience(60))?;
    let both = history.contains("0.9.0") && history.contains("2.5.0");
    ensure(both, || format!("what the older agent did is forgotten: {history}"))
}

/// Version 2 into slot b, version 3 back into slot a; the same version again is already installed; data,
/// machine-id and configuration stay. What rots in a slot afterwards is found.
pub(super) fn there_and_back(ground: &Ground) -> Result<()> {
    let second = ground.publish("second", &Recipe::version("2.0.0"))?;
    let third = ground.publish("third", &Recipe::version("3.0.0"))?;
    let (machine, mut powered) = ground.healthy_copy("upgrade-there-and-back")?;
    let ssh = ground.ssh(&machine);
    let identity = "cat /etc/machine-id; sudo sha256sum /oem/90_custom.yaml; ls /usr/local/kept";
    let before = ssh.run(identity, ground.patience(60))?;
    ssh.outcome(&format!("{} --reboot", ground.upgrade_command("2.0.0")), ground.patience(180))?;
    ground.expect_healthy(&mut powered, "b", &second)?;
    let after = ssh.run(identity, ground.patience(60))?;
    ensure(before == after, || format!("identity or data changed: {before} → {after}"))?;
    // Stages of the boot before: those around the upgrade ran, one of them inside the new image.
    let stages = ssh.run("sudo edge-agent stage log --all", ground.patience(60))?;
    for stage in
        ["stage before-upgrade", "stage after-upgrade-chroot (in the new image)", "stage after-upgrade ("]
    {
        ensure(stages.contains(stage), || format!("{stage} did not run: {stages}"))?;
    }
    let boots = ssh.run("sudo edge-agent black-box", ground.patience(60))?;
    let knows = boots.contains("restarted: upgrade, asked for by root") && !boots.contains("nobody saw it");
    ensure(knows, || format!("the black box does not know why and how the host restarted: {boots}"))?;
    let again = ssh.run(&ground.upgrade_command("2.0.0"), ground.patience(60))?;
    ensure(again.contains("already installed"), || format!("a second time: {again}"))?;
    let older = ssh.outcome(&ground.upgrade_command("1.5.0-missing"), ground.patience(60))?;
    // The registry was reached: nobody is sent to look for a cable.
    let is_told = older.stderr.contains("no such image") && !older.stderr.contains("check the network");
    ensure(older.status.code() == Some(2) && is_told, || format!("a missing tag: {older:?}"))?;
    ssh.run(&ground.upgrade_command("3.0.0"), ground.patience(180))?;
    records::check(&ground.root, &ssh, ground.patience(60), &[Said::Last("upgrade", "/v1/operations")])?;
    ssh.outcome("sudo edge-agent reboot", ground.patience(60))?;
    ground.expect_healthy(&mut powered, "a", &third)?;
    let history = ssh.run("sudo edge-agent history && sudo edge-agent verify", ground.patience(120))?;
    ensure(history.matches("committed").count() == 2, || format!("history: {history}"))?;
    ensure(history.contains("undamaged: slot-a, slot-b, recovery"), || format!("verify: {history}"))?;
    // One sector of the other image rots.
    let rot = "sudo dd if=/dev/urandom of=/dev/vda6 bs=512 count=1 seek=70000 conv=fsync status=none; sudo edge-agent verify";
    let outcome = ssh.outcome(rot, ground.patience(120))?;
    ensure(outcome.status.code() == Some(5) && outcome.stderr.contains("slot-b: block"), || {
        format!("verify did not find the damage: {outcome:?}")
    })
}
