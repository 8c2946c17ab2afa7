use proptest::prelude::*;

use super::*;

/// The keys that CanvOS documents, listed apart from the table.
const DOCUMENTED: &str = "CUSTOM_TAG IMAGE_REGISTRY OS_DISTRIBUTION IMAGE_REPO OS_VERSION K8S_DISTRIBUTION K8S_VERSION ISO_NAME \
    ARCH HTTPS_PROXY HTTP_PROXY NO_PROXY PROXY_CERT_PATH UPDATE_KERNEL CLUSTERCONFIG EDGE_CUSTOM_CONFIG CIS_HARDENING \
    FORCE_INTERACTIVE_INSTALL BASE_IMAGE DISABLE_SELINUX FIPS_ENABLED PE_VERSION KAIROS_VERSION KAIROS_INIT_VERSION \
    AURORABOOT_VERSION OSBUILDER_VERSION K3S_PROVIDER_VERSION KUBEADM_PROVIDER_VERSION RKE2_PROVIDER_VERSION \
    NODEADM_PROVIDER_VERSION CANONICAL_PROVIDER_VERSION K3S_FLAVOR_TAG RKE2_FLAVOR_TAG SPECTRO_PUB_REPO SPECTRO_LUET_REPO \
    ETCD_VERSION TWO_NODE KINE_VERSION DRBD_VERSION UBUNTU_PRO_ATTACH IS_UKI MY_ORG EXPIRATION_IN_DAYS \
    UKI_BRING_YOUR_OWN_KEYS INCLUDE_MS_SECUREBOOT_KEYS AUTO_ENROLL_SECUREBOOT_KEYS ENROLL_SPECTRO_EXTENSION_CERT \
    SPECTRO_EXTENSION_CERT_IMAGE BUNDLE_K8S_AND_AGENT_PROVIDER CMDLINE BRANDING EFI_MAX_SIZE EFI_IMG_SIZE IS_MAAS \
    MAAS_IMAGE_NAME REGION S3_BUCKET S3_KEY INSTALL_NVIDIA_GPU_DRIVERS NVIDIA_DRIVER_BRANCH NVIDIA_DRIVER_TYPE \
    NVIDIA_USE_CUDA_REPO NVIDIA_INSTALL_FABRICMANAGER NVIDIA_INSTALL_IMEX NVIDIA_INSTALL_CONTAINER_TOOLKIT \
    NVIDIA_REBUILD_INITRD INSTALL_AMD_GPU_DRIVERS AMDGPU_DRIVER_SOURCE AMDGPU_DRIVER_RELEASE AMDGPU_INSTALL_SMI \
    AMDGPU_REBUILD_INITRD AMDGPU_ARTIFACT_PATH DEBUG GOLANG_VERSION ALPINE_TAG BUILDER_3RDPARTY_VERSION";

fn parse(text: &str) -> Arguments {
    Arguments::parse(".arg", &format!("K8S_DISTRIBUTION=k3s\n{text}")).unwrap()
}

fn refusal(text: &str) -> String {
    format!("{:?}", Arguments::parse(".arg", &format!("K8S_DISTRIBUTION=k3s\n{text}")).unwrap_err())
}

#[test]
fn every_documented_key_has_a_fate() {
    for name in DOCUMENTED.split_whitespace() {
        let key = Key::find(name).unwrap_or_else(|| panic!("{name} is not in the table"));
        assert!(!key.fate.words().is_empty(), "{name}");
    }
    for (number, key) in KEYS.iter().enumerate() {
        assert!(KEYS[..number].iter().all(|earlier| earlier.name != key.name), "{} stands twice", key.name);
        let problem = check(key.name, key.default, &Place::whole(""));
        assert!(key.default.starts_with('$') || problem.is_none(), "{}: {problem:?}", key.name);
    }
}

