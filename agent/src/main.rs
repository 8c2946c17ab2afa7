//! The agent on the host: early boot, daemon and command line in one program.

mod boot_control;
mod cli;
mod configuration;
mod daemon;
mod early;
mod facts;
mod health;
mod host_state;
mod ledger_store;
mod network_trial;
mod operations;
mod report;
mod source;
mod stages;

use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", edge_model::error::render(&error));
            ExitCode::from(error.class.exit_code())
        }
    }
}
