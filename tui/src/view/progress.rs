//! Work of the agent: its steps so far, how far the present one is, and how it ended.

use edge_model::api::{OperationState, OperationStatus};
use ratatui::layout::Rect;
use ratatui::style::{Color, Stylize};
use ratatui::text::Line;

use super::{Canvas, widgets};
use crate::known::Known;
use crate::screens::progress::Progress;
use crate::strings::{network, progress as words};
use crate::units::{duration, size};

pub(super) fn draw(screen: &Progress, known: &Known, canvas: &mut Canvas<'_>) {
    let title = words::title(screen.operation.operation);
    let inner = widgets::frame(canvas.area, canvas.buffer, title);
    let rest = draw_operation(screen, known, inner, canvas);
    let is_running = screen.operation.is_running();
    let choices = screen.choices(known);
    let rest = match known.network_seconds_left().filter(|_| screen.is_network_trial(known)) {
        Some(left) => {
            let mut lines = widgets::text(&network::on_trial(&duration(left)), rest.width);
            lines.push(Line::default());
            widgets::lines(rest, canvas.buffer, &lines)
        }
        None => rest,
    };
    let items: Vec<Line<'_>> = choices.iter().map(|choice| Line::from(choice.label(is_running))).collect();
    widgets::list(rest, canvas.buffer, &items, screen.cursor.at(items.len()));
}

/// Everything but the choices; returns the area below.
pub(super) fn draw_operation(screen: &Progress, known: &Known, area: Rect, canvas: &mut Canvas<'_>) -> Rect {
    let operation = &screen.operation;
    let mut lines = vec![Line::from(words::started_by(&operation.by.subject)), Line::default()];
    lines.extend(steps(operation, area.height));
    lines.push(Line::default());
    match &operation.state {
        OperationState::Running => {
            lines.extend(present(operation, screen.seconds_left(known.now), area.width))
        }
        OperationState::Done { message } => {
            lines.push(Line::from(words::DONE.fg(Color::Green).bold()));
            lines.extend(widgets::text(message, area.width));
        }
        OperationState::Failed { error } => {
            lines.push(Line::from(words::FAILED.fg(Color::Red).bold()));
            lines.extend(widgets::error(error, area.width));
        }
    }
    if let Some(error) = &screen.trouble {
        lines.extend(widgets::error(error, area.width));
    } else if screen.is_cancelled && operation.is_running() {
        lines.push(Line::from(words::STOPPING.fg(Color::Yellow)));
    }
    lines.push(Line::default());
    widgets::lines(area, canvas.buffer, &lines)
}

/// The last steps, as many as leave room for the rest.
fn steps(operation: &OperationStatus, height: u16) -> Vec<Line<'static>> {
    let room = usize::from(height).saturating_sub(12).max(1);
    let skipped = operation.steps.len().saturating_sub(room);
    let last = operation.steps.len().saturating_sub(1);
    let is_running = operation.is_running();
    let steps = operation.steps.iter().enumerate().skip(skipped);
    steps
        .map(|(index, step)| {
            let marker = if index == last && is_running { "->" } else { "ok" };
            let marker = match &operation.state {
                OperationState::Failed { .. } if index == last => "!!",
                _ => marker,
            };
            // A step lasts until the next one begins; of the last one that is not known.
            let next = operation.steps.get(index + 1);
            let took = next.map(|next| duration(next.after_seconds.saturating_sub(step.after_seconds)));
            Line::from(format!("{marker}  {:<50} {:>10}", step.title, took.unwrap_or_default()))
        })
        .collect()
}

fn present(operation: &OperationStatus, left: Option<u64>, width: u16) -> Vec<Line<'static>> {
    let mut lines = widgets::text(&operation.step, width);
    if operation.total > 0 {
        lines.push(widgets::bar(operation.done, operation.total, width));
        let left = left.map_or_else(String::new, |left| words::left(&duration(left)));
        lines.push(Line::from(format!("{} of {}{left}", size(operation.done), size(operation.total))));
    }
    lines
}
