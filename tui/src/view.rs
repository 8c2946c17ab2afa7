//! The screen, as a pure function of what is shown. Laid out for 80 columns and 25 lines.

use edge_model::api::{BootState, Health, HostStatus, OperationState};
use edge_model::ledger::HistoryEntry;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Gauge, Paragraph, Wrap};

use crate::Shown;

const LABEL_WIDTH: usize = 14;

pub(crate) fn draw(frame: &mut Frame<'_>, shown: &Shown) {
    let block = Block::bordered().title(title(shown)).title_style(Style::new().bold());
    let inner = block.inner(frame.area());
    frame.render_widget(block, frame.area());
    match shown {
        Shown::Nothing(error) => {
            let text = vec![
                Line::from("The system is starting, or its agent has stopped.".bold()),
                Line::from(error.clone()),
            ];
            frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: true }), inner);
        }
        Shown::Status(status) => draw_status(frame, inner, status),
    }
}

fn title(shown: &Shown) -> String {
    match shown {
        Shown::Status(status) => format!(" {} ", status.host_name),
        Shown::Nothing(_) => " edge appliance ".into(),
    }
}

fn draw_status(frame: &mut Frame<'_>, area: ratatui::layout::Rect, status: &HostStatus) {
    let [lines_area, gauge_area] = Layout::vertical([Constraint::Min(0), Constraint::Length(1)]).areas(area);
    frame.render_widget(Paragraph::new(lines(status)).wrap(Wrap { trim: false }), lines_area);
    if let Some(operation) =
        status.operation.as_ref().filter(|operation| operation.state == OperationState::Running)
    {
        let ratio = if operation.total == 0 { 0.0 } else { operation.done as f64 / operation.total as f64 };
        let label = format!("{}: {}", operation.operation, operation.step);
        frame.render_widget(Gauge::default().ratio(ratio.clamp(0.0, 1.0)).label(label), gauge_area);
    }
}

fn row(label: &str, value: impl Into<Span<'static>>) -> Line<'static> {
    Line::from(vec![Span::from(format!(" {label:<LABEL_WIDTH$}")).dim(), value.into()])
}

fn lines(status: &HostStatus) -> Vec<Line<'static>> {
    let mut lines = vec![Line::default()];
    lines.push(row("System", format!("{} {}", status.image.name, status.image.version)));
    let slot = status.slot.map_or_else(|| "–".into(), |slot| slot.to_string());
    lines.push(row("Slot", format!("{slot}   ({})", describe_boot(status.boot_state))));
    lines.push(row("Health", health(&status.health)));
    if status.addresses.is_empty() {
        lines.push(row("Address", Span::from("none: check the network cable").fg(Color::Yellow)));
    }
    for address in &status.addresses {
        lines.push(row("Address", format!("{}  {}", address.address, address.interface)));
    }
    if let Some(entry) = &status.last_event {
        lines.push(row("Last change", describe(entry)));
    }
    lines.push(Line::default());
    for notice in &status.notices {
        lines.push(Line::from(format!(" {notice}")).fg(Color::Red));
    }
    lines
}

fn describe_boot(state: BootState) -> &'static str {
    match state {
        BootState::Committed => "in use",
        BootState::Trial => "new, being tried",
        BootState::Recovery => "RECOVERY",
        BootState::Live => "installer",
    }
}

fn health(health: &Health) -> Span<'static> {
    match health {
        Health::Checking => Span::from("being checked").fg(Color::Yellow),
        Health::Healthy => Span::from("healthy").fg(Color::Green),
        Health::Unhealthy(reasons) => {
            Span::from(format!("not healthy: {}", reasons.join("; "))).fg(Color::Red)
        }
    }
}

fn describe(entry: &HistoryEntry) -> String {
    use edge_model::ledger::HistoryEvent;
    let event = match entry.event {
        HistoryEvent::Installed => "installed",
        HistoryEvent::UpgradeStarted => "upgrade begun",
        HistoryEvent::UpgradeArmed => "upgrade ready, restart to try it",
        HistoryEvent::Committed => "upgrade kept",
        HistoryEvent::TrialFailed => "upgrade failed, previous system kept",
        HistoryEvent::RolledBack => "went back",
    };
    let reason = entry.reason.as_ref().map_or_else(String::new, |reason| format!(" ({reason})"));
    format!("{} {event}{reason}", entry.version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use edge_model::api::{ImageIdentity, InterfaceAddress};
    use edge_model::cmdline::Mode;
    use edge_model::ids::{RootHash, Slot};
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    fn screen(shown: &Shown) -> String {
        let mut terminal = Terminal::new(TestBackend::new(80, 25)).unwrap();
        terminal.draw(|frame| draw(frame, shown)).unwrap();
        terminal.backend().to_string()
    }

    fn status() -> HostStatus {
        HostStatus {
            agent_version: "1".into(),
            host_id: "edge-1".into(),
            network: edge_model::api::NetworkState::Kept,
            host_name: "shop-17".into(),
            mode: Mode::Main,
            boot_state: BootState::Committed,
            health: Health::Healthy,
            image: ImageIdentity {
                name: "edge".into(),
                version: "1.2.0".into(),
                root_hash: RootHash([0; 32]),
            },
            slot: Some(Slot::B),
            slot_a: None,
            slot_b: None,
            addresses: vec![InterfaceAddress { interface: "enp1s0".into(), address: "10.0.0.5".into() }],
            last_event: None,
            failed: Vec::new(),
            notices: vec!["the disk is old".into()],
            operation: None,
        }
    }

    #[test]
    fn the_screen_answers_what_a_support_line_asks() {
        let text = screen(&Shown::Status(Box::new(status())));
        for expected in ["shop-17", "edge 1.2.0", "b   (in use)", "healthy", "10.0.0.5", "the disk is old"] {
            assert!(text.contains(expected), "{expected}: {text}");
        }
        let without = HostStatus { addresses: Vec::new(), ..status() };
        assert!(screen(&Shown::Status(Box::new(without))).contains("check the network cable"));
    }

    #[test]
    fn a_silent_agent_is_said() {
        assert!(screen(&Shown::Nothing("no socket".into())).contains("agent has stopped"));
    }
}
