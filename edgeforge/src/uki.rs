//! Unified kernel images: one for each mode, because a signed command line cannot be changed at boot.

use std::fs;
use std::path::{Path, PathBuf};

use edge_host::child::Child;
use edge_host::sandbox::Sandbox;
use edge_model::cmdline::{CommandLine, Mode};
use edge_model::forge::Forge;
use edge_model::manifest::RootImage;
use edge_model::{Context, Result};

/// What all UKIs of an image share.
pub(crate) struct Parts<'a> {
    pub(crate) forge: &'a Forge,
    pub(crate) kernel: &'a Path,
    pub(crate) kernel_release: &'a str,
    pub(crate) initrd: &'a Path,
    pub(crate) root: &'a RootImage,
}

/// Where the UKI of a mode is in the folder of this step.
pub(crate) fn path(directory: &Path, mode: Mode) -> PathBuf {
    directory.join(format!("{mode}.efi"))
}

pub(crate) const MODES: [Mode; 3] = [Mode::Main, Mode::Recovery, Mode::Live];

/// Builds the three UKIs into `directory`.
///
/// # Errors
/// When ukify fails.
pub(crate) fn build(parts: &Parts<'_>, tools: &Sandbox, directory: &Path) -> Result<()> {
    fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
    for mode in MODES {
        build_one(parts, mode, tools, directory)?;
    }
    Ok(())
}

fn build_one(parts: &Parts<'_>, mode: Mode, tools: &Sandbox, directory: &Path) -> Result<()> {
    let forge = parts.forge;
    let line = CommandLine {
        mode,
        root_hash: parts.root.root_hash,
        data_blocks: parts.root.data_blocks,
        fault: None,
    };
    let words: Vec<String> =
        std::iter::once(line.to_string()).chain(forge.kernel_arguments.clone()).collect();
    let title = match mode {
        Mode::Main => String::new(),
        Mode::Recovery => " (recovery)".into(),
        Mode::Live => " (installer)".into(),
    };
    let release = format!(
        "ID=edge\nNAME=\"{0}\"\nVERSION_ID=\"{1}\"\nIMAGE_ID=\"{0}\"\nIMAGE_VERSION=\"{1}\"\nPRETTY_NAME=\"{0} {1}{title}\"\n",
        forge.name, forge.version
    );
    let (words_path, release_path) = (directory.join("cmdline"), directory.join("os-release"));
    fs::write(&words_path, words.join(" ")).context("cannot write the kernel command line")?;
    fs::write(&release_path, release).context("cannot write the description of a UKI")?;
    Child::new("ukify")
        .args(["build", "--efi-arch=x64"])
        .arg(format!("--linux={}", parts.kernel.display()))
        .arg(format!("--initrd={}", parts.initrd.display()))
        .arg(format!("--cmdline=@{}", words_path.display()))
        .arg(format!("--os-release=@{}", release_path.display()))
        .arg(format!("--uname={}", parts.kernel_release))
        .arg(format!("--output={}", path(directory, mode).display()))
        .inside(tools)?
        .run()?;
    for temporary in [words_path, release_path] {
        fs::remove_file(temporary).context("cannot remove a temporary file")?;
    }
    Ok(())
}
