//! Container images of this host: seen, brought from a stick, looked through, removed.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Query, State};
use axum::routing::{get, post};
use edge_client::Call;
use edge_model::api::access::Role;
use edge_model::api::content::{BundleRemoval, BundleView, ContentView, ImportRequest};
use edge_model::api::routes::RouteId;
use edge_model::api::{NoticeSeverity, OperationRequest, Possibility};
use edge_model::calendar::day_and_time;
use edge_model::{Class, Error};
use edge_words::{content as words, units, web};
use maud::{Markup, html};
use serde::Deserialize;

use super::{shown, work};
use crate::App;
use crate::reply::{Act, Answer, Visitor, see};
use crate::ui::{self, Frame};

/// The newest images that are named; a core has a dozen, a site some dozens.
const MOST_NAMED: usize = 200;

pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/content", get(show))
        .route("/content/stick", post(from_stick))
        .route("/content/check", post(check))
        .route("/content/remove", get(ask_remove).post(remove))
}

async fn show(State(app): State<Arc<App>>, visitor: Visitor) -> Answer {
    let frame = visitor.frame(&app).await?;
    let content: ContentView = visitor.read(&app, RouteId::Content).await?;
    Ok(shown(&frame, words::TITLE, &view(&frame, &content)))
}

/// A bundle, so that no other one of its name is meant.
fn reference(bundle: &BundleView) -> String {
    format!("{}@{}", bundle.name, bundle.digest)
}

pub fn view(frame: &Frame, content: &ContentView) -> Markup {
    let works = frame.can(Possibility::ImportContent);
    html! {
        (frame.only(Role::Operator))
        @for bundle in content.bundles.iter().rev() { (one(frame, bundle)) }
        @if content.bundles.is_empty() { p { (words::NONE) } }
        p.hint { (words::free(&units::size(content.free_bytes))) }
        @if !content.upstream { p.hint { (words::NO_UPSTREAM) } }
        @if works {
            (ui::form(frame, "/content/stick", &html! {
                (ui::check("replace", words::REPLACE, words::REPLACE_HINT, false))
                div.actions { (ui::button(words::FROM_STICK)) }
            }))
        }
        @if works && !content.bundles.is_empty() {
            (ui::form(frame, "/content/check", &ui::button(words::CHECK)))
        }
        @if !content.of_image.is_empty() {
            h2 { (words::OF_IMAGE) }
            ul { @for image in content.of_image.iter().take(MOST_NAMED) { li { (image) } } }
        }
    }
}

fn one(frame: &Frame, bundle: &BundleView) -> Markup {
    let rows = [
        (words::SIZE, html! { (units::size(bundle.bytes)) }),
        (words::BROUGHT, html! { (day_and_time(bundle.installed_at)) }),
        (words::FROM, html! { (bundle.origin) }),
        (words::SIGNED, html! { (if bundle.signed { words::SIGNED_YES } else { words::NOT_SIGNED }) }),
    ];
    html! {
        h2 { (bundle.name) }
        @if !bundle.damaged.is_empty() {
            (ui::notice(NoticeSeverity::Problem, &words::damaged(&bundle.damaged.join(", ")), Some(words::DAMAGED_HELP)))
        }
        (ui::facts(&rows))
        ul { @for image in bundle.images.iter().take(MOST_NAMED) { li { (image) } } }
        @if frame.can(Possibility::ImportContent) {
            p { a.button.quiet href={ "/content/remove?digest=" (bundle.digest) } { (words::REMOVE) " " (bundle.name) } }
        }
    }
}

async fn from_stick(State(app): State<Arc<App>>, act: Act) -> Answer {
    let request = ImportRequest { source: "stick:".into(), replace: act.fields.is_on("replace") };
    work::order(&app, &act, &OperationRequest::ImportContent(request)).await
}

async fn check(State(app): State<Arc<App>>, act: Act) -> Answer {
    work::order(&app, &act, &OperationRequest::VerifyContent).await
}

#[derive(Deserialize)]
struct Which {
    #[serde(default)]
    digest: String,
}

async fn ask_remove(State(app): State<Arc<App>>, Query(which): Query<Which>, visitor: Visitor) -> Answer {
    let frame = visitor.frame(&app).await?;
    let content: ContentView = visitor.read(&app, RouteId::Content).await?;
    let bundle = content.bundles.iter().find(|bundle| bundle.digest == which.digest);
    let bundle = bundle.ok_or_else(|| Error::new(Class::NotFound, web::NOT_FOUND))?;
    Ok(shown(&frame, words::REMOVE_TITLE, &remove_view(&frame, bundle)))
}

pub fn remove_view(frame: &Frame, bundle: &BundleView) -> Markup {
    html! {
        p { (words::remove(&bundle.name, bundle.images.len())) }
        (ui::form(frame, "/content/remove", &html! {
            input type="hidden" name="bundle" value=(reference(bundle));
            (ui::check("force", words::FORCE, "", false))
            div.actions { a.button.quiet href="/content" { (web::BACK) } (ui::button(words::REMOVE)) }
        }))
    }
}

async fn remove(State(app): State<Arc<App>>, act: Act) -> Answer {
    let removal =
        BundleRemoval { bundle: act.fields.text("bundle").to_owned(), force: act.fields.is_on("force") };
    let call = Call::default().body(&removal)?;
    let _: ContentView = act.visitor.call(&app, RouteId::RemoveContent, call).await?;
    Ok(see("/content"))
}
