//! Upgrades that go well.

use edge_model::Result;
use qemu_tests::bench_ground::Ground;
use qemu_tests::images::Recipe;

use super::ensure;

/// Version 2 into slot b, version 3 back into slot a; the same version again is already installed; data,
/// machine-id and configuration stay.
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
    ssh.outcome(&format!("{} --reboot", ground.upgrade_command("3.0.0")), ground.patience(180))?;
    ground.expect_healthy(&mut powered, "a", &third)?;
    let history = ssh.run("sudo edge-agent history && sudo edge-agent verify", ground.patience(120))?;
    ensure(history.matches("committed").count() == 2, || format!("history: {history}"))?;
    ensure(history.contains("undamaged: slot-a, slot-b, recovery"), || format!("verify: {history}"))
}
