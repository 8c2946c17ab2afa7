//! How the last boots ended.

use ratatui::style::{Color, Stylize};
use ratatui::text::Line;

use super::{Canvas, widgets};
use crate::screens::black_box::Boots;
use crate::strings::{WAITING, black_box as words};

pub(super) fn draw(screen: &Boots, canvas: &mut Canvas<'_>) {
    let inner = widgets::frame(canvas.area, canvas.buffer, words::TITLE);
    let lines: Vec<Line<'_>> = screen
        .lines()
        .into_iter()
        .map(|line| if line.is_bad { Line::from(line.text.fg(Color::Red)) } else { Line::from(line.text) })
        .collect();
    let lines = match (&screen.trouble, &screen.known) {
        (Some(error), _) => widgets::error(error, inner.width),
        (None, None) => vec![Line::from(WAITING)],
        (None, Some(_)) if lines.is_empty() => vec![Line::from(words::NOTHING)],
        (None, Some(_)) => lines,
    };
    let top = screen.scroll.top(lines.len(), usize::from(inner.height));
    widgets::long_text(inner, canvas.buffer, &lines, top);
}
