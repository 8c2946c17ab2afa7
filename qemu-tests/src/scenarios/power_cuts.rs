//! The plug is pulled; then the host boots, and the same work done again converges.
//!
//! Guest memory is lost; what the guest gave to its disk is kept. Cuts between single writes are a matter of the
//! block level and not tested here.

use std::thread::sleep;
use std::time::Duration;

use edge_model::Result;
use qemu_tests::bench_ground::{DISK_GIB, Ground};
use qemu_tests::images::Recipe;
use qemu_tests::machine::{Bus, Machine, Medium};

use super::ensure;

/// An installation that is cut starts anew by itself, without being allowed to wipe: from a USB stick, on NVMe. (One cut, on other
/// devices, is part of `site-from-a-stick`.)
pub(super) fn many_during_installation(ground: &Ground) -> Result<()> {
    let machine = Machine::new(&ground.lab, "many-power-cuts-during-installation", DISK_GIB, Bus::Nvme)?
        .with_medium(Medium::UsbStick(ground.first.iso()));
    for after in [1.0, 3.0, 7.0, 12.0, 20.0] {
        let mut powered = machine.power_on(&ground.lab, ground.accelerator)?;
        powered.serial.expect("edge: installing", ground.patience(120))?;
        sleep(ground.patience(1).mul_f64(after));
        powered.pull_the_plug();
    }
    let mut powered = machine.power_on(&ground.lab, ground.accelerator)?;
    powered.serial.expect("is installed on /dev/nvme0n1", ground.patience(240))?;
    ground.expect_healthy(&mut powered, "a", &ground.first)
}

/// A cut while writing, and one just before the end.
pub(super) fn during_upgrade(ground: &Ground) -> Result<()> {
    cut_upgrade(ground, "power-cuts-during-upgrade", &[5.0, 12.0])
}

/// Many cuts, spread over the whole upgrade.
pub(super) fn many_during_upgrade(ground: &Ground) -> Result<()> {
    let moments: Vec<f64> = (1..=16).map(f64::from).collect();
    cut_upgrade(ground, "many-power-cuts-during-upgrade", &moments)
}

fn cut_upgrade(ground: &Ground, name: &str, moments: &[f64]) -> Result<()> {
    let second = ground.publish(name, &Recipe::version(&format!("2.2.0-{name}")))?;
    let command = ground.upgrade_command(&second.version);
    let (machine, mut powered) = ground.healthy_copy(name)?;
    for moment in moments {
        let ssh = ground.ssh(&machine);
        ssh.run(
            &format!("sudo systemd-run --quiet {}", command.trim_start_matches("sudo ")),
            ground.patience(60),
        )?;
        sleep(ground.patience(1).mul_f64(*moment));
        powered.pull_the_plug();
        powered = machine.power_on(&ground.lab, ground.accelerator)?;
        let line = powered.serial.expect("edge: healthy", ground.patience(240))?;
        if line.contains("slot=b") {
            // The cut came after the image was armed: its trial has succeeded.
            return ensure(line.contains(&second.root_hash), || format!("another image came up: {line}"));
        }
    }
    let ssh = ground.ssh(&machine);
    let answer = ssh.run(&command, ground.patience(240))?;
    ensure(answer.contains("is ready in slot b"), || format!("the upgrade did not converge: {answer}"))?;
    ssh.outcome("sudo systemctl --no-block reboot", Duration::from_secs(60))?;
    ground.expect_healthy(&mut powered, "b", &second)
}
