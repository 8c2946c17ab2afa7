//! Work that takes long: followed here, also over a restart of the host.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use edge_client::Call;
use edge_model::api::access::Role;
use edge_model::api::routes::RouteId;
use edge_model::api::{OperationKind, OperationRequest, OperationState, OperationStatus};
use edge_model::calendar::day_and_time;
use edge_words::{progress, units, web as words};
use maud::{Markup, html};

use super::shown;
use crate::App;
use crate::reply::{Act, Answer, Visitor, see};
use crate::ui::{self, Frame};

pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/work", get(list))
        .route("/work/{id}", get(show))
        .route("/work/{id}/stop", post(stop))
}

/// Orders something, and leads to where it can be followed; what ends the host leads to a page that waits for it.
pub(crate) async fn order(app: &App, act: &Act, request: &OperationRequest) -> Answer {
    let boot = act.visitor.frame(app).await?.status.boot_id;
    let call = Call::default().body(request)?;
    let status: OperationStatus = act.visitor.call(app, RouteId::StartOperation, call).await?;
    let (title, text) = match request {
        OperationRequest::PowerOff => (words::GOING_OFF, words::GOING_OFF_TEXT),
        OperationRequest::Reboot { .. } | OperationRequest::Rollback => {
            (words::RESTARTING, words::RESTARTING_TEXT)
        }
        _ => return Ok(see(&format!("/work/{}", status.id))),
    };
    let next = format!("/work/{}", status.id);
    Ok(ui::seeking(title, &html! { p { (text) } }, &boot, &next).into_response())
}

async fn list(State(app): State<Arc<App>>, visitor: Visitor) -> Answer {
    let frame = visitor.frame(&app).await?;
    let operations: Vec<OperationStatus> = visitor.read(&app, RouteId::Operations).await?;
    Ok(shown(&frame, words::LAST_WORK, &list_view(&operations)))
}

pub fn list_view(operations: &[OperationStatus]) -> Markup {
    let rows: Vec<Vec<Markup>> = operations
        .iter()
        .rev()
        .map(|one| {
            vec![
                html! { a href={ "/work/" (one.id) } { (progress::title(one.operation)) } },
                html! { (one.by.subject) },
                html! { (day_and_time(one.started_at)) },
                outcome(one),
            ]
        })
        .collect();
    html! {
        @if rows.is_empty() { p { (words::NO_WORK) } }
        @else { (ui::table(words::LAST_WORK, &[words::WORK, words::WHO, words::WHEN, words::OUTCOME], &rows)) }
    }
}

fn outcome(operation: &OperationStatus) -> Markup {
    html! {
        @match &operation.state {
            OperationState::Running => (operation.step),
            OperationState::Done { message } => (message),
            OperationState::Failed { error } => span.error { (error) },
        }
    }
}

async fn show(State(app): State<Arc<App>>, Path(id): Path<u64>, visitor: Visitor) -> Answer {
    let mut frame = visitor.frame(&app).await?;
    let call = Call::default().segment("id", id);
    let operation: OperationStatus = visitor.call(&app, RouteId::Operation, call).await?;
    if operation.is_running() {
        frame.live = Some(format!("work/{id}"));
    }
    Ok(shown(&frame, progress::title(operation.operation), &view(&frame, &operation)))
}

pub fn view(frame: &Frame, operation: &OperationStatus) -> Markup {
    html! {
        div id="live" { (state(frame, operation)) }
        @if operation.is_running() { noscript { p { a href={ "/work/" (operation.id) } { (words::TRY_AGAIN) } } } }
    }
}

pub(crate) fn state(frame: &Frame, operation: &OperationStatus) -> Markup {
    let share = (operation.total > 0).then(|| operation.done.saturating_mul(100) / operation.total);
    let rows: Vec<Vec<Markup>> = operation
        .steps
        .iter()
        .map(|step| vec![html! { (step.title) }, html! { (units::duration(step.after_seconds)) }])
        .collect();
    html! {
        @match &operation.state {
            OperationState::Running => {
                p { strong { (operation.step) } }
                progress value=[share.map(|share| share.to_string())] max="100" aria-label=(operation.step) {}
                @if let Some(share) = share {
                    p { (share) " % (" (units::size(operation.done)) " / " (units::size(operation.total)) ")" }
                }
                @if frame.may(Role::Operator) {
                    (ui::form(frame, &format!("/work/{}/stop", operation.id), &ui::button(progress::STOP)))
                }
            }
            OperationState::Done { message } => {
                div.notice.good { p { (progress::DONE) " " (message) } }
                @if let Some((to, label)) = next_step(operation.operation) { p { (ui::link(to, label)) } }
            }
            OperationState::Failed { error } => {
                (ui::notice(edge_model::api::NoticeSeverity::Problem,
                    &format!("{} {error}", progress::FAILED), error.help.as_deref()))
            }
        }
        p.hint { (progress::started_by(&operation.by.subject)) }
        @if !rows.is_empty() { (ui::table(words::STEPS, &[words::STEP, words::AFTER], &rows)) }
    }
}

fn next_step(kind: OperationKind) -> Option<(&'static str, &'static str)> {
    match kind {
        OperationKind::SupportBundle => Some(("/bundle", words::DOWNLOAD)),
        OperationKind::Upgrade => Some(("/power/restart", edge_words::power::RESTART)),
        OperationKind::Configure => Some(("/", words::HOME_LINK)),
        _ => None,
    }
}

async fn stop(State(app): State<Arc<App>>, Path(id): Path<u64>, act: Act) -> Answer {
    let call = Call::default().segment("id", id);
    let _: OperationStatus = act.visitor.call(&app, RouteId::CancelOperation, call).await?;
    Ok(see(&format!("/work/{id}")))
}
