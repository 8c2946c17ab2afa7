//! Looking at a host and around it: operations, diagnosis, support bundle, black box, audit.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use clap::Subcommand;
use edge_cli::Reader;
use edge_client::Client;
use edge_model::api::black_box::{BlackBox, Ending};
use edge_model::api::{OperationRequest, OperationState, OperationStatus};
use edge_model::calendar::day_and_time;
use edge_model::{Class, Context, Error, Result};
use serde::Serialize;

use super::{operate, say};

#[derive(Subcommand)]
pub(super) enum OperationCommand {
    /// The last operations, the newest last
    List,
    /// One operation with its steps
    Show {
        /// As the list has it
        id: u64,
    },
    /// Stop an operation at its next safe point
    Cancel {
        /// As the list has it
        id: u64,
    },
}

impl OperationCommand {
    pub(super) fn run(self, reader: Reader) -> Result<()> {
        let client = Client::new()?;
        match self {
            OperationCommand::List => {
                reader.tell(&client.operations()?, |all| all.iter().for_each(print_line))
            }
            OperationCommand::Show { id } => reader.tell(&client.operation(id)?, |operation| {
                print_line(operation);
                for step in &operation.steps {
                    println!("  {:>5} s  {}", step.after_seconds, step.title);
                }
            }),
            OperationCommand::Cancel { id } => {
                client.cancel(id)?;
                say(reader, &format!("operation {id} stops at its next safe point"))
            }
        }
    }
}

fn print_line(operation: &OperationStatus) {
    println!("{} {} by {}: {}", operation.id, operation.operation, operation.by, describe_state(operation));
}

pub(super) fn describe_state(operation: &OperationStatus) -> String {
    match &operation.state {
        OperationState::Running if operation.total > 0 => {
            let percent = operation.done.saturating_mul(100) / operation.total;
            format!("{} ({percent} %)", operation.step)
        }
        OperationState::Running => format!("{}…", operation.step),
        OperationState::Done { message } => message.clone(),
        OperationState::Failed { error } => format!("failed: {error}"),
    }
}

#[derive(Subcommand)]
pub(super) enum Diagnose {
    /// Whether a host answers
    Ping {
        /// A name or an address
        endpoint: String,
    },
    /// The way to a host
    Route {
        /// A name or an address
        endpoint: String,
    },
    /// What a name stands for
    Dns {
        /// A host's name
        name: String,
    },
    /// The way out of this host, link by link: the first that fails is where to look
    Network,
    /// Whether HOST:PORT takes a connection
    Tcp {
        /// HOST:PORT, with brackets around an IPv6 address
        endpoint: String,
    },
    /// Whether a web address answers, through the configured proxy
    Http {
        /// An address that begins with http:// or https://
        url: String,
    },
    /// How far the clock is off
    Time,
    /// What disks say of themselves
    Disks,
    /// Temperatures, fans and voltages
    Sensors,
}

impl Diagnose {
    pub(super) fn run(self, reader: Reader) -> Result<ExitCode> {
        let client = Client::new()?;
        match self {
            Diagnose::Ping { endpoint } => {
                let ping = client.ping_endpoint(&endpoint)?;
                reader.tell(&ping, |ping| println!("{}", ping.output.trim()))?;
                verdict(reader, ping.received > 0, || format!("{endpoint} does not answer"))
            }
            Diagnose::Route { endpoint } => {
                let route = client.trace_endpoint(&endpoint)?;
                reader.tell(&route, |route| println!("{}", route.output.trim()))?;
                Ok(ExitCode::SUCCESS)
            }
            Diagnose::Network => {
                let links = client.check_network()?;
                reader.tell(&links, |links| {
                    for link in links {
                        let mark = if link.is_good { "ok" } else { "!!" };
                        println!("{mark}  {:<12} {}", link.what.to_string(), link.said);
                    }
                })?;
                let failing = links.iter().find(|link| !link.is_good);
                verdict(reader, failing.is_none(), || {
                    failing.map_or_else(String::new, |link| format!("{}: {}", link.what, link.said))
                })
            }
            Diagnose::Dns { name } => show(&client.resolve_name(&name)?, reader),
            Diagnose::Tcp { endpoint } => show(&client.connect_endpoint(&endpoint)?, reader),
            Diagnose::Http { url } => {
                let answer = client.fetch_endpoint(&url)?;
                show(&answer, reader)?;
                verdict(reader, answer.error.is_none(), || format!("{url} does not answer"))
            }
            Diagnose::Time => show(&client.time_offset()?, reader),
            Diagnose::Disks => show(&client.disk_health()?, reader),
            Diagnose::Sensors => show(&client.sensors()?, reader),
        }
    }
}

