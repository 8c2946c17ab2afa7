//! Images that must not stay: each comes back to the old one without a hand.

use std::time::Duration;

use edge_host::gpt;
use edge_model::layout::Role;
use edge_model::{Context, Error, Result};
use edge_slot_image::{signing, verity};
use qemu_tests::bench_ground::Ground;
use qemu_tests::images::{Built, Recipe};
use qemu_tests::machine::{Machine, Powered};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;

use super::ensure;

/// A program that takes the place of the service manager and does nothing.
const SLEEPER: &str = "#!/bin/sh\nwhile :; do sleep 3600; done\n";
/// A health check that never agrees, with a deadline that even a slow boot meets.
fn never_healthy(deadline: Duration) -> String {
    format!("edge:\n  health:\n    commands: ['false']\n    deadlineSeconds: {}\n", deadline.as_secs())
}
/// Words that are found nowhere else, in a file that no boot reads.
const UNREAD_WORDS: &str = "this line is in a file that no boot ever reads";

/// The whole system is fine but for its own opinion of itself.
pub(super) fn that_fail_their_check(ground: &Ground) -> Result<()> {
    let checks = never_healthy(ground.patience(60));
    let unhealthy = Recipe::version("2.0.2").file("system/oem/50_health.yaml", &checks, false);
    let unhealthy = ground.publish("unhealthy", &unhealthy)?;
    let (machine, mut powered) = ground.healthy_copy("bad-images-that-fail-their-check")?;
    let sign = "the new system is not healthy";
    try_and_return(
        ground,
        &machine,
        &mut powered,
        &unhealthy,
        sign,
        &["failed    2.0.2: ", "health check failed"],
    )?;
    let outcome = ground.ssh(&machine).outcome(&ground.upgrade_command("2.0.2"), ground.patience(60))?;
    ensure(outcome.status.code() == Some(4) && outcome.stderr.contains("failed on this host before"), || {
        format!("a failed version was not refused: {outcome:?}")
    })
}

/// User space hangs: only the watchdog can help, and tells that it did.
pub(super) fn that_hang(ground: &Ground) -> Result<()> {
    let late = Recipe::version("2.0.4").file("usr/lib/systemd/systemd", SLEEPER, true);
    let late = ground.publish("hanging-user-space", &late)?;
    let (machine, mut powered) = ground.healthy_copy("bad-images-that-hang")?;
    let told = ["failed    2.0.4: ", "the watchdog reset the machine"];
    try_and_return(ground, &machine, &mut powered, &late, "BdsDxe: starting", &told)
}

/// The kernel panics; `init` hangs.
pub(super) fn before_user_space(ground: &Ground) -> Result<()> {
    let panicking = Recipe::version("2.0.1").kernel_argument("edge.fault=panic-in-init");
    let early = Recipe::version("2.0.3").kernel_argument("edge.fault=hang-in-init");
    let panicking = ground.publish("panicking", &panicking)?;
    let early = ground.publish("hanging-init", &early)?;
    let (machine, mut powered) = ground.healthy_copy("bad-images-before-user-space")?;
    let crashed = ["failed    2.0.1: ", "its first boot crashed"];
    try_and_return(ground, &machine, &mut powered, &panicking, "Kernel panic", &crashed)?;
    let hung = ["failed    2.0.3: ", "the watchdog reset the machine"];
    try_and_return(ground, &machine, &mut powered, &early, "BdsDxe: starting", &hung)
}

/// An image whose own early boot ends with an error says so, and the old one runs again: not recovery, which can do nothing
/// about it.
pub(super) fn that_fail_in_early_boot(ground: &Ground) -> Result<()> {
    let broken = Recipe::version("2.0.5").file(
        "usr/lib/edge/cos-layout.env",
        "PERSISTENT_STATE_PATHS=\"../x\"\n",
        false,
    );
    let broken = ground.publish("failing-early", &broken)?;
    let (machine, mut powered) = ground.healthy_copy("bad-images-that-fail-in-early-boot")?;
    let told = ["failed    2.0.5: "];
    try_and_return(ground, &machine, &mut powered, &broken, "edge: this system cannot start", &told)
}

/// Upgrades to `bad`, sees `sign` of its trial, and expects the old image back with the reason recorded.
fn try_and_return(
    ground: &Ground,
    machine: &Machine,
    powered: &mut Powered,
    bad: &Built,
    sign: &str,
    told: &[&str],
) -> Result<()> {
    let ssh = ground.ssh(machine);
    let outcome =
        ssh.outcome(&format!("{} --reboot", ground.upgrade_command(&bad.version)), ground.patience(180))?;
    // The connection may break before the answer; the serial line tells what happened.
    ensure(outcome.status.code() != Some(4), || format!("the upgrade was refused: {outcome:?}"))?;
    let within = ground.patience(240);
    let story = ["Kernel panic", "edge: this system cannot start"];
    powered.serial.expect_despite(sign, &story, within)?;
    ground.expect_healthy_despite(powered, "a", &ground.first, &story)?;
    let said = ssh.run("sudo edge-agent status; sudo edge-agent history", ground.patience(60))?;
    ensure(told.iter().all(|word| said.contains(word)), || format!("the failure is not told: {said}"))
}

/// Damage that happens on the disk after the upgrade has finished, of what the firmware loads.
pub(super) fn damaged_on_disk(ground: &Ground) -> Result<()> {
    let (good, uki) = upgraded(ground, "damage-after-upgrade")?;
    truncate_uki(ground, &uki, &good)?;
    comes_back(ground, &uki)
}

