//! Runs end-to-end scenarios in real virtual machines: `qemu-tests [--long] [--within=SECONDS] [NAME…]`.

mod runner;
mod scenarios;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use edge_model::error;
use qemu_tests::tally::Tally;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let long = arguments.iter().any(|argument| argument == "--long");
    let within = arguments.iter().find_map(|argument| argument.strip_prefix("--within="));
    let Ok(within) = within.map(str::parse).transpose() else {
        eprintln!("--within takes seconds");
        return ExitCode::FAILURE;
    };
    let names: Vec<&str> =
        arguments.iter().map(String::as_str).filter(|name| !name.starts_with("--")).collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("/"));
    match runner::run(root, long, within.map(Duration::from_secs), &names) {
        Ok(summary) => {
            println!("{summary}");
            if summary.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("{}", error::render(&error));
            println!("{}", Tally { failed: 1, ..Tally::default() });
            ExitCode::FAILURE
        }
    }
}
