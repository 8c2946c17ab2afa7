//! Counting what passed.

use std::fmt;

/// The last line of a test run.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    pub passed: u32,
    pub failed: u32,
    pub skipped: u32,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

impl Tally {
    pub fn add(&mut self, other: Tally) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }

    /// Reads what [`fmt::Display`] wrote.
    pub fn parse(line: &str) -> Option<Self> {
        let numbers: Vec<u32> =
            line.split(", ").filter_map(|part| part.split(' ').next()?.parse().ok()).collect();
        let [passed, failed, skipped] = numbers[..] else { return None };
        Some(Self { passed, failed, skipped })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_of_a_runner_is_understood() {
        let tally = Tally { passed: 3, failed: 1, skipped: 2 };
        assert_eq!(Tally::parse(&tally.to_string()), Some(tally));
        assert!(Tally::parse("thread main panicked").is_none());
    }
}
