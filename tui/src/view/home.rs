//! The menu, and beside it what this host is and how it is.

use edge_model::api::cluster::{ClusterPhase, ClusterStatus};
use edge_model::api::{BootState, Health, HostStatus, NetworkState, NoticeSeverity, Possibility};
use edge_model::calendar::day_and_time;
use edge_model::cmdline::Mode;
use edge_model::ledger::{HistoryEntry, HistoryEvent, ImageRecord};
use edge_model::user_data::edge::ManagementMode;
use ratatui::layout::Rect;
use ratatui::style::{Color, Stylize};
use ratatui::text::{Line, Span};

use super::{Canvas, widgets};
use crate::known::Known;
use crate::screens::home::{Home, entries};
use crate::strings::status as words;
use crate::units::{duration, size};

const MENU: u16 = 25;
const LABEL: usize = 13;
/// Seconds after a start in which a network without an address is one that is not there yet.
const NETWORK_COMES_WITHIN: u64 = 120;
/// Seconds after a start in which its load is that of the start.
const STARTS_FOR: u64 = 300;

pub(super) fn draw(home: &Home, status: &HostStatus, known: &Known, canvas: &mut Canvas<'_>) {
    let area = canvas.area;
    let menu = Rect { width: MENU, ..area };
    let inner = widgets::frame(menu, canvas.buffer, crate::strings::home::MENU);
    let entries = entries(known);
    let items: Vec<Line<'_>> = entries.iter().map(|entry| Line::from(entry.label)).collect();
    widgets::list(inner, canvas.buffer, &items, home.cursor.at(items.len()));

    let right = Rect { x: area.x + MENU, width: area.width - MENU, ..area };
    let inner = widgets::frame(right, canvas.buffer, words::TITLE);
    // What is wrong comes first: the end of a long list is not seen.
    let is_recovery = status.mode == Mode::Recovery;
    let lines = if is_recovery { reasons(status, known, inner.width) } else { notices(status, inner.width) };
    let mut rows = Rows { lines, width: usize::from(inner.width) };
    identity(status, known, &mut rows);
    if !is_recovery {
        state(status, known, &mut rows);
        surroundings(status, known, &mut rows);
    }
    widgets::lines(inner, canvas.buffer, &rows.lines);
}

/// What is known, one thing after the other.
struct Rows {
    lines: Vec<Line<'static>>,
    width: usize,
}

impl Rows {
    /// A long value goes on in the lines below.
    fn push(&mut self, label: &'static str, value: impl Into<Span<'static>>) {
        let value = value.into();
        let wrapped = widgets::wrapped(&value.content, self.width.saturating_sub(LABEL));
        self.lines.extend(wrapped.into_iter().enumerate().map(|(index, part)| {
            let label = if index == 0 { label } else { "" };
            let label = Span::from(format!("{label:<LABEL$}")).fg(Color::Cyan);
            Line::from(vec![label, Span::styled(part, value.style)])
        }));
    }
}

fn identity(status: &HostStatus, known: &Known, rows: &mut Rows) {
    rows.push(words::NAME, status.host_name.clone().bold());
    if !status.host_id.is_empty() {
        rows.push(words::HOST_ID, status.host_id.clone());
    }
    rows.push(words::SYSTEM, format!("{} {}", status.image.name, status.image.version));
    if status.addresses.is_empty() {
        let up = known.metrics.as_ref().map_or(0, |metrics| metrics.up_time_seconds);
        let text = if up < NETWORK_COMES_WITHIN { words::NO_ADDRESS_YET } else { words::NO_ADDRESS };
        rows.push(words::ADDRESS, text.fg(Color::Yellow));
    }
    for (index, address) in status.addresses.iter().take(3).enumerate() {
        let label = if index == 0 { words::ADDRESS } else { "" };
        rows.push(label, format!("{}  {}", address.address, address.interface));
    }
    // What was taken back is a notice, which can be put away.
    if let (NetworkState::Trial { .. }, Some(left)) = (status.network, known.network_seconds_left()) {
        rows.push(words::NETWORK, words::network_trial(&duration(left)).fg(Color::Yellow));
    }
}

