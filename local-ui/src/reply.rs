//! Who asks, what a form brought, and what is answered when something does not work.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use edge_client::{Call, Speaker};
use edge_model::api::HostStatus;
use edge_model::api::routes::RouteId;
use edge_model::{Class, Error, Result};
use edge_words::web as words;
use maud::{Markup, html};
use serde::de::DeserializeOwned;

use crate::App;
use crate::accept::Ends;
use crate::limits::BODY;
use crate::session::Login;
use crate::ui::{self, Frame};

/// Ends with the browser, goes to this host alone, and is seen by no script. `__Host-` binds it to this very name.
const COOKIE: &str = "__Host-edge";
const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Bytes of a form; documents are the largest.
const FORM_LIMIT: usize = 256 << 10;
/// What the agent says of an order that another call has brought and that is not answered yet.
const BEING_DONE: &str = "is being done";
const TRIES: u32 = 60;
const BETWEEN_TRIES: Duration = Duration::from_millis(300);
/// Bytes of a name and a password.
pub(crate) const LOGIN_LIMIT: usize = 8 << 10;

/// What a page is answered with.
pub(crate) type Answer = std::result::Result<Response, Trouble>;

pub(crate) fn see(to: &str) -> Response {
    Redirect::to(to).into_response()
}

pub(crate) fn cookie(id: Option<&str>) -> [(header::HeaderName, HeaderValue); 1] {
    let end = if id.is_some() { "" } else { "; Max-Age=0" };
    let text = format!("{COOKIE}={}; Secure; HttpOnly; SameSite=Strict; Path=/{end}", id.unwrap_or_default());
    [(header::SET_COOKIE, HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("")))]
}

pub(crate) fn id_of(headers: &HeaderMap) -> Option<String> {
    let cookies = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let mut pairs =
        cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, id)| id.to_owned())
}

/// Somebody who has logged in.
pub(crate) struct Visitor {
    pub(crate) id: String,
    pub(crate) login: Login,
    pub(crate) ends: Ends,
    /// Names what a form has ordered.
    order: Option<String>,
    path: String,
}

impl Visitor {
    /// `act`: a person did it, and not a page by itself.
    pub(crate) fn of(app: &App, parts: &Parts, act: bool) -> Option<Self> {
        let ends = parts.extensions.get::<Ends>()?.clone();
        let (id, now) = (id_of(&parts.headers)?, Instant::now());
        let login = app.sessions.find(&id, ends.origin(), app.idle(), act, now)?;
        Some(Self { id, login, ends, order: None, path: parts.uri.path().to_owned() })
    }

    pub(crate) fn speaker(&self) -> Speaker {
        self.login.speaker(self.ends.browser)
    }

    fn prepared(&self, call: Call) -> Call {
        match &self.order {
            Some(order) => call.header(IDEMPOTENCY_KEY, order.clone()),
            None => call,
        }
    }

    /// The second of two clicks gets the answer of the first one, which may take its time.
    pub(crate) async fn call<T: DeserializeOwned>(&self, app: &App, id: RouteId, call: Call) -> Result<T> {
        let call = self.prepared(call);
        for _ in 0..TRIES {
            match app.agent.call(&self.speaker(), id, call.clone()).await {
                Err(error) if self.order.is_some() && error.message.contains(BEING_DONE) => {
                    tokio::time::sleep(BETWEEN_TRIES).await;
                }
                other => return other,
            }
        }
        app.agent.call(&self.speaker(), id, call).await
    }

    /// A call that is another one each time, although its form is the same.
    pub(crate) async fn call_anew<T: DeserializeOwned>(&self, app: &App, id: RouteId) -> Result<T> {
        app.agent.call(&self.speaker(), id, Call::default()).await
    }

    pub(crate) async fn read<T: DeserializeOwned>(&self, app: &App, id: RouteId) -> Result<T> {
        self.call(app, id, Call::default()).await
    }

    pub(crate) async fn tell(&self, app: &App, id: RouteId, call: Call) -> Result<()> {
        app.agent.tell(&self.speaker(), id, self.prepared(call)).await
    }

    /// What every page knows.
    pub(crate) async fn frame(&self, app: &App) -> std::result::Result<Frame, Trouble> {
        let status: HostStatus = self.read(app, RouteId::Status).await?;
        Ok(Frame {
            status,
            user: self.login.user.clone(),
            role: self.login.role,
            token: self.login.form_token(),
            path: self.path.clone(),
            live: None,
        })
    }
}

