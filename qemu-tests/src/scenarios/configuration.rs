//! What people write for a site, and what becomes of it.

use std::fs::File;
use std::thread::sleep;

use edge_model::{Context, Result};
use qemu_tests::bench_ground::{DISK_GIB, Ground};

use qemu_tests::machine::{Bus, Machine, Medium};
use qemu_tests::ssh::{OPERATOR, Ssh};
use qemu_tests::stick;

use super::{ensure, yip};

/// In the middle of writing, for [`Ground::patience`].
const CUT_AFTER: u64 = 7;
/// The interface of every machine of the lab.
const INTERFACE: &str = "enp0s4";

fn network_config(address: &str) -> String {
    format!(
        "version: 2\nethernets:\n  {INTERFACE}: {{dhcp4: true}}\nvlans:\n  mgmt: {{id: 42, link: {INTERFACE}, addresses: [{address}]}}\n"
    )
}

/// A site is provisioned by a stick: an installation with a VLAN and another name, during which the power fails. Its medium is
/// left in the drive.
pub(super) fn site_from_a_stick(ground: &Ground) -> Result<()> {
    let name = "site-from-a-stick";
    let network = network_config("10.42.0.5/24");
    let user_data = "#cloud-config\nedge: {site: {tags: {region: north}}}\n\
                     stages: {boot: [{commands: [\"echo {{ .Values.node.hostname }} > /run/site-was-here\"]}]}\n";
    let files = [
        ("user-data", user_data),
        ("meta-data", "instance-id: one\n"),
        ("network-config", &network),
        ("unattended.yaml", "hostName: till-9\ntimeZone: Europe/Zurich\nntpServers: [10.0.2.2]\n"),
    ];
    let first = stick::make(&ground.lab, &format!("{name}-stick"), "cidata", &files)?;
    let machine = ground.new_machine(name)?.with_stick(&first);
    let mut powered = machine.power_on(&ground.lab, ground.accelerator)?;
    powered.serial.expect("edge: installing", ground.patience(120))?;
    sleep(ground.patience(CUT_AFTER));
    powered.pull_the_plug();
    let mut powered = machine.power_on(&ground.lab, ground.accelerator)?;
    powered.serial.expect("is installed on", ground.patience(180))?;
    powered.pull_the_plug();
    // The stick stays behind; the first site boot needs it no more. The medium is left in the drive, and the firmware has lost its
    // memory and prefers it: the disk is booted and nothing is wiped. (That firmware which remembers starts the disk is part
    // of every other installation here.)
    let machine = machine.without_stick().preferring_medium();
    machine.forget_firmware_variables(&ground.lab)?;
    let mut powered = machine.power_on(&ground.lab, ground.accelerator)?;
    powered.serial.expect("it is booted, nothing is wiped", ground.patience(120))?;
    ground.expect_healthy(&mut powered, "a", &ground.first)?;
    let ssh = ground.ssh(&machine);
    let report = "ip -br address show mgmt; hostname; cat /run/site-was-here; readlink /etc/localtime; \
                  cat /run/systemd/timesyncd.conf.d/50-edge.conf; sudo edge-agent config show --origin";
    let seen = ssh.run(report, ground.patience(60))?;
    for expected in [
        "10.42.0.5/24",
        "till-9\ntill-9",
        "Europe/Zurich",
        "NTP=10.0.2.2",
        "region = north",
        "cidata/unattended.yaml:1:11",
    ] {
        ensure(seen.contains(expected), || format!("the site's configuration lacks {expected:?}: {seen}"))?;
    }
    Ok(())
}

/// A claimed host does not listen to a stick until it is told to; then it takes another name, network and tags from it.
pub(super) fn another_site_by_a_stick(ground: &Ground) -> Result<()> {
    let name = "another-site-by-a-stick";
    let (machine, mut powered) = ground.healthy_copy(name)?;
    ground.ssh(&machine).outcome("sudo systemctl poweroff", ground.patience(60))?;
    powered.wait_until_off(ground.patience(60))?;
    let network = network_config("10.42.0.6/24");
    let files = [
        ("user-data", "#cloud-config\nedge: {site: {tags: {region: south}}}\n"),
        ("network-config", network.as_str()),
        ("unattended.yaml", "hostName: till-10\n"),
    ];
    let stick = stick::make(&ground.lab, &format!("{name}-stick"), "CIDATA", &files)?;
    let machine = machine.with_stick(&stick);
    let mut powered = machine.power_on(&ground.lab, ground.accelerator)?;
    ground.expect_healthy(&mut powered, "a", &ground.first)?;
    let ssh = ground.ssh(&machine);
    let seen = ssh.run("hostname; sudo edge-agent config unclaim", ground.patience(60))?;
    ensure(seen.contains("edge-demo"), || format!("a claimed host took a stick's word: {seen}"))?;
    let told = "until sudo edge-agent status | grep 'CIDATA is not read'; do sleep 1; done";
    ssh.run(told, ground.patience(60))?;
    ssh.outcome("sudo systemctl --no-block reboot", ground.patience(60))?;
    ground.expect_healthy(&mut powered, "a", &ground.first)?;
    let report = "hostname; ip -br address show mgmt; sudo edge-agent config show --effective edge.site.tags; \
                  test -e /oem/edge/claimed && echo claimed";
    let seen = ssh.run(report, ground.patience(60))?;
    for expected in ["till-10", "10.42.0.6/24", "south", "claimed"] {
        ensure(seen.contains(expected), || format!("the new site user data lacks {expected:?}: {seen}"))?;
    }
    Ok(())
}

