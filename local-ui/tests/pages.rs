//! Every page as a golden, and rules that hold over all of them: who cannot see or use a mouse can use each of them, nothing is
//! run that is not a file of ours, nothing names another host, and all of it is small.
//!
//! `UPDATE_GOLDEN=1 cargo test -p edge-local-ui --test pages` writes them anew; read the difference.

#![allow(clippy::unwrap_used)]

mod html;

use edge_local_ui::pages::{
    account, audit, boots, bundle, cluster, configuration, content, diagnosis, help, home, login, logs,
    names, network, power, question, system, work,
};
use edge_local_ui::ui::{Frame, page};
use edge_model::Error;
use edge_model::api::access::Role;
use edge_model::api::cluster::{
    ClusterPhase, ClusterStatus, ClusterWait, KeptData, PodCounts, PodState, PodStatus,
};
use edge_model::api::content::{BundleView, ContentView};
use edge_model::api::{BootState, Health, HostStatus, NetworkState};
use edge_model::cluster::{Distribution, KubernetesVersions};
use edge_model::cmdline::Mode;
use edge_words::destructive::Destructive;
use maud::{Markup, html as markup};
use serde_json::{Value, json};

/// Bytes: the first page is what everybody waits for.
const LARGEST: usize = 60_000;
const LARGEST_FIRST: usize = 15_000;

fn status() -> HostStatus {
    // As a real host has said it, at a moment that does not change.
    let text = include_str!("../../tui/tests/console/records/status.json");
    let mut status: Value = serde_json::from_str(text).unwrap();
    for (key, value) in [
        ("host_name", json!("shop-17")),
        ("host_id", json!("edge-4c4c4544-0042")),
        ("boot_id", json!("4be2a0f1")),
        ("web_ui", Value::Null),
        ("notices", json!([])),
        ("operation", Value::Null),
        ("addresses", json!([{ "interface": "enp1s0", "address": "192.0.2.17" }])),
    ] {
        status[key] = value;
    }
    status["possible"] = json!([
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
        "reset",
        "create-cluster",
        "delete-cluster",
        "restore-configuration",
        "commit",
        "import-content"
    ]);
    serde_json::from_value(status).unwrap()
}

fn frame(path: &str, role: Role, change: impl FnOnce(&mut HostStatus)) -> Frame {
    let mut status = status();
    change(&mut status);
    Frame { status, user: "site".into(), role, token: "f0".repeat(28), path: path.into(), live: None }
}

fn record<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn versions(kubernetes: &str, etcd: &str) -> KubernetesVersions {
    KubernetesVersions {
        distribution: Distribution::Kubeadm,
        kubernetes: kubernetes.into(),
        etcd: Some(etcd.into()),
    }
}

fn of_cluster(status: &mut HostStatus) {
    status.cluster = Some(ClusterStatus {
        node: "shop-17".into(),
        versions: Some(versions("v1.37.2", "3.7.3")),
        waits_for: Some(ClusterWait { what: "the workloads".into(), since: 1_772_366_400, reason: None }),
        pods: PodCounts { running: 4, wanted: 5 },
        troubled: vec![troubled()],
        kept: Some(KeptData { versions: versions("v1.36.3", "3.6.16"), made: 1_772_366_400 }),
        ..ClusterStatus::new("shop", ClusterPhase::Degraded)
    });
}

fn of_bundles() -> ContentView {
    let bundle = |name: &str, signed: bool, damaged: &[&str]| BundleView {
        name: name.into(),
        digest: "sha256:a1b2".into(),
        images: vec!["registry.example/till:1.4".into(), "registry.example/stock:2".into()],
        bytes: 84_000_000,
        installed_at: 1_772_366_400,
        signed,
        origin: "USB stick: shop.tar.zst".into(),
        damaged: damaged.iter().map(|image| (*image).to_owned()).collect(),
    };
    ContentView {
        of_image: vec!["registry.k8s.io/etcd:3.7.3-0".into(), "registry.k8s.io/pause:3.10".into()],
        bundles: vec![bundle("shop", true, &[]), bundle("menu <1>", false, &["registry.example/till:1.4"])],
        free_bytes: 3 << 30,
        upstream: false,
    }
}

