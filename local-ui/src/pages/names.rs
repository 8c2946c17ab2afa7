//! Names, time and proxies.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use edge_client::Call;
use edge_model::api::access::Role;
use edge_model::api::host::SiteSettings;
use edge_model::api::routes::RouteId;
use edge_model::api::{OperationStatus, Possibility};
use edge_words::site as words;
use maud::{Markup, html};

use super::shown;
use crate::App;
use crate::reply::{Act, Answer, Fields, Visitor, see};
use crate::ui::{self, Field, Frame};

pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new().route("/names", get(show).post(change))
}

async fn show(State(app): State<Arc<App>>, visitor: Visitor) -> Answer {
    let frame = visitor.frame(&app).await?;
    let settings: SiteSettings = visitor.read(&app, RouteId::SiteSettings).await?;
    let body = view(&frame, &settings);
    Ok(shown(&frame, words::NAMES_TITLE, &body))
}

pub fn view(frame: &Frame, settings: &SiteSettings) -> Markup {
    let list = |list: &Option<Vec<String>>| list.as_ref().map(|list| list.join(", ")).unwrap_or_default();
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let lines = [
        ("host-name", words::HOST_NAME, words::HOST_NAME_HINT, text(&settings.host_name)),
        ("name-servers", words::NAME_SERVERS, words::LIST_HINT, list(&settings.name_servers)),
        ("time-servers", words::TIME_SERVERS, words::LIST_HINT, list(&settings.ntp_servers)),
        ("time-zone", words::TIME_ZONE, words::TIME_ZONE_HINT, text(&settings.time_zone)),
        ("http-proxy", words::HTTP_PROXY, words::PROXY_HINT, text(&settings.http_proxy)),
        ("https-proxy", words::HTTPS_PROXY, words::PROXY_HINT, text(&settings.https_proxy)),
        ("no-proxy", words::NO_PROXY, words::NO_PROXY_HINT, text(&settings.no_proxy)),
    ];
    let certificates = settings.ca_certs.as_ref().map_or(0, Vec::len);
    html! {
        (frame.only(Role::Operator))
        @if frame.can(Possibility::Configure) {
            (ui::form(frame, "/names", &html! {
                @for (name, label, hint, value) in &lines {
                    (ui::field(&Field { name, label, hint, value, ..Field::default() }))
                }
                div.actions { (ui::button(words::SAVE)) }
            }))
        } @else {
            @if frame.may(Role::Operator) { p { (words::NOT_NOW) } }
            (ui::facts(&lines.iter().map(|(_, label, _, value)| (*label, html! { (value) })).collect::<Vec<_>>()))
        }
        @if certificates > 0 { p.hint { (words::certificates(certificates)) } }
    }
}

/// What was changed; the rest is left as it is.
fn changed(fields: &Fields, before: &SiteSettings) -> SiteSettings {
    let text = |name: &str, before: &Option<String>| {
        let now = fields.text(name).to_owned();
        (now != before.clone().unwrap_or_default()).then_some(now)
    };
    let list = |name: &str, before: &Option<Vec<String>>| {
        let now = fields.list(name);
        (now != before.clone().unwrap_or_default()).then_some(now)
    };
    SiteSettings {
        host_name: text("host-name", &before.host_name),
        ntp_servers: list("time-servers", &before.ntp_servers),
        time_zone: text("time-zone", &before.time_zone),
        name_servers: list("name-servers", &before.name_servers),
        http_proxy: text("http-proxy", &before.http_proxy),
        https_proxy: text("https-proxy", &before.https_proxy),
        no_proxy: text("no-proxy", &before.no_proxy),
        ca_certs: None,
    }
}

async fn change(State(app): State<Arc<App>>, act: Act) -> Answer {
    let before: SiteSettings = act.visitor.read(&app, RouteId::SiteSettings).await?;
    let next = changed(&act.fields, &before);
    if next == SiteSettings::default() {
        return Ok(see("/names"));
    }
    let call = Call::default().body(&next)?;
    let status: OperationStatus = act.visitor.call(&app, RouteId::ChangeSiteSettings, call).await?;
    Ok(see(&format!("/work/{}", status.id)))
}
