//! The cluster: what it is, how it is, and what does not run.

use edge_model::api::cluster::{ClusterStatus, PodState, PodStatus};
use edge_model::calendar::day_and_time;
use ratatui::style::{Color, Stylize};
use ratatui::text::{Line, Span};

use super::{Canvas, home, widgets};
use crate::known::Known;
use crate::strings::cluster as words;
use crate::strings::status as status_words;

const LABEL: usize = 13;

pub(super) fn draw(known: &Known, canvas: &mut Canvas<'_>) {
    let inner = widgets::frame(canvas.area, canvas.buffer, words::TITLE);
    let lines = match known.status.as_ref().and_then(|status| status.cluster.as_ref()) {
        None => words::NONE.iter().flat_map(|line| widgets::text(line, inner.width)).collect(),
        Some(cluster) => described(cluster, inner.width),
    };
    widgets::lines(inner, canvas.buffer, &lines);
}

fn described(cluster: &ClusterStatus, width: u16) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    let mut row = |label: &str, value: Span<'static>| {
        let room = usize::from(width).saturating_sub(LABEL);
        lines.extend(widgets::wrapped(&value.content, room).into_iter().enumerate().map(|(index, part)| {
            let label = format!("{:<LABEL$}", if index == 0 { label } else { "" }).fg(Color::Cyan);
            Line::from(vec![label, Span::styled(part, value.style)])
        }));
    };
    row(words::NAME, cluster.name.clone().bold());
    row(words::STATE, home::phase(cluster.phase, cluster.phase.words()));
    if let Some(wait) = &cluster.waits_for {
        let since = words::since(&wait.what, &day_and_time(wait.since));
        row(words::WAITS, since.fg(Color::Yellow));
        if let Some(reason) = &wait.reason {
            row(words::WHY, reason.clone().fg(Color::Yellow));
        }
    }
    if let Some(versions) = &cluster.versions {
        row(words::KUBERNETES, versions.kubernetes.clone().into());
        if let Some(version) = &versions.etcd {
            row(words::ETCD, words::etcd(version).into());
        }
    }
    if !cluster.node.is_empty() {
        row(words::NODE, cluster.node.clone().into());
    }
    if cluster.pods.wanted > 0 {
        row(words::PODS, status_words::pods(cluster.pods.running, cluster.pods.wanted).into());
    }
    if !cluster.troubled.is_empty() {
        lines.push(Line::default());
        lines.push(Line::from(words::TROUBLED));
        lines.extend(cluster.troubled.iter().flat_map(|pod| troubled(pod, width)));
    }
    lines
}

fn troubled(pod: &PodStatus, width: u16) -> Vec<Line<'static>> {
    let (state, color) = match &pod.state {
        PodState::Waiting { reason } => (reason.as_str(), Color::Yellow),
        PodState::Failing { reason } => (reason.as_str(), Color::Red),
        PodState::Running | PodState::Done | PodState::Unknown => ("", Color::Yellow),
    };
    let text = format!("{}/{}: {state}{}", pod.namespace, pod.name, words::restarts(pod.restarts));
    let parts = widgets::wrapped(&text, usize::from(width).saturating_sub(2)).into_iter();
    parts.map(|part| Line::from(format!("  {part}").fg(color))).collect()
}
