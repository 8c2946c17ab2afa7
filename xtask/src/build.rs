//! `dist/`: edgeforge, and beside it the programs that go into images.

use std::fs;
use std::path::{Path, PathBuf};

use edge_host::child::Child;
use edge_model::{Context, Result};

use crate::root;

const TARGET: &str = "x86_64-unknown-linux-gnu";
/// Program and package.
const IN_IMAGES: [&str; 4] = ["edge-agent", "edge-init", "edge-local-ui", "edge-tui"];

/// Fills `dist/`.
///
/// # Errors
/// When cargo fails.
pub(crate) fn build(dist: bool) -> Result<()> {
    let profile = if dist { "dist" } else { "release" };
    let packages = ["edgeforge"].into_iter().chain(IN_IMAGES);
    if dist {
        // Each alone, so that no feature of one leaks into another.
        for package in packages {
            compile(&["--profile", profile, "--package", package])?;
        }
    } else {
        // Together: what several need is compiled once, in half the time.
        let together = packages.chain(["qemu-tests"]).flat_map(|package| ["--package", package]);
        let arguments: Vec<&str> = ["--profile", profile].into_iter().chain(together).collect();
        compile(&arguments)?;
    }
    let target = root().join("dist");
    fs::create_dir_all(target.join("host")).context("cannot create dist/")?;
    install(&program("edgeforge", dist), &target.join("edgeforge"))?;
    for name in IN_IMAGES {
        install(&program(name, dist), &target.join("host").join(name))?;
    }
    let manual = target.join("man");
    fs::create_dir_all(&manual).context("cannot create dist/man")?;
    for name in ["edgeforge", "edge-agent"] {
        Child::new(program(name, dist)).arg("manual").arg(&manual).run()?;
    }
    Ok(())
}

/// A program that [`build`] has made.
pub(crate) fn program(name: &str, dist: bool) -> PathBuf {
    root().join("target").join(TARGET).join(if dist { "dist" } else { "release" }).join(name)
}

/// Compiles what is shipped, or runs on another machine: the same bytes in any folder, because images and `forge.lock`
/// name these programs by their digests.
///
/// # Errors
/// When cargo fails.
pub(crate) fn compile(arguments: &[&str]) -> Result<()> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(std::env::home_dir()?.join(".cargo"))).unwrap_or_default();
    let renamed = |place: &Path, name: &str| format!("'--remap-path-prefix={}={name}'", place.display());
    let flags = [renamed(&home, "cargo"), renamed(&root(), "source")].join(", ");
    let places = format!("target.{TARGET}.rustflags=[{flags}]");
    cargo(&[&["build", "--config", &places], arguments].concat())
}

/// Runs cargo in the checkout.
///
/// # Errors
/// When it fails.
pub(crate) fn cargo(arguments: &[&str]) -> Result<()> {
    child().args(arguments).run_on_terminal()
}

/// Cargo in the checkout.
pub(crate) fn child() -> Child {
    Child::new("cargo").with_whole_environment().directory(&root())
}

/// A program that is running is replaced, not written to.
fn install(source: &Path, target: &Path) -> Result<()> {
    let context = || format!("cannot write {}", target.display());
    let temporary = target.with_extension("new");
    fs::copy(source, &temporary).with_context(context)?;
    fs::rename(&temporary, target).with_context(context)
}
