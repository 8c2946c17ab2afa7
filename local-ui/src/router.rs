//! All paths of the web page.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Extension, Path, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use edge_client::{Call, Speaker};
use edge_model::api::host::Pong;
use edge_model::api::routes::RouteId;
use edge_words::web as words;
use serde_json::json;

use crate::accept::Ends;
use crate::assets::{SCRIPT, STYLE};
use crate::reply::{Visitor, see};
use crate::{App, defence, live, pages, pass_through, ui};

/// Pages, their parts, and the way through to the agent's API, all behind [`defence::defend`].
pub fn router(app: &Arc<App>) -> Router {
    Router::new()
        .merge(pages::routes())
        .route("/live", get(live::live))
        .route("/alive", get(alive))
        .route("/assets/{name}", get(asset))
        .route("/api", get(api))
        .route("/v1/{*path}", any(pass_through::pass))
        .route("/session", get(session))
        .fallback(nothing)
        .method_not_allowed_fallback(|| async { see("/") })
        .layer(from_fn_with_state(app.clone(), defence::defend))
        .with_state(app.clone())
}

async fn asset(Path(name): Path<String>) -> Response {
    let path = format!("/assets/{name}");
    [&STYLE, &SCRIPT]
        .into_iter()
        .find(|asset| asset.path() == path)
        .map_or_else(|| StatusCode::NOT_FOUND.into_response(), |asset| asset.answer())
}

/// For pages that wait for the host, and for whoever watches it: says no more than that it is there.
async fn alive(State(app): State<Arc<App>>, Extension(ends): Extension<Ends>) -> Response {
    let speaker = Speaker { browser: Some(ends.browser), ..Speaker::default() };
    let pong = app.agent.call::<Pong>(&speaker, RouteId::Ping, Call::default()).await;
    let said = match pong {
        Ok(pong) => json!({ "state": "up", "boot_id": pong.boot_id }),
        Err(_) => json!({ "state": "starting" }),
    };
    axum::Json(said).into_response()
}

/// Whether the browser is logged in, for a page that has lost its stream.
async fn session(State(app): State<Arc<App>>, request: Request) -> StatusCode {
    let (parts, _) = request.into_parts();
    match Visitor::of(&app, &parts, false) {
        Some(_) => StatusCode::NO_CONTENT,
        None => StatusCode::UNAUTHORIZED,
    }
}

async fn api() -> Response {
    const DOCUMENT: &str = include_str!("../../docs/openapi.json");
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT).into_response()
}

async fn nothing() -> Response {
    let text = maud::html! { p { (ui::link("/", words::HOME_LINK)) } };
    (StatusCode::NOT_FOUND, ui::bare(words::NOT_FOUND, &text)).into_response()
}
