//! How busy and how full this machine is. Cheap: nothing is started for it.

use edge_model::paths;
use std::fs;
use std::path::Path;

use edge_model::api::diagnostics::{FileSystemUse, Metrics};

use crate::{clock, kernel, mount, sensors};

/// Exists once the clock has been set from a time server in this boot.
const SYNCHRONIZED: &str = paths::CLOCK_IS_SYNCHRONIZED;

/// What is true now, with the use of the file systems that are mounted on these paths.
pub fn metrics(mount_points: &[&str]) -> Metrics {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let (memory_total_bytes, memory_available_bytes) = parse_memory(&read("/proc/meminfo"));
    Metrics {
        up_time_seconds: kernel::up_time().as_secs(),
        load_one_minute: parse_load(&read("/proc/loadavg")),
        processors: std::thread::available_parallelism()
            .map_or(1, |count| u32::try_from(count.get()).unwrap_or(1)),
        memory_total_bytes,
        memory_available_bytes,
        file_systems: mount_points.iter().filter_map(|path| file_system(path)).collect(),
        temperature_celsius: sensors::hottest(&sensors::all()),
        time_synchronized: time_is_synchronized(),
        clock_seconds: clock::now(),
    }
}

/// Whether a time server has confirmed the clock in this boot.
pub fn time_is_synchronized() -> bool {
    Path::new(SYNCHRONIZED).exists()
}

/// The use of what is mounted there; `None` when nothing is.
pub fn file_system(mount_point: &str) -> Option<FileSystemUse> {
    let path = Path::new(mount_point);
    if mount_point != "/" && !mount::is_mounted(path) {
        return None;
    }
    let found = rustix::fs::statvfs(path).ok()?;
    Some(FileSystemUse {
        path: mount_point.to_owned(),
        total_bytes: found.f_blocks.saturating_mul(found.f_frsize),
        free_bytes: found.f_bavail.saturating_mul(found.f_frsize),
    })
}

fn parse_load(text: &str) -> f64 {
    text.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0.0)
}

/// Bytes in all, and bytes that programs can still have.
fn parse_memory(text: &str) -> (u64, u64) {
    let bytes = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        let kilobytes: Option<u64> = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        kilobytes.unwrap_or(0).saturating_mul(1024)
    };
    (bytes("MemTotal"), bytes("MemAvailable"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_kernel_s_tables_are_read() {
        let memory = "MemTotal:        2000 kB\nMemFree:  10 kB\nMemAvailable:    1500 kB\n";
        assert_eq!(parse_memory(memory), (2000 * 1024, 1500 * 1024));
        assert_eq!(parse_load("0.52 0.58 0.59 1/389 12345\n"), 0.52);
        let now = metrics(&["/", "/nonexistent"]);
        assert_eq!(now.file_systems.len(), 1);
        assert!(now.memory_total_bytes > 0 && now.processors > 0 && now.up_time_seconds > 0);
    }

    proptest! {
        #[test]
        fn no_table_panics(text in "(?s).{0,100}|MemTotal: [0-9]{0,30} kB") {
            let _ = (parse_memory(&text), parse_load(&text));
        }
    }
}
