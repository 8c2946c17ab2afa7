//! Versions: what runs, what could run, and how it came about.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use edge_client::Call;
use edge_model::api::access::Role;
use edge_model::api::routes::RouteId;
use edge_model::api::{OperationRequest, Possibility};
use edge_model::calendar::day_and_time;
use edge_model::ledger::{HistoryEvent, Ledger};
use edge_model::{Class, Error};
use edge_words::destructive::{Destructive, UpgradeSource};
use edge_words::{status, system as words, web};
use maud::{Markup, html};

use super::{agreed, question, shown, work};
use crate::App;
use crate::reply::{Act, Answer, Fields, Visitor};
use crate::ui::{self, Choice, Field, Frame};

pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/system", get(show))
        .route("/system/upgrade", post(upgrade))
        .route("/system/upgrade/go", post(upgrade_now))
        .route("/system/rollback", get(ask_rollback).post(rollback))
        .route("/system/{what}", post(simple))
}

async fn show(State(app): State<Arc<App>>, visitor: Visitor) -> Answer {
    let frame = visitor.frame(&app).await?;
    let ledger: Ledger = visitor.call(&app, RouteId::Ledger, Call::default()).await?;
    let body = view(&frame, &ledger);
    Ok(shown(&frame, words::TITLE, &body))
}

pub fn view(frame: &Frame, ledger: &Ledger) -> Markup {
    html! {
        (versions(frame))
        (frame.only(Role::Operator))
        @if frame.can(Possibility::Upgrade) {
            h2 { (words::UPGRADE) }
            (ui::form(frame, "/system/upgrade", &upgrade_fields()))
        }
        (offers(frame))
        (history(ledger))
    }
}

fn versions(frame: &Frame) -> Markup {
    let status = &frame.status;
    let version = |slot: edge_model::ids::Slot| {
        let image = match slot {
            edge_model::ids::Slot::A => &status.slot_a,
            edge_model::ids::Slot::B => &status.slot_b,
        };
        let is_here = status.slot == Some(slot);
        html! {
            @match image {
                Some(image) => { (image.version) @if !image.signed { ", " (status::UNSIGNED) } }
                None => (status::EMPTY),
            }
            @if is_here { " (" (status::IN_USE) ")" }
        }
    };
    html! {
        (ui::facts(&[
            ("Slot A", version(edge_model::ids::Slot::A)),
            ("Slot B", version(edge_model::ids::Slot::B)),
        ]))
        @for failed in &status.failed {
            (ui::notice(edge_model::api::NoticeSeverity::Warning, &status::failed(&failed.version, &failed.reason), None))
        }
    }
}

fn upgrade_fields() -> Markup {
    let sources = [
        Choice { value: "registry", label: words::SOURCES[0] },
        Choice { value: "stick", label: words::SOURCES[2] },
        Choice { value: "file", label: words::SOURCES[1] },
    ];
    html! {
        (ui::choice("from", words::FROM, &sources, "registry"))
        (ui::field(&Field {
            name: "reference", label: words::REFERENCE, hint: words::REGISTRY_HINT, ..Field::default()
        }))
        (ui::check("plain-http", words::PLAIN_HTTP, words::PLAIN_HTTP_HINT, false))
        (ui::check("allow-downgrade", words::ALLOW_DOWNGRADE, "", false))
        (ui::check("retry-failed", words::RETRY_FAILED, words::RETRY_FAILED_HINT, false))
        (ui::check("restart", words::RESTART, words::RESTART_HINT, true))
        (ui::check("dry-run", web::CHECK_ONLY, "", false))
        div.actions { (ui::button(words::UPGRADE)) }
    }
}

fn offers(frame: &Frame) -> Markup {
    let offers = [
        ("commit", Possibility::Commit, words::KEEP, words::KEEP_HINT),
        ("verify", Possibility::Verify, words::VERIFY, words::VERIFY_HINT),
        ("repair", Possibility::Fsck, words::REPAIR, words::REPAIR_HINT),
        ("refresh-recovery", Possibility::RefreshRecovery, words::REFRESH, words::REFRESH_HINT),
    ];
    html! {
        @if frame.can(Possibility::Rollback) {
            h2 { (words::GO_BACK) }
            p.hint { (words::GO_BACK_HINT) }
            p { a.button.quiet href="/system/rollback" { (words::GO_BACK) } }
        }
        @for (name, possibility, label, hint) in offers {
            @if frame.can(possibility) {
                h2 { (label) }
                p.hint { (hint) }
                (ui::form(frame, &format!("/system/{name}"), &ui::button(label)))
            }
        }
    }
}