/// What was found out is printed already, and is the whole answer for a program; the exit code tells a script.
fn verdict(reader: Reader, is_good: bool, otherwise: impl FnOnce() -> String) -> Result<ExitCode> {
    match reader {
        _ if is_good => Ok(ExitCode::SUCCESS),
        Reader::Program => Ok(ExitCode::from(Class::Environment.exit_code())),
        Reader::Person => Err(Error::environment(otherwise())),
    }
}

/// For people: one `key: value` a line, as the answer has them.
fn show<T: Serialize>(answer: &T, reader: Reader) -> Result<ExitCode> {
    reader.tell(answer, |answer| {
        if let Ok(value) = serde_json::to_value(answer) {
            print_value("", &value);
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

fn print_value(name: &str, value: &serde_json::Value) {
    use serde_json::Value;
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, value)| print_value(key, value)),
        Value::Array(items) => {
            for item in items {
                print_value(name, item);
                if item.is_object() {
                    println!();
                }
            }
        }
        Value::Null => {}
        Value::String(text) => println!("{name}: {text}"),
        other => println!("{name}: {other}"),
    }
}

/// Has a bundle made, and fetches it when somebody said where to.
pub(super) fn support_bundle(output: Option<&Path>, reader: Reader) -> Result<()> {
    let client = Client::new()?;
    let Some(output) = output else {
        return operate(reader, &OperationRequest::SupportBundle { stick: false });
    };
    let message = client.run(&OperationRequest::SupportBundle { stick: false }, |_| {})?;
    eprintln!("{message}");
    if output == Path::new("-") {
        // The answer is the bundle itself, whoever reads it.
        let mut out = std::io::stdout().lock();
        return client.download_logs(|piece| out.write_all(piece).context("cannot write the bundle"));
    }
    let mut file = File::create(output).with_context(|| format!("cannot create {}", output.display()))?;
    client.download_logs(|piece| file.write_all(piece).context("cannot write the bundle"))?;
    file.sync_all().context("cannot write the bundle")?;
    reader.tell(&serde_json::json!({ "file": output }), |_| println!("{}", output.display()))
}

pub(super) fn print_black_box(black_box: &BlackBox) {
    for boot in &black_box.boots {
        let slot = boot.slot.map_or_else(String::new, |slot| format!(" slot {slot}"));
        let end = match &boot.ending {
            Ending::StillRunning => "is running".to_owned(),
            Ending::Restarted { reason } => format!("restarted: {reason}"),
            Ending::SwitchedOff { reason } => format!("was switched off: {reason}"),
            Ending::Crashed { reason } => format!("crashed: {reason}"),
            Ending::Unknown => "ended in a way that only a newer version knows".to_owned(),
            Ending::LostPowerOrReset => "lost its power or was reset".to_owned(),
        };
        println!("{} {}{slot} {}: {end}", &boot.id[..boot.id.len().min(8)], boot.mode, boot.version);
        boot.console.iter().for_each(|line| println!("    {line}"));
        boot.doubts.iter().for_each(|doubt| println!("    ({doubt})"));
    }
}

pub(super) fn audit(reader: Reader) -> Result<()> {
    let records = Client::new()?.audits()?;
    reader.tell(&records, |page| {
        for record in page.items.iter().rev() {
            let outcome = serde_json::to_string(&record.outcome).unwrap_or_default();
            println!(
                "{} {} {} ({}) {} {} {outcome}",
                record.sequence,
                day_and_time(record.at),
                record.actor,
                record.actor_type,
                record.action,
                record.resource_name
            );
        }
    })
}
