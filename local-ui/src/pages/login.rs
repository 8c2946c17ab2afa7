//! In and out.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Extension, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Router, http::StatusCode};
use edge_client::{Call, Speaker};
use edge_model::Error;
use edge_model::api::access::{LoginAnswer, LoginRequest};
use edge_model::api::routes::RouteId;
use edge_model::secret::Secret;
use edge_words::{login as words, web};
use maud::{Markup, html};

use crate::App;
use crate::accept::Ends;
use crate::reply::{Act, LOGIN_LIMIT, cookie, form_of, id_of, is_silent, see};
use crate::ui::{self, Field};

pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new().route("/login", get(show).post(enter)).route("/logout", post(leave))
}

async fn show(State(app): State<Arc<App>>) -> Response {
    view(&app.settings.host_name, &app.digits, "", None).into_response()
}

/// A stranger sees the host's name and how its page is known, and nothing else.
pub fn view(host: &str, digits: &str, name: &str, trouble: Option<&Error>) -> Markup {
    let field = |label, field: &'static str, kind, autocomplete, value| {
        ui::field(&Field {
            name: field,
            label,
            kind,
            autocomplete,
            value,
            required: true,
            ..Field::default()
        })
    };
    ui::bare(
        &format!("{}: {host}", words::TITLE),
        &html! {
            @if let Some(error) = trouble {
                (ui::notice(edge_model::api::NoticeSeverity::Problem, &error.to_string(), error.help.as_deref()))
            }
            form method="post" action="/login" {
                (field(words::NAME, "name", "text", "username", name))
                (field(words::PASSWORD, "password", "password", "current-password", ""))
                div.actions { (ui::button(words::LOG_IN)) }
            }
            @if !digits.is_empty() {
                p { (web::DIGITS) " " span.digits { (digits) } }
                p.hint { (web::DIGITS_HINT) }
            }
        },
    )
}

async fn enter(State(app): State<Arc<App>>, Extension(ends): Extension<Ends>, request: Request) -> Response {
    if !app.limits.may_log_in(ends.origin()) {
        let error = Error::new(edge_model::Class::TooMany, web::TOO_OFTEN).help("wait a minute");
        return refused(&app, "", &error);
    }
    let before = id_of(request.headers());
    let fields = match form_of(request, LOGIN_LIMIT).await {
        Ok(fields) => fields,
        Err(error) => return refused(&app, "", &error),
    };
    let name = fields.text("name").to_owned();
    let request = LoginRequest {
        username: name.clone(),
        password: Secret::new(fields.exact("password")),
        // Ours end long before: nothing has to be renewed while several tabs ask.
        extended_session: true,
    };
    let speaker = Speaker { browser: Some(ends.browser), ..Speaker::default() };
    let answer = match Call::default().body(&request) {
        Ok(call) => app.agent.call::<LoginAnswer>(&speaker, RouteId::Login, call).await,
        Err(error) => Err(error),
    };
    match answer {
        Ok(answer) => {
            // Whoever logs in anew has no use for what the browser held.
            before.iter().for_each(|before| app.sessions.end(before));
            let token = answer.token.authorization;
            let id = app.sessions.begin(&name, answer.role, token, ends.origin(), Instant::now());
            (cookie(Some(&id)), see("/")).into_response()
        }
        // A stranger has no use for how the agent is reached.
        Err(error) if is_silent(&error) => refused(&app, &name, &Error::environment(web::SILENT_TEXT)),
        Err(error) => refused(&app, &name, &error),
    }
}

fn refused(app: &App, name: &str, error: &Error) -> Response {
    let status = StatusCode::from_u16(error.class.http_status()).unwrap_or(StatusCode::BAD_REQUEST);
    (status, view(&app.settings.host_name, &app.digits, name, Some(error))).into_response()
}

async fn leave(State(app): State<Arc<App>>, act: Act) -> Response {
    // The agent's session ends by itself, should the agent not hear it.
    let _ = act.visitor.tell(&app, RouteId::Logout, Call::default()).await;
    app.sessions.end(&act.visitor.id);
    (cookie(None), see("/login")).into_response()
}
