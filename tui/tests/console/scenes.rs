//! Every screen, and every way in which it can go wrong.

mod system;

use edge_model::Error;
use edge_model::api::cluster::ClusterStatus;
use edge_model::api::installer::Answers;
use edge_model::api::{BootState, Health, HostStatus, NetworkState, OperationKind, Possibility};
use edge_model::cmdline::Mode;
use edge_tui::action::Answer;
use edge_tui::event::Event;
use serde_json::json;

use crate::agent::{cluster, failed, notice, recorded, status};
use crate::driver::Console;

fn scene(mut console: Console, script: impl FnOnce(&mut Console)) -> Console {
    script(&mut console);
    console
}

fn typed(console: Console, keys: &str) -> Console {
    scene(console, |console| console.keys(keys))
}

fn host(change: impl FnOnce(&mut HostStatus)) -> Console {
    let mut status = status(Mode::Main);
    change(&mut status);
    Console::with(status)
}

/// The keys to the line of the menu with this number.
pub(crate) fn menu(line: usize) -> String {
    format!("<home>{}<enter>", "<down>".repeat(line))
}

fn in_menu(line: usize) -> Console {
    typed(Console::logged_in(), &menu(line))
}

pub(crate) fn all() -> Vec<(&'static str, Console)> {
    let mut scenes = frames();
    scenes.extend(dashboards());
    scenes.extend(logins());
    scenes.extend(networks());
    scenes.extend(interfaces());
    scenes.extend(settings());
    scenes.extend(system::screens());
    scenes.extend(system::settings());
    scenes.extend(system::upgrades());
    scenes.extend(clusters());
    scenes.extend(powers());
    scenes.extend(finding_out());
    scenes.extend(reading());
    scenes.extend(installers());
    scenes.extend(later_questions());
    scenes.extend(installations());
    scenes
}

fn frames() -> Vec<(&'static str, Console)> {
    vec![
        ("starting", Console::starting()),
        (
            "agent-never-came",
            scene(Console::starting(), |console| {
                console.clock(61);
                console.event(Event::AgentLost);
            }),
        ),
        ("agent-lost", scene(Console::of(Mode::Main), |console| console.event(Event::AgentLost))),
        ("help", typed(Console::of(Mode::Main), "<f1>")),
    ]
}

fn dashboards() -> Vec<(&'static str, Console)> {
    vec![
        ("home-of-a-real-host", Console::recorded()),
        ("home", Console::of(Mode::Main)),
        ("home-logged-in", Console::logged_in()),
        ("home-cluster", host(|status| status.cluster = Some(cluster("running", 5, &json!(null), &[])))),
        (
            "home-troubled",
            host(|status| {
                status.health = Health::Unhealthy(vec!["containerd does not answer".into()]);
                status.notices = vec![notice("A firmware entry was missing and was restored.")];
                status.addresses.clear();
                status.network = NetworkState::Returned;
                let failed = json!({ "root_hash": status.image.root_hash, "version": "1.3.0",
                                 "reason": "it did not prove healthy in 600 seconds", "at": 1 });
                status.failed = vec![serde_json::from_value(failed).unwrap()];
            }),
        ),
        (
            "home-on-trial",
            host(|status| {
                status.boot_state = BootState::Trial;
                status.trial_seconds_left = Some(432);
                status.health = Health::Checking;
                status.network = NetworkState::Trial { seconds_left: 87 };
            }),
        ),
        ("home-working", host(|status| status.operation = Some(recorded(OperationKind::Upgrade, 3)))),
        (
            "recovery",
            scene(Console::of(Mode::Recovery), |console| {
                console.status(|status| {
                    status.notices = vec![notice("The last 6 starts of the normal system did not finish.")];
                });
            }),
        ),
        ("recovery-asked-for", Console::of(Mode::Recovery)),
        (
            "recovery-little-possible",
            scene(Console::of(Mode::Recovery), |console| {
                console.status(|status| status.possible = vec![Possibility::PowerOff]);
            }),
        ),
        ("shell", scene(Console::logged_in(), |console| console.keys(&menu(14)))),
        (
            "shell-refused",
            scene(Console::logged_in(), |console| {
                console.will_refuse(
                    Error::rejected("this image allows no shell").help("ask for an image with one"),
                );
                console.keys(&menu(14));
            }),
        ),
    ]
}

