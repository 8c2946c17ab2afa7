//! The firmware's boot entries: which loader is started from where, and in which order.
//!
//! UEFI Specification 2.10, sections 3.1.3 (load options) and 10.3.5 (media device paths).

use edge_model::ids::Entry;
use edge_model::layout::Role;
use edge_model::paths;
use edge_model::{Error, Result};

use crate::disk::PartitionedDisk;
use crate::efivars::{EfiVars, SecureBoot, Variable, from_utf16, to_utf16};
use crate::gpt::Guid;

const ACTIVE: u32 = 1;

/// One of the entries that an installed host keeps.
struct Wanted {
    description: &'static str,
    role: Role,
    file: String,
}

/// In order of precedence. What the firmware cannot start leads to the next: two loaders, because the first one forgets what
/// it was to start once; the previous image without a loader, for a default that cannot be started; recovery.
fn wanted(previous: Option<&Entry>) -> Vec<Wanted> {
    let entry = |description, role, file: &str| Wanted { description, role, file: file.to_owned() };
    let mut all = vec![
        entry("Edge", Role::Efi, paths::ESP_LOADER_MAIN),
        entry("Edge (second loader)", Role::Efi, paths::ESP_LOADER_FALLBACK),
    ];
    if let Some(previous) = previous {
        all.push(entry("Edge (previous)", Role::Efi, &format!("{}/{previous}", paths::ESP_UKI_DIR)));
    }
    all.push(entry("Edge (recovery)", Role::EfiRecovery, paths::ESP_LOADER_RECOVERY));
    all
}

/// Makes the firmware know the loaders of `disk`, and its previous image, before all others, and no older entry of ours. Returns
/// whether something was missing.
///
/// # Errors
/// When the firmware refuses.
pub fn ensure_entries(variables: &EfiVars, disk: &PartitionedDisk, previous: Option<&Entry>) -> Result<bool> {
    let mut changed = false;
    let mut ours = Vec::new();
    for wanted in wanted(previous) {
        let number = match find(variables, disk, &wanted)? {
            Some(number) => number,
            None => {
                changed = true;
                create(variables, &load_option(disk, &wanted)?)?
            }
        };
        if wanted.role == Role::EfiRecovery {
            variables.set(Variable::RecoveryEntry, &number.to_le_bytes())?;
        }
        ours.push(number);
    }
    let old = boot_order(variables)?;
    let surplus = surplus(variables, disk, &ours)?;
    let others = old.iter().copied().filter(|number| !ours.contains(number) && !surplus.contains(number));
    let new: Vec<u16> = ours.iter().copied().chain(others).collect();
    if new != old {
        changed = true;
        let bytes: Vec<u8> = new.iter().flat_map(|number| number.to_le_bytes()).collect();
        variables.set(Variable::BootOrder, &bytes)?;
    }
    // Not before the order does without them.
    for number in surplus {
        variables.remove_boot_entry(number)?;
    }
    Ok(changed)
}

/// Whether [`ensure_entries`] would find nothing to do.
///
/// # Errors
/// When the firmware does not say.
pub fn has_entries(variables: &EfiVars, disk: &PartitionedDisk, previous: Option<&Entry>) -> Result<bool> {
    let mut ours = Vec::new();
    for wanted in wanted(previous) {
        match find(variables, disk, &wanted)? {
            Some(number) => ours.push(number),
            None => return Ok(false),
        }
    }
    let order = boot_order(variables)?;
    Ok(order.starts_with(&ours) && surplus(variables, disk, &ours)?.is_empty())
}

fn boot_order(variables: &EfiVars) -> Result<Vec<u16>> {
    let order = variables.get(Variable::BootOrder)?.unwrap_or_default();
    Ok(order.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect())
}

