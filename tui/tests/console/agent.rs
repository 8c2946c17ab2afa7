//! What an agent would answer.

use edge_model::Error;
use edge_model::api::cluster::ClusterStatus;
use edge_model::api::{Actor, HostStatus, Notice, OperationKind, OperationState, OperationStatus, Surface};
use edge_model::cmdline::Mode;
use edge_tui::action::{Answer, Check, Request, Work};
use edge_tui::confirm::Destructive;
use edge_tui::event::Trouble;
use serde_json::{Value, json};

const HASH: &str = "abababababababababababababababababababababababababababababababab";

fn image(version: &str) -> Value {
    json!({ "name": "edge", "version": version, "root_hash": HASH, "created": 1, "data_blocks": 1, "signed": true })
}

pub(crate) fn status(mode: Mode) -> HostStatus {
    let (boot_state, possible) = match mode {
        Mode::Main => (
            "committed",
            json!([
                "upgrade",
                "rollback",
                "verify",
                "configure",
                "support-bundle",
                "reboot",
                "reboot-into-recovery",
                "power-off",
                "refresh-recovery",
                "fsck",
                "reset"
            ]),
        ),
        Mode::Recovery => {
            ("recovery", json!(["support-bundle", "reboot", "power-off", "verify", "fsck", "reset"]))
        }
        Mode::Live => ("live", json!(["install", "reboot", "power-off"])),
    };
    let slot = if mode == Mode::Main { json!("b") } else { Value::Null };
    serde_json::from_value(json!({
        "agent_version": "1", "host_name": "shop-17", "host_id": "edge-4c4c4544-0042", "mode": mode,
        "boot_state": boot_state, "health": { "verdict": "healthy" },
        "image": { "name": "edge", "version": "1.2.0", "root_hash": HASH },
        "slot": slot, "slot_a": image("1.1.0"), "slot_b": image("1.2.0"),
        "addresses": [{ "interface": "enp1s0", "address": "192.0.2.17/24" }],
        "failed": [], "notices": [],
        "management": { "mode": "local" },
        "console": { "view_without_login": true, "lock_after_seconds": 600, "shell": true, "somebody_can_log_in": true },
        "possible": possible,
    }))
    .unwrap()
}

pub(crate) fn notice(text: &str) -> Notice {
    serde_json::from_value(json!({
        "id": "0123456789ab", "severity": "problem", "since": 1_772_366_400, "text": text, "ends": "when-read",
    }))
    .unwrap()
}

pub(crate) fn cluster(phase: &str, running: u32, waits: &Value, troubled: &[Value]) -> ClusterStatus {
    serde_json::from_value(json!({
        "name": "shop", "node": "shop-17",
        "versions": { "distribution": "kubeadm", "kubernetes": "v1.37.2", "etcd": "3.7.3" },
        "phase": phase, "waits_for": waits, "pods": { "running": running, "wanted": 5 }, "troubled": troubled,
    }))
    .unwrap()
}

pub(crate) fn operation(kind: &str, steps: &[&str]) -> OperationStatus {
    let records: Vec<Value> = steps
        .iter()
        .enumerate()
        .map(|(index, step)| json!({ "title": step, "after_seconds": index * 40 }))
        .collect();
    serde_json::from_value(json!({
        "id": 7, "operation": kind, "started_by": "site", "started_at": 1_772_366_400,
        "state": { "state": "running" }, "step": steps.last().unwrap_or(&"Begin"),
        "done": 250_000_000, "total": 1_000_000_000, "steps": records,
    }))
    .unwrap()
}

/// Work as a real host told of it (`cargo xtask record`), as far as its step `until`.
pub(crate) fn recorded(kind: OperationKind, until: usize) -> OperationStatus {
    let text = match kind {
        OperationKind::Install => include_str!("records/installation.json"),
        _ => include_str!("records/upgrade.json"),
    };
    let whole: OperationStatus = serde_json::from_str(text).unwrap();
    let mut shown = OperationStatus {
        id: 7,
        by: Actor::new(Surface::Console, "site"),
        started_at: 1_772_366_400,
        ..whole
    };
    if until < shown.steps.len() {
        shown.steps.truncate(until);
        shown.step = shown.steps[until - 1].title.clone();
        (shown.done, shown.total) = (250_000_000, 1_000_000_000);
        shown.state = OperationState::Running;
    }
    shown
}

pub(crate) fn failed(kind: OperationKind, until: usize, error: Error) -> OperationStatus {
    OperationStatus { state: OperationState::Failed { error }, ..recorded(kind, until) }
}

pub(crate) fn done(kind: &str, steps: &[&str], message: &str) -> OperationStatus {
    OperationStatus { state: OperationState::Done { message: message.into() }, ..operation(kind, steps) }
}

