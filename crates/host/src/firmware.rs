//! The firmware's boot entries: which loader is started from where, and in which order.
//!
//! UEFI Specification 2.10, sections 3.1.3 (load options) and 10.3.5 (media device paths).

use edge_model::layout::Role;
use edge_model::paths;
use edge_model::{Error, Result};

use crate::disk::PartitionedDisk;
use crate::efivars::{EfiVars, SecureBoot, Variable, to_utf16};

const ACTIVE: u32 = 1;

/// One of the entries that an installed host keeps.
struct Wanted {
    description: &'static str,
    role: Role,
    file: &'static str,
}

/// In order of precedence. A loader that the firmware cannot start leads to the next.
const WANTED: [Wanted; 3] = [
    Wanted { description: "Edge", role: Role::Efi, file: paths::ESP_LOADER_MAIN },
    Wanted { description: "Edge (second loader)", role: Role::Efi, file: paths::ESP_LOADER_FALLBACK },
    Wanted { description: "Edge (recovery)", role: Role::EfiRecovery, file: paths::ESP_LOADER_RECOVERY },
];
const RECOVERY: usize = 2;

/// Makes the firmware know the loaders of `disk`, before all others. Returns whether something was missing.
///
/// # Errors
/// When the firmware refuses.
pub fn ensure_entries(variables: &EfiVars, disk: &PartitionedDisk) -> Result<bool> {
    let mut changed = false;
    let mut ours = Vec::new();
    for wanted in &WANTED {
        let option = load_option(disk, wanted)?;
        let number = match find(variables, &option)? {
            Some(number) => number,
            None => {
                changed = true;
                create(variables, &option)?
            }
        };
        ours.push(number);
    }
    let order = variables.get(Variable::BootOrder)?.unwrap_or_default();
    let old: Vec<u16> = order.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
    let others = old.iter().copied().filter(|number| !ours.contains(number));
    let new: Vec<u16> = ours.iter().copied().chain(others).collect();
    if new != old {
        changed = true;
        let bytes: Vec<u8> = new.iter().flat_map(|number| number.to_le_bytes()).collect();
        variables.set(Variable::BootOrder, &bytes)?;
    }
    Ok(changed)
}

/// Makes the firmware start the recovery loader next time.
///
/// # Errors
/// When it has no such entry and refuses a new one.
pub fn boot_recovery_next(variables: &EfiVars, disk: &PartitionedDisk) -> Result<()> {
    boot_next(variables, disk, RECOVERY)
}

/// Makes the firmware start the disk's own loader next time, whatever its order says.
///
/// # Errors
/// As [`boot_recovery_next`].
pub fn boot_disk_next(variables: &EfiVars, disk: &PartitionedDisk) -> Result<()> {
    boot_next(variables, disk, 0)
}

fn boot_next(variables: &EfiVars, disk: &PartitionedDisk, index: usize) -> Result<()> {
    let option = load_option(disk, &WANTED[index])?;
    let number = match find(variables, &option)? {
        Some(number) => number,
        None => create(variables, &option)?,
    };
    variables.set(Variable::BootNext, &number.to_le_bytes())
}

/// What the firmware and the boot loader are set to, for people. What cannot be read is left out.
pub fn describe(variables: &EfiVars) -> String {
    let mut lines = vec![format!(
        "secure boot: {}",
        match variables.secure_boot() {
            SecureBoot::On => "on",
            SecureBoot::Off => "off",
            SecureBoot::Unknown => "not known",
        }
    )];
    for (name, variable) in [
        ("LoaderEntrySelected", Variable::LoaderEntrySelected),
        ("LoaderEntryDefault", Variable::LoaderEntryDefault),
        ("LoaderEntryOneShot", Variable::LoaderEntryOneShot),
        ("LoaderDevicePartUUID", Variable::LoaderDevicePartUuid),
        ("EdgeFallbackEntry", Variable::FallbackEntry),
        ("EdgeBootReason", Variable::BootReason),
    ] {
        let value = variables.get_text(variable).ok().flatten();
        lines.push(format!("{name}: {}", value.unwrap_or_else(|| "-".into())));
    }
    for (name, variable) in [
        ("EdgeBootCount", Variable::BootCount),
        ("BootOrder", Variable::BootOrder),
        ("BootNext", Variable::BootNext),
    ] {
        let value = variables.get(variable).ok().flatten().unwrap_or_default();
        lines.push(format!("{name}: {}", edge_model::ids::to_hex(&value)));
    }
    for number in variables.boot_entries().unwrap_or_default() {
        let option = variables.boot_entry(number).ok().flatten().unwrap_or_default();
        lines.push(format!("Boot{number:04X}: {}", description(&option)));
    }
    lines.join("\n") + "\n"
}

/// The name in a load option: it stands behind attributes and a length.
fn description(option: &[u8]) -> String {
    let units = option.get(6..).unwrap_or_default().chunks_exact(2);
    let units = units.map(|pair| u16::from_le_bytes([pair[0], pair[1]])).take_while(|unit| *unit != 0);
    String::from_utf16_lossy(&units.collect::<Vec<u16>>())
}

fn find(variables: &EfiVars, option: &[u8]) -> Result<Option<u16>> {
    for number in variables.boot_entries()? {
        if variables.boot_entry(number)?.as_deref() == Some(option) {
            return Ok(Some(number));
        }
    }
    Ok(None)
}

fn create(variables: &EfiVars, option: &[u8]) -> Result<u16> {
    let taken = variables.boot_entries()?;
    let number = (0..=u16::MAX)
        .find(|number| !taken.contains(number))
        .ok_or_else(|| Error::environment("the firmware has no room for another boot entry"))?;
    variables.set_boot_entry(number, option)?;
    Ok(number)
}

fn load_option(disk: &PartitionedDisk, wanted: &Wanted) -> Result<Vec<u8>> {
    let partition = disk.partition(wanted.role).ok_or_else(|| {
        Error::environment(format!("{} has no partition {}", disk.disk.path, wanted.role.spec().label))
    })?;
    let sector = disk.disk.logical_sector;
    let mut path = vec![4, 1, 42, 0]; // media, hard drive
    path.extend(partition.number.to_le_bytes());
    path.extend((partition.start / sector).to_le_bytes());
    path.extend((partition.length / sector).to_le_bytes());
    path.extend(partition.uuid.0);
    path.extend([2, 2]); // GPT, signature is a GUID
    let file = to_utf16(&format!("\\{}", wanted.file.replace('/', "\\")));
    path.extend([4, 4]); // media, file path
    path.extend((file.len() as u16 + 4).to_le_bytes());
    path.extend(file);
    path.extend([0x7f, 0xff, 4, 0]); // end
    let mut option = ACTIVE.to_le_bytes().to_vec();
    option.extend((path.len() as u16).to_le_bytes());
    option.extend(to_utf16(wanted.description));
    option.extend(path);
    Ok(option)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_options_are_read_by_their_name() {
        let mut option = vec![1, 0, 0, 0, 4, 0];
        option.extend(to_utf16("Edge (recovery)"));
        option.extend([0x7f, 0xff, 4, 0]);
        assert_eq!(description(&option), "Edge (recovery)");
        assert_eq!(description(&[1, 2, 3]), "");
    }
}
