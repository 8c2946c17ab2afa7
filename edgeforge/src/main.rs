//! edgeforge: packages or any image become a provider image, an installer ISO and a raw disk.

mod adapt;
mod apt;
mod build;
mod bundle;
mod cache;
mod cli;
mod clock;
mod component;
mod contents;
mod customise;
mod documents;
mod envelopes;
mod erofs;
mod fat;
mod import;
mod initrd;
mod inputs;
mod inspect;
mod kernel;
mod keymaps;
mod lint;
mod lock;
mod normalise;
mod oci;
mod output;
mod packages;
mod preflight;
mod programs;
mod progress;
mod project;
mod provider_image;
mod push;
mod recipe;
mod root_image;
mod sbom;
mod scratch;
mod tools;
mod tree;
mod uki;
mod unpack;

use std::process::ExitCode;

use edge_cli::Reader;

fn main() -> ExitCode {
    edge_host::pipe::end_quietly_when_nobody_reads();
    match cli::run() {
        Ok(code) => code,
        Err(error) => Reader::of_arguments().fail(&error),
    }
}
