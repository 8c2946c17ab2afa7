//! What a person does at the console: keys on a keyboard, and what the screen then says.

use edge_model::Result;
use qemu_tests::bench_ground::{DISK_GIB, Ground};
use qemu_tests::console::{Console, Keyboard};
use qemu_tests::images::{self, Recipe, Site};
use qemu_tests::machine::{Bus, Machine, Medium, Powered};
use qemu_tests::records::{self, Said};
use qemu_tests::ssh::OPERATOR;
use qemu_tests::stick;

use super::ensure;

const NAME: &str = "by-hand-at-the-console";
const PASSWORD: &str = "seven-dwarfs";
/// A person who waits for a network to come back should not wait long here.
const SHORT_TRIAL: &str = "edge: {site: {network: {confirmSeconds: 20}}}\n";

/// A whole installation by hand with a static address, its answers on a stick; then, on the host, a login and a
/// gateway that does not answer.
pub(super) fn by_hand(ground: &Ground) -> Result<()> {
    let mut site = Site { asks: true, ..ground.site() };
    site.user_data.push_str(SHORT_TRIAL);
    let folder = ground.lab.work().join("projects").join(NAME);
    let recipe = Recipe::version(&ground.first.version);
    let medium = images::build_in(&ground.lab, &folder, &recipe, &site, None, false)?;
    let stick = stick::make_writable(&ground.lab, NAME, "EDGEDATA")?;
    let machine = Machine::new(&ground.lab, NAME, DISK_GIB, Bus::Virtio)?
        .with_medium(Medium::Cd(medium.iso()))
        .with_stick(&stick);
    let mut powered = machine.power_on(&ground.lab, ground.accelerator)?;
    powered.serial.expect("edge: installer ready", ground.patience(120))?;
    let console = on_a_keyboard(ground, &machine, &powered, Keyboard::German);
    let said = [Said::Whole("status-of-a-medium", "/v1/status"), Said::Whole("disks", "/v1/installer/disks")];
    records::check(&ground.root, &console.ssh, ground.patience(60), &said)?;
    give_answers(ground, &console)?;
    console.press(&["down"])?;
    export(ground, &console, &[])?;
    let (_, template) = stick::read(&ground.lab, &stick, "unattended.yaml")?;
    for of_one in ["till-4", "10.0.2.15"] {
        ensure(!template.contains(of_one), || format!("the template names {of_one:?}: {template}"))?;
    }
    console.press(&["esc"])?;
    console.expect("All answers are complete", ground.patience(60))?;
    export(ground, &console, &["spc"])?;
    let (_, answers) = stick::read(&ground.lab, &stick, "unattended.yaml")?;
    for expected in ["hostName: till-4", "keyboard: de", "path: /dev/vda", "10.0.2.15/24", "name: site"] {
        ensure(answers.contains(expected), || format!("the exported answers lack {expected:?}: {answers}"))?;
    }
    console.press(&["esc"])?;
    console.expect("All answers are complete", ground.patience(60))?;
    console.press(&["up", "ret"])?;
    console.expect("Install now?", ground.patience(60))?;
    console.press(&["right", "ret"])?;
    console.expect("is installed on /dev/vda", ground.patience(240))?;
    let said = [Said::Last("installation", "/v1/operations")];
    records::check(&ground.root, &console.ssh, ground.patience(60), &said)?;
    console.press(&["ret"])?;
    if console.screen().is_ok_and(|screen| screen.contains("[ Yes ]")) {
        console.press(&["right", "ret"])?;
    }
    ground.expect_healthy(&mut powered, "a", &medium)?;
    let console = on_a_keyboard(ground, &machine, &powered, Keyboard::German);
    try_wrong_gateway(ground, &console)?;
    powered.serial.expect("a new network is on trial", ground.patience(60))?;
    powered.serial.expect("the last one that did returns", ground.patience(120))?;
    let console = on_a_keyboard(ground, &machine, &powered, Keyboard::German);
    console.expect("did not prove itself", ground.patience(60))?;
    shows_what_is_used(ground, &console)?;
    three_keys_do_nothing(ground, &console)?;
    knows_the_first_password(ground, &console)
}

