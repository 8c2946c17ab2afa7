//! Running the stages of a host's life: every step in its order, each failure recorded, and the rest done all the same.

mod accounts;
pub(crate) mod chroot;
mod datasource;
pub(crate) mod fetch;
mod log;
mod perform;
pub(crate) mod plug_ins;
mod shell;

use std::cell::{Cell, OnceCell};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use edge_host::child::Child;
use edge_host::machine::Machine;
use edge_host::patience::Patience;
use edge_host::{files, gpt, kernel, system_info};
use edge_model::document::{self, Severity};
use edge_model::ids::to_hex;
use edge_model::stage_log::{StageRecord, StepOutcome, StepRecord};
use edge_model::user_data::UserData;
use edge_model::user_data::edge::SiteNetwork;
use edge_model::{Result, paths};
use edge_planner::host_kind::HostKind;
use edge_planner::stages::{
    Action, NamedStep, StageFile, SystemFacts, actions, skip_reason, steps, with_neighbours,
};
use serde_json::{Value as Json, json};

use crate::configuration::{self, Settings, documents};
use crate::host_state;

pub(crate) use chroot::run_in_image;
pub(crate) use log::{append, read_kept, read_present};

/// A step of a running system may take so long.
const STEP_DEADLINE: Duration = Duration::from_secs(15 * 60);

/// When and how a stage is run.
#[derive(Debug, Clone)]
pub(crate) struct Moment {
    pub(crate) machine: Machine,
    pub(crate) kind: HostKind,
    /// The service manager does not run yet: nothing may be left running, and there is an end to all patience.
    pub(crate) early: Option<Duration>,
    pub(crate) dry_run: bool,
}

impl Moment {
    pub(crate) fn of_running_system(machine: &Machine, kind: HostKind) -> Self {
        Self { machine: machine.clone(), kind, early: None, dry_run: false }
    }
}

/// Runs a stage with what stands before and after it, and writes down what happened.
pub(crate) fn run(stage: &str, moment: &Moment) -> StageRecord {
    let begun = Instant::now();
    let began = kernel::up_time();
    let (files, mut problems) = load_files(&moment.machine, moment.kind);
    let mut record = StageRecord {
        boot: system_info::boot_id(),
        stage: stage.to_owned(),
        began: began.as_millis() as u64,
        ..StageRecord::default()
    };
    let runner = Runner::new(moment, begun, &files);
    for name in with_neighbours(stage) {
        let (ordered, complaints) = steps(&files, &name);
        problems.extend(complaints);
        record.steps.extend(ordered.iter().map(|step| runner.step(step)));
    }
    record.took = begun.elapsed().as_millis() as u64;
    record.problems = problems;
    if !moment.dry_run {
        append(&moment.machine, &record);
    }
    record
}

/// Whether anything would run.
pub(crate) fn has_steps(machine: &Machine, stage: &str, kind: HostKind) -> bool {
    let (files, _) = load_files(machine, kind);
    with_neighbours(stage).iter().any(|name| !steps(&files, name).0.is_empty())
}

/// Waits for a network; that there is none is the steps' business.
pub(crate) fn wait_online(seconds: u64) {
    let wait = Child::new("/usr/lib/systemd/systemd-networkd-wait-online").args(["--any", "--timeout"]);
    if let Err(error) = wait.arg(seconds.to_string()).deadline(Duration::from_secs(seconds + 5)).run() {
        tracing::warn!("no network yet: {error}");
    }
}

/// The folders that are searched, in their order.
fn folders(machine: &Machine, kind: HostKind) -> Vec<PathBuf> {
    let mut folders = vec![machine.path(paths::IMAGE_OEM)];
    match kind {
        HostKind::Appliance => {
            folders.extend([paths::OEM, paths::OEM_DATASOURCE].map(|path| machine.path(path)));
            if machine.is_mounted(paths::PERSISTENT) {
                folders.push(machine.path(paths::PLUG_IN_CONFIG));
            }
        }
        // A recovery system must not be stopped by what stopped the normal one.
        HostKind::Recovery => {}
        HostKind::Installer => {}
    }
    folders
}

