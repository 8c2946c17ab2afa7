//! What a change must pass before it is committed.

use edge_model::{Error, Result};
use qemu_tests::tally::Tally;

use crate::build::{cargo, child};
use crate::{generate, tidy};
use std::time::Duration;

const UNIT_TESTS_DEADLINE: Duration = Duration::from_secs(1800);

/// Format, lints, structure and unit tests.
///
/// # Errors
/// When one of them fails.
pub(crate) fn check() -> Result<()> {
    lint()?;
    let tally = unit_tests()?;
    println!("{tally}");
    if tally.failed > 0 {
        return Err(Error::rejected("unit tests failed"));
    }
    Ok(())
}

/// Everything that needs no test to run.
///
/// # Errors
/// When format, lints or structure are not as agreed.
pub(crate) fn lint() -> Result<()> {
    cargo(&["fmt", "--all", "--check"])?;
    cargo(&["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"])?;
    generate::check()?;
    tidy::tidy()
}

/// Runs all unit tests and counts them.
///
/// # Errors
/// When cargo cannot run.
pub(crate) fn unit_tests() -> Result<Tally> {
    let outcome = child()
        .args(["test", "--workspace", "--no-fail-fast", "--", "--show-output"])
        .deadline(UNIT_TESTS_DEADLINE)
        .outcome()?;
    let output = String::from_utf8_lossy(&outcome.stdout).into_owned();
    let mut tally = Tally::default();
    for line in output.lines().filter(|line| line.starts_with("test result:")) {
        tally.passed += number_before(line, " passed");
        tally.failed += number_before(line, " failed");
        tally.skipped += number_before(line, " ignored");
    }
    // A test that lacks a tool says so, and has proved nothing.
    for line in output.lines().filter(|line| line.starts_with("SKIPPED ")) {
        println!("{line}");
        tally.passed = tally.passed.saturating_sub(1);
        tally.skipped += 1;
    }
    if !outcome.status.success() {
        println!("{output}");
        eprintln!("{}", outcome.stderr);
        // A crate that does not compile has no result line.
        tally.failed = tally.failed.max(1);
    }
    Ok(tally)
}

fn number_before(line: &str, word: &str) -> u32 {
    let before = line.split(word).next().unwrap_or_default();
    before.rsplit(' ').next().and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_lines_are_counted() {
        let line = "test result: ok. 12 passed; 3 failed; 1 ignored; 0 measured";
        assert_eq!(
            (number_before(line, " passed"), number_before(line, " failed"), number_before(line, " ignored")),
            (12, 3, 1)
        );
        assert_eq!(number_before("nothing", " passed"), 0);
    }
}
