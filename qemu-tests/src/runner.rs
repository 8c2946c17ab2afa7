//! The runner: the base host first, beside it what needs no machine, then everything else, two at a time.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use edge_model::{Error, Result};
use qemu_tests::bench_ground::{Ground, SharedImage};
use qemu_tests::cost::{self, Costs};
use qemu_tests::tally::Tally;
use qemu_tests::time_limit::TimeLimit;

use crate::scenarios::{self, Scenario};

/// Machines that run at the same time: one for each core of the smallest machine that this must pass on.
const PARALLEL: usize = 2;

/// Bytes that the largest scenario needs on the disk for its machines and images. The next one waits for another to end
/// where there is less.
const ROOM: u64 = 8 << 30;

/// Runs the scenarios with these names, or all of them; those that would end after `within` are skipped.
///
/// # Errors
/// When there is no scenario of a name, or the ground cannot be prepared.
pub(crate) fn run(root: &Path, long: bool, within: Option<Duration>, names: &[&str]) -> Result<Tally> {
    names.iter().try_for_each(|name| must_exist(name))?;
    let limit = TimeLimit::new(root, within);
    let ground = Ground::prepare(root, &root.join("target/vm"))?;
    eprintln!("virtual machines: {:?}", ground.accelerator);
    let wanted = |scenario: &&Scenario| {
        (names.is_empty() || scenario.name == scenarios::BASE.name || names.contains(&scenario.name))
            && (long || !scenario.long || names.contains(&scenario.name))
    };
    let summary = Mutex::new(Tally::default());
    let costs = Mutex::new(Costs::default());
    // Somebody who works on one scenario need not install each time.
    let reuse = !names.is_empty() && !names.contains(&scenarios::BASE.name) && ground.has_base();
    let (can_run, cannot_run): (Vec<_>, Vec<_>) =
        scenarios::ALL.iter().filter(wanted).partition(|scenario| scenario.missing().is_none());
    let nobody_needs_it = !names.is_empty()
        && !names.contains(&scenarios::BASE.name)
        && !can_run.iter().any(|scenario| scenario.needs_base);
    let queue = Queue {
        waiting: Mutex::new(can_run.into()),
        base: Mutex::new(if reuse || nobody_needs_it { Base::Stands } else { Base::Missing }),
        changed: Condvar::new(),
        running: Mutex::new(0),
        ended: Condvar::new(),
        limit,
    };
    let images = Images::of(&queue.waiting);
    std::thread::scope(|scope| {
        for _ in 0..PARALLEL {
            scope.spawn(|| work_off(&ground, &queue, &images, &summary, &costs));
        }
    });
    let left = queue.waiting.into_inner().unwrap_or_else(PoisonError::into_inner);
    let base = queue.base.into_inner().unwrap_or_else(PoisonError::into_inner);
    let why_left = if base == Base::Stands {
        "this machine is slow, and it would end too late; make test-long runs it"
    } else {
        "there is no installed host to start from"
    };
    let left = left.into_iter().map(|scenario| (scenario, why_left));
    let long_ones = |scenario: &&Scenario| names.is_empty() && scenario.long && !long;
    let skipped = skipped(&ground, left, &cannot_run, scenarios::ALL.iter().filter(long_ones));
    summary.lock().unwrap_or_else(PoisonError::into_inner).skipped += skipped;
    let costs = costs.into_inner().unwrap_or_else(PoisonError::into_inner);
    eprint!("{}", costs.report());
    if let Err(error) = costs.check(root, scenarios::BASE.name) {
        println!("FAILED budget of the scenarios: {}", edge_model::error::render(&error));
        summary.lock().unwrap_or_else(PoisonError::into_inner).failed += 1;
    }
    Ok(read(&summary))
}

/// Runs one scenario after the other until nothing is left that can run.
fn work_off(
    ground: &Ground,
    queue: &Queue<'_>,
    images: &Images,
    summary: &Mutex<Tally>,
    costs: &Mutex<Costs>,
) {
    while let Some(scenario) = queue.next() {
        let is_base = scenario.name == scenarios::BASE.name;
        let _running = queue.wait_for_room(ground.lab.work());
        // Nobody waits for a base that will never stand, also when its scenario panics.
        let outcome = is_base.then(|| Outcome { queue, base: Base::Failed });
        let started = Instant::now();
        let well = run_one(ground, scenario, summary, costs);
        if is_base {
            queue.limit.measured(started.elapsed());
        }
        // What a failure is looked into with stays.
        if well {
            images.used(ground, scenario);
        }
        if let Some(mut outcome) = outcome
            && well
        {
            outcome.base = Base::Stands;
        }
    }
}

/// A name that is misspelt must not look as if its scenario had run.
fn must_exist(name: &str) -> Result<()> {
    let all = || scenarios::ALL.iter().chain([&scenarios::BASE]).map(|scenario| scenario.name);
    if all().any(|known| known == name) {
        return Ok(());
    }
    let error = Error::invalid(format!("there is no scenario {name:?}"));
    Err(match edge_model::document::check::nearest(name, all()) {
        Some(near) => error.help(format!("did you mean `{near}`?")),
        None => error,
    })
}