/// Damage of what no boot reads is found by who looks for it.
pub(super) fn damaged_and_not_read(ground: &Ground) -> Result<()> {
    let (good, unread) = upgraded(ground, "damage-that-nobody-reads")?;
    let at = find_in_slot(&unread, Role::SlotB, UNREAD_WORDS.as_bytes())?;
    flip(&unread, Role::SlotB, at)?;
    let mut powered = unread.power_on(&ground.lab, ground.accelerator)?;
    ground.expect_healthy(&mut powered, "b", &good)?;
    let outcome = ground.ssh(&unread).outcome("sudo edge-agent verify", ground.patience(120))?;
    ensure(outcome.status.code() == Some(5) && outcome.stderr.contains("slot-b: block"), || {
        format!("verify did not find the damage: {outcome:?}")
    })
}

/// Damage of what our own init and the kernel read.
pub(super) fn damaged_for_init(ground: &Ground) -> Result<()> {
    let name = "damage-that-init-finds";
    let (good, tree) = upgraded(ground, name)?;
    let read = Machine::copy_of(&ground.lab, &tree, &format!("{name}-read"))?;
    // Without the top of its tree the image is not found at all.
    flip(&tree, Role::SlotB, verity::top_block_offset(data_blocks(&good)?))?;
    comes_back(ground, &tree)?;
    // Everything that mounts the image reads its superblock.
    flip(&read, Role::SlotB, 1024)?;
    comes_back(ground, &read)
}

/// A machine that is off, with a good image in its other slot that was not tried yet.
fn upgraded(ground: &Ground, name: &str) -> Result<(Built, Machine)> {
    let version = format!("2.1.0-{name}");
    let good = Recipe::version(&version).file("usr/share/edge-test/unread", &UNREAD_WORDS.repeat(200), false);
    let good = ground.publish(name, &good)?;
    let (machine, mut powered) = ground.healthy_copy(name)?;
    let ssh = ground.ssh(&machine);
    ssh.run(&ground.upgrade_command(&version), ground.patience(180))?;
    ssh.outcome("sudo systemctl poweroff", ground.patience(60))?;
    powered.wait_until_off(ground.patience(60))?;
    Ok((good, machine))
}

fn data_blocks(image: &Built) -> Result<u64> {
    let bytes = std::fs::read(image.folder.join("build/manifest.json")).context("cannot read a manifest")?;
    Ok(signing::parse_manifest(&bytes)?.root.data_blocks)
}

fn comes_back(ground: &Ground, machine: &Machine) -> Result<()> {
    let mut powered = machine.power_on(&ground.lab, ground.accelerator)?;
    let allowed = ["Kernel panic", "edge: this system cannot start"];
    ground.expect_healthy_despite(&mut powered, "a", &ground.first, &allowed)?;
    powered.pull_the_plug();
    Ok(())
}

pub(super) fn partition_start(machine: &Machine, role: Role) -> Result<(u64, u64)> {
    let mut disk = File::open(machine.disk()).context("cannot open the disk")?;
    let partitions = gpt::read(&mut disk).unwrap_or_default();
    let found = partitions.iter().find(|partition| partition.label == role.spec().label);
    found
        .map(|partition| (partition.start, partition.length))
        .ok_or_else(|| Error::internal("a partition is missing"))
}

/// Changes one bit on the disk of a machine that is off.
fn flip(machine: &Machine, role: Role, offset: u64) -> Result<()> {
    let at = partition_start(machine, role)?.0 + offset;
    let disk =
        OpenOptions::new().read(true).write(true).open(machine.disk()).context("cannot open the disk")?;
    let mut byte = [0];
    disk.read_exact_at(&mut byte, at).context("cannot read the disk")?;
    disk.write_all_at(&[byte[0] ^ 1], at).context("cannot write the disk")
}

fn find_in_slot(machine: &Machine, role: Role, words: &[u8]) -> Result<u64> {
    let (start, length) = partition_start(machine, role)?;
    let disk = File::open(machine.disk()).context("cannot open the disk")?;
    let mut slot = vec![0; length as usize];
    disk.read_exact_at(&mut slot, start).context("cannot read the disk")?;
    let found = slot.windows(words.len()).position(|window| window == words);
    found.map(|at| at as u64).ok_or_else(|| Error::internal("the slot does not hold the expected file"))
}

pub(super) fn truncate_uki(ground: &Ground, machine: &Machine, image: &Built) -> Result<()> {
    const KEPT: u64 = 1 << 20;
    let name = format!("edge-{}.efi", &image.root_hash[..16]);
    let inside = format!("::EFI/Linux/{name}");
    let esp = format!("{}@@{}", machine.disk().display(), partition_start(machine, Role::Efi)?.0);
    let copy = machine.folder().join(&name);
    let mtools =
        |program: &str| Ok::<_, Error>(ground.lab.builder_tool(program)?.deadline(Duration::from_secs(60)));
    mtools("mcopy")?.arg("-i").arg(&esp).arg(&inside).arg(&copy).run()?;
    let file = OpenOptions::new().write(true).open(&copy).context("cannot open the UKI")?;
    file.set_len(KEPT).context("cannot truncate the UKI")?;
    mtools("mcopy")?.arg("-o").arg("-i").arg(&esp).arg(&copy).arg(&inside).run().map(drop)
}
