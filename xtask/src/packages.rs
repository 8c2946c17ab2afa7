//! What this machine must have. Nothing is installed without asking, unless told `YES=1`.

use std::io::{BufRead, Write};
use std::path::Path;

use edge_host::child::Child;
use edge_model::{Context, Error, Result};

/// A program and the Debian package that has it.
const BUILDER: [(&str, &str); 2] = [("/usr/bin/mmdebstrap", "mmdebstrap"), ("/usr/bin/newuidmap", "uidmap")];

/// Packages that the builder needs.
///
/// # Errors
/// When the person says no, or apt fails.
pub(crate) fn for_builder() -> Result<()> {
    install(&BUILDER)
}

fn install(wanted: &[(&str, &str)]) -> Result<()> {
    let missing: Vec<&str> =
        wanted.iter().filter(|(file, _)| !Path::new(file).exists()).map(|(_, package)| *package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    agree(&format!("install {} with apt-get", missing.join(" ")))?;
    let apt = |arguments: &[&str]| {
        let child = if is_root() { Child::new("apt-get") } else { Child::new("sudo").arg("apt-get") };
        child.env("DEBIAN_FRONTEND", "noninteractive").args(arguments).run_on_terminal()
    };
    apt(&["-q", "update"])?;
    apt(&[["-q", "-y", "install"].as_slice(), &missing].concat())
}

/// What compiles the container runtime beside Go: a C compiler comes with Rust.
const KUBERNETES: [(&str, &str); 1] = [("/usr/include/seccomp.h", "libseccomp-dev")];

/// Packages that compiling Kubernetes needs.
///
/// # Errors
/// As [`for_builder`].
pub(crate) fn for_kubernetes() -> Result<()> {
    install(&KUBERNETES)
}

/// cargo-deny, which checks licences and sources of dependencies.
///
/// # Errors
/// When the person says no, or cargo fails.
pub(crate) fn cargo_deny() -> Result<()> {
    if Child::new("cargo").with_whole_environment().args(["deny", "--version"]).outcome()?.status.success() {
        return Ok(());
    }
    agree("install cargo-deny with cargo")?;
    // Not static: it is a tool of this machine, outside the workspace and its settings. It runs for a second, and is compiled
    // for minutes where it is made fast.
    Child::new("cargo")
        .with_whole_environment()
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0")
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
        .args(["install", "--locked", "cargo-deny"])
        .directory(Path::new("/"))
        .run_on_terminal()
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|metadata| std::os::unix::fs::MetadataExt::uid(&metadata) == 0)
}

fn agree(what: &str) -> Result<()> {
    if std::env::var("YES").is_ok_and(|answer| answer == "1") {
        return Ok(());
    }
    eprint!("May I {what}? [y/N] ");
    std::io::stderr().flush().context("cannot ask")?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).context("cannot read the answer")?;
    if answer.trim().eq_ignore_ascii_case("y") {
        return Ok(());
    }
    Err(Error::environment(format!("this needs to {what}")).help("answer y, or run it with YES=1"))
}
