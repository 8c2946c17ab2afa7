//! The agent on the host: early boot, daemon and command line in one program.

mod access;
mod accounts;
mod api;
mod black_box;
mod boot_control;
mod cli;
mod clock;
mod cluster;
mod configuration;
mod content;
mod daemon;
mod diagnostics;
mod early;
mod facts;
mod health;
mod host_key;
mod host_state;
mod journal;
mod log;
mod network_trial;
mod operations;
mod outbound;
mod report;
mod serve;
mod shell;
mod source;
mod stages;
#[cfg(test)]
mod stand;
mod state_file;
mod support_bundle;
mod web;

use std::process::ExitCode;

use edge_cli::Reader;

fn main() -> ExitCode {
    edge_host::pipe::end_quietly_when_nobody_reads();
    match cli::run() {
        Ok(code) => code,
        Err(error) => Reader::of_arguments().fail(&error),
    }
}