/// A template that doubles a text with every action: more memory than any machine has.
fn bomb() -> String {
    let doubling = "{{ $x = printf \"%s%s\" $x $x }}".repeat(45);
    format!("stages: {{boot: [{{commands: ['echo {{{{ $x := \"xxxxxxxx\" }}}}{doubling}']}}]}}\n")
}

/// Documents that overflow a stack, or all memory, end no host: neither its normal system nor recovery, and not its agent.
pub(super) fn hostile_documents(ground: &Ground) -> Result<()> {
    let name = "hostile-documents";
    let chain = format!("{{{{ if 1 }}}}{}{{{{ end }}}}", "{{ else if 1 }}".repeat(8000));
    let chain = format!("stages: {{boot: [{{commands: ['echo {chain}']}}]}}\n");
    let long = format!(
        "x: &x {}\n{}",
        "x".repeat(100_000),
        (0..99).map(|at| format!("x{at}: *x\n")).collect::<String>()
    );
    let (machine, mut powered) = ground.healthy_copy(name)?;
    let ssh = ground.ssh(&machine);
    for (file, text) in [("91_chain.yaml", chain), ("92_aliases.yaml", long), ("93_bomb.yaml", bomb())] {
        let here = machine.folder().join(file);
        std::fs::write(&here, text).context("cannot write a document")?;
        ssh.copy(&here, &format!("/tmp/{file}"), ground.patience(60))?;
        ssh.run(&format!("sudo mv /tmp/{file} /oem/{file}"), ground.patience(60))?;
    }
    let told = ssh.outcome("sudo edge-agent config apply /oem/93_bomb.yaml", ground.patience(120))?;
    ensure(told.status.code() == Some(2), || format!("the agent took it: {told:?}"))?;
    ssh.outcome("sudo edge-agent reboot", ground.patience(60))?;
    ground.expect_healthy(&mut powered, "a", &ground.first)?;
    let status = ssh.run("sudo edge-agent status; sudo edge-agent stage log --all", ground.patience(60))?;
    for said in
        ["93_bomb.yaml: reading it takes more than a document may", "91_chain.yaml", "92_aliases.yaml"]
    {
        ensure(status.contains(said), || format!("nobody says {said:?}: {status}"))?;
    }
    ssh.outcome("sudo edge-agent reboot --recovery", ground.patience(60))?;
    powered.serial.expect("edge: recovery: an operator asked for recovery", ground.patience(180))?;
    Ok(())
}

/// A wrong document stops an installation with its place, and no disk is changed.
pub(super) fn wrong_answers_stop(ground: &Ground) -> Result<()> {
    let name = "wrong-answers-stop";
    let answers = "hostName: till\ninstall:\n  wipe: everything\n  disc: {}\n";
    let stick = stick::make(&ground.lab, name, "EDGEDATA", &[("unattended.yaml", answers)])?;
    let machine = Machine::new(&ground.lab, name, DISK_GIB, Bus::Virtio)?
        .with_medium(Medium::Cd(ground.first.iso()))
        .with_stick(&stick);
    let mut powered = machine.power_on(&ground.lab, ground.accelerator)?;
    powered.serial.expect("edge: the installation failed", ground.patience(120))?;
    let line = powered.serial.expect("unattended.yaml:4:3", ground.patience(20))?;
    ensure(line.contains("install.disc") && line.contains("did you mean `disk`?"), || {
        format!("the refusal is unclear: {line}")
    })?;
    powered.pull_the_plug();
    let mut disk = File::open(machine.disk()).context("cannot open the disk")?;
    ensure(edge_host::gpt::read(&mut disk).is_none(), || "the disk was partitioned".into())
}