fn state(status: &HostStatus, known: &Known, rows: &mut Rows) {
    let slot = status.slot.map_or_else(|| "-".to_owned(), |slot| slot.to_string());
    rows.push(words::SLOT, format!("{slot} ({})", boot_state(status.boot_state)));
    let other = match status.slot {
        Some(edge_model::ids::Slot::A) => Some(&status.slot_b),
        Some(edge_model::ids::Slot::B) => Some(&status.slot_a),
        None => None,
    };
    if let Some(other) = other {
        rows.push(words::OTHER_SLOT, image(other.as_ref()));
    }
    if let Some(left) = known.image_seconds_left() {
        rows.push(words::TRIAL, words::trial(&duration(left)).fg(Color::Yellow));
    }
    rows.push(words::HEALTH, health(&status.health));
    if let Some(entry) = &status.last_event {
        rows.push(words::LAST_CHANGE, history(entry));
    }
    if let Some(operation) = status.operation.as_ref().filter(|operation| operation.is_running()) {
        let title = crate::strings::progress::title(operation.operation);
        rows.push(words::WORK, format!("{title}: {}", operation.step).fg(Color::Yellow));
    }
}

fn surroundings(status: &HostStatus, known: &Known, rows: &mut Rows) {
    let management = match (&status.management.mode, &status.management.endpoint) {
        (Some(ManagementMode::Central), Some(endpoint)) => words::central(endpoint),
        _ => words::STANDALONE.to_owned(),
    };
    rows.push(words::MANAGEMENT, management);
    match &status.cluster {
        None => rows.push(words::CLUSTER, words::NO_CLUSTER),
        Some(cluster) => self::cluster(cluster, rows),
    }
    let Some(metrics) = &known.metrics else { return };
    for (index, disk) in metrics.file_systems.iter().take(2).enumerate() {
        let label = if index == 0 { words::DISK } else { "" };
        let text = words::disk(&disk.path, &size(disk.free_bytes), &size(disk.total_bytes));
        // A twentieth is little on every disk.
        let is_full = disk.free_bytes < disk.total_bytes / 20;
        rows.push(label, if is_full { text.fg(Color::Red) } else { text.into() });
    }
    let memory = words::memory(&size(metrics.memory_available_bytes), &size(metrics.memory_total_bytes));
    rows.push(words::MEMORY, memory);
    let temperature = metrics.temperature_celsius.map(words::temperature).unwrap_or_default();
    let load = words::load(metrics.load_one_minute, metrics.processors, metrics.up_time_seconds < STARTS_FOR);
    rows.push(words::LOAD, format!("{load}{temperature}"));
    if let Some(now) = metrics.clock_seconds {
        rows.push(words::TIME, day_and_time(now));
    }
    let by = if metrics.time_synchronized { words::TIME_SET } else { words::TIME_NOT_SET };
    rows.push(if metrics.clock_seconds.is_some() { "" } else { words::TIME }, by);
    // Minutes are enough, and do not draw anew every half minute.
    rows.push(words::RUNNING, duration(metrics.up_time_seconds / 60 * 60));
}

fn cluster(cluster: &ClusterStatus, rows: &mut Rows) {
    rows.push(words::CLUSTER, phase(cluster.phase, &format!("{}: {}", cluster.name, cluster.phase.words())));
    // What is wrong is told at length on its own screen.
    match &cluster.waits_for {
        Some(wait) => rows.push("", words::waits(&wait.what).fg(Color::Yellow)),
        None if cluster.pods.wanted > 0 => {
            let all = cluster.pods.running == cluster.pods.wanted;
            let text = words::pods(cluster.pods.running, cluster.pods.wanted);
            rows.push(words::PODS, if all { text.into() } else { text.fg(Color::Yellow) });
        }
        None => {}
    }
}

