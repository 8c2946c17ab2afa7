//! Stages: which steps run, in which order, and what each does.
//!
//! The order is total: folders in the order in which they are searched, files by name, steps by position. `after`
//! moves a step behind the steps that it names.

mod actions;
mod conditions;

use std::collections::BTreeMap;

use edge_model::document::format;
use edge_model::paths;
use edge_model::user_data::UserData;
use edge_model::user_data::stages::{File, Step, SystemUser, User};
use edge_model::user_data::{RunCommand, WriteFile};

pub use actions::{Action, Owner, actions, templates};
pub use conditions::{SystemFacts, skip_reason};

/// A file with stages.
#[derive(Debug, Clone)]
pub struct StageFile {
    pub path: String,
    pub document: UserData,
}

/// A step with the name that logs and `after` use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedStep {
    /// `FILE.STEP`: the file's own name or its path, and the step's name or number.
    pub name: String,
    pub step: Step,
    /// It comes with the image: what the site says about the same comes first.
    pub of_image: bool,
}

/// `stage`, between what stands before and after it.
pub fn with_neighbours(stage: &str) -> [String; 3] {
    [format!("{stage}.before"), stage.to_owned(), format!("{stage}.after")]
}

/// The steps of one stage in their order, and what is wrong with that order.
pub fn steps(files: &[StageFile], stage: &str) -> (Vec<NamedStep>, Vec<String>) {
    let mut all = Vec::new();
    for file in files {
        let title = file.document.name.as_ref().unwrap_or(&file.path);
        let own = file.document.stages.get(stage).map(Vec::as_slice).unwrap_or_default();
        for (index, step) in own.iter().chain(&of_cloud_init(&file.document, stage)).enumerate() {
            let name = step.name.clone().unwrap_or_else(|| index.to_string());
            let of_image = file.path.starts_with(paths::IMAGE_OEM);
            all.push(NamedStep { name: format!("{title}.{name}"), step: step.clone(), of_image });
        }
    }
    order(all)
}

/// Whether `reference` (of an `after`) names this step.
fn is_named(step: &NamedStep, reference: &str) -> bool {
    step.name == reference || step.step.name.as_deref() == Some(reference)
}

fn order(mut waiting: Vec<NamedStep>) -> (Vec<NamedStep>, Vec<String>) {
    let mut ordered: Vec<NamedStep> = Vec::new();
    let mut problems = Vec::new();
    for step in &waiting {
        for after in &step.step.after {
            if !waiting.iter().any(|other| is_named(other, &after.name)) {
                problems
                    .push(format!("{}: after: there is no step {:?} in this stage", step.name, after.name));
            }
        }
    }
    while !waiting.is_empty() {
        let is_free = |step: &NamedStep| {
            let blocked_by =
                |name: &str| waiting.iter().any(|other| other.name != step.name && is_named(other, name));
            !step.step.after.iter().any(|after| blocked_by(&after.name))
        };
        let next = waiting.iter().position(is_free).unwrap_or_else(|| {
            problems.push(format!("{}: after: the steps wait for each other", waiting[0].name));
            0
        });
        ordered.push(waiting.remove(next));
    }
    (ordered, problems)
}

/// What cloud-init's keys at the top of a document mean, as steps.
fn of_cloud_init(document: &UserData, stage: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    match stage {
        "initramfs" => {
            let users: BTreeMap<String, User> =
                document.users.iter().map(|user| (user.name.clone(), of_user(document, user))).collect();
            if !users.is_empty() {
                steps.push(Step { name: Some("users".into()), users, ..Step::default() });
            }
            if document.users.is_empty() {
                let literal = document.ssh_authorized_keys.iter().filter(|key| is_literal(key));
                steps.extend(authorizing([(ROOT.to_owned(), literal.cloned().collect())].into()));
            }
        }
        // Keys that others publish need a network; those of a host that has none yet come at a later boot.
        "network" => {
            let fetched = |keys: Vec<String>| keys.into_iter().filter(|key| !is_literal(key)).collect();
            let mut keys: BTreeMap<String, Vec<String>> = document
                .users
                .iter()
                .map(|user| (user.name.clone(), fetched(keys_of(document, user))))
                .collect();
            if document.users.is_empty() {
                keys.insert(ROOT.to_owned(), fetched(document.ssh_authorized_keys.clone()));
            }
            steps.extend(authorizing(keys));
        }
        "boot" => {
            let files: Vec<File> = document.write_files.iter().map(of_write_file).collect();
            if !files.is_empty() {
                steps.push(Step { name: Some("write_files".into()), files, ..Step::default() });
            }
            let commands: Vec<String> = document.runcmd.iter().map(of_run_command).collect();
            if !commands.is_empty() {
                steps.push(Step { name: Some("runcmd".into()), commands, ..Step::default() });
            }
        }
        _ => {}
    }
    steps
}

