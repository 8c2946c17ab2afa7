//! Whether the clock is right, and by whose word.

use std::time::Duration;

use edge_host::child::Child;
use edge_host::resources;
use edge_model::api::diagnostics::TimeState;

use super::OUTPUT_LIMIT;

const DEADLINE: Duration = Duration::from_secs(10);

/// How far the clock is from its time server. Without an answer of the time service, what is known without it.
pub(crate) fn time_offset() -> TimeState {
    let status = Child::new("timedatectl").args(["timesync-status", "--no-pager"]).deadline(DEADLINE);
    let outcome = status.output_limit(OUTPUT_LIMIT).outcome();
    let text = outcome.map(|outcome| String::from_utf8_lossy(&outcome.stdout).into_owned());
    let (server, offset_milliseconds) = parse_status(&text.unwrap_or_default());
    TimeState { synchronized: resources::time_is_synchronized(), server, offset_milliseconds }
}

fn parse_status(text: &str) -> (Option<String>, Option<f64>) {
    let value = |key: &str| {
        text.lines().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix(':')).map(str::trim)
    };
    let server = value("Server").filter(|server| !server.is_empty() && !server.starts_with("n/a"));
    (server.map(str::to_owned), value("Offset").and_then(parse_offset))
}

/// A span with a sign, as systemd writes it: `+1.234ms`, `-1min 2.5s`, `+42us`.
fn parse_offset(text: &str) -> Option<f64> {
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    let mut total = 0.0;
    for word in rest.split_whitespace() {
        let unit = word.trim_start_matches(|letter: char| letter.is_ascii_digit() || letter == '.');
        let number: f64 = word.strip_suffix(unit)?.parse().ok()?;
        total += number
            * match unit {
                "us" | "µs" => 0.001,
                "ms" => 1.0,
                "s" => 1000.0,
                "min" => 60_000.0,
                "h" => 3_600_000.0,
                "d" => 86_400_000.0,
                "" if number == 0.0 => 1.0,
                _ => return None,
            };
    }
    (!rest.is_empty()).then_some(sign * total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STATUS: &str = "       Server: 10.0.2.2 (ntp.example)\nPoll interval: 34min 8s (min: 32s; max 34min 8s)\n\
        \x20        Leap: normal\n      Version: 4\n      Stratum: 2\n    Reference: C0000201\n\
        \x20   Precision: 1us (-24)\nRoot distance: 22.315ms (max: 5s)\n       Offset: -1.250ms\n        Delay: 24.5ms\n\
        \x20      Jitter: 0\n Packet count: 1\n    Frequency: +12.3ppm\n";

    #[test]
    fn the_server_and_the_offset_are_read() {
        assert_eq!(parse_status(STATUS), (Some("10.0.2.2 (ntp.example)".into()), Some(-1.25)));
        assert_eq!(parse_status("       Server: n/a\nPoll interval: 0\n"), (None, None));
        assert_eq!(parse_offset("+2min 1.5s"), Some(121_500.0));
        assert_eq!(parse_offset("+42us"), Some(0.042));
        assert_eq!(parse_offset("soon"), None);
    }

    proptest! {
        #[test]
        fn no_output_panics(text in "(?s).{0,80}|Offset: [-+]?[0-9.]{0,20}[µa-z]{0,4} .{0,9}") {
            let _ = (parse_status(&text), parse_offset(&text));
        }
    }
}
