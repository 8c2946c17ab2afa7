//! Every key of `.arg`, and what becomes of it.

use Fate::{Demand, Meaningless, NotYet, Understood, Used};
use Values::{Flag, Number, OneOf, Text};

/// What becomes of a key here, with the words for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The import and the build act on it.
    Used(&'static str),
    /// What it asks for holds anyway, or is said in another place.
    Understood(&'static str),
    /// What it asks for cannot be done.
    NotYet(&'static str),
    /// It asks for security that images do not have: whoever wants the image all the same has to say so.
    Demand(&'static str),
    /// It steers a part of CanvOS that has no counterpart here.
    Meaningless(&'static str),
}

impl Fate {
    /// How it is used, or why it is not.
    pub fn words(self) -> &'static str {
        match self {
            Used(words) | Understood(words) | NotYet(words) | Demand(words) | Meaningless(words) => words,
        }
    }

    pub fn is_used(self) -> bool {
        matches!(self, Used(_))
    }

    /// The name of the kind, in tables.
    pub fn title(self) -> &'static str {
        match self {
            Used(_) => "used",
            Understood(_) => "not needed",
            NotYet(_) => "not yet",
            Demand(_) => "refused",
            Meaningless(_) => "no counterpart",
        }
    }
}

/// The values that a key can have. An empty one is the same as none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Values {
    Text,
    Number,
    /// `true` or `false`. CanvOS takes every other word as `false` without saying so.
    Flag,
    OneOf(&'static [&'static str]),
}

/// A key of `.arg`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    pub name: &'static str,
    /// What it is when it is not set; empty where CanvOS has none, or none that stays the same.
    pub default: &'static str,
    pub values: Values,
    pub fate: Fate,
}

impl Key {
    /// The key with this name.
    pub fn find(name: &str) -> Option<&'static Key> {
        KEYS.iter().find(|key| key.name == name)
    }
}

const fn key(name: &'static str, default: &'static str, values: Values, fate: Fate) -> Key {
    Key { name, default, values, fate }
}

/// Keys that begin like this are arguments of the checkout's own Dockerfile.
pub const CUSTOM_PREFIX: &str = "CUSTOM_ARG_";
pub const CUSTOM_FATE: Fate = Understood("the Dockerfile is not run; give what it makes as BASE_IMAGE");

/// Distributions of Kubernetes that CanvOS knows.
pub const DISTRIBUTIONS: &[&str] = &["k3s", "rke2", "kubeadm", "kubeadm-fips", "nodeadm", "canonical"];
const SYSTEMS: &[&str] = &["ubuntu", "opensuse-leap", "sles", "rhel", "hadron"];

const TRUSTED_BOOT: Fate = NotYet("boot images are not signed for Secure Boot");
const TWO_NODES: Fate = NotYet("two-node clusters with an outside database are not made");
const GPU: Fate = NotYet(
    "drivers for GPUs are not built; use `packages` and `run` of forge.yaml, or a BASE_IMAGE with them",
);
const CLOUD: Fate = NotYet("images for clouds and MAAS are not uploaded; `build/` has a raw disk");
const PROXY: Fate = Understood("the builder takes proxies from its environment: export it before the build");
const NO_EARTHLY: Fate = Meaningless("it steers the containers that CanvOS builds with");
const NO_KAIROS_BASE: Fate = Meaningless("no base is looked up by it; BASE_IMAGE names one");
const NO_PLUG_IN: Fate = Meaningless("the agent runs Kubernetes itself, without a cluster plug-in");