#[test]
fn each_key_is_acted_on_or_named_in_the_warning() {
    for key in KEYS {
        let value = match key.values {
            Values::Text => "something",
            Values::Number => "7",
            Values::Flag if key.default == "true" => "false",
            Values::Flag => "true",
            Values::OneOf(words) => words.iter().find(|word| **word != key.default).unwrap_or(&words[0]),
        };
        let line = format!("{}={value}\n", key.name);
        let text =
            if key.name == "K8S_DISTRIBUTION" { line } else { format!("K8S_DISTRIBUTION=k3s\n{line}") };
        if key.name == "ARCH" {
            assert!(Arguments::parse(".arg", &text).is_err());
            continue;
        }
        let warning = Arguments::parse(".arg", &text).unwrap().warning();
        match key.fate {
            Fate::Used(_) => assert_eq!(warning, None, "{}", key.name),
            fate => {
                let title = match fate {
                    Fate::Meaningless(_) => "without a counterpart",
                    Fate::Understood(_) => "not needed",
                    _ => "not supported yet",
                };
                let named = format!("{title}: {} (line 2): {}", key.name, fate.words());
                assert_eq!(warning, Some(named));
            }
        }
    }
}

#[test]
fn defaults_are_not_worth_a_warning_and_all_others_are_in_one() {
    let defaults: String = KEYS
        .iter()
        .filter(|key| !matches!(key.name, "K8S_DISTRIBUTION" | "IMAGE_REPO"))
        .map(|key| format!("{}='{}'\n", key.name, key.default))
        .collect();
    assert_eq!(parse(&defaults).warning(), None);
    let warning =
        parse("IS_UKI=true\nCUSTOM_ARG_BRAND=acme\nHTTP_PROXY=http://u:secret@p.example:1\n").warning();
    let warning = warning.unwrap();
    assert!(
        warning.contains("IS_UKI (line 2)") && warning.contains("CUSTOM_ARG_BRAND (line 3)"),
        "{warning}"
    );
    assert!(!warning.contains("secret"), "{warning}");
}

#[test]
fn wrong_keys_and_values_are_errors_with_place_and_a_proposal() {
    for (text, parts) in [
        ("K8S_VERSON=1", &[".arg:2:1", "K8S_VERSON: no such key", "did you mean K8S_VERSION?"][..]),
        ("k8s_version=1", &["k8s_version: no such key", "did you mean K8S_VERSION?"]),
        ("ZZZ=1", &["no such key", "canvos-arg.md"]),
        ("CUSTOM_ARG_=1", &["no such key"]),
        ("IS_UKI=yes", &[".arg:2:1", "IS_UKI", "\"yes\" is not allowed", "true or false"]),
        ("IS_UKI=True", &["did you mean true?"]),
        ("ARCH=arm64", &["arm64 are not built"]),
        ("ARCH=riscv64", &["not allowed"]),
        ("OS_DISTRIBUTION=ubunut", &["did you mean ubuntu?"]),
        ("EFI_MAX_SIZE=big", &["not a number"]),
        ("FIPS_ENABLED=true\nUPDATE_KERNEL=true", &[".arg:3:1", "together with FIPS_ENABLED"]),
        ("INSTALL_AMD_GPU_DRIVERS=true\nINSTALL_NVIDIA_GPU_DRIVERS=true", &["one vendor"]),
    ] {
        let shown = refusal(text);
        assert!(parts.iter().all(|part| shown.contains(part)), "{text}: {shown}");
    }
    let both = refusal("A=1\nIS_UKI=2");
    assert!(both.contains("2 errors") && both.contains(".arg:2:1") && both.contains(".arg:3:1"), "{both}");
    let unset = Arguments::parse(".arg", "K8S_DISTRIBUTION=\n").unwrap_err().to_string();
    assert!(unset.contains("K8S_DISTRIBUTION is not set"), "{unset}");
    assert!(Arguments::parse(".arg", "K8S_DISTRIBUTION=k8s\n").is_err());
}

#[test]
fn a_key_that_is_set_twice_takes_the_last_and_says_so() {
    let twice = parse("ISO_NAME=a\nISO_NAME=b\n");
    assert_eq!(twice.iso_name(), "b");
    assert!(twice.warning().unwrap().contains("ISO_NAME (line 3) replaces what line 2 says"));
}

#[test]
fn a_demand_for_security_is_refused_unless_it_is_waived_by_name() {
    let demanding = parse("FIPS_ENABLED=true\nDISABLE_SELINUX=false\nUBUNTU_PRO_ATTACH=true\n");
    let error = demanding.check_demands(&["FIPS_ENABLED".into()]).unwrap_err();
    assert_eq!(error.class, crate::Class::Rejected);
    assert!(
        error.message.contains("DISABLE_SELINUX=false") && !error.message.contains("FIPS_ENABLED"),
        "{error}"
    );
    assert!(error.help.unwrap().contains("--waive DISABLE_SELINUX --waive UBUNTU_PRO_ATTACH"));
    let all = ["FIPS_ENABLED", "DISABLE_SELINUX", "UBUNTU_PRO_ATTACH"].map(String::from);
    assert!(demanding.check_demands(&all).is_ok());
    assert!(parse("FIPS_ENABLED=false\nIS_UKI=true\n").check_demands(&[]).is_ok());
}

