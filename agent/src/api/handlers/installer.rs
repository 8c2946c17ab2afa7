//! The installer's questions: which disk, which answers, and where to write them down.

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use edge_host::{files, sticks};
use edge_model::api::installer::{Answers, AnswersRequest, ExportRequest, Message};
use edge_model::document::{print, problem};
use edge_model::{Class, Context, Error, Result};
use edge_planner::configuration::{self, Form, edit};
use edge_planner::host_kind::HostKind;

use super::operations::answer_of;
use super::{blocking, parse};
use crate::api::Door;
use crate::api::answer::{Answer, AuditDetail, ok, with_detail};
use crate::api::caller::Caller;
use crate::configuration::console_answers;
use crate::daemon::installer;
use crate::operations::install;

const FILE: &str = "unattended.yaml";

fn only_in_the_installer(door: &Door) -> Result<()> {
    if door.shared.host.kind == HostKind::Installer {
        return Ok(());
    }
    Err(Error::rejected("this host is installed already")
        .help("boot the machine from an installation medium"))
}

pub(super) async fn volumes(State(door): State<Arc<Door>>) -> Answer {
    let disk = door.shared.host.record.disk.clone();
    ok(blocking(move || sticks::removable(&disk)).await?)
}

pub(super) async fn disks(State(door): State<Arc<Door>>) -> Answer {
    only_in_the_installer(&door)?;
    ok(blocking(move || install::survey(&door.shared.host)).await?)
}

/// The answers as they are known, from the medium, from sticks and from the console.
fn known(door: &Door) -> Answers {
    let settings = door.shared.settings();
    let mut answers = edit::answers(&settings.configuration.tree);
    let hidden = edit::hide_secrets(&mut answers);
    Answers { text: print::to_yaml(&answers), hidden, findings: settings.complaints() }
}

pub(super) async fn answers(State(door): State<Arc<Door>>) -> Answer {
    only_in_the_installer(&door)?;
    ok(known(&door))
}

pub(super) async fn change_answers(State(door): State<Arc<Door>>, body: Bytes) -> Answer {
    only_in_the_installer(&door)?;
    let request: AnswersRequest = parse(&body)?;
    let answers = blocking(move || {
        let problems = configuration::examine(Form::Unattended, FILE, &request.text, None);
        if let Some(error) = problem::as_error("the answers", &problems) {
            return Err(error);
        }
        let before = edit::answers(&door.shared.settings().configuration.tree);
        console_answers::store(&edit::keep_secrets(FILE, &request.text, &before)?)?;
        door.shared.reload_settings();
        Ok(known(&door))
    })
    .await?;
    ok(answers)
}

pub(super) async fn start(State(door): State<Arc<Door>>, Extension(caller): Extension<Caller>) -> Answer {
    only_in_the_installer(&door)?;
    let status = blocking(move || installer::begin(&door.shared, caller.actor())).await?;
    answer_of(status)
}

/// Writes everything that would repeat this installation on the next machine, with its secrets: the stick is the
/// operator's.
pub(super) async fn export(State(door): State<Arc<Door>>, body: Bytes) -> Answer {
    only_in_the_installer(&door)?;
    let request: ExportRequest = parse(&body)?;
    let device = request.device.clone();
    let message = blocking(move || {
        let volumes = sticks::removable(&door.shared.host.record.disk)?;
        let volume = volumes.into_iter().find(|volume| volume.device == request.device).ok_or_else(|| {
            Error::new(Class::NotFound, format!("there is no stick {:?}", request.device))
                .help("plug a stick with FAT32, exFAT or ext4 in")
        })?;
        let answers = edit::answers(&door.shared.settings().configuration.tree);
        let answers = if request.this_machine { answers } else { edit::template(&answers) };
        let text = print::to_yaml(&answers);
        sticks::use_volume(&volume, |folder| {
            files::write_durably(&folder.join(FILE), text.as_bytes(), 0o600)
                .with_context(|| format!("{FILE} cannot be written to {}", volume.device))
        })?;
        let help = if volume.label.eq_ignore_ascii_case("EDGEDATA") {
            String::new()
        } else {
            "; name the stick EDGEDATA and the next medium finds it".into()
        };
        let what = if request.this_machine { "for this machine" } else { "a template for others" };
        Ok(format!("{FILE} is on the stick {}, {what}{help}", volume.device))
    })
    .await?;
    let detail = AuditDetail { resource_name: device, ..AuditDetail::default() };
    with_detail(ok(Message { message, findings: Vec::new() }), detail)
}
