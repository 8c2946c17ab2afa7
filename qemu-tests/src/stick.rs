//! Volumes that somebody puts into a machine.

use std::fs;
use std::path::PathBuf;

use edge_model::{Context, Result};

use crate::lab::Lab;

/// Makes a volume with a label and files, beside the machines' folders.
///
/// # Errors
/// When it cannot be made.
pub fn make(lab: &Lab, name: &str, label: &str, files: &[(&str, &str)]) -> Result<PathBuf> {
    let folder = lab.work().join(format!("{name}-files"));
    if folder.exists() {
        fs::remove_dir_all(&folder).context("cannot empty a folder")?;
    }
    fs::create_dir_all(&folder).context("cannot create a folder")?;
    for (file, text) in files {
        fs::write(folder.join(file), text).with_context(|| format!("cannot write {file}"))?;
    }
    let image = lab.work().join(format!("{name}.iso"));
    lab.builder_tool("xorriso")?
        .args(["-as", "mkisofs", "-quiet", "-volid", label, "-joliet", "-rock", "-output"])
        .arg(&image)
        .arg(&folder)
        .run()?;
    Ok(image)
}
