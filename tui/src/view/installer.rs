//! The installer, step by step.

use edge_model::api::installer::{DiskContent, InstallDisk};
use edge_model::api::{HostStatus, OperationState};
use ratatui::layout::Rect;
use ratatui::style::{Color, Stylize};
use ratatui::text::Line;

use super::{Canvas, home, progress, qr, widgets};
use crate::installer::steps::{Choice, welcome_entries};
use crate::installer::{Check, Step, Wizard};
use crate::known::Known;
use crate::network_form;
use crate::screens::codes::registration;
use crate::strings::{WAITING, installer as words, network};
use crate::units::size;

pub(super) fn draw(wizard: &Wizard, status: &HostStatus, known: &Known, canvas: &mut Canvas<'_>) {
    match wizard.step {
        Step::Welcome => draw_welcome(wizard, status, known, canvas),
        Step::Disks => draw_disks(wizard, canvas),
        Step::Network => draw_network(wizard, canvas),
        Step::Interface => draw_interface(wizard, canvas),
        Step::Identity => {
            let inner = widgets::frame(canvas.area, canvas.buffer, words::IDENTITY_TITLE);
            widgets::form(inner, canvas.buffer, &wizard.identity);
        }
        Step::Account => {
            let inner = widgets::frame(canvas.area, canvas.buffer, words::ACCOUNT_TITLE);
            let above = [Line::from(words::ACCOUNT_INTRO), Line::default()];
            let rest = widgets::lines(inner, canvas.buffer, &above);
            widgets::form(rest, canvas.buffer, &wizard.account);
        }
        Step::Management => draw_management(wizard, status, canvas),
        Step::Summary => draw_summary(wizard, canvas),
        Step::Installation => draw_installation(wizard, known, canvas),
    }
}

fn draw_welcome(wizard: &Wizard, status: &HostStatus, known: &Known, canvas: &mut Canvas<'_>) {
    let inner = widgets::frame(canvas.area, canvas.buffer, words::WELCOME_TITLE);
    let mut above: Vec<Line<'_>> = words::WELCOME.iter().copied().map(Line::from).collect();
    above.push(Line::from(words::image(&status.image.name, &status.image.version).bold()));
    above.extend(
        status
            .addresses
            .iter()
            .take(2)
            .map(|address| Line::from(format!("{}  {}", address.address, address.interface))),
    );
    above.push(Line::default());
    above.extend(home::notices(status, inner.width));
    let findings = wizard.answers.iter().flat_map(|answers| &answers.findings);
    above.extend(findings.take(4).flat_map(|finding| widgets::text(finding, inner.width)));
    above.push(Line::default());
    let rest = widgets::lines(inner, canvas.buffer, &above);
    let entries = welcome_entries(known);
    let items: Vec<Line<'_>> = entries.iter().map(|(label, _)| Line::from(*label)).collect();
    let rest = widgets::list(rest, canvas.buffer, &items, wizard.welcome.at(items.len()));
    draw_trouble(wizard, rest, canvas);
}

fn draw_trouble(wizard: &Wizard, area: Rect, canvas: &mut Canvas<'_>) {
    if let Some(error) = &wizard.trouble {
        let mut lines = vec![Line::default()];
        lines.extend(widgets::error(error, area.width));
        widgets::lines(area, canvas.buffer, &lines);
    }
}

fn draw_disks(wizard: &Wizard, canvas: &mut Canvas<'_>) {
    let inner = widgets::frame(canvas.area, canvas.buffer, words::DISKS_TITLE);
    let rest = widgets::lines(inner, canvas.buffer, &[Line::from(words::DISKS_INTRO), Line::default()]);
    let rest = match &wizard.disks {
        None => widgets::lines(rest, canvas.buffer, &[Line::from(WAITING)]),
        Some(disks) if disks.is_empty() => {
            widgets::lines(rest, canvas.buffer, &[Line::from(words::NO_DISKS)])
        }
        Some(disks) => {
            let items: Vec<Line<'_>> = disks.iter().map(disk).collect();
            let at = wizard.disk_cursor.at(items.len());
            let rest = widgets::list(rest, canvas.buffer, &items, at);
            let mut lines = vec![Line::default()];
            if let Some(disk) = disks.get(at) {
                lines.extend(widgets::text(&words::disk(&disk.model, &disk.serial), inner.width));
            }
            if let Some((path, why)) =
                disks.get(at).and_then(|disk| disk.unsuitable.as_ref().map(|why| (&disk.path, why)))
            {
                lines.extend(widgets::text(&words::unsuitable(path, why), inner.width));
            }
            widgets::lines(rest, canvas.buffer, &lines)
        }
    };
    // Why the chosen disk cannot be taken stands there already.
    if wizard.disks.as_ref().is_none_or(Vec::is_empty) {
        draw_trouble(wizard, rest, canvas);
    }
}

