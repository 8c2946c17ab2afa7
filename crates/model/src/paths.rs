//! Names that several programs must agree on. Each stands here once.

/// Socket of the agent's API.
pub const AGENT_SOCKET: &str = "/run/edge/agent.sock";
/// What early boot found out, for the agent: a JSON [`crate::api::BootRecord`].
pub const BOOT_RECORD: &str = "/run/edge/boot.json";
/// Sentinels and layout, by Kairos' names.
pub const COS_DIR: &str = "/run/cos";
pub const COS_LAYOUT: &str = "/run/cos/cos-layout.env";
/// The layout that an image ships; early boot reads it.
pub const IMAGE_LAYOUT: &str = "/usr/lib/edge/cos-layout.env";
/// Licences of the image's packages: a base of another image has dropped their documentation.
pub const IMAGE_LICENCES: &str = "/usr/lib/edge/licences.json";
/// What is in the image beside packages and our programs, such as Kubernetes.
pub const IMAGE_COMPONENTS: &str = "/usr/lib/edge/components.json";
/// What an image says about itself.
pub const IMAGE_DESCRIPTION: &str = "/usr/lib/edge/image.json";
/// Public keys that may sign images for this host.
pub const IMAGE_KEYS: &str = "/usr/lib/edge/keys";
/// Palette's description of the key that signs content, in images made from CanvOS folders.
pub const IMAGE_CUSTOM_CONFIG: &str = "/usr/lib/edge/edge-custom-config.yaml";
/// The earliest time that this image believes in (systemd reads it too).
pub const CLOCK_EPOCH: &str = "/usr/lib/clock-epoch";
/// Kairos' description of the image.
pub const KAIROS_RELEASE: &str = "/etc/kairos-release";

/// The Kubernetes that the image carries: a JSON [`crate::cluster::ImageKubernetes`]. An image without one has none.
pub const IMAGE_KUBERNETES: &str = "/usr/lib/edge/kubernetes.json";
/// Container images in the verified root: an OCI layout whose layers are file systems beside it.
pub const IMAGE_CONTENT: &str = "/usr/lib/edge/content";
/// Layers as EROFS, `sha256/XX/DIFFID.erofs`: where containerd's snapshotter looks before it asks for an archive.
pub const IMAGE_LAYERS: &str = "/usr/lib/edge/content/layers";
/// Content bundles of the site, blob by blob.
pub const CONTENT: &str = "/usr/local/edge/content";
/// Tables of keys, `NAME.bkeymap`.
pub const IMAGE_KEYMAPS: &str = "/usr/lib/edge/keymaps";
/// Kubernetes' networking plug-ins in the image.
pub const IMAGE_CNI: &str = "/usr/lib/cni";

