//! `dist/`: edgeforge, and beside it the programs that go into images.

use std::fs;

use edge_host::child::Child;
use edge_model::{Context, Result};

use crate::root;

const TARGET: &str = "x86_64-unknown-linux-gnu";
/// Program and package; each package is built alone, so that no feature of one leaks into another.
const IN_IMAGES: [&str; 3] = ["edge-agent", "edge-init", "edge-tui"];

/// Fills `dist/`.
///
/// # Errors
/// When cargo fails.
pub(crate) fn build(dist: bool) -> Result<()> {
    let profile = if dist { "dist" } else { "release" };
    for package in ["edgeforge"].into_iter().chain(IN_IMAGES) {
        cargo(&["build", "--profile", profile, "--package", package])?;
    }
    let built = root().join("target").join(TARGET).join(profile);
    let target = root().join("dist");
    fs::create_dir_all(target.join("host")).context("cannot create dist/")?;
    install(&built.join("edgeforge"), &target.join("edgeforge"))?;
    for program in IN_IMAGES {
        install(&built.join(program), &target.join("host").join(program))?;
    }
    Ok(())
}

/// Runs cargo in the checkout.
///
/// # Errors
/// When it fails.
pub(crate) fn cargo(arguments: &[&str]) -> Result<()> {
    Child::new("cargo").args(arguments).directory(&root()).run_on_terminal()
}

/// A program that is running is replaced, not written to.
fn install(source: &std::path::Path, target: &std::path::Path) -> Result<()> {
    let context = || format!("cannot write {}", target.display());
    let temporary = target.with_extension("new");
    fs::copy(source, &temporary).with_context(context)?;
    fs::rename(&temporary, target).with_context(context)
}
