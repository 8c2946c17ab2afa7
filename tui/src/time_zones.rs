//! The time zones that the image has, by name.

use std::fs;
use std::sync::LazyLock;

/// One line for each place: <https://data.iana.org/time-zones/tz-how-to.html>
const TABLE: &str = "/usr/share/zoneinfo/zone.tab";

static ZONES: LazyLock<Vec<String>> = LazyLock::new(|| parse(&fs::read_to_string(TABLE).unwrap_or_default()));

/// All of them; only UTC in an image without the package tzdata.
pub fn all() -> &'static [String] {
    &ZONES
}

fn parse(table: &str) -> Vec<String> {
    let lines = table.lines().filter(|line| !line.starts_with('#'));
    let mut zones: Vec<String> =
        lines.filter_map(|line| line.split('\t').nth(2)).map(str::to_owned).collect();
    zones.push("UTC".into());
    zones.sort_unstable();
    zones
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_third_column_is_the_name() {
        let table = "# a comment\nCH\t+4723+00832\tEurope/Zurich\nXX\n\nUS\t+404251-0740023\tAmerica/New_York\tEastern\n";
        assert_eq!(parse(table), ["America/New_York", "Europe/Zurich", "UTC"]);
        assert_eq!(parse(""), ["UTC"]);
    }
}
