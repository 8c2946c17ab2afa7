//! The parts of a page that change by themselves: drawn here, and sent when they differ from what was sent before.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::extract::{Query, Request, State};
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use edge_client::Call;
use edge_model::Result;
use edge_model::api::OperationStatus;
use edge_model::api::diagnostics::Metrics;
use edge_model::api::routes::RouteId;
use futures_util::stream;
use maud::Markup;
use serde::Deserialize;
use serde_json::json;

use crate::limits::LIVE;
use crate::reply::Visitor;
use crate::ui::strip;
use crate::{App, pages};

const BETWEEN_LOOKS: Duration = Duration::from_secs(2);

#[derive(Deserialize)]
pub(crate) struct Page {
    page: String,
}

/// A stream that counts until it is dropped.
struct Place(Arc<App>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.live.fetch_sub(1, Ordering::Relaxed);
    }
}

pub(crate) async fn live(
    State(app): State<Arc<App>>,
    Query(page): Query<Page>,
    request: Request,
) -> Response {
    if app.live.fetch_add(1, Ordering::Relaxed) >= LIVE {
        app.live.fetch_sub(1, Ordering::Relaxed);
        return StatusCode::TOO_MANY_REQUESTS.into_response();
    }
    let place = Place(app.clone());
    let (parts, _) = request.into_parts();
    // A page that looks by itself keeps nobody logged in.
    if Visitor::of(&app, &parts, false).await.is_none() {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let follower =
        Follower { app, parts, page: page.page, sent: BTreeMap::new(), state: Some(Turn::Begins), place };
    Sse::new(stream::unfold(follower, next)).keep_alive(KeepAlive::default()).into_response()
}

#[derive(Clone, Copy)]
enum Turn {
    Begins,
    Goes,
}

struct Follower {
    app: Arc<App>,
    parts: axum::http::request::Parts,
    page: String,
    /// What the page shows, by its place.
    sent: BTreeMap<&'static str, String>,
    /// None: the stream has said its last word.
    state: Option<Turn>,
    place: Place,
}

/// Waits for news, and gives one.
async fn next(mut follower: Follower) -> Option<(std::result::Result<Event, Infallible>, Follower)> {
    loop {
        match follower.state? {
            Turn::Begins => follower.state = Some(Turn::Goes),
            Turn::Goes => tokio::time::sleep(BETWEEN_LOOKS).await,
        }
        let _counts = &follower.place;
        // The session may have ended meanwhile.
        let Some(visitor) = Visitor::of(&follower.app, &follower.parts, false).await else {
            follower.state = None;
            return Some((Ok(Event::default().event("ended").data("")), follower));
        };
        // While the agent is silent nothing is said: the page keeps what it has.
        let Ok(parts) = parts(&follower.app, &visitor, &follower.page).await else { continue };
        for (name, html) in parts {
            let html = html.into_string();
            if follower.sent.get(name) != Some(&html) {
                follower.sent.insert(name, html.clone());
                let data = json!({ "id": name, "html": html }).to_string();
                // What else is new comes at once.
                follower.state = Some(Turn::Begins);
                return Some((Ok(Event::default().event("part").data(data)), follower));
            }
        }
    }
}

/// All parts of a page, as they are now.
async fn parts(app: &App, visitor: &Visitor, page: &str) -> Result<Vec<(&'static str, Markup)>> {
    let mut frame = visitor.frame(app).await.map_err(|trouble| trouble.error())?;
    // Forms in a part that is drawn again and again: their token must not make it new each time.
    frame.token = visitor.steady_token();
    let mut parts = vec![("strip", strip(&frame))];
    match page.split_once('/') {
        None if page == "home" => {
            let metrics = visitor.read::<Metrics>(app, RouteId::Metrics).await.ok();
            parts.push(("live", pages::home::state(&frame, metrics.as_ref())));
        }
        Some(("work", id)) => {
            let call = Call::default().segment("id", id);
            let operation: OperationStatus = visitor.call(app, RouteId::Operation, call).await?;
            parts.push(("live", pages::work::state(&frame, &operation)));
        }
        None if page == "cluster" => parts.push(("live", pages::cluster::state(&frame))),
        _ => {}
    }
    Ok(parts)
}
