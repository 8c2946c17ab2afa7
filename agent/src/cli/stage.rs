//! `edge-agent stage`: running stages by hand or by the service manager, and what they did.

use clap::Subcommand;
use edge_cli::Reader;
use edge_host::machine::Machine;
use edge_model::Result;
use edge_model::stage_log::{StageRecord, StepOutcome};
use edge_planner::host_kind::HostKind;

use super::red;
use crate::facts::Host;
use crate::stages::{self, Moment};

#[derive(Subcommand)]
pub(super) enum Stage {
    /// Run a stage with its .before and .after
    Run {
        /// The stage, like `network`
        name: String,
        /// Print what would be done and change nothing
        #[arg(long)]
        dry_run: bool,
        /// Wait so many seconds for a network, if the stage has steps
        #[arg(long, value_name = "SECONDS")]
        wait_online: Option<u64>,
        /// Inside an image that is not booted
        #[arg(long, hide = true)]
        in_image: bool,
    },
    /// Show what stages did in this boot and how long it took
    Log {
        /// In all boots that are kept
        #[arg(long)]
        all: bool,
    },
}

impl Stage {
    pub(super) fn run(self, reader: Reader) -> Result<()> {
        match self {
            Stage::Run { name, dry_run, wait_online, in_image } => {
                let machine = Machine::real();
                let kind = if in_image { HostKind::Appliance } else { Host::observe()?.kind };
                if let Some(seconds) = wait_online.filter(|_| stages::has_steps(&machine, &name, kind)) {
                    stages::wait_online(seconds);
                }
                let record =
                    stages::run(&name, &Moment { dry_run, ..Moment::of_running_system(&machine, kind) });
                reader.tell(&record, print)
            }
            Stage::Log { all } => {
                let records = if all { stages::read_kept() } else { stages::read_present() };
                reader.tell(&records, |records| print_all(records, all))
            }
        }
    }
}

fn print_all(records: &[StageRecord], with_boots: bool) {
    let mut boot = "";
    for record in records {
        if with_boots && record.boot != boot {
            boot = &record.boot;
            println!("boot {boot}");
        }
        print(record);
    }
}

fn print(record: &StageRecord) {
    println!("{:>9.3} s  stage {} ({} ms)", record.began as f64 / 1000.0, record.stage, record.took);
    for problem in &record.problems {
        println!("             {}", red(problem));
    }
    for step in &record.steps {
        let name = &step.name;
        match &step.outcome {
            StepOutcome::Done => println!("             {name}: done ({} ms)", step.took),
            StepOutcome::Skipped { reason } => println!("             {name}: skipped: {reason}"),
            StepOutcome::Failed { errors } => {
                errors
                    .iter()
                    .for_each(|error| println!("             {}", red(&format!("{name}: FAILED: {error}"))));
            }
            StepOutcome::Planned { actions } => {
                println!("             {name}: would");
                actions.iter().for_each(|action| println!("               {action}"));
            }
        }
    }
}
