//! A support bundle, made and downloaded.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use edge_client::Call;
use edge_model::api::access::Role;
use edge_model::api::host::{LogsState, LogsStatus};
use edge_model::api::routes::RouteId;
use edge_model::api::{OperationRequest, Possibility};
use edge_words::{bundle as words, web};
use maud::{Markup, html};

use super::{shown, work};
use crate::App;
use crate::reply::{Act, Answer, Visitor};
use crate::ui::{self, Frame};

pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new().route("/bundle", get(show).post(make)).route("/bundle/download", get(download))
}

async fn show(State(app): State<Arc<App>>, visitor: Visitor) -> Answer {
    let frame = visitor.frame(&app).await?;
    let status: LogsStatus = visitor.read(&app, RouteId::GenerateLogsStatus).await?;
    let body = view(&frame, status.status == LogsState::Completed);
    Ok(shown(&frame, words::TITLE, &body))
}

pub fn view(frame: &Frame, is_ready: bool) -> Markup {
    html! {
        p { (words::INTRO[0]) }
        (frame.only(Role::Operator))
        @if is_ready && frame.may(Role::Operator) {
            div.notice.good { p { (web::BUNDLE_READY) } }
            p { a.button href="/bundle/download" { (web::DOWNLOAD) } }
        }
        @if frame.can(Possibility::SupportBundle) {
            (ui::form(frame, "/bundle", &html! {
                (ui::check("stick", words::TARGETS[0], "", false))
                p.hint { (web::BUNDLE_HINT) }
                div.actions { (ui::button(web::MAKE_BUNDLE)) }
            }))
        }
    }
}

async fn make(State(app): State<Arc<App>>, act: Act) -> Answer {
    let request = OperationRequest::SupportBundle { stick: act.fields.is_on("stick") };
    work::order(&app, &act, &request).await
}

async fn download(State(app): State<Arc<App>>, visitor: Visitor) -> Answer {
    let host = visitor.frame(&app).await?.status.host_id;
    let speaker = visitor.speaker();
    let answer = app.agent.open(&speaker, RouteId::DownloadLogs, Call::default()).await?;
    Ok(file(answer, &format!("support-{host}.tar.zst"), "application/zstd"))
}

/// What the agent sends, as a file.
pub(super) fn file(
    answer: axum::http::Response<hyper::body::Incoming>,
    name: &str,
    kind: &'static str,
) -> Response {
    let length = answer.headers().get(header::CONTENT_LENGTH).cloned();
    let safe: String =
        name.chars().filter(|sign| sign.is_ascii_alphanumeric() || "-_.".contains(*sign)).collect();
    let disposition = format!("attachment; filename=\"{safe}\"");
    let mut response = (
        [(header::CONTENT_TYPE, kind.to_owned()), (header::CONTENT_DISPOSITION, disposition)],
        Body::new(answer.into_body()),
    )
        .into_response();
    if let Some(length) = length {
        response.headers_mut().insert(header::CONTENT_LENGTH, length);
    }
    response
}
