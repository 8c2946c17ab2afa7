//! The list of keyboard layouts.

use edge_model::keyboard::LAYOUTS;
use ratatui::style::{Color, Stylize};
use ratatui::text::Line;

use super::{Canvas, widgets};
use crate::screens::keyboard::Keyboard;
use crate::strings::keyboard as words;

/// Lines for what stands around the list.
const AROUND: usize = 4;

pub(super) fn draw(screen: &Keyboard, canvas: &mut Canvas<'_>) {
    let inner = widgets::frame(canvas.area, canvas.buffer, words::TITLE);
    let above = [Line::from(words::INTRO), Line::default()];
    let rest = widgets::lines(inner, canvas.buffer, &above);
    let at = screen.cursor.at(LAYOUTS.len());
    let room = usize::from(inner.height).saturating_sub(AROUND).max(1);
    // The chosen one stays in sight.
    let first = (at + 1).saturating_sub(room);
    let shown = LAYOUTS.iter().skip(first).take(room);
    let items: Vec<Line<'_>> = shown.map(|layout| Line::from(layout.label)).collect();
    let rest = widgets::list(rest, canvas.buffer, &items, at - first);
    let below = match &screen.trouble {
        Some(error) => widgets::error(error, inner.width),
        None => vec![Line::from(screen.said.clone().fg(Color::Green))],
    };
    widgets::lines(rest, canvas.buffer, &below);
}