/// The files whose stages are run.
pub(crate) fn paths_of(machine: &Machine, kind: HostKind) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        folders(machine, kind).iter().flat_map(|folder| documents(folder)).collect();
    match kind {
        HostKind::Appliance => found.extend(configuration::site::stage_files(machine)),
        HostKind::Installer => found.push(machine.path(paths::MEDIUM_MOUNT).join(paths::MEDIUM_USER_DATA)),
        HostKind::Recovery => {}
    }
    found
}

/// Plans every step of a document, as a boot does before it acts.
pub(crate) fn try_steps(document: &UserData) {
    let moment = Moment::of_running_system(&Machine::real(), HostKind::Appliance);
    let runner = Runner::new(&moment, Instant::now(), &[]);
    for step in document.stages.values().flatten() {
        drop(actions(step, &runner.values, &mut Vec::new()));
        drop(skip_reason(step, &runner.facts, &|_| true));
        drop(
            step.condition
                .as_deref()
                .map(|condition| edge_planner::template::render(condition, &runner.values)),
        );
    }
}

fn load_files(machine: &Machine, kind: HostKind) -> (Vec<StageFile>, Vec<String>) {
    let paths_found = paths_of(machine, kind);
    let mut problems = Vec::new();
    let mut files: Vec<StageFile> = Vec::new();
    let mut more: Vec<PathBuf> = Vec::new();
    for path in &paths_found {
        if let Some(file) = load_file(path, &mut problems) {
            more.extend(
                file.document.cloud_init_paths.iter().flat_map(|folder| documents(Path::new(folder))),
            );
            files.push(file);
        }
    }
    more.retain(|path| !paths_found.contains(path));
    files.extend(more.iter().filter_map(|path| load_file(path, &mut problems)));
    (files, problems)
}

/// A file that is not YAML skips only itself; of one with wrong parts, the right ones are used.
fn load_file(path: &Path, problems: &mut Vec<String>) -> Option<StageFile> {
    let name = path.display().to_string();
    let text = match files::read_text_if_there(path) {
        Ok(text) => text?,
        Err(error) => {
            problems.push(error.to_string());
            return None;
        }
    };
    if let Some(problem) = configuration::tried::refusal(path, &text) {
        problems.push(problem.to_string());
        return None;
    }
    let (mut node, mut found) = document::read::<UserData>(&name, &text);
    if path.starts_with(paths::OEM_SITE) && configuration::trust().secure_boot {
        edge_planner::configuration::without_code(&mut node, &mut found);
    }
    problems
        .extend(found.iter().filter(|problem| problem.severity == Severity::Error).map(ToString::to_string));
    match document::typed(&node) {
        Ok(document) => Some(StageFile { path: name, document }),
        Err(error) => {
            problems.push(format!("{name}: {error}"));
            None
        }
    }
}

/// What templates may ask, by the names of Kairos.
pub(crate) fn template_values() -> Json {
    let random = gpt::random_bytes::<16>().map(|bytes| to_hex(&bytes)).unwrap_or_default();
    let in_force = std::fs::read_to_string(paths::ETC_MACHINE_ID).unwrap_or_default().trim().to_owned();
    // Before the identity is applied, what will be applied counts.
    let machine_id =
        if in_force.len() == 32 { in_force } else { host_state::machine_id().unwrap_or_default() };
    let protected = edge_slot_image::sha256(format!("yip{machine_id}").as_bytes()).to_string();
    let protected = protected.trim_start_matches("sha256:");
    json!({
        "Values": system_info::values(&random, protected),
        "Random": random,
        "UUID": system_info::dmi("product_uuid"),
        "MachineID": machine_id,
        "ProtectedID": protected,
    })
}

/// Runs steps one after the other.
struct Runner<'a> {
    moment: &'a Moment,
    begun: Instant,
    /// Time in which commands moved bytes on a disk: a slow one is nobody's fault.
    forgiven: Cell<Duration>,
    facts: SystemFacts,
    values: Json,
    environment: Vec<(String, String)>,
    /// Read when somebody is reached, or called by a name.
    settings: OnceCell<Settings>,
}

impl<'a> Runner<'a> {
    fn new(moment: &'a Moment, begun: Instant, files: &[StageFile]) -> Self {
        let environment = files
            .iter()
            .flat_map(|file| file.document.env.iter().chain(&file.document.install.env))
            .filter_map(|pair| pair.split_once('='))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        Self {
            moment,
            begun,
            forgiven: Cell::default(),
            facts: SystemFacts {
                host_name: system_info::host_name(),
                os: system_info::os_release("PRETTY_NAME"),
                os_version: system_info::os_release("VERSION_ID"),
                architecture: system_info::architecture().into(),
            },
            values: template_values(),
            environment,
            settings: OnceCell::new(),
        }
    }

