//! The agent's API for programs of the site's network: `/v1/…` with a token of the agent in the header `Authorization`. Cookies
//! count for nothing here, so a page of somebody else can do nothing with them.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use edge_client::Speaker;
use edge_model::api::routes::{ROUTES, RouteId};
use edge_model::{Class, Error};
use tokio::sync::SemaphorePermit;

use crate::App;
use crate::accept::Ends;
use crate::limits::BODY;
use crate::reply::LOGIN_LIMIT;

/// As the agent's own limit.
const LIMIT: usize = 2 << 20;
/// Nobody waits longer for room than a body may take.
const ROOM: Duration = Duration::from_secs(30);
const PASSED_ON: [&str; 3] = ["idempotency-key", "last-event-id", "content-type"];

pub(crate) async fn pass(State(app): State<Arc<App>>, request: Request) -> Response {
    passed(&app, request).await.unwrap_or_else(|error| {
        let status = StatusCode::from_u16(error.class.http_status()).unwrap_or(StatusCode::BAD_GATEWAY);
        let body = serde_json::to_string(&error).unwrap_or_default();
        (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
    })
}

async fn passed(app: &App, request: Request) -> edge_model::Result<Response> {
    let ends = request.extensions().get::<Ends>().cloned().ok_or_else(|| Error::internal("no ends"))?;
    let (parts, body) = request.into_parts();
    let route = ROUTES
        .iter()
        .find(|route| route.method.name() == parts.method.as_str() && is_path(route.path, parts.uri.path()))
        .ok_or_else(|| Error::new(Class::NotFound, "there is no such path").help("/api describes them"))?;
    let token = parts.headers.get(header::AUTHORIZATION).and_then(|token| token.to_str().ok());
    if token.is_none() && route.id != RouteId::Login {
        return Err(Error::new(Class::Unauthenticated, "this takes a token in the header Authorization")
            .help("POST /v1/users/default/login gives one"));
    }
    if route.id == RouteId::EventStream {
        return Err(
            Error::rejected("the event stream is for programs of the host itself").help("ask GET /v1/status")
        );
    }
    if route.id == RouteId::Login && !app.limits.may_log_in(ends.origin()) {
        return Err(Error::new(Class::TooMany, "too many logins").help("try again in a minute"));
    }
    // The room is held until the agent has answered.
    let (body, _room) = if route.changes() {
        let limit = if route.id == RouteId::Login { LOGIN_LIMIT } else { LIMIT };
        let (body, room) = body_of(app, body, limit).await?;
        (body, Some(room))
    } else {
        (Bytes::new(), None)
    };
    let headers = PASSED_ON.iter().filter_map(|name| {
        let value = parts.headers.get(*name)?.to_str().ok()?;
        Some((*name, value.to_owned()))
    });
    let speaker = Speaker { token: token.map(str::to_owned), browser: Some(ends.browser), by_itself: false };
    let target = parts.uri.path_and_query().map_or(route.path, |target| target.as_str());
    let answer = app.agent.forward(&speaker, route, target, headers.collect(), body).await?;
    let (mut parts, body) = answer.into_parts();
    parts.headers.remove(header::CONNECTION);
    parts.headers.remove(header::TRANSFER_ENCODING);
    Ok(Response::from_parts(parts, Body::new(body)))
}

/// A body has to wait until there is room for it: strangers send as many as they like.
async fn body_of(app: &App, body: Body, limit: usize) -> edge_model::Result<(Bytes, SemaphorePermit<'_>)> {
    let late = |_| Error::invalid("the request did not come to its end");
    let large = |_| Error::invalid(format!("the request is larger than {} KiB", limit >> 10));
    let busy = || Error::new(Class::TooMany, "too many requests at one time").help("try again in a minute");
    let room = tokio::time::timeout(ROOM, app.bodies.acquire()).await.map_err(|_| busy())?;
    let room = room.map_err(|_| busy())?;
    let body = tokio::time::timeout(BODY, axum::body::to_bytes(body, limit)).await.map_err(late)?;
    Ok((body.map_err(large)?, room))
}

fn is_path(route: &str, path: &str) -> bool {
    let (mut wanted, mut given) = (route.split('/'), path.split('/'));
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return true,
            (Some(wanted), Some(given))
                if wanted == given || (wanted.starts_with('{') && !given.is_empty()) => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_the_table_go_through() {
        assert!(is_path("/v1/operations/{id}", "/v1/operations/7"));
        for wrong in ["/v1/operations", "/v1/operations/7/8", "/v1/operations/", "/v1/", ""] {
            assert!(!is_path("/v1/operations/{id}", wrong), "{wrong}");
        }
    }
}
