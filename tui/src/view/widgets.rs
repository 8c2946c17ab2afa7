//! Parts of screens: frames, lists, forms, texts and errors.

use edge_model::Error;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Widget};

use crate::form::{Field, Form, Input};
use crate::strings;

/// Columns in front of the value of a field.
const LABEL: usize = 22;

/// A frame with a title; returns what is inside, with a column of space on both sides.
pub(super) fn frame(area: Rect, buffer: &mut Buffer, title: &str) -> Rect {
    let block = Block::bordered().title(format!(" {title} ")).title_style(Style::new().bold());
    let inner = block.inner(area);
    block.render(area, buffer);
    Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner }
}

/// Lines from the top; returns the area below them.
pub(super) fn lines(area: Rect, buffer: &mut Buffer, lines: &[Line<'_>]) -> Rect {
    let mut rest = area;
    for line in lines {
        if rest.height == 0 {
            break;
        }
        line.render(Rect { height: 1, ..rest }, buffer);
        rest = below(rest, 1);
    }
    rest
}

pub(super) fn below(area: Rect, lines: u16) -> Rect {
    let lines = lines.min(area.height);
    Rect { y: area.y + lines, height: area.height - lines, ..area }
}

/// A text in lines of at most `width` columns, broken between words where there are any.
pub(super) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let width = width.max(1);
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        let mut word: Vec<char> = word.chars().collect();
        let used = line.chars().count();
        if used > 0 && used + 1 + word.len() > width {
            lines.push(std::mem::take(&mut line));
        } else if used > 0 {
            line.push(' ');
        }
        while word.len() > width {
            lines.push(word.drain(..width).collect());
        }
        line.extend(word);
    }
    if !line.is_empty() || lines.is_empty() {
        lines.push(line);
    }
    lines
}

pub(super) fn text(text: &str, width: u16) -> Vec<Line<'static>> {
    wrapped(text, usize::from(width)).into_iter().map(Line::from).collect()
}

pub(super) fn red(text: &str, width: u16) -> Vec<Line<'static>> {
    coloured(text, width, Color::Red)
}

pub(super) fn yellow(text: &str, width: u16) -> Vec<Line<'static>> {
    coloured(text, width, Color::Yellow)
}

fn coloured(text: &str, width: u16, color: Color) -> Vec<Line<'static>> {
    wrapped(text, usize::from(width)).into_iter().map(|line| Line::from(line.fg(color).bold())).collect()
}

/// What to do about something.
pub(super) fn help(help: &str, width: u16) -> Vec<Line<'static>> {
    text(&format!("{}{help}", strings::HELP_LABEL), width)
}

/// What happened, why, and what to do next.
pub(super) fn error(error: &Error, width: u16) -> Vec<Line<'static>> {
    let mut lines = red(&error.message, width);
    for cause in &error.causes {
        lines.extend(text(&format!("{}{cause}", strings::BECAUSE), width));
    }
    if let Some(help) = &error.help {
        lines.extend(text(&format!("{}{help}", strings::HELP_LABEL), width));
    }
    lines
}