/// Entries with our names for partitions of this disk that are not among `ours`: of an image that is gone, or twice.
fn surplus(variables: &EfiVars, disk: &PartitionedDisk, ours: &[u16]) -> Result<Vec<u16>> {
    let of_this_disk = |option: &LoadOption| {
        disk.partitions.iter().any(|partition| partition.uuid == option.partition)
            && option.description.starts_with("Edge")
    };
    let mut surplus = Vec::new();
    for number in variables.boot_entries()? {
        let option = variables.boot_entry(number)?.as_deref().and_then(parse);
        if !ours.contains(&number) && option.as_ref().is_some_and(of_this_disk) {
            surplus.push(number);
        }
    }
    Ok(surplus)
}

/// Makes the firmware start the recovery loader next time. The disk is not needed: it may be what is missing.
///
/// # Errors
/// When it has no such entry, or refuses.
pub fn boot_recovery_next(variables: &EfiVars) -> Result<()> {
    let known = variables.get(Variable::RecoveryEntry)?.and_then(|bytes| bytes.try_into().ok());
    let known = known.map(u16::from_le_bytes);
    let is_recovery = |number: &u16| {
        let option = variables.boot_entry(*number).ok().flatten();
        option.is_some_and(|option| description(&option) == "Edge (recovery)")
    };
    let number = match known.filter(is_recovery) {
        Some(number) => Some(number),
        // The firmware has numbered them anew.
        None => variables.boot_entries()?.into_iter().find(is_recovery),
    };
    let number =
        number.ok_or_else(|| Error::environment("the firmware has no boot entry of the recovery system"))?;
    variables.set(Variable::BootNext, &number.to_le_bytes())
}

