//! The operations of this host: one at a time, each with its steps, its progress and its end. The last ones are kept through
//! restarts: whoever asked for one learns what became of it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use edge_model::api::{Actor, KeptOperations, OperationKind, OperationState, OperationStatus, StepRecord};
use edge_model::{Error, Result};
use edge_planner::admission::Running;

use crate::facts;
use crate::state_file::StateFile;

/// So many are kept for those who ask what became of one.
const KEPT: usize = 32;
/// How long an interrupted operation may take to its next safe point.
const INTERRUPTION: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);

/// Why an operation is to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    Not,
    /// Somebody wants it undone.
    Cancelled,
    /// Another operation needs the host; what was begun may go on later.
    TakenOver,
}

/// How an operation hears that it is to stop.
#[derive(Debug, Clone, Default)]
pub(crate) struct StopSign(Arc<AtomicU8>);

impl StopSign {
    pub(crate) fn read(&self) -> Stop {
        match self.0.load(Ordering::Acquire) {
            0 => Stop::Not,
            1 => Stop::Cancelled,
            _ => Stop::TakenOver,
        }
    }

    fn raise(&self, stop: Stop) {
        self.0.store(stop as u8, Ordering::Release);
    }
}

struct Entry {
    status: OperationStatus,
    stop: StopSign,
    begun: Instant,
}

#[derive(Default)]
pub(crate) struct Register {
    entries: Mutex<VecDeque<Entry>>,
    /// None where nothing can be kept: in the installer.
    file: Option<StateFile<KeptOperations>>,
    /// The last one ended with a restart of the machine.
    leads_to_restart: AtomicBool,
}

/// What a new operation has to do first.
#[derive(Debug)]
pub(crate) struct Admission {
    pub(crate) status: OperationStatus,
    pub(crate) stop: StopSign,
    /// The operation that gives way, to be waited for.
    pub(crate) before: Option<u64>,
}

impl Register {
    /// With what an earlier run of the agent has left. What ran then runs no more.
    pub(crate) fn kept_in(file: StateFile<KeptOperations>) -> Self {
        let entries = file.load().operations.into_iter().map(|mut status| {
            if status.is_running() {
                let error = Error::environment("the host, or its agent, was restarted meanwhile");
                status.state =
                    OperationState::Failed { error: error.help("run it again: it goes on where it stopped") };
            }
            Entry { status, stop: StopSign::default(), begun: Instant::now() }
        });
        Self { entries: Mutex::new(entries.collect()), file: Some(file), ..Self::default() }
    }

    /// Writes the operations down: at their beginning and their end, and not for every step.
    fn keep(&self) {
        let Some(file) = &self.file else { return };
        let operations = self.all();
        let kept = file.change_or_begin(|kept| {
            kept.operations = operations;
            Ok(())
        });
        if let Err(error) = kept {
            tracing::warn!("the operations are not kept: {error}");
        }
    }

    fn entries(&self) -> MutexGuard<'_, VecDeque<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What runs now.
    pub(crate) fn running(&self) -> Option<Running> {
        self.entries().iter().rev().find(|entry| entry.status.is_running()).map(describe)
    }

    /// Makes room for an operation.
    ///
    /// # Errors
    /// Those of `may_begin`, which is told what runs.
    pub(crate) fn admit(
        &self,
        kind: OperationKind,
        by: Actor,
        may_begin: impl FnOnce(Option<&Running>) -> Result<()>,
    ) -> Result<Admission> {
        let mut entries = self.entries();
        let running = entries.iter().rev().find(|entry| entry.status.is_running());
        may_begin(running.map(describe).as_ref())?;
        let before = running.map(|running| {
            running.stop.raise(Stop::TakenOver);
            running.status.id
        });
        // Never one that an earlier run of the agent gave away, as far as the clock can be trusted.
        let id = entries.back().map_or_else(facts::now, |last| last.status.id + 1);
        let status = OperationStatus {
            id,
            operation: kind,
            by,
            started_at: facts::now(),
            state: OperationState::Running,
            step: String::new(),
            done: 0,
            total: 0,
            steps: Vec::new(),
        };
        let stop = StopSign::default();
        entries.push_back(Entry { status: status.clone(), stop: stop.clone(), begun: Instant::now() });
        if entries.len() > KEPT {
            entries.pop_front();
        }
        drop(entries);
        self.keep();
        Ok(Admission { status, stop, before })
    }

    /// Waits until an operation has given way.
    ///
    /// # Errors
    /// When it does not reach a safe point in time.
    pub(crate) fn wait_for(&self, id: u64) -> Result<()> {
        let end = Instant::now() + INTERRUPTION;
        while self.get(id).is_some_and(|status| status.is_running()) {
            if Instant::now() >= end {
                return Err(Error::rejected("the operation before this one does not stop")
                    .help("wait for its end; edge-agent status shows it"));
            }
            sleep(POLL);
        }
        Ok(())
    }

    /// Asks an operation to stop at its next safe point.
    ///
    /// # Errors
    /// When there is none with this number, or it has ended.
    pub(crate) fn cancel(&self, id: u64) -> Result<OperationStatus> {
        let entries = self.entries();
        let entry = entries.iter().find(|entry| entry.status.id == id).ok_or_else(|| no_such(id))?;
        if !entry.status.is_running() {
            return Err(Error::rejected(format!("{} has ended already", entry.status.operation)));
        }
        entry.stop.raise(Stop::Cancelled);
        Ok(entry.status.clone())
    }

