//! How the last boots ended.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use edge_model::api::black_box::{BlackBox, Boot, Ending};
use edge_model::api::routes::RouteId;
use edge_model::calendar::day_and_time;
use edge_words::{black_box as words, status, web};
use maud::{Markup, html};

use super::logs::visible;
use super::shown;
use crate::App;
use crate::reply::{Answer, Visitor};
use crate::ui;

pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new().route("/boots", get(show))
}

async fn show(State(app): State<Arc<App>>, visitor: Visitor) -> Answer {
    let frame = visitor.frame(&app).await?;
    let black_box: BlackBox = visitor.read(&app, RouteId::BlackBox).await?;
    Ok(shown(&frame, words::TITLE, &view(&black_box)))
}

pub fn view(black_box: &BlackBox) -> Markup {
    let rows: Vec<Vec<Markup>> = black_box.boots.iter().rev().map(row).collect();
    html! {
        @if rows.is_empty() { p { (words::NOTHING) } }
        @else { (ui::table(words::TITLE, &[web::WHEN, status::SYSTEM, web::OUTCOME], &rows)) }
    }
}

fn row(boot: &Boot) -> Vec<Markup> {
    let began = match boot.began {
        Some(time) if time.proven => day_and_time(time.at),
        Some(time) => words::about(&day_and_time(time.at)),
        None => words::UNKNOWN_TIME.to_owned(),
    };
    let slot = boot.slot.map(|slot| format!(", {}", words::slot(&slot.to_string()))).unwrap_or_default();
    let version = format!("{}{slot}", if boot.version.is_empty() { status::RECOVERY } else { &boot.version });
    let ending = match &boot.ending {
        Ending::StillRunning => words::RUNNING.to_owned(),
        Ending::Restarted { reason } => words::with_reason(words::RESTARTED, reason),
        Ending::SwitchedOff { reason } => words::with_reason(words::SWITCHED_OFF, reason),
        Ending::Crashed { reason } => words::with_reason(words::CRASHED, reason),
        Ending::LostPowerOrReset => words::LOST_POWER.to_owned(),
        Ending::Unknown => words::ENDED_STRANGELY.to_owned(),
    };
    vec![
        html! { (began) },
        html! { (version) },
        html! {
            (ending)
            @if !boot.console.is_empty() {
                details { summary { (web::MORE) } pre { @for line in &boot.console { (visible(line)) "\n" } } }
            }
        },
    ]
}
