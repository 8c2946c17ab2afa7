//! Finding out what is wrong around and inside a host. Everything here looks and changes nothing, and ends in its
//! own time.

pub(crate) mod connectivity;
pub(crate) mod disks;
pub(crate) mod network_links;
pub(crate) mod time;
pub(crate) mod web;

use std::time::{Duration, Instant};

use edge_host::{resources, sensors};
use edge_model::api::diagnostics::{Metrics, Sensor};
use edge_model::paths;

/// Most of a tool's output that is shown, in bytes.
const OUTPUT_LIMIT: u64 = 64 << 10;

/// Temperatures, fans and voltages.
pub(crate) fn sensors() -> Vec<Sensor> {
    sensors::all()
}

/// How busy and how full the host is. Cheap enough for every few seconds.
pub(crate) fn metrics() -> Metrics {
    // Not the root: it is an image, which is always full.
    resources::metrics(&[paths::PERSISTENT, paths::OEM])
}

fn milliseconds(since: Instant) -> f64 {
    in_milliseconds(since.elapsed())
}

/// With one digit behind the point: more means nothing.
fn in_milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10_000.0).round() / 10.0
}