    fn settings(&self) -> &Settings {
        self.settings.get_or_init(|| Settings::load(self.moment.kind))
    }

    fn network(&self) -> &SiteNetwork {
        &self.settings().edge().site.network
    }

    /// How long the next thing may take.
    fn patience(&self) -> Duration {
        let spent = self.begun.elapsed().saturating_sub(self.forgiven.get());
        self.moment.early.map_or(STEP_DEADLINE, |limit| limit.saturating_sub(spent))
    }

    fn step(&self, step: &NamedStep) -> StepRecord {
        let begun = Instant::now();
        let outcome = self.outcome(step);
        StepRecord { name: step.name.clone(), outcome, took: begun.elapsed().as_millis() as u64 }
    }

    fn outcome(&self, step: &NamedStep) -> StepOutcome {
        if self.patience().is_zero() {
            return StepOutcome::Failed { errors: vec!["the stage has used up its time".into()] };
        }
        let exists = |path: &str| Path::new(path).exists();
        if let Some(reason) = skip_reason(&step.step, &self.facts, &exists) {
            return StepOutcome::Skipped { reason };
        }
        let mut errors = Vec::new();
        let planned = actions(&step.step, &self.values, &mut errors);
        if let Some(reason) = self.condition_fails(step) {
            return StepOutcome::Skipped { reason };
        }
        if self.moment.dry_run {
            return StepOutcome::Planned { actions: planned.iter().map(ToString::to_string).collect() };
        }
        for action in &planned {
            // An image calls its hosts by a rule; who has a name keeps it.
            if matches!(action, Action::HostName(_)) && step.of_image && self.settings().says_host_name() {
                continue;
            }
            if let Err(error) = self.perform(action) {
                errors.push(format!("{action}: {error}"));
            }
        }
        if errors.is_empty() { StepOutcome::Done } else { StepOutcome::Failed { errors } }
    }

    /// The shell condition; it is asked in a dry run too, and by convention changes nothing.
    fn condition_fails(&self, step: &NamedStep) -> Option<String> {
        let condition = step.step.condition.as_deref().filter(|condition| !condition.is_empty())?;
        // A condition that cannot even be read does not hold.
        let condition = match edge_planner::template::render(condition, &self.values) {
            Ok(condition) => condition,
            Err(error) => return Some(format!("if: {error}")),
        };
        match self.shell(&condition) {
            Ok(_) => None,
            Err(_) => Some(format!("if: {condition:?} does not hold")),
        }
    }

    fn shell(&self, command: &str) -> Result<String> {
        let mut patience = Patience::new(self.patience());
        let said = shell::run(command, &self.environment, &mut patience, self.moment.early.is_some());
        self.forgiven.set(self.forgiven.get() + patience.forgiven());
        said
    }
}

#[cfg(test)]
mod tests {
    use edge_planner::configuration::templates::sample_values;

    use super::*;

    /// All places of a document, with lists by their first entry.
    fn places(json: &Json, path: &str, found: &mut Vec<String>) {
        match json {
            Json::Object(entries) => {
                entries.iter().for_each(|(key, value)| places(value, &format!("{path}.{key}"), found));
            }
            // A machine without any says nothing about its entries.
            Json::Array(entries) => match entries.first() {
                Some(first) => places(first, &format!("{path}[]"), found),
                None => found.push(format!("{path}[]")),
            },
            _ => found.push(path.to_owned()),
        }
    }

    #[test]
    fn templates_that_hold_in_validate_hold_on_a_host() {
        let (mut promised, mut said) = (Vec::new(), Vec::new());
        places(&sample_values(), "", &mut promised);
        places(&template_values(), "", &mut said);
        let empty: Vec<String> = said.iter().filter(|path| path.ends_with("[]")).cloned().collect();
        let of_empty = |path: &String| empty.iter().any(|list| path.starts_with(list.as_str()));
        promised.retain(|path| !of_empty(path));
        said.retain(|path| !of_empty(path));
        assert_eq!(promised, said);
    }
}
