//! Identifier and addresses as text and as codes.

use ratatui::layout::Rect;
use ratatui::style::{Color, Stylize};
use ratatui::text::Line;

use super::{Canvas, qr, widgets};
use crate::known::Known;
use crate::screens::codes::{Codes, codes};
use crate::strings::codes as words;

/// Columns of the list beside the code.
const LIST: u16 = 27;

pub(super) fn draw(screen: &Codes, known: &Known, canvas: &mut Canvas<'_>) {
    let inner = widgets::frame(canvas.area, canvas.buffer, words::TITLE);
    let codes = codes(known);
    let at = screen.cursor.at(codes.len());
    let Some(code) = codes.get(at) else {
        widgets::lines(inner, canvas.buffer, &[Line::from(words::NOTHING)]);
        return;
    };
    let left = Rect { width: LIST, ..inner };
    let items: Vec<Line<'_>> = codes.iter().map(|code| Line::from(code.label)).collect();
    let rest = widgets::list(left, canvas.buffer, &items, at);
    let mut below = vec![Line::default()];
    below.extend(widgets::text(&code.text, LIST - 1).into_iter().map(|line| line.bold()));
    if let Some(note) = &code.note {
        below.push(Line::default());
        below.extend(widgets::text(note, LIST - 1));
    }
    below.push(Line::default());
    below.extend(widgets::text(words::HINT, LIST - 1));
    let right = Rect { x: inner.x + LIST, width: inner.width - LIST, ..inner };
    match qr::lines(&code.text, canvas.glyphs, right.width, right.height) {
        Some(code) => {
            widgets::lines(right, canvas.buffer, &code);
        }
        None => below
            .extend(widgets::text(words::NO_ROOM, LIST - 1).into_iter().map(|line| line.fg(Color::Yellow))),
    }
    widgets::lines(rest, canvas.buffer, &below);
}
