//! Operations and their news.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::{Path as PathOf, State};
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use axum::response::sse::{Event as SseEvent, KeepAlive, Sse};
use edge_model::api::host::{LogsState, LogsStatus};
use edge_model::api::{OperationKind, OperationRequest, OperationState, OperationStatus};
use edge_model::{Class, Error, Result, paths};
use edge_planner::admission::role_for;
use tokio::io::AsyncReadExt;

use super::parse;
use crate::api::Door;
use crate::api::answer::{Answer, AuditDetail, accepted, ok, with_detail};
use crate::api::caller::Caller;

/// Finds out about readers that are gone.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
const CHUNK: usize = 64 << 10;

pub(super) async fn list(State(door): State<Arc<Door>>) -> Answer {
    ok(door.shared.operations.all())
}

pub(super) async fn one(State(door): State<Arc<Door>>, PathOf(id): PathOf<String>) -> Answer {
    ok(door.shared.operations.find(number(&id)?)?)
}

fn number(id: &str) -> Result<u64> {
    id.parse().map_err(|_| Error::new(Class::NotFound, format!("there is no operation {id:?}")))
}

pub(super) async fn start(
    State(door): State<Arc<Door>>,
    Extension(caller): Extension<Caller>,
    body: Bytes,
) -> Answer {
    begin(&door, &caller, parse(&body)?)
}

/// Starts an operation for a caller.
pub(super) fn begin(door: &Door, caller: &Caller, request: OperationRequest) -> Answer {
    let needed = role_for(request.kind());
    if caller.role < Some(needed) {
        return Err(Error::new(Class::Forbidden, format!("this takes the role {needed}")).into());
    }
    let wish = wish(&request);
    let status = door.shared.start(request, caller.actor())?;
    let mut detail = detail_of(&status);
    detail.message = wish;
    with_detail(accepted(status), detail)
}

/// A request as the audit record shows it: without a document's text.
fn wish(request: &OperationRequest) -> String {
    match request {
        OperationRequest::Configure(document) => format!("configure by {}", document.name),
        other => serde_json::to_string(other).unwrap_or_default(),
    }
}

fn detail_of(status: &OperationStatus) -> AuditDetail {
    AuditDetail {
        resource_id: status.id.to_string(),
        resource_name: status.operation.to_string(),
        ..AuditDetail::default()
    }
}

pub(super) fn answer_of(status: OperationStatus) -> Answer {
    let detail = detail_of(&status);
    with_detail(accepted(status), detail)
}

pub(super) async fn cancel(State(door): State<Arc<Door>>, PathOf(id): PathOf<String>) -> Answer {
    answer_of(door.shared.operations.cancel(number(&id)?)?)
}

pub(super) async fn reboot(State(door): State<Arc<Door>>, Extension(caller): Extension<Caller>) -> Answer {
    begin(&door, &caller, OperationRequest::Reboot { recovery: false })
}

pub(super) async fn shutdown(State(door): State<Arc<Door>>, Extension(caller): Extension<Caller>) -> Answer {
    begin(&door, &caller, OperationRequest::PowerOff)
}

pub(super) async fn generate_logs(
    State(door): State<Arc<Door>>,
    Extension(caller): Extension<Caller>,
) -> Answer {
    begin(&door, &caller, OperationRequest::SupportBundle { stick: false })
}

pub(super) async fn generate_logs_status(State(door): State<Arc<Door>>) -> Answer {
    let status = match door.shared.operations.last_of(OperationKind::SupportBundle).map(|last| last.state) {
        None if Path::new(paths::SUPPORT_BUNDLE).exists() => LogsState::Completed,
        None => LogsState::Unknown,
        Some(OperationState::Running) => LogsState::InProgress,
        Some(OperationState::Done { .. }) => LogsState::Completed,
        Some(OperationState::Failed { .. }) => LogsState::Failed,
    };
    ok(LogsStatus { status })
}

/// The bundle, piece by piece: it may be larger than the agent's memory should be.
pub(super) async fn download_logs() -> Answer {
    let file = tokio::fs::File::open(paths::SUPPORT_BUNDLE).await.map_err(|_| {
        Error::new(Class::NotFound, "there is no support bundle")
            .help("make one first: edge-agent support-bundle")
    })?;
    let pieces = futures_util::stream::unfold(file, |mut file| async move {
        let mut piece = vec![0; CHUNK];
        match file.read(&mut piece).await {
            Ok(0) => None,
            Ok(length) => {
                piece.truncate(length);
                Some((Ok(Bytes::from(piece)), file))
            }
            Err(error) => Some((Err(error), file)),
        }
    });
    let headers = [
        ("content-type", "application/zstd"),
        ("content-disposition", "attachment; filename=\"support.tar.zst\""),
    ];
    Ok((headers, Body::from_stream(pieces)).into_response())
}

/// News from now on, or from where an earlier reader ended.
pub(super) async fn events(State(door): State<Arc<Door>>, headers: HeaderMap) -> Answer {
    let seen = match headers.get("last-event-id") {
        None => None,
        Some(value) => {
            let number = value.to_str().ok().and_then(|text| text.trim().parse().ok());
            Some(number.ok_or_else(|| Error::invalid("Last-Event-ID is not a number"))?)
        }
    };
    let cursor = door.shared.events.cursor(seen);
    let stream = futures_util::stream::unfold(cursor, |mut cursor| async move {
        let event = cursor.next().await?;
        let data = serde_json::to_string(&*event).unwrap_or_default();
        Some((Ok::<_, Infallible>(SseEvent::default().id(event.sequence.to_string()).data(data)), cursor))
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response())
}
