//! The command line.

mod cluster;
mod config;
mod content;
mod kairos;
mod observe;
mod stage;

use std::io::{BufRead, IsTerminal, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use edge_cli::Reader;
use edge_client::Client;
use edge_model::api::{
    Health, HostStatus, InstallRequest, NetworkState, Notice, NoticeChoice, OperationRequest,
    OperationStatus, UpgradeRequest,
};
use edge_model::calendar::day_and_time;
use edge_model::ids::RootHash;
use edge_model::ledger::HistoryEntry;
use edge_model::unattended::{DiskChoice, WipePolicy};
use edge_model::{Context, Error, Result};
use edge_planner::host_kind::HostKind;
use edge_planner::install::InstallDecision;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::configuration::{Settings, tried};
use crate::facts::Host;
use crate::operations::install;
use crate::report::Report;
use crate::{daemon, early, log, serve};

/// The agent of an edge host.
#[derive(Parser)]
#[command(version, arg_required_else_help = true, after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Print the answer as JSON
    #[arg(long, global = true)]
    json: bool,
}

const EXAMPLES: &str = "Examples:
  edge-agent status
  edge-agent upgrade oci:registry.example/edge/shop:1.1.0 --reboot
  edge-agent upgrade file:/media/stick/shop-1.1.0-amd64.oci.tar
  edge-agent verify
  edge-agent cluster status
  edge-agent config show --origin --effective edge.site
  edge-agent stage log";

