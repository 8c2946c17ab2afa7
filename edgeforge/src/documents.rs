//! `validate`, `convert` and `schema`: the documents of hosts and sites, on the engineer's machine.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::ValueEnum;
use edge_cli::Reader;
use edge_host::files;
use edge_model::cluster::ClusterDefinition;
use edge_model::document::{Document, Problem, Severity};
use edge_model::forge::Forge;
use edge_model::unattended::Unattended;
use edge_model::user_data::UserData;
use edge_model::{Context, Error, Result};
use edge_planner::configuration::convert::{self, Spelling};
use edge_planner::configuration::{self, Form};

/// What a file is, when its name and text do not tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    UserData,
    Unattended,
    MetaData,
    NetworkConfig,
    Forge,
    Cluster,
}

impl Kind {
    fn form(self) -> Form {
        match self {
            Kind::UserData => Form::UserData,
            Kind::Unattended => Form::Unattended,
            Kind::MetaData => Form::MetaData,
            Kind::NetworkConfig => Form::NetworkConfig,
            Kind::Forge => Form::Forge,
            Kind::Cluster => Form::Cluster,
        }
    }
}

/// Whose names the section of user data has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum To {
    Edge,
    Palette,
}

/// Documents with a schema for editors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SchemaOf {
    UserData,
    Unattended,
    Forge,
    Cluster,
}

/// Checks files and prints every finding. Tells whether they can be used.
///
/// # Errors
/// When a file cannot be read or is of no known kind.
pub(crate) fn validate(paths: &[PathBuf], kind: Option<Kind>, reader: Reader) -> Result<bool> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map(|since| since.as_secs()).ok();
    let mut all = Vec::new();
    for path in paths {
        all.extend(examine(path, kind, now)?);
    }
    let usable = all.iter().all(|problem| problem.severity < Severity::Error);
    reader.tell(&all, |all| all.iter().for_each(|problem| println!("{problem}")))?;
    let count = |severity| all.iter().filter(|problem| problem.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    match (errors, warnings) {
        (0, 0) => eprintln!("the documents are right"),
        _ => eprintln!("{errors} errors, {warnings} warnings"),
    }
    Ok(usable)
}

fn examine(path: &Path, kind: Option<Kind>, now: Option<u64>) -> Result<Vec<Problem>> {
    let name = path.display().to_string();
    let text = files::read_text(path)?;
    let form = kind.map(Kind::form).or_else(|| Form::of(&name, &text)).ok_or_else(|| {
        Error::invalid(format!("{name}: neither its name nor its text tells what it is"))
            .help("say --kind user-data, unattended, meta-data, network-config, forge or cluster")
    })?;
    Ok(configuration::examine(form, &name, &text, now))
}

/// Prints user data in the other spelling.
///
/// # Errors
/// When the file is not YAML.
pub(crate) fn convert(path: &Path, to: To, reader: Reader) -> Result<()> {
    let name = path.display().to_string();
    let spelling = match to {
        To::Edge => Spelling::Edge,
        To::Palette => Spelling::Palette,
    };
    let (text, problems) = convert::convert(&name, &files::read_text(path)?, spelling)
        .map_err(|problem| Error::invalid(problem.to_string()))?;
    problems.iter().for_each(|problem| eprintln!("{problem}"));
    reader.tell(&serde_json::json!({ "document": text }), |_| print!("{text}"))
}

/// Prints the JSON Schema of a document.
///
/// # Errors
/// When it cannot be printed.
pub(crate) fn schema(of: SchemaOf) -> Result<()> {
    let schema = match of {
        SchemaOf::UserData => UserData::schema(),
        SchemaOf::Unattended => Unattended::schema(),
        SchemaOf::Forge => Forge::schema(),
        SchemaOf::Cluster => ClusterDefinition::schema(),
    };
    println!("{}", serde_json::to_string_pretty(schema.json()).context("cannot print the schema")?);
    Ok(())
}

/// Refuses documents of a project that no host could use; says what is worth knowing about the others.
///
/// # Errors
/// [`edge_model::Class::InvalidInput`] with every error.
pub(crate) fn check(form: Form, name: &str, text: &str) -> Result<()> {
    let problems = configuration::examine(form, name, text, None);
    if let Some(error) = edge_model::document::problem::as_error(name, &problems) {
        return Err(error);
    }
    for problem in problems.iter().filter(|problem| problem.severity == Severity::Warning) {
        eprintln!("{problem}");
    }
    Ok(())
}
