//! Loading kernel modules: named ones, and those that the machine's hardware asks for.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use edge_model::{Context, Result};

use crate::child::Child;

/// Loads one module file. A module that is there already is fine.
///
/// # Errors
/// When the kernel refuses it.
pub fn load(path: &Path) -> Result<()> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    match rustix::system::finit_module(&file, c"", 0) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => Ok(()),
        Err(error) => {
            Err(std::io::Error::from(error)).with_context(|| format!("cannot load {}", path.display()))
        }
    }
}

/// Loads a module of the running kernel by its name, with what it depends on.
///
/// # Errors
/// When there is no such module or the kernel refuses it.
pub fn load_by_name(name: &str) -> Result<()> {
    if Path::new("/sys/module").join(name).exists() {
        return Ok(());
    }
    Child::new("modprobe").arg(name).run().map(drop)
}

/// The hardware identifiers (`modalias`) of every device that is there now.
pub fn hardware_aliases() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    collect_aliases(Path::new("/sys/devices"), 0, &mut found);
    found
}

fn collect_aliases(folder: &Path, depth: usize, found: &mut BTreeSet<String>) {
    // Deeper than any real device; stops on whatever a driver may get wrong.
    const DEEPEST: usize = 20;
    if let Ok(alias) = fs::read_to_string(folder.join("modalias")) {
        found.insert(alias.trim_end().to_owned());
    }
    let Ok(entries) = fs::read_dir(folder) else { return };
    if depth == DEEPEST {
        return;
    }
    let folders = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let folders: Vec<PathBuf> = folders.map(|entry| entry.path()).collect();
    for folder in folders {
        collect_aliases(&folder, depth + 1, found);
    }
}

/// Whether a shell-like pattern (`*` and `?`, and `[…]` sets) of `modules.alias` matches.
pub fn alias_matches(pattern: &str, alias: &str) -> bool {
    fn matches(pattern: &[u8], text: &[u8]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some((b'*', rest)) => (0..=text.len()).any(|skipped| matches(rest, &text[skipped..])),
            Some((b'?', rest)) => text.split_first().is_some_and(|(_, text)| matches(rest, text)),
            Some((b'[', rest)) => {
                let Some(end) = rest.iter().position(|byte| *byte == b']') else { return false };
                text.split_first().is_some_and(|(byte, text)| {
                    set_contains(&rest[..end], *byte) && matches(&rest[end + 1..], text)
                })
            }
            Some((byte, rest)) => {
                text.split_first().is_some_and(|(first, text)| first == byte && matches(rest, text))
            }
        }
    }
    matches(pattern.as_bytes(), alias.as_bytes())
}

fn set_contains(set: &[u8], byte: u8) -> bool {
    let mut at = 0;
    while at < set.len() {
        if at + 2 < set.len() && set[at + 1] == b'-' {
            if (set[at]..=set[at + 2]).contains(&byte) {
                return true;
            }
            at += 3;
        } else if set[at] == byte {
            return true;
        } else {
            at += 1;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_real_modules_match_their_devices() {
        let cases = [
            ("virtio:d00000002v*", "virtio:d00000002v00001AF4", true),
            ("pci:v*d*sv*sd*bc01sc08i02*", "pci:v00001B36d00000010sv00001AF4sd00001100bc01sc08i02", true),
            ("scsi:t-0x05*", "scsi:t-0x05", true),
            ("scsi:t-0x05*", "scsi:t-0x00", false),
            (
                "usb:v*p*d*dc*dsc*dp*ic08isc06ip50in*",
                "usb:v46F4p0001d0000dc00dsc00dp00ic08isc06ip50in00",
                true,
            ),
            ("acpi*:PNP0[0-9]X:*", "acpi:PNP07X:", true),
            ("a", "ab", false),
        ];
        for (pattern, alias, expected) in cases {
            assert_eq!(alias_matches(pattern, alias), expected, "{pattern} {alias}");
        }
    }
}