/// It opens the console, and nobody sets another one.
fn knows_the_first_password(ground: &Ground, console: &Console<'_>) -> Result<()> {
    let within = ground.patience(60);
    console.press(&["f10"])?;
    console.expect("not logged in", within)?;
    console.press(&["up", "ret"])?;
    log_in(ground, console)?;
    console.expect("site (admin)", within)?;
    let status = console.ssh.run("edge-agent status --json", within)?;
    ensure(
        status.contains(r#""first_password":null"#) || status.contains(r#""first_password": null"#),
        || format!("a first password is still offered: {status}"),
    )
}

/// What was rejected stands in a notice, and not in the form.
fn shows_what_is_used(ground: &Ground, console: &Console<'_>) -> Result<()> {
    let within = ground.patience(60);
    console.press(&["ret"])?;
    console.expect("Choose an interface", within)?;
    console.press(&["ret"])?;
    let form = console.expect("[ Try these settings ]", within)?;
    ensure(form.contains("10.0.2.2 ") && !form.contains("10.0.2.99"), || format!("the form shows:\n{form}"))?;
    console.press(&["esc", "esc"])?;
    console.expect("was taken back", within).map(drop)
}

/// Nobody restarts a host by an old habit.
fn three_keys_do_nothing(ground: &Ground, console: &Console<'_>) -> Result<()> {
    let boot =
        "cat /proc/sys/kernel/random/boot_id; systemctl list-jobs --no-legend | grep -c reboot || true";
    let before = console.ssh.run(boot, ground.patience(60))?;
    console.press(&["ctrl-alt-delete"])?;
    console.expect("till-4", ground.patience(60))?;
    let after = console.ssh.run(boot, ground.patience(60))?;
    ensure(before == after && after.ends_with('0'), || format!("Ctrl-Alt-Del: {before:?}, then {after:?}"))
}

fn on_a_keyboard<'a>(
    ground: &'a Ground,
    machine: &Machine,
    powered: &'a Powered,
    keyboard: Keyboard,
) -> Console<'a> {
    Console { powered, ssh: ground.ssh(machine), keyboard }
}

/// The line with the cursor.
fn chosen(screen: &str) -> &str {
    screen.lines().find(|line| line.contains(" > ")).unwrap_or_default()
}

fn give_answers(ground: &Ground, console: &Console<'_>) -> Result<()> {
    let within = ground.patience(60);
    console.expect("> Install this machine", within)?;
    console.press(&["down", "ret"])?;
    console.expect("Which keyboard is plugged in?", within)?;
    console.press(&["down", "down", "ret"])?;
    console.expect("the keyboard is German", within)?;
    console.press(&["esc", "up"])?;
    console.expect("> Install this machine", within)?;
    console.press(&["ret"])?;
    let screen = console.expect("/dev/vda", within)?;
    if !chosen(&screen).contains("/dev/vda") {
        console.press(&["down"])?;
    }
    console.press(&["ret"])?;
    console.expect("2 of 4: Network", within)?;
    console.press(&["ret"])?;
    console.expect("[ Accept ]", within)?;
    console.press(&["spc", "tab"])?;
    console.fill("10.0.2.15/24")?;
    console.press(&["tab"])?;
    console.fill("10.0.2.2")?;
    console.press(&["tab", "tab", "tab", "tab", "tab", "ret"])?;
    console.expect("10.0.2.15/24", within)?;
    console.press(&["down", "ret"])?;
    console.expect("3 of 4", within)?;
    console.fill("till-4")?;
    console.press(&["tab"; 7])?;
    console.press(&["ret"])?;
    console.expect("4 of 4", within)?;
    // The medium knows the operator's SSH key, and nobody gives a password.
    console.press(&["tab"; 4])?;
    console.press(&["ret"])?;
    console.expect("All answers are complete", within).map(drop)
}

fn export(ground: &Ground, console: &Console<'_>, choice: &[&str]) -> Result<()> {
    let within = ground.patience(60);
    console.press(&["ret"])?;
    console.expect("EDGEDATA", within)?;
    console.press(choice)?;
    console.press(&["ret"])?;
    console.expect("is on the stick", within).map(drop)
}

