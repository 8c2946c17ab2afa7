//! The question before something that cannot be taken back.

use ratatui::style::{Color, Style, Stylize};
use ratatui::text::{Line, Span};

use super::{Canvas, popup, widgets};
use crate::confirm::{Confirmation, Proof};
use crate::strings::confirm as words;
use crate::strings::{NO, YES};

pub(super) fn draw(confirmation: &Confirmation, canvas: &mut Canvas<'_>) {
    let width = canvas.area.width - 10;
    let text = words::lines(confirmation.asks());
    let mut lines: Vec<Line<'_>> = text.iter().flat_map(|line| widgets::text(line, width - 4)).collect();
    lines.push(Line::default());
    match confirmation.proof() {
        Proof::Choice { yes } => lines.push(choice(*yes)),
        Proof::Word { wanted, typed, wrong } => {
            lines.push(Line::from(words::type_word(wanted).bold()));
            lines.push(Line::from(vec![
                Span::from("> "),
                Span::from(typed.clone()),
                Span::styled(" ", Style::new().reversed()),
            ]));
            if *wrong {
                lines.push(Line::from(words::WRONG_WORD.fg(Color::Red).bold()));
            }
        }
    }
    let inner = popup(words::title(confirmation.asks()), width, lines.len(), canvas);
    widgets::lines(inner, canvas.buffer, &lines);
}

fn choice(yes: bool) -> Line<'static> {
    let button = |label: &str, is_chosen: bool| {
        let marker = if is_chosen { '>' } else { ' ' };
        let text = format!("{marker}[ {label} ]");
        if is_chosen { text.reversed() } else { Span::from(text) }
    };
    Line::from(vec![button(NO, !yes), Span::from("   "), button(YES, yes)])
}
