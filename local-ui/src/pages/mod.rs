//! One file for each page: what it shows is a function of what is known, what it does is a call to the agent and another page.

pub mod account;
pub mod audit;
pub mod boots;
pub mod bundle;
pub mod cluster;
pub mod configuration;
pub mod content;
pub mod diagnosis;
pub mod help;
pub mod home;
pub mod login;
pub mod logs;
pub mod names;
pub mod network;
pub mod power;
pub mod system;
pub mod work;

use std::sync::Arc;

use axum::Router;
use axum::response::{IntoResponse, Response};
use edge_words::destructive::Destructive;
use edge_words::{confirm, web as words};
use maud::{Markup, html};

use crate::App;
use crate::ui::{self, Field, Frame};

pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .merge(login::routes())
        .merge(home::routes())
        .merge(network::routes())
        .merge(names::routes())
        .merge(system::routes())
        .merge(cluster::routes())
        .merge(content::routes())
        .merge(work::routes())
        .merge(diagnosis::routes())
        .merge(logs::routes())
        .merge(bundle::routes())
        .merge(boots::routes())
        .merge(configuration::routes())
        .merge(audit::routes())
        .merge(account::routes())
        .merge(power::routes())
        .merge(help::routes())
}

fn shown(frame: &Frame, title: &str, body: &Markup) -> Response {
    ui::page(frame, title, body).into_response()
}

/// Asks before something that cannot be taken back: on a page of its own, with the way back first.
pub fn question(frame: &Frame, asks: &Destructive, action: &str, back: &str, more: &Markup) -> Markup {
    let word =
        asks.word().map(|word| html! { (ask_word(word)) input type="hidden" name="wanted" value=(word); });
    let body = html! {
        @for line in confirm::lines(asks) { p { (line) } }
        (ui::form(frame, action, &html! {
            (more)
            @if let Some(word) = word { (word) }
            div.actions {
                a.button.quiet href=(back) { (words::BACK) }
                (ui::button(words::GO_ON))
            }
        }))
    };
    ui::page(frame, confirm::title(asks), &body)
}

fn ask_word(word: &str) -> Markup {
    let label = words::type_name(word);
    ui::field(&Field { name: "word", label: &label, required: true, ..Field::default() })
}

/// Whether the word that a question asks for was typed; a question without one needs none.
fn agreed(asks: &Destructive, typed: &str) -> edge_model::Result<()> {
    match asks.word() {
        Some(word) if word != typed => {
            Err(edge_model::Error::invalid(confirm::WRONG_WORD).help(confirm::type_word(word)))
        }
        _ => Ok(()),
    }
}
