//! Starting the installer over the network, with nothing but the firmware.

use edge_model::Result;
use qemu_tests::bench_ground::{DISK_GIB, Ground};
use qemu_tests::http_server::HttpServer;
use qemu_tests::machine::{Bus, Machine};

use super::ensure;

/// The firmware downloads the ISO into memory and starts it; the host that it installs starts from its own disk.
pub(super) fn boots_over_http(ground: &Ground) -> Result<()> {
    let server = HttpServer::start(&ground.first.iso())?;
    let machine = Machine::new(&ground.lab, "boots-over-http", DISK_GIB, Bus::Virtio)?;
    let netboot = machine.clone().starting_over_http(&server.guest_url("installer.iso"));
    let mut powered = netboot.power_on(&ground.lab, ground.accelerator)?;
    powered.serial.expect("edge: starting the installer", ground.patience(300))?;
    ensure(server.downloads() == 1, || format!("the medium was sent {} times", server.downloads()))?;
    powered.serial.expect("is installed on /dev/vda", ground.patience(600))?;
    powered.pull_the_plug();
    let mut powered = machine.power_on(&ground.lab, ground.accelerator)?;
    ground.expect_healthy(&mut powered, "a", &ground.first)
}
