//! Images and power.

use ratatui::style::{Color, Stylize};
use ratatui::text::Line;

use super::{Canvas, home, widgets};
use crate::known::Known;
use crate::screens::power::{Power, offers};
use crate::screens::system::System;
use crate::strings::{WAITING, power, status as status_words, system as words};
use crate::units::duration;

pub(super) fn draw(screen: &System, known: &Known, canvas: &mut Canvas<'_>) {
    let inner = widgets::frame(canvas.area, canvas.buffer, words::TITLE);
    let mut above = Vec::new();
    if let Some(status) = &known.status {
        for (slot, image) in [("a", &status.slot_a), ("b", &status.slot_b)] {
            let runs = status.slot.is_some_and(|running| running.to_string() == slot);
            let marker = if runs { " <- runs" } else { "" };
            above.push(Line::from(format!("Slot {slot}: {}{marker}", home::image(image.as_ref()))));
        }
        if let Some(left) = known.image_seconds_left() {
            above.push(Line::from(status_words::trial(&duration(left)).fg(Color::Yellow)));
        }
    }
    above.push(Line::default());
    let rest = widgets::lines(inner, canvas.buffer, &above);
    let rest = match screen.form.fields().next() {
        Some(_) => widgets::form(rest, canvas.buffer, &screen.form),
        None => widgets::lines(rest, canvas.buffer, &[Line::from(words::NOTHING)]),
    };
    let below = match (&screen.trouble, canvas.is_waiting) {
        (_, true) => vec![Line::from(WAITING)],
        (Some(error), false) => widgets::error(error, inner.width),
        (None, false) => Vec::new(),
    };
    widgets::lines(rest, canvas.buffer, &below);
}

pub(super) fn draw_power(screen: &Power, known: &Known, canvas: &mut Canvas<'_>) {
    let inner = widgets::frame(canvas.area, canvas.buffer, power::TITLE);
    let offers = offers(known);
    let intro = if offers.is_empty() { power::NOTHING } else { power::INTRO };
    let rest = widgets::lines(inner, canvas.buffer, &[Line::from(intro), Line::default()]);
    let items: Vec<Line<'_>> = offers.iter().map(|(label, _)| Line::from(*label)).collect();
    let rest = widgets::list(rest, canvas.buffer, &items, screen.cursor.at(items.len()));
    let mut below = vec![Line::default()];
    match (&screen.trouble, canvas.is_waiting) {
        (_, true) => below.push(Line::from(WAITING)),
        (Some(error), false) => below.extend(widgets::error(error, inner.width)),
        (None, false) => {}
    }
    widgets::lines(rest, canvas.buffer, &below);
}
