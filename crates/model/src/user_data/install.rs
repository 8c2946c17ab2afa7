//! Kairos' sections `install`, `upgrade` and `reset`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Install {
    /// Install without a question.
    pub auto: bool,
    /// Restart when the installation is finished.
    pub reboot: bool,
    /// Switch off when the installation is finished.
    pub poweroff: bool,
    /// The disk, or `auto` for the largest one.
    #[schemars(extend("format" = "device-path"))]
    pub device: Option<String>,
    /// Another image than the medium's.
    #[schemars(extend("x-not-yet" = true))]
    pub source: Option<String>,
    /// Paths that keep their content across restarts and upgrades.
    #[schemars(extend("x-item-format" = "absolute-path"))]
    pub bind_mounts: Vec<String>,
    /// Paths that are writable, in memory.
    #[schemars(extend("x-item-format" = "absolute-path"))]
    pub ephemeral_mounts: Vec<String>,
    /// Partitions for the site's own data, in front of the last one.
    #[serde(rename = "extra-partitions")]
    pub extra_partitions: Vec<ExtraPartition>,
    /// Sizes of the system's own partitions.
    pub partitions: Partitions,
    /// Environment of hooks: `KEY=value`.
    pub env: Vec<String>,
    /// Install without an account of group admin.
    #[schemars(extend("x-not-yet" = true))]
    pub nousers: bool,
    #[serde(rename = "no-format")]
    #[schemars(extend("x-not-yet" = true))]
    pub no_format: Option<bool>,
    /// Erase the disk even when it holds data.
    pub force: bool,
    #[schemars(extend("x-not-yet" = true))]
    pub grub_options: Option<BTreeMap<String, String>>,
    #[schemars(extend("x-not-yet" = true))]
    pub bundles: Option<Vec<Bundle>>,
    #[schemars(extend("x-not-yet" = true))]
    pub encrypted_partitions: Option<Vec<String>>,
    #[schemars(extend("x-not-yet" = true))]
    pub skip_copy_kcrypt_plugin: Option<bool>,
    #[schemars(extend("x-not-yet" = true))]
    pub system: Option<ImageSource>,
    #[serde(rename = "recovery-system")]
    #[schemars(extend("x-not-yet" = true))]
    pub recovery_system: Option<ImageSource>,
    #[schemars(extend("x-not-yet" = true))]
    pub passive: Option<ImageSource>,
    #[serde(rename = "extra-dirs-rootfs")]
    #[schemars(extend("x-not-yet" = true))]
    pub extra_dirs_rootfs: Option<Vec<String>>,
    #[serde(rename = "grub-entry-name")]
    #[schemars(extend("x-not-yet" = true))]
    pub grub_entry_name: Option<String>,
    #[schemars(extend("x-not-yet" = true))]
    pub ssh_hardening: Option<bool>,
    #[schemars(extend("x-not-yet" = true))]
    pub iso: Option<String>,
    #[schemars(extend("x-not-yet" = true))]
    pub tty: Option<String>,
    #[serde(rename = "cloud-init")]
    #[schemars(extend("x-not-yet" = true))]
    pub cloud_init: Option<Vec<String>>,
    #[serde(rename = "allow-insecure-registries")]
    #[schemars(extend("x-not-yet" = true))]
    pub allow_insecure_registries: Option<bool>,
    #[serde(rename = "skip-entries")]
    #[schemars(extend("x-not-yet" = true))]
    pub skip_entries: Option<Vec<String>>,
    #[serde(rename = "part-table")]
    #[schemars(extend("x-not-yet" = true))]
    pub part_table: Option<String>,
    #[schemars(extend("x-not-yet" = true))]
    pub firmware: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExtraPartition {
    /// Name in the partition table.
    pub name: String,
    /// Size in MiB.
    #[schemars(range(min = 1))]
    pub size: u64,
    /// File system. Without one, or with `none`, `noformat` or `-`, the partition stays empty.
    #[serde(default)]
    pub fs: Option<FileSystem>,
    /// Label of the file system.
    #[serde(default)]
    pub label: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FileSystem {
    Ext2,
    Ext3,
    Ext4,
    Vfat,
    None,
    Noformat,
    #[serde(rename = "-")]
    Dash,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Partitions {
    #[schemars(extend("x-not-yet" = true))]
    pub oem: Option<PartitionSize>,
    #[schemars(extend("x-not-yet" = true))]
    pub recovery: Option<PartitionSize>,
    #[schemars(extend("x-not-yet" = true))]
    pub state: Option<PartitionSize>,
    #[schemars(extend("x-not-yet" = true))]
    pub persistent: Option<PartitionSize>,
    #[schemars(extend("x-not-yet" = true))]
    pub efi: Option<PartitionSize>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PartitionSize {
    /// MiB; 0 is the rest of the disk.
    pub size: u64,
    pub fs: Option<String>,
    pub label: Option<String>,
    pub flags: Option<Vec<String>>,
}

/// Where an image comes from, in Kairos' spelling.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ImageSource {
    pub size: Option<u64>,
    pub fs: Option<String>,
    pub label: Option<String>,
    #[schemars(extend("x-old-names" = ["uri"]))]
    pub source: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Bundle {
    pub targets: Vec<String>,
    pub repository: Option<String>,
    pub db_path: Option<String>,
    pub rootfs_path: Option<String>,
    pub local_file: Option<bool>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Upgrade {
    #[schemars(extend("x-not-yet" = true))]
    pub entry: Option<String>,
    #[schemars(extend("x-not-yet" = true))]
    pub recovery: Option<bool>,
    #[schemars(extend("x-not-yet" = true))]
    pub system: Option<ImageSource>,
    #[serde(rename = "recovery-system")]
    #[schemars(extend("x-not-yet" = true))]
    pub recovery_system: Option<ImageSource>,
    #[serde(rename = "excluded-paths")]
    #[schemars(extend("x-not-yet" = true))]
    pub excluded_paths: Option<Vec<String>>,
    #[serde(rename = "grub-entry-name")]
    #[schemars(extend("x-not-yet" = true))]
    pub grub_entry_name: Option<String>,
    #[serde(rename = "extra-dirs-rootfs")]
    #[schemars(extend("x-not-yet" = true))]
    pub extra_dirs_rootfs: Option<Vec<String>>,
    #[schemars(extend("x-not-yet" = true))]
    pub reboot: Option<bool>,
    #[schemars(extend("x-not-yet" = true))]
    pub poweroff: Option<bool>,
    #[serde(rename = "allow-insecure-registries")]
    #[schemars(extend("x-not-yet" = true))]
    pub allow_insecure_registries: Option<bool>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Reset {
    #[serde(rename = "reset-persistent")]
    #[schemars(extend("x-not-yet" = true))]
    pub reset_persistent: Option<bool>,
    #[serde(rename = "reset-oem")]
    #[schemars(extend("x-not-yet" = true))]
    pub reset_oem: Option<bool>,
    #[schemars(extend("x-not-yet" = true))]
    pub system: Option<ImageSource>,
    #[serde(rename = "grub-entry-name")]
    #[schemars(extend("x-not-yet" = true))]
    pub grub_entry_name: Option<String>,
    #[schemars(extend("x-not-yet" = true))]
    pub tty: Option<String>,
    #[serde(rename = "extra-dirs-rootfs")]
    #[schemars(extend("x-not-yet" = true))]
    pub extra_dirs_rootfs: Option<Vec<String>>,
    #[schemars(extend("x-not-yet" = true))]
    pub reboot: Option<bool>,
    #[schemars(extend("x-not-yet" = true))]
    pub poweroff: Option<bool>,
}
