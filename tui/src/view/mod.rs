//! How the state looks: a pure function of it, of the size and of what the terminal can show. One file for each screen.

mod account;
mod black_box;
mod clock;
mod cluster;
mod codes;
mod confirm;
mod diagnosis;
mod home;
mod installer;
mod keyboard;
mod login;
mod logs;
pub mod look;
mod network;
mod progress;
mod qr;
mod site;
mod sticks;
mod system;
mod widgets;

use edge_model::cmdline::Mode;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::Line;
use ratatui::widgets::{Clear, Widget};

use crate::event::{Size, StartedBy};
use crate::known::Agent;
use crate::screens::Screen;
use crate::state::{Asker, Base, Dialog, Said, State};
use crate::strings;
use crate::strings::frame as words;
use look::{Glyphs, Look};

/// The smallest size that everything is laid out for.
const LEAST: Size = Size { width: 80, height: 24 };

/// Where something is drawn, and what it needs to know for it.
struct Canvas<'a> {
    area: Rect,
    buffer: &'a mut Buffer,
    glyphs: Glyphs,
    /// The screen has asked something.
    is_waiting: bool,
}

/// Draws everything.
pub fn render(state: &State, look: Look, size: Size) -> Buffer {
    let area = Rect::new(0, 0, size.width, size.height);
    let mut buffer = Buffer::empty(area);
    if size.width < LEAST.width || size.height < LEAST.height {
        let text = widgets::text(strings::TOO_SMALL, size.width);
        widgets::lines(area, &mut buffer, &text);
    } else {
        title(state, Rect { height: 1, ..area }, &mut buffer);
        let body = Rect { y: 1, height: area.height - 2, ..area };
        draw_body(state, look, body, &mut buffer);
        footer(state, Rect { y: area.height - 1, height: 1, ..area }, &mut buffer);
    }
    look.apply(&mut buffer);
    buffer
}

/// The lines of a drawn screen, for tests and replays.
pub fn as_text(buffer: &Buffer) -> String {
    let width = usize::from(buffer.area.width).max(1);
    let row = |cells: &[ratatui::buffer::Cell]| {
        let text: String = cells.iter().map(ratatui::buffer::Cell::symbol).collect();
        text.trim_end().to_owned() + "\n"
    };
    buffer.content.chunks(width).map(row).collect()
}

fn draw_body(state: &State, look: Look, area: Rect, buffer: &mut Buffer) {
    let by = state.top().map_or(Asker::Base, |opened| Asker::Screen(opened.id));
    let mut canvas = Canvas { area, buffer, glyphs: look.glyphs, is_waiting: state.is_waiting(by) };
    let may_look = state.known.may_look();
    match (&state.known.status, state.top(), &state.base) {
        (None, _, _) => nothing_known(state, &mut canvas),
        (Some(_), _, _) if !may_look => {}
        (Some(_), Some(opened), _) => draw_screen(state, &opened.screen, &mut canvas),
        (Some(status), None, Base::Host(home)) => home::draw(home, status, &state.known, &mut canvas),
        (Some(status), None, Base::Installer(wizard)) => {
            installer::draw(wizard, status, &state.known, &mut canvas);
        }
        (Some(_), None, Base::Waiting) => nothing_known(state, &mut canvas),
    }
    if let Some(dialog) = &state.dialog {
        draw_dialog(state, dialog, &mut canvas);
    }
}

fn nothing_known(state: &State, canvas: &mut Canvas<'_>) {
    let inner = widgets::frame(canvas.area, canvas.buffer, strings::PRODUCT);
    let text: &[&str] = match state.known.agent {
        Agent::Lost => &words::AGENT_LOST,
        Agent::Closed => &[],
        Agent::Connecting | Agent::Here => &words::STARTING,
    };
    let lines: Vec<Line<'_>> = std::iter::once("").chain(text.iter().copied()).map(Line::from).collect();
    widgets::lines(inner, canvas.buffer, &lines);
}

fn draw_screen(state: &State, screen: &Screen, canvas: &mut Canvas<'_>) {
    let known = &state.known;
    match screen {
        Screen::Network(screen) => network::draw_list(screen, known, canvas),
        Screen::Interface(screen) => network::draw_interface(screen, canvas),
        Screen::Names(screen) => site::draw(screen, strings::site::NAMES_TITLE, canvas),
        Screen::Proxy(screen) => site::draw(screen, strings::site::PROXY_TITLE, canvas),
        Screen::Account(screen) => account::draw(screen, canvas),
        Screen::System(screen) => system::draw(screen, known, canvas),
        Screen::Cluster(_) => cluster::draw(known, canvas),
        Screen::Diagnosis(screen) => diagnosis::draw(screen, canvas),
        Screen::Logs(screen) => logs::draw(screen, canvas),
        Screen::Bundle(screen) => sticks::draw_bundle(screen, canvas),
        Screen::BlackBox(screen) => black_box::draw(screen, canvas),
        Screen::Codes(screen) => codes::draw(screen, known, canvas),
        Screen::Power(screen) => system::draw_power(screen, known, canvas),
        Screen::Clock(screen) => clock::draw(screen, canvas),
        Screen::Keyboard(screen) => keyboard::draw(screen, canvas),
        Screen::Export(screen) => sticks::draw_export(screen, canvas),
        Screen::Progress(screen) => progress::draw(screen, known, canvas),
    }
}