/// Makes the firmware start the disk's own loader next time, whatever its order says.
///
/// # Errors
/// When it has no such entry and refuses a new one.
pub fn boot_disk_next(variables: &EfiVars, disk: &PartitionedDisk) -> Result<()> {
    let wanted = &wanted(None)[0];
    let number = match find(variables, disk, wanted)? {
        Some(number) => number,
        None => create(variables, &load_option(disk, wanted)?)?,
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

/// What a load option says: firmware may append to it, and change what we do not look at.
#[derive(Debug, PartialEq, Eq)]
struct LoadOption {
    description: String,
    partition: Guid,
    /// With slashes.
    file: String,
}

/// Reads attributes, length, description, and the nodes of a path that begins with a partition of a GPT and names a file.
fn parse(option: &[u8]) -> Option<LoadOption> {
    let description = description(option);
    let mut rest = option.get(6 + (description.encode_utf16().count() + 1) * 2..)?;
    let (mut partition, mut file) = (None, String::new());
    loop {
        let length = usize::from(u16::from_le_bytes([*rest.get(2)?, *rest.get(3)?]));
        let node = rest.get(..length).filter(|node| node.len() >= 4)?;
        match (node[0], node[1]) {
            (4, 1) if node.get(41) == Some(&2) => partition = Some(Guid(node.get(24..40)?.try_into().ok()?)),
            (4, 4) => file.push_str(&from_utf16(&node[4..])),
            (0x7f, _) => break,
            _ => {}
        }
        rest = &rest[length..];
    }
    let file = file.replace('\\', "/").trim_start_matches('/').to_owned();
    Some(LoadOption { description, partition: partition?, file })
}

fn find(variables: &EfiVars, disk: &PartitionedDisk, wanted: &Wanted) -> Result<Option<u16>> {
    let Some(partition) = disk.partition(wanted.role) else { return Ok(None) };
    for number in variables.boot_entries()? {
        let Some(option) = variables.boot_entry(number)? else { continue };
        let is_wanted = |option: &LoadOption| {
            option.partition == partition.uuid && option.file.eq_ignore_ascii_case(&wanted.file)
        };
        let is_active = option.first().is_some_and(|attributes| attributes & ACTIVE as u8 != 0);
        if is_active && parse(&option).as_ref().is_some_and(is_wanted) {
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
    use crate::block::Disk;
    use crate::gpt::Partition;
    use proptest::prelude::*;

    #[test]
    fn load_options_are_read_by_their_name() {
        let mut option = vec![1, 0, 0, 0, 4, 0];
        option.extend(to_utf16("Edge (recovery)"));
        option.extend([0x7f, 0xff, 4, 0]);
        assert_eq!(description(&option), "Edge (recovery)");
        assert_eq!(description(&[1, 2, 3]), "");
    }

    fn disk() -> PartitionedDisk {
        let partition = |role: Role| Partition {
            number: role.number(),
            label: role.spec().label.into(),
            uuid: Guid([role.number() as u8; 16]),
            start: u64::from(role.number()) << 20,
            length: 1 << 20,
        };
        let disk = Disk { path: "/dev/vda".into(), logical_sector: 512, ..Disk::default() };
        PartitionedDisk {
            disk,
            partitions: vec![partition(Role::Efi), partition(Role::EfiRecovery)],
            stand_in: None,
        }
    }

    fn numbers(variables: &EfiVars) -> Vec<u16> {
        boot_order(variables).unwrap()
    }

    #[test]
    fn entries_are_found_again_whatever_the_firmware_makes_of_them() {
        let folder = tempfile::tempdir().unwrap();
        let (variables, disk) = (EfiVars::in_directory(folder.path()), disk());
        let previous = edge_model::ids::RootHash([1; 32]).entry();
        variables.set_boot_entry(0, b"something else").unwrap();
        variables.set(Variable::BootOrder, &[0, 0]).unwrap();
        assert!(ensure_entries(&variables, &disk, Some(&previous)).unwrap());
        assert_eq!(numbers(&variables), [1, 2, 3, 4, 0]);
        assert!(!ensure_entries(&variables, &disk, Some(&previous)).unwrap(), "nothing was missing");
        assert!(has_entries(&variables, &disk, Some(&previous)).unwrap());
        assert!(!has_entries(&variables, &disk, None).unwrap(), "one too many");
        for number in 1..5 {
            let mut option = variables.boot_entry(number).unwrap().unwrap();
            option.extend([0xde, 0xad, 0xbe, 0xef]);
            variables.set_boot_entry(number, &option).unwrap();
        }
        assert!(
            !ensure_entries(&variables, &disk, Some(&previous)).unwrap(),
            "appended bytes change nothing"
        );
        assert_eq!(variables.boot_entries().unwrap().len(), 5);
        variables.set_boot_entry(1, &[]).unwrap();
        assert!(
            ensure_entries(&variables, &disk, Some(&previous)).unwrap(),
            "a name without a value is none"
        );
    }

    #[test]
    fn entries_of_an_image_that_is_gone_go_and_those_of_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        let (variables, disk) = (EfiVars::in_directory(folder.path()), disk());
        let [old, new] = [1, 2].map(|byte| edge_model::ids::RootHash([byte; 32]).entry());
        ensure_entries(&variables, &disk, Some(&old)).unwrap();
        ensure_entries(&variables, &disk, Some(&new)).unwrap();
        let files: Vec<String> = numbers(&variables)
            .iter()
            .map(|number| parse(&variables.boot_entry(*number).unwrap().unwrap()).unwrap().file)
            .collect();
        assert_eq!(files.len(), 4);
        assert_eq!(files[2], format!("EFI/Linux/{new}"));
        assert_eq!(variables.boot_entries().unwrap().len(), 4, "no dead entry stays");
        ensure_entries(&variables, &disk, None).unwrap();
        assert_eq!(variables.boot_entries().unwrap().len(), 3);
    }

    #[test]
    fn recovery_is_asked_for_without_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let variables = EfiVars::in_directory(folder.path());
        assert!(boot_recovery_next(&variables).is_err(), "there is none");
        ensure_entries(&variables, &disk(), None).unwrap();
        boot_recovery_next(&variables).unwrap();
        assert_eq!(variables.get(Variable::BootNext).unwrap(), Some(vec![2, 0]));
        variables.set(Variable::RecoveryEntry, &[77, 0]).unwrap();
        boot_recovery_next(&variables).unwrap();
        assert_eq!(variables.get(Variable::BootNext).unwrap(), Some(vec![2, 0]), "numbers may change");
    }

    proptest! {
        #[test]
        fn no_load_option_panics(option in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&option);
        }
    }
}
