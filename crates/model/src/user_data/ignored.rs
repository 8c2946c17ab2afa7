//! Keys of cloud-init that Kairos passes over, and so does this system: each with what does instead, if anything does.

use serde_json::{Map, Value};

/// As the annotation `x-ignored` of a schema.
pub(super) fn as_schema(keys: &[(&str, &str)]) -> Value {
    let entries: Map<String, Value> =
        keys.iter().map(|(key, instead)| ((*key).to_owned(), Value::from(*instead))).collect();
    Value::Object(entries)
}

/// At the top of a document.
pub(super) const TOP: &[(&str, &str)] = &[
    ("ssh_pwauth", "passwords are not taken over SSH: write ssh_authorized_keys"),
    ("ssh_deletekeys", ""),
    ("ssh_genkeytypes", ""),
    ("ssh_import_id", "write ssh_authorized_keys: [\"github:NAME\"]"),
    ("disable_root", ""),
    ("disable_root_opts", ""),
    ("timezone", "write edge.site.timeZone"),
    ("locale", ""),
    ("keyboard", "write edge.site.keyboard"),
    ("ntp", "write edge.site.ntpServers"),
    ("ca_certs", "write edge.site.caCerts"),
    ("ca-certs", "write edge.site.caCerts"),
    ("manage_etc_hosts", ""),
    ("preserve_hostname", ""),
    ("prefer_fqdn_over_hostname", ""),
    ("manage_resolv_conf", ""),
    ("resolv_conf", "write edge.site.network.nameserver"),
    ("network", "write edge.site.network, or a network-config beside this file"),
    ("packages", "the packages of the image stand in forge.yaml"),
    ("package_update", "packages come with the image"),
    ("package_upgrade", "packages come with the image"),
    ("package_reboot_if_required", "packages come with the image"),
    ("apt", "packages come with the image"),
    ("yum_repos", "packages come with the image"),
    ("snap", "packages come with the image"),
    ("bootcmd", "write stages: {initramfs: [{commands: [...]}]}"),
    ("chpasswd", "write users: [{name, passwd}]"),
    ("password", "write users: [{name, passwd}]"),
    ("groups", "write users: [{name, groups}]"),
    ("mounts", "write a unit, or install.extra-partitions"),
    ("swap", ""),
    ("disk_setup", "write install.extra-partitions"),
    ("fs_setup", "write install.extra-partitions"),
    ("resize_rootfs", "the root is read-only"),
    ("power_state", ""),
    ("final_message", ""),
    ("output", ""),
    ("system_info", ""),
    ("datasource", ""),
    ("datasource_list", ""),
    ("cloud_init_modules", ""),
    ("cloud_config_modules", ""),
    ("cloud_final_modules", ""),
    ("merge_how", ""),
    ("merge_type", ""),
    ("byobu_by_default", ""),
    ("phone_home", ""),
    ("random_seed", ""),
    ("rsyslog", ""),
    ("unattended_upgrades", ""),
    ("vendor_data", ""),
];

/// Of a file in `write_files`.
pub(super) const WRITE_FILES: &[(&str, &str)] = &[
    ("group", "write owner: USER:GROUP"),
    ("append", "a file is written as a whole"),
    ("defer", "accounts are there when files are written"),
    ("source", "write stages: {boot: [{downloads: [{url, path}]}]}"),
];

/// Of an account.
pub(super) const USERS: &[(&str, &str)] = &[
    ("sudo", "accounts of the group sudo or admin may use sudo"),
    ("doas", "accounts of the group sudo or admin may use sudo"),
    ("plain_text_passwd", "write passwd"),
    ("hashed_passwd", "write passwd: a hash is taken as it is"),
    ("hashed-passwd", "write passwd: a hash is taken as it is"),
    ("ssh_import_id", "write ssh_authorized_keys: [\"github:NAME\"]"),
    ("ssh_redirect_user", ""),
    ("expiredate", ""),
    ("inactive", ""),
    ("selinux_user", ""),
    ("snapuser", ""),
    ("create_groups", ""),
    ("chpasswd", "write passwd"),
    ("coreos_ssh_import_github", "write ssh_authorized_keys: [\"github:NAME\"]"),
];