fn answer_of(tag: &str, value: Value) -> Answer {
    serde_json::from_value(json!({ "answer": tag, "with": value })).unwrap()
}

fn kind_of(work: &Work) -> &'static str {
    match work {
        Work::Upgrade(_) => "upgrade",
        Work::Commit => "commit",
        Work::Verify => "verify",
        Work::Repair => "fsck",
        Work::RefreshRecovery => "refresh-recovery",
        Work::SupportBundle { .. } => "support-bundle",
    }
}

/// The answer of an agent with which all is well.
pub(crate) fn answer(request: &Request) -> Result<Answer, Trouble> {
    Ok(match request {
        Request::LogIn { name, .. } | Request::SetFirstPassword { name, .. } => {
            answer_of("logged-in", json!({ "name": name, "role": "admin" }))
        }
        Request::LogOut | Request::ChangePassword { .. } => Answer::Done,
        Request::Metrics => metrics(),
        Request::Interfaces => interfaces(),
        Request::PutNoticesAway => Answer::Done,
        Request::SetClock(setting) => message(&format!("the clock is set to {}", setting.seconds)),
        Request::ChangeKeyboard(choice) => message(&format!("the keyboard is {}", choice.layout)),
        Request::ConfirmNetwork => message("The network is kept."),
        Request::RestoreNetwork => message("The last network that worked is used again."),
        Request::SiteSettings => site_settings(),
        Request::CurrentUser | Request::ChangeKeys(_) => user(),
        Request::ChangeInterface { .. } | Request::ChangeSiteSettings(_) => {
            Answer::Operation(done("configure", &["Check", "Apply"], "The new settings are on trial."))
        }
        Request::Start(work) => {
            Answer::Operation(operation(kind_of(work), &["Read the image", "Write the slot"]))
        }
        Request::Operation(_) | Request::Cancel(_) => {
            Answer::Operation(operation("upgrade", &["Read the image", "Write the slot"]))
        }
        Request::Check(check) => checked(check),
        Request::Logs(_) => logs(),
        Request::BlackBox => black_box(),
        Request::Volumes => answer_of(
            "volumes",
            json!([{ "device": "/dev/sdb1", "label": "STICK", "file_system": "vfat", "size": 16_008_609_792_u64 }]),
        ),
        Request::InstallDisks => install_disks(),
        Request::InstallAnswers => answer_of(
            "install-answers",
            json!({
                "text": "hostName: shop-17\ntimeZone: Europe/Zurich\noperator:\n  name: site\n",
                "hidden": ["operator.password"], "findings": [],
            }),
        ),
        Request::GiveAnswers(_) => answer_of("install-answers", json!({ "text": "", "findings": [] })),
        Request::ExportAnswers { .. } => message("unattended.yaml was written to STICK."),
        Request::OpenShell => message("A shell is on the second console: press Alt-F2."),
        Request::Destroy(confirmed) => Answer::Operation(operation(
            match confirmed.get() {
                Destructive::Install { .. } => "install",
                Destructive::Reset { .. } => "reset",
                Destructive::Rollback { .. } => "rollback",
                Destructive::Restart | Destructive::RestartIntoRecovery => "reboot",
                Destructive::PowerOff => "power-off",
                Destructive::RestoreConfiguration { .. } => "restore-configuration",
                Destructive::UpgradeAndRestart(_) => "upgrade",
            },
            &["Prepare"],
        )),
    })
}

fn message(text: &str) -> Answer {
    answer_of("message", json!({ "message": text }))
}

fn metrics() -> Answer {
    answer_of(
        "metrics",
        json!({
            "upTimeSeconds": 93_784, "loadOneMinute": 0.42, "processors": 4,
            "memoryTotalBytes": 8_000_000_000_u64, "memoryAvailableBytes": 6_100_000_000_u64,
            "fileSystems": [{ "path": "/usr/local", "totalBytes": 100_000_000_000_u64, "freeBytes": 61_000_000_000_u64 }],
            "temperatureCelsius": 47.2, "timeSynchronized": true, "clockSeconds": 1_772_366_400_u64,
        }),
    )
}

fn interfaces() -> Answer {
    answer_of(
        "interfaces",
        json!([
            { "name": "enp1s0", "kind": "physical", "mac": "52:54:00:12:34:56", "carrier": true,
              "addresses": ["192.0.2.17/24"], "gateway": "192.0.2.1" },
            { "name": "enp2s0", "kind": "physical", "mac": "52:54:00:12:34:57", "carrier": false, "addresses": [],
              "configured": { "addresses": ["10.42.0.17/24"], "routes": [{ "to": "10.43.0.0/16", "via": "10.42.0.1" }] } },
            { "name": "bond0", "kind": "bond", "carrier": true, "addresses": [],
              "configured": { "type": "dhcp", "bond": { "members": ["enp3s0", "enp4s0"] } } },
        ]),
    )
}

