//! What is written to USB sticks: the support bundle and the answers of an installation.

use edge_model::api::installer::Volume;
use ratatui::style::{Color, Stylize};
use ratatui::text::Line;

use super::{Canvas, widgets};
use crate::screens::bundle::Bundle;
use crate::screens::export::Export;
use crate::strings::{WAITING, bundle, export};
use crate::units::size;

fn volume(volume: &Volume) -> String {
    let label = if volume.label.is_empty() { "-" } else { &volume.label };
    format!("{:<12} {label:<16} {:<8} {}", volume.device, volume.file_system, size(volume.size))
}

pub(super) fn draw_bundle(screen: &Bundle, canvas: &mut Canvas<'_>) {
    let inner = widgets::frame(canvas.area, canvas.buffer, bundle::TITLE);
    let mut above: Vec<Line<'_>> = bundle::INTRO.iter().copied().map(Line::from).collect();
    above.push(Line::default());
    let rest = widgets::lines(inner, canvas.buffer, &above);
    let items: Vec<Line<'_>> = bundle::TARGETS.iter().copied().map(Line::from).collect();
    let rest = widgets::list(rest, canvas.buffer, &items, screen.cursor.at(items.len()));
    let mut below = vec![Line::default()];
    match (&screen.volumes, &screen.trouble) {
        (_, Some(error)) => below.extend(widgets::error(error, inner.width)),
        (None, None) => below.push(Line::from(WAITING)),
        (Some(volumes), None) if volumes.is_empty() => {
            below.push(Line::from(bundle::NO_STICK.fg(Color::Yellow)));
        }
        (Some(volumes), None) => {
            below.push(Line::from(bundle::STICKS));
            below.extend(volumes.iter().map(|one| Line::from(format!("  {}", volume(one)))));
        }
    }
    widgets::lines(rest, canvas.buffer, &below);
}

pub(super) fn draw_export(screen: &Export, canvas: &mut Canvas<'_>) {
    let inner = widgets::frame(canvas.area, canvas.buffer, export::TITLE);
    let mut above: Vec<Line<'_>> = export::INTRO.iter().copied().map(Line::from).collect();
    above.push(Line::default());
    above.push(Line::from(export::for_whom(screen.this_machine)));
    above.push(Line::default());
    let rest = widgets::lines(inner, canvas.buffer, &above);
    let volumes = screen.volumes.as_deref().unwrap_or_default();
    let items: Vec<Line<'_>> = volumes.iter().map(|one| Line::from(volume(one))).collect();
    let rest = widgets::list(rest, canvas.buffer, &items, screen.cursor.at(items.len()));
    let mut below = vec![Line::default()];
    match (&screen.trouble, &screen.said) {
        (Some(error), _) => below.extend(widgets::error(error, inner.width)),
        (None, _) if canvas.is_waiting => below.push(Line::from(WAITING)),
        (None, Some(message)) => {
            below.push(Line::from(message.message.clone().fg(Color::Green)));
            below.extend(message.findings.iter().flat_map(|finding| widgets::text(finding, inner.width)));
        }
        (None, None) if volumes.is_empty() => below.push(Line::from(export::NO_STICK.fg(Color::Yellow))),
        (None, None) => {}
    }
    widgets::lines(rest, canvas.buffer, &below);
}
