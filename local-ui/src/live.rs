//! The parts of a page that change by themselves: drawn here, and sent when they differ from what was sent before.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use axum::extract::{Query, Request, State};
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use edge_client::Call;
use edge_model::api::OperationStatus;
use edge_model::api::diagnostics::Metrics;
use edge_model::api::routes::RouteId;
use edge_model::{Class, Result};
use futures_util::stream;
use maud::Markup;
use serde::Deserialize;
use serde_json::json;

use crate::limits::{LIVE, LIVE_OF_ONE};
use crate::reply::{Trouble, Visitor, is_silent};
use crate::ui::{news, strip};
use crate::{App, pages};

const BETWEEN_LOOKS: Duration = Duration::from_secs(2);

#[derive(Deserialize)]
pub(crate) struct Page {
    page: String,
}

/// A stream that counts until it is dropped.
struct Place(Arc<App>, String);

impl Place {
    fn take(app: &Arc<App>, session: &str) -> Option<Self> {
        let mut live = app.live.lock().unwrap_or_else(PoisonError::into_inner);
        let own = live.get(session).copied().unwrap_or(0);
        if live.values().sum::<usize>() >= LIVE || own >= LIVE_OF_ONE {
            return None;
        }
        live.insert(session.to_owned(), own + 1);
        Some(Self(app.clone(), session.to_owned()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut live = self.0.live.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = live.get_mut(&self.1) {
            *own -= 1;
            if *own == 0 {
                live.remove(&self.1);
            }
        }
    }
}

pub(crate) async fn live(
    State(app): State<Arc<App>>,
    Query(page): Query<Page>,
    request: Request,
) -> Response {
    let (parts, _) = request.into_parts();
    // A page that looks by itself keeps nobody logged in.
    let Some(visitor) = Visitor::of(&app, &parts, false) else {
        return StatusCode::UNAUTHORIZED.into_response();
    };
    let Some(place) = Place::take(&app, &visitor.id) else {
        return StatusCode::TOO_MANY_REQUESTS.into_response();
    };
    let follower = Follower {
        app,
        parts,
        page: page.page,
        sent: BTreeMap::new(),
        turn: Some(Turn::Begins),
        is_silent: false,
        _place: place,
    };
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
    /// What the page shows, by its place, without what changes with each drawing.
    sent: BTreeMap<&'static str, String>,
    /// None: the stream has said its last word.
    turn: Option<Turn>,
    /// The page was told that the agent does not answer.
    is_silent: bool,
    _place: Place,
}

type News = Option<(std::result::Result<Event, Infallible>, Follower)>;

/// Waits for news, and gives one.
async fn next(mut follower: Follower) -> News {
    loop {
        match follower.turn? {
            Turn::Begins => follower.turn = Some(Turn::Goes),
            Turn::Goes => tokio::time::sleep(BETWEEN_LOOKS).await,
        }
        // The session may have ended meanwhile, here or with the agent.
        let Some(visitor) = Visitor::of(&follower.app, &follower.parts, false) else {
            return ended(follower);
        };
        let parts = match parts(&follower.app, &visitor, &follower.page).await {
            Ok(parts) => parts,
            Err(error) if error.class == Class::Unauthenticated => return ended(follower),
            Err(error) if follower.is_silent || !is_silent(&error) => continue,
            Err(_) => {
                follower.is_silent = true;
                // What comes then is told again: the page may have been old before.
                follower.sent.clear();
                return Some((Ok(Event::default().event("silent").data("")), follower));
            }
        };
        follower.is_silent = false;
        for (name, html, token) in parts {
            let html = html.into_string();
            let same = html.replace(&token, "");
            if follower.sent.get(name) != Some(&same) {
                follower.sent.insert(name, same);
                let data = json!({ "id": name, "html": html }).to_string();
                // What else is new comes at once.
                follower.turn = Some(Turn::Begins);
                return Some((Ok(Event::default().event("part").data(data)), follower));
            }
        }
    }
}

fn ended(mut follower: Follower) -> News {
    follower.turn = None;
    Some((Ok(Event::default().event("ended").data("")), follower))
}

/// All parts of a page, as they are now.
async fn parts(app: &App, visitor: &Visitor, page: &str) -> Result<Vec<(&'static str, Markup, String)>> {
    let frame = visitor.frame(app).await.map_err(Trouble::error)?;
    let mut parts = vec![("news", news(&frame)), ("strip", strip(&frame))];
    match page.split_once('/') {
        None if page == "home" => {
            let metrics = visitor.read::<Metrics>(app, RouteId::Metrics).await.ok();
            parts.push(("live", pages::home::state(&frame, metrics.as_ref())));
        }
        Some(("work", id)) => {
            let call = Call::default().segment("id", id);
            // One that is not in the list any more changes no more.
            if let Ok(operation) = visitor.call::<OperationStatus>(app, RouteId::Operation, call).await {
                parts.push(("live", pages::work::state(&frame, &operation)));
            }
        }
        None if page == "cluster" => parts.push(("live", pages::cluster::state(&frame))),
        _ => {}
    }
    Ok(parts.into_iter().map(|(name, html)| (name, html, frame.token.clone())).collect())
}
