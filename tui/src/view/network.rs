//! The interfaces of a host, and the form of one.

use edge_model::api::network::{InterfaceKind, InterfaceView};
use ratatui::style::{Color, Stylize};
use ratatui::text::Line;

use super::{Canvas, widgets};
use crate::known::Known;
use crate::network_form::summary;
use crate::screens::interface::InterfaceEditor;
use crate::screens::network::{Network, Row};
use crate::strings::WAITING;
use crate::strings::network as words;
use crate::units::duration;

pub(super) fn draw_list(screen: &Network, known: &Known, canvas: &mut Canvas<'_>) {
    let inner = widgets::frame(canvas.area, canvas.buffer, words::TITLE);
    let mut above = vec![Line::from(words::HINT)];
    if let Some(left) = known.network_seconds_left() {
        let lines = widgets::text(&words::on_trial(&duration(left)), inner.width);
        above.extend(lines.into_iter().map(|line| line.fg(Color::Yellow).bold()));
    }
    above.push(Line::default());
    let rest = widgets::lines(inner, canvas.buffer, &above);
    let rest = match &screen.interfaces {
        None => widgets::lines(rest, canvas.buffer, &[Line::from(WAITING)]),
        Some(interfaces) if interfaces.is_empty() => {
            widgets::lines(rest, canvas.buffer, &[Line::from(words::NO_INTERFACES)])
        }
        Some(_) => rest,
    };
    let rows = screen.rows(known);
    let items: Vec<Line<'_>> = rows
        .iter()
        .map(|row| match row {
            Row::Interface(view) => interface(view),
            Row::Keep => Line::from(words::KEEP),
            Row::GoBack => Line::from(words::GO_BACK),
        })
        .collect();
    let rest = widgets::list(rest, canvas.buffer, &items, screen.cursor.at(items.len()));
    let mut below = vec![Line::default()];
    match &screen.trouble {
        Some(error) => below.extend(widgets::error(error, inner.width)),
        None => below.extend(widgets::text(&screen.said, inner.width)),
    }
    widgets::lines(rest, canvas.buffer, &below);
}

/// One interface in a list.
pub(super) fn interface(view: &InterfaceView) -> Line<'static> {
    let cable = match (view.kind, view.carrier) {
        (InterfaceKind::Missing, _) => words::MISSING,
        (_, true) => words::CABLE,
        (_, false) => words::NO_CABLE,
    };
    let configured = view.configured.as_ref().map_or_else(|| words::DEFAULT.to_owned(), summary);
    let addresses =
        if view.addresses.is_empty() { words::NO_ADDRESS.to_owned() } else { view.addresses.join(" ") };
    Line::from(format!("{:<12} {cable:<9} {configured:<26} {addresses}", view.name))
}

pub(super) fn draw_interface(screen: &InterfaceEditor, canvas: &mut Canvas<'_>) {
    let title = words::interface(&screen.view.name);
    let inner = widgets::frame(canvas.area, canvas.buffer, &title);
    let now = match screen.view.addresses.is_empty() {
        true => words::NO_ADDRESS.to_owned(),
        false => screen.view.addresses.join(" "),
    };
    let now = words::now(&now, screen.view.gateway.as_deref(), &screen.view.mac);
    let mut above = vec![Line::from(now)];
    above.extend(screen.kept().into_iter().map(Line::from));
    above.push(Line::default());
    let rest = widgets::lines(inner, canvas.buffer, &above);
    let rest = widgets::form(rest, canvas.buffer, &screen.form);
    let mut below = vec![Line::default()];
    match (&screen.trouble, canvas.is_waiting) {
        (_, true) => below.push(Line::from(WAITING)),
        (Some(error), false) => below.extend(widgets::error(error, inner.width)),
        (None, false) => below.extend(widgets::text(words::TRIAL_NOTE, inner.width)),
    }
    widgets::lines(rest, canvas.buffer, &below);
}
