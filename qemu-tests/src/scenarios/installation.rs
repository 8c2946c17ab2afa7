//! From medium to a running host.

use std::fs::File;

use edge_model::{Context, Result};
use qemu_tests::bench_ground::{DISK_GIB, Ground};
use qemu_tests::machine::{Bus, Machine, Medium};

use super::ensure;

/// ISO → unattended installation → restart → slot a, healthy, read-only and verified root.
pub(super) fn install_and_run(ground: &Ground) -> Result<()> {
    let machine = ground.new_machine("install-and-run")?;
    let mut powered = machine.power_on(&ground.lab, ground.accelerator)?;
    ground.calibrate(&mut powered)?;
    for stage in ["kairos-install.pre", "before-install.before", "before-install"] {
        powered.serial.expect(&format!("mark {stage}"), ground.patience(120))?;
    }
    for stage in ["after-install", "kairos-install.after"] {
        powered.serial.expect(&format!("mark {stage}"), ground.patience(120))?;
    }
    powered.serial.expect("is installed on /dev/vda", ground.patience(120))?;
    ground.expect_healthy(&mut powered, "a", &ground.first)?;
    let ssh = ground.ssh(&machine);
    let root = ssh.run("findmnt -no SOURCE,FSTYPE,OPTIONS /", ground.patience(60))?;
    ensure(root.contains("/dev/dm-") && root.contains("erofs") && root.contains("ro"), || {
        format!("root is {root}")
    })?;
    let report = ssh.run(
        "sudo touch /usr/probe 2>/dev/null && echo writable; \
         sudo touch /usr/local/kept /home/site/kept; cat /sys/block/dm-0/dm/name; \
         sudo grep -c skip-copy /oem/90_custom.yaml; cat /usr/local/chroot-was-here; \
         sudo edge-agent status; sync",
        ground.patience(60),
    )?;
    ensure(!report.contains("writable") && report.contains("edge-root"), || {
        format!("the root is not verified: {report}")
    })?;
    ensure(report.contains("\n0\nmark after-install-chroot"), || {
        format!("the stages of the installation did not leave what they should: {report}")
    })?;
    for expected in
        ["image     edge-appliance 1.0.0", "main in slot a, Committed", "health    healthy", "edge-demo"]
    {
        ensure(report.contains(expected), || format!("status lacks {expected:?}: {report}"))?;
    }
    // Otherwise each scenario that goes on from here looks at all devices once more.
    ssh.run(
        "sudo systemctl stop edge-other-devices.timer && sudo systemctl start edge-other-devices.service",
        ground.patience(120),
    )?;
    ground.keep_running(&machine, &powered)
}

/// The recovery entry boots, says that it is recovery and why; the next boot is the normal one.
pub(super) fn recovery_says_why(ground: &Ground) -> Result<()> {
    let (machine, mut powered) = ground.healthy_copy("recovery-says-why")?;
    let ssh = ground.ssh(&machine);
    ssh.outcome("sudo edge-agent reboot --recovery", ground.patience(60))?;
    powered.serial.expect("edge: recovery: an operator asked for recovery", ground.patience(180))?;
    let status = ssh.run("sudo edge-agent status", ground.patience(60))?;
    ensure(status.contains("recovery, Recovery"), || format!("status does not say recovery: {status}"))?;
    powered.reset()?;
    powered.serial.expect("edge: starting edge-appliance", ground.patience(120)).map(drop)
}

/// A second disk with the same image and other identifiers, as an older installation would be: the host starts
/// from its own disk and mounts nothing of the other.
pub(super) fn second_disk_is_left_alone(ground: &Ground) -> Result<()> {
    let (machine, powered) = ground.healthy_copy("second-disk-is-left-alone")?;
    powered.pull_the_plug();
    let machine = machine.with_second_disk(&ground.first.raw());
    let mut powered = machine.power_on(&ground.lab, ground.accelerator)?;
    ground.expect_healthy(&mut powered, "a", &ground.first)?;
    let command = "ls /dev/vdb5 && test -e /usr/local/kept && cat /proc/mounts && cat /run/edge/boot.json";
    let report = ground.ssh(&machine).run(command, ground.patience(60))?;
    ensure(report.contains("/dev/vdb5") && report.contains("\"disk\":\"/dev/vda\""), || {
        format!("the host started from another disk: {report}")
    })?;
    let mounted = report.lines().any(|line| line.starts_with("/dev/vdb") && line.contains(' '));
    ensure(!mounted, || format!("the second disk is mounted: {report}"))
}

/// A disk that cannot hold the host is refused by name, and not touched.
pub(super) fn disk_too_small(ground: &Ground) -> Result<()> {
    let machine = Machine::new(&ground.lab, "disk-too-small", 3, Bus::Virtio)?
        .with_medium(Medium::Cd(ground.first.iso()));
    let mut powered = machine.power_on(&ground.lab, ground.accelerator)?;
    powered.serial.expect("edge: the installation failed", ground.patience(120))?;
    let line = powered.serial.expect("/dev/vda", ground.patience(20))?;
    ensure(line.contains("too small"), || format!("the refusal is unclear: {line}"))?;
    powered.pull_the_plug();
    let mut disk = File::open(machine.disk()).context("cannot open the disk")?;
    ensure(edge_host::gpt::read(&mut disk).is_none(), || "the refused disk was partitioned".into())
}

/// An agent that starts on a host whose firmware has lost the default entry reads it from the ESP, from several threads at
/// once. An agent that was killed has left the ESP mounted.
const FORGETFUL_FIRMWARE: &str = "for stale in no no yes; do \
    sudo chattr -i /sys/firmware/efi/efivars/LoaderEntryDefault-*; sudo rm /sys/firmware/efi/efivars/LoaderEntryDefault-*; \
    test $stale = no || sudo mount /dev/vda1 /run/edge/esp; \
    sudo systemctl restart edge-agent; \
    until sudo edge-agent status | tee status | grep -q 'health    healthy'; do sleep 1; done; \
    grep 'cannot be' status; test -e /sys/firmware/efi/efivars/LoaderEntryDefault-* && echo restored; done";

/// The raw image, copied to a larger disk, boots and takes the whole disk.
pub(super) fn raw_disk_grows(ground: &Ground) -> Result<()> {
    let machine = Machine::new(&ground.lab, "raw-disk-grows", DISK_GIB, Bus::Virtio)?;
    machine.fill_disk_from(&ground.first.raw())?;
    let mut powered = machine.power_on(&ground.lab, ground.accelerator)?;
    ground.expect_healthy(&mut powered, "a", &ground.first)?;
    let seen = ground.ssh(&machine).run(FORGETFUL_FIRMWARE, ground.patience(120))?;
    ensure(seen.trim() == "restored\nrestored\nrestored", || format!("the agent says {seen}"))?;
    // It knows what it holds, as a host that was installed does.
    let verified = ground.ssh(&machine).run("sudo edge-agent verify", ground.patience(120))?;
    ensure(verified.contains("undamaged: slot-a, recovery"), || format!("verify: {verified}"))?;
    powered.pull_the_plug();
    let mut disk = File::open(machine.disk()).context("cannot open the disk")?;
    let partitions = edge_host::gpt::read(&mut disk).unwrap_or_default();
    let last = partitions.last().map_or(0, |partition| partition.length);
    ensure(last > 3 << 30, || format!("the last partition has {last} bytes: {partitions:?}"))
}
