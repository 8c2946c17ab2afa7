//! What is wrong with the network, and how the machine is.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Query, State};
use axum::routing::get;
use edge_client::Call;
use edge_model::api::access::Role;
use edge_model::api::diagnostics::{
    DiskHealth, DiskVerdict, HttpCheck, NetworkLink, Ping, Resolution, Sensor, TcpCheck, TimeState,
    TraceRoute,
};
use edge_model::api::routes::RouteId;
use edge_model::{Error, Result};
use edge_words::{diagnosis as words, units, web};
use maud::{Markup, html};
use serde::Deserialize;

use super::shown;
use crate::App;
use crate::reply::{Answer, Visitor};
use crate::ui::{self, Choice, Field, Frame};

pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new().route("/diagnosis", get(show))
}

/// Names of the questions, in the order of their words.
const CHECKS: [&str; 9] = ["network", "ping", "route", "name", "port", "web", "time", "disks", "sensors"];

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Asked {
    #[serde(default)]
    check: String,
    #[serde(default)]
    of: String,
}

async fn show(State(app): State<Arc<App>>, Query(asked): Query<Asked>, visitor: Visitor) -> Answer {
    let frame = visitor.frame(&app).await?;
    let found = if asked.check.is_empty() { None } else { Some(find_out(&app, &visitor, &asked).await) };
    let body = view(&frame, &asked.check, &asked.of, found.as_ref());
    Ok(shown(&frame, words::TITLE, &body))
}

pub fn view(frame: &Frame, check: &str, of: &str, found: Option<&Result<Markup>>) -> Markup {
    let choices: Vec<Choice<'_>> =
        CHECKS.iter().zip(words::CHECKS).map(|(value, label)| Choice { value, label }).collect();
    html! {
        (frame.only(Role::Operator))
        form method="get" action="/diagnosis" {
            (ui::choice("check", words::WHAT, &choices, check))
            (ui::field(&Field { name: "of", label: words::TARGET, hint: words::TARGET_HINTS[1], value: of, ..Field::default() }))
            div.actions { (ui::button(words::RUN)) }
        }
        @match found {
            Some(Ok(found)) => { h2 { (web::RESULT) } (found) }
            Some(Err(error)) => {
                (ui::notice(edge_model::api::NoticeSeverity::Problem, &error.to_string(), error.help.as_deref()))
            }
            None => {}
        }
    }
}

async fn find_out(app: &App, visitor: &Visitor, asked: &Asked) -> Result<Markup> {
    let of = asked.of.trim();
    let needs_target = matches!(asked.check.as_str(), "ping" | "route" | "name" | "port" | "web");
    if needs_target && of.is_empty() {
        return Err(Error::invalid(words::TARGET_MISSING));
    }
    let call = || Call::default().query("endpoint", of);
    Ok(match asked.check.as_str() {
        "ping" => ping(&visitor.call(app, RouteId::PingEndpoint, call()).await?),
        "route" => route(&visitor.call(app, RouteId::TraceEndpoint, call()).await?),
        "name" => name(&visitor.call(app, RouteId::ResolveName, call()).await?),
        "port" => port(&visitor.call(app, RouteId::ConnectEndpoint, call()).await?),
        "web" => web_address(&visitor.call(app, RouteId::FetchEndpoint, call()).await?),
        "time" => time(&visitor.read(app, RouteId::TimeOffset).await?),
        "disks" => disks(&visitor.read::<Vec<DiskHealth>>(app, RouteId::DiskHealth).await?),
        "sensors" => sensors(&visitor.read::<Vec<Sensor>>(app, RouteId::Sensors).await?),
        _ => links(&visitor.read::<Vec<NetworkLink>>(app, RouteId::CheckNetwork).await?),
    })
}

fn links(links: &[NetworkLink]) -> Markup {
    html! {
        @for link in links {
            div class=(if link.is_good { "notice good" } else { "notice problem" }) {
                p { strong { (link.what) ": " } (link.said) }
            }
        }
    }
}

fn ping(ping: &Ping) -> Markup {
    html! {
        p { (words::answers(ping.received, ping.sent)) }
        @if let Some(trip) = ping.milliseconds { p { (words::round_trip(trip.minimum, trip.average, trip.maximum)) } }
        pre { (ping.output) }
    }
}

fn route(route: &TraceRoute) -> Markup {
    html! { pre { (route.output) } }
}

fn name(found: &Resolution) -> Markup {
    html! {
        p { (found.addresses.join(", ")) }
        @if let Some(server) = &found.server { p.hint { (words::asked(server, found.milliseconds)) } }
    }
}

fn port(check: &TcpCheck) -> Markup {
    html! { p { (words::connected(&check.address, check.milliseconds)) } }
}

fn web_address(check: &HttpCheck) -> Markup {
    html! {
        @match check.status {
            Some(status) => p { (words::status(status, check.milliseconds)) },
            None => p { (words::NO_ANSWER) " " (check.error.as_deref().unwrap_or_default()) },
        }
        p { @match &check.through_proxy { Some(proxy) => (words::through_proxy(proxy)), None => (words::NO_PROXY) } }
        @if let Some(tls) = &check.tls { p { (tls) } }
    }
}

fn time(time: &TimeState) -> Markup {
    html! {
        p { (if time.synchronized { words::TIME_SET } else { words::TIME_NOT_SET }) }
        @if let Some(server) = &time.server { p { (words::time_server(server)) } }
        @if let Some(offset) = time.offset_milliseconds { p { (words::offset(offset)) } }
    }
}

fn disks(disks: &[DiskHealth]) -> Markup {
    let rows: Vec<Vec<Markup>> = disks
        .iter()
        .map(|disk| {
            let verdict = match &disk.verdict {
                DiskVerdict::Healthy => words::DISK_HEALTHY.to_owned(),
                DiskVerdict::Failing { reasons } => words::disk_failing(&reasons.join("; ")),
                DiskVerdict::Unknown { reason } => words::disk_unknown(reason),
            };
            let more: Vec<String> = [
                disk.wear_percent.map(words::wear),
                disk.temperature_celsius.map(words::temperature),
                disk.power_on_hours.map(words::hours),
            ]
            .into_iter()
            .flatten()
            .collect();
            let name = format!("{} ({}, {})", disk.path, disk.model, units::size(disk.size_bytes));
            vec![html! { (name) }, html! { (verdict) }, html! { (more.join(", ")) }]
        })
        .collect();
    ui::table(words::CHECKS[7], &[web::NAME, web::STATE, web::MORE], &rows)
}

fn sensors(sensors: &[Sensor]) -> Markup {
    let value = |sensor: &Sensor| html! { (format!("{:.1} {}", sensor.value, sensor.unit)) };
    let rows: Vec<Vec<Markup>> =
        sensors.iter().map(|sensor| vec![html! { (sensor.name) }, value(sensor)]).collect();
    html! {
        @if rows.is_empty() { p { (words::NO_SENSORS) } }
        @else { (ui::table(words::CHECKS[8], &[web::NAME, web::VALUE], &rows)) }
    }
}