/// A host whose operator has only an SSH key, soon after its installation.
fn first_password(keys: &str) -> Console {
    scene(Console::of(Mode::Main), |console| {
        console.status(|status| {
            status.console.somebody_can_log_in = false;
            status.console.first_password = Some("site".into());
        });
        console.keys(keys);
    })
}

fn logins() -> Vec<(&'static str, Console)> {
    let login = || typed(Console::of(Mode::Main), "<up><enter>");
    let wrong = |error: Error| {
        scene(login(), |console| {
            console.will_refuse(error);
            console.keys("site<tab>wrong<enter>");
        })
    };
    let closed = || host(|status| status.console.view_without_login = false);
    vec![
        ("login", login()),
        ("login-incomplete", typed(login(), "<down><down><enter>")),
        (
            "login-checking",
            scene(login(), |console| {
                console.holds_back = true;
                console.keys("site<tab>secret<enter>");
            }),
        ),
        ("login-wrong", wrong(Error::rejected("name or password is wrong"))),
        ("login-waiting", wrong(Error::rejected("too many tries").help("try again in 8 seconds"))),
        (
            "login-lockout",
            wrong(
                Error::rejected("the account is locked for 15 minutes").help("wait, or use another account"),
            ),
        ),
        (
            "login-needed",
            typed(Console::of(Mode::Main), &format!("{}<down><enter><escape><escape>{}", menu(6), menu(9))),
        ),
        (
            "login-nobody",
            scene(Console::of(Mode::Main), |console| {
                console.status(|status| status.console.somebody_can_log_in = false);
                console.keys("<up><enter>");
            }),
        ),
        ("login-first-password", first_password("<up><enter>")),
        ("login-first-password-differs", first_password("<up><enter>seven-dwarfs<tab>seven<enter>")),
        ("login-first-password-set", first_password("<up><enter>seven-dwarfs<tab>seven-dwarfs<enter>")),
        ("console-closed", closed()),
        (
            "console-refused",
            scene(Console::starting(), |console| {
                console.event(Event::StatusRefused(Error::rejected("log in first")));
            }),
        ),
    ]
}

fn networks() -> Vec<(&'static str, Console)> {
    vec![
        ("network", in_menu(0)),
        (
            "network-loading",
            scene(Console::logged_in(), |console| {
                console.holds_back = true;
                console.keys("<enter>");
            }),
        ),
        (
            "network-on-trial",
            scene(in_menu(0), |console| {
                console.status(|status| {
                    status.network = NetworkState::Trial { seconds_left: 87 };
                    status.possible.push(Possibility::RestoreNetwork);
                });
            }),
        ),
        (
            "network-kept",
            scene(in_menu(0), |console| {
                console.status(|status| status.network = NetworkState::Trial { seconds_left: 87 });
                console.keys("<end><enter>");
            }),
        ),
        (
            "network-keep-refused",
            scene(in_menu(0), |console| {
                console.status(|status| status.network = NetworkState::Trial { seconds_left: 87 });
                console.will_refuse(
                    Error::rejected("the gateway does not answer").help("check the cable and the gateway"),
                );
                console.keys("<end><enter>");
            }),
        ),
    ]
}

