//! What stands around every page.

use edge_model::api::access::Role;
use edge_model::api::{BootState, Health, HostStatus, NetworkState, Possibility};
use edge_model::cmdline::Mode;
use edge_words::{content, frame as frame_words, home as menu, network, units, web as words};
use maud::{DOCTYPE, Markup, html};

use crate::assets;

/// What every page knows: the host, and for whom the page is.
#[derive(Debug, Clone)]
pub struct Frame {
    pub status: HostStatus,
    pub user: String,
    pub role: Role,
    /// What forms of this page bring back.
    pub token: String,
    /// Where the page is, to mark it in the menu.
    pub path: String,
    /// A part of it that changes by itself.
    pub live: Option<String>,
}

impl Frame {
    pub fn may(&self, role: Role) -> bool {
        self.role >= role
    }

    /// Whether the host offers it, and this person may.
    pub fn can(&self, possibility: Possibility) -> bool {
        let needed = match possibility {
            Possibility::CreateCluster
            | Possibility::DeleteCluster
            | Possibility::Reset
            | Possibility::RestoreConfiguration => Role::Admin,
            _ => Role::Operator,
        };
        self.may(needed) && self.status.possible.contains(&possibility)
    }

    /// Instead of what somebody may not do.
    pub fn only(&self, role: Role) -> Markup {
        html! { @if !self.may(role) { p.hint { (words::viewer_only(&role.to_string())) } } }
    }

    fn menu(&self) -> Vec<(&'static str, &'static str)> {
        let mut entries = vec![("/", words::HOME), ("/network", menu::NETWORK), ("/names", menu::NAMES)];
        entries.extend([("/system", menu::SYSTEM), ("/cluster", menu::CLUSTER)]);
        entries.extend([("/content", content::TITLE), ("/work", words::WORK)]);
        if self.may(Role::Operator) {
            entries.extend([
                ("/diagnosis", menu::DIAGNOSIS),
                ("/logs", menu::LOGS),
                ("/bundle", menu::BUNDLE),
            ]);
        }
        entries.push(("/boots", menu::BLACK_BOX));
        if self.may(Role::Admin) {
            entries.extend([("/configuration", words::CONFIGURATION), ("/audit", words::AUDIT)]);
        }
        entries.push(("/account", menu::ACCOUNT));
        if self.may(Role::Operator) {
            entries.push(("/power", menu::POWER));
        }
        entries
    }

    fn is_here(&self, entry: &str) -> bool {
        let path = self.path.as_str();
        path == entry || (entry != "/" && path.strip_prefix(entry).is_some_and(|rest| rest.starts_with('/')))
    }
}

/// Styles and script, by names that change with their content.
fn head(title: &str, reload: bool) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="color-scheme" content="light dark";
            @if reload { meta http-equiv="refresh" content="5; url=/"; }
            title { (title) }
            link rel="icon" href="data:,";
            link rel="stylesheet" href=(assets::STYLE.path());
            script src=(assets::SCRIPT.path()) defer {}
        }
    }
}

/// A page for somebody who has logged in.
pub fn page(frame: &Frame, title: &str, body: &Markup) -> Markup {
    let status = &frame.status;
    html! {
        (DOCTYPE)
        html lang="en" {
            (head(&format!("{title} - {}", status.host_name), false))
            body data-live=(frame.live.as_deref().unwrap_or("strip")) data-lost=(words::LOST) data-ended=(words::ENDED) {
                a.skip href="#main" { (words::SKIP) }
                header class=[(status.mode == Mode::Recovery).then_some("recovery")] {
                    p.host { strong { (status.host_name) } " " (health(status)) }
                    p.who { (frame_words::logged_in(&frame.user, &frame.role.to_string())) }
                    (super::form(frame, "/logout", &super::button(words::LOG_OUT)))
                }
                nav aria-label=(words::MAIN_MENU) {
                    ul { @for (to, label) in frame.menu() {
                        li { a href=(to) aria-current=[frame.is_here(to).then_some("page")] { (label) } }
                    } }
                }
                main id="main" tabindex="-1" {
                    p.unseen id="news" role="status" { (news(frame)) }
                    div id="strip" { (strip(frame)) }
                    h1 { (title) }
                    (body)
                }
                footer {
                    p { (status.host_id) ", " (status.image.name) " " (status.image.version) }
                    p { a href="/help" { (words::HELP) } }
                }
            }
        }
    }
}

