//! Operations of the daemon: from what was asked for to the end of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use edge_host::machine::Machine;
use edge_host::power;
use edge_model::Result;
use edge_model::api::audit::{self, AuditRecord};
use edge_model::api::black_box::Ending;
use edge_model::api::{Actor, EventKind, OperationKind, OperationRequest, OperationState, OperationStatus};
use edge_planner::admission::{self, Wish};

use super::Shared;
use super::notices::Said;
use super::register::{Admission, Stop, StopSign};
use super::{local_configuration, support};
use crate::operations::{self, Afterwards, Outcome};
use crate::report::{Report, cancelled};
use crate::{black_box, clock, facts};

/// Progress is told at most so often.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(250);

impl Shared {
    /// Starts an operation in a thread of its own.
    ///
    /// # Errors
    /// [`edge_model::Class::Rejected`] while another one runs that does not give way.
    pub(crate) fn start(self: &Arc<Self>, request: OperationRequest, by: Actor) -> Result<OperationStatus> {
        let facts = self.admission_facts();
        let wish = match request {
            OperationRequest::Reboot { recovery: true } => Wish::RebootIntoRecovery,
            _ => Wish::Operation(request.kind()),
        };
        let admission = self
            .operations
            .admit(request.kind(), by, |running| admission::may_begin(&facts, wish, running))?;
        let status = admission.status.clone();
        tracing::info!(
            operation = status.id,
            actor = %status.by,
            surface = ?status.by.surface,
            "{} {} was asked for by {}",
            status.operation,
            status.id,
            status.by
        );
        self.tell(Some(status.clone()));
        let shared = self.clone();
        std::thread::spawn(move || shared.run(&request, &admission));
        Ok(status)
    }

    fn run(self: &Arc<Self>, request: &OperationRequest, admission: &Admission) {
        let id = admission.status.id;
        let mut reporter = Reporter { shared: self, id, stop: admission.stop.clone(), told: Instant::now() };
        let waited = admission.before.map_or(Ok(()), |before| {
            reporter.step("waiting for another operation to stop", 0);
            self.operations.wait_for(before)
        });
        // It may have been stopped while it waited.
        let result = waited
            .and_then(|()| reporter.progress(0))
            .and_then(|()| self.perform(request, admission, &mut reporter));
        let afterwards = result.as_ref().map_or(Afterwards::Stay, |outcome| outcome.afterwards);
        self.operations.set_leads_to_restart(afterwards == Afterwards::Restart);
        let state = match result {
            Ok(outcome) => OperationState::Done { message: outcome.message },
            Err(error) => {
                tracing::error!(operation = id, "{} failed: {error}", request.kind());
                OperationState::Failed { error }
            }
        };
        let ended = self.operations.update(id, |status| status.state = state);
        self.somebody_works();
        if let Some(status) = &ended {
            self.write_down(status);
        }
        self.tell(ended);
        self.refresh();
        self.leave(afterwards, request.kind(), &admission.status.by.subject);
    }

    fn perform(
        self: &Arc<Self>,
        request: &OperationRequest,
        admission: &Admission,
        reporter: &mut Reporter<'_>,
    ) -> Result<Outcome> {
        match request {
            OperationRequest::Configure(document) => {
                local_configuration::take(self, document, reporter, &admission.stop).map(Outcome::stay)
            }
            OperationRequest::SupportBundle { stick } => {
                support::make(self, *stick, reporter).map(Outcome::stay)
            }
            other => operations::run(other, &self.host, &self.settings(), reporter),
        }
    }

    /// How an operation ended belongs to who began it.
    fn write_down(&self, status: &OperationStatus) {
        let (message, outcome) = match &status.state {
            OperationState::Running => return,
            OperationState::Done { message } => (message.clone(), audit::Outcome::Accepted { status: 200 }),
            OperationState::Failed { error } => {
                let (status, reason) = (error.class.http_status(), error.to_string());
                (String::new(), audit::Outcome::Refused { status, reason })
            }
        };
        let record = AuditRecord {
            sequence: 0,
            at: facts::now(),
            clock_is_set: clock::is_set(),
            edge_host_id: facts::host_id(),
            actor: status.by.subject.clone(),
            surface: status.by.surface,
            order: status.by.order.clone(),
            actor_type: String::new(),
            from: "the agent".into(),
            action: "end of operation".into(),
            resource_kind: "operations".into(),
            resource_id: status.id.to_string(),
            resource_name: status.operation.to_string(),
            content_msg: message,
            before: None,
            after: None,
            outcome,
        };
        if let Err(error) = self.audit.append(record) {
            self.notice(Said::failed("an audit record was not written", &error));
        }
    }

    /// Restarts or switches off, with the reason in the black box.
    fn leave(&self, afterwards: Afterwards, kind: OperationKind, by: &str) {
        let reason = format!("{kind}, asked for by {by}");
        let (ending, leave): (_, fn(&Machine) -> Result<()>) = match afterwards {
            Afterwards::Stay => return,
            Afterwards::Restart => (Ending::Restarted { reason }, power::restart),
            Afterwards::SwitchOff => (Ending::SwitchedOff { reason }, power::switch_off),
        };
        if let Err(error) = black_box::intend(&self.host.machine, ending) {
            self.notice(Said::failed("the reason of the restart was not recorded", &error));
        }
        if let Err(error) = leave(&self.host.machine) {
            self.notice(Said::failed("", &error));
        }
    }

    /// News of an operation, which is part of the status too.
    fn tell(&self, status: Option<OperationStatus>) {
        let Some(status) = status else { return };
        self.board.show_operation(self.operations.last());
        self.events.emit(EventKind::Operation(status));
    }
}

struct Reporter<'a> {
    shared: &'a Shared,
    id: u64,
    stop: StopSign,
    told: Instant,
}

impl Report for Reporter<'_> {
    fn step(&mut self, title: &str, total: u64) {
        tracing::info!(operation = self.id, "{title}");
        self.shared.tell(self.shared.operations.step(self.id, title, total));
    }

    fn progress(&mut self, done: u64) -> Result<()> {
        if self.stop.read() != Stop::Not {
            return Err(cancelled());
        }
        if self.told.elapsed() >= PROGRESS_INTERVAL {
            self.told = Instant::now();
            self.shared.tell(self.shared.operations.update(self.id, |status| status.done = done));
        }
        Ok(())
    }
}
