//! What a person does at the console: keys on a keyboard, and what the screen then says.

use edge_model::Result;
use qemu_tests::bench_ground::{DISK_GIB, Ground};
use qemu_tests::console::Console;
use qemu_tests::images::{self, Recipe, Site};
use qemu_tests::machine::{Bus, Machine, Medium};
use qemu_tests::stick;

use super::ensure;

const NAME: &str = "by-hand-at-the-console";
const PASSWORD: &str = "seven-dwarfs";

/// A whole installation by hand, its answers on a stick, a login, and a network that comes back.
pub(super) fn by_hand(ground: &Ground) -> Result<()> {
    let site = Site { asks: true, ..ground.site() };
    let folder = ground.lab.work().join("projects").join(NAME);
    let medium = images::build_in(&ground.lab, &folder, &Recipe::version("1.0.0"), &site, None, false)?;
    let stick = stick::make_writable(&ground.lab, NAME, "EDGEDATA")?;
    let machine = Machine::new(&ground.lab, NAME, DISK_GIB, Bus::Virtio)?
        .with_medium(Medium::Cd(medium.iso()))
        .with_stick(&stick);
    let mut powered = machine.power_on(&ground.lab, ground.accelerator)?;
    powered.serial.expect("edge: installer ready", ground.patience(120))?;
    explore(&Console { powered: &powered, ssh: ground.ssh(&machine) })?;
    install(ground, &Console { powered: &powered, ssh: ground.ssh(&machine) })?;
    let (_, answers) = stick::read(&ground.lab, &stick, "unattended.yaml")?;
    ensure(answers.contains("hostName: till-4") && answers.contains("path: /dev/vda"), || {
        format!("the exported answers are not those that were given: {answers}")
    })?;
    ground.expect_healthy(&mut powered, "a", &medium)?;
    let console = Console { powered: &powered, ssh: ground.ssh(&machine) };
    wrong_gateway(ground, &console)?;
    powered.serial.expect("the last one that did returns", ground.patience(120)).map(drop)
}

fn install(ground: &Ground, console: &Console<'_>) -> Result<()> {
    let within = ground.patience(60);
    console.expect("Welcome", within)?;
    console.press(&["ret"])?;
    console.expect("/dev/vda", within)?;
    console.press(&["ret"])?;
    console.expect("2 of 5: Network", within)?;
    Ok(())
}

fn wrong_gateway(ground: &Ground, console: &Console<'_>) -> Result<()> {
    console.expect("till-4", ground.patience(60)).map(drop)?;
    console.type_text(PASSWORD)
}

fn explore(console: &Console<'_>) -> Result<()> {
    use std::io::Write;
    let (input, output) = ("/tmp/hand.in", "/tmp/hand.out");
    loop {
        std::thread::sleep(std::time::Duration::from_millis(200));
        let Ok(text) = std::fs::read_to_string(input) else { continue };
        let _ = std::fs::remove_file(input);
        let mut answer = String::new();
        for line in text.lines() {
            let result = match line.split_once(' ') {
                Some(("keys", keys)) => console.press(&keys.split(' ').collect::<Vec<_>>()).map(|()| String::new()),
                Some(("type", text)) => console.type_text(text).map(|()| String::new()),
                Some(("picture", path)) => console.picture(std::path::Path::new(path)).map(|()| String::new()),
                Some(("ssh", command)) => console.ssh.run(command, std::time::Duration::from_secs(120)),
                _ if line == "screen" => console.screen(),
                _ if line == "quit" => return Ok(()),
                _ => Ok("?".into()),
            };
            answer.push_str(&format!("{result:?}\n").replace("\\n", "\n"));
        }
        let mut file = std::fs::File::create("/tmp/hand.tmp").map_err(|error| edge_model::Error::internal(error.to_string()))?;
        let _ = file.write_all(answer.as_bytes());
        let _ = std::fs::rename("/tmp/hand.tmp", output);
    }
}
