//! Restart, recovery, off, and erasing: each with its question.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::IntoResponse;
use axum::routing::get;
use edge_model::api::access::Role;
use edge_model::api::{OperationRequest, Possibility};
use edge_model::{Class, Error};
use edge_words::destructive::Destructive;
use edge_words::{power as words, system, web};
use maud::{Markup, html};

use super::{agreed, question, shown, work};
use crate::App;
use crate::reply::{Act, Answer, Visitor, see};
use crate::ui::{self, Frame};

pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new().route("/power", get(show)).route("/power/{what}", get(ask).post(go))
}

/// What can be asked for here, by its name in the address.
fn acts() -> Vec<(&'static str, Possibility, &'static str, Destructive, OperationRequest)> {
    let reset = |oem| (Destructive::Reset { oem }, OperationRequest::Reset { oem });
    let restore = |without_site| {
        (
            Destructive::RestoreConfiguration { without_site },
            OperationRequest::RestoreConfiguration { without_site },
        )
    };
    let row = |name, possibility, label, (asks, request)| (name, possibility, label, asks, request);
    vec![
        row(
            "restart",
            Possibility::Reboot,
            words::RESTART,
            (Destructive::Restart, OperationRequest::Reboot { recovery: false }),
        ),
        row(
            "recovery",
            Possibility::RebootIntoRecovery,
            words::RECOVERY,
            (Destructive::RestartIntoRecovery, OperationRequest::Reboot { recovery: true }),
        ),
        row(
            "off",
            Possibility::PowerOff,
            words::POWER_OFF,
            (Destructive::PowerOff, OperationRequest::PowerOff),
        ),
        row("last-good", Possibility::RestoreConfiguration, system::LAST_GOOD, restore(false)),
        row("without-site", Possibility::RestoreConfiguration, system::WITHOUT_SITE, restore(true)),
        row("reset", Possibility::Reset, system::RESET, reset(false)),
        row("reset-all", Possibility::Reset, edge_words::home::RESET_ALL, reset(true)),
    ]
}

async fn show(State(app): State<Arc<App>>, visitor: Visitor) -> Answer {
    let frame = visitor.frame(&app).await?;
    let body = view(&frame);
    Ok(shown(&frame, words::TITLE, &body))
}

pub fn view(frame: &Frame) -> Markup {
    let acts: Vec<_> = acts().into_iter().filter(|(_, possibility, ..)| frame.can(*possibility)).collect();
    html! {
        (frame.only(Role::Operator))
        @if acts.is_empty() { p { (words::NOTHING) } } @else { p { (words::INTRO) } }
        ul { @for (name, _, label, ..) in acts { li { (ui::link(&format!("/power/{name}"), label)) } } }
    }
}

fn found(what: &str) -> edge_model::Result<(Possibility, Destructive, OperationRequest)> {
    let found = acts().into_iter().find(|(name, ..)| *name == what);
    found
        .map(|(_, possibility, _, asks, request)| (possibility, asks, request))
        .ok_or_else(|| Error::new(Class::NotFound, web::NOT_FOUND))
}

async fn ask(State(app): State<Arc<App>>, Path(what): Path<String>, visitor: Visitor) -> Answer {
    let (possibility, asks, _) = found(&what)?;
    let frame = visitor.frame(&app).await?;
    if !frame.can(possibility) {
        return Ok(see("/power"));
    }
    Ok(question(&frame, &asks, &format!("/power/{what}"), "/power", &html! {}).into_response())
}

async fn go(State(app): State<Arc<App>>, Path(what): Path<String>, act: Act) -> Answer {
    let (_, asks, request) = found(&what)?;
    agreed(&asks, act.fields.text("word"))?;
    work::order(&app, &act, &request).await
}
