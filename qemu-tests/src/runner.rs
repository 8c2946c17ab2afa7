//! The runner: the base host first, then everything else, two machines at a time.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use edge_model::Result;
use qemu_tests::bench_ground::Ground;
use qemu_tests::tally::Tally;

use crate::scenarios::{self, Scenario};

/// Machines that run at the same time: one for each core of the smallest machine that this must pass on.
const PARALLEL: usize = 2;

/// Runs the scenarios with these names, or all of them.
///
/// # Errors
/// When the ground cannot be prepared.
pub(crate) fn run(root: &Path, long: bool, names: &[&str]) -> Result<Tally> {
    let ground = Ground::prepare(root, &root.join("target/vm"))?;
    eprintln!("virtual machines: {:?}", ground.accelerator);
    let wanted = |scenario: &&Scenario| {
        (names.is_empty() || scenario.name == scenarios::BASE.name || names.contains(&scenario.name))
            && (long || !scenario.long || names.contains(&scenario.name))
    };
    let summary = Mutex::new(Tally::default());
    // Somebody who works on one scenario need not install each time.
    let reuse = !names.is_empty() && !names.contains(&scenarios::BASE.name) && ground.has_base();
    if !reuse && !run_one(&ground, &scenarios::BASE, &summary) {
        return Ok(read(&summary));
    }
    let queue: Mutex<VecDeque<&Scenario>> = Mutex::new(scenarios::ALL.iter().filter(wanted).collect());
    std::thread::scope(|scope| {
        for _ in 0..PARALLEL {
            scope.spawn(|| {
                while let Some(scenario) = take(&queue) {
                    run_one(&ground, scenario, &summary);
                }
            });
        }
    });
    for scenario in scenarios::ALL.iter().filter(|scenario| names.is_empty() && scenario.long && !long) {
        println!("SKIPPED {}: it takes long; make test-long runs it", scenario.name);
        summary.lock().unwrap_or_else(PoisonError::into_inner).skipped += 1;
    }
    Ok(read(&summary))
}

fn take<'a>(queue: &Mutex<VecDeque<&'a Scenario>>) -> Option<&'a Scenario> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
}

fn read(summary: &Mutex<Tally>) -> Tally {
    *summary.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Disks of machines that did well are not kept: there are many. A scenario's machines begin with its name.
fn forget_machines(work: &Path, scenario: &str) {
    let Ok(entries) = std::fs::read_dir(work) else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(scenario)
            && let Err(error) = remove(&entry.path())
        {
            eprintln!("warning: {} stays: {error}", entry.path().display());
        }
    }
}

fn remove(path: &Path) -> std::io::Result<()> {
    if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) }
}

fn run_one(ground: &Ground, scenario: &Scenario, summary: &Mutex<Tally>) -> bool {
    let started = Instant::now();
    let result = (scenario.run)(ground);
    let seconds = started.elapsed().as_secs();
    let mut summary = summary.lock().unwrap_or_else(PoisonError::into_inner);
    match result {
        Ok(()) => {
            println!("ok {} ({seconds} s)", scenario.name);
            forget_machines(ground.lab.work(), scenario.name);
            summary.passed += 1;
            true
        }
        Err(error) => {
            println!("FAILED {} ({seconds} s): {error}", scenario.name);
            println!("  its disk and logs stay in {}", ground.lab.work().display());
            summary.failed += 1;
            false
        }
    }
}
