//! Documents that are told to the agent on the host: checked, kept in `/oem`, and put to use at once.

use std::path::Path;

use edge_host::files;
use edge_model::api::ConfigurationRequest;
use edge_model::document::problem;
use edge_model::{Context, Error, Result, paths};
use edge_planner::configuration::{self, Form, Kind, Source, for_the_host};

use super::Shared;
use super::network_care::{self, Applied};
use super::register::StopSign;
use crate::configuration::{Settings, hash_password, of_host, tried};
use crate::network_trial;
use crate::report::Report;

/// Takes a document in place of the one that was told before, and follows a changed network to the end of its trial.
///
/// # Errors
/// What is wrong with it, why it cannot be used now, or that the new network did not prove itself: then what was told
/// before is what is wanted again.
pub(super) fn take(
    shared: &Shared,
    request: &ConfigurationRequest,
    report: &mut dyn Report,
    stop: &StopSign,
) -> Result<String> {
    report.step("checking the document", 0);
    tried::must_be_readable(&request.name, Form::UserData, &request.text)?;
    let problems = configuration::examine(Form::UserData, &request.name, &request.text, None);
    if let Some(error) = problem::as_error(&request.name, &problems) {
        return Err(error);
    }
    let text = for_the_host(Form::UserData, &request.name, &request.text, &mut hash_password)?;
    let after = must_fit_the_rest(&request.name, &text)?;
    let changes_network =
        network_trial::wanted(&after.data) != network_trial::wanted(&shared.settings().data);
    report.step("applying the configuration", 0);
    let path = Path::new(paths::OEM_LOCAL);
    let before = files::read_text_if_there(path)?.unwrap_or_default();
    if changes_network {
        // A trial may end in another boot.
        files::write_durably(Path::new(paths::OEM_LOCAL_BEFORE), before.as_bytes(), 0o600)?;
    }
    files::write_durably(path, text.as_bytes(), 0o600)?;
    shared.reload_settings();
    match network_care::apply_now(shared, changes_network, report, stop) {
        Ok(Applied::Adjourned(message)) => Ok(message.into()),
        Ok(Applied::Used(message)) => {
            keep()?;
            Ok(message.into())
        }
        Ok(Applied::Returned) => Err(Error::rejected(
            "the new network did not prove itself: the last one that did is used",
        )
        .help("nothing answered at the gateway or at edge.site.network.peers; edge-agent config confirm keeps a network that only you can reach")),
        Err(error) => {
            files::write_durably(path, before.as_bytes(), 0o600)?;
            keep()?;
            shared.reload_settings();
            Err(error)
        }
    }
}

/// The change has proved itself, or needed no proof.
///
/// # Errors
/// When `/oem` cannot be written.
pub(super) fn keep() -> Result<()> {
    match std::fs::remove_file(paths::OEM_LOCAL_BEFORE) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        result => {
            result.context("cannot keep the change")?;
            files::sync_folder(Path::new(paths::OEM_EDGE))
        }
    }
}

/// What was told before a change is what is wanted again: forms and documents show what is used. Tells whether there was
/// something to take back.
///
/// # Errors
/// When `/oem` cannot be written.
pub(super) fn take_back(shared: &Shared) -> Result<bool> {
    match std::fs::rename(paths::OEM_LOCAL_BEFORE, paths::OEM_LOCAL) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        result => result.context("cannot take the change back")?,
    }
    files::sync_folder(Path::new(paths::OEM_EDGE))?;
    shared.reload_settings();
    Ok(true)
}

/// A document may be right by itself and contradict what is there.
fn must_fit_the_rest(name: &str, text: &str) -> Result<Settings> {
    let (mut sources, problems) = of_host();
    sources.retain(|source| source.kind != Kind::Local);
    let before = Settings::from(&sources, problems.clone());
    sources.push(Source { kind: Kind::Local, form: Form::UserData, name: name.into(), text: text.into() });
    let after = Settings::from(&sources, problems);
    let known: Vec<String> = before.configuration.problems.iter().map(ToString::to_string).collect();
    let problems = after.configuration.problems.iter();
    let new: Vec<_> = problems.filter(|problem| !known.contains(&problem.to_string())).cloned().collect();
    problem::as_error(name, &new).map_or(Ok(after), Err)
}
