//! Everything that proves the project, cheap things first; the last line counts.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use edge_host::child::Child;
use edge_model::{Error, Result};
use qemu_tests::bench_ground::{KUBERNETES, KUBERNETES_BEFORE, OLDER_BUILDER};
use qemu_tests::tally::Tally;

use crate::build::{build, cargo, program};
use crate::kubernetes::Release;
use crate::{check, fuzz, kubernetes, older, packages, root};

const TOOLS_DEADLINE: Duration = Duration::from_secs(1800);
/// The scenario that needs a second release of Kubernetes.
const FROM_THE_MINOR_BEFORE: &str = "cluster-minor-there-and-back";
/// A machine that has needed so long for everything before would compile Kubernetes for longer than people wait for a test.
const COMPILE_AFTER_AT_MOST: Duration = Duration::from_secs(25 * 60);
/// From its start `make test` ends within this, machines included: a scenario that would end later is skipped, and named.
const ENDS_WITHIN: Duration = Duration::from_secs(75 * 60);
/// However slow a machine is, so much time is there for its scenarios: an installation, and what is proved with few boots.
const MACHINES_AT_LEAST: Duration = Duration::from_secs(10 * 60);
/// Scenarios build some twenty images, each of which is used for minutes: of the builder's cache they need only the newest.
const CACHE_LIMIT: &str = "EDGEFORGE_CACHE_LIMIT";
const CACHE_OF_SCENARIOS: &str = "4G";
const MACHINES_DEADLINE: Duration = Duration::from_secs(6 * 3600);

/// Writes what a real host says, for the pictures of the console.
///
/// # Errors
/// When the host does not come up.
pub(crate) fn record() -> Result<()> {
    packages::for_builder()?;
    build(false)?;
    let scenarios = ["docs-run-on-a-host", "by-hand-at-the-console", "upgrade-there-and-back"];
    let runner = Child::new(program("qemu-tests", false))
        .with_whole_environment()
        .args(scenarios)
        .env("EDGE_RECORD", "1");
    let outcome = runner.directory(&root()).deadline(MACHINES_DEADLINE).outcome_shown()?;
    if outcome.status.success() { Ok(()) } else { Err(Error::rejected("nothing was recorded")) }
}

/// A stage without counts of its own counts as one test.
fn add_stage(tally: &mut Tally, name: &str, result: Result<()>) {
    match result {
        Ok(()) => {
            println!("ok {name}");
            tally.passed += 1;
        }
        Err(error) => {
            println!("FAILED {name}: {error}");
            tally.failed += 1;
        }
    }
}