#[test]
fn the_base_follows_image_system_and_version() {
    let base = |text: &str| parse(text).base().map(|base| base.to_string());
    assert_eq!(base("").unwrap(), "ubuntu:jammy");
    assert_eq!(base("OS_VERSION=20").unwrap(), "ubuntu:focal");
    assert_eq!(base("OS_VERSION=22").unwrap(), "ubuntu:jammy");
    assert_eq!(base("OS_VERSION=24.04").unwrap(), "ubuntu:noble");
    let image = "BASE_IMAGE=registry.example/os:1\nOS_DISTRIBUTION=rhel\n";
    assert_eq!(base(image).unwrap(), "oci:registry.example/os:1");
    for system in ["opensuse-leap", "sles", "rhel", "hadron"] {
        let error = format!("{:?}", base(&format!("OS_DISTRIBUTION={system}")).unwrap_err());
        assert!(error.contains(".arg:2:1") && error.contains("BASE_IMAGE"), "{error}");
    }
    assert!(base("OS_VERSION=18.04").unwrap_err().to_string().contains("18.04"));
}

#[test]
fn only_what_can_be_built_in_is_a_distribution() {
    for name in DISTRIBUTIONS {
        let arguments = Arguments::parse(".arg", &format!("K8S_DISTRIBUTION={name}")).unwrap();
        match *name {
            "k3s" | "kubeadm" => assert_eq!(arguments.distribution().unwrap().name(), *name),
            _ => {
                let error = format!("{:?}", arguments.distribution().unwrap_err());
                assert!(error.contains(name) && error.contains("k3s or kubeadm"), "{error}");
            }
        }
    }
}

#[test]
fn references_follow_the_scheme() {
    let arguments =
        parse("IMAGE_REGISTRY=registry.example/edge/\nIMAGE_REPO=$K8S_DISTRIBUTION\nCUSTOM_TAG=demo");
    let reference = |agent| arguments.reference(Distribution::K3s, "1.31.1", agent);
    assert_eq!(reference(Some("v4.10.0")).unwrap(), "registry.example/edge/k3s:k3s-1.31.1-v4.10.0-demo");
    assert!(reference(None).unwrap_err().to_string().contains("PE_VERSION"));
    assert_eq!(arguments.component_version(Distribution::K3s, "1.31.1"), "1.31.1+k3s1");
    assert_eq!(arguments.component_version(Distribution::Kubeadm, "1.31.1"), "1.31.1");
    let plain = parse("IMAGE_REGISTRY=registry.example");
    let reference = plain.reference(Distribution::Kubeadm, "1.31.1", Some("v4")).unwrap();
    assert_eq!(reference, "registry.example/ubuntu:kubeadm-1.31.1-v4");
    assert!(plain.reference(Distribution::K3s, "1.31.1+k3s1", Some("v4")).is_err());
    assert!(parse("").reference(Distribution::K3s, "1", Some("v4")).is_err());
    assert_eq!(parse("").image_tag(None), "");
    assert_eq!(parse("CMDLINE='stylus.registration quiet  x=1'").kernel_arguments(), ["quiet", "x=1"]);
}

proptest! {
    #[test]
    fn no_file_panics(lines in proptest::collection::vec(("[A-Z_]{1,20}", "[ -~]{0,30}"), 0..10), names in proptest::collection::vec((0..KEYS.len(), "[ -~]{0,12}"), 0..10)) {
        let mut text: String = lines.iter().map(|(key, value)| format!("{key}={value}\n")).collect();
        text.extend(names.iter().map(|(number, value)| format!("{}={value}\n", KEYS[*number].name)));
        if let Ok(arguments) = Arguments::parse(".arg", &text) {
            let _ = (arguments.warning(), arguments.base(), arguments.kernel_arguments());
            if let Ok(distribution) = arguments.distribution() {
                let _ = arguments.reference(distribution, "1.31.1", arguments.agent_version());
            }
        }
    }
}
