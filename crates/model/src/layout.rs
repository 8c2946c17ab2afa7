//! The partition table of a host, once: builder, installer, init and tests all read it from here.

use crate::ids::Slot;

pub const MIB: u64 = 1 << 20;
pub const GIB: u64 = 1 << 30;

/// GPT type of an EFI system partition.
pub const TYPE_ESP: &str = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b";
/// GPT type "Linux generic data".
pub const TYPE_LINUX: &str = "0fc63daf-8483-4772-8e79-3d69d8477de4";
/// First byte of the first partition, and the alignment of all.
pub const ALIGNMENT: u64 = MIB;
/// Where the installation record lives: between the partition entries and the first partition.
pub const INSTALL_RECORD_OFFSET: u64 = 512 * 1024;
/// Smallest slot, whatever the size of the image.
pub const SLOT_MINIMUM: u64 = GIB;
/// Smallest persistent partition that an installation accepts.
pub const PERSISTENT_MINIMUM: u64 = 512 * MIB;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    Efi,
    EfiRecovery,
    Oem,
    Recovery,
    SlotA,
    SlotB,
    Persistent,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    Fixed(u64),
    /// One operating-system image.
    Slot,
    /// What is left of the disk.
    Rest,
}

#[derive(Debug, Clone, Copy)]
pub struct PartitionSpec {
    pub role: Role,
    /// GPT partition name.
    pub label: &'static str,
    /// File-system label, for partitions that carry one.
    pub fs_label: Option<&'static str>,
    pub type_guid: &'static str,
    pub size: Size,
}

/// In order on the disk. Labels follow Kairos.
pub const PARTITIONS: [PartitionSpec; 7] = [
    PartitionSpec {
        role: Role::Efi,
        label: "efi",
        fs_label: Some("COS_GRUB"),
        type_guid: TYPE_ESP,
        size: Size::Fixed(GIB),
    },
    PartitionSpec {
        role: Role::EfiRecovery,
        label: "efi-recovery",
        fs_label: None,
        type_guid: TYPE_ESP,
        size: Size::Fixed(128 * MIB),
    },
    PartitionSpec {
        role: Role::Oem,
        label: "oem",
        fs_label: Some("COS_OEM"),
        type_guid: TYPE_LINUX,
        size: Size::Fixed(128 * MIB),
    },
    PartitionSpec {
        role: Role::Recovery,
        label: "recovery",
        fs_label: None,
        type_guid: TYPE_LINUX,
        size: Size::Slot,
    },
    PartitionSpec {
        role: Role::SlotA,
        label: "slot-a",
        fs_label: None,
        type_guid: TYPE_LINUX,
        size: Size::Slot,
    },
    PartitionSpec {
        role: Role::SlotB,
        label: "slot-b",
        fs_label: None,
        type_guid: TYPE_LINUX,
        size: Size::Slot,
    },
    PartitionSpec {
        role: Role::Persistent,
        label: "persistent",
        fs_label: Some("COS_PERSISTENT"),
        type_guid: TYPE_LINUX,
        size: Size::Rest,
    },
];

impl Role {
    /// The entry of the partition table that describes this role.
    pub fn spec(self) -> &'static PartitionSpec {
        // Every role has its row: the array is checked by a unit test below.
        &PARTITIONS[self as usize]
    }

    /// GPT partition number, starting at 1.
    pub fn number(self) -> u32 {
        self as u32 + 1
    }

    pub fn of_slot(slot: Slot) -> Role {
        match slot {
            Slot::A => Role::SlotA,
            Slot::B => Role::SlotB,
        }
    }
}

/// Size of a slot for an image of `image` bytes: twice the image, at least [`SLOT_MINIMUM`].
pub fn default_slot_size(image: u64) -> u64 {
    (image * 2).max(SLOT_MINIMUM).next_multiple_of(ALIGNMENT)
}

/// Smallest disk, in bytes, that holds all partitions with slots of `slot_size`.
pub fn minimum_disk(slot_size: u64) -> u64 {
    let partitions: u64 = PARTITIONS
        .iter()
        .map(|spec| match spec.size {
            Size::Fixed(bytes) => bytes,
            Size::Slot => slot_size,
            Size::Rest => PERSISTENT_MINIMUM,
        })
        .sum();
    // One alignment unit in front for the table, one behind for its backup.
    partitions + 2 * ALIGNMENT
}

/// Start and length in bytes of every partition on a disk of `disk` bytes, in table order.
/// `extra` bytes in front of the last partition stay free for the site's own partitions.
/// `None` when the disk is smaller than [`minimum_disk`] and `extra` together.
pub fn place(disk: u64, slot_size: u64, extra: u64) -> Option<Vec<(Role, u64, u64)>> {
    if disk < minimum_disk(slot_size).checked_add(extra)? {
        return None;
    }
    let end = disk / ALIGNMENT * ALIGNMENT - ALIGNMENT;
    let mut start = ALIGNMENT;
    let mut placed = Vec::with_capacity(PARTITIONS.len());
    for spec in &PARTITIONS {
        let length = match spec.size {
            Size::Fixed(bytes) => bytes,
            Size::Slot => slot_size,
            Size::Rest => {
                start += extra;
                end - start
            }
        };
        placed.push((spec.role, start, length));
        start += length;
    }
    Some(placed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_role_finds_its_own_row() {
        for (index, spec) in PARTITIONS.iter().enumerate() {
            assert_eq!(spec.role.spec().label, spec.label);
            assert_eq!(spec.role.number() as usize, index + 1);
        }
    }

    proptest! {
        #[test]
        fn partitions_are_aligned_ordered_and_inside_the_disk(disk in 0u64..64 * GIB, image in 0u64..4 * GIB) {
            let slot = default_slot_size(image);
            let Some(placed) = place(disk, slot, 0) else {
                prop_assert!(disk < minimum_disk(slot));
                return Ok(());
            };
            let mut previous_end = ALIGNMENT;
            for (_, start, length) in &placed {
                prop_assert_eq!(*start, previous_end);
                prop_assert!(*length > 0 && start % ALIGNMENT == 0 && length % ALIGNMENT == 0);
                previous_end = start + length;
            }
            prop_assert!(previous_end + 34 * 4096 <= disk);
        }
    }
}
