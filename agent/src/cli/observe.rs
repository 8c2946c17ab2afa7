//! Looking at a host and around it: operations, diagnosis, support bundle, black box, audit.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use clap::Subcommand;
use edge_client::Client;
use edge_model::api::black_box::{BlackBox, Ending};
use edge_model::api::{OperationRequest, OperationState, OperationStatus};
use edge_model::calendar::day_and_time;
use edge_model::{Context, Error, Result};
use serde::Serialize;

use super::{operate, print};

#[derive(Subcommand)]
pub(super) enum OperationCommand {
    /// The last operations, the newest last
    List,
    /// One operation with its steps
    Show { id: u64 },
    /// Stop an operation at its next safe point
    Cancel { id: u64 },
}

impl OperationCommand {
    pub(super) fn run(self, json: bool) -> Result<()> {
        let client = Client::new()?;
        match self {
            OperationCommand::List => {
                print(&client.operations()?, json, |all| all.iter().for_each(print_line))
            }
            OperationCommand::Show { id } => print(&client.operation(id)?, json, |operation| {
                print_line(operation);
                for step in &operation.steps {
                    println!("  {:>5} s  {}", step.after_seconds, step.title);
                }
            }),
            OperationCommand::Cancel { id } => {
                client.cancel(id)?;
                println!("operation {id} stops at its next safe point");
                Ok(())
            }
        }
    }
}

fn print_line(operation: &OperationStatus) {
    println!(
        "{} {} by {}: {}",
        operation.id,
        operation.operation,
        operation.started_by,
        describe_state(operation)
    );
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
    Ping { endpoint: String },
    /// The way to a host
    Route { endpoint: String },
    /// What a name stands for
    Dns { name: String },
    /// Whether HOST:PORT takes a connection
    Tcp { endpoint: String },
    /// Whether a web address answers, through the configured proxy
    Http { url: String },
    /// How far the clock is off
    Time,
    /// What disks say of themselves
    Disks,
    /// Temperatures, fans and voltages
    Sensors,
}

impl Diagnose {
    pub(super) fn run(self, json: bool) -> Result<()> {
        let client = Client::new()?;
        match self {
            Diagnose::Ping { endpoint } => {
                let ping = client.ping_endpoint(&endpoint)?;
                print(&ping, json, |ping| println!("{}", ping.output.trim()))?;
                answered(ping.received > 0, || format!("{endpoint} does not answer"))
            }
            Diagnose::Route { endpoint } => {
                print(&client.trace_endpoint(&endpoint)?, json, |route| println!("{}", route.output.trim()))
            }
            Diagnose::Dns { name } => show(&client.resolve_name(&name)?, json),
            Diagnose::Tcp { endpoint } => show(&client.connect_endpoint(&endpoint)?, json),
            Diagnose::Http { url } => {
                let answer = client.fetch_endpoint(&url)?;
                show(&answer, json)?;
                answered(answer.error.is_none(), || format!("{url} does not answer"))
            }
            Diagnose::Time => show(&client.time_offset()?, json),
            Diagnose::Disks => show(&client.disk_health()?, json),
            Diagnose::Sensors => show(&client.sensors()?, json),
        }
    }
}

/// What was found out is printed in any case; the exit code tells a script.
fn answered(is_good: bool, otherwise: impl FnOnce() -> String) -> Result<()> {
    if is_good { Ok(()) } else { Err(Error::environment(otherwise())) }
}

/// For people: one `key: value` a line, as the answer has them.
fn show<T: Serialize>(answer: &T, json: bool) -> Result<()> {
    print(answer, json, |answer| {
        if let Ok(value) = serde_json::to_value(answer) {
            print_value("", &value);
        }
    })
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
pub(super) fn support_bundle(output: Option<&Path>) -> Result<()> {
    let client = Client::new()?;
    let Some(output) = output else {
        return operate(&OperationRequest::SupportBundle { stick: false });
    };
    let message = client.run(&OperationRequest::SupportBundle { stick: false }, |_| {})?;
    eprintln!("{message}");
    if output == Path::new("-") {
        let mut out = std::io::stdout().lock();
        return client.download_logs(|piece| out.write_all(piece).context("cannot write the bundle"));
    }
    let mut file = File::create(output).with_context(|| format!("cannot create {}", output.display()))?;
    client.download_logs(|piece| file.write_all(piece).context("cannot write the bundle"))?;
    file.sync_all().context("cannot write the bundle")?;
    println!("{}", output.display());
    Ok(())
}

pub(super) fn print_black_box(black_box: &BlackBox) {
    for boot in &black_box.boots {
        let slot = boot.slot.map_or_else(String::new, |slot| format!(" slot {slot}"));
        let end = match &boot.ending {
            Ending::StillRunning => "is running".to_owned(),
            Ending::Restarted { reason } => format!("restarted: {reason}"),
            Ending::SwitchedOff { reason } => format!("was switched off: {reason}"),
            Ending::Crashed { reason } => format!("crashed: {reason}"),
            Ending::LostPowerOrReset => "lost its power or was reset".to_owned(),
        };
        println!("{} {}{slot} {}: {end}", &boot.id[..boot.id.len().min(8)], boot.mode, boot.version);
        boot.console.iter().for_each(|line| println!("    {line}"));
        boot.doubts.iter().for_each(|doubt| println!("    ({doubt})"));
    }
}

pub(super) fn audit(json: bool) -> Result<()> {
    let records = Client::new()?.audits()?;
    print(&records, json, |page| {
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