/// A list with one chosen line, scrolled so that it is seen.
pub(super) fn list(area: Rect, buffer: &mut Buffer, items: &[Line<'_>], at: usize) -> Rect {
    let room = usize::from(area.height);
    let top = (at + 1).saturating_sub(room);
    let seen = items.iter().enumerate().skip(top).take(room);
    let mut rest = area;
    for (index, item) in seen {
        let row = Rect { height: 1, ..rest };
        let marker = if index == at { "> " } else { "  " };
        let line = Line::from_iter(std::iter::once(Span::from(marker)).chain(item.spans.iter().cloned()));
        line.render(row, buffer);
        if index == at {
            buffer.set_style(row, Style::new().reversed());
        }
        rest = below(rest, 1);
    }
    rest
}

/// A long text from line `top` on.
pub(super) fn long_text(area: Rect, buffer: &mut Buffer, all: &[Line<'_>], top: usize) {
    let room = usize::from(area.height);
    let seen: Vec<Line<'_>> = all.iter().skip(top).take(room).cloned().collect();
    lines(area, buffer, &seen);
}

/// The fields of a form, and below them the hint of the one with the focus; returns the area below.
pub(super) fn form<F: Copy + PartialEq>(area: Rect, buffer: &mut Buffer, form: &Form<F>) -> Rect {
    let mut drawn: Vec<Line<'static>> = Vec::new();
    let mut focus = 0;
    for (field, has_focus) in form.fields() {
        drawn.push(field_line(field, has_focus, area.width));
        if let Some(message) = &field.error {
            let indent = " ".repeat(LABEL);
            let width = usize::from(area.width).saturating_sub(LABEL);
            let message = wrapped(message, width).into_iter();
            drawn.extend(message.map(|line| Line::from(format!("{indent}{line}").fg(Color::Red).bold())));
        }
        if has_focus {
            focus = drawn.len();
        }
    }
    // One line stays for the hint.
    let room = usize::from(area.height.saturating_sub(1));
    let top = focus.saturating_sub(room);
    let shown: Vec<Line<'static>> = drawn.into_iter().skip(top).take(room).collect();
    let rest = lines(area, buffer, &shown);
    let hint = form.focused().filter(|field| field.shown).map(hint_of).unwrap_or_default();
    lines(rest, buffer, &[Line::from(format!("  {hint}").fg(Color::Cyan))])
}

/// What is usually meant by the text so far, or else what the field is for.
fn hint_of<F>(field: &Field<F>) -> String {
    const SHOWN: usize = 3;
    match field.suggestions().as_slice() {
        [] => field.hint.to_owned(),
        [best, others @ ..] => {
            strings::suggestions(best, others.get(..SHOWN).unwrap_or(others), others.len() > SHOWN)
        }
    }
}

fn field_line<F>(field: &Field<F>, has_focus: bool, width: u16) -> Line<'static> {
    let marker = if has_focus { "> " } else { "  " };
    let width = usize::from(width).saturating_sub(LABEL + 2);
    let style = if has_focus { Style::new().reversed() } else { Style::new() };
    let label = Span::from(format!("{marker}{:<1$}", field.label, LABEL - 2));
    let mut spans = vec![label];
    match &field.input {
        Input::Text(text) => spans.extend(text_spans(&text.value, text.cursor, has_focus, width)),
        Input::Secret(text) => {
            spans.extend(text_spans(&"*".repeat(text.length()), text.cursor(), has_focus, width));
        }
        Input::Choice { options, chosen } => {
            let option = options.get(*chosen).map_or("", String::as_str);
            spans.push(Span::styled(format!("< {option} >"), style));
        }
        Input::Switch(on) => spans.push(Span::styled(if *on { "[x]" } else { "[ ]" }, style)),
        Input::Button => {
            spans = vec![Span::from(marker), Span::styled(format!("[ {} ]", field.label), style)];
        }
        Input::Link(value) => {
            let value: String = value.chars().take(width + 2).collect();
            spans.push(Span::styled(value, style));
        }
    }
    Line::from(spans)
}

/// Text between brackets, moved so that the cursor is seen.
fn text_spans(value: &str, cursor: usize, has_focus: bool, width: usize) -> Vec<Span<'static>> {
    let letters: Vec<char> = value.chars().collect();
    let start = if has_focus { (cursor + 1).saturating_sub(width) } else { 0 };
    let cell = |index: usize| letters.get(index).copied().unwrap_or(' ');
    let part = |from: usize, to: usize| (from..to).map(cell).collect::<String>();
    if !has_focus {
        return vec![format!("[{}]", part(start, start + width)).into()];
    }
    vec![
        format!("[{}", part(start, cursor)).into(),
        Span::styled(cell(cursor).to_string(), Style::new().reversed()),
        format!("{}]", part(cursor + 1, start + width)).into(),
    ]
}

/// A bar of `width` columns that is filled by `done` of `total`.
pub(super) fn bar(done: u64, total: u64, width: u16) -> Line<'static> {
    let width = u64::from(width.saturating_sub(7));
    let percent = (done.min(total) * 100).checked_div(total).unwrap_or_default();
    let filled = usize::try_from(width * percent / 100).unwrap_or_default();
    let rest = usize::try_from(width).unwrap_or_default() - filled;
    Line::from(format!("{}{} {percent:>3} %", "█".repeat(filled), "░".repeat(rest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_wrapped_between_words_and_long_words_anywhere() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("abcdefgh i", 3), ["abc", "def", "gh", "i"]);
        assert_eq!(wrapped("", 3), [""]);
    }
}
