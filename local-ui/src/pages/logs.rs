//! Lines of the journal.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Query, State};
use axum::routing::get;
use edge_client::Call;
use edge_model::api::access::Role;
use edge_model::api::host::LogLines;
use edge_model::api::routes::RouteId;
use edge_words::{logs as words, web};
use maud::{Markup, html};
use serde::Deserialize;

use super::shown;
use crate::App;
use crate::reply::{Answer, Visitor};
use crate::ui::{self, Choice, Field, Frame};

/// A page stays small.
const LINES: u32 = 300;
const BOOTS: [&str; 5] = ["0", "-1", "-2", "-3", "-4"];

pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new().route("/logs", get(show))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Wanted {
    pub filter: String,
    pub unit: String,
    pub boot: String,
}

async fn show(State(app): State<Arc<App>>, Query(wanted): Query<Wanted>, visitor: Visitor) -> Answer {
    let frame = visitor.frame(&app).await?;
    let mut call = Call::default().query("lines", LINES);
    for (name, value) in [("filter", &wanted.filter), ("unit", &wanted.unit), ("boot", &wanted.boot)] {
        if !value.is_empty() {
            call = call.query(name, value);
        }
    }
    let lines: LogLines = visitor.call(&app, RouteId::Logs, call).await?;
    let body = view(&frame, &wanted, &lines.lines);
    Ok(shown(&frame, words::TITLE, &body))
}

pub fn view(frame: &Frame, wanted: &Wanted, lines: &[String]) -> Markup {
    let boots: Vec<Choice<'_>> =
        BOOTS.iter().zip(words::BOOTS).map(|(value, label)| Choice { value, label }).collect();
    let line = |name, label, value| ui::field(&Field { name, label, value, ..Field::default() });
    html! {
        (frame.only(Role::Operator))
        form method="get" action="/logs" {
            (line("filter", words::FILTER, &wanted.filter))
            (line("unit", words::UNIT, &wanted.unit))
            (ui::choice("boot", words::BOOT, &boots, &wanted.boot))
            div.actions { (ui::button(words::SHOW)) }
        }
        h2 { (web::RESULT) }
        @if lines.is_empty() { p { (words::NOTHING) } }
        @else { pre tabindex="0" { @for line in lines { (visible(line)) "\n" } } }
    }
}

/// Signs that would turn a line around or hide it are shown as what they are.
pub(super) fn visible(line: &str) -> String {
    let is_hidden = |sign: char| {
        sign.is_control()
            || ('\u{202a}'..='\u{202e}').contains(&sign)
            || ('\u{2066}'..='\u{2069}').contains(&sign)
    };
    line.chars()
        .map(|sign| {
            if sign != '\t' && is_hidden(sign) { sign.escape_unicode().to_string() } else { sign.to_string() }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_line_is_hidden() {
        assert_eq!(visible("a\u{1b}[31mb\tc"), "a\\u{1b}[31mb\tc");
        assert_eq!(visible("a\u{202e}b"), "a\\u{202e}b");
        assert_eq!(visible("Zürich"), "Zürich");
    }
}