fn try_wrong_gateway(ground: &Ground, console: &Console<'_>) -> Result<()> {
    let within = ground.patience(60);
    console.expect("healthy", within)?;
    let screen = console.screen()?;
    ensure(screen.contains("till-4") && screen.contains("not logged in"), || {
        format!("the host shows:\n{screen}")
    })?;
    console.press(&["ret"])?;
    console.expect("Choose an interface", within)?;
    console.press(&["ret"])?;
    console.expect("[ Try these settings ]", within)?;
    console.press(&["tab", "tab"])?;
    console.fill("10.0.2.99")?;
    console.press(&["tab", "tab", "tab", "tab", "tab", "ret"])?;
    set_first_password(ground, console)
}

/// The host was just installed, and its operator has only an SSH key.
fn set_first_password(ground: &Ground, console: &Console<'_>) -> Result<()> {
    console.expect("The first password", ground.patience(60))?;
    console.type_text(PASSWORD)?;
    console.press(&["tab"])?;
    console.type_text(PASSWORD)?;
    console.press(&["ret"])
}

/// With an American keyboard: a new version from a registry, and into the rescue system and back.
pub(super) fn upgrade_and_recovery(ground: &Ground) -> Result<()> {
    let second = ground.publish("by-hand-second", &Recipe::version("2.0.0"))?;
    let (machine, mut powered) = ground.healthy_copy("by-hand-upgrade-and-recovery")?;
    let key = &ground.key.public;
    let operator = format!("{{name: {OPERATOR}, password: {PASSWORD}, sshKeys: ['{key}']}}");
    let document = format!("#cloud-config\nedge: {{operator: {operator}}}\n");
    let give = format!(
        "cat > new.yaml <<'EOF'\n{document}EOF\nsudo edge-agent config apply new.yaml && rm new.yaml"
    );
    ground.ssh(&machine).run(&give, ground.patience(120))?;
    upgrade(ground, &on_a_keyboard(ground, &machine, &powered, Keyboard::American))?;
    ground.expect_healthy(&mut powered, "b", &second)?;
    let console = on_a_keyboard(ground, &machine, &powered, Keyboard::American);
    console.expect("edge-appliance 2.0.0", ground.patience(60))?;
    console.press(&["down"; 13])?;
    console.press(&["ret"])?;
    console.expect("Power", ground.patience(60))?;
    console.press(&["down", "ret"])?;
    log_in(ground, &console)?;
    console.expect("Restart into recovery?", ground.patience(60))?;
    console.type_text("RECOVERY")?;
    console.press(&["ret"])?;
    powered.serial.expect("edge: recovery: an operator asked for recovery", ground.patience(180))?;
    let console = on_a_keyboard(ground, &machine, &powered, Keyboard::American);
    let screen = console.expect("Somebody has asked for it", ground.patience(120))?;
    ensure(!screen.contains("did not come up"), || format!("recovery on request says:\n{screen}"))?;
    console.press(&["ret"])?;
    log_in(ground, &console)?;
    console.expect("Restart now?", ground.patience(60))?;
    console.press(&["right", "ret"])?;
    ground.expect_healthy(&mut powered, "b", &second)
}

fn upgrade(ground: &Ground, console: &Console<'_>) -> Result<()> {
    let within = ground.patience(60);
    console.expect("> Network", within)?;
    console.press(&["down"; 6])?;
    console.press(&["ret"])?;
    console.expect("New version from", within)?;
    console.press(&["tab"])?;
    console.fill(&ground.registry.guest_reference("2.0.0"))?;
    // Without TLS, and with a restart.
    console.press(&["tab", "spc", "tab", "tab", "tab", "spc", "tab", "ret"])?;
    log_in(ground, console)?;
    console.expect("Upgrade, and restart when it is ready?", within)?;
    console.press(&["right", "ret"])
}

fn log_in(ground: &Ground, console: &Console<'_>) -> Result<()> {
    console.expect("Log in", ground.patience(60))?;
    console.type_text(OPERATOR)?;
    console.press(&["tab"])?;
    console.type_text(PASSWORD)?;
    console.press(&["tab", "ret"])
}
