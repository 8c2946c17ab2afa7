//! Help, at the foot of every page.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use edge_words::web as words;
use maud::{Markup, html};

use super::shown;
use crate::App;
use crate::reply::{Answer, Visitor};
use crate::ui;

pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new().route("/help", get(show))
}

async fn show(State(app): State<Arc<App>>, visitor: Visitor) -> Answer {
    let frame = visitor.frame(&app).await?;
    Ok(shown(&frame, words::HELP, &view()))
}

pub fn view() -> Markup {
    html! {
        @for line in words::HELP_TEXT { p { (line) } }
        p { (ui::link("/api", words::API_DOCUMENT)) }
    }
}