#[derive(Subcommand)]
enum Command {
    /// Show what this host is and how it is
    Status,
    /// Show what an operator should know
    Notices {
        /// One with this identifier was read, or all: show them no more until the host restarts
        #[arg(long, value_name = "ID", num_args = 0..=1, default_missing_value = "all")]
        put_away: Option<String>,
    },
    /// Let the agent say more to the journal, or less, until it starts again
    LogLevel {
        /// How bad something must be to be said, or how small
        #[arg(value_parser = ["error", "warning", "info", "debug"])]
        level: String,
    },
    /// Show what was installed, tried and kept
    History,
    /// Install the medium's image on a disk
    Install {
        /// Device path or `auto`; without any word about the disk, the medium's answers hold
        #[arg(long)]
        disk: Option<String>,
        /// A name of it under /dev/disk/by-id
        #[arg(long)]
        id: Option<String>,
        /// Its serial number
        #[arg(long)]
        serial: Option<String>,
        /// It has at least so many GiB
        #[arg(long)]
        min_size_gib: Option<u64>,
        /// It has at most so many GiB
        #[arg(long)]
        max_size_gib: Option<u64>,
        /// A part of the model's name
        #[arg(long)]
        model: Option<String>,
        /// Erase a disk that holds data, also when the medium's answers do not say so
        #[arg(long)]
        wipe: bool,
        /// Print the plan and change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Write a new image beside the running one and arm its trial boot
    Upgrade {
        /// `oci:REF`, `oci-layout:DIR`, `file:PATH`, or `stick:` for the newest image on a USB stick
        #[arg(required_unless_present = "recovery")]
        source: Option<String>,
        /// Make the running image the one that recovery starts, instead of fetching one
        #[arg(long, conflicts_with = "source")]
        recovery: bool,
        /// Take an image that is older than the running one
        #[arg(long)]
        allow_downgrade: bool,
        /// The image that must be found there: the root hash that its build printed
        #[arg(long, value_name = "HASH")]
        root_hash: Option<RootHash>,
        /// Try again an image that failed before
        #[arg(long)]
        retry_failed: bool,
        /// Talk to the registry without TLS
        #[arg(long)]
        plain_http: bool,
        /// Restart into the trial boot when the image is ready
        #[arg(long)]
        reboot: bool,
        /// Check everything, say what would be done, and change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Restart into the image of the other slot
    Rollback {
        /// The cluster's name, instead of typing it, where its data of before comes back too
        #[arg(long, value_name = "NAME")]
        confirm: Option<String>,
    },
    /// Keep the image on trial without waiting for its checks
    Commit,
    /// Read and check every block of all images on this host
    Verify,
    /// Look at everything that a boot needs: table, entries, kernels, memory of the firmware, space
    Fsck {
        /// Mend what can be mended
        #[arg(long)]
        repair: bool,
    },
    /// Erase the data of this host and start anew; images, identity and history stay
    Reset {
        /// Also forget what the site and operators have told: as after an installation without answers
        #[arg(long)]
        oem: bool,
        /// The host's name, in place of typing it
        #[arg(long, value_name = "NAME")]
        confirm: Option<String>,
    },
    /// Restart the host
    Reboot {
        /// Start the recovery image
        #[arg(long)]
        recovery: bool,
    },
    /// Switch the host off
    PowerOff,
    /// Look at the operations that run or ran, or stop one
    #[command(subcommand)]
    Operation(observe::OperationCommand),
    /// Look for what is wrong around this host
    #[command(subcommand)]
    Diagnose(observe::Diagnose),
    /// Collect what a support line asks for
    SupportBundle {
        /// Write it to a USB stick
        #[arg(long, conflicts_with = "output")]
        stick: bool,
        /// Write it to a file; `-` is standard output
        #[arg(long, short, value_name = "FILE")]
        output: Option<std::path::PathBuf>,
    },
    /// Show how the last boots ended
    BlackBox {
        /// The service manager stops this system
        #[arg(hide = true)]
        ended: Option<Ended>,
    },
    /// Show who did what to this host
    Audit,
    /// Look at the cluster of this host, make one or end it
    #[command(subcommand)]
    Cluster(cluster::Cluster),
    /// Look at container images of this host, and bring more
    #[command(subcommand)]
    Content(content::Content),
    /// Look at the configuration and change it
    #[command(subcommand)]
    Config(config::Config),
    /// Run stages and see what they did
    #[command(subcommand)]
    Stage(stage::Stage),
    /// Print a completion script for a shell
    Completions {
        /// The shell that is to know
        shell: clap_complete::Shell,
    },
    /// Write manual pages, one for each command
    Manual {
        /// Where they go
        folder: std::path::PathBuf,
    },
    /// Serve the API (started by the service manager)
    #[command(hide = true)]
    Serve,
    /// The second half of early boot (started by init)
    #[command(hide = true)]
    Early,
    /// Read documents, and nothing else: ended by what is wrong with them (started by ourselves)
    #[command(hide = true)]
    TryDocuments {
        /// The documents
        files: Vec<std::path::PathBuf>,
    },
}

/// What the service manager tells the black box.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Ended {
    Ended,
}

pub(crate) fn run() -> Result<ExitCode> {
    let name = std::env::args_os().next().unwrap_or_default();
    if std::path::Path::new(&name).file_name().is_some_and(|name| name == kairos::NAME) {
        return kairos::run().map(|()| ExitCode::SUCCESS);
    }
    let arguments: Arguments = edge_cli::parse()?;
    // The only provider of cryptography that is compiled in.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let reader = Reader::of_flag(arguments.json);
    if !matches!(arguments.command, Command::Serve) {
        log::of_a_command();
    }
    match arguments.command {
        Command::Early => early::run().map(|never| match never {}),
        Command::Serve => serve::serve(),
        Command::TryDocuments { files } => tried::read_all(&files),
        Command::Status => reader.tell(&Client::new()?.status()?, print_status),
        Command::Notices { put_away } => {
            let client = Client::new()?;
            if let Some(which) = put_away {
                let notice = Some(which).filter(|which| which != "all");
                client.put_notices_away(&NoticeChoice { notice })?;
            }
            let notices = client.status()?.notices.clone();
            reader.tell(&notices, |notices| notices.iter().for_each(print_notice))
        }
        Command::LogLevel { level } => {
            let level = serde_json::from_value(level.into()).context("not a level")?;
            Client::new()?.set_log_level(level)
        }
        Command::History => reader.tell(&Client::new()?.ledger()?.history, |history| print_history(history)),
        Command::Install { disk, id, serial, min_size_gib, max_size_gib, model, wipe, dry_run } => {
            let told =
                DiskChoice { path: disk, id, serial, model, rotational: None, min_size_gib, max_size_gib };
            let configured = daemon::installer::request(&Settings::load(HostKind::Installer));
            let disk = if told == DiskChoice::default() { configured.disk.clone() } else { told };
            let wipe = if wipe { WipePolicy::Everything } else { configured.wipe };
            run_install(&InstallRequest { disk, wipe, ..configured }, dry_run, reader)
        }
        Command::Upgrade { source: None, .. } => operate(reader, &OperationRequest::RefreshRecovery),
        Command::Upgrade {
            source: Some(source),
            recovery: _,
            allow_downgrade,
            root_hash,
            retry_failed,
            plain_http,
            reboot,
            dry_run,
        } => {
            let source = absolute(&source)?;
            operate(
                reader,
                &OperationRequest::Upgrade(UpgradeRequest {
                    source,
                    allow_downgrade,
                    root_hash,
                    retry_failed,
                    plain_http,
                    reboot,
                    dry_run,
                }),
            )
        }
        Command::Rollback { confirm } => rollback(reader, confirm),
        Command::Commit => operate(reader, &OperationRequest::Commit),
        Command::Verify => operate(reader, &OperationRequest::Verify),
        Command::Fsck { repair } => operate(reader, &OperationRequest::Fsck { repair }),
        Command::Reset { oem, confirm } => reset(reader, oem, confirm),
        Command::Reboot { recovery } => operate(reader, &OperationRequest::Reboot { recovery }),
        Command::PowerOff => operate(reader, &OperationRequest::PowerOff),
        Command::Operation(command) => command.run(reader),
        Command::Diagnose(command) => return command.run(reader),
        Command::SupportBundle { stick: true, .. } => {
            operate(reader, &OperationRequest::SupportBundle { stick: true })
        }
        Command::SupportBundle { stick: false, output } => observe::support_bundle(output.as_deref(), reader),
        Command::BlackBox { ended: Some(Ended::Ended) } => crate::black_box::ended(),
        Command::BlackBox { ended: None } => {
            reader.tell(&Client::new()?.black_box()?, observe::print_black_box)
        }
        Command::Audit => observe::audit(reader),
        Command::Cluster(command) => command.run(reader),
        Command::Content(command) => command.run(reader),
        Command::Config(command) => command.run(reader),
        Command::Stage(command) => command.run(reader),
        Command::Completions { shell } => edge_cli::completions::<Arguments>("edge-agent", shell, reader),
        Command::Manual { folder } => edge_cli::manual::<Arguments>(&folder, reader),
    }?;
    Ok(ExitCode::SUCCESS)
}

/// The daemon works in another folder than the person.
fn absolute(source: &str) -> Result<String> {
    match source.split_once(':') {
        Some((kind @ ("file" | "oci-layout"), path)) => {
            let path = std::path::absolute(path).context("cannot complete the path of the image")?;
            Ok(format!("{kind}:{}", path.display()))
        }
        _ => Ok(source.to_owned()),
    }
}

/// Has the daemon do something and follows it.
fn operate(reader: Reader, request: &OperationRequest) -> Result<()> {
    let mut display = Display::new();
    let message = Client::new()?.run(request, |status| display.show(status))?;
    display.finish();
    say(reader, &message)
}

/// An answer that is one sentence.
fn say(reader: Reader, message: &str) -> Result<()> {
    reader.tell(&json!({ "message": message }), |_| println!("{message}"))
}

/// Works without the daemon, as everything in the installer must.
fn run_install(request: &InstallRequest, dry_run: bool, reader: Reader) -> Result<()> {
    let host = Host::observe()?;
    if dry_run {
        let lines = match install::plan(&host, request)? {
            InstallDecision::Install(plan) => plan.lines(),
            InstallDecision::BootDisk(disk) => {
                vec![format!("{disk} was installed from this medium before: it would be booted")]
            }
        };
        return reader.tell(&json!({ "plan": lines }), |_| lines.iter().for_each(|line| println!("{line}")));
    }
    let mut display = Display::new();
    let outcome = install::run(&host, request, &mut display)?;
    display.finish();
    say(reader, &outcome.message)
}

/// Progress for a person: a bar on a terminal, one line a step elsewhere.
struct Display {
    bar: Option<ProgressBar>,
    step: String,
}

impl Display {
    fn new() -> Self {
        Self { bar: std::io::stderr().is_terminal().then(bar), step: String::new() }
    }

