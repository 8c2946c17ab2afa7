//! What scenarios cost: the processor seconds of their machines and hosts. A machine that is slower makes all of them dearer, so
//! costs are compared as shares of what the installation of the base host costs in the same run.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use edge_model::{Context, Error, Result};

/// Shares that were measured, one line each: name, share.
const BUDGET: &str = "qemu-tests/budget.txt";
/// Set by who measures anew.
const MEASURE: &str = "EDGE_BUDGET";
/// A scenario that costs so many times its budget has changed, and is no noise.
const MOST: f64 = 2.0;
/// Shares below this are noise.
const LEAST: f64 = 0.3;
const DEAREST: usize = 10;

thread_local! {
    /// Of the scenario that runs in this thread.
    static USED: Cell<f64> = const { Cell::new(0.0) };
}

/// A machine or host of the scenario in this thread has ended.
pub fn add(processor_seconds: f64) {
    USED.with(|used| used.set(used.get() + processor_seconds));
}

/// What was added since this was last asked.
pub fn take() -> f64 {
    USED.with(Cell::take)
}

/// Processor seconds that a process has used so far.
///
/// # Errors
/// When it is gone.
pub fn processor_seconds(process: u32) -> Result<f64> {
    const TICKS_PER_SECOND: f64 = 100.0;
    let text = fs::read_to_string(format!("/proc/{process}/stat")).context("the machine is gone")?;
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    Ok((ticks(11) + ticks(12)) / TICKS_PER_SECOND)
}

/// Counts a process for the scenario of this thread, until it goes.
#[derive(Debug)]
pub struct Meter {
    process: u32,
    used: f64,
}

impl Meter {
    pub fn of(process: u32) -> Self {
        Self { process, used: 0.0 }
    }

    /// Reads it; to be called before the process is waited for, because afterwards nobody knows.
    pub fn look(&mut self) {
        self.used = processor_seconds(self.process).map_or(self.used, |now| now.max(self.used));
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.look();
        add(self.used);
    }
}

/// Processor seconds by scenario.
#[derive(Debug, Default)]
pub struct Costs(BTreeMap<String, f64>);

impl Costs {
    pub fn record(&mut self, scenario: &str, processor_seconds: f64) {
        self.0.insert(scenario.to_owned(), processor_seconds);
    }

    /// The dearest scenarios and the sum, for a person.
    pub fn report(&self) -> String {
        let mut all: Vec<(&String, &f64)> = self.0.iter().collect();
        all.sort_by(|one, other| other.1.total_cmp(one.1));
        let lines = all.iter().take(DEAREST).map(|(name, cost)| format!("  {cost:7.1} s  {name}\n"));
        let sum: f64 = self.0.values().sum();
        format!(
            "processor time of machines and hosts, the dearest scenarios:\n{}  {sum:7.1} s  all\n",
            lines.collect::<String>()
        )
    }

    /// Compares with the budget below `root`, or writes it; `base` is the scenario that all are measured by.
    ///
    /// # Errors
    /// [`edge_model::Class::Rejected`] with the scenarios that cost too much, or have no budget.
    pub fn check(&self, root: &Path, base: &str) -> Result<()> {
        let Some(unit) = self.0.get(base).filter(|unit| **unit > 0.0) else {
            eprintln!("no budget is compared: {base}, by which all are measured, was not part of this run");
            return Ok(());
        };
        let file = root.join(BUDGET);
        let mut budget = budget(root);
        if std::env::var_os(MEASURE).is_some() {
            budget.extend(self.0.iter().map(|(name, cost)| (name.clone(), cost / unit)));
            let text: String = budget.iter().map(|(name, share)| format!("{name} {share:.1}\n")).collect();
            return fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()));
        }
        let wrong = too_dear(&self.0, *unit, &budget);
        if wrong.is_empty() {
            return Ok(());
        }
        Err(Error::rejected(format!("scenarios cost more than their budget: {}", wrong.join("; ")))
            .help("make them cheaper, or measure anew and say why: EDGE_BUDGET=1 cargo xtask test"))
    }
}

/// What each scenario costs, as a share of what the installation of the base host does.
pub fn budget(root: &Path) -> BTreeMap<String, f64> {
    parse(&fs::read_to_string(root.join(BUDGET)).unwrap_or_default())
}

fn parse(text: &str) -> BTreeMap<String, f64> {
    let line = |line: &str| {
        let (name, share) = line.split_once(' ')?;
        Some((name.to_owned(), share.trim().parse().ok()?))
    };
    text.lines().filter_map(line).collect()
}

fn too_dear(costs: &BTreeMap<String, f64>, unit: f64, budget: &BTreeMap<String, f64>) -> Vec<String> {
    let look = |(name, cost): (&String, &f64)| {
        let share = cost / unit;
        match budget.get(name) {
            Some(planned) if share <= planned.max(LEAST) * MOST => None,
            Some(planned) => Some(format!("{name} {share:.1} instead of {planned:.1} installations")),
            None if share <= LEAST => None,
            None => Some(format!("{name} has none, and cost {share:.1} installations")),
        }
    };
    costs.iter().filter_map(look).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_doubles_is_found_on_a_machine_of_any_speed() {
        let budget = parse("install 1.0\nupgrade 2.0\nlint 0.0\n");
        let costs = |factor: f64, upgrade: f64| {
            let costs = [("install", 100.0), ("upgrade", upgrade), ("lint", 1.0)];
            costs.map(|(name, cost)| (name.to_owned(), cost * factor)).into_iter().collect::<BTreeMap<_, _>>()
        };
        for factor in [0.5, 1.0, 3.0] {
            assert!(too_dear(&costs(factor, 250.0), 100.0 * factor, &budget).is_empty());
            let found = too_dear(&costs(factor, 450.0), 100.0 * factor, &budget);
            assert_eq!(found, ["upgrade 4.5 instead of 2.0 installations"]);
        }
        let mut new = costs(1.0, 200.0);
        new.insert("new".into(), 90.0);
        assert_eq!(too_dear(&new, 100.0, &budget), ["new has none, and cost 0.9 installations"]);
    }

    #[test]
    fn costs_belong_to_the_thread_of_their_scenario() {
        add(2.0);
        add(1.5);
        std::thread::spawn(|| assert_eq!(take(), 0.0)).join().unwrap();
        assert_eq!((take(), take()), (3.5, 0.0));
    }
}
