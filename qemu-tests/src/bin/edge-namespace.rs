//! `edge-namespace GROUP FOLDER`: becomes the host of a folder, in namespaces of its own (see `qemu_tests::namespaces`).

use std::path::Path;
use std::process::ExitCode;

use edge_model::{Error, error};
use qemu_tests::namespaces::{become_host, enter};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let result = match &words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--inside", folder] => become_host(Path::new(folder)),
        [group, folder] => enter(group, Path::new(folder)),
        _ => Err(Error::invalid("usage: edge-namespace GROUP FOLDER")),
    };
    let Err(error) = result;
    eprintln!("{}", error::render(&error));
    ExitCode::FAILURE
}
