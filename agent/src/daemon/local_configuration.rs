//! Documents that are told to the agent on the host: checked, kept in `/oem`, and put to use at once.

use std::path::Path;
use std::sync::Arc;

use edge_host::files;
use edge_model::api::{ConfigurationAnswer, ConfigurationRequest, NetworkState, OperationState};
use edge_model::cmdline::Mode;
use edge_model::document::{Severity, problem};
use edge_model::{Error, Result, paths};
use edge_planner::configuration::{self, Form, Kind, Source, for_the_host};

use super::{Shared, network_care};
use crate::configuration::{Settings, hash_password, of_host};

/// Takes a document in place of the one that was told before.
///
/// # Errors
/// What is wrong with it, or why it cannot be used now. Nothing is changed then.
pub(super) fn take(shared: &Arc<Shared>, request: &ConfigurationRequest) -> Result<ConfigurationAnswer> {
    may_change(shared)?;
    let problems = configuration::examine(Form::UserData, &request.name, &request.text, None);
    if let Some(error) = problem::as_error(&request.name, &problems) {
        return Err(error);
    }
    let text = for_the_host(Form::UserData, &request.name, &request.text, &mut hash_password)?;
    must_fit_the_rest(&request.name, &text)?;
    let path = Path::new(paths::OEM_LOCAL);
    let before = files::read_text_if_there(path)?.unwrap_or_default();
    files::write_durably(path, text.as_bytes(), 0o600)?;
    shared.reload_settings();
    let message = match network_care::apply_now(shared) {
        Ok(message) => message,
        Err(error) => {
            files::write_durably(path, before.as_bytes(), 0o600)?;
            shared.reload_settings();
            return Err(error);
        }
    };
    let findings = problems.iter().filter(|problem| problem.severity < Severity::Error);
    Ok(ConfigurationAnswer { message, findings: findings.map(ToString::to_string).collect() })
}

fn may_change(shared: &Shared) -> Result<()> {
    if shared.host.record.mode != Mode::Main {
        return Err(Error::rejected("only the normal system takes a configuration"));
    }
    if matches!(shared.network(), NetworkState::Trial { .. }) {
        return Err(
            Error::rejected("a change of the network is on trial").help("wait for its end, or confirm it")
        );
    }
    if shared.operation().is_some_and(|operation| operation.state == OperationState::Running) {
        return Err(
            Error::rejected("an operation is running").help("wait for its end; edge-agent status shows it")
        );
    }
    if shared.host.booted()?.state() == edge_model::api::BootState::Trial {
        return Err(Error::rejected("a new image is on trial").help("wait until it has proved itself"));
    }
    Ok(())
}

/// A document may be right by itself and contradict what is there.
fn must_fit_the_rest(name: &str, text: &str) -> Result<()> {
    let (mut sources, problems) = of_host();
    sources.retain(|source| source.kind != Kind::Local);
    let before = Settings::from(&sources, problems.clone());
    sources.push(Source { kind: Kind::Local, form: Form::UserData, name: name.into(), text: text.into() });
    let after = Settings::from(&sources, problems);
    let known: Vec<String> = before.configuration.problems.iter().map(ToString::to_string).collect();
    let new: Vec<_> = after
        .configuration
        .problems
        .into_iter()
        .filter(|problem| !known.contains(&problem.to_string()))
        .collect();
    problem::as_error(name, &new).map_or(Ok(()), Err)
}
