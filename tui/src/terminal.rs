//! The terminal: raw keys in, changed cells out.
//!
//! Written by hand instead of by a library because consoles are old: only the sixteen base colours, no question to the
//! terminal that it may not answer, and nothing at all when nothing has changed.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::panic;

use edge_model::{Context, Result};
use ratatui::buffer::{Buffer, Cell};
use ratatui::crossterm::event::{Event as Input, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::crossterm::terminal::{self, disable_raw_mode, enable_raw_mode};
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier};

use crate::event::{Event, Key, Size};
use crate::strings;

/// Exit code after a defect, as everywhere in the project.
const DEFECT: i32 = 70;
/// No cursor, no line break behind the last column, clean colours, empty screen.
const ENTER: &str = "\x1b[?25l\x1b[?7l\x1b[0m\x1b[2J";
const LEAVE: &str = "\x1b[0m\x1b[2J\x1b[H\x1b[?7h\x1b[?25h";
/// A second screen, so that a shell finds its own again; and news when the window is looked at.
const ENTER_WINDOW: &str = "\x1b[?1049h\x1b[?1004h";
const LEAVE_WINDOW: &str = "\x1b[?1004l\x1b[?1049l";

/// Whether a terminal is a window on a desktop, which has more than a console.
fn is_window() -> bool {
    let terminal = std::env::var("TERM").unwrap_or_default();
    ["xterm", "screen", "tmux", "alacritty", "foot"].iter().any(|name| terminal.starts_with(name))
}

/// A terminal that shows our screens until it is dropped.
#[derive(Debug)]
pub struct Terminal {
    shown: Buffer,
}

impl Terminal {
    /// Takes the terminal.
    ///
    /// # Errors
    /// [`edge_model::Class::Environment`] when standard input is no terminal.
    pub fn open() -> Result<Self> {
        enable_raw_mode().context("cannot use the terminal")?;
        restore_after_panic();
        if is_window() {
            write(ENTER_WINDOW)?;
        }
        write(ENTER)?;
        Ok(Self { shown: Buffer::empty(Rect::ZERO) })
    }

    /// Shows a screen; writes only what differs from the one before, unless that cannot be trusted.
    ///
    /// # Errors
    /// [`edge_model::Class::Environment`] when the terminal is gone.
    pub fn show(&mut self, next: Buffer, repaint: bool) -> Result<()> {
        if repaint || next.area != self.shown.area {
            self.shown = Buffer::empty(next.area);
            write("\x1b[0m\x1b[2J")?;
        }
        let changes = paint(&self.shown, &next);
        self.shown = next;
        if changes.is_empty() { Ok(()) } else { write(&changes) }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        restore();
    }
}

fn write(text: &str) -> Result<()> {
    let mut output = io::stdout().lock();
    output.write_all(text.as_bytes()).context("cannot write to the terminal")?;
    output.flush().context("cannot write to the terminal")
}

/// Gives the terminal back. Nothing can be done about a failure: the terminal is gone then.
fn restore() {
    write(LEAVE).ok();
    if is_window() {
        write(LEAVE_WINDOW).ok();
    }
    disable_raw_mode().ok();
}

/// A person sees a sentence, not a stack. The service manager starts the program again.
fn restore_after_panic() {
    panic::set_hook(Box::new(|_| {
        restore();
        eprintln!("{}", strings::CRASHED);
        std::process::exit(DEFECT);
    }));
}

/// Serial lines know no size.
pub fn size() -> Size {
    match terminal::size() {
        Ok((width, height)) if width > 0 && height > 0 => Size { width, height },
        Ok(_) | Err(_) => Size::default(),
    }
}

