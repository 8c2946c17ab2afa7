//! Synthetic CanvOS folders: made here, by the layout that CanvOS documents.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use edge_model::canvos::{Arguments, Fate, KEYS};
use edge_model::forge::Forge;
use proptest::prelude::*;

use super::folder::CanvosFolder;
use super::plan::Plan;
use super::*;
use edge_cli::Reader;

const ARGUMENTS: &str = "\
CUSTOM_TAG=demo
IMAGE_REGISTRY=registry.example/edge
OS_DISTRIBUTION=ubuntu
IMAGE_REPO=$OS_DISTRIBUTION
OS_VERSION=22.04
K8S_DISTRIBUTION=k3s
K8S_VERSION=1.31.1
ISO_NAME=Shop_Installer
ARCH=amd64
UPDATE_KERNEL=false
CLUSTERCONFIG=spc.tgz
CIS_HARDENING=true
EDGE_CUSTOM_CONFIG=.edge-custom-config.yaml
FORCE_INTERACTIVE_INSTALL=false
CMDLINE='stylus.registration quiet'
IS_UKI=true                       # Trusted Boot
INSTALL_NVIDIA_GPU_DRIVERS=true
NVIDIA_DRIVER_BRANCH=580
";

const FILES: [(&str, &str); 19] = [
    ("user-data", "#cloud-config\nstylus:\n  managementMode: local\ninstall:\n  poweroff: true\n"),
    ("overlay/files/etc/rsyslog.d/51-shop.conf", "local7.notice /var/log/shop.log\n"),
    ("overlay/files/opt/spectrocloud/bin/check-disk-size.sh", "#!/bin/sh\n"),
    ("overlay/files-iso/boot/grub2/grub.cfg", "set timeout=5\n"),
    ("overlay/files-iso/config.yaml", "#cloud-config\n"),
    ("overlay/files-iso/user-data", "#cloud-config\n"),
    ("overlay/files-iso/docs/shop.txt", "hello\n"),
    ("certs/company.pem", "-----BEGIN CERTIFICATE-----\n"),
    ("certs/README.md", "put certificates here\n"),
    ("certs/other.cer", "a certificate that nobody takes"),
    (".edge-custom-config.yaml", "content:\n  signing: {}\n"),
    ("content-a1b2/core-a1b2.zst", "bundle"),
    ("content-a1b2/notes.txt", "not a bundle"),
    ("spc.tgz", "definition"),
    ("k8s_version.json", "{\"k3s\": [\"1.30.4\", \"1.31.1\"], \"kubeadm\": [\"1.31.1\"]}"),
    ("Earthfile", "VERSION 0.8\nARG PE_VERSION=v4.10.0\n"),
    (
        "Dockerfile",
        "ARG BASE\nFROM $BASE\nRUN apt-get update && apt-get install -y nginx\nRUN systemctl enable nginx\n",
    ),
    ("k3s-1.31.1", "program"),
    ("earthly.sh", "#!/bin/bash\n"),
];

struct Synthetic(tempfile::TempDir);

impl Synthetic {
    fn new(arguments: &str) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        for (path, content) in FILES {
            folder.put(path, content);
        }
        let script = folder.path().join("overlay/files/opt/spectrocloud/bin/check-disk-size.sh");
        fs::set_permissions(script, fs::Permissions::from_mode(0o755)).unwrap();
        symlink("rsyslog.d", folder.path().join("overlay/files/etc/logs.d")).unwrap();
        folder.put(".arg", arguments);
        folder.put_local_ui(&[("ui/customizations.json", "{\"title\": \"Shop\"}")]);
        folder
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn put(&self, path: &str, content: &str) {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn put_local_ui(&self, files: &[(&str, &str)]) {
        let file = fs::File::create(self.path().join(local_ui::FILE)).unwrap();
        let mut archive = tar::Builder::new(file);
        for (path, content) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            archive.append_data(&mut header, path, content.as_bytes()).unwrap();
        }
        archive.finish().unwrap();
    }

    fn plan(&self) -> Plan {
        newest(&CanvosFolder::read(self.path()).unwrap()).unwrap()
    }

    fn error(&self) -> String {
        format!("{:?}", buildables(self.path(), &[]).unwrap_err())
    }
}

/// Every file below a folder with its content, links with their target.
fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let read = |path: &PathBuf| match fs::read_link(path) {
        Ok(target) => target.into_os_string().into_encoded_bytes(),
        Err(_) => fs::read(path).unwrap(),
    };
    files_below(folder).unwrap().into_iter().map(|(name, path)| (name, read(&path))).collect()
}

