//! One configuration from many sources: who comes before whom, what each may say, and where every value came from.

mod answers;
mod cloud_init;
pub mod convert;
pub mod edit;
mod merge;
mod network_config;
pub mod origin;
pub mod templates;
mod values;

pub(crate) use values::addresses;

use edge_model::document::{self, Document, Node, Part, Place, Problem, Severity};
use edge_model::forge::Forge;
use edge_model::unattended::Unattended;
use edge_model::user_data::{self, UserData};
use edge_model::{Error, Result};

use crate::cluster;

/// Kinds of sources, low to high: a later kind overrules an earlier one, and within a kind a later source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `/system/oem` in the verified image.
    Image,
    /// `/usr/local/cloud-config`, where plug-ins write.
    PlugIn,
    /// The medium's user data; on a host `/oem`.
    UserData,
    /// The volume `cidata`.
    Site,
    /// SMBIOS strings and system credentials.
    Machine,
    KernelCommandLine,
    /// The unattended file, or what the operator told the installer.
    Unattended,
    /// What was told to the agent on the host.
    Local,
}

impl Kind {
    /// Whether the source lies outside the verified image and the host's own partitions.
    fn is_foreign(self) -> bool {
        matches!(self, Kind::Site | Kind::Machine | Kind::KernelCommandLine | Kind::Unattended)
    }
}

/// What a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    UserData,
    Unattended,
    /// NoCloud's `meta-data`.
    MetaData,
    /// NoCloud's `network-config`.
    NetworkConfig,
    /// `key.key=value` words of the kernel command line.
    KernelWords,
    /// A builder's project.
    Forge,
    /// A cluster definition.
    Cluster,
}

impl Form {
    /// Guesses from name and text.
    pub fn of(name: &str, text: &str) -> Option<Self> {
        let base = name.rsplit('/').next().unwrap_or(name);
        let base = base.trim_end_matches(".yaml").trim_end_matches(".yml");
        match base {
            "forge" => return Some(Form::Forge),
            "unattended" => return Some(Form::Unattended),
            "meta-data" => return Some(Form::MetaData),
            "network-config" => return Some(Form::NetworkConfig),
            "user-data" => return Some(Form::UserData),
            "cluster" => return Some(Form::Cluster),
            _ if user_data::has_header(text) => return Some(Form::UserData),
            _ => {}
        }
        // A document without a header is known by its keys.
        let node = document::tree::read(name, text).ok()?;
        if node.get("kind").and_then(Node::scalar) == Some("Cluster") {
            return Some(Form::Cluster);
        }
        let knows = |schema: &document::Schema, key: &str| schema.root().property(key).is_some();
        let keys: Vec<&str> = node.entries().iter().map(|entry| entry.key.as_str()).collect();
        let score = |schema| keys.iter().filter(|key| knows(schema, key)).count();
        let (user_data, unattended) = (score(UserData::schema()), score(Unattended::schema()));
        match (user_data, unattended) {
            (0, 0) => None,
            (user_data, unattended) if user_data >= unattended => Some(Form::UserData),
            _ => Some(Form::Unattended),
        }
    }
}

/// One document and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    pub kind: Kind,
    pub form: Form,
    pub name: String,
    pub text: String,
}

/// What a host has proved about how it was started.
#[derive(Debug, Clone, Copy, Default)]
pub struct Trust {
    /// The firmware checks signatures: foreign sources may not carry code, accounts or keys.
    pub secure_boot: bool,
    /// Seconds since 1970, where the clock is known to be right.
    pub now: Option<u64>,
}

/// The merged configuration.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// In the spelling of user data; every value knows its place.
    pub tree: Node,
    pub problems: Vec<Problem>,
    /// Names of the sources that were read, low to high.
    pub sources: Vec<String>,
}

impl Configuration {
    /// The typed configuration.
    ///
    /// # Errors
    /// [`edge_model::Class::Internal`] when schema and types disagree.
    pub fn settings(&self) -> Result<UserData> {
        document::typed(&self.tree)
    }

    /// All errors as one, for an installation that must not go on.
    pub fn error(&self) -> Option<Error> {
        document::problem::as_error("the configuration", &self.problems)
    }

