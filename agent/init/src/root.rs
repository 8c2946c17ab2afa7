//! Finding the verified root: only on the disk that the loader came from, only among the partitions that the
//! mode allows, and only one.

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use edge_host::disk::{PartitionedDisk, partitioned_disks};
use edge_host::efivars::{EfiVars, Variable};
use edge_host::gpt::{Guid, Partition};
use edge_host::slot::ImageReader;
use edge_host::{console, device_mapper};
use edge_model::cmdline::{CommandLine, Mode};
use edge_model::ids::Slot;
use edge_model::layout::Role;
use edge_model::{Error, Result};

use crate::hardware::Hardware;

/// USB hubs and slow disks need their time; beyond it the disk is not there.
const PATIENCE: Duration = Duration::from_secs(40);
const PAUSE: Duration = Duration::from_millis(50);
const NOTICE_AFTER: Duration = Duration::from_secs(5);

/// The partition that holds the image of this boot.
#[derive(Debug, Clone)]
pub(crate) struct Root {
    /// Device with the image at its start.
    pub(crate) device: PathBuf,
    /// Device path of the whole disk.
    pub(crate) disk: String,
    pub(crate) slot: Option<Slot>,
}

/// Waits until the root is there.
pub(crate) fn find(command_line: &CommandLine, hardware: &mut Hardware) -> Result<Root> {
    let started = Instant::now();
    let mut noticed = false;
    loop {
        let found = look(command_line)?;
        match found.len() {
            0 => {}
            1 => return open(command_line, &found[0]),
            _ => return Err(more_than_one(&found)),
        }
        if started.elapsed() > PATIENCE {
            return Err(not_found(command_line.mode));
        }
        if !noticed && started.elapsed() > NOTICE_AFTER {
            noticed = true;
            console::say("edge: waiting for the disk with the system...");
        }
        thread::sleep(PAUSE);
        hardware.load_for_new_devices();
    }
}

/// A partition that matches the root hash.
struct Match {
    disk: PartitionedDisk,
    partition: Partition,
    slot: Option<Slot>,
}

fn look(command_line: &CommandLine) -> Result<Vec<Match>> {
    let loader = loader_partition()?;
    let mut matches = Vec::new();
    for disk in partitioned_disks() {
        if !is_candidate(&disk, loader, command_line.mode) {
            continue;
        }
        for (partition, slot) in allowed(&disk, command_line.mode) {
            if holds(&disk, &partition, command_line) {
                matches.push(Match { disk: disk.clone(), partition, slot });
            }
        }
    }
    // Both slots of one disk may hold the same image; the first is as good as the second.
    matches.dedup_by(|one, other| one.disk.disk.path == other.disk.disk.path);
    Ok(matches)
}

fn loader_partition() -> Result<Option<Guid>> {
    let Some(variables) = EfiVars::of_machine() else { return Ok(None) };
    let text = variables.get_text(Variable::LoaderDevicePartUuid)?;
    Ok(text.and_then(|text| Guid::parse(&text).ok()))
}

/// The disk of the loader. A CD has no partition for the firmware to name, whether it is in a drive or was downloaded
/// into memory; so in live mode an unnamed loader means one of these.
fn is_candidate(disk: &PartitionedDisk, loader: Option<Guid>, mode: Mode) -> bool {
    match loader {
        Some(uuid) => disk.partitions.iter().any(|partition| partition.uuid == uuid),
        None => mode != Mode::Live || disk.disk.optical || disk.disk.in_memory,
    }
}

fn allowed(disk: &PartitionedDisk, mode: Mode) -> Vec<(Partition, Option<Slot>)> {
    let with_role = |role| disk.partition(role).cloned();
    match mode {
        Mode::Main => [Slot::A, Slot::B]
            .into_iter()
            .filter_map(|slot| Some((with_role(Role::of_slot(slot))?, Some(slot))))
            .collect(),
        Mode::Recovery => with_role(Role::Recovery).map(|partition| (partition, None)).into_iter().collect(),
        // The tools that write media choose their own labels; the hash tells which partition it is.
        Mode::Live => disk.partitions.iter().map(|partition| (partition.clone(), None)).collect(),
    }
}

fn holds(disk: &PartitionedDisk, partition: &Partition, command_line: &CommandLine) -> bool {
    ImageReader::open(disk.disk.path.as_ref()).is_ok_and(|reader| {
        reader.holds_at(partition.start, &command_line.root_hash, command_line.data_blocks)
    })
}

/// On a medium the image is a window into the whole device: the kernel does not look for partitions on a CD.
fn open(command_line: &CommandLine, found: &Match) -> Result<Root> {
    let whole = &found.disk.disk;
    let device = if command_line.mode == Mode::Live {
        let sector_aligned = found.partition.length / 2048 * 2048;
        device_mapper::create_linear("edge-medium", &whole.path, found.partition.start, sector_aligned)?
    } else {
        whole.partition(found.partition.number).ok_or_else(|| {
            Error::environment(format!("the kernel does not show the partitions of {}", whole.path))
        })?
    };
    Ok(Root { device, disk: whole.path.clone(), slot: found.slot })
}

fn more_than_one(found: &[Match]) -> Error {
    let disks: Vec<&str> = found.iter().map(|found| found.disk.disk.path.as_str()).collect();
    Error::rejected(format!("this system was found on two disks: {}", disks.join(" and ")))
        .help("remove the disk or stick that does not belong to this machine, and switch it on again")
}

fn not_found(mode: Mode) -> Error {
    let help = match mode {
        Mode::Live => "use another USB port or write the medium again",
        Mode::Main | Mode::Recovery => {
            "check that the disk is connected; the machine tries the previous system next"
        }
    };
    Error::integrity(format!("no partition with an undamaged {mode} system was found")).help(help)
}