/// All keys, in the order of CanvOS' template and documentation.
pub const KEYS: &[Key] = &[
    key("CUSTOM_TAG", "", Text, Used("end of the tag and of `version`")),
    key("IMAGE_REGISTRY", "", Text, Used("`--push` without a value pushes there")),
    key(
        "OS_DISTRIBUTION",
        "ubuntu",
        OneOf(SYSTEMS),
        Used("with OS_VERSION the `base`, unless there is a BASE_IMAGE"),
    ),
    key("IMAGE_REPO", "$OS_DISTRIBUTION", Text, Used("`--push` without a value pushes there")),
    key(
        "OS_VERSION",
        "22.04",
        Text,
        Used("with OS_DISTRIBUTION the `base`: 20.04, 22.04 or 24.04 of Ubuntu"),
    ),
    key(
        "K8S_DISTRIBUTION",
        "",
        OneOf(DISTRIBUTIONS),
        Used("`kubernetes`: k3s or kubeadm, from a file in the folder"),
    ),
    key(
        "K8S_VERSION",
        "",
        Text,
        Used("version of `kubernetes`; empty: every version of k8s_version.json that has a file"),
    ),
    key("ISO_NAME", "installer", Text, Used("`name`, in lower case")),
    key("ARCH", "amd64", OneOf(&["amd64", "arm64"]), Used("amd64 is built, arm64 is refused")),
    key("HTTPS_PROXY", "", Text, PROXY),
    key("HTTP_PROXY", "", Text, PROXY),
    key("NO_PROXY", "", Text, PROXY),
    key("PROXY_CERT_PATH", "", Text, Understood("certificates are taken from certs/")),
    key(
        "UPDATE_KERNEL",
        "false",
        Flag,
        Understood("packages are the newest of their archive; `kernel` of forge.yaml names another one"),
    ),
    key("CLUSTERCONFIG", "spc.tgz", Text, Used("`cluster-definition`")),
    key(
        "EDGE_CUSTOM_CONFIG",
        ".edge-custom-config.yaml",
        Text,
        Used("kept in the image beside the keys for images"),
    ),
    key("CIS_HARDENING", "false", Flag, Used("`cis-hardening`")),
    key(
        "FORCE_INTERACTIVE_INSTALL",
        "false",
        Flag,
        Used("unattended.yaml without `install`: the medium asks"),
    ),
    key("BASE_IMAGE", "", Text, Used("`base: oci:…`, in place of OS_DISTRIBUTION and OS_VERSION")),
    key("DISABLE_SELINUX", "true", Flag, Demand("images have no SELinux policy")),
    key("FIPS_ENABLED", "false", Flag, Demand("there are no FIPS-validated builds of our programs")),
    key(
        "PE_VERSION",
        "",
        Text,
        Used(
            "part of the tag and of `version`; when it is not set, the Earthfile's. Palette's agent is not in the image",
        ),
    ),
    key("KAIROS_VERSION", "v4.1.2", Text, NO_KAIROS_BASE),
    key("KAIROS_INIT_VERSION", "v0.17.1", Text, NO_KAIROS_BASE),
    key("AURORABOOT_VERSION", "v0.26.2", Text, NO_EARTHLY),
    key("OSBUILDER_VERSION", "v0.400.3", Text, NO_EARTHLY),
    key("K3S_PROVIDER_VERSION", "v4.10.3", Text, NO_PLUG_IN),
    key("KUBEADM_PROVIDER_VERSION", "v4.10.1", Text, NO_PLUG_IN),
    key("RKE2_PROVIDER_VERSION", "v4.10.3", Text, NO_PLUG_IN),
    key("NODEADM_PROVIDER_VERSION", "v4.9.3", Text, NO_PLUG_IN),
    key("CANONICAL_PROVIDER_VERSION", "v4.10.1", Text, NO_PLUG_IN),
    key("K3S_FLAVOR_TAG", "k3s1", Text, Used("end of the version of `kubernetes.k3s`")),
    key("RKE2_FLAVOR_TAG", "rke2r1", Text, NotYet("RKE2 is not built into images")),
    key("SPECTRO_PUB_REPO", "", Text, Meaningless("nothing is taken from there")),
    key("SPECTRO_LUET_REPO", "", Text, Meaningless("Kubernetes comes from a file in the folder")),
    key("ETCD_VERSION", "v3.5.13", Text, Meaningless("etcdctl is not added; use `files` of forge.yaml")),
    key("TWO_NODE", "false", Flag, TWO_NODES),
    key("KINE_VERSION", "0.15.0", Text, TWO_NODES),
    key("DRBD_VERSION", "9.2.13", Text, NotYet("the DRBD module is not built; use a BASE_IMAGE with it")),
    key(
        "STORAGE_PROVIDER",
        "",
        OneOf(&["portworx", "piraeus"]),
        NotYet("add what the storage needs to `packages` of forge.yaml"),
    ),
    key(
        "UBUNTU_PRO_ATTACH",
        "false",
        Flag,
        Demand("Ubuntu Pro is not attached; use a BASE_IMAGE that was built with it"),
    ),
    key("UBUNTU_PRO_KEY", "", Text, NotYet("Ubuntu Pro is not attached; remove the key, it is a secret")),
    key("IS_UKI", "false", Flag, TRUSTED_BOOT),
    key("MY_ORG", "ACME Corporation", Text, TRUSTED_BOOT),
    key("EXPIRATION_IN_DAYS", "5475", Number, TRUSTED_BOOT),
    key("UKI_BRING_YOUR_OWN_KEYS", "false", Flag, TRUSTED_BOOT),
    key("INCLUDE_MS_SECUREBOOT_KEYS", "true", Flag, TRUSTED_BOOT),
    key("AUTO_ENROLL_SECUREBOOT_KEYS", "false", Flag, TRUSTED_BOOT),
    key("ENROLL_SPECTRO_EXTENSION_CERT", "true", Flag, TRUSTED_BOOT),
    key("SPECTRO_EXTENSION_CERT_IMAGE", "", Text, TRUSTED_BOOT),
    key(
        "BUNDLE_K8S_AND_AGENT_PROVIDER",
        "false",
        Flag,
        Understood("Kubernetes and the agent are always inside the image"),
    ),
    key("CMDLINE", "stylus.registration", Text, Used("`kernel-arguments`, without stylus.registration")),
    key("BRANDING", "Palette eXtended Kubernetes Edge", Text, Meaningless("there is no boot menu to name")),
    key(
        "EFI_MAX_SIZE",
        "2048",
        Number,
        Meaningless("boot images are small; there is no medium that tries sizes"),
    ),
    key(
        "EFI_IMG_SIZE",
        "2200",
        Number,
        Meaningless("boot images are small; there is no medium that tries sizes"),
    ),
    key("IS_MAAS", "false", Flag, CLOUD),
    key("MAAS_IMAGE_NAME", "kairos-ubuntu-maas", Text, CLOUD),
    key("REGION", "", Text, CLOUD),
    key("S3_BUCKET", "", Text, CLOUD),
    key("S3_KEY", "", Text, CLOUD),
    key("INSTALL_NVIDIA_GPU_DRIVERS", "false", Flag, GPU),
    key("NVIDIA_DRIVER_BRANCH", "580", Text, GPU),
    key("NVIDIA_DRIVER_TYPE", "open", OneOf(&["open", "proprietary"]), GPU),
    key("NVIDIA_USE_CUDA_REPO", "true", Flag, GPU),
    key("NVIDIA_INSTALL_FABRICMANAGER", "true", Flag, GPU),
    key("NVIDIA_INSTALL_IMEX", "true", Flag, GPU),
    key("NVIDIA_INSTALL_CONTAINER_TOOLKIT", "false", Flag, GPU),
    key("NVIDIA_REBUILD_INITRD", "true", Flag, GPU),
    key("INSTALL_AMD_GPU_DRIVERS", "false", Flag, GPU),
    key("AMDGPU_DRIVER_SOURCE", "dkms", OneOf(&["dkms", "inbox"]), GPU),
    key("AMDGPU_DRIVER_RELEASE", "31.40", Text, GPU),
    key("AMDGPU_INSTALL_SMI", "true", Flag, GPU),
    key("AMDGPU_REBUILD_INITRD", "false", Flag, GPU),
    key("AMDGPU_ARTIFACT_PATH", "", Text, GPU),
    key("DEBUG", "false", Flag, Understood("words for the kernel go into `kernel-arguments` of forge.yaml")),
    key("http_proxy", "", Text, PROXY),
    key("https_proxy", "", Text, PROXY),
    key("no_proxy", "", Text, PROXY),
    key("AURORABOOT_IMAGE", "", Text, NO_EARTHLY),
    key("KAIROS_INIT_IMAGE", "", Text, NO_EARTHLY),
    key("KIND_VERSION", "", Text, NO_EARTHLY),
    key("LINUXKIT_VERSION", "", Text, NO_EARTHLY),
    key("EARTHLY_VERSION", "", Text, NO_EARTHLY),
    key("SPECTRO_REPO", "", Text, Meaningless("nothing is taken from there")),
    key("BASE_OS_IMAGE", "", Text, NO_KAIROS_BASE),
    key("CIS_HARDENING_LEVEL", "", Text, Meaningless("`cis-hardening` has one level")),
    key("GOLANG_VERSION", "1.23", Text, NO_EARTHLY),
    key("ALPINE_TAG", "3.20", Text, NO_EARTHLY),
    key("ALPINE_IMG", "", Text, NO_EARTHLY),
    key("OSBUILDER_IMAGE", "", Text, NO_EARTHLY),
    key("BUILDER_3RDPARTY_VERSION", "4.8", Text, NO_EARTHLY),
    key("SPECTRO_THIRD_PARTY_IMAGE", "", Text, NO_EARTHLY),
    key("SPECTRO_LUET_VERSION", "", Text, NO_EARTHLY),
    key("LUET_PROJECT", "", Text, NO_EARTHLY),
    key("KAIROS_BASE_IMAGE_URL", "", Text, NO_KAIROS_BASE),
    key("BASE_IMAGE_URL", "", Text, NO_KAIROS_BASE),
    key("IS_JETSON", "false", Flag, NotYet("only amd64 is built")),
];
