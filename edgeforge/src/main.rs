//! edgeforge: Debian packages become a provider image, an installer ISO and a raw disk.

mod apt;
mod build;
mod cache;
mod cli;
mod clock;
mod documents;
mod envelopes;
mod fat;
mod initrd;
mod kernel;
mod normalise;
mod progress;
mod project;
mod provider_image;
mod push;
mod recipe;
mod root_image;
mod sbom;
mod tools;
mod tree;
mod uki;

use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{}", edge_model::error::render(&error));
            ExitCode::from(error.class.exit_code())
        }
    }
}