    fn show(&mut self, status: &OperationStatus) {
        if status.step != self.step {
            self.begin(&status.step, status.total);
        }
        if let Some(bar) = &self.bar {
            bar.set_position(status.done);
        }
    }

    fn begin(&mut self, step: &str, total: u64) {
        self.step = step.to_owned();
        match &self.bar {
            Some(bar) => {
                bar.set_length(total);
                bar.set_position(0);
                bar.set_message(step.to_owned());
            }
            None => eprintln!("{step}"),
        }
    }

    fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Report for Display {
    fn step(&mut self, title: &str, total: u64) {
        self.begin(title, total);
    }

    fn progress(&mut self, done: u64) -> Result<()> {
        if let Some(bar) = &self.bar {
            bar.set_position(done);
        }
        Ok(())
    }
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{msg:28} {bar:30} {bytes}/{total_bytes}") {
        bar.set_style(style);
    }
    bar
}

fn print_status(status: &HostStatus) {
    println!("host      {} ({})", status.host_name, status.host_id);
    println!("image     {} {}", status.image.name, status.image.version);
    let slot = status.slot.map_or_else(String::new, |slot| format!(" in slot {slot}"));
    println!("boot      {}{slot}, {:?}", status.mode, status.boot_state);
    match &status.health {
        Health::Checking => println!("health    still checking"),
        Health::Healthy => println!("health    healthy"),
        Health::Unhealthy(reasons) => {
            println!("health    {}", red(&format!("unhealthy: {}", reasons.join("; "))))
        }
    }
    for address in &status.addresses {
        println!("address   {} {}", address.interface, address.address);
    }
    if let Some(seconds) = status.trial_seconds_left {
        println!("trial     returns to the image before in {seconds} s unless it proves healthy");
    }
    match status.network {
        NetworkState::Kept => {}
        NetworkState::Trial { seconds_left } => {
            println!("network   on trial, returns in {seconds_left} s unless it works or is confirmed");
        }
        NetworkState::Returned => println!("network   the last change did not work: the one before is used"),
    }
    for (name, image) in [("slot a", &status.slot_a), ("slot b", &status.slot_b)] {
        let signed = |signed: bool| if signed { String::new() } else { format!(" {}", red("UNSIGNED")) };
        match image {
            Some(image) => println!("{name}    {}{}", image.version, signed(image.signed)),
            None => println!("{name}    empty"),
        }
    }
    if let Some(entry) = &status.last_event {
        println!("last      {}", describe(entry));
    }
    if let Some(cluster) = &status.cluster {
        println!("cluster   {}", cluster::line(cluster));
    }
    for failed in &status.failed {
        println!("failed    {}: {}", failed.version, failed.reason);
    }
    for notice in &status.notices {
        println!("notice    {}", red(&notice.text));
        if let Some(help) = &notice.help {
            println!("          help: {help}");
        }
    }
    if let Some(operation) = &status.operation {
        let by = &operation.by;
        println!("operation {} by {by}: {}", operation.operation, observe::describe_state(operation));
    }
}

fn print_history(history: &[HistoryEntry]) {
    for entry in history {
        println!("{} {}", day_and_time(entry.at), describe(entry));
    }
}

fn describe(entry: &HistoryEntry) -> String {
    let slot = entry.slot.map_or_else(String::new, |slot| format!(" (slot {slot})"));
    let reason = entry.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
    let event = serde_json::to_string(&entry.event).unwrap_or_default();
    format!("{} {}{slot}{reason}", event.trim_matches('"'), entry.version)
}

/// Red on a terminal, unless the person does not want colours.
fn red(text: &str) -> String {
    if std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
        format!("\x1b[31m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}

fn print_notice(notice: &Notice) {
    let when = day_and_time(notice.since);
    println!("{}  {when}  {}", notice.id, notice.text);
    if let Some(help) = &notice.help {
        println!("              help: {help}");
    }
}

/// A name that is typed by a person who sees what it means.
fn typed(name: &str, meaning: &str) -> Result<String> {
    if !std::io::stdin().is_terminal() {
        return Err(
            Error::invalid(format!("nobody is here to type {name}")).help("give it with --confirm NAME")
        );
    }
    eprintln!("{meaning}");
    eprint!("Type {name} to go on: ");
    std::io::stderr().flush().context("cannot ask")?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).context("cannot read the answer")?;
    Ok(answer.trim().to_owned())
}

/// Asks where more than the version goes back.
fn rollback(reader: Reader, confirm: Option<String>) -> Result<()> {
    if let Some(cluster) = Client::new()?.status()?.cluster
        && let Some(kept) = &cluster.kept
    {
        let when = edge_model::calendar::day_and_time(kept.made);
        let meaning = format!(
            "The cluster {} gets its data of {when} again: what was stored in it since then is put aside.",
            cluster.name
        );
        let name = match confirm {
            Some(name) => name,
            None => typed("the cluster's name", &meaning)?,
        };
        if name != cluster.name {
            return Err(Error::rejected(format!("the cluster is called {}, not {name}", cluster.name))
                .help("type its name to go back"));
        }
    }
    operate(reader, &OperationRequest::Rollback)
}

fn reset(reader: Reader, oem: bool, confirm: Option<String>) -> Result<()> {
    let host = Client::new()?.status()?.host_name;
    let lost = if oem {
        "all data of this host and everything that the site has told"
    } else {
        "all data of this host"
    };
    let name = match confirm {
        Some(name) => name,
        None => typed("its name", &format!("This erases {lost}: {host}."))?,
    };
    if name != host {
        return Err(
            Error::invalid(format!("this host is {host}, not {name}")).help("give its name with --confirm")
        );
    }
    operate(reader, &OperationRequest::Reset { oem })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn every_verb_is_described_on_its_page_and_named_rightly() {
        let root = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
        edge_cli::check(Arguments::command(), root).unwrap();
    }
}