/// What a terminal must be sent to show `next` where it shows `shown`.
fn paint(shown: &Buffer, next: &Buffer) -> String {
    let mut text = String::new();
    let mut style = None;
    let mut cursor = None;
    for (x, y, cell) in shown.diff(next) {
        if cursor != Some((x, y)) {
            // A failure to write to a string does not exist.
            write!(text, "\x1b[{};{}H", y + 1, x + 1).ok();
        }
        let wanted = (cell.fg, cell.bg, cell.modifier);
        if style != Some(wanted) {
            text.push_str(&sequence(cell));
            style = Some(wanted);
        }
        text.push_str(cell.symbol());
        cursor = Some((x + 1, y));
    }
    if style.is_some() {
        text.push_str("\x1b[0m");
    }
    text
}

/// ECMA-48 "select graphic rendition".
fn sequence(cell: &Cell) -> String {
    let mut text = String::from("\x1b[0");
    if cell.modifier.contains(Modifier::BOLD) {
        text.push_str(";1");
    }
    if cell.modifier.contains(Modifier::REVERSED) {
        text.push_str(";7");
    }
    for (colour, base) in [(cell.fg, 30), (cell.bg, 40)] {
        if let Some(number) = base_colour(colour) {
            write!(text, ";{}", base + number).ok();
        }
    }
    text.push('m');
    text
}

fn base_colour(colour: Color) -> Option<u8> {
    Some(match colour {
        Color::Black => 0,
        Color::Red => 1,
        Color::Green => 2,
        Color::Yellow => 3,
        Color::Blue => 4,
        Color::Magenta => 5,
        Color::Cyan => 6,
        Color::White => 7,
        // No screen uses others.
        _ => return None,
    })
}

/// What came in, as an event; none for what does not concern us.
pub(crate) fn translate(input: &Input) -> Option<Event> {
    match input {
        Input::Key(key) if key.kind != KeyEventKind::Release => key_of(key).map(Event::Key),
        Input::Resize(_, _) => Some(Event::Resized(size())),
        Input::FocusGained => Some(Event::Focused),
        _ => None,
    }
}

fn key_of(key: &KeyEvent) -> Option<Key> {
    Some(match key.code {
        KeyCode::Char(letter) if key.modifiers.contains(KeyModifiers::CONTROL) => match letter {
            // Some terminals send a backspace like this.
            'h' => Key::Backspace,
            // And some serial ones an ENTER like this.
            'j' => Key::Enter,
            other => Key::Control(other.to_ascii_lowercase()),
        },
        KeyCode::Char(letter) => Key::Letter(letter),
        KeyCode::F(number) => Key::Function(number),
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Escape,
        // What a Linux console makes of Shift-Tab: ESC TAB.
        KeyCode::Tab if key.modifiers.contains(KeyModifiers::ALT) => Key::BackTab,
        KeyCode::Tab => Key::Tab,
        KeyCode::BackTab => Key::BackTab,
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::Left => Key::Left,
        KeyCode::Right => Key::Right,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Backspace => Key::Backspace,
        KeyCode::Delete => Key::Delete,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::style::Style;

    #[test]
    fn shift_and_tab_go_back_on_every_console() {
        let pressed = |code, modifiers| key_of(&KeyEvent::new(code, modifiers));
        assert_eq!(pressed(KeyCode::BackTab, KeyModifiers::SHIFT), Some(Key::BackTab));
        assert_eq!(pressed(KeyCode::Tab, KeyModifiers::ALT), Some(Key::BackTab));
        assert_eq!(pressed(KeyCode::Tab, KeyModifiers::NONE), Some(Key::Tab));
    }

    #[test]
    fn only_what_has_changed_is_written() {
        let area = Rect::new(0, 0, 10, 2);
        let before = Buffer::empty(area);
        let mut after = before.clone();
        assert_eq!(paint(&before, &after), "");
        after.set_string(2, 1, "ab", Style::new().fg(Color::Red));
        assert_eq!(paint(&before, &after), "\x1b[2;3H\x1b[0;31mab\x1b[0m");
        assert_eq!(paint(&after, &after), "");
    }
}