/// A page without a host: before a login, and when nothing answers.
pub fn bare(title: &str, body: &Markup) -> Markup {
    bare_page(title, body, false)
}

/// Like [`bare`], loaded again by itself.
pub(crate) fn waiting(title: &str, body: &Markup) -> Markup {
    bare_page(title, body, true)
}

/// A page that looks for the host until it is there in another boot than this one, and goes on to `next` then.
pub(crate) fn seeking(title: &str, body: &Markup, boot: &str, next: &str) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            (head(title, false))
            body.bare data-seek=(next) data-seek-boot=(boot) {
                main id="main" {
                    h1 { (title) }
                    (body)
                    p { a href=(next) { (words::TRY_AGAIN) } }
                }
            }
        }
    }
}

fn bare_page(title: &str, body: &Markup, reload: bool) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            (head(title, reload))
            body.bare { main id="main" { h1 { (title) } (body) } }
        }
    }
}

fn health(status: &HostStatus) -> Markup {
    let (class, word) = match (&status.health, status.mode) {
        (_, Mode::Recovery) => ("problem", frame_words::RECOVERY),
        (Health::Healthy, _) => ("good", edge_words::status::HEALTHY),
        (Health::Checking, _) => ("info", edge_words::status::CHECKING),
        (Health::Unhealthy(_), _) => ("problem", "not healthy"),
    };
    html! { span class={ "badge " (class) } { (word) } }
}

/// A time that is read, and not watched.
fn roughly(seconds: u64) -> String {
    units::duration(if seconds > 120 { seconds / 60 * 60 } else { seconds })
}

/// What is spoken when it changes: states and steps, no numbers that run.
pub(crate) fn news(frame: &Frame) -> Markup {
    let status = &frame.status;
    let running = status.operation.as_ref().filter(|operation| operation.is_running());
    html! {
        @if status.boot_state == BootState::Trial { (edge_words::status::TRIED) ". " }
        @if matches!(status.network, NetworkState::Trial { .. }) { (edge_words::status::NETWORK) ": " (edge_words::status::TRIAL) ". " }
        @if let Some(operation) = running { (edge_words::progress::title(operation.operation)) ": " (operation.step) }
    }
}

/// What is on trial, and what runs now: on every page, because it goes on whatever somebody looks at.
pub(crate) fn strip(frame: &Frame) -> Markup {
    let status = &frame.status;
    let trial = status.trial_seconds_left.filter(|_| status.boot_state == BootState::Trial);
    let running = status.operation.as_ref().filter(|operation| operation.is_running());
    html! {
        @if let Some(left) = trial {
            div.notice.info {
                p { (words::image_on_trial(&status.image.version, &roughly(left))) }
                @if frame.can(Possibility::Commit) {
                    (super::form(frame, "/system/commit", &super::button(edge_words::system::KEEP)))
                }
            }
        }
        @if let NetworkState::Trial { seconds_left } = status.network {
            div.notice.warning {
                p { (network::on_trial(&roughly(seconds_left))) }
                @if frame.may(Role::Operator) {
                    (super::form(frame, "/network/keep", &super::button(network::KEEP)))
                }
                @if frame.can(Possibility::RestoreNetwork) {
                    (super::form(frame, "/network/restore", &super::button(network::GO_BACK)))
                }
            }
        }
        @if let Some(operation) = running {
            p.notice.info {
                a href={ "/work/" (operation.id) } { (edge_words::progress::title(operation.operation)) }
                ": " (operation.step)
            }
        }
    }
}