fn troubled() -> PodStatus {
    PodStatus {
        namespace: "pos".into(),
        name: "pos-1".into(),
        state: PodState::Failing { reason: "its image shop/pos:1 is not on this host".into() },
        restarts: 3,
    }
}

fn operation(state: &Value) -> edge_model::api::OperationStatus {
    record(
        json!({ "id": 7, "operation": "upgrade", "started_by": "site", "surface": "web", "started_at": 1_772_366_400,
        "state": state, "step": "Write the image", "done": 120_000_000, "total": 400_000_000,
        "steps": [{ "title": "Fetch the manifest", "after_seconds": 0 }, { "title": "Write the image", "after_seconds": 3 }] }),
    )
}

fn interface() -> edge_model::api::network::InterfaceView {
    record(json!({ "name": "enp1s0", "kind": "physical", "mac": "52:54:00:12:34:56", "carrier": true,
        "addresses": ["192.0.2.17/24"], "gateway": "192.0.2.1", "configured": null }))
}

/// Name, page.
fn pages_of_states() -> Vec<(&'static str, String)> {
    let metrics =
        record(serde_json::from_str(include_str!("../../tui/tests/console/records/metrics.json")).unwrap());
    let home = |name, role, change: fn(&mut HostStatus)| {
        let frame = frame("/", role, change);
        (name, page(&frame, "This host", &home::view(&frame, Some(&metrics))).into_string())
    };
    vec![
        home("home", Role::Admin, |_| {}),
        home("home-viewer", Role::Viewer, |_| {}),
        home("home-not-well", Role::Operator, |status| {
            status.health = Health::Unhealthy(vec!["edge-pos.service has failed".into()]);
            status.notices = record(
                json!([{ "id": "0123", "severity": "warning", "since": 1, "text": "the data partition is full",
                "help": "remove what is not needed", "ends": "with-its-cause" }, { "id": "4567", "severity": "info", "since": 1,
                "text": "the network was taken back", "ends": "when-read" }]),
            );
        }),
        home("home-trial", Role::Operator, |status| {
            (status.boot_state, status.trial_seconds_left) = (BootState::Trial, Some(372));
            status.network = NetworkState::Trial { seconds_left: 150 };
            status.operation = Some(operation(&json!({ "state": "running" })));
        }),
        home("home-recovery", Role::Operator, |status| {
            (status.mode, status.boot_state) = (Mode::Recovery, BootState::Recovery);
            status.possible = record(json!(["support-bundle", "reboot", "power-off"]));
        }),
        ("login", login::view("shop-17", "3F2A 91C0 7B1E 44D0", "", None).into_string()),
        (
            "login-refused",
            login::view("shop-17", "3F2A 91C0 7B1E 44D0", "site", Some(&refused())).into_string(),
        ),
    ]
}

fn refused() -> Error {
    Error::new(edge_model::Class::Unauthenticated, "wrong name or password").help("caps lock may be on")
}

fn shown(
    name: &'static str,
    path: &str,
    role: Role,
    title: &str,
    change: fn(&mut HostStatus),
    body: &dyn Fn(&Frame) -> Markup,
) -> (&'static str, String) {
    let frame = frame(path, role, change);
    (name, page(&frame, title, &body(&frame)).into_string())
}

/// Of pages that need no other state than the usual one.
fn plain(
    name: &'static str,
    path: &str,
    title: &str,
    body: &dyn Fn(&Frame) -> Markup,
) -> (&'static str, String) {
    shown(name, path, Role::Admin, title, |_| {}, body)
}

fn wrong() -> Error {
    Error::invalid("192.0.2.300 is no address").help("like 192.0.2.17/24")
}

