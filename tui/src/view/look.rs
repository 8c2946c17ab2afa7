//! What a terminal can show, and bringing a drawn screen down to it.

use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier};

/// What a terminal can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    pub colours: bool,
    pub glyphs: Glyphs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Glyphs {
    Unicode,
    /// The kernel's console: boxes and blocks of the PC's first font.
    Console,
    Ascii,
}

impl Look {
    pub const FULL: Look = Look { colours: true, glyphs: Glyphs::Unicode };
    pub const PLAIN: Look = Look { colours: false, glyphs: Glyphs::Ascii };

    /// By what the environment says of the terminal.
    pub fn of(variable: impl Fn(&str) -> Option<String>) -> Self {
        let given = |name: &str| variable(name).filter(|value| !value.is_empty());
        let terminal = given("TERM").unwrap_or_default();
        // The order in which the C library looks.
        let locale = given("LC_ALL").or_else(|| given("LC_CTYPE")).or_else(|| given("LANG"));
        let locale = locale.unwrap_or_default().to_uppercase();
        let is_utf8 = locale.contains("UTF-8") || locale.contains("UTF8");
        let glyphs = match terminal.as_str() {
            "linux" => Glyphs::Console,
            _ if is_utf8 => Glyphs::Unicode,
            _ => Glyphs::Ascii,
        };
        let is_grey = terminal.starts_with("vt1") || terminal.starts_with("vt2") || terminal == "dumb";
        Self { colours: given("NO_COLOR").is_none() && !is_grey, glyphs }
    }

    /// Replaces what the terminal does not have.
    pub(super) fn apply(self, buffer: &mut Buffer) {
        for cell in &mut buffer.content {
            if !self.colours {
                cell.fg = Color::Reset;
                cell.bg = Color::Reset;
            }
            // Old terminals show dim text as nothing at all.
            cell.modifier.remove(Modifier::DIM);
            let plain = match self.glyphs {
                Glyphs::Unicode => continue,
                Glyphs::Console if is_in_console_font(cell.symbol()) => continue,
                Glyphs::Console | Glyphs::Ascii => plain(cell.symbol()),
            };
            if let Some(plain) = plain {
                cell.set_symbol(plain);
            }
        }
    }
}

/// Letters of code page 437 that are used here, or come in names.
fn is_in_console_font(symbol: &str) -> bool {
    symbol.is_ascii() || "─│┌┐└┘├┤┬┴┼▀▄█░▒▓äöüÄÖÜßéèêàâçñÉ°±µ".contains(symbol)
}

/// The nearest letter of ASCII; none when it is one already.
fn plain(symbol: &str) -> Option<&'static str> {
    if symbol.is_ascii() {
        return None;
    }
    Some(match symbol {
        "─" | "–" | "—" | "‑" | "−" => "-",
        "│" => "|",
        "┌" | "┐" | "└" | "┘" | "├" | "┤" | "┬" | "┴" | "┼" => "+",
        "█" | "▓" => "#",
        "▒" | "░" => ".",
        "…" => ".",
        "•" | "·" | "●" => "*",
        "‘" | "’" => "'",
        "“" | "”" | "„" => "\"",
        "→" | "►" => ">",
        "←" | "◄" => "<",
        "✓" => "+",
        "ä" | "à" | "â" | "á" => "a",
        "ö" | "ô" | "ó" => "o",
        "ü" | "û" | "ú" => "u",
        "é" | "è" | "ê" => "e",
        "ß" => "s",
        "ç" => "c",
        "ñ" => "n",
        _ => "?",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(terminal: &str, language: &str, no_colour: &str) -> Look {
        Look::of(|name| match name {
            "TERM" => Some(terminal.to_owned()),
            "LANG" => Some(language.to_owned()),
            "NO_COLOR" => Some(no_colour.to_owned()),
            _ => None,
        })
    }

    #[test]
    fn the_environment_decides() {
        assert_eq!(look("xterm", "de_CH.UTF-8", ""), Look::FULL);
        assert_eq!(look("xterm", "C", "1"), Look::PLAIN);
        assert_eq!(look("vt102", "", ""), Look::PLAIN);
        assert_eq!(look("linux", "", ""), Look { colours: true, glyphs: Glyphs::Console });
    }
}
