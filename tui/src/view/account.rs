//! Password and SSH keys of the one who has logged in.

use ratatui::style::{Color, Stylize};
use ratatui::text::Line;

use super::{Canvas, widgets};
use crate::screens::account::Account;
use crate::strings::{WAITING, account as words};

pub(super) fn draw(screen: &Account, canvas: &mut Canvas<'_>) {
    let inner = widgets::frame(canvas.area, canvas.buffer, words::TITLE);
    let rest = match &screen.shown {
        None => inner,
        Some(shown) => {
            let who = words::who(&shown.user.user_name, &shown.user.role.to_string());
            let rest = widgets::lines(inner, canvas.buffer, &[Line::from(who.bold()), Line::default()]);
            widgets::form(rest, canvas.buffer, &shown.form)
        }
    };
    let below = match (&screen.trouble, canvas.is_waiting) {
        (_, true) => vec![Line::from(WAITING)],
        (Some(error), false) => widgets::error(error, inner.width),
        (None, false) => vec![Line::from(screen.said.fg(Color::Green))],
    };
    widgets::lines(rest, canvas.buffer, &below);
}