/// Says what did not run, and counts it.
fn skipped<'a>(
    ground: &Ground,
    left: impl Iterator<Item = (&'a Scenario, &'a str)>,
    cannot_run: &[&Scenario],
    long_ones: impl Iterator<Item = &'a Scenario>,
) -> u32 {
    let mut count = ground.skips();
    let mut say = |name: &str, why: &str| {
        println!("SKIPPED {name}: {why}");
        count += 1;
    };
    for (scenario, why) in left {
        say(scenario.name, why);
    }
    for scenario in cannot_run {
        say(scenario.name, &scenario.missing().unwrap_or_default());
    }
    for scenario in long_ones {
        say(scenario.name, "it takes long; make test-long runs it");
    }
    count
}

/// Shared images, each with the number of scenarios that still want it.
struct Images(Mutex<Vec<(SharedImage, usize)>>);

impl Images {
    fn of(waiting: &Mutex<VecDeque<&Scenario>>) -> Self {
        let waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let users = |image| (image, waiting.iter().filter(|scenario| scenario.image == Some(image)).count());
        Self(Mutex::new(SharedImage::ALL.map(users).into()))
    }

    /// The last one that wanted an image takes it away: two of them are a quarter of what all scenarios need.
    fn used(&self, ground: &Ground, scenario: &Scenario) {
        let mut images = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (image, users) in images.iter_mut().filter(|(image, _)| scenario.image == Some(*image)) {
            *users = users.saturating_sub(1);
            if *users == 0
                && let Err(error) = ground.forget(*image)
            {
                eprintln!("warning: {image:?} stays: {error}");
            }
        }
    }
}

/// The host that most scenarios start from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Base {
    Missing,
    BeingInstalled,
    Stands,
    Failed,
}

/// Tells the queue what became of the base when it goes.
struct Outcome<'q, 'a> {
    queue: &'q Queue<'a>,
    base: Base,
}

impl Drop for Outcome<'_, '_> {
    fn drop(&mut self) {
        self.queue.base_is(self.base);
    }
}

struct Queue<'a> {
    waiting: Mutex<VecDeque<&'a Scenario>>,
    base: Mutex<Base>,
    changed: Condvar,
    /// Scenarios that run now.
    running: Mutex<usize>,
    ended: Condvar,
    limit: TimeLimit,
}

/// Counts as long as a scenario runs, however it ends.
struct Running<'q, 'a>(&'q Queue<'a>);

impl Drop for Running<'_, '_> {
    fn drop(&mut self) {
        *self.0.running.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.ended.notify_all();
    }
}

impl<'a> Queue<'a> {
    /// What can run now and ends in time; the base before everything else. Waits while everything that is left needs the base.
    fn next(&self) -> Option<&'a Scenario> {
        let mut base = self.base.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if *base == Base::Missing {
                *base = Base::BeingInstalled;
                return Some(&scenarios::BASE);
            }
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let stands = |scenario: &&Scenario| *base == Base::Stands || !scenario.needs_base;
            let can_run = |scenario: &&Scenario| stands(scenario) && self.limit.fits(scenario.name);
            if let Some(at) = waiting.iter().position(can_run) {
                return waiting.remove(at);
            }
            if waiting.is_empty() || *base != Base::BeingInstalled {
                return None;
            }
            drop(waiting);
            base = self.changed.wait(base).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Counts a scenario as running once there is room for it, or nobody else is left who could make some.
    fn wait_for_room(&self, work: &Path) -> Running<'_, 'a> {
        const LOOK_AGAIN: Duration = Duration::from_secs(5);
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        while *running > 0 && edge_host::files::free_bytes(work).is_ok_and(|free| free < ROOM) {
            let waited = self.ended.wait_timeout(running, LOOK_AGAIN);
            running = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        *running += 1;
        Running(self)
    }

    fn base_is(&self, now: Base) {
        *self.base.lock().unwrap_or_else(PoisonError::into_inner) = now;
        self.changed.notify_all();
    }
}

fn read(summary: &Mutex<Tally>) -> Tally {
    *summary.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Disks and images of what did well are not kept: there are many. All of a scenario begins with its name.
fn forget(work: &Path, scenario: &str) {
    let folders = [work.to_owned(), work.join("projects")];
    let entries = folders.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten();
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

fn run_one(ground: &Ground, scenario: &Scenario, summary: &Mutex<Tally>, costs: &Mutex<Costs>) -> bool {
    let started = Instant::now();
    let result = (scenario.run)(ground);
    let seconds = started.elapsed().as_secs();
    let used = cost::take();
    let mut summary = summary.lock().unwrap_or_else(PoisonError::into_inner);
    match result {
        Ok(()) => {
            println!("ok {} ({seconds} s, {used:.0} processor seconds)", scenario.name);
            costs.lock().unwrap_or_else(PoisonError::into_inner).record(scenario.name, used);
            forget(ground.lab.work(), scenario.name);
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
