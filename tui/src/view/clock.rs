//! The clock, and what depends on it.

use ratatui::style::{Color, Stylize};
use ratatui::text::Line;

use super::{Canvas, widgets};
use crate::screens::clock::Clock;
use crate::strings::clock as words;

pub(super) fn draw(screen: &Clock, canvas: &mut Canvas<'_>) {
    let inner = widgets::frame(canvas.area, canvas.buffer, words::TITLE);
    let mut above: Vec<Line<'_>> =
        words::INTRO.iter().flat_map(|line| widgets::text(line, inner.width)).collect();
    above.push(Line::default());
    let rest = widgets::lines(inner, canvas.buffer, &above);
    let rest = widgets::form(rest, canvas.buffer, &screen.form);
    let mut below = vec![Line::default()];
    match &screen.trouble {
        Some(error) => below.extend(widgets::error(error, inner.width)),
        None => below.push(Line::from(screen.said.clone().fg(Color::Green))),
    }
    widgets::lines(rest, canvas.buffer, &below);
}