/// Every stage of a boot leaves its mark, in its order, around a file that is broken and a step that fails.
const MARKS: &str = r#"#cloud-config
name: marks
stages:
  rootfs.before: [{commands: ["echo rootfs.before >> /run/marks"]}]
  rootfs:
    - commands: ["echo rootfs >> /run/marks; echo mark rootfs > /dev/console; sleep 1000 &"]
    - {environment_file: /run/cos/extra-layout.env, environment: {CUSTOM_BIND_MOUNTS: /srv/kept}}
  rootfs.after: [{commands: ["echo rootfs.after >> /run/marks"]}]
  initramfs:
    - commands: ["echo initramfs >> /run/marks; echo mark initramfs > /dev/console"]
    - users: {clerk: {passwd: secret, groups: [clerks], ssh_authorized_keys: [ssh-ed25519 AAAAC3 clerk]}}
    - {hostname: "marked-{{ trunc 4 .Values.node.machineid }}"}
  fs: [{commands: ["echo fs >> /run/marks; echo mark fs > /dev/console"]}]
  boot.before: [{commands: ["echo boot.before >> /run/marks"]}]
  boot:
    - {name: late, after: [{name: early}], commands: ["echo boot late >> /run/marks"]}
    - {name: early, commands: ["echo boot early >> /run/marks", "echo sorry; exit 3", "echo boot went on >> /run/marks"]}
    - {name: elsewhere, node: "^other$", commands: ["echo WRONG >> /run/marks"]}
    - {files: [{path: /run/written, content: "aGVsbG8=", encoding: b64, permissions: 0600, ownerstring: "clerk:clerks"}]}
    - {sysctl: {net.ipv4.ip_forward: 1}, modules: [loop], directories: [{path: /srv/kept/inner, permissions: 0711}]}
  network: [{commands: ["echo network >> /run/marks"]}]
  reconcile: [{commands: ["echo reconcile >> /run/marks"]}]
"#;
const PLUG_IN: &str = r#"#!/bin/sh
input=$(cat)
case "$input" in *'"name":"agent.boot"'*clerk*) echo "plug-in $1" >> /run/marks;; esac
echo '{"state":"","data":"","error":""}'
"#;
const EXPECTED_MARKS: &str = "rootfs.before\nrootfs\nrootfs.after\ninitramfs\nplug-in agent.boot\nfs\nboot.before\n\
                              boot early\nboot went on\nboot late\nnetwork\nreconcile";

pub(super) fn put(ssh: &Ssh<'_>, ground: &Ground, path: &str, text: &str, mode: &str) -> Result<()> {
    let file = ground.lab.work().join(format!("put-{}", path.replace('/', "-")));
    std::fs::write(&file, text).context("cannot write a file")?;
    // Only a command tries again while the machine starts.
    ssh.run("true", ground.patience(60))?;
    ssh.copy(&file, &format!("/home/{OPERATOR}/put"), ground.patience(60))?;
    std::fs::remove_file(&file).context("cannot remove a file")?;
    let command = format!("sudo install -D -m {mode} /home/{OPERATOR}/put {path} && sync");
    ssh.run(&command, ground.patience(60)).map(drop)
}

pub(super) fn stages_run_in_order(ground: &Ground) -> Result<()> {
    let (machine, mut powered) = ground.healthy_copy("stages-run-in-order")?;
    let ssh = ground.ssh(&machine);
    put(&ssh, ground, "/oem/50_marks.yaml", MARKS, "600")?;
    put(&ssh, ground, "/oem/40_broken.yaml", "stages: [\n", "600")?;
    put(&ssh, ground, "/usr/local/system/providers/agent-provider-test", PLUG_IN, "755")?;
    ssh.outcome("sudo systemctl --no-block reboot", ground.patience(60))?;
    ground.expect_healthy(&mut powered, "a", &ground.first)?;
    ssh.run("sudo systemctl start cos-setup-reconcile.service", ground.patience(60))?;
    let marks = ssh.run("cat /run/marks", ground.patience(60))?;
    ensure(marks == EXPECTED_MARKS, || format!("the stages left other marks: {marks}"))?;
    let seen = ssh.run(
        "hostname; id clerk; cat /etc/ssh/authorized_keys.d/clerk; sudo cat /run/written; stat -c '%U:%G %a' /run/written; \
         cat /proc/sys/net/ipv4/ip_forward; findmnt -no TARGET /srv/kept; stat -c %a /srv/kept/inner; sudo grep -c 'clerk:\\$6\\$' /etc/shadow; \
         pgrep -x sleep || echo nothing left; sudo edge-agent stage log; sudo edge-agent stage run boot --dry-run; sudo edge-agent status",
        ground.patience(60),
    )?;
    for expected in [
        "marked-",
        "clerk",
        "(clerks)",
        "ssh-ed25519 AAAAC3 clerk",
        "hello",
        "clerk:clerks 600",
        "/srv/kept\n711",
        "nothing left",
        "40_broken.yaml:1:9",
        "exit status 3: sorry",
        "elsewhere: skipped: node",
        "run \"echo boot early >> /run/marks\"",
    ] {
        ensure(seen.contains(expected), || format!("the stages did not leave {expected:?}: {seen}"))?;
    }
    yip::steps_mean_what_they_mean_in_yip(&ssh, ground)
}