pub const OEM: &str = "/oem";
/// The agent's own corner of `/oem`.
pub const OEM_EDGE: &str = "/oem/edge";
pub const MACHINE_ID: &str = "/oem/edge/machine-id";
pub const OEM_USER_DATA: &str = "/oem/90_custom.yaml";
pub const OEM_UNATTENDED: &str = "/oem/edge/unattended.yaml";
/// What was told to the agent on the host.
pub const OEM_LOCAL: &str = "/oem/edge/local.yaml";
/// What [`OEM_LOCAL`] was before a change whose network is on trial.
pub const OEM_LOCAL_BEFORE: &str = "/oem/edge/local-before.yaml";
/// The cluster definition that the medium brought.
pub const OEM_CLUSTER: &str = "/oem/edge/cluster.yaml";
/// Documents of the site, as they were found while the host was not claimed: `KIND/LABEL/NAME`.
pub const OEM_SITE: &str = "/oem/edge/site";
/// Exists once the first site boot has finished well: from then on nothing outside is read.
pub const OEM_CLAIMED: &str = "/oem/edge/claimed";
/// Boots in which something outside could not be read, one a line: after some the host is claimed all the same.
pub const OEM_OPEN_BOOTS: &str = "/oem/edge/open-boots";
/// Why something outside could not be read in this boot, if so: such a boot does not close the host.
pub const SITE_UNREAD: &str = "/run/edge/site-unread";
/// Digest of the documents that this boot was started with.
pub const CONFIGURATION_MARK: &str = "/run/edge/configuration-mark";
/// Documents that this boot must not read, one path a line: reading them takes more than a document may.
pub const DOCUMENTS_REFUSED: &str = "/run/edge/documents-refused";
/// The host's own private key, kept for life.
pub const OEM_HOST_KEY: &str = "/oem/edge/host-key.p8";
/// The host's random identifier, kept for life.
pub const OEM_RANDOM_ID: &str = "/oem/edge/random-id";
/// Why an image on trial was given up, for the image that comes after it.
pub const OEM_TRIAL_VERDICT: &str = "/oem/edge/trial-verdict";
/// That the host is to be reset: it stays until all of it is done.
pub const OEM_RESET: &str = "/oem/edge/reset.json";
/// Who did what to this host, one JSON record a line.
pub const OEM_AUDIT: &str = "/oem/edge/audit.jsonl";
/// The same where there is no `/oem`: in the installer.
pub const RUN_AUDIT: &str = "/run/edge/audit.jsonl";
/// The last support bundle that was made for a download.
pub const SUPPORT_BUNDLE: &str = "/var/lib/edge/support.tar.zst";
/// Exists in images that allow administrators a shell on the console.
pub const IMAGE_CONSOLE_SHELL: &str = "/usr/lib/edge/console-shell";
/// Where plug-ins write configuration and stages.
pub const PLUG_IN_CONFIG: &str = "/usr/local/cloud-config";
/// The host's identifier in this boot.
pub const HOST_ID: &str = "/run/edge/host-id";
/// Which network this boot was started with: a JSON [`crate::api::NetworkState`].
pub const NETWORK_STATE: &str = "/run/edge/network.json";
/// Notices that somebody has put away in this boot: a JSON list of their texts.
pub const NOTICES_PUT_AWAY: &str = "/run/edge/notices-put-away.json";
/// What stages did in this boot, one JSON record a line.
pub const STAGE_LOG: &str = "/run/edge/stages.jsonl";
/// The same of earlier boots, one file each.
pub const STAGE_LOGS_KEPT: &str = "/usr/local/.state/edge-stages";
pub const IMAGE_OEM: &str = "/system/oem";
pub const PERSISTENT: &str = "/usr/local";
pub const PERSISTENT_STATE: &str = "/usr/local/.state";
/// Where the agent mounts the ESP while it works on it.
pub const ESP_MOUNT: &str = "/run/edge/esp";
pub const ESP_RECOVERY_MOUNT: &str = "/run/edge/esp-recovery";
/// The installation medium's file system in live mode (Kairos' name).
pub const MEDIUM_MOUNT: &str = "/run/initramfs/live";

/// What follows from definition and image, made anew at each boot: in memory.
pub const CLUSTER_RUN: &str = "/run/edge/cluster";
/// The cluster's units start only when this exists: image and data fit together.
pub const CLUSTER_OPEN: &str = "/run/edge/cluster/open";
/// What the host remembers of its cluster, beside Kubernetes' own data.
pub const CLUSTER_STATE: &str = "/usr/local/.state/edge-cluster";
/// What the web page is told, and its key.
pub const RUN_WEB: &str = "/run/edge/web";
/// The web page starts only when this exists.
pub const WEB_ENABLED: &str = "/run/edge/web/enabled";
pub const WEB_SETTINGS: &str = "/run/edge/web/settings.json";
/// The web page's own certificate with its key.
pub const OEM_WEB: &str = "/oem/edge/web";
pub const LOCAL_UI_PROGRAM: &str = "/usr/bin/edge-local-ui";
/// Data of a cluster as an image left it, before one with other formats opened it.
pub const CLUSTER_KEPT: &str = "/usr/local/.state/edge-cluster/kept";
/// Where the runtime asks for container images: the agent answers.
pub const CONTENT_REGISTRY: &str = "127.0.0.1:5001";

