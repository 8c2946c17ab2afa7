//! Whole sessions, key by key.

use edge_model::Error;
use edge_model::api::{NetworkState, OperationKind, Possibility};
use edge_model::cmdline::Mode;
use edge_tui::action::{Request, Work};
use edge_tui::confirm::Destructive;
use edge_tui::event::Event;
use edge_tui::known::Agent;
use serde_json::Value;

use crate::agent::{done, failed, notice, operation, status};
use crate::driver::Console;
use crate::scenes::{TO_SUMMARY, menu};

fn given_answers(console: &Console) -> Value {
    let given = console.asked.iter().rev().find_map(|request| match request {
        Request::GiveAnswers(text) => Some(serde_json::from_str(text.reveal()).unwrap()),
        _ => None,
    });
    given.unwrap()
}

#[test]
fn a_whole_installation() {
    let mut console = Console::of(Mode::Live);
    console.keys("<enter><enter>");
    console.sees("Erase this disk?");
    console.keys("erase<enter>");
    console.sees("2 of 4");
    // A static address on a VLAN.
    console
        .keys("<enter><right><tab><^u>192.0.2.17/255.255.255.0<tab><^u>192.0.2.1<tab>192.0.2.53<tab><tab><tab>42<tab><enter>");
    console.sees("192.0.2.17/24, VLAN 42");
    console.keys("<end><enter>");
    console.sees("[shop-17");
    console.keys("<^u>shop-18<up><enter>");
    console.keys("<tab>secret<tab>secret<tab>ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0xVpuCJfMVj0yQMzGyQJ0xVpuCJfMVj0yQMzGyQJ0x a<tab><enter>");
    console.sees("All answers are complete.");
    assert_eq!(console.destroyed(), 0);
    console.keys("<enter>");
    assert_eq!(console.destroyed(), 1, "the word was typed already");
    console.sees("Installation");
    let answers = given_answers(&console);
    assert_eq!(answers["hostName"], "shop-18");
    assert_eq!(answers["install"]["disk"]["path"], "/dev/nvme0n1");
    assert_eq!(answers["install"]["wipe"], "installations");
    assert_eq!(answers["network"]["enp1s0"]["type"], "none");
    assert_eq!(answers["network"]["enp1s0.42"]["vlan"]["id"], 42);
    assert_eq!(answers["operator"]["password"], "secret");
    console.news(done("install", &["Write"], "edge 1.2.0 is installed."));
    console.sees("The medium may stay in");
    console.keys("<enter><right><enter>");
    let last = console.asked.last().unwrap();
    assert!(matches!(last, Request::Destroy(confirmed) if *confirmed.get() == Destructive::Restart));
}

#[test]
fn going_back_loses_nothing() {
    let mut console = Console::of(Mode::Live);
    // The address that the host has got stands there already.
    console.keys("<enter><down><enter><enter><right><up><enter>");
    console.keys("<end><enter><^u>shop-99<up><enter><tab>secret<tab>secret<tab><tab><enter>");
    console.sees("All answers");
    console.keys("<escape>");
    console.sees("[******");
    console.keys("<escape>");
    console.sees("[shop-99");
    console.keys("<escape>");
    console.sees("192.0.2.17/24");
    console.keys("<escape><escape>");
    console.sees("Welcome");
    console.keys("<enter><enter><escape>");
    console.sees("1 of 4");
    console.keys("<enter><end><enter><up><enter><up><enter>");
    console.sees("shop-99");
    assert_eq!(given_answers(&console)["operator"]["password"], "secret");
}

#[test]
fn an_account_that_nobody_touched_is_not_sent() {
    let mut console = Console::of(Mode::Live);
    console.keys(TO_SUMMARY);
    assert_eq!(given_answers(&console).get("operator"), None);
    assert_eq!(given_answers(&console)["timeZone"], "Europe/Zurich");
    console.sees("site, password");
}

#[test]
fn a_late_change_is_checked_before_the_start() {
    let mut console = Console::of(Mode::Live);
    console.keys(TO_SUMMARY);
    let before = console.asked.len();
    console.keys("<up><right><down><enter>");
    assert!(matches!(console.asked[before], Request::GiveAnswers(_)));
    assert_eq!(given_answers(&console)["install"]["after"], "reboot");
    console.sees("Install now?");
    assert_eq!(console.destroyed(), 0);
    console.keys("<enter>");
    assert_eq!(console.destroyed(), 0, "the first choice is no");
}

#[test]
fn a_disk_that_has_changed_is_asked_about_again() {
    let mut console = Console::of(Mode::Live);
    console.keys("<enter><enter>erase<enter><escape>");
    console.keys("<down><enter><escape><up><enter>");
    console.sees("Erase this disk?");
}

#[test]
fn a_wrong_gateway_on_trial_comes_back() {
    let mut console = Console::of(Mode::Main);
    console.keys("<enter><enter><right><tab><tab><^u>192.0.2.99<up><up><up><enter>");
    console.sees("This needs an account with the role operator.");
    console.keys("site<tab>secret<enter>");
    let change = console.asked.iter().find_map(|request| match request {
        Request::ChangeInterface { name, interface } => Some((name.clone(), interface.clone())),
        _ => None,
    });
    let (name, interface) = change.unwrap();
    assert_eq!((name.as_str(), interface.gateway.as_deref()), ("enp1s0", Some("192.0.2.99")));
    console.keys("<enter>");
    console.status(|status| status.network = NetworkState::Trial { seconds_left: 90 });
    console.sees("in 1:30 min the old network returns");
    console.clock(31);
    console.sees("in 59 s the old network returns");
    console.status(|status| status.network = NetworkState::Returned);
    console.sees_not("Keep the new network");
    console.status(|status| status.notices = vec![notice("the last change of the network was taken back")]);
    console.keys("<escape>");
    console.sees("was taken back");
    console.sees("Put notices away");
}

