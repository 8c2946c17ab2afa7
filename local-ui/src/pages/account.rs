//! One's own password and SSH keys.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use edge_client::Call;
use edge_model::Error;
use edge_model::api::NoticeSeverity;
use edge_model::api::access::{CurrentUser, PasswordChange, UserChange};
use edge_model::api::routes::RouteId;
use edge_model::secret::Secret;
use edge_words::account as words;
use maud::{Markup, html};

use super::shown;
use crate::App;
use crate::reply::{Act, Answer, Visitor, see};
use crate::ui::{self, Field, Frame};

pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/account", get(show))
        .route("/account/password", post(password))
        .route("/account/keys", post(keys))
}

async fn show(State(app): State<Arc<App>>, visitor: Visitor) -> Answer {
    let frame = visitor.frame(&app).await?;
    let user: CurrentUser = visitor.read(&app, RouteId::CurrentUser).await?;
    let body = view(&frame, &user, &html! {});
    Ok(shown(&frame, words::TITLE, &body))
}

pub fn view(frame: &Frame, user: &CurrentUser, said: &Markup) -> Markup {
    let secret = |name, label, autocomplete| {
        ui::field(&Field { name, label, kind: "password", autocomplete, required: true, ..Field::default() })
    };
    html! {
        p { (words::who(&user.user_name, &user.role.to_string())) }
        (said)
        @if !user.disable_password_update {
            h2 { (words::CHANGE_PASSWORD) }
            (ui::form(frame, "/account/password", &html! {
                (secret("old", words::OLD, "current-password"))
                (secret("new", words::NEW, "new-password"))
                (secret("again", words::AGAIN, "new-password"))
                div.actions { (ui::button(words::CHANGE_PASSWORD)) }
            }))
        }
        h2 { (words::SAVE_KEYS) }
        (ui::form(frame, "/account/keys", &html! {
            (ui::area("keys", words::NEW_KEY, words::NEW_KEY_HINT, &user.ssh_keys.join("\n")))
            div.actions { (ui::button(words::SAVE_KEYS)) }
        }))
    }
}

/// The page once more, with what became of a form.
async fn again(app: &App, act: &Act, outcome: Result<&str, Error>) -> Answer {
    let frame = act.visitor.frame(app).await?;
    let user: CurrentUser = act.visitor.read(app, RouteId::CurrentUser).await?;
    let (status, said) = match &outcome {
        Ok(text) => (axum::http::StatusCode::OK, html! { div.notice.good { p { (text) } } }),
        Err(error) => (
            axum::http::StatusCode::UNPROCESSABLE_ENTITY,
            ui::notice(NoticeSeverity::Problem, &error.to_string(), error.help.as_deref()),
        ),
    };
    let body = view(&frame, &user, &said);
    Ok((status, ui::page(&frame, words::TITLE, &body)).into_response())
}

async fn password(State(app): State<Arc<App>>, act: Act) -> Answer {
    let (old, new) = (act.fields.exact("old"), act.fields.exact("new"));
    if new != act.fields.exact("again") {
        return again(&app, &act, Err(Error::invalid(words::DIFFERENT))).await;
    }
    let change = PasswordChange { old_password: Secret::new(old), new_password: Secret::new(new) };
    let changed = act.visitor.tell(&app, RouteId::ResetPassword, Call::default().body(&change)?).await;
    match changed {
        Ok(()) => again(&app, &act, Ok(words::PASSWORD_CHANGED)).await,
        // A wrong old password is no end of the session.
        Err(error) => again(&app, &act, Err(error)).await,
    }
}

async fn keys(State(app): State<Arc<App>>, act: Act) -> Answer {
    let keys = act.fields.exact("keys").lines().map(str::trim).filter(|line| !line.is_empty());
    let call = Call::default().body(&UserChange { ssh_keys: keys.map(str::to_owned).collect() })?;
    match act.visitor.call::<CurrentUser>(&app, RouteId::ChangeUser, call).await {
        Ok(_) => Ok(see("/account")),
        Err(error) => again(&app, &act, Err(error)).await,
    }
}