/// Files at the root of an installation medium.
pub const MEDIUM_USER_DATA: &str = "user-data";
pub const MEDIUM_UNATTENDED: &str = "unattended.yaml";
/// Folder with manifest, signature and UKIs on the medium.
pub const MEDIUM_MANIFEST: &str = "edge/manifest.json";
pub const MEDIUM_SIGNATURE: &str = "edge/manifest.sig.json";
pub const MEDIUM_UKI_MAIN: &str = "edge/main.efi";
pub const MEDIUM_UKI_RECOVERY: &str = "edge/recovery.efi";
pub const MEDIUM_ID: &str = "edge/installation-id";
/// Content for the cluster, by Palette's names.
pub const MEDIUM_CONTENT: &str = "opt/spectrocloud/content";
pub const MEDIUM_CLUSTER_DEFINITION: &str = "opt/spectrocloud/clusterconfig/spc.tgz";
/// The same as a document of ours.
pub const MEDIUM_CLUSTER: &str = "edge/cluster.yaml";
pub const MEDIUM_EDGE_CUSTOM_CONFIG: &str = ".edge_custom_config.yaml";

/// On the ESP.
pub const ESP_UKI_DIR: &str = "EFI/Linux";
pub const ESP_LOADER_MAIN: &str = "EFI/systemd/systemd-bootx64.efi";
pub const ESP_LOADER_FALLBACK: &str = "EFI/BOOT/BOOTX64.EFI";
pub const ESP_LOADER_RECOVERY: &str = "EFI/edge-recovery/systemd-bootx64.efi";
pub const ESP_LOADER_CONF: &str = "loader/loader.conf";
/// systemd-boot as the image carries it.
pub const IMAGE_SYSTEMD_BOOT: &str = "/usr/lib/edge/systemd-bootx64.efi";

/// What a host prints on its consoles when its cluster runs, followed by `name=… version=…`.
pub const CLUSTER_MARKER: &str = "edge: cluster ready";
/// What a healthy host prints on its consoles, followed by `slot=… root=…`.
pub const HEALTHY_MARKER: &str = "edge: healthy";

/// Where the service manager looks first, and only in this boot.
pub const RUN_UNITS: &str = "/run/systemd/system";
/// Exists once a time server has set the clock.
pub const CLOCK_IS_SYNCHRONIZED: &str = "/run/systemd/timesync/synchronized";
/// What systemd-resolved found, instead of its own address, which pods cannot reach.
pub const RESOLV_CONF: &str = "/run/systemd/resolve/resolv.conf";
/// Where programs look for the host's identifier; what is kept is [`MACHINE_ID`].
pub const ETC_MACHINE_ID: &str = "/etc/machine-id";
pub const ETC_TIMEZONE: &str = "/etc/timezone";
/// Where sshd looks for keys besides home folders: a file for each account.
pub const AUTHORIZED_KEYS: &str = "/etc/ssh/authorized_keys.d";
/// What a cloud's server of user data said.
pub const OEM_DATASOURCE: &str = "/oem/95_userdata";
/// Plug-ins of the verified image; those of other folders were never proved.
pub const IMAGE_PROVIDERS: &str = "/system/providers";
pub const AGENT_PROGRAM: &str = "/usr/bin/edge-agent";
/// What kubeadm makes.
pub const KUBERNETES: &str = "/etc/kubernetes";
pub const STATIC_PODS: &str = "/etc/kubernetes/manifests";
pub const ETCD_DATA: &str = "/var/lib/etcd";

/// A path below `/usr/local` inside its partition.
pub fn below_persistent(path: &str) -> &str {
    path.strip_prefix(PERSISTENT).unwrap_or(path).trim_start_matches('/')
}

/// A path of a file of `/oem` inside its partition.
pub fn below_oem(path: &str) -> &str {
    path.strip_prefix(OEM).unwrap_or(path).trim_start_matches('/')
}
