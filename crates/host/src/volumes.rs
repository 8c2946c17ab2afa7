//! Volumes that people put beside a machine: found by label, read, and let go.

use std::fs;
use std::path::{Path, PathBuf};

use edge_model::{Context, Result};

use crate::child::Child;
use crate::{files, sticks};

const MOUNT_POINT: &str = "/run/edge/volume";

/// A file on a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeFile {
    /// Label of the volume, as it is written there.
    pub label: String,
    pub name: String,
    pub text: String,
}

/// Reads the named files of all volumes with one of the labels (in any case), in the order of the labels.
/// The disk of the host itself is not looked at.
///
/// # Errors
/// When a volume with such a label cannot be mounted, or a file on it cannot be read as text.
pub fn read_files(labels: &[&str], names: &[&str]) -> Result<Vec<VolumeFile>> {
    let mut found = Vec::new();
    for wanted in labels {
        for (device, label) in labelled()?.into_iter().filter(|(_, label)| label.eq_ignore_ascii_case(wanted))
        {
            found.extend(read_volume(&device, &label, names)?);
        }
    }
    Ok(found)
}

/// Reads the named files of one volume.
///
/// # Errors
/// When it cannot be mounted, or a file on it cannot be read as text.
pub fn read_volume(device: &Path, label: &str, names: &[&str]) -> Result<Vec<VolumeFile>> {
    fs::create_dir_all(MOUNT_POINT).context("cannot create a folder in /run")?;
    let called = format!("the volume {label} ({})", device.display());
    let mount = sticks::mount_foreign(device, &kind_of(device)?, Path::new(MOUNT_POINT), &called)?;
    let mut found = Vec::new();
    for name in names {
        if let Some(text) = files::read_text_of_stranger(&mount.path().join(name))
            .with_context(|| format!("{name} on the volume {label} cannot be read"))?
        {
            found.push(VolumeFile { label: label.to_owned(), name: (*name).to_owned(), text });
        }
    }
    mount.close()?;
    Ok(found)
}

/// Devices with a file-system label. They are asked anew each time: a stick may have come.
fn labelled() -> Result<Vec<(PathBuf, String)>> {
    let outcome = Child::new("blkid").args(["-c", "/dev/null", "-o", "export"]).outcome()?;
    Ok(parse_export(&String::from_utf8_lossy(&outcome.stdout)))
}

/// All volumes with one of the labels, in any case: device, and label as it is written there.
///
/// # Errors
/// When the volumes cannot be listed.
pub fn with_labels(labels: &[&str]) -> Result<Vec<(PathBuf, String)>> {
    let wanted = |label: &str| labels.iter().any(|wanted| label.eq_ignore_ascii_case(wanted));
    Ok(labelled()?.into_iter().filter(|(_, label)| wanted(label)).collect())
}

fn kind_of(device: &Path) -> Result<String> {
    let output =
        Child::new("blkid").args(["-c", "/dev/null", "-o", "value", "-s", "TYPE"]).arg(device).run()?;
    Ok(String::from_utf8_lossy(&output).trim().to_owned())
}

fn parse_export(text: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut device = None;
    for line in text.lines() {
        match line.split_once('=') {
            Some(("DEVNAME", path)) => device = Some(PathBuf::from(path)),
            Some(("LABEL", label)) => {
                found.extend(device.clone().map(|device| (device, label.replace('\\', ""))))
            }
            _ => {}
        }
    }
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_belong_to_the_device_above_them() {
        let text = "DEVNAME=/dev/vda1\nUUID=1\nTYPE=vfat\n\nDEVNAME=/dev/vdb\nLABEL=cidata\nTYPE=iso9660\n";
        assert_eq!(parse_export(text), [(PathBuf::from("/dev/vdb"), "cidata".to_owned())]);
    }
}
