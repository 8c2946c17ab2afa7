//! Controls, lists and tables.

use edge_model::api::NoticeSeverity;
use maud::{Markup, html};

use super::Frame;

/// A line that a person fills in.
#[derive(Debug, Clone, Default)]
pub struct Field<'a> {
    pub name: &'a str,
    pub label: &'a str,
    pub hint: &'a str,
    pub value: &'a str,
    /// `text`, `password`, `number`.
    pub kind: &'a str,
    /// For password managers: `username`, `current-password`, `new-password`.
    pub autocomplete: &'a str,
    pub error: Option<&'a str>,
    pub required: bool,
}

pub fn field(field: &Field<'_>) -> Markup {
    let (hint, error) = (format!("{}-hint", field.name), format!("{}-error", field.name));
    let mut described = Vec::new();
    if !field.hint.is_empty() {
        described.push(hint.as_str());
    }
    if field.error.is_some() {
        described.push(error.as_str());
    }
    let described = (!described.is_empty()).then(|| described.join(" "));
    html! {
        div.field {
            label for=(field.name) { (field.label) }
            input id=(field.name) name=(field.name) type=(if field.kind.is_empty() { "text" } else { field.kind })
                value=(field.value) autocomplete=(if field.autocomplete.is_empty() { "off" } else { field.autocomplete })
                aria-describedby=[described] aria-invalid=[field.error.map(|_| "true")] required[field.required];
            @if !field.hint.is_empty() { p.hint id=(hint) { (field.hint) } }
            @if let Some(text) = field.error { p.error id=(error) { (text) } }
        }
    }
}

/// Many lines.
pub fn area(name: &str, label: &str, hint: &str, value: &str) -> Markup {
    let described = format!("{name}-hint");
    html! {
        div.field {
            label for=(name) { (label) }
            textarea id=(name) name=(name) rows="14" spellcheck="false" aria-describedby=(described) { "\n" (value) }
            p.hint id=(described) { (hint) }
        }
    }
}

pub fn check(name: &str, label: &str, hint: &str, is_on: bool) -> Markup {
    let described = format!("{name}-hint");
    html! {
        div.check {
            input id=(name) name=(name) type="checkbox" value="yes" checked[is_on]
                aria-describedby=[(!hint.is_empty()).then_some(&described)];
            label for=(name) { (label) }
            @if !hint.is_empty() { p.hint id=(described) { (hint) } }
        }
    }
}

/// One of several.
#[derive(Debug, Clone, Copy)]
pub struct Choice<'a> {
    pub value: &'a str,
    pub label: &'a str,
}

pub fn choice(name: &str, label: &str, choices: &[Choice<'_>], chosen: &str) -> Markup {
    html! {
        div.field {
            label for=(name) { (label) }
            select id=(name) name=(name) {
                @for one in choices { option value=(one.value) selected[one.value == chosen] { (one.label) } }
            }
        }
    }
}

pub fn button(label: &str) -> Markup {
    html! { button type="submit" { (label) } }
}

/// A form with the login's token. What it sends is answered with another page.
pub fn form(frame: &Frame, action: &str, inside: &Markup) -> Markup {
    html! {
        form method="post" action=(action) {
            input type="hidden" name="token" value=(frame.token);
            (inside)
        }
    }
}

pub fn link(to: &str, label: &str) -> Markup {
    html! { a href=(to) { (label) } }
}

/// Names and what they have.
pub fn facts(rows: &[(&str, Markup)]) -> Markup {
    html! {
        dl.facts {
            @for (name, value) in rows { div { dt { (name) } dd { (value) } } }
        }
    }
}

pub fn table(caption: &str, headings: &[&str], rows: &[Vec<Markup>]) -> Markup {
    html! {
        div.wide tabindex="0" role="region" aria-label=(caption) {
            table {
                caption { (caption) }
                thead { tr { @for heading in headings { th scope="col" { (heading) } } } }
                tbody { @for row in rows { tr { @for cell in row { td { (cell) } } } } }
            }
        }
    }
}

pub fn notice(severity: NoticeSeverity, text: &str, help: Option<&str>) -> Markup {
    let class = match severity {
        NoticeSeverity::Info => "info",
        NoticeSeverity::Warning => "warning",
        NoticeSeverity::Problem => "problem",
    };
    html! {
        div class={ "notice " (class) } {
            p { (text) }
            @if let Some(help) = help { p { strong { (edge_words::web::WHAT_TO_DO) ": " } (help) } }
        }
    }
}