fn draw_dialog(state: &State, dialog: &Dialog, canvas: &mut Canvas<'_>) {
    match dialog {
        Dialog::Help => {
            let mut lines: Vec<Line<'_>> = Vec::new();
            if let Some(help) = state.help() {
                lines.extend(widgets::text(&help, canvas.area.width - 14));
                lines.push(Line::default());
            }
            lines.extend(strings::help::LINES.iter().copied().map(Line::from));
            message(strings::help::TITLE, lines, canvas);
        }
        Dialog::Message(said) => {
            let width = canvas.area.width - 14;
            let lines = match &said.text {
                Said::Text(text) => text.iter().flat_map(|text| widgets::text(text, width)).collect(),
                Said::Error(error) => widgets::error(error, width),
            };
            message(said.title, lines, canvas);
        }
        Dialog::Confirm { confirmation, .. } => confirm::draw(confirmation, canvas),
        Dialog::Login(dialog) => login::draw(state, dialog, canvas),
    }
}

fn message(title: &str, mut lines: Vec<Line<'_>>, canvas: &mut Canvas<'_>) {
    lines.push(Line::default());
    lines.push(Line::from(strings::CLOSE));
    let inner = popup(title, canvas.area.width - 10, lines.len(), canvas);
    widgets::lines(inner, canvas.buffer, &lines);
}

/// A frame in the middle, in front of what is there.
fn popup(title: &str, width: u16, lines: usize, canvas: &mut Canvas<'_>) -> Rect {
    let area = canvas.area;
    let width = width.min(area.width);
    let height = u16::try_from(lines + 2).unwrap_or(u16::MAX).min(area.height);
    let place =
        Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 2, width, height };
    Clear.render(place, canvas.buffer);
    widgets::frame(place, canvas.buffer, title)
}

fn title(state: &State, area: Rect, buffer: &mut Buffer) {
    let known = &state.known;
    let mode = match known.mode() {
        Some(Mode::Live) => words::INSTALLER,
        Some(Mode::Recovery) => words::RECOVERY,
        Some(Mode::Main) | None => "",
    };
    let who = match (&known.agent, &known.session) {
        (Agent::Lost, _) => words::LOST.to_owned(),
        (Agent::Connecting, _) => words::CONNECTING.to_owned(),
        (_, Some(session)) => words::logged_in(&session.name, &session.role.to_string()),
        (_, None) if known.mode() == Some(Mode::Live) => String::new(),
        (_, None) => words::STRANGER.to_owned(),
    };
    let name = if known.host_name().is_empty() { strings::PRODUCT } else { known.host_name() };
    buffer.set_style(area, Style::new().reversed().bold());
    Line::from(format!(" {name}")).render(area, buffer);
    Line::from(mode).centered().render(area, buffer);
    Line::from(format!("{who} ")).right_aligned().render(area, buffer);
}

fn footer(state: &State, area: Rect, buffer: &mut Buffer) {
    let known = &state.known;
    if known.agent == Agent::Lost && known.status.is_some() && state.dialog.is_none() {
        let line = Line::from(format!(" {}", words::AGENT_LOST_LINE).fg(Color::Red).bold());
        return line.render(area, buffer);
    }
    let leave = match (&known.session, known.started.by) {
        (None, StartedBy::ServiceManager) if known.mode() == Some(Mode::Live) => words::KEY_NONE,
        (Some(_), _) => words::KEY_LOCK,
        (None, StartedBy::Person) => words::KEY_LEAVE,
        (None, StartedBy::ServiceManager) => words::KEY_HOME,
    };
    let keys = match &state.dialog {
        Some(Dialog::Confirm { confirmation, .. }) if confirmation.asks().word().is_some() => {
            words::KEYS_WORD.to_owned()
        }
        Some(_) => words::KEYS_DIALOG.to_owned(),
        None if state.takes_letters() => format!("{}  {leave}", words::KEYS_FORM),
        None => format!("{}  {leave}", words::KEYS),
    };
    Line::from(format!(" {keys}").fg(Color::Cyan)).render(area, buffer);
}