impl FromRequestParts<Arc<App>> for Visitor {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> std::result::Result<Self, Response> {
        match Self::of(app, parts, true) {
            Some(visitor) => Ok(visitor),
            None => Err(see("/login")),
        }
    }
}

/// What a form of ours has brought, from the login that it was made for.
pub(crate) struct Act {
    pub(crate) visitor: Visitor,
    pub(crate) fields: Fields,
}

#[derive(Debug, Default)]
pub(crate) struct Fields(BTreeMap<String, String>);

impl Fields {
    pub(crate) fn text(&self, name: &str) -> &str {
        self.0.get(name).map(|text| text.trim()).unwrap_or_default()
    }

    /// As it was typed, with its spaces.
    pub(crate) fn exact(&self, name: &str) -> &str {
        self.0.get(name).map(String::as_str).unwrap_or_default()
    }

    pub(crate) fn is_on(&self, name: &str) -> bool {
        !self.text(name).is_empty()
    }

    /// Words that commas or spaces divide.
    pub(crate) fn list(&self, name: &str) -> Vec<String> {
        let parts = self.text(name).split([',', ' ', '\n']).map(str::trim).filter(|part| !part.is_empty());
        parts.map(str::to_owned).collect()
    }

    /// All that a form brought but for its token, to be sent once more.
    pub(crate) fn again(&self) -> Markup {
        html! {
            @for (name, value) in self.0.iter().filter(|(name, _)| *name != "token") {
                input type="hidden" name=(name) value=(value);
            }
        }
    }
}

/// Reads a form. Who does not come to its end is let go.
pub(crate) async fn form_of(request: Request, limit: usize) -> Result<Fields> {
    let read = axum::body::to_bytes(request.into_body(), limit);
    let late = |_| Error::invalid("the form did not come to its end");
    let large = |_| Error::invalid(format!("a form has at most {} KiB", limit >> 10));
    let bytes = tokio::time::timeout(BODY, read).await.map_err(late)?.map_err(large)?;
    let request = Request::builder()
        .method("POST")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(axum::body::Body::from(bytes))
        .map_err(|error| Error::internal(error.to_string()))?;
    let form = axum::Form::<BTreeMap<String, String>>::from_request(request, &()).await;
    form.map(|form| Fields(form.0)).map_err(|_| Error::invalid("this is no form of a page"))
}

impl FromRequest<Arc<App>> for Act {
    type Rejection = Response;

    async fn from_request(request: Request, app: &Arc<App>) -> std::result::Result<Self, Response> {
        let (parts, body) = request.into_parts();
        let Some(mut visitor) = Visitor::of(app, &parts, true) else { return Err(see("/login")) };
        let fields = form_of(Request::from_parts(parts, body), FORM_LIMIT).await;
        let fields = fields.map_err(|error| Trouble::from(error).into_response())?;
        let token = fields.text("token").to_owned();
        if !visitor.login.made(&token) {
            let error = Error::new(Class::Forbidden, words::STALE_FORM).help(words::STALE_FORM_HELP);
            return Err(Trouble::from(error).into_response());
        }
        // The same form, sent twice, is one order; changed and sent again, it is another one.
        let all: String = fields.0.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
        let all = format!("{}\n{all}", visitor.path);
        let digest = ring::digest::digest(&ring::digest::SHA256, all.as_bytes());
        visitor.order = Some(format!("web-{}", &edge_model::ids::to_hex(digest.as_ref())[..32]));
        Ok(Self { visitor, fields })
    }
}

/// Something that did not work, as a page.
#[derive(Debug)]
pub(crate) struct Trouble(Error);

impl Trouble {
    pub(crate) fn error(self) -> Error {
        self.0
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

/// Whether the agent was not reached at all.
pub(crate) fn is_silent(error: &Error) -> bool {
    error.message.starts_with("cannot reach the agent")
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        let error = &self.0;
        if error.class == Class::Unauthenticated {
            // The agent has ended the session.
            return (cookie(None), see("/login")).into_response();
        }
        let status =
            StatusCode::from_u16(error.class.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if is_silent(error) {
            let text = html! { p { (words::SILENT_TEXT) } };
            return (StatusCode::SERVICE_UNAVAILABLE, ui::waiting(words::SILENT, &text)).into_response();
        }
        let text = html! {
            (ui::notice(edge_model::api::NoticeSeverity::Problem, &error.to_string(), error.help.as_deref()))
            p { (ui::link("/", words::HOME_LINK)) }
        };
        (status, ui::bare(words::TROUBLE, &text)).into_response()
    }
}
