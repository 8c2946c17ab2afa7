//! This host: whether it is well, and what it is.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use edge_client::Call;
use edge_model::api::access::Role;
use edge_model::api::diagnostics::Metrics;
use edge_model::api::routes::RouteId;
use edge_model::api::{Health, HostStatus, NoticeChoice, NoticeEnd, Possibility};
use edge_model::cmdline::Mode;
use edge_words::{home as menu, status as words, units, web};
use maud::{Markup, html};

use super::shown;
use crate::App;
use crate::reply::{Act, Answer, Visitor, see};
use crate::ui::{self, Frame};

/// A machine that has just started is busy with that.
const STARTS: u64 = 300;

pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new().route("/", get(show)).route("/notices/put-away", post(put_away))
}

async fn show(State(app): State<Arc<App>>, visitor: Visitor) -> Answer {
    let mut frame = visitor.frame(&app).await?;
    let metrics = visitor.read::<Metrics>(&app, RouteId::Metrics).await.ok();
    frame.live = Some("home".into());
    let body = view(&frame, metrics.as_ref());
    Ok(shown(&frame, web::HOME, &body))
}

async fn put_away(State(app): State<Arc<App>>, act: Act) -> Answer {
    let notice = Some(act.fields.text("notice").to_owned()).filter(|id| !id.is_empty());
    let call = Call::default().body(&NoticeChoice { notice })?;
    act.visitor.tell(&app, RouteId::PutNoticesAway, call).await?;
    Ok(see("/"))
}

pub fn view(frame: &Frame, metrics: Option<&Metrics>) -> Markup {
    html! {
        div id="live" { (state(frame, metrics)) }
        @if frame.may(Role::Operator) {
            div.actions {
                @if frame.can(Possibility::SupportBundle) { a.button.quiet href="/bundle" { (web::MAKE_BUNDLE) } }
                @if frame.can(Possibility::Reboot) { a.button.quiet href="/power" { (menu::POWER) } }
            }
        }
    }
}

/// What changes by itself.
pub(crate) fn state(frame: &Frame, metrics: Option<&Metrics>) -> Markup {
    let status = &frame.status;
    html! {
        (verdict(status))
        @for notice in &status.notices {
            (ui::notice(notice.severity, &notice.text, notice.help.as_deref()))
            @if notice.ends == NoticeEnd::WhenRead && frame.may(Role::Operator) {
                (ui::form(frame, "/notices/put-away", &html! {
                    input type="hidden" name="notice" value=(notice.id);
                    (ui::button(web::PUT_AWAY))
                }))
            }
        }
        (ui::facts(&rows(status, metrics)))
    }
}

/// The first sentence answers the first question.
fn verdict(status: &HostStatus) -> Markup {
    let (class, text) = match (&status.health, status.mode) {
        (_, Mode::Recovery) => ("problem", web::IN_RECOVERY.to_owned()),
        (Health::Healthy, _) => ("good", web::EVERYTHING_WELL.to_owned()),
        (Health::Checking, _) => ("info", web::STILL_CHECKING.to_owned()),
        (Health::Unhealthy(reasons), _) => ("problem", web::not_well(&reasons.join("; "))),
    };
    html! { div class={ "notice " (class) } { p { strong { (text) } } } }
}

fn rows(status: &HostStatus, metrics: Option<&Metrics>) -> Vec<(&'static str, Markup)> {
    let plain = |text: String| html! { (text) };
    let image = format!("{} {}", status.image.name, status.image.version);
    let mut rows = vec![(words::HOST_ID, plain(status.host_id.clone())), (words::SYSTEM, plain(image))];
    if let Some(slot) = status.slot {
        rows.push((words::SLOT, plain(slot.to_string())));
    }
    let addresses: Vec<String> =
        status.addresses.iter().map(|one| format!("{} ({})", one.address, one.interface)).collect();
    let addresses = if addresses.is_empty() { words::NO_ADDRESS.to_owned() } else { addresses.join(", ") };
    rows.push((words::ADDRESS, plain(addresses)));
    rows.push((
        words::CLUSTER,
        match &status.cluster {
            Some(cluster) => html! { a href="/cluster" { (cluster.name) ": " (cluster.phase.words()) } },
            None => plain(words::NO_CLUSTER.to_owned()),
        },
    ));
    if let Some(metrics) = metrics {
        rows.extend(measured(metrics));
    }
    rows
}

fn measured(metrics: &Metrics) -> Vec<(&'static str, Markup)> {
    let plain = |text: String| html! { (text) };
    let mut rows: Vec<_> = metrics
        .file_systems
        .iter()
        .map(|one| {
            let (free, total) = (units::size(one.free_bytes), units::size(one.total_bytes));
            (words::DISK, plain(words::disk(&one.path, &free, &total)))
        })
        .collect();
    let (free, total) =
        (units::size(metrics.memory_available_bytes), units::size(metrics.memory_total_bytes));
    rows.push((words::MEMORY, plain(words::memory(&free, &total))));
    let load = words::load(metrics.load_one_minute, metrics.processors, metrics.up_time_seconds < STARTS);
    let degrees = metrics.temperature_celsius.map(words::temperature).unwrap_or_default();
    rows.push((words::LOAD, plain(load + &degrees)));
    // To the minute: a value that changes at each look would say nothing more.
    rows.push((words::RUNNING, plain(units::duration(metrics.up_time_seconds / 60 * 60))));
    rows.push((
        words::TIME,
        plain(if metrics.time_synchronized { words::TIME_SET } else { words::TIME_NOT_SET }.to_owned()),
    ));
    rows
}
