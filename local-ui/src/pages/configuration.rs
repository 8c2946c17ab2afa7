//! The document of this host: looked at, checked, and used.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use edge_client::Call;
use edge_model::api::access::Role;
use edge_model::api::host::ConfigurationView;
use edge_model::api::installer::Message;
use edge_model::api::routes::RouteId;
use edge_model::api::{ConfigurationRequest, NoticeSeverity, OperationStatus, Possibility};
use edge_words::web as words;
use maud::{Markup, html};

use super::shown;
use crate::App;
use crate::reply::{Act, Answer, Visitor, see};
use crate::ui::{self, Frame};

const NAME: &str = "web page";

pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new().route("/configuration", get(show).post(use_it)).route("/configuration/check", post(check))
}

async fn show(State(app): State<Arc<App>>, visitor: Visitor) -> Answer {
    let frame = visitor.frame(&app).await?;
    let present: ConfigurationView = visitor.read(&app, RouteId::Configuration).await?;
    let body = view(&frame, &present, None, &html! {});
    Ok(shown(&frame, words::CONFIGURATION, &body))
}

/// `edited`: what somebody has written and not used yet.
pub fn view(frame: &Frame, present: &ConfigurationView, edited: Option<&str>, said: &Markup) -> Markup {
    let text = edited.unwrap_or(&present.local);
    html! {
        (frame.only(Role::Admin))
        (said)
        @for finding in &present.findings { (ui::notice(NoticeSeverity::Warning, finding, None)) }
        (ui::form(frame, "/configuration/check", &html! {
            (ui::area("text", words::DOCUMENT, words::DOCUMENT_HINT, text))
            div.actions { (ui::button(words::CHECK)) }
        }))
        @if let Some(text) = edited.filter(|_| frame.can(Possibility::Configure)) {
            (ui::form(frame, "/configuration", &html! {
                input type="hidden" name="text" value=(text);
                div.actions { (ui::button(words::USE)) }
            }))
        }
        h2 { (words::EFFECTIVE) }
        pre tabindex="0" { @for line in &present.effective { (line) "\n" } }
    }
}

fn request(act: &Act) -> ConfigurationRequest {
    ConfigurationRequest { name: NAME.into(), text: act.fields.exact("text").replace("\r\n", "\n") }
}

async fn check(State(app): State<Arc<App>>, act: Act) -> Answer {
    let frame = act.visitor.frame(&app).await?;
    let (request, present) = (request(&act), act.visitor.read(&app, RouteId::Configuration).await?);
    let call = Call::default().body(&request)?;
    let (status, edited, said) =
        match act.visitor.call::<Message>(&app, RouteId::CheckConfiguration, call).await {
            Ok(message) => {
                let said = html! {
                    div.notice.good { p { (message.message) } }
                    @for finding in &message.findings { (ui::notice(NoticeSeverity::Warning, finding, None)) }
                };
                (axum::http::StatusCode::OK, true, said)
            }
            Err(error) => {
                let said = ui::notice(NoticeSeverity::Problem, &error.to_string(), error.help.as_deref());
                (axum::http::StatusCode::UNPROCESSABLE_ENTITY, false, said)
            }
        };
    // What is wrong can be mended here, and not be used.
    let shown = ConfigurationView { local: request.text.clone(), ..present };
    let body = view(&frame, &shown, edited.then_some(request.text.as_str()), &said);
    Ok((status, ui::page(&frame, words::CONFIGURATION, &body)).into_response())
}

async fn use_it(State(app): State<Arc<App>>, act: Act) -> Answer {
    // This route knows which words stand for secrets that were not shown.
    let call = Call::default().body(&request(&act))?;
    let status: OperationStatus = act.visitor.call(&app, RouteId::ChangeUserData, call).await?;
    Ok(see(&format!("/work/{}", status.id)))
}
