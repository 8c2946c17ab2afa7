//! Who did what.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Query, State};
use axum::routing::get;
use edge_client::Call;
use edge_model::api::audit::{AuditPage, AuditRecord, Outcome};
use edge_model::api::routes::RouteId;
use edge_model::calendar::day_and_time;
use edge_words::web as words;
use maud::{Markup, html};
use serde::Deserialize;

use super::bundle::file;
use super::shown;
use crate::App;
use crate::reply::{Answer, Visitor};
use crate::ui;

pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new().route("/audit", get(show)).route("/audit/download", get(download))
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Wanted {
    from: Option<u64>,
}

async fn show(State(app): State<Arc<App>>, Query(wanted): Query<Wanted>, visitor: Visitor) -> Answer {
    let frame = visitor.frame(&app).await?;
    let mut call = Call::default();
    if let Some(from) = wanted.from {
        call = call.query("continue", from);
    }
    let page: AuditPage = visitor.call(&app, RouteId::Audits, call).await?;
    Ok(shown(&frame, words::AUDIT, &view(&page)))
}

pub fn view(page: &AuditPage) -> Markup {
    let rows: Vec<Vec<Markup>> = page.items.iter().map(row).collect();
    let headings = [words::WHEN, words::WHO, words::FROM, words::DID, words::OUTCOME];
    html! {
        (ui::table(words::AUDIT, &headings, &rows))
        div.actions {
            @if let Some(next) = page.next { a.button.quiet href={ "/audit?from=" (next) } { (words::NEXT_PAGE) } }
            a.button.quiet href="/audit/download" { (words::DOWNLOAD_ALL) }
        }
    }
}

fn row(record: &AuditRecord) -> Vec<Markup> {
    let outcome = match &record.outcome {
        Outcome::Accepted { status } => format!("{status}"),
        Outcome::Refused { status, reason } => format!("{status} {reason}"),
    };
    vec![
        html! { (day_and_time(record.at)) },
        html! { (record.actor) " (" (record.actor_type) ")" },
        html! { (record.from) },
        html! { (record.content_msg) @if !record.resource_name.is_empty() { ": " (record.resource_name) } },
        html! { (outcome) },
    ]
}

async fn download(State(app): State<Arc<App>>, visitor: Visitor) -> Answer {
    let host = visitor.frame(&app).await?.status.host_id;
    let answer = app.agent.open(&visitor.speaker(), RouteId::DownloadAudits, Call::default()).await?;
    Ok(file(answer, &format!("audit-{host}.ndjson"), "application/x-ndjson"))
}
