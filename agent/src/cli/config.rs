//! `edge-agent config`: what this host is configured to be, why, and how to change it.

use std::path::PathBuf;

use clap::Subcommand;
use edge_cli::Reader;
use edge_client::Client;
use edge_host::files;
use edge_host::machine::Machine;
use edge_model::api::{ConfigurationRequest, OperationRequest};
use edge_model::document::{Node, Problem, Severity, print};
use edge_model::{Error, Result, paths};
use edge_planner::configuration::{self, Form, origin};

use super::{operate, red, say};
use crate::configuration::{Settings, site};
use crate::facts::Host;

#[derive(Subcommand)]
pub(super) enum Config {
    /// Show the merged configuration
    Show {
        /// Say where every value comes from
        #[arg(long)]
        origin: bool,
        /// Only the values below a key, like edge.site
        #[arg(long, value_name = "KEY")]
        effective: Option<String>,
    },
    /// Use a document on this host; what can cut it off is on trial first
    Apply {
        /// User data
        file: PathBuf,
        /// Check the document and change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Keep the network that is on trial
    Confirm,
    /// Put the configuration of the last healthy boot in the place of the present one, and restart
    Restore {
        /// Forget what volumes and operators have brought, instead
        #[arg(long)]
        without_site: bool,
    },
    /// Let the next boot read site user data from outside again
    Unclaim,
}

impl Config {
    pub(super) fn run(self, reader: Reader) -> Result<()> {
        match self {
            Config::Show { origin, effective } => {
                show(origin, effective.as_deref().unwrap_or_default(), reader)
            }
            Config::Apply { file, dry_run } => apply(&file, dry_run, reader),
            Config::Confirm => say(reader, &Client::new()?.confirm_network()?.message),
            Config::Restore { without_site } => {
                operate(reader, &OperationRequest::RestoreConfiguration { without_site })
            }
            Config::Unclaim => {
                site::unclaim(&Machine::real())?;
                say(reader, "the next boot reads what lies beside this machine")
            }
        }
    }
}

fn show(with_origin: bool, below: &str, reader: Reader) -> Result<()> {
    may_read()?;
    let settings = Settings::load(Host::observe()?.kind);
    let tree = &settings.configuration.tree;
    let values = origin::list(tree, below);
    if values.is_empty() && !below.is_empty() {
        return Err(Error::invalid(format!("nothing sets {below}")).help("edge-agent config show --origin"));
    }
    reader.tell(&values, |values| {
        if with_origin { print_with_origin(values) } else { print_document(tree, below) }
    })?;
    report(&settings.configuration.problems);
    Ok(())
}

fn print_with_origin(values: &[origin::Origin]) {
    let width = values.iter().map(|value| value.key.len() + value.value.len() + 3).max().unwrap_or(0).min(72);
    for value in values {
        let shown = value.value.lines().next().unwrap_or_default();
        println!("{:<width$}  # {}", format!("{} = {shown}", value.key), value.origin);
    }
}

fn print_document(tree: &Node, below: &str) {
    let mut shown = tree.find(below).cloned().unwrap_or_else(|| tree.clone());
    let mut whole = tree.clone();
    origin::redact(&mut whole);
    if let Some(redacted) = whole.find(below) {
        shown = redacted.clone();
    }
    print!("{}", print::to_yaml(&shown));
}

/// To somebody who may not see it, a host would look as if nothing were configured.
fn may_read() -> Result<()> {
    match std::fs::read_dir(paths::OEM) {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            Err(Error::rejected("only root may read the configuration of this host")
                .help("sudo edge-agent config show"))
        }
        _ => Ok(()),
    }
}

fn report(problems: &[Problem]) {
    for problem in problems {
        match problem.severity {
            Severity::Error => eprintln!("{}", red(&problem.to_string())),
            Severity::Warning | Severity::Note => eprintln!("{problem}"),
        }
    }
}

fn apply(file: &std::path::Path, dry_run: bool, reader: Reader) -> Result<()> {
    let text = files::read_text(file)?;
    let name = file.display().to_string();
    let problems = configuration::examine(Form::UserData, &name, &text, None);
    report(&problems);
    if let Some(error) = edge_model::document::problem::as_error(&name, &problems) {
        return Err(error);
    }
    if dry_run {
        return say(reader, &format!("{name} can be used"));
    }
    operate(reader, &OperationRequest::Configure(ConfigurationRequest { name, text }))
}
