//! The support bundle: everything that somebody far away needs to understand a host, in one file without secrets.
//!
//! It works without a network and in recovery. What cannot be collected is said in the bundle's `index.json`.

mod archive;
mod collect;
mod journal;

use std::io::Write;
use std::path::Path;

use edge_host::{files, sticks};
use edge_model::api::BootRecord;
use edge_model::secret::Secret;
use edge_model::{Error, Result};

use crate::report::Report;
use archive::Archive;

/// What the caller knows and a bundle holds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Inputs {
    pub(crate) host_id: String,
    /// Seconds since 1970 by the wall clock.
    pub(crate) now: u64,
    /// How this boot came about; none where our init did not boot.
    pub(crate) record: Option<BootRecord>,
    /// The answer to `GET /v1/status`.
    pub(crate) status: serde_json::Value,
    /// The configuration as YAML, with its secrets hidden.
    pub(crate) configuration: String,
    /// Values that must not be in the bundle, wherever they stand.
    pub(crate) secrets: Vec<Secret>,
}

impl Inputs {
    /// Name of the folder in the bundle, and of the bundle without its ending.
    pub(crate) fn name(&self) -> String {
        let id =
            self.host_id.chars().filter(|letter| letter.is_ascii_alphanumeric() || *letter == '-').take(64);
        let id: String = id.collect();
        let id = if id.is_empty() { "unnamed".to_owned() } else { id };
        format!("support-{id}-{}", timestamp(self.now))
    }

    pub(crate) fn file_name(&self) -> String {
        format!("{}.tar.zst", self.name())
    }
}

/// Writes a bundle as a stream.
///
/// # Errors
/// When the target cannot be written, or the work was cancelled. What cannot be collected is no error.
pub(crate) fn write(target: &mut dyn Write, inputs: &Inputs, report: &mut dyn Report) -> Result<()> {
    report.step("collecting what the host knows about itself", 0);
    let mut archive = Archive::new(target, &inputs.name(), &inputs.host_id, inputs.now, &inputs.secrets)?;
    for item in collect::items() {
        report.progress(archive.bytes())?;
        item.add_to(&mut archive, inputs)?;
    }
    report.step("collecting the journal of the last boots", 0);
    journal::add(&mut archive, inputs, report)?;
    report.progress(archive.bytes())?;
    archive.finish()
}

/// Writes a bundle to a file that appears only when it is whole.
///
/// # Errors
/// As [`write`].
pub(crate) fn write_to_file(path: &Path, inputs: &Inputs, report: &mut dyn Report) -> Result<()> {
    files::make_durably(path, 0o600, |file| write(file, inputs, report))
}

/// Writes a bundle to a stick: to the one with this device, or to the first there is. Returns the name of the file;
/// the stick may then be pulled out.
///
/// # Errors
/// [`edge_model::Class::Environment`] without a stick that can be written to, otherwise as [`write`].
pub(crate) fn write_to_stick(
    device: Option<&str>,
    inputs: &Inputs,
    report: &mut dyn Report,
) -> Result<String> {
    let own_disk = inputs.record.as_ref().map(|record| record.disk.as_str()).unwrap_or_default();
    let mut volumes = sticks::removable(own_disk)?;
    volumes.retain(|volume| device.is_none_or(|device| device == volume.device));
    let help = "plug in a stick with FAT32, exFAT or ext4, and try again";
    let volume = volumes.first().ok_or_else(|| {
        let missing = device.map(|device| format!("{device} is not a stick that can be written to"));
        Error::environment(missing.unwrap_or_else(|| "there is no stick that can be written to".into()))
            .help(help)
    })?;
    let name = inputs.file_name();
    sticks::use_volume(volume, |folder| write_to_file(&folder.join(&name), inputs, report))
        .map_err(|error| if error.help.is_none() { error.help(help) } else { error })?;
    Ok(name)
}

/// `20261121T173230Z`
fn timestamp(seconds: u64) -> String {
    let moment = i64::try_from(seconds).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    moment.unwrap_or_default().strftime("%Y%m%dT%H%M%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    struct Silent;

    impl Report for Silent {
        fn step(&mut self, _: &str, _: u64) {}
        fn progress(&mut self, _: u64) -> Result<()> {
            Ok(())
        }
    }

    fn inputs() -> Inputs {
        Inputs {
            host_id: "edge-../1".into(),
            now: 1_795_282_350,
            status: serde_json::json!({ "notices": ["token=SECRET-MARKER-1"], "note": "SECRET-MARKER-2" }),
            configuration: "operator:\n  password: SECRET-MARKER-3\n".into(),
            secrets: vec![Secret::new("SECRET-MARKER-2")],
            ..Inputs::default()
        }
    }

    #[test]
    fn names_are_safe_and_sort_by_time() {
        assert_eq!(inputs().file_name(), "support-edge-1-20261121T173230Z.tar.zst");
        assert_eq!(Inputs::default().name(), "support-unnamed-19700101T000000Z");
        assert_eq!(timestamp(951_782_400), "20000229T000000Z");
        assert_eq!(timestamp(951_868_800), "20000301T000000Z");
    }

    /// On whatever machine this runs: most tools are missing or fail, and a bundle comes out all the same.
    #[test]
    fn a_bundle_comes_out_everywhere_and_holds_no_secret() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(inputs().file_name());
        write_to_file(&path, &inputs(), &mut Silent).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let mut all = String::new();
        let mut archive = tar::Archive::new(zstd::Decoder::new(&bytes[..]).unwrap());
        let mut names = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            names.push(entry.path().unwrap().to_string_lossy().into_owned());
            std::io::Read::read_to_string(&mut entry, &mut all).unwrap();
        }
        assert!(names.iter().all(|name| name.starts_with("support-edge-1-20261121T173230Z/")), "{names:?}");
        assert!(names.iter().any(|name| name.ends_with("/status.json")));
        assert!(names.last().is_some_and(|name| name.ends_with("/index.json")));
        assert!(!all.contains("SECRET-MARKER"), "a secret is in the bundle");
        assert!(all.contains("notices"));
    }

    proptest! {
        #[test]
        fn later_is_greater(one in 0..4_000_000_000u64, more in 1..100_000_000u64) {
            prop_assert!(timestamp(one) < timestamp(one + more));
        }
    }
}