fn interfaces() -> Vec<(&'static str, Console)> {
    let editor = || typed(in_menu(0), "<enter>");
    vec![
        ("interface", editor()),
        ("interface-static", typed(in_menu(0), "<down><enter>")),
        ("interface-bond", typed(in_menu(0), "<down><down><enter>")),
        (
            "interface-wrong",
            typed(editor(), "<right><tab>192.0.2<tab>router<tab><tab><tab>9<tab>x<tab><enter>"),
        ),
        (
            "interface-wrong-address",
            typed(editor(), "<right><tab>192.0.2<tab>router<tab><tab><tab>9<tab><tab><enter>"),
        ),
        (
            "interface-refused",
            scene(editor(), |console| {
                console.will_refuse(
                    Error::rejected("another operation is running").help("wait until it has ended"),
                );
                console.keys("<up><enter>");
            }),
        ),
        (
            "interface-wrong-by-agent",
            scene(editor(), |console| {
                console.will_refuse(Error::invalid(
                "console:1:1: error: edge.site.network.interfaces.enp1s0.gateway: it is not in the network (help: like 192.0.2.1)",
            ));
                console.keys("<right><tab>192.0.2.17/24<tab>10.0.0.1<up><up><up><enter>");
            }),
        ),
        (
            "interface-not-now",
            scene(editor(), |console| {
                console.status(|status| status.possible.clear());
                console.keys("<up><enter>");
            }),
        ),
        ("interface-applied", typed(editor(), "<up><enter>")),
    ]
}

fn settings() -> Vec<(&'static str, Console)> {
    vec![
        ("names", in_menu(1)),
        ("names-wrong", typed(in_menu(1), "<^u>not a name<tab><^u>1.2.3<tab><tab><^u>Zurich<tab><enter>")),
        ("names-unchanged", typed(in_menu(1), "<up><enter>")),
        ("proxy", in_menu(2)),
        ("proxy-wrong", typed(in_menu(2), "<^u>proxy<up><enter>")),
        ("clock", in_menu(3)),
        ("clock-wrong", typed(in_menu(3), "<^u>noon<tab><enter>")),
        ("clock-set", typed(in_menu(3), "<tab><enter>")),
        ("keyboard", in_menu(4)),
        ("keyboard-chosen", typed(in_menu(4), "<down><down><enter>")),
        ("account", in_menu(5)),
        ("account-different", typed(in_menu(5), "old<tab>new<tab>other<tab><enter>")),
        (
            "account-refused",
            scene(in_menu(5), |console| {
                console.will_refuse(Error::rejected("the old password is wrong"));
                console.keys("old<tab>new<tab>new<tab><enter>");
            }),
        ),
        ("account-password-changed", typed(in_menu(5), "old<tab>new<tab>new<tab><enter>")),
        ("account-no-key", typed(in_menu(5), "<up><up>nonsense<down><enter>")),
    ]
}

fn powers() -> Vec<(&'static str, Console)> {
    vec![
        ("power", in_menu(13)),
        ("power-restart", typed(in_menu(13), "<enter>")),
        ("power-recovery", typed(in_menu(13), "<down><enter>rec")),
        ("power-off", typed(in_menu(13), "<down><down><enter>")),
        ("power-off-wrong-word", typed(in_menu(13), "<down><down><enter>on<enter>")),
        (
            "power-refused",
            scene(in_menu(13), |console| {
                console.will_refuse(
                    Error::rejected("an upgrade is running").help("wait until it has ended, or stop it"),
                );
                console.keys("<enter><right><enter>");
            }),
        ),
        ("rollback", typed(in_menu(6), "<up><up><up><up><up><up><enter>")),
    ]
}

fn clusters() -> Vec<(&'static str, Console)> {
    let with = |cluster: ClusterStatus| typed(host(|status| status.cluster = Some(cluster)), &menu(7));
    let waits =
        json!({ "what": "the API", "since": 1_772_366_400, "reason": "etcd: cannot open its database" });
    let troubled = [
        json!({ "namespace": "default", "name": "till-7d9f", "restarts": 3,
            "state": { "is": "failing", "reason": "its program ends with 1: no licence" } }),
        json!({ "namespace": "default", "name": "page-66c8", "state": { "is": "waiting", "reason": "is being created" } }),
    ];
    vec![
        ("cluster-none", in_menu(7)),
        ("cluster", with(cluster("running", 5, &json!(null), &[]))),
        ("cluster-waits", with(cluster("making", 0, &waits, &[]))),
        ("cluster-troubled", with(cluster("running", 3, &json!(null), &troubled))),
    ]
}

