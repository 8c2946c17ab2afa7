//! Reading the journal for people.

use std::time::Duration;

use edge_host::child::Child;
use edge_model::{Error, Result};
use edge_planner::redaction::redact;

const DEADLINE: Duration = Duration::from_secs(60);
/// Lines that are looked through for a text.
const SEARCHED: u32 = 20_000;

/// Which lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct JournalQuery {
    /// The newest so many.
    pub(crate) lines: u32,
    pub(crate) unit: Option<String>,
    /// 0 is this boot, -1 the one before.
    pub(crate) boot: i32,
    pub(crate) filter: Option<String>,
    /// This bad or worse: 0 to 7.
    pub(crate) priority: Option<u8>,
}

/// # Errors
/// When the journal cannot be read, or a name is not one of a unit.
pub(crate) fn read(query: &JournalQuery) -> Result<Vec<String>> {
    let output = Child::new("journalctl").args(arguments(query)?).deadline(DEADLINE).run()?;
    Ok(select(&String::from_utf8_lossy(&output), query))
}

fn arguments(query: &JournalQuery) -> Result<Vec<String>> {
    let lines = if query.filter.is_some() { SEARCHED } else { query.lines };
    let mut arguments: Vec<String> =
        ["--no-pager", "--quiet", "--output=short-iso"].iter().map(|word| (*word).to_owned()).collect();
    arguments.extend([format!("--lines={lines}"), format!("--boot={}", query.boot)]);
    if let Some(unit) = &query.unit {
        let fits = |character: char| character.is_ascii_alphanumeric() || ".-_@:\\".contains(character);
        if unit.is_empty() || unit.len() > 256 || unit.starts_with('-') || !unit.chars().all(fits) {
            return Err(
                Error::invalid(format!("{unit:?} is not the name of a unit")).help("like edge-agent.service")
            );
        }
        arguments.push(format!("--unit={unit}"));
    }
    if let Some(priority) = query.priority {
        if priority > 7 {
            return Err(Error::invalid("a priority is between 0 (worst) and 7"));
        }
        arguments.push(format!("--priority={priority}"));
    }
    Ok(arguments)
}

fn select(text: &str, query: &JournalQuery) -> Vec<String> {
    let wanted = query.filter.as_deref().unwrap_or_default().to_lowercase();
    let lines: Vec<&str> =
        text.lines().filter(|line| wanted.is_empty() || line.to_lowercase().contains(&wanted)).collect();
    let first = lines.len().saturating_sub(query.lines as usize);
    lines[first..].iter().map(|line| redact(line)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_and_lines_selected() {
        let query = JournalQuery { lines: 2, filter: Some("ERR".into()), ..JournalQuery::default() };
        assert_eq!(select("an err 1\nfine\nan err 2\nan Err 3\n", &query), ["an err 2", "an Err 3"]);
        let unit =
            |name: &str| arguments(&JournalQuery { unit: Some(name.into()), ..JournalQuery::default() });
        assert!(unit("edge-tui@tty1.service").is_ok());
        assert!(unit("--help").is_err() && unit("a b").is_err() && unit("").is_err());
        assert!(arguments(&JournalQuery { priority: Some(8), ..JournalQuery::default() }).is_err());
    }
}