fn site_settings() -> Answer {
    answer_of(
        "site-settings",
        json!({
            "hostName": "shop-17", "ntpServers": ["ntp.example"], "timeZone": "Europe/Zurich",
            "nameServers": ["192.0.2.53"], "httpProxy": "http://proxy.example:3128", "caCerts": ["PEM", "PEM"],
        }),
    )
}

fn user() -> Answer {
    answer_of(
        "user",
        json!({
            "userName": "site", "role": "admin", "disablePasswordUpdate": false,
            "sshKeys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0 somebody"],
        }),
    )
}

fn logs() -> Answer {
    let lines: Vec<String> = (0..100)
        .map(|line| format!("12:00:{:02} edge-agent[312]: line {line} of the log", line % 60))
        .collect();
    answer_of("logs", json!({ "lines": lines }))
}

fn black_box() -> Answer {
    let boot = |slot: &str, version: &str, at: u64, ending: Value| {
        json!({
            "id": "1", "mode": "main", "slot": slot, "version": version, "rootHash": HASH,
            "began": { "at": at, "proven": true }, "ending": ending,
        })
    };
    let mut crash = boot("a", "1.1.0", 1_772_366_400, json!({ "as": "crashed", "reason": "kernel BUG" }));
    crash["console"] = json!(["BUG: unable to handle page fault", "RIP: 0010:foo+0x12"]);
    answer_of(
        "black-box",
        json!({ "boots": [
            crash,
            boot("a", "1.1.0", 1_772_370_000, json!({ "as": "lost-power-or-reset" })),
            boot("a", "1.1.0", 1_772_380_000, json!({ "as": "restarted", "reason": "upgrade to 1.2.0" })),
            boot("b", "1.2.0", 1_772_390_000, json!({ "as": "still-running" })),
        ]}),
    )
}

fn install_disks() -> Answer {
    answer_of(
        "install-disks",
        json!([
            { "path": "/dev/nvme0n1", "model": "Example SSD 980", "serial": "S1", "size": 500_107_862_016_u64,
              "rotational": false, "holds": "other-installation" },
            { "path": "/dev/sda", "model": "Example HDD", "serial": "S2", "size": 2_000_398_934_016_u64,
              "rotational": true, "holds": "nothing" },
            { "path": "/dev/sdb", "model": "Small Stick", "serial": "S3", "size": 4_000_000_000_u64,
              "rotational": false, "holds": "data", "unsuitable": "it is the installation medium" },
        ]),
    )
}

fn checked(check: &Check) -> Answer {
    match check {
        Check::Network => answer_of(
            "network",
            json!([{ "what": "cable", "isGood": true, "said": "enp1s0" },
                   { "what": "address", "isGood": true, "said": "192.0.2.17/24" },
                   { "what": "gateway", "isGood": false, "said": "192.0.2.1 does not answer" }]),
        ),
        Check::Ping(_) => answer_of(
            "ping",
            json!({ "sent": 3, "received": 3, "milliseconds": { "minimum": 0.3, "average": 0.4, "maximum": 0.6 },
                    "output": "3 packets transmitted, 3 received" }),
        ),
        Check::Route(_) => answer_of(
            "route",
            json!({ "hops": [{ "number": 1, "address": "192.0.2.1", "milliseconds": 0.4 }, { "number": 2 }],
                    "output": "" }),
        ),
        Check::Name(_) => answer_of(
            "name",
            json!({ "addresses": ["198.51.100.7"], "server": "192.0.2.53", "milliseconds": 12.0 }),
        ),
        Check::Port(_) => answer_of("port", json!({ "address": "198.51.100.7:443", "milliseconds": 8.5 })),
        Check::Web(_) => answer_of(
            "web",
            json!({ "status": 200, "milliseconds": 45.0, "tls": "certificate of CN=registry" }),
        ),
        Check::Time => answer_of(
            "time",
            json!({ "synchronized": true, "server": "ntp.example", "offsetMilliseconds": 1.5 }),
        ),
        Check::Disks => answer_of(
            "disks",
            json!([{ "path": "/dev/nvme0n1", "model": "Example SSD 980", "serial": "S1",
                     "sizeBytes": 500_107_862_016_u64, "rotational": false, "removable": false,
                     "verdict": { "state": "failing", "reasons": ["spare blocks are used up"] },
                     "wearPercent": 104, "temperatureCelsius": 51.0, "powerOnHours": 31_000 }]),
        ),
        Check::Sensors => answer_of(
            "sensors",
            json!([{ "name": "Core 0", "kind": "temperature", "value": 47.0, "unit": "°C" }]),
        ),
    }
}
