//! Lines of the journal.

use ratatui::text::Line;

use super::{Canvas, widgets};
use crate::screens::logs::Logs;
use crate::strings::{WAITING, logs as words};

pub(super) fn draw(screen: &Logs, canvas: &mut Canvas<'_>) {
    let inner = widgets::frame(canvas.area, canvas.buffer, words::TITLE);
    let rest = widgets::form(inner, canvas.buffer, &screen.form);
    match (&screen.trouble, &screen.lines) {
        (Some(error), _) => {
            widgets::lines(rest, canvas.buffer, &widgets::error(error, inner.width));
        }
        (None, None) => {
            widgets::lines(rest, canvas.buffer, &[Line::from(WAITING)]);
        }
        (None, Some(lines)) if lines.is_empty() => {
            widgets::lines(rest, canvas.buffer, &[Line::from(words::NOTHING)]);
        }
        (None, Some(_)) => {
            let rows = screen.rows(usize::from(rest.width));
            let top = screen.scroll.top(rows.len(), usize::from(rest.height));
            let lines: Vec<Line<'_>> = rows.iter().map(|row| Line::from(row.as_str())).collect();
            widgets::long_text(rest, canvas.buffer, &lines, top);
        }
    }
}