fn disk(disk: &InstallDisk) -> Line<'static> {
    let kind = if disk.rotational { words::ROTATING } else { words::FLASH };
    let text = format!(
        "{:<13} {:<16} {:>8}  {kind:<9} {}",
        disk.path,
        disk.model.chars().take(16).collect::<String>(),
        size(disk.size),
        words::content(disk.holds)
    );
    match (&disk.unsuitable, disk.holds) {
        (Some(_), _) => Line::from(format!("({text})").fg(Color::Blue)),
        (None, DiskContent::Nothing) => Line::from(format!(" {text}")),
        (None, _) => Line::from(format!(" {text}").fg(Color::Yellow)),
    }
}

fn draw_network(wizard: &Wizard, canvas: &mut Canvas<'_>) {
    let inner = widgets::frame(canvas.area, canvas.buffer, words::NETWORK_TITLE);
    let mut above = widgets::text(words::NETWORK_INTRO, inner.width);
    above.push(Line::default());
    if wizard.interfaces.is_none() {
        above.push(Line::from(WAITING));
    }
    let rest = widgets::lines(inner, canvas.buffer, &above);
    let mut items: Vec<Line<'_>> = wizard
        .plugs()
        .iter()
        .map(|plug| {
            let cable = if plug.carrier { network::CABLE } else { network::NO_CABLE };
            let filled = wizard.networks.get(&plug.name);
            let has_errors = filled.is_some_and(|filled| filled.form.has_errors());
            let text = filled
                .and_then(|filled| network_form::read(&mut filled.form.clone(), &filled.name, &filled.before))
                .map(|filled| network_form::summary(&filled.interface))
                .or_else(|| wizard.before.network.get(&plug.name).map(network_form::summary))
                .unwrap_or_else(|| words::NOT_CHANGED.to_owned());
            let line = format!("{:<12} {cable:<9} {text}", plug.name);
            if has_errors { Line::from(line.fg(Color::Red)) } else { Line::from(line) }
        })
        .collect();
    items.push(Line::from(words::NETWORK_CONTINUE));
    let rest = widgets::list(rest, canvas.buffer, &items, wizard.network_cursor.at(items.len()));
    draw_trouble(wizard, rest, canvas);
}

fn draw_interface(wizard: &Wizard, canvas: &mut Canvas<'_>) {
    let Some((name, filled)) = wizard.editing.as_ref().zip(wizard.interface_form()) else { return };
    let inner = widgets::frame(canvas.area, canvas.buffer, &network::interface(name));
    widgets::form(inner, canvas.buffer, &filled.form);
}

fn draw_management(wizard: &Wizard, status: &HostStatus, canvas: &mut Canvas<'_>) {
    let inner = widgets::frame(canvas.area, canvas.buffer, words::MANAGEMENT_TITLE);
    let rest = widgets::form(inner, canvas.buffer, &wizard.management);
    let Some(url) = &status.management.registration_url else { return };
    let address = registration(url, &status.host_id);
    let mut above = vec![Line::default(), Line::from(words::REGISTER)];
    above.extend(widgets::text(&address, rest.width));
    let rest = widgets::lines(rest, canvas.buffer, &above);
    // On 24 lines there is no room; the form has a button for a screen of its own.
    let lines = qr::lines(&address, canvas.glyphs, rest.width, rest.height);
    widgets::lines(rest, canvas.buffer, &lines.unwrap_or_default());
}

fn draw_summary(wizard: &Wizard, canvas: &mut Canvas<'_>) {
    let inner = widgets::frame(canvas.area, canvas.buffer, words::SUMMARY_TITLE);
    let rest = widgets::form(inner, canvas.buffer, &wizard.summary);
    let mut below = vec![Line::default()];
    match &wizard.check {
        Check::Unknown if canvas.is_waiting => below.push(Line::from(words::CHECKING)),
        Check::Unknown => {}
        Check::Good(notes) => {
            below.push(Line::from(words::GOOD.fg(Color::Green)));
            below.extend(notes.iter().flat_map(|note| widgets::text(note, inner.width)));
        }
        Check::Marked => below.push(Line::from(words::WRONG.fg(Color::Red))),
        Check::Wrong(error) => below.extend(widgets::error(error, inner.width)),
    }
    widgets::lines(rest, canvas.buffer, &below);
}

fn draw_installation(wizard: &Wizard, known: &Known, canvas: &mut Canvas<'_>) {
    let inner = widgets::frame(canvas.area, canvas.buffer, words::INSTALLATION_TITLE);
    let Some(screen) = &wizard.progress else { return };
    let mut inner = inner;
    if screen.operation.is_running() {
        let what = known.status.as_ref().map_or_else(String::new, |status| {
            words::being_installed(&status.image.name, &status.image.version)
        });
        inner = widgets::lines(inner, canvas.buffer, &[Line::from(what.bold()), Line::default()]);
    }
    let mut rest = progress::draw_operation(screen, known, inner, canvas);
    if matches!(screen.operation.state, OperationState::Done { .. }) {
        let mut next: Vec<Line<'_>> = words::NEXT_STEPS.iter().copied().map(Line::from).collect();
        next.push(Line::default());
        rest = widgets::lines(rest, canvas.buffer, &next);
    }
    let choices: Vec<Choice> = wizard.choices(known);
    let items: Vec<Line<'_>> = choices.iter().map(|choice| Line::from(choice.label())).collect();
    widgets::list(rest, canvas.buffer, &items, wizard.result.at(items.len()));
}
