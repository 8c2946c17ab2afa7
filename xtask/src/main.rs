//! The engine behind the Makefile: build, check, demo, test, bench.

mod bench;
mod build;
mod check;
mod demo;
mod fuzz;
mod generate;
mod kubernetes;
mod older;
mod openapi;
mod packages;
mod test;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use edge_model::{Result, error};

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Fill dist/ with edgeforge and with what goes into images
    Build {
        /// With the optimisations of what is shipped to users
        #[arg(long)]
        dist: bool,
    },
    /// Format, lints, structure and unit tests
    Check,
    /// Build an image and an ISO, install it in a virtual machine, and leave that running
    Demo,
    /// As demo, with Kubernetes, and a page that a pod of it serves
    DemoCluster,
    /// A shell on the machine of the demo
    DemoConsole,
    /// A picture of the screen of the demo's machine
    DemoScreen,
    /// Upgrade the machine of the demo to a second version
    DemoUpgrade,
    /// Give the machine of the demo a broken image and watch it come back
    DemoBreak,
    /// Switch the machine of the demo off
    DemoStop,
    /// Everything that proves the project
    Test {
        /// Only these scenarios in virtual machines, and nothing else
        scenarios: Vec<String>,
    },
    /// Everything, with the repetitions that take long
    TestLong,
    /// Make the Kubernetes of tests and demo from Go modules, or from what KUBE_COMPONENT names
    Kubernetes {
        /// The minor release before, from which tests upgrade
        #[arg(long)]
        before: bool,
    },
    /// Random bytes for everything that reads bytes of others
    Fuzz {
        /// Only these targets
        targets: Vec<String>,
        /// For each of them
        #[arg(long, default_value_t = 60)]
        seconds: u64,
    },
    /// Ask a real host anew for what the pictures of the console are made from
    Record,
    /// Write what follows from the types: schemas and reference pages
    Generate,
    /// Sizes, times and memory against their marks
    Bench {
        #[arg(default_value = "all")]
        part: bench::Part,
    },
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Build { dist } => build::build(dist),
        Command::Check => check::check(),
        Command::Demo => demo::demo(),
        Command::DemoCluster => demo::cluster(),
        Command::DemoConsole => return demo::console().unwrap_or_else(|error| finish(Err(error))),
        Command::DemoScreen => demo::screen(),
        Command::DemoUpgrade => demo::upgrade(),
        Command::DemoBreak => demo::break_it(),
        Command::DemoStop => demo::stop(),
        Command::Test { scenarios } => test::test(&scenarios, false),
        Command::TestLong => test::test(&[], true),
        Command::Kubernetes { before } => {
            let release = if before { kubernetes::Release::Before } else { kubernetes::Release::Current };
            build::build(false).and_then(|()| kubernetes::command(release))
        }
        Command::Fuzz { targets, seconds } => fuzz::command(targets, seconds),
        Command::Record => test::record(),
        Command::Generate => generate::generate(),
        Command::Bench { part } => bench::bench(part),
    };
    finish(result)
}

fn finish(result: Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", error::render(&error));
            ExitCode::from(error.class.exit_code())
        }
    }
}

/// The checkout.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("/")).to_owned()
}
