//! Where a person is in a list or in a long text.

use crate::event::Key;

/// The chosen line of a list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cursor {
    at: usize,
}

/// What a key did in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moved {
    Ignored,
    Taken,
    /// ENTER on this line.
    Chosen(usize),
}

impl Cursor {
    /// Never behind the end of a list that has become shorter.
    pub fn at(self, count: usize) -> usize {
        self.at.min(count.saturating_sub(1))
    }

    pub fn set(&mut self, at: usize) {
        self.at = at;
    }

    pub fn key(&mut self, key: Key, count: usize) -> Moved {
        let at = self.at(count);
        if count == 0 {
            return Moved::Ignored;
        }
        self.at = match key {
            Key::Down | Key::Tab => (at + 1) % count,
            Key::Up | Key::BackTab => (at + count - 1) % count,
            Key::Home | Key::PageUp => 0,
            Key::End | Key::PageDown => count - 1,
            Key::Enter => return Moved::Chosen(at),
            _ => return Moved::Ignored,
        };
        Moved::Taken
    }
}

/// The first visible line of a long text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scroll {
    top: usize,
}

impl Scroll {
    /// The first line to show, when `lines` lines have `room` lines of space.
    pub fn top(self, lines: usize, room: usize) -> usize {
        self.top.min(lines.saturating_sub(room))
    }

    /// To the end, wherever that is.
    pub fn to_end(&mut self) {
        self.top = usize::MAX;
    }

    pub fn to_start(&mut self) {
        self.top = 0;
    }

    /// Tells whether the key was one of scrolling.
    pub fn key(&mut self, key: Key, lines: usize, room: usize) -> bool {
        let top = self.top(lines, room);
        let page = room.saturating_sub(1).max(1);
        self.top = match key {
            Key::Down => top + 1,
            Key::Up => top.saturating_sub(1),
            Key::PageDown | Key::Letter(' ') => top + page,
            Key::PageUp => top.saturating_sub(page),
            Key::Home => 0,
            Key::End => usize::MAX,
            _ => return false,
        };
        self.top = self.top(lines, room);
        true
    }
}

/// Lines that are too long go on, a little to the right, in the lines below. Spaces stay as they are.
pub fn folded<'a>(lines: impl IntoIterator<Item = &'a str>, width: usize) -> Vec<String> {
    const INDENT: &str = "    ";
    let mut folded = Vec::new();
    for line in lines {
        // Foreign text: what would move the cursor becomes a space.
        let line: String =
            line.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
        let mut rest: Vec<char> = line.chars().collect();
        let mut indent = "";
        loop {
            let room = width.saturating_sub(indent.len()).max(1).min(rest.len());
            folded.push(format!("{indent}{}", rest.drain(..room).collect::<String>()));
            indent = INDENT;
            if rest.is_empty() {
                break;
            }
        }
    }
    folded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_stays_in_its_list() {
        let mut cursor = Cursor::default();
        assert_eq!(cursor.key(Key::Up, 3), Moved::Taken);
        assert_eq!(cursor.key(Key::Enter, 3), Moved::Chosen(2));
        assert_eq!(cursor.key(Key::Enter, 2), Moved::Chosen(1));
        assert_eq!(cursor.key(Key::Enter, 0), Moved::Ignored);
    }

    #[test]
    fn long_lines_are_folded() {
        assert_eq!(folded(["abcdefghij", "", "a\tb"], 6), ["abcdef", "    gh", "    ij", "", "a b"]);
    }

    #[test]
    fn a_text_is_not_scrolled_behind_its_end() {
        let mut scroll = Scroll::default();
        assert!(scroll.key(Key::End, 100, 10));
        assert_eq!(scroll.top(100, 10), 90);
        assert!(scroll.key(Key::Up, 100, 10));
        assert_eq!(scroll.top(100, 10), 89);
        assert_eq!(scroll.top(5, 10), 0);
    }
}