fn finding_out() -> Vec<(&'static str, Console)> {
    let diagnosis = |kind: usize, target: &str| {
        let kind = "<right>".repeat(kind);
        // To the choice: another question than the first.
        let kind = format!("<up>{kind}");
        let target = if target.is_empty() { String::new() } else { format!("<tab>{target}") };
        typed(in_menu(8), &format!("{kind}{target}<tab><enter>"))
    };
    vec![
        ("diagnosis", in_menu(8)),
        ("diagnosis-network", typed(in_menu(8), "<enter>")),
        ("diagnosis-ping", diagnosis(1, "gateway.example")),
        ("diagnosis-route", diagnosis(2, "registry.example")),
        ("diagnosis-web", diagnosis(5, "https://registry.example/v2/")),
        ("diagnosis-time", diagnosis(6, "")),
        ("diagnosis-disks", diagnosis(7, "")),
        ("diagnosis-of-nothing", typed(in_menu(8), "<up><right><tab><tab><enter>")),
        (
            "diagnosis-failed",
            scene(in_menu(8), |console| {
                console.will_refuse(
                    Error::environment("no such name: nowhere.example").help("check the name servers"),
                );
                console.keys("<up><right><right><right><tab>nowhere.example<tab><enter>");
            }),
        ),
    ]
}

fn reading() -> Vec<(&'static str, Console)> {
    vec![
        ("logs", in_menu(9)),
        (
            "logs-filtered",
            scene(in_menu(9), |console| {
                console.will_say(
                    serde_json::from_value(json!({ "answer": "logs", "with": { "lines": [] } })).unwrap(),
                );
                console.keys("<tab>nothing<back-tab><enter>");
            }),
        ),
        ("bundle", in_menu(10)),
        (
            "bundle-no-stick",
            scene(Console::logged_in(), |console| {
                console.will_say(Answer::Volumes(Vec::new()));
                console.keys(&menu(10));
            }),
        ),
        ("bundle-writing", typed(in_menu(10), "<enter>")),
        ("black-box", in_menu(11)),
        (
            "black-box-empty",
            scene(Console::logged_in(), |console| {
                console.will_say(Answer::BlackBox(Default::default()));
                console.keys(&menu(11));
            }),
        ),
        ("codes", in_menu(12)),
        (
            "codes-registration",
            scene(in_menu(12), |console| {
                console.status(registered_and_with_a_web_page);
                console.keys("<down>");
            }),
        ),
        (
            "codes-web-page",
            scene(in_menu(12), |console| {
                console.status(registered_and_with_a_web_page);
                console.keys("<down><down>");
            }),
        ),
    ]
}

fn registered_and_with_a_web_page(status: &mut edge_model::api::HostStatus) {
    status.management.registration_url = Some("https://manage.example/register".into());
    status.web_ui = Some(edge_model::api::WebUi {
        url: "https://192.0.2.17:5080".into(),
        port: 5080,
        fingerprint: "3f2a91c07b1e44d0".repeat(4),
        own: true,
    });
}

/// From the first screen to the summary, on an empty disk.
pub(crate) const TO_SUMMARY: &str = "<enter><down><enter><end><enter><up><enter><up><enter>";
/// The same on a medium that names a management plane.
const TO_MANAGEMENT: &str = "<enter><down><enter><end><enter><up><enter><up><enter>";

fn names_a_plane() -> Console {
    scene(Console::of(Mode::Live), |console| {
        console.medium = Some(Answers {
            text: "hostName: shop-17\noperator:\n  name: site\nmanagement:\n  mode: central\n  endpoint: manage.example\n".into(),
            hidden: vec!["operator.password".into()],
            findings: Vec::new(),
        });
        console.keys("<f5>");
    })
}

