//! `edge-agent stage`: running stages by hand or by the service manager, and what they did.

use clap::Subcommand;
use edge_model::stage_log::{StageRecord, StepOutcome};
use edge_model::{Context, Result};

use super::red;
use crate::facts::Host;
use crate::stages::{self, Moment};

#[derive(Subcommand)]
pub(super) enum Stage {
    /// Run a stage with its .before and .after
    Run {
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
    pub(super) fn run(self, json: bool) -> Result<()> {
        match self {
            Stage::Run { name, dry_run, wait_online, in_image } => {
                let mode =
                    if in_image { edge_model::cmdline::Mode::Main } else { Host::observe()?.record.mode };
                if let Some(seconds) = wait_online.filter(|_| stages::has_steps(&name, mode)) {
                    stages::wait_online(seconds);
                }
                let record = stages::run(&name, &Moment { dry_run, ..Moment::of_running_system(mode) });
                if json {
                    println!("{}", serde_json::to_string(&record).context("cannot print the record")?);
                } else {
                    print(&record);
                }
                Ok(())
            }
            Stage::Log { all } => {
                let records = if all { stages::read_kept() } else { stages::read_present() };
                if json {
                    println!("{}", serde_json::to_string(&records).context("cannot print the records")?);
                    return Ok(());
                }
                let mut boot = String::new();
                for record in &records {
                    if all && record.boot != boot {
                        boot.clone_from(&record.boot);
                        println!("boot {boot}");
                    }
                    print(record);
                }
                Ok(())
            }
        }
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