fn golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/import/golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        text, expected,
        "{name} differs; if that is meant: UPDATE_GOLDEN=1 cargo test -p edgeforge import"
    );
}

#[test]
fn the_report_says_line_by_line_what_changed() {
    let mut plan = Synthetic::new(ARGUMENTS).plan();
    plan.changes.sort_by_key(|change| !change.attention);
    golden("report.txt", &text(&plan));
    golden("forge.yaml", &plan.forge_text);
    golden("unattended.yaml", plan.unattended.as_deref().unwrap_or_default());
    let files: String =
        plan.files.iter().map(|file| format!("{} from {:?}\n", file.path, file.from)).collect();
    golden("files.txt", &files);
}

#[test]
fn every_used_key_changes_something() {
    let outcome = |more: &str, without: &str| {
        let kept = ARGUMENTS.lines().filter(|line| !line.starts_with(&format!("{without}=")));
        let folder = Synthetic::new(&(kept.collect::<Vec<_>>().join("\n") + "\n" + more));
        for name in ["other", "k3s", "k3s-1.30.4"] {
            folder.put(name, "another file");
        }
        match buildables(folder.path(), &[]) {
            Err(error) => error.to_string(),
            Ok(built) => {
                let one = built.into_iter().next().unwrap();
                let changed = CanvosFolder::read(folder.path()).unwrap();
                let plan = newest(&changed).unwrap();
                format!("{:?} {:?} {:?} {:?}", one.project.forge, one.reference, plan.unattended, plan.files)
            }
        }
    };
    let before = outcome("", "");
    for key in KEYS.iter().filter(|key| key.fate.is_used()) {
        let value = match key.name {
            "ARCH" => "arm64",
            "K8S_DISTRIBUTION" => "kubeadm",
            "K8S_VERSION" => "1.30.4",
            "OS_DISTRIBUTION" => "rhel",
            "OS_VERSION" => "24.04",
            "CIS_HARDENING" => "false",
            "FORCE_INTERACTIVE_INSTALL" => "true",
            _ => "other",
        };
        assert_ne!(outcome(&format!("{}={value}", key.name), key.name), before, "{}", key.name);
    }
    let unused = KEYS.iter().find(|key| matches!(key.fate, Fate::Meaningless(_))).unwrap();
    assert_eq!(outcome(&format!("{}=other", unused.name), unused.name), before);
}

#[test]
fn a_folder_builds_the_same_before_and_after_its_import() {
    let folder = Synthetic::new(ARGUMENTS);
    let key = edge_slot_image::signing::SigningKey::generate().unwrap().1;
    folder.put("keys/image-signing.key", &key);
    let whole = |project: &Project| {
        let read = |files: &[(String, PathBuf)]| -> Vec<(String, Vec<u8>, bool)> {
            let program =
                |path: &PathBuf| fs::symlink_metadata(path).unwrap().permissions().mode() & 0o100 != 0;
            let content = |path: &PathBuf| match fs::read_link(path) {
                Ok(target) => target.into_os_string().into_encoded_bytes(),
                Err(_) => fs::read(path).unwrap(),
            };
            files.iter().map(|(name, path)| (name.clone(), content(path), program(path))).collect()
        };
        assert!(project.signer.is_some());
        let reserved = |(name, _): &(String, PathBuf)| name != "user-data";
        let medium: Vec<_> = project.medium_overlay.iter().filter(|file| reserved(file)).cloned().collect();
        let documents = (project.forge.clone(), project.user_data.clone(), project.unattended.clone());
        (documents, read(&project.overlay), read(&medium))
    };
    let before = whole(&buildables(folder.path(), &[]).unwrap()[0].project);
    assert!(before.1.iter().any(|(path, _, _)| path == "opt/spectrocloud/ui/customizations.json"));
    assert!(before.1.iter().any(|(path, _, _)| path == "usr/lib/edge/edge-custom-config.yaml"));
    let other = tempfile::tempdir().unwrap();
    let new = other.path().join("shop");
    run(folder.path(), Some(&new), &[], false, Reader::Program).unwrap();
    assert_eq!(whole(&Project::load(&new).unwrap()), before);
    for path in ["content-a1b2/core-a1b2.zst", "spc.tgz", "k3s-1.31.1", "certs/company.pem"] {
        assert!(new.join(path).is_file(), "{path}");
    }
    for path in
        [".arg", "Dockerfile", "certs/README.md", "content-a1b2/notes.txt", "overlay/files-iso/user-data"]
    {
        assert!(!new.join(path).exists(), "{path}");
    }
    run(folder.path(), None, &[], false, Reader::Program).unwrap();
    assert_eq!(whole(&Project::load(folder.path()).unwrap()), before);
    assert_eq!(fs::read_dir(other.path()).unwrap().count(), 1, "nothing is left beside the new folder");
}