    pub fn has_errors(&self) -> bool {
        self.problems.iter().any(|problem| problem.severity == Severity::Error)
    }
}

/// Merges sources. What is wrong in one is reported and left out; the rest stands.
pub fn combine(sources: &[Source], trust: Trust) -> Configuration {
    let mut ordered: Vec<&Source> = sources.iter().collect();
    ordered.sort_by_key(|source| source.kind);
    let mut tree = Node::empty(Place::whole("the configuration"));
    let mut problems = Vec::new();
    for source in &ordered {
        let mut node = read(source, &mut problems);
        if trust.secure_boot && source.kind.is_foreign() {
            restrict(&mut node, source.kind, &mut problems);
        }
        merge::merge(&mut tree, node, Some(UserData::schema().root()), "", &mut problems);
    }
    add_public_keys(&mut tree, &ordered, trust, &mut problems);
    values::check(&tree, trust.now, &mut problems);
    let sources = ordered.iter().map(|source| source.name.clone()).collect();
    Configuration { tree, problems, sources }
}

const NEEDS_A_SIGNATURE: &str = "not applied: with Secure Boot this needs a signature by a key in the image";

/// Keys of `meta-data` are added to the operator's. Where there is none, somebody is told.
fn add_public_keys(tree: &mut Node, sources: &[&Source], trust: Trust, problems: &mut Vec<Problem>) {
    for source in sources.iter().filter(|source| source.form == Form::MetaData) {
        let Some((place, keys)) = cloud_init::public_keys(&source.name, &source.text) else { continue };
        if trust.secure_boot && source.kind.is_foreign() {
            problems.push(Problem::error(place, "public-keys", NEEDS_A_SIGNATURE));
            continue;
        }
        if tree.find("edge.operator.name").is_none() {
            problems.push(
                Problem::warning(place, "public-keys", "no account gets these keys")
                    .help("name one: `operator: {name: site}` in unattended.yaml, or `edge.operator.name`"),
            );
            continue;
        }
        let known = tree.find("edge.operator.sshKeys").cloned();
        let mut all = match known.map(|known| known.value) {
            Some(document::tree::Value::List(items)) => items,
            _ => Vec::new(),
        };
        let new = keys.into_iter().filter(|key| !all.iter().any(|known| known.scalar() == key.scalar()));
        all.extend(new.collect::<Vec<_>>());
        let value = Node { place: place.clone(), value: document::tree::Value::List(all) };
        let entry = document::tree::Entry { key: "sshKeys".into(), key_place: place, value };
        tree.put(&["edge", "operator", "sshKeys"], entry);
    }
}

/// One source in the spelling of user data, without what is wrong in it.
fn read(source: &Source, problems: &mut Vec<Problem>) -> Node {
    let (node, found) = match source.form {
        Form::UserData | Form::Forge | Form::Cluster => {
            document::read::<UserData>(&source.name, &source.text)
        }
        Form::Unattended => {
            let (node, found) = document::read::<Unattended>(&source.name, &source.text);
            (answers::into_user_data(node), found)
        }
        Form::MetaData => cloud_init::meta_data(&source.name, &source.text),
        Form::NetworkConfig => network_config::network_config(&source.name, &source.text),
        Form::KernelWords => cloud_init::kernel_words(&source.name, &source.text),
    };
    problems.extend(found);
    node
}

/// Leaves of an unsigned source from outside the verified image what it may say on a host with Secure Boot: what is marked in the
/// types ([`Part::may_come_from_site`]). Not what nothing of ours acts on yet: plug-ins are given all of it.
fn restrict(node: &mut Node, kind: Kind, problems: &mut Vec<Problem>) {
    if kind == Kind::KernelCommandLine {
        for entry in node.entries() {
            let message = "not applied: with Secure Boot only a signed command line may configure the host";
            problems.push(Problem::warning(entry.key_place.clone(), &entry.key, message));
        }
        *node = Node::empty(node.place.clone());
        return;
    }
    keep_what_a_site_may_say(node, UserData::schema().root(), "", problems);
}