    pub(crate) fn get(&self, id: u64) -> Option<OperationStatus> {
        self.entries().iter().find(|entry| entry.status.id == id).map(|entry| entry.status.clone())
    }

    /// # Errors
    /// When there is none with this number.
    pub(crate) fn find(&self, id: u64) -> Result<OperationStatus> {
        self.get(id).ok_or_else(|| no_such(id))
    }

    /// The present or last one.
    pub(crate) fn last(&self) -> Option<OperationStatus> {
        let entries = self.entries();
        let running = entries.iter().find(|entry| entry.status.is_running());
        running.or(entries.back()).map(|entry| entry.status.clone())
    }

    pub(crate) fn all(&self) -> Vec<OperationStatus> {
        self.entries().iter().map(|entry| entry.status.clone()).collect()
    }

    pub(crate) fn leads_to_restart(&self) -> bool {
        self.leads_to_restart.load(Ordering::Acquire)
    }

    pub(crate) fn set_leads_to_restart(&self, leads: bool) {
        self.leads_to_restart.store(leads, Ordering::Release);
    }

    /// The last one of a kind.
    pub(crate) fn last_of(&self, kind: OperationKind) -> Option<OperationStatus> {
        self.entries()
            .iter()
            .rev()
            .find(|entry| entry.status.operation == kind)
            .map(|entry| entry.status.clone())
    }

    /// Changes one; returns what it is then.
    pub(crate) fn update(
        &self,
        id: u64,
        change: impl FnOnce(&mut OperationStatus),
    ) -> Option<OperationStatus> {
        let mut entries = self.entries();
        let entry = entries.iter_mut().find(|entry| entry.status.id == id)?;
        change(&mut entry.status);
        let status = entry.status.clone();
        drop(entries);
        if !status.is_running() {
            self.keep();
        }
        Some(status)
    }

    /// Begins a step of one.
    pub(crate) fn step(&self, id: u64, title: &str, total: u64) -> Option<OperationStatus> {
        let mut entries = self.entries();
        let entry = entries.iter_mut().find(|entry| entry.status.id == id)?;
        let after_seconds = entry.begun.elapsed().as_secs();
        entry.status.step = title.to_owned();
        entry.status.done = 0;
        entry.status.total = total;
        entry.status.steps.push(StepRecord { title: title.to_owned(), after_seconds });
        Some(entry.status.clone())
    }
}

fn describe(entry: &Entry) -> Running {
    Running {
        kind: entry.status.operation,
        started_by: entry.status.by.subject.clone(),
        seconds: entry.begun.elapsed().as_secs(),
    }
}

fn no_such(id: u64) -> Error {
    Error::new(edge_model::Class::NotFound, format!("there is no operation {id}"))
        .help("edge-agent operation list shows the last ones")
}

#[cfg(test)]
mod tests {
    use super::*;
    use edge_model::api::Surface;

    fn site() -> Actor {
        Actor::new(Surface::Console, "site")
    }

    #[test]
    fn what_became_of_an_operation_is_known_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let run = || Register::kept_in(StateFile::new(folder.path()));
        let first = run();
        let verify = first.admit(OperationKind::Verify, site(), |_| Ok(())).unwrap().status.id;
        let done = OperationState::Done { message: "undamaged".into() };
        first.update(verify, |status| status.state = done.clone());
        let upgrade = first.admit(OperationKind::Upgrade, site(), |_| Ok(())).unwrap().status.id;
        drop(first);
        let second = run();
        assert_eq!(second.find(verify).unwrap().state, done);
        let ended = second.find(upgrade).unwrap();
        assert!(
            matches!(&ended.state, OperationState::Failed { error } if error.message.contains("restarted"))
        );
        assert!(second.running().is_none(), "nothing runs that nobody runs");
        let next = second.admit(OperationKind::Reboot, site(), |_| Ok(())).unwrap().status.id;
        assert!(next > upgrade, "numbers go on");
    }

    #[test]
    fn one_runs_at_a_time_and_the_answer_says_who_is_in_the_way() {
        let register = Register::default();
        let admit = |kind, by| register.admit(kind, Actor::new(Surface::Console, by), |_| Ok(()));
        let upgrade = admit(OperationKind::Upgrade, "site").unwrap();
        let refused = register.admit(OperationKind::Configure, site(), |running| {
            let running = running.unwrap();
            assert_eq!((running.kind, running.started_by.as_str()), (OperationKind::Upgrade, "site"));
            Err(Error::rejected("busy"))
        });
        assert!(refused.is_err() && register.all().len() == 1);
        register.cancel(upgrade.status.id).unwrap();
        assert_eq!(upgrade.stop.read(), Stop::Cancelled);
        let done = OperationState::Done { message: "ok".into() };
        register.update(upgrade.status.id, |status| status.state = done);
        assert!(register.cancel(upgrade.status.id).is_err());
        let verify = admit(OperationKind::Verify, "root").unwrap();
        let next = admit(OperationKind::Upgrade, "site").unwrap();
        assert_eq!((next.before, verify.stop.read()), (Some(verify.status.id), Stop::TakenOver));
        assert!(next.status.id > verify.status.id);
        assert_eq!(register.last().map(|last| last.id), Some(verify.status.id), "it still runs");
    }
}