#[test]
fn an_upgrade_is_followed_and_stopped() {
    let mut console = Console::logged_in();
    console.keys(&menu(6));
    console.keys("<tab>registry.example/edge/shop:1.3.0<up><up><up><up><up><up><up><up><enter>");
    let started = console.asked.last().unwrap();
    assert!(matches!(started, Request::Start(Work::Upgrade(upgrade))
        if upgrade.source == "oci:registry.example/edge/shop:1.3.0" && !upgrade.plain_http));
    console.news(operation("upgrade", &["Read the image", "Write the slot"]));
    console.sees("25 %");
    console.keys("<down><enter>");
    assert_eq!(console.asked.last(), Some(&Request::Cancel(7)));
    console.sees("It stops at the next safe point.");
    console.news(failed(OperationKind::Upgrade, 1, Error::rejected("it was stopped by site")));
    console.sees("it was stopped by site");
    console.keys("<enter>");
    console.sees("New version from");
}

#[test]
fn wrong_passwords_lock_the_account() {
    let mut console = Console::of(Mode::Main);
    console.keys("<up><enter>site<tab>");
    console.will_refuse(Error::rejected("name or password is wrong"));
    console.keys("one<enter>");
    console.sees("name or password is wrong");
    console.will_refuse(Error::rejected("the account is locked for 15 minutes"));
    console.keys("two<enter>");
    console.sees("locked for 15 minutes");
    console.sees_not("***");
    console.keys("secret<enter>");
    console.sees("site (admin)");
}

#[test]
fn a_login_ends_without_keys() {
    let mut console = Console::logged_in();
    console.keys(&menu(5));
    assert_eq!(console.state.next_wake(), Some(600));
    console.clock(599);
    console.sees("site (admin)");
    console.clock(600);
    console.sees("not logged in");
    console.sees("Menu");
    assert!(console.asked.contains(&Request::LogOut));
}

#[test]
fn a_session_that_has_ended_is_renewed_and_the_work_goes_on() {
    let mut console = Console::logged_in();
    console.keys(&menu(13));
    console.will_have_forgotten_the_login();
    console.keys("<enter><right><enter>");
    console.sees("the session has ended");
    console.keys("site<tab>secret<enter>");
    assert_eq!(console.destroyed(), 2, "asked, refused, and asked again");
    console.sees("Restart");
}

#[test]
fn a_login_that_nobody_waits_for_is_ended() {
    let mut console = Console::of(Mode::Main);
    console.keys("<up><enter>site<tab>");
    console.holds_back = true;
    console.keys("secret<enter><escape>");
    console.settle();
    assert_eq!(console.asked.last(), Some(&Request::LogOut));
    console.sees("not logged in");
}

#[test]
fn recovery_offers_what_is_possible_and_nothing_else() {
    let mut console = Console::of(Mode::Recovery);
    console.status(|status| status.notices = vec![notice("The data partition cannot be repaired.")]);
    console.sees("The data partition cannot be repaired.");
    console.keys("<enter>");
    console.keys("site<tab>secret<enter>");
    console.sees("Restart now?");
    console.keys("<right><enter>");
    assert_eq!(console.destroyed(), 1);
    console.keys("<escape>");
    console.status(|status| status.possible = vec![Possibility::PowerOff]);
    console.sees_not("Start the system  ");
    console.sees("> Power off");
}

#[test]
fn an_agent_that_went_away_is_said_and_forgiven() {
    let mut console = Console::logged_in();
    console.keys(&menu(0));
    console.event(Event::AgentLost);
    console.sees("The agent does not answer.");
    console.sees("enp1s0");
    assert_eq!(console.state.known.agent, Agent::Lost);
    console.event(Event::Status(Box::new(status(Mode::Main))));
    console.sees_not("The agent does not answer.");
    console.sees("enp1s0");
}

#[test]
fn an_unattended_installation_is_shown_at_once() {
    let mut status = status(Mode::Live);
    status.operation = Some(operation("install", &["Write slot a"]));
    let mut console = Console::with(status);
    console.sees("Write slot a");
    console.keys("<escape>");
    console.sees("Write slot a");
}

#[test]
fn a_console_that_is_closed_shows_nothing() {
    let mut closed = status(Mode::Main);
    closed.console.view_without_login = false;
    let mut console = Console::with(closed);
    console.sees("this console is closed");
    console.sees_not("192.0.2.17");
    console.keys("<escape>");
    console.sees("this console is closed");
    console.keys("site<tab>secret<enter>");
    console.sees("192.0.2.17");
    console.keys("<f10>");
    console.sees_not("192.0.2.17");
}

#[test]
fn nothing_wakes_an_idle_console_but_its_numbers() {
    let mut console = Console::of(Mode::Main);
    assert_eq!(console.state.next_wake(), Some(30));
    console.keys("<enter>");
    assert_eq!(console.state.next_wake(), None);
}
