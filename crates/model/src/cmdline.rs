//! The part of the kernel command line that is ours. It is inside the (signed) UKI.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::ids::RootHash;

/// What a UKI was built for. A signed command line cannot be changed at boot, so there is one UKI for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The operating system in slot a or b.
    Main,
    /// The known-good image in the recovery partition.
    Recovery,
    /// The installation medium.
    Live,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mode::Main => "main",
            Mode::Recovery => "recovery",
            Mode::Live => "live",
        })
    }
}

/// A failure that an image is built to show, to prove that a host comes back from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// PID 1 of the initrd stops for ever.
    HangInInit,
    /// PID 1 of the initrd dies, and the kernel panics.
    PanicInInit,
}

impl FromStr for Fault {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "hang-in-init" => Ok(Fault::HangInInit),
            "panic-in-init" => Ok(Fault::PanicInInit),
            _ => Err(Error::invalid(format!("edge.fault={text} is not a known fault"))),
        }
    }
}

/// Our keys of the kernel command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandLine {
    pub mode: Mode,
    pub root_hash: RootHash,
    /// Number of 4096-byte data blocks in front of the hash tree.
    pub data_blocks: u64,
    pub fault: Option<Fault>,
}

/// Words that begin like a key of user data and are not one.
pub const OWN_KEYS: [&str; 5] = ["edge.mode", "edge.root", "edge.blocks", "edge.fault", "edge.unattended"];

/// What every UKI carries besides our own keys. `panic`, `oops` and `softlockup_panic` turn every kernel
/// failure into a reboot; `systemd.gpt_auto=no` keeps systemd from mounting partitions by type; `gpt` lets the kernel use the
/// table at the end of the disk when that at its beginning is damaged (`block/partitions/efi.c`). The security modules are those
/// that something here uses: with `bpf` among them the service manager loads a program for `RestrictFileSystems=`, which no
/// unit has, at each boot (a sixteenth of its processor time).
pub const FIXED: &str = "ro quiet loglevel=4 gpt panic=10 oops=panic softlockup_panic=1 systemd.gpt_auto=no \
                         lsm=lockdown,capability,landlock,yama,apparmor \
                         systemd.show_status=no rd.systemd.show_status=no console=tty1 console=ttyS0,115200";

impl CommandLine {
    /// Reads `/proc/cmdline`; keys that are not ours are ignored.
    ///
    /// # Errors
    /// When `edge.mode`, `edge.root` or `edge.blocks` is missing or malformed.
    pub fn parse(text: &str) -> Result<Self> {
        let value = |key: &str| {
            text.split_whitespace().filter_map(|word| word.split_once('=')).find(|(name, _)| *name == key)
        };
        let required = |key: &str| {
            value(key)
                .map(|(_, value)| value)
                .ok_or_else(|| Error::invalid(format!("the kernel command line has no {key}=")))
        };
        let mode = match required("edge.mode")? {
            "main" => Mode::Main,
            "recovery" => Mode::Recovery,
            "live" => Mode::Live,
            other => return Err(Error::invalid(format!("edge.mode={other} is not main, recovery or live"))),
        };
        let data_blocks = required("edge.blocks")?;
        Ok(Self {
            mode,
            root_hash: required("edge.root")?.parse()?,
            data_blocks: data_blocks
                .parse()
                .map_err(|_| Error::invalid(format!("edge.blocks={data_blocks} is not a number")))?,
            fault: value("edge.fault").map(|(_, fault)| fault.parse()).transpose()?,
        })
    }
}

impl fmt::Display for CommandLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "edge.mode={} edge.root={} edge.blocks={} {FIXED}",
            self.mode, self.root_hash, self.data_blocks
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_printed_is_read_back() {
        let line = CommandLine {
            mode: Mode::Recovery,
            root_hash: RootHash([7; 32]),
            data_blocks: 65_000,
            fault: None,
        };
        assert_eq!(CommandLine::parse(&line.to_string()), Ok(line));
    }

    #[test]
    fn missing_and_wrong_keys_are_named() {
        let error = CommandLine::parse("edge.mode=main quiet").unwrap_err();
        assert!(error.to_string().contains("edge.blocks"), "{error}");
        let error = CommandLine::parse("edge.mode=other").unwrap_err();
        assert!(error.to_string().contains("edge.mode=other"), "{error}");
    }

    proptest! {
        #[test]
        fn no_command_line_panics(text in ".{0,200}") {
            let _ = CommandLine::parse(&text);
        }
    }
}