fn of_user(document: &UserData, user: &SystemUser) -> User {
    User {
        name: Some(user.name.clone()),
        passwd: user.passwd.clone(),
        ssh_authorized_keys: keys_of(document, user).into_iter().filter(|key| is_literal(key)).collect(),
        gecos: user.gecos.clone(),
        homedir: user.homedir.clone(),
        no_create_home: user.no_create_home,
        primary_group: user.primary_group.clone(),
        groups: user.groups.clone(),
        no_user_group: user.no_user_group,
        system: user.system,
        no_log_init: user.no_log_init,
        shell: user.shell.clone(),
        lock_passwd: user.lock_passwd,
        uid: user.uid.clone(),
        password_expiry: None,
    }
}

const ROOT: &str = "root";

/// Keys at the top of a document are every account's.
fn keys_of(document: &UserData, user: &SystemUser) -> Vec<String> {
    user.ssh_authorized_keys.iter().chain(&document.ssh_authorized_keys).cloned().collect()
}

fn is_literal(key: &str) -> bool {
    format::check("ssh-key", key).is_ok()
}

fn authorizing(mut keys: BTreeMap<String, Vec<String>>) -> Option<Step> {
    keys.retain(|_, keys| !keys.is_empty());
    (!keys.is_empty()).then(|| Step {
        name: Some("ssh_authorized_keys".into()),
        authorized_keys: keys,
        ..Step::default()
    })
}

fn of_write_file(file: &WriteFile) -> File {
    let WriteFile { path, content, encoding, owner, permissions } = file;
    // In a step a number without a zero in front is decimal; here it never is.
    let octal = permissions.as_deref().and_then(format::octal_mode).map(|mode| format!("{mode:#06o}"));
    File {
        path: path.clone(),
        permissions: octal,
        owner_string: owner.clone(),
        content: content.clone(),
        encoding: encoding.clone(),
        ..File::default()
    }
}

fn of_run_command(command: &RunCommand) -> String {
    match command {
        RunCommand::Shell(text) => text.clone(),
        RunCommand::Words(words) => {
            let quoted: Vec<String> =
                words.iter().map(|word| format!("'{}'", word.replace('\'', "'\\''"))).collect();
            quoted.join(" ")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> StageFile {
        StageFile { path: path.into(), document: edge_model::document::parse(path, text).unwrap() }
    }

    fn names(files: &[StageFile]) -> Vec<String> {
        steps(files, "boot").0.into_iter().map(|step| step.name).collect()
    }

    #[test]
    fn order_is_total_even_around_files_without_the_stage() {
        let files = [
            file("a", "stages: {boot: [{name: one}, {name: two}]}"),
            file("b", "stages: {fs: []}"),
            file("c", "name: third\nstages: {boot: [{commands: [x]}]}\nruncmd: [[echo, \"it's\"]]"),
        ];
        assert_eq!(names(&files), ["a.one", "a.two", "third.0", "third.runcmd"]);
        assert_eq!(steps(&files, "boot").0[3].step.commands, ["'echo' 'it'\\''s'"]);
    }

    #[test]
    fn keys_and_modes_of_cloud_init_mean_what_they_mean_there() {
        let text = "users: [{name: a, ssh_authorized_keys: ['github:anna']}, {name: b}]\nssh_authorized_keys: ['ssh-ed25519 AAAA site']\n\
                    write_files: [{path: /x, permissions: '755'}, {path: /y, permissions: '0600'}]\n";
        let files = [file("c", text)];
        let users = &steps(&files, "initramfs").0[0].step.users;
        assert_eq!(users["a"].ssh_authorized_keys, ["ssh-ed25519 AAAA site"]);
        assert_eq!(users["b"].ssh_authorized_keys, ["ssh-ed25519 AAAA site"]);
        let later = &steps(&files, "network").0[0].step.authorized_keys;
        assert_eq!((later.len(), later["a"].clone()), (1, vec!["github:anna".to_owned()]));
        let modes: Vec<_> =
            steps(&files, "boot").0[0].step.files.iter().map(|file| file.permissions.clone()).collect();
        assert_eq!(modes, [Some("0o0755".to_owned()), Some("0o0600".to_owned())]);
        let alone = [file("c", "ssh_authorized_keys: ['ssh-ed25519 AAAA site', 'gitlab:x']\n")];
        assert!(steps(&alone, "initramfs").0[0].step.authorized_keys.contains_key("root"));
        assert_eq!(steps(&alone, "network").0[0].step.authorized_keys["root"], ["gitlab:x"]);
    }

    #[test]
    fn after_moves_a_step_and_circles_are_told() {
        let files = [
            file("a", "stages: {boot: [{name: last, after: [{name: b.first}]}]}"),
            file("b", "stages: {boot: [{name: first}]}"),
        ];
        assert_eq!(names(&files), ["b.first", "a.last"]);
        let circle = [file(
            "a",
            "stages: {boot: [{name: x, after: [{name: y}]}, {name: y, after: [{name: x}]}, {name: z, after: [{name: none}]}]}",
        )];
        let (ordered, problems) = steps(&circle, "boot");
        assert_eq!(ordered.len(), 3);
        assert_eq!(problems.len(), 2, "{problems:?}");
    }
}
