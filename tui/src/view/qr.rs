//! Codes for the camera of a telephone.

use qrcode::{Color as Module, EcLevel, QrCode};
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::{Line, Span};

use super::look::Glyphs;

/// Light modules around a code. Half of what the standard asks for is enough for every camera that was tried by
/// others, and lets a code with an address fit on 24 lines.
const MARGIN: usize = 2;

/// The code of a text; none when it does not fit.
pub(super) fn lines(text: &str, glyphs: Glyphs, width: u16, height: u16) -> Option<Vec<Line<'static>>> {
    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    let side = code.width() + 2 * MARGIN;
    let modules = code.to_colors();
    // A console writes light on dark: light modules are painted, dark ones are left out.
    let is_light = |x: usize, y: usize| {
        let (Some(x), Some(y)) = (x.checked_sub(MARGIN), y.checked_sub(MARGIN)) else { return true };
        x >= code.width() || y >= code.width() || modules[y * code.width() + x] == Module::Light
    };
    let (columns, rows) = match glyphs {
        Glyphs::Ascii => (side * 2, side),
        Glyphs::Unicode | Glyphs::Console => (side, side.div_ceil(2)),
    };
    if columns > usize::from(width) || rows > usize::from(height) {
        return None;
    }
    let line = |row: usize| match glyphs {
        Glyphs::Ascii => Line::from_iter((0..side).map(|x| match is_light(x, row) {
            true => Span::styled("  ", Style::new().reversed()),
            false => Span::from("  "),
        })),
        Glyphs::Unicode | Glyphs::Console => {
            let halves = (0..side).map(|x| match (is_light(x, row * 2), is_light(x, row * 2 + 1)) {
                (true, true) => '█',
                (true, false) => '▀',
                (false, true) => '▄',
                (false, false) => ' ',
            });
            Line::from(halves.collect::<String>().fg(Color::White).bg(Color::Black))
        }
    };
    Some((0..rows).map(line).collect())
}
