//! `kairos-agent`: the verbs that files and plug-ins of Kairos call, done by this agent. Everything else is said to be
//! done differently here.

use std::path::Path;
use std::time::Duration;

use clap::{Parser, Subcommand};
use edge_host::child::Child;
use edge_host::{files, mount};
use edge_model::{Error, Result, paths};
use edge_planner::configuration::origin;
use edge_planner::host_kind::HostKind;
use serde_json::{Value as Json, json};

use crate::configuration::Settings;
use crate::facts::Host;
use crate::stages::{self, Moment};

/// Under this name the program is called.
pub(super) const NAME: &str = "kairos-agent";
const PROVIDER_PREFIX: &str = "agent-provider-";
const PROVIDER_DEADLINE: Duration = Duration::from_secs(600);
const PROVIDER_OUTPUT: u64 = 4 << 20;

/// Verbs of Kairos' agent, for files that call it. This host is managed with edge-agent.
#[derive(Parser)]
#[command(name = NAME, version)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Run a stage with its .before and .after
    RunStage {
        stage: String,
        /// Accepted; problems are told in any case
        #[arg(long)]
        strict: bool,
    },
    /// Tell an event to the plug-ins of the image
    Notify { event: String },
    /// Print what this host is
    State {
        #[command(subcommand)]
        get: Get,
    },
    /// Print a value of the configuration
    Config {
        #[command(subcommand)]
        get: Get,
    },
}

#[derive(Subcommand)]
enum Get {
    Get { key: Option<String> },
}

pub(super) fn run() -> Result<()> {
    match Arguments::parse().verb {
        Verb::RunStage { stage, strict: _ } => {
            let host = Host::observe()?;
            let record = stages::run(&stage, &Moment::of_running_system(&host.machine, host.kind));
            record.problems.iter().for_each(|problem| eprintln!("{problem}"));
            Ok(())
        }
        Verb::Notify { event } => notify(&event),
        Verb::State { get: Get::Get { key } } => print(&state()?, key.as_deref().unwrap_or_default()),
        Verb::Config { get: Get::Get { key } } => {
            let mut tree = Settings::load(Host::observe()?.kind).configuration.tree;
            origin::redact(&mut tree);
            let key = key.as_deref().unwrap_or_default().trim_start_matches('.');
            let value = if key.is_empty() { Some(&tree) } else { tree.find(key) };
            let value = value.ok_or_else(|| Error::invalid(format!("nothing sets {key}")))?;
            match value.scalar() {
                Some(text) => println!("{text}"),
                None => print!("{}", edge_model::document::print::to_yaml(value)),
            }
            Ok(())
        }
    }
}

/// In Kairos' words.
fn state() -> Result<Json> {
    let host = Host::observe()?;
    let boot = match host.kind {
        HostKind::Appliance => "active_boot",
        HostKind::Recovery => "recovery_boot",
        HostKind::Installer => "livecd_boot",
    };
    let release = files::read_text_if_there(Path::new(paths::KAIROS_RELEASE))?.unwrap_or_default();
    let mounts = mount::table()?;
    Ok(describe(boot, &release, &mounts))
}

fn describe(boot: &str, release: &str, mounts: &str) -> Json {
    let field = |name: &str| {
        let line = release.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.unwrap_or_default().trim_matches('"').to_owned()
    };
    let partition = |label: &str, mount_point: &str| {
        let mounted = mounts.lines().any(|line| line.split(' ').nth(1) == Some(mount_point));
        json!({ "label": label, "mount_point": mount_point, "mounted": mounted, "found": mounted })
    };
    json!({
        "boot": boot,
        "kairos": { "flavor": field("KAIROS_FLAVOR"), "version": field("KAIROS_VERSION") },
        "oem": partition("COS_OEM", paths::OEM),
        "persistent": partition("COS_PERSISTENT", paths::PERSISTENT),
    })
}

/// A value by its path, `.kairos.version`.
fn select<'j>(json: &'j Json, path: &str) -> Option<&'j Json> {
    path.split('.').filter(|part| !part.is_empty()).try_fold(json, |json, part| json.get(part))
}

fn print(json: &Json, key: &str) -> Result<()> {
    let value = select(json, key).ok_or_else(|| {
        Error::invalid(format!("the state has no {key}"))
            .help("it has boot, kairos.flavor, kairos.version, oem and persistent")
    })?;
    match value {
        Json::String(text) => println!("{text}"),
        other => println!("{other}"),
    }
    Ok(())
}

/// <https://github.com/mudler/go-pluggable>: the event's name as argument, a document on standard input, and one as
/// the answer.
fn notify(event: &str) -> Result<()> {
    let Ok(entries) = std::fs::read_dir(paths::IMAGE_PROVIDERS) else { return Ok(()) };
    let tree = Settings::load(Host::observe()?.kind).configuration.tree;
    let configuration = edge_model::document::print::to_yaml(&tree);
    let mut providers: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    providers.sort();
    let is_provider = |path: &Path| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(PROVIDER_PREFIX))
    };
    for provider in providers.into_iter().filter(|path| is_provider(path)) {
        let data = json!({ "config": configuration }).to_string();
        let input = json!({ "name": event, "data": data, "file": "" }).to_string().into_bytes();
        let answer = Child::new(&provider)
            .arg(event)
            .input(input)
            .deadline(PROVIDER_DEADLINE)
            .output_limit(PROVIDER_OUTPUT)
            .run()?;
        let answer: Json = serde_json::from_slice(&answer).unwrap_or_default();
        if let Some(error) = answer["error"].as_str().filter(|error| !error.is_empty()) {
            return Err(Error::rejected(format!("{} refuses {event}: {error}", provider.display())));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_is_told_in_the_words_of_kairos() {
        let release = "KAIROS_VERSION=\"v1.2.3\"\nKAIROS_FLAVOR=\"debian\"\n";
        let mounts = "/dev/vda3 /oem ext4 rw 0 0\noverlay / overlay ro 0 0\n";
        let state = describe("active_boot", release, mounts);
        assert_eq!(select(&state, "kairos.version").unwrap(), "v1.2.3");
        assert_eq!(select(&state, ".boot").unwrap(), "active_boot");
        assert_eq!(select(&state, "oem.found").unwrap(), true);
        assert_eq!(select(&state, "persistent.mounted").unwrap(), false);
        assert!(select(&state, "nothing.here").is_none());
    }

    #[test]
    fn the_verbs_that_files_call_are_understood() {
        for words in [
            &["kairos-agent", "run-stage", "network"][..],
            &["kairos-agent", "run-stage", "--strict", "boot"],
            &["kairos-agent", "notify", "agent.boot"],
            &["kairos-agent", "state", "get", "boot"],
            &["kairos-agent", "config", "get", "k3s.enabled"],
        ] {
            assert!(Arguments::try_parse_from(words).is_ok(), "{words:?}");
        }
        assert!(Arguments::try_parse_from(["kairos-agent", "reset"]).is_err());
    }
}
