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
        (None, Some(all)) => {
            let top = screen.scroll.top(all.len(), usize::from(rest.height));
            let lines: Vec<Line<'_>> = all.iter().map(|line| Line::from(visible(line))).collect();
            widgets::long_text(rest, canvas.buffer, &lines, top);
        }
    }
}

/// Log lines are foreign text: what would move the cursor is left out.
fn visible(line: &str) -> String {
    line.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}