fn history(ledger: &Ledger) -> Markup {
    let rows: Vec<Vec<Markup>> = ledger
        .history
        .iter()
        .rev()
        .map(|entry| {
            vec![
                html! { (day_and_time(entry.at)) },
                html! { (entry.version) },
                html! { (event(entry.event)) },
            ]
        })
        .collect();
    html! { @if !rows.is_empty() { h2 { (web::HISTORY) } (ui::table(web::HISTORY, &[web::WHEN, status::SYSTEM, web::OUTCOME], &rows)) } }
}

fn event(event: HistoryEvent) -> &'static str {
    match event {
        HistoryEvent::Installed => status::INSTALLED,
        HistoryEvent::UpgradeStarted => status::UPGRADE_STARTED,
        HistoryEvent::UpgradeArmed => status::UPGRADE_ARMED,
        HistoryEvent::Committed => status::COMMITTED,
        HistoryEvent::TrialFailed => status::TRIAL_FAILED,
        HistoryEvent::TrialInterrupted => status::TRIAL_INTERRUPTED,
        HistoryEvent::RolledBack => status::ROLLED_BACK,
        HistoryEvent::RecoveryRefreshed => status::RECOVERY_REFRESHED,
        HistoryEvent::Reset => status::WAS_RESET,
        HistoryEvent::FellBack => status::FELL_BACK,
        HistoryEvent::Unknown => status::UNKNOWN_EVENT,
    }
}

fn source(fields: &Fields) -> edge_model::Result<UpgradeSource> {
    let reference = fields.text("reference");
    let source = match fields.text("from") {
        "stick" => "stick:".to_owned(),
        _ if reference.is_empty() => return Err(Error::invalid(words::REFERENCE_MISSING)),
        "file" => format!("file:{reference}"),
        _ => format!("oci:{reference}"),
    };
    Ok(UpgradeSource {
        source,
        allow_downgrade: fields.is_on("allow-downgrade"),
        retry_failed: fields.is_on("retry-failed"),
        plain_http: fields.is_on("plain-http"),
    })
}

/// What only looks, and what does not restart by itself, needs no question.
async fn upgrade(State(app): State<Arc<App>>, act: Act) -> Answer {
    let source = source(&act.fields)?;
    let (restart, dry_run) = (act.fields.is_on("restart"), act.fields.is_on("dry-run"));
    if restart && !dry_run {
        let frame = act.visitor.frame(&app).await?;
        let asks = Destructive::UpgradeAndRestart(source);
        let more = act.fields.again();
        return Ok(question(&frame, &asks, "/system/upgrade/go", "/system", &more).into_response());
    }
    let mut request = source.request(false);
    if let OperationRequest::Upgrade(upgrade) = &mut request {
        upgrade.dry_run = dry_run;
    }
    work::order(&app, &act, &request).await
}

async fn upgrade_now(State(app): State<Arc<App>>, act: Act) -> Answer {
    let request = source(&act.fields)?.request(true);
    work::order(&app, &act, &request).await
}

fn rollback_of(frame: &Frame) -> Destructive {
    let kept = frame.status.cluster.as_ref().and_then(|cluster| cluster.kept.as_ref());
    Destructive::Rollback { loses: kept.map(|kept| day_and_time(kept.made)) }
}

async fn ask_rollback(State(app): State<Arc<App>>, visitor: Visitor) -> Answer {
    let frame = visitor.frame(&app).await?;
    Ok(question(&frame, &rollback_of(&frame), "/system/rollback", "/system", &html! {}).into_response())
}

async fn rollback(State(app): State<Arc<App>>, act: Act) -> Answer {
    let frame = act.visitor.frame(&app).await?;
    agreed(&rollback_of(&frame), act.fields.text("word"))?;
    work::order(&app, &act, &OperationRequest::Rollback).await
}

async fn simple(State(app): State<Arc<App>>, Path(what): Path<String>, act: Act) -> Answer {
    let request = match what.as_str() {
        "commit" => OperationRequest::Commit,
        "verify" => OperationRequest::Verify,
        "repair" => OperationRequest::Fsck { repair: true },
        "refresh-recovery" => OperationRequest::RefreshRecovery,
        _ => return Err(Error::new(Class::NotFound, web::NOT_FOUND).into()),
    };
    work::order(&app, &act, &request).await
}