/// Runs all stages; or only some scenarios in virtual machines.
///
/// # Errors
/// [`edge_model::Class::Rejected`] when anything failed.
pub(crate) fn test(scenarios: &[String], long: bool) -> Result<()> {
    let started = Instant::now();
    packages::for_builder()?;
    let mut tally = Tally::default();
    if scenarios.is_empty() {
        packages::cargo_deny()?;
        timed("format, lints and structure", |name| add_stage(&mut tally, name, check::lint()));
        timed("licences and sources", |name| {
            add_stage(
                &mut tally,
                name,
                cargo(&["deny", "--log-level", "error", "check", "bans", "licenses", "sources"]),
            );
        });
    }
    timed("release build", |name| add_stage(&mut tally, name, build(false)));
    if scenarios.is_empty() {
        // Unit tests of what the tools read and write need them, and say so where they are missing.
        timed("tools of the builder", |name| add_stage(&mut tally, name, tools()));
        let started = Instant::now();
        tally.add(check::unit_tests()?);
        eprintln!("unit tests: {} s", started.elapsed().as_secs());
    }
    let too_slow = !long && scenarios.is_empty() && started.elapsed() > COMPILE_AFTER_AT_MOST;
    let component = |tally: &mut Tally, release| match tally.failed {
        0 => component(tally, release, too_slow),
        _ => None,
    };
    let current = component(&mut tally, Release::Current);
    let before = long || scenarios.iter().any(|name| name == FROM_THE_MINOR_BEFORE);
    let before = if before { component(&mut tally, Release::Before) } else { None };
    if long && scenarios.is_empty() {
        fuzz_all(&mut tally);
    }
    let older = if long && tally.failed == 0 { older_builder(&mut tally) } else { None };
    if tally.failed == 0 {
        let given = [(KUBERNETES, current), (KUBERNETES_BEFORE, before), (OLDER_BUILDER, older)];
        let hurry = !long && scenarios.is_empty();
        let within = hurry.then(|| ENDS_WITHIN.saturating_sub(started.elapsed()).max(MACHINES_AT_LEAST));
        tally.add(virtual_machines(scenarios, long, within, &given)?);
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

fn tools() -> Result<()> {
    Child::new(root().join("dist/edgeforge")).arg("tools").deadline(TOOLS_DEADLINE).run().map(drop)
}

/// The Kubernetes of scenarios with a cluster. Where it cannot be made they are skipped, and say so.
fn component(tally: &mut Tally, release: Release, too_slow: bool) -> Option<PathBuf> {
    let missing = kubernetes::missing(release).or_else(|| {
        (too_slow && !kubernetes::is_here(release)).then(|| {
            "this machine is slow, and would compile it for long; cargo xtask kubernetes does it once".into()
        })
    });
    if let Some(why) = missing {
        println!("SKIPPED Kubernetes: {why}");
        return None;
    }
    let mut found = None;
    timed("Kubernetes", |name| {
        let made = kubernetes::prepare(release).map(|component| found = Some(component.archive));
        add_stage(tally, name, made);
    });
    found
}

/// For each parser of foreign bytes.
const FUZZ_SECONDS: u64 = 600;

fn fuzz_all(tally: &mut Tally) {
    if let Some(why) = fuzz::missing() {
        println!("SKIPPED fuzzing: {why}");
        tally.skipped += 1;
        return;
    }
    timed("fuzz targets", |name| add_stage(tally, name, fuzz::build()));
    match fuzz::targets() {
        Ok(targets) => targets.iter().for_each(|target| {
            add_stage(tally, &format!("fuzz {target}"), fuzz::run(target, FUZZ_SECONDS));
        }),
        Err(error) => add_stage(tally, "list of fuzz targets", Err(error)),
    }
}

/// What makes images with an older agent. Where it cannot be made, the scenario is skipped, and says so.
fn older_builder(tally: &mut Tally) -> Option<PathBuf> {
    if let Some(why) = older::missing() {
        println!("SKIPPED older state: {why}");
        return None;
    }
    let mut found = None;
    timed("older state", |name| {
        let made = older::prepare().map(|builder| found = Some(builder));
        add_stage(tally, name, made);
    });
    found
}

/// `given` are variables with what scenarios need beside the builder.
fn virtual_machines(
    scenarios: &[String],
    long: bool,
    within: Option<Duration>,
    given: &[(&str, Option<PathBuf>)],
) -> Result<Tally> {
    let mut runner = Child::new(program("qemu-tests", false)).with_whole_environment().args(scenarios);
    if std::env::var_os(CACHE_LIMIT).is_none() {
        runner = runner.env(CACHE_LIMIT, CACHE_OF_SCENARIOS);
    }
    for (variable, path) in given {
        if let Some(path) = path {
            runner = runner.env(variable, path);
        }
    }
    if long {
        runner = runner.arg("--long");
    }
    if let Some(within) = within {
        runner = runner.arg(format!("--within={}", within.as_secs()));
    }
    let outcome = runner.directory(&root()).deadline(MACHINES_DEADLINE).outcome_shown()?;
    let output = String::from_utf8_lossy(&outcome.stdout).into_owned();
    let tally = output.lines().last().and_then(Tally::parse);
    tally.ok_or_else(|| Error::internal("the runner of virtual machines did not finish"))
}
