//! The question who somebody is.

use edge_model::api::access::Role;
use edge_model::api::routes::Access;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::{Canvas, popup, widgets};
use crate::state::{Asker, LoginDialog, State};
use crate::strings::login as words;

/// Three fields and a hint.
const FORM: u16 = 4;

pub(super) fn draw(state: &State, dialog: &LoginDialog, canvas: &mut Canvas<'_>) {
    let width = canvas.area.width - 10;
    let known = &state.known;
    let mut above: Vec<Line<'_>> = Vec::new();
    if known.may_look() {
        match dialog.needs {
            Some(Access::AtLeast(role)) if role > Role::Viewer => {
                above.extend(widgets::text(&words::needs(&role.to_string()), width - 4));
            }
            Some(_) => above.push(Line::from(words::NEEDS_ANY)),
            None => {}
        }
    } else {
        above.extend(widgets::text(&words::closed(known.host_name()), width - 4));
    }
    if let Some(name) = &dialog.login.first {
        above.extend(widgets::text(&words::first(name), width - 4));
    }
    let nobody = dialog.login.first.is_none()
        && known.status.as_ref().is_some_and(|status| !status.console.somebody_can_log_in);
    if nobody {
        above.extend(how_to_get_in(state));
    }
    above.push(Line::default());
    let mut below: Vec<Line<'_>> = Vec::new();
    if state.is_waiting(Asker::Login) {
        below.push(Line::from(words::CHECKING));
    } else if let Some(error) = &dialog.login.trouble {
        below.extend(widgets::error(error, width - 4));
    }
    let errors = dialog.login.form.fields().filter(|(field, _)| field.error.is_some()).count();
    let height = above.len() + usize::from(FORM) + errors + below.len();
    let title = if dialog.login.first.is_some() { words::FIRST_TITLE } else { words::TITLE };
    let inner = popup(title, width, height, canvas);
    let rest = widgets::lines(inner, canvas.buffer, &above);
    let fields = FORM + u16::try_from(errors).unwrap_or_default();
    let area = Rect { height: fields.min(rest.height), ..rest };
    widgets::form(area, canvas.buffer, &dialog.login.form);
    widgets::lines(widgets::below(rest, fields), canvas.buffer, &below);
}

fn how_to_get_in(state: &State) -> Vec<Line<'static>> {
    let status = state.known.status.as_ref();
    let first = status.and_then(|status| status.addresses.first());
    let address = first
        .map_or(words::NO_ADDRESS, |address| address.address.split('/').next().unwrap_or(words::NO_ADDRESS));
    let mut lines: Vec<Line<'static>> = words::NOBODY.iter().copied().map(Line::from).collect();
    lines.insert(2, Line::from(words::ssh(address)));
    lines
}