#[test]
fn nothing_is_overwritten_and_a_refusal_changes_nothing() {
    let folder = Synthetic::new(ARGUMENTS);
    let before = contents(folder.path());
    run(folder.path(), None, &[], true, Reader::Program).unwrap();
    assert_eq!(contents(folder.path()), before, "a dry run writes nothing");

    folder.put("overlay/files/opt/spectrocloud/ui/customizations.json", "mine");
    let before = contents(folder.path());
    let error = run(folder.path(), None, &[], false, Reader::Program).unwrap_err();
    assert!(error.to_string().contains("customizations.json is there already"), "{error}");
    assert_eq!(contents(folder.path()), before);
    fs::remove_file(folder.path().join("overlay/files/opt/spectrocloud/ui/customizations.json")).unwrap();

    let other = tempfile::tempdir().unwrap();
    fs::write(other.path().join("x"), "").unwrap();
    assert!(
        run(folder.path(), Some(other.path()), &[], false, Reader::Program)
            .unwrap_err()
            .to_string()
            .contains("not an empty")
    );

    run(folder.path(), None, &[], false, Reader::Program).unwrap();
    let imported = contents(folder.path());
    for to in [None, Some(other.path().join("new"))] {
        let error = run(folder.path(), to.as_deref(), &[], false, Reader::Program).unwrap_err();
        assert!(error.to_string().contains("a project already"), "{error}");
    }
    assert_eq!(contents(folder.path()), imported);

    fs::remove_file(folder.path().join("forge.yaml")).unwrap();
    run(folder.path(), None, &[], false, Reader::Program).unwrap();
    assert_eq!(contents(folder.path()), imported, "what an interrupted import left is taken");
}

#[test]
fn each_listed_version_is_built_in_its_own_folder() {
    let folder = Synthetic::new("K8S_DISTRIBUTION=k3s\nIMAGE_REGISTRY=registry.example\nCUSTOM_TAG=a\n");
    folder.put("kubernetes/k3s-v1.30.4", "older program");
    let built = buildables(folder.path(), &[]).unwrap();
    let root = folder.path().canonicalize().unwrap();
    let seen: Vec<_> = built
        .iter()
        .map(|one| {
            let k3s = one.project.forge.kubernetes.clone().unwrap().k3s.unwrap();
            (one.project.output.clone(), k3s.version, k3s.file.unwrap(), one.reference.clone().unwrap())
        })
        .collect();
    let expected = |version: &str, file: &str| {
        let tag = format!("k3s-{version}-v4.10.0-a");
        let reference = format!("registry.example/ubuntu:{tag}");
        (root.join("build").join(&tag), format!("{version}+k3s1"), file.to_owned(), reference)
    };
    assert_eq!(seen, [expected("1.30.4", "kubernetes/k3s-v1.30.4"), expected("1.31.1", "k3s-1.31.1")]);
    let plan = folder.plan();
    assert_eq!(plan.forge.version, "k3s-1.31.1-v4.10.0-a");
    assert!(plan.changes.iter().any(|change| change.attention && change.to.contains("newest of 2 versions")));
}

#[test]
fn without_a_file_the_image_has_no_kubernetes_and_says_so() {
    let folder =
        Synthetic::new("K8S_DISTRIBUTION=kubeadm\nK8S_VERSION=1.31.1\nIMAGE_REGISTRY=registry.example\n");
    let built = buildables(folder.path(), &[]).unwrap();
    assert_eq!(built[0].project.forge.kubernetes, None);
    assert_eq!(built[0].project.output, folder.path().canonicalize().unwrap().join("build"));
    assert!(built[0].reference.clone().unwrap_err().to_string().contains("the image has none"));
    let plan = folder.plan();
    let said = plan.changes.iter().find(|change| change.from.contains("K8S_VERSION")).unwrap();
    assert!(said.attention && said.to.contains("kubeadm-1.31.1.tar.zst"), "{said}");
    // What is commented out is right once the # are gone.
    let text = plan.forge_text.replace("# kubernetes:", "kubernetes:").replace("#   kubeadm", "  kubeadm");
    let kubeadm = Forge::parse("forge.yaml", &text).unwrap().kubernetes.unwrap().kubeadm.unwrap();
    assert_eq!(kubeadm.file.as_deref(), Some("kubeadm-1.31.1.tar.zst"));
}

