//! What a step does, in the order in which yip does it, with its templates filled in.

use std::collections::BTreeMap;
use std::fmt;

use edge_model::document::format::parse_file_mode;
use edge_model::user_data::stages::{DataSource, Dns, Download, Git, Step, UnitOverride, User};
use serde_json::Value as Json;

use crate::template;

/// Who a file belongs to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owner {
    pub user: Option<u32>,
    pub group: Option<u32>,
    /// `user:group`, by name or number; comes first.
    pub names: Option<String>,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    Dns(Dns),
    Download {
        download: Download,
        mode: Option<u32>,
        owner: Owner,
    },
    Git(Git),
    EnsureEntity {
        path: Option<String>,
        entity: String,
    },
    Directory {
        path: String,
        mode: u32,
        owner: Owner,
    },
    File {
        path: String,
        mode: Option<u32>,
        owner: Owner,
        content: String,
        encoding: Option<String>,
    },
    Command(String),
    DeleteEntity {
        path: Option<String>,
        entity: String,
    },
    HostName(String),
    Sysctl {
        key: String,
        value: String,
    },
    User {
        name: String,
        user: User,
    },
    AuthorizedKeys {
        user: String,
        keys: Vec<String>,
    },
    Module(String),
    Timesyncd(BTreeMap<String, String>),
    Unit {
        verb: &'static str,
        unit: String,
    },
    UnitOverride(UnitOverride),
    Environment {
        file: String,
        variables: BTreeMap<String, String>,
    },
    DataSource(DataSource),
    /// A key that nothing acts on yet.
    NotYet(&'static str),
}

/// Where variables go when the step does not say.
const ENVIRONMENT_FILE: &str = "/etc/environment";
const DIRECTORY_MODE: u32 = 0o755;

/// What a person reads about an action. Contents and passwords are not shown.
impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Dns(dns) => write!(f, "resolve names with {}", dns.nameservers.join(", ")),
            Action::Download { download, .. } => write!(f, "fetch {} to {}", download.url, download.path),
            Action::Git(git) => write!(f, "check {} out to {}", git.url, git.path),
            Action::EnsureEntity { .. } => write!(f, "make an account entry"),
            Action::Directory { path, mode, .. } => write!(f, "make the folder {path} ({mode:04o})"),
            Action::File { path, content, mode, .. } => {
                write!(f, "write {path} ({:04o}, {} bytes)", mode.unwrap_or(0o644), content.len())
            }
            Action::Command(command) => write!(f, "run {command:?}"),
            Action::DeleteEntity { .. } => write!(f, "remove an account entry"),
            Action::HostName(name) => write!(f, "call this host {name}"),
            Action::Sysctl { key, value } => write!(f, "set {key} = {value}"),
            Action::User { name, .. } => write!(f, "make the account {name}"),
            Action::AuthorizedKeys { user, keys } => write!(f, "allow {} SSH keys for {user}", keys.len()),
            Action::Module(name) => write!(f, "load the kernel module {name}"),
            Action::Timesyncd(_) => write!(f, "configure the time service"),
            Action::Unit { verb, unit } => write!(f, "{verb} {unit}"),
            Action::UnitOverride(unit) => write!(f, "override settings of {}", unit.service),
            Action::Environment { file, variables } => {
                write!(f, "set {} variables in {file}", variables.len())
            }
            Action::DataSource(source) => {
                write!(f, "look for user data from {} kinds of sources", source.providers.len())
            }
            Action::NotYet(key) => write!(f, "nothing: `{key}` is not yet acted on"),
        }
    }
}

fn mode(text: Option<&str>) -> Option<u32> {
    text.and_then(parse_file_mode)
}

/// Every text of a step that is a template, with its key: what [`actions`] fills in, and `if`.
pub fn templates(step: &Step) -> Vec<(String, &str)> {
    let mut all: Vec<(String, &str)> = Vec::new();
    all.extend(step.condition.iter().map(|text| ("if".to_owned(), text.as_str())));
    let listed = |key: &'static str, at: usize, field: &str| format!("{key}.{at}{field}");
    all.extend(
        step.downloads
            .iter()
            .enumerate()
            .map(|(at, one)| (listed("downloads", at, ".url"), one.url.as_str())),
    );
    for (key, entities) in
        [("ensure_entities", &step.ensure_entities), ("delete_entities", &step.delete_entities)]
    {
        all.extend(
            entities.iter().enumerate().map(|(at, one)| (listed(key, at, ".entity"), one.entity.as_str())),
        );
    }
    for (at, file) in step.files.iter().enumerate() {
        all.push((listed("files", at, ".path"), &file.path));
        all.push((listed("files", at, ".content"), file.content.reveal()));
    }
    all.extend(
        step.commands.iter().enumerate().map(|(at, text)| (listed("commands", at, ""), text.as_str())),
    );
    all.extend(step.hostname.iter().map(|text| ("hostname".to_owned(), text.as_str())));
    all.extend(step.environment.iter().map(|(key, text)| (format!("environment.{key}"), text.as_str())));
    all.retain(|(_, text)| text.contains("{{"));
    all
}