fn of_the_host() -> Vec<(&'static str, String)> {
    let given = network::Given::of(&interface());
    let ledger = record(json!({ "history": [{ "at": 1_772_366_400, "event": "installed", "version": "1.0.0",
        "root_hash": "ab".repeat(32) }] }));
    let settings =
        record(json!({ "hostName": "shop-17", "ntpServers": ["192.0.2.1"], "timeZone": "Europe/Zurich" }));
    let none: fn(&mut HostStatus) = |_| {};
    let viewer = Role::Viewer;
    vec![
        plain("network", "/network", "Network", &|frame| network::view(frame, &[interface()])),
        shown("network-viewer", "/network", viewer, "Network", none, &|frame| {
            network::view(frame, &[interface()])
        }),
        plain("interface", "/network/interface/enp1s0", "Network: enp1s0", &|frame| {
            network::edit_view(frame, &interface(), &given, true, Some(&wrong()))
        }),
        plain("names", "/names", "Names and time", &|frame| names::view(frame, &settings)),
        shown("names-viewer", "/names", viewer, "Names and time", none, &|frame| {
            names::view(frame, &settings)
        }),
        plain("system", "/system", "System", &|frame| system::view(frame, &ledger)),
        plain("power", "/power", "Power", &power::view),
        plain("help", "/help", "Help", &|_| help::view()),
        plain("diagnosis", "/diagnosis", "Diagnosis", &|frame| {
            diagnosis::view(frame, "ping", "192.0.2.1", Some(&Ok(markup! { p { "It answers." } })))
        }),
        plain("logs", "/logs", "Logs", &|frame| {
            logs::view(frame, &logs::Wanted::default(), &["a line".into(), "<b>another</b>".into()])
        }),
        plain("bundle", "/bundle", "Support bundle", &|frame| bundle::view(frame, true)),
    ]
}

fn of_the_cluster() -> Vec<(&'static str, String)> {
    let pods = [troubled()];
    let alone: fn(&mut HostStatus) = |status| status.cluster = None;
    let admin = Role::Admin;
    vec![
        shown("cluster-none", "/cluster", admin, "Cluster", alone, &|frame| cluster::view(frame, &[])),
        shown("cluster", "/cluster", admin, "Cluster", of_cluster, &|frame| cluster::view(frame, &pods)),
        plain("cluster-new", "/cluster/new", "Make a cluster", &|frame| {
            cluster::new_view(frame, "name: Shop\n", Some(&wrong()))
        }),
        shown("cluster-delete", "/cluster/delete", admin, "Delete", of_cluster, &cluster::delete_view),
        plain("content", "/content", "Container images", &|frame| content::view(frame, &of_bundles())),
        shown("content-viewer", "/content", Role::Viewer, "Container images", |_| {}, &|frame| {
            content::view(frame, &ContentView { upstream: true, ..ContentView::default() })
        }),
        plain("content-remove", "/content/remove", "Remove this bundle?", &|frame| {
            content::remove_view(frame, &of_bundles().bundles[0])
        }),
    ]
}

fn of_work_and_people() -> Vec<(&'static str, String)> {
    let user = record(json!({ "userName": "site", "role": "operator", "sshKeys": ["ssh-ed25519 AAAA site"],
        "disablePasswordUpdate": false }));
    let black_box = record(json!({ "boots": [{ "id": "1", "mode": "main", "slot": "a", "version": "1.0.0",
        "rootHash": "ab".repeat(32), "began": { "at": 1_772_366_400, "proven": true },
        "ending": { "as": "crashed", "reason": "Kernel panic" }, "console": ["Kernel panic - not syncing"], "doubts": [] }] }));
    let audits = record(
        json!({ "items": [{ "sequence": 1, "at": 1_772_366_400, "clockIsSet": true, "edgeHostId": "e",
        "actor": "site", "actorType": "operator", "from": "192.0.2.50", "action": "POST /v1/operations",
        "resourceKind": "operations", "resourceId": "7", "resourceName": "upgrade", "contentMsg": "Start an operation",
        "outcome": { "result": "accepted", "status": 202 } }], "continue": 51 }),
    );
    let document = record(
        json!({ "local": "#cloud-config\nhostname: shop-17\n", "effective": ["hostname = shop-17  # local.yaml"],
        "findings": [] }),
    );
    vec![
        plain("work-list", "/work", "Last work", &|_| {
            work::list_view(&[operation(&json!({ "state": "done", "message": "ready" }))])
        }),
        plain("work-running", "/work/7", "Upgrade", &|frame| {
            work::view(frame, &operation(&json!({ "state": "running" })))
        }),
        plain("work-failed", "/work/7", "Upgrade", &|frame| {
            let error =
                json!({ "class": "rejected", "message": "the image is not signed", "help": "sign it" });
            work::view(frame, &operation(&json!({ "state": "failed", "error": error })))
        }),
        plain("boots", "/boots", "Last boots", &|_| boots::view(&black_box)),
        plain("configuration", "/configuration", "Configuration", &|frame| {
            configuration::view(frame, &document, Some("#cloud-config\n"), &markup! {})
        }),
        plain("audit", "/audit", "Who did what", &|_| audit::view(&audits)),
        plain("account", "/account", "Account", &|frame| account::view(frame, &user, &markup! {})),
    ]
}