/// How it is, in the colour of how good that is.
pub(super) fn phase(phase: ClusterPhase, text: &str) -> Span<'static> {
    let text = text.to_owned();
    match phase {
        ClusterPhase::Running => text.fg(Color::Green),
        ClusterPhase::Making | ClusterPhase::Starting | ClusterPhase::Removing | ClusterPhase::Unknown => {
            text.fg(Color::Yellow)
        }
        ClusterPhase::Degraded | ClusterPhase::Stopped => text.fg(Color::Red),
    }
}

pub(super) fn notices(status: &HostStatus, width: u16) -> Vec<Line<'static>> {
    let mut lines: Vec<Line<'static>> = Vec::new();
    for notice in &status.notices {
        lines.extend(match notice.severity {
            NoticeSeverity::Info => widgets::text(&notice.text, width),
            NoticeSeverity::Warning => widgets::yellow(&notice.text, width),
            NoticeSeverity::Problem => widgets::red(&notice.text, width),
        });
        lines.extend(notice.help.iter().flat_map(|help| widgets::help(help, width)));
    }
    let failed = status.failed.iter().map(|failed| words::failed(&failed.version, &failed.reason));
    lines.extend(failed.flat_map(|failed| widgets::red(&failed, width)));
    lines
}

/// In recovery, the notices say why.
fn reasons(status: &HostStatus, known: &Known, width: u16) -> Vec<Line<'static>> {
    let mut lines = vec![Line::from(words::RECOVERY_TITLE.bold())];
    let can_start = status.possible.contains(&Possibility::Reboot);
    let start = if can_start { words::RECOVERY_START } else { "" };
    if status.notices.is_empty() {
        let leave = if can_start { words::RECOVERY_LEAVE } else { "" };
        lines.extend(widgets::text(&format!("{} {leave}", words::RECOVERY_NO_REASON), width));
    } else {
        lines.extend(notices(status, width));
        lines.push(Line::default());
        let again =
            if known.rules().somebody_can_log_in { words::RECOVERY_AGAIN } else { words::RECOVERY_CALL };
        let advice = format!("{} {start} {again}", words::RECOVERY_INTRO);
        lines.extend(widgets::text(&advice, width));
    }
    lines.push(Line::default());
    lines
}

pub(super) fn image(image: Option<&ImageRecord>) -> String {
    match image {
        None => words::EMPTY.to_owned(),
        Some(image) if image.signed => format!("{} {}", image.name, image.version),
        Some(image) => format!("{} {}, {}", image.name, image.version, words::UNSIGNED),
    }
}

fn boot_state(state: BootState) -> &'static str {
    match state {
        BootState::Committed => words::IN_USE,
        BootState::Trial => words::TRIED,
        BootState::Fallback => words::STANDS_IN,
        BootState::Recovery => words::RECOVERY,
        BootState::Live => words::LIVE,
    }
}

fn health(health: &Health) -> Span<'static> {
    match health {
        Health::Checking => words::CHECKING.fg(Color::Yellow),
        Health::Healthy => words::HEALTHY.fg(Color::Green),
        Health::Unhealthy(reasons) => words::not_healthy(&reasons.join("; ")).fg(Color::Red),
    }
}

fn history(entry: &HistoryEntry) -> String {
    let event = match entry.event {
        HistoryEvent::Installed => words::INSTALLED,
        HistoryEvent::UpgradeStarted => words::UPGRADE_STARTED,
        HistoryEvent::UpgradeArmed => words::UPGRADE_ARMED,
        HistoryEvent::Committed => words::COMMITTED,
        HistoryEvent::TrialFailed => words::TRIAL_FAILED,
        HistoryEvent::TrialInterrupted => words::TRIAL_INTERRUPTED,
        HistoryEvent::FellBack => words::FELL_BACK,
        HistoryEvent::RecoveryRefreshed => words::RECOVERY_REFRESHED,
        HistoryEvent::Reset => words::WAS_RESET,
        HistoryEvent::Unknown => words::UNKNOWN_EVENT,
        HistoryEvent::RolledBack => words::ROLLED_BACK,
    };
    let reason = entry.reason.as_ref().map_or_else(String::new, |reason| format!(" ({reason})"));
    format!("{} {event}{reason}", entry.version)
}