#[test]
fn wrong_folders_are_refused_with_what_to_do() {
    let with = |more: &str| Synthetic::new(&format!("K8S_DISTRIBUTION=k3s\n{more}"));
    for (more, parts) in [
        ("ISO_NAM=x", &[".arg:2:1", "did you mean ISO_NAME?"][..]),
        ("OS_DISTRIBUTION=sles", &[".arg:2:1", "BASE_IMAGE"]),
        ("CLUSTERCONFIG=other.tgz", &["CLUSTERCONFIG", "other.tgz", "no file"]),
        ("CLUSTERCONFIG=../spc.tgz", &["CLUSTERCONFIG", "no file"]),
        ("EDGE_CUSTOM_CONFIG=/etc/passwd", &["EDGE_CUSTOM_CONFIG", "no file"]),
    ] {
        let shown = with(more).error();
        assert!(parts.iter().all(|part| shown.contains(part)), "{more}: {shown}");
    }
    let folder = with("");
    folder.put_local_ui(&[("x", "")]);
    fs::remove_dir_all(folder.path().join("overlay/files/opt")).unwrap();
    symlink("/tmp", folder.path().join("overlay/files/opt")).unwrap();
    assert!(folder.error().contains("which is no folder"), "{}", folder.error());
    folder.put("k8s_version.json", "[]");
    assert!(folder.error().contains("k8s_version.json"));
    let empty = tempfile::tempdir().unwrap();
    let error = format!("{:?}", buildables(empty.path(), &[]).unwrap_err());
    assert!(error.contains("forge.yaml") && error.contains(".arg"), "{error}");
    let error = format!("{:?}", run(empty.path(), None, &[], false, Reader::Person).unwrap_err());
    assert!(error.contains("no CanvOS folder"), "{error}");
}

#[test]
fn the_installer_does_what_canvos_does() {
    let answers = |arguments: &str, user_data: &str| {
        let folder = Synthetic::new(&format!("K8S_DISTRIBUTION=k3s\n{arguments}"));
        folder.put("user-data", user_data);
        let plan = folder.plan();
        (plan.unattended.unwrap(), plan.changes.iter().filter(|change| change.attention).count())
    };
    let (text, calm) = answers("", "#cloud-config\n");
    assert!(text.ends_with("install:\n  after: nothing\n"), "{text}");
    let (text, _) = answers("", "#cloud-config\ninstall: {reboot: true}\n");
    assert!(text.ends_with("install: {}\n"), "{text}");
    let (text, asked) = answers("FORCE_INTERACTIVE_INSTALL=true", "#cloud-config\n");
    assert!(text.ends_with("interactive: ask\n") && !text.contains("install:\n"), "{text}");
    assert_eq!(asked, calm);
    let auto = answers("FORCE_INTERACTIVE_INSTALL=true", "#cloud-config\ninstall: {auto: true}\n");
    assert_eq!(auto.1, calm + 1, "a medium that installs by itself is not one that asks");
    let wrong = answers("", "#cloud-config\nstylus: {sit: {}}\n");
    assert_eq!(wrong.1, calm + 1, "user data that stops a build is named");

    let folder = Synthetic::new(ARGUMENTS);
    folder.put("unattended.yaml", "interactive: never\ninstall: {}\n");
    assert_eq!(folder.plan().unattended, None);
    let built = buildables(folder.path(), &[]).unwrap();
    assert_eq!(built[0].project.unattended, "interactive: never\ninstall: {}\n");
}

proptest! {
    #[test]
    fn any_names_make_a_project_that_can_be_read(
        names in proptest::collection::btree_set("[^/\\pC]{1,12}", 0..6),
        iso in "[^'\\pC]{0,30}",
        version in "[0-9a-z.+-]{1,12}",
        tag in "[^'\\pC]{0,30}",
    ) {
        let text = format!("K8S_DISTRIBUTION=k3s\nISO_NAME='{iso}'\nCUSTOM_TAG='{tag}'\nK8S_VERSION={version}");
        let Ok(arguments) = Arguments::parse(".arg", &text) else { return Ok(()) };
        let bundles: Vec<String> = names.iter().map(|name| format!("content-{name}/{name}.zst")).collect();
        let folder = CanvosFolder {
            arguments,
            files: bundles.iter().cloned().chain([format!("k3s-{version}")]).collect(),
            ..CanvosFolder::default()
        };
        if let Ok(plan) = newest(&folder) {
            let forge = Forge::parse("forge.yaml", &plan.forge_text).unwrap();
            let mut found = forge.content.clone();
            found.sort();
            let mut bundles = bundles;
            bundles.sort();
            prop_assert_eq!(found, bundles);
            prop_assert_eq!(forge.kubernetes.unwrap().k3s.unwrap().file, Some(format!("k3s-{version}")));
        }
    }
}
