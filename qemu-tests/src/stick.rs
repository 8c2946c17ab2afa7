//! Volumes that somebody puts into a machine.

use std::fs;
use std::path::{Path, PathBuf};

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

/// Makes an empty stick that can be written to.
///
/// # Errors
/// When it cannot be made.
pub fn make_writable(lab: &Lab, name: &str, label: &str) -> Result<PathBuf> {
    const SIZE: u64 = 64 << 20;
    let image = lab.work().join(format!("{name}.stick"));
    fs::File::create(&image)
        .and_then(|file| file.set_len(SIZE))
        .with_context(|| format!("cannot create {}", image.display()))?;
    lab.builder_tool("mformat")?.arg("-i").arg(&image).args(["-F", "-v", label, "::"]).run()?;
    Ok(image)
}

/// Names of the files on a stick that was made with [`make_writable`], and the text of one of them.
///
/// # Errors
/// When the stick cannot be read, or the file is not there.
pub fn read(lab: &Lab, image: &Path, file: &str) -> Result<(String, String)> {
    let run = |program: &str, path: &str| -> Result<String> {
        let output = lab.builder_tool(program)?.arg("-i").arg(image).arg(path).run()?;
        Ok(String::from_utf8_lossy(&output).into_owned())
    };
    Ok((run("mdir", "::")?, run("mtype", &format!("::{file}"))?))
}