/// The actions of a step. Templates that cannot be rendered stand as they are, and are told.
pub fn actions(step: &Step, values: &Json, problems: &mut Vec<String>) -> Vec<Action> {
    let mut fill = |text: &str| -> String {
        template::render(text, values).unwrap_or_else(|error| {
            problems.push(format!("the template is taken as it stands: {error}"));
            text.to_owned()
        })
    };
    let mut all = Vec::new();
    all.extend(step.dns.clone().map(Action::Dns));
    all.extend(step.downloads.iter().map(|download| Action::Download {
        mode: mode(download.permissions.as_deref()),
        owner: Owner { user: download.owner, group: download.group, names: download.owner_string.clone() },
        download: Download { url: fill(&download.url), ..download.clone() },
    }));
    all.extend(step.git.clone().filter(|git| !git.url.is_empty()).map(Action::Git));
    all.extend(
        step.ensure_entities
            .iter()
            .map(|entity| Action::EnsureEntity { path: entity.path.clone(), entity: fill(&entity.entity) }),
    );
    all.extend(step.directories.iter().map(|directory| Action::Directory {
        path: directory.path.clone(),
        mode: mode(directory.permissions.as_deref()).unwrap_or(DIRECTORY_MODE),
        owner: Owner { user: directory.owner, group: directory.group, names: None },
    }));
    all.extend(step.files.iter().map(|file| Action::File {
        path: fill(&file.path),
        mode: mode(file.permissions.as_deref()),
        owner: Owner { user: file.owner, group: file.group, names: file.owner_string.clone() },
        content: fill(file.content.reveal()),
        encoding: file.encoding.clone(),
    }));
    all.extend(step.commands.iter().map(|command| Action::Command(fill(command))));
    all.extend(
        step.delete_entities
            .iter()
            .map(|entity| Action::DeleteEntity { path: entity.path.clone(), entity: fill(&entity.entity) }),
    );
    all.extend(step.hostname.as_deref().map(|name| Action::HostName(fill(name))));
    all.extend(
        step.sysctl.iter().map(|(key, value)| Action::Sysctl { key: key.clone(), value: value.clone() }),
    );
    all.extend(step.users.iter().map(|(name, user)| Action::User {
        name: user.name.clone().unwrap_or_else(|| name.clone()),
        user: user.clone(),
    }));
    all.extend(
        step.authorized_keys
            .iter()
            .map(|(user, keys)| Action::AuthorizedKeys { user: user.clone(), keys: keys.clone() }),
    );
    all.extend(step.modules.iter().cloned().map(Action::Module));
    if !step.timesyncd.is_empty() {
        all.push(Action::Timesyncd(step.timesyncd.clone()));
    }
    // Overrides first: what is started reads them.
    all.extend(step.systemctl.overrides.iter().cloned().map(Action::UnitOverride));
    for (verb, units) in [
        ("enable", &step.systemctl.enable),
        ("disable", &step.systemctl.disable),
        ("mask", &step.systemctl.mask),
        ("start", &step.systemctl.start),
    ] {
        all.extend(units.iter().map(|unit| Action::Unit { verb, unit: unit.clone() }));
    }
    if !step.environment.is_empty() {
        let variables = step.environment.iter().map(|(key, value)| (key.clone(), fill(value))).collect();
        let file = step.environment_file.clone().unwrap_or_else(|| ENVIRONMENT_FILE.into());
        all.push(Action::Environment { file, variables });
    }
    all.extend(step.datasource.clone().map(Action::DataSource));
    let not_yet = [
        ("systemd_firstboot", step.systemd_firstboot.is_some()),
        ("layout", step.layout.is_some()),
        ("package_pins", step.package_pins.is_some()),
        ("packages", step.packages.is_some()),
        ("unpack_images", step.unpack_images.is_some()),
    ];
    all.extend(not_yet.iter().filter(|(_, given)| *given).map(|(key, _)| Action::NotYet(key)));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// `validate` looks where a host renders, and nowhere else.
    #[test]
    fn every_text_that_is_filled_in_is_known_as_a_template() {
        const BAD: &str = "{{ nofunction }}";
        let with_all = format!(
            "stages: {{boot: [{{if: '{BAD}', downloads: [{{url: 'http://a/{BAD}', path: /a}}], ensure_entities: [{{entity: '{BAD}'}}], \
             delete_entities: [{{entity: '{BAD}'}}], files: [{{path: '/{BAD}', content: '{BAD}'}}], commands: ['{BAD}'], hostname: '{BAD}', \
             environment: {{A: '{BAD}'}}}}]}}"
        );
        let document: edge_model::user_data::UserData = edge_model::document::parse("f", &with_all).unwrap();
        let step = &document.stages["boot"][0];
        let mut problems = Vec::new();
        actions(step, &json!({}), &mut problems);
        // `if` is filled in by who runs the step.
        assert_eq!(problems.len() + 1, templates(step).len(), "{problems:?}");
    }

    #[test]
    fn parts_come_in_yips_order_and_templates_are_filled() {
        let text = "stages: {boot: [{commands: ['echo {{ .Values.x }}', '{{ broken'], files: [{path: /a, content: '{{.Values.x}}', permissions: 0600}], \
                    directories: [{path: /d}], environment: {K: v}, modules: [loop], systemctl: {start: [a], enable: [b]}}]}";
        let document: edge_model::user_data::UserData = edge_model::document::parse("f", text).unwrap();
        let mut problems = Vec::new();
        let all = actions(&document.stages["boot"][0], &json!({"Values": {"x": 7}}), &mut problems);
        let lines: Vec<String> = all.iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                "make the folder /d (0755)",
                "write /a (0600, 1 bytes)",
                "run \"echo 7\"",
                "run \"{{ broken\"",
                "load the kernel module loop",
                "enable b",
                "start a",
                "set 1 variables in /etc/environment"
            ]
        );
        assert_eq!(problems.len(), 1);
    }
}