fn keep_what_a_site_may_say(node: &mut Node, part: Part<'_>, path: &str, problems: &mut Vec<Problem>) {
    let document::tree::Value::Map(entries) = &mut node.value else { return };
    entries.retain_mut(|entry| {
        let path = if path.is_empty() { entry.key.clone() } else { format!("{path}.{}", entry.key) };
        let property = part.property(&entry.key);
        if property.is_some_and(|property| property.may_come_from_site()) {
            return true;
        }
        if let Some(section) = property.filter(holds_something_for_sites)
            && matches!(entry.value.value, document::tree::Value::Map(_))
        {
            keep_what_a_site_may_say(&mut entry.value, section, &path, problems);
            return true;
        }
        // What would change little here stops no installation.
        let matters_little = property.is_some_and(|property| property.is_not_yet());
        let problem = if matters_little { Problem::warning } else { Problem::error };
        problems.push(problem(entry.key_place.clone(), &path, NEEDS_A_SIGNATURE));
        false
    });
}

fn holds_something_for_sites(part: &Part<'_>) -> bool {
    part.properties().any(|(_, below)| below.may_come_from_site() || holds_something_for_sites(&below))
}

/// A site's user data as a host with Secure Boot may use it: without code, accounts and keys.
pub fn without_code(node: &mut Node, problems: &mut Vec<Problem>) {
    restrict(node, Kind::Site, problems);
}

/// Everything that can be said about one document by itself, for `validate`.
pub fn examine(form: Form, name: &str, text: &str, now: Option<u64>) -> Vec<Problem> {
    let mut problems = Vec::new();
    match form {
        Form::Forge => {
            problems = document::read::<Forge>(name, text).1;
            if problems.iter().all(|problem| problem.severity != Severity::Error)
                && let Err(error) = Forge::parse(name, text)
            {
                problems.push(Problem::error(Place::whole(name), "", error.to_string()));
            }
        }
        Form::Cluster => problems = cluster::check::examine(name, text),
        Form::Unattended => {
            let node = read(&source(form, name, text), &mut problems);
            let mut of_values = Vec::new();
            values::check(&node, now, &mut of_values);
            for problem in &mut of_values {
                problem.path = answers::path_in_answers(&problem.path);
            }
            problems.extend(of_values);
        }
        _ => {
            let mut node = read(&source(form, name, text), &mut problems);
            templates::fill_in(&mut node, &templates::sample_values, &mut problems);
            values::check(&node, now, &mut problems);
            if form == Form::UserData && !user_data::has_header(text) && !text.trim().is_empty() {
                let place = Place { line: 1, column: 1, ..Place::whole(name) };
                problems.push(
                    Problem::warning(place, "", "the first line is not #cloud-config")
                        .help("without it other systems do not read this file"),
                );
            }
        }
    }
    problems.sort_by_key(|problem| (problem.place.line, problem.place.column));
    problems
}

fn source(form: Form, name: &str, text: &str) -> Source {
    Source { kind: Kind::UserData, form, name: name.to_owned(), text: text.to_owned() }
}

/// A document for the host: without steps that must not be kept, and without plain passwords, for which
/// `hash` makes what stands there instead. Text that needs no change stays as it was written.
///
/// # Errors
/// When the text is not YAML or a password cannot be hashed.
pub fn for_the_host(
    form: Form,
    name: &str,
    text: &str,
    hash: &mut dyn FnMut(&str) -> Result<String>,
) -> Result<String> {
    let problem = |problem: Problem| Error::invalid(problem.to_string());
    let original = document::tree::read(name, text).map_err(problem)?;
    let mut node = original.clone();
    convert::drop_steps_not_copied(&mut node);
    let operator: &[&str] = if form == Form::Unattended { &["operator"] } else { &["edge", "operator"] };
    convert::hash_password(&mut node, operator, hash)?;
    if form == Form::UserData {
        convert::hash_password(&mut node, &["stylus", "operator"], hash)?;
        convert::hash_passwords_of_accounts(&mut node, hash)?;
    }
    if node == original {
        return Ok(text.to_owned());
    }
    let header = text.lines().next().filter(|line| user_data::HEADERS.contains(&line.trim()));
    let header = header.map_or_else(String::new, |line| format!("{line}\n"));
    Ok(header + &document::print::to_yaml(&node))
}
