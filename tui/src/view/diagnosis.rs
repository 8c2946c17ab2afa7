//! What a host finds out.

use ratatui::text::Line;

use super::{Canvas, widgets};
use crate::screens::diagnosis::Diagnosis;
use crate::strings::diagnosis as words;

pub(super) fn draw(screen: &Diagnosis, canvas: &mut Canvas<'_>) {
    let inner = widgets::frame(canvas.area, canvas.buffer, words::TITLE);
    let rest = widgets::form(inner, canvas.buffer, &screen.form);
    let rest = widgets::lines(rest, canvas.buffer, &[Line::default()]);
    match (&screen.trouble, canvas.is_waiting) {
        (_, true) => {
            widgets::lines(rest, canvas.buffer, &[Line::from(words::ASKING)]);
        }
        (Some(error), false) => {
            widgets::lines(rest, canvas.buffer, &widgets::error(error, inner.width));
        }
        (None, false) => {
            let rows = screen.rows(usize::from(rest.width));
            let lines: Vec<Line<'_>> = rows.iter().map(|row| Line::from(row.as_str())).collect();
            let top = screen.scroll.top(lines.len(), usize::from(rest.height));
            widgets::long_text(rest, canvas.buffer, &lines, top);
        }
    }
}