/// The power fails in each part of early boot: the next boot is as if nothing had been.
pub(super) fn power_cuts_in_early_boot(ground: &Ground) -> Result<()> {
    let (machine, powered) = ground.healthy_copy("power-cuts-in-early-boot")?;
    let ssh = ground.ssh(&machine);
    put(&ssh, ground, "/oem/50_marks.yaml", MARKS, "600")?;
    // An unclaimed host looks for a stick in early boot too.
    ssh.run("sudo edge-agent config unclaim; sync", ground.patience(60))?;
    powered.pull_the_plug();
    let files = [("user-data", "#cloud-config\nedge: {site: {tags: {region: west}}}\n")];
    let machine =
        machine.with_stick(&stick::make(&ground.lab, "power-cuts-in-early-boot-stick", "cidata", &files)?);
    for moment in ["BdsDxe: starting", "mark rootfs", "mark initramfs", "mark fs"] {
        let mut powered = machine.power_on(&ground.lab, ground.accelerator)?;
        powered.serial.expect(moment, ground.patience(60))?;
        powered.pull_the_plug();
    }
    let mut powered = machine.power_on(&ground.lab, ground.accelerator)?;
    let line = powered.serial.expect("edge: healthy", ground.patience(240))?;
    // Four unfinished boots in a row would rightly make the host try its other image; there is none here.
    ensure(line.contains(&ground.first.root_hash), || format!("another image came up: {line}"))?;
    let seen = ground.ssh(&machine).run(
        "cat /run/marks; sudo edge-agent config show --effective edge.site.tags; sudo edge-agent status; \
         sudo edge-agent black-box",
        ground.patience(60),
    )?;
    ensure(seen.contains("lost its power or was reset"), || {
        format!("the black box does not know of the cuts: {seen}")
    })?;
    ensure(seen.contains("initramfs\nfs\n") && seen.contains("west"), || {
        format!("the boot did not converge: {seen}")
    })
}

fn apply(ssh: &Ssh<'_>, ground: &Ground, text: &str) -> Result<String> {
    put(ssh, ground, "/run/new.yaml", text, "600")?;
    let outcome = ssh.outcome("sudo edge-agent config apply /run/new.yaml", ground.patience(90))?;
    Ok(String::from_utf8_lossy(&outcome.stdout).into_owned() + &outcome.stderr)
}

/// A change of the network that cuts the host off returns by itself, also when the power fails meanwhile; one that
/// works is kept.
pub(super) fn network_change_comes_back(ground: &Ground) -> Result<()> {
    let (machine, mut powered) = ground.healthy_copy("network-change-comes-back")?;
    let ssh = ground.ssh(&machine);
    wait_for_proven(&ssh, ground)?;
    let wrong = format!(
        "#cloud-config\nedge:\n  site:\n    network:\n      confirmSeconds: 20\n      interfaces:\n        {INTERFACE}: {{addresses: [10.9.9.5/24], gateway: 10.9.9.1}}\n"
    );
    put(&ssh, ground, "/run/new.yaml", &wrong, "600")?;
    ssh.run("sudo systemd-run --quiet edge-agent config apply /run/new.yaml", ground.patience(60))?;
    powered.serial.expect("a new network is on trial", ground.patience(60))?;
    // The trial goes on in the next boot.
    powered.pull_the_plug();
    let mut powered = machine.power_on(&ground.lab, ground.accelerator)?;
    powered.serial.expect("a new network is on trial", ground.patience(240))?;
    powered.serial.expect("the last one that did returns", ground.patience(120))?;
    let status = ssh.run("sudo edge-agent status; ip -br address", ground.patience(120))?;
    ensure(status.contains("10.0.2.15") && status.contains("the last change did not work"), || {
        format!("the network did not come back: {status}")
    })?;
    let good = format!(
        "#cloud-config\nedge:\n  site:\n    hostName: moved\n    network:\n      interfaces:\n        {INTERFACE}: {{addresses: [10.0.2.15/24, 10.0.2.77/24], gateway: 10.0.2.2}}\n"
    );
    let answer = apply(&ssh, ground, &good)?;
    powered.serial.expect("the new network is kept", ground.patience(60))?;
    let status = ssh.run("hostname; ip -br address; sudo edge-agent status", ground.patience(60))?;
    ensure(status.contains("moved") && status.contains("10.0.2.77") && !status.contains("on trial"), || {
        format!("the good change was not kept: {answer} {status}")
    })
}

fn wait_for_proven(ssh: &Ssh<'_>, ground: &Ground) -> Result<()> {
    let command = "until sudo grep -q '\"proven\":{' /oem/edge/network.json; do sleep 1; done";
    ssh.run(command, ground.patience(120)).map(drop)
}
