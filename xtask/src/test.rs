//! Everything that proves the project, cheap things first; the last line counts.

use std::fmt;
use std::time::{Duration, Instant};

use edge_host::child::Child;
use edge_model::{Error, Result};

use crate::build::{build, cargo};
use crate::{check, packages, root};

const MACHINES_DEADLINE: Duration = Duration::from_secs(6 * 3600);

#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Tally {
    pub(crate) passed: u32,
    pub(crate) failed: u32,
    pub(crate) skipped: u32,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

impl Tally {
    /// A stage without counts of its own counts as one test.
    fn add_stage(&mut self, name: &str, result: Result<()>) {
        match result {
            Ok(()) => {
                println!("ok {name}");
                self.passed += 1;
            }
            Err(error) => {
                println!("FAILED {name}: {error}");
                self.failed += 1;
            }
        }
    }

    fn add(&mut self, other: Tally) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }

    /// Reads the last line of a runner.
    fn parse(line: &str) -> Option<Self> {
        let numbers: Vec<u32> =
            line.split(", ").filter_map(|part| part.split(' ').next()?.parse().ok()).collect();
        let [passed, failed, skipped] = numbers[..] else { return None };
        Some(Self { passed, failed, skipped })
    }
}

/// Runs all stages; or only some scenarios in virtual machines.
///
/// # Errors
/// [`edge_model::Class::Rejected`] when anything failed.
pub(crate) fn test(scenarios: &[String], long: bool) -> Result<()> {
    packages::for_builder()?;
    let mut tally = Tally::default();
    if scenarios.is_empty() {
        packages::cargo_deny()?;
        timed("format, lints and structure", |name| tally.add_stage(name, check::lint()));
        timed("licences and sources", |name| {
            tally.add_stage(
                name,
                cargo(&["deny", "--log-level", "error", "check", "bans", "licenses", "sources"]),
            );
        });
        tally.add(check::unit_tests()?);
    }
    timed("release build", |name| tally.add_stage(name, build(false)));
    if tally.failed == 0 {
        tally.add(virtual_machines(scenarios, long)?);
    } else {
        println!("SKIPPED virtual machines: an earlier stage failed");
        tally.skipped += 1;
    }
    println!("{tally}");
    if tally.failed == 0 { Ok(()) } else { Err(Error::rejected("tests failed")) }
}

fn timed(name: &str, run: impl FnOnce(&str)) {
    let started = Instant::now();
    run(name);
    eprintln!("{name}: {} s", started.elapsed().as_secs());
}

fn virtual_machines(scenarios: &[String], long: bool) -> Result<Tally> {
    cargo(&["build", "--release", "--package", "qemu-tests"])?;
    let mut runner = Child::new("cargo")
        .args(["run", "--quiet", "--release", "--package", "qemu-tests", "--"])
        .args(scenarios);
    if long {
        runner = runner.arg("--long");
    }
    let outcome = runner.directory(&root()).deadline(MACHINES_DEADLINE).outcome_shown()?;
    let output = String::from_utf8_lossy(&outcome.stdout).into_owned();
    let tally = output.lines().last().and_then(Tally::parse);
    tally.ok_or_else(|| Error::internal("the runner of virtual machines did not finish"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_of_a_runner_is_understood() {
        let tally = Tally::parse("3 passed, 1 failed, 2 skipped").unwrap();
        assert_eq!((tally.passed, tally.failed, tally.skipped), (3, 1, 2));
        assert!(Tally::parse("thread main panicked").is_none());
        assert_eq!(tally.to_string(), "3 passed, 1 failed, 2 skipped");
    }
}