fn questions() -> Vec<(&'static str, String)> {
    let asked = |name, asks: Destructive| {
        let frame = frame("/power", Role::Operator, |_| {});
        (name, question(&frame, &asks, "/power/restart", "/power", &markup! {}).into_string())
    };
    vec![
        asked("question-restart", Destructive::Restart),
        asked("question-off", Destructive::PowerOff),
        asked("question-return", Destructive::Rollback { loses: Some("2026-03-01 12:00 UTC".into()) }),
        asked("question-reset", Destructive::Reset { oem: true }),
    ]
}

fn all() -> Vec<(&'static str, String)> {
    [pages_of_states(), of_the_host(), of_the_cluster(), of_work_and_people(), questions()].concat()
}

#[test]
fn pages_are_what_the_goldens_say() {
    let mut differences = String::new();
    for (name, page) in all() {
        let lines = page.replace("><", ">\n<");
        let golden =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pages").join(format!("{name}.html"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&golden, &lines).unwrap();
        }
        if std::fs::read_to_string(&golden).unwrap_or_default() != lines {
            differences.push_str(&format!("{}\n", golden.display()));
        }
    }
    assert!(differences.is_empty(), "other than:\n{differences}");
}

#[test]
fn everybody_can_use_every_page() {
    let mut wrong = Vec::new();
    for (name, page) in all() {
        wrong.extend(html::findings(&page).into_iter().map(|finding| format!("{name}: {finding}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn pages_are_small() {
    for (name, page) in all() {
        let most =
            if name.starts_with("home") || name.starts_with("login") { LARGEST_FIRST } else { LARGEST };
        assert!(page.len() <= most, "{name} has {} bytes", page.len());
    }
}

#[test]
fn who_may_only_look_gets_no_form_but_the_way_out() {
    for (name, page) in all().into_iter().filter(|(name, _)| name.ends_with("-viewer")) {
        let forms = page.matches("<form").count();
        assert_eq!((forms, page.matches("action=\"/logout\"").count()), (1, 1), "{name}");
        assert!(!page.contains("href=\"/power\"") && !page.contains("href=\"/audit\""), "{name}");
    }
}

#[test]
fn what_keeps_people_out_is_found() {
    for (page, expected) in [
        ("<input name=\"a\" type=\"text\">", "without a label"),
        ("<p id=\"a\"></p><p id=\"a\"></p>", "stands twice"),
        ("<label for=\"gone\">A</label>", "leads nowhere"),
        ("<p style=\"color:red\">", "style in"),
        ("<a href=\"https://elsewhere.example/\">", "href=https://elsewhere.example/"),
        ("<script>alert(1)</script>", "inside the page"),
        ("<h1>A</h1><h3>B</h3>", "left out"),
        ("<input id=\"p\" type=\"password\"><label for=\"p\">P</label>", "recognises"),
    ] {
        let found = html::findings(page);
        assert!(found.iter().any(|finding| finding.contains(expected)), "{page}: {found:?}");
    }
}
