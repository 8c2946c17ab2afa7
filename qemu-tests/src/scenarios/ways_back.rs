//! Hosts whose boot partitions are damaged find a way, without a hand.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use edge_model::layout::Role;
use edge_model::{Context, Result};
use qemu_tests::bench_ground::Ground;
use qemu_tests::images::Recipe;
use qemu_tests::machine::Machine;

use super::bad_images::{partition_start, truncate_uki};
use super::ensure;

/// Points of the ladder at which recovery is asked for by the loader's one-shot entry, little-endian behind the attributes.
const ASK_THE_LOADER_FOR_RECOVERY: &str = "cd /sys/firmware/efi/efivars && count=$(ls -d EdgeBootCount-*) && \
    sudo chattr -i $count && printf '\\007\\000\\000\\000\\002\\000\\023' | sudo tee $count >/dev/null && \
    sudo systemd-run --quiet --on-active=1 systemctl --force --force reboot";

/// The default's UKI cannot be started: the firmware starts the previous image, which stands in and replaces nothing. Without
/// recovery's partition, recovery is beside the images; without any image, the firmware comes to recovery's partition.
pub(super) fn when_loading_fails(ground: &Ground) -> Result<()> {
    let name = "ways-back-when-loading-fails";
    let second = ground.publish(name, &Recipe::version("2.3.0"))?;
    let (machine, mut powered) = ground.healthy_copy(name)?;
    let ssh = ground.ssh(&machine);
    ssh.outcome(&format!("{} --reboot", ground.upgrade_command("2.3.0")), ground.patience(180))?;
    ground.expect_healthy(&mut powered, "b", &second)?;
    ssh.outcome("sudo systemctl poweroff", ground.patience(60))?;
    powered.wait_until_off(ground.patience(60))?;
    truncate_uki(ground, &machine, &second)?;
    let emptied = Machine::copy_of(&ground.lab, &machine, &format!("{name}-emptied"))?;

    erase(&machine, Role::EfiRecovery)?;
    let mut powered = machine.power_on(&ground.lab, ground.accelerator)?;
    ground.expect_healthy(&mut powered, "a", &ground.first)?;
    let status = ssh.run("sudo edge-agent status", ground.patience(60))?;
    ensure(status.contains("version 2.3.0 did not come up"), || format!("nobody says why: {status}"))?;
    let refused = ssh.outcome(&ground.upgrade_command("2.3.0"), ground.patience(60))?;
    ensure(refused.stderr.contains("stands in for one"), || format!("an upgrade began: {refused:?}"))?;
    ssh.outcome(ASK_THE_LOADER_FOR_RECOVERY, ground.patience(60))?;
    powered.serial.expect("edge: recovery: several boots", ground.patience(180))?;
    powered.pull_the_plug();

    remove_ukis(ground, &emptied)?;
    let mut powered = emptied.power_on(&ground.lab, ground.accelerator)?;
    powered
        .serial
        .expect("edge: recovery: the normal system could not be started", ground.patience(180))
        .map(drop)
}

/// Recovery becomes the image that runs, a damaged kernel is mended, and a reset that is cut goes on until it is done.
pub(super) fn reset_and_repair(ground: &Ground) -> Result<()> {
    let name = "reset-and-repair";
    let second = ground.publish(name, &Recipe::version("2.4.0"))?;
    let (machine, mut powered) = ground.healthy_copy(name)?;
    let ssh = ground.ssh(&machine);
    let identity = ssh.run("cat /etc/machine-id; ls /usr/local/kept", ground.patience(60))?;
    ssh.outcome(&format!("{} --reboot", ground.upgrade_command("2.4.0")), ground.patience(180))?;
    ground.expect_healthy(&mut powered, "b", &second)?;
    let refreshed = ssh.run("sudo edge-agent upgrade --recovery", ground.patience(180))?;
    ensure(refreshed.contains("recovery is version 2.4.0 now"), || format!("recovery: {refreshed}"))?;
    let spoil = "sudo mount /dev/vda2 /mnt && echo rotten | sudo tee /mnt/EFI/Linux/edge-recovery.efi >/dev/null && \
                 sudo umount /mnt; sudo edge-agent fsck";
    let found = ssh.outcome(spoil, ground.patience(120))?;
    ensure(found.status.code() == Some(5) && found.stderr.contains("edge-recovery.efi"), || {
        format!("fsck saw no damage: {found:?}")
    })?;
    let mended = ssh.run("sudo edge-agent fsck --repair && sudo edge-agent fsck", ground.patience(120))?;
    ensure(mended.contains("everything that a boot needs is there"), || format!("fsck: {mended}"))?;
    ssh.outcome("sudo edge-agent reset --confirm $(hostname)", ground.patience(120))?;
    powered.serial.expect("edge: reset: erasing the data partition", ground.patience(180))?;
    powered.pull_the_plug();
    let mut powered = machine.power_on(&ground.lab, ground.accelerator)?;
    ground.expect_healthy(&mut powered, "b", &second)?;
    let after =
        ssh.run("cat /etc/machine-id; ls /usr/local/kept; edge-agent history", ground.patience(60))?;
    let machine_id = identity.lines().next().unwrap_or_default();
    ensure(
        after.contains(machine_id) && !after.contains("/usr/local/kept") && after.contains("reset"),
        || format!("after the reset: {after}"),
    )
}

/// As a partition looks whose first sectors are gone.
fn erase(machine: &Machine, role: Role) -> Result<()> {
    let disk =
        OpenOptions::new().write(true).open(machine.disk()).context("cannot open the disk of a machine")?;
    disk.write_all_at(&vec![0; 1 << 20], partition_start(machine, role)?.0).context("cannot write a disk")
}

fn remove_ukis(ground: &Ground, machine: &Machine) -> Result<()> {
    let esp = format!("{}@@{}", machine.disk().display(), partition_start(machine, Role::Efi)?.0);
    let mdel = ground.lab.builder_tool("mdel")?.deadline(Duration::from_secs(60));
    mdel.arg("-i").arg(&esp).arg("::EFI/Linux/*").run().map(drop)
}