fn installers() -> Vec<(&'static str, Console)> {
    let live = || Console::of(Mode::Live);
    vec![
        ("installer-of-a-real-medium", Console::recorded_medium()),
        ("installer-disks-of-a-real-machine", typed(Console::recorded_medium(), "<enter>")),
        ("installer", live()),
        ("installer-disks", typed(live(), "<enter>")),
        (
            "installer-no-disk",
            scene(live(), |console| {
                console.holds_back = true;
                console.keys("<enter>");
                console.settle();
                let installer = &mut console.state.base;
                if let edge_tui::state::Base::Installer(wizard) = installer {
                    wizard.disks = Some(Vec::new());
                }
            }),
        ),
        ("installer-unsuitable", typed(live(), "<enter><end><enter>")),
        ("installer-erase", typed(live(), "<enter><enter>")),
        ("installer-erase-wrong", typed(live(), "<enter><enter>yes<enter>")),
        ("installer-network", typed(live(), "<enter><down><enter>")),
        ("installer-interface", typed(live(), "<enter><down><enter><enter><right>")),
        (
            "installer-interface-wrong",
            typed(live(), "<enter><down><enter><enter><right><tab>192.0.2.17/99<up><up><enter>"),
        ),
        ("installer-identity", typed(live(), "<enter><down><enter><end><enter>")),
        (
            "installer-identity-wrong",
            typed(live(), "<enter><down><enter><end><enter><^u>not a name<up><enter>"),
        ),
    ]
}

fn later_questions() -> Vec<(&'static str, Console)> {
    let live = || Console::of(Mode::Live);
    vec![
        ("installer-account", typed(live(), "<enter><down><enter><end><enter><up><enter>")),
        (
            "installer-account-different",
            typed(live(), "<enter><down><enter><end><enter><up><enter><tab>one<tab>other<up><up><up><enter>"),
        ),
        (
            "installer-account-no-name",
            typed(live(), "<enter><down><enter><end><enter><up><enter><^u><tab>one<tab>one<tab><tab><enter>"),
        ),
        ("installer-management", typed(names_a_plane(), &format!("{TO_MANAGEMENT}<left>"))),
        (
            "installer-management-central",
            scene(names_a_plane(), |console| {
                console.status(|status| {
                    status.management.registration_url = Some("https://manage.example/register".into())
                });
                console.keys(TO_MANAGEMENT);
            }),
        ),
        (
            "installer-management-no-endpoint",
            typed(names_a_plane(), &format!("{TO_MANAGEMENT}<tab><^u><up><up><up><enter>")),
        ),
        ("installer-summary", typed(live(), TO_SUMMARY)),
        (
            "installer-summary-wrong",
            scene(live(), |console| {
                console.will_refuse(Error::invalid("answers:1:1: error: hostName: this name is taken"));
                console.keys(TO_SUMMARY);
            }),
        ),
    ]
}

fn installations() -> Vec<(&'static str, Console)> {
    let install =
        || scene(typed(Console::of(Mode::Live), TO_SUMMARY), |console| console.keys("<enter><right><enter>"));
    let installed = || scene(install(), |console| console.news(recorded(OperationKind::Install, usize::MAX)));
    vec![
        ("installer-confirm", typed(Console::of(Mode::Live), &format!("{TO_SUMMARY}<enter>"))),
        (
            "installer-start-refused",
            scene(typed(Console::of(Mode::Live), TO_SUMMARY), |console| {
                console.will_refuse(Error::environment("the disk /dev/sda is gone").help("check its cable"));
                console.keys("<enter><right><enter>");
            }),
        ),
        ("installing", scene(install(), |console| console.news(recorded(OperationKind::Install, 5)))),
        (
            "installing-unattended",
            scene(Console::starting(), |console| {
                let mut status = status(Mode::Live);
                status.operation = Some(recorded(OperationKind::Install, 5));
                console.event(Event::Status(Box::new(status)));
            }),
        ),
        ("installed", installed()),
        (
            "install-failed",
            scene(install(), |console| {
                let error = Error::environment("the disk cannot be written").help("take another disk");
                console.news(failed(OperationKind::Install, 3, error));
            }),
        ),
        ("export", typed(installed(), "<end><enter>")),
        ("export-done", typed(installed(), "<end><enter><enter>")),
        (
            "export-failed",
            scene(installed(), |console| {
                console.keys("<end><enter>");
                console.will_refuse(Error::environment("the stick is full").help("take another one"));
                console.keys("<enter>");
            }),
        ),
    ]
}
