//! A folder of CanvOS becomes an image: as it is, and as the project that it is imported to. No machine is started.

use std::fs;
use std::path::Path;

use edge_model::{Context, Error, Result};
use qemu_tests::bench_ground::Ground;

use super::bases::Project;
use super::ensure;

/// Files of a checkout that are what they are; made here, by the layout that CanvOS documents.
const FILES: [(&str, &str); 7] = [
    ("user-data", "#cloud-config\nstylus:\n  managementMode: local\ninstall:\n  poweroff: true\n"),
    ("overlay/files/etc/shop.conf", "colour=blue\n"),
    ("overlay/files/opt/shop/banner", "hello\n"),
    ("overlay/files-iso/docs/shop.txt", "read me\n"),
    (".edge-custom-config.yaml", "content:\n  signing: {}\n"),
    ("k8s_version.json", "{\"k3s\": [\"1.30.4\", \"1.31.1\"], \"kubeadm\": [\"1.31.1\"]}"),
    ("Earthfile", "VERSION 0.8\nARG PE_VERSION=v4.10.0\n"),
];
const TAG: &str = "k3s-1.31.1-v4.10.0-demo";
/// Where they are in the image, and what they hold.
const IN_THE_IMAGE: [(&str, &str); 4] = [
    ("etc/shop.conf", "colour=blue"),
    ("opt/shop/banner", "hello"),
    ("opt/spectrocloud/ui/customizations.json", "Shop"),
    ("usr/lib/edge/edge-custom-config.yaml", "signing"),
];
const ON_THE_MEDIUM: [&str; 5] = [
    "'/.edge_custom_config.yaml'",
    "'/docs/shop.txt'",
    "'/opt/spectrocloud/content/core-a1b2.zst'",
    "'/opt/spectrocloud/clusterconfig/spc.tgz'",
    "'/user-data'",
];

/// Both ways give the same bytes, with everything of the folder in its place.
pub(super) fn folder_builds(ground: &Ground, reference: &str) -> Result<()> {
    let folder = ground.lab.work().join("image-from-a-registry");
    let checkout = Project { ground, folder: folder.join("CanvOS") };
    let imported = Project { ground, folder: folder.join("imported") };
    write(&checkout, reference)?;
    checkout.edgeforge(&["import", &checkout.path(), "--to", &imported.path()])?;
    let forge = imported.folder.join("forge.yaml");
    let text = fs::read_to_string(&forge).context("cannot read the imported forge.yaml")?;
    let host = reference.split('/').next().unwrap_or_default();
    let registries = format!("{text}registries:\n- {{ host: '{host}', plain-http: true }}\n");
    fs::write(&forge, registries).context("cannot write the imported forge.yaml")?;
    // Without --plain-http: the project says how its registry is spoken to.
    let own = format!("{host}/edge/imported:1");
    let project = imported.build(&["--container", "--push", &own])?;
    // The base is named by its digest, and is here by now.
    let direct = checkout.build(&["--offline"])?;
    ensure(project == direct, || format!("the folder gives {direct}, its import {project}"))?;
    checkout.edgeforge(&["build", &checkout.path(), "--push", "--plain-http"])?;
    for pushed in [own, format!("{host}/edge/ubuntu:{TAG}")] {
        let inspect = ["inspect", "--raw", "--tls-verify=false", &format!("docker://{pushed}")];
        ground.lab.tool("skopeo")?.args(inspect).run()?;
    }
    contents(&imported)
}

fn write(checkout: &Project<'_>, reference: &str) -> Result<()> {
    let (ground, folder) = (checkout.ground, &checkout.folder);
    for (path, content) in FILES {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))
            .and_then(|()| fs::write(&path, content))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    let inspect = ["inspect", "--tls-verify=false", "--format={{.Digest}}", &format!("docker://{reference}")];
    let digest = ground.lab.tool("skopeo")?.args(inspect).run()?;
    let (name, _) = reference.rsplit_once(':').ok_or_else(|| Error::internal("the base has no tag"))?;
    let arguments = format!(
        "CUSTOM_TAG=demo\nIMAGE_REGISTRY={}/edge\nOS_DISTRIBUTION=ubuntu\nIMAGE_REPO=$OS_DISTRIBUTION\nOS_VERSION=24.04\n\
         BASE_IMAGE={name}@{}\nK8S_DISTRIBUTION=k3s\nK8S_VERSION=1.31.1\nISO_NAME=shop\nARCH=amd64\nCLUSTERCONFIG=spc.tgz\n\
         CIS_HARDENING=true\nEDGE_CUSTOM_CONFIG=.edge-custom-config.yaml\n",
        reference.split('/').next().unwrap_or_default(),
        String::from_utf8_lossy(&digest).trim(),
    );
    fs::write(folder.join(".arg"), arguments).context("cannot write .arg")?;
    // Any program will do for K3s: nothing starts it here.
    let program = ground.lab.edgeforge().with_file_name("host").join("edge-init");
    let script = format!(
        "cd {0}; mkdir content-a1b2 certs ui keys; echo bundle | zstd -q -o content-a1b2/core-a1b2.zst; cp {1} k3s-1.31.1; \
         echo '{{\"title\": \"Shop\"}}' > ui/customizations.json; tar -cf local-ui.tar ui; tar -czf spc.tgz user-data; rm -r ui; \
         cp {2}/* keys/; openssl req -x509 -newkey ed25519 -nodes -subj /CN=company -keyout /dev/null -out certs/company.pem 2>/dev/null",
        folder.display(),
        program.display(),
        ground.lab.work().join("keys").display()
    );
    ground.lab.tool("sh")?.args(["-ec", &script]).run().map(drop)
}

fn contents(imported: &Project<'_>) -> Result<()> {
    let build = imported.folder.join("build");
    let root = imported.folder.join("unpacked");
    let container = format!("oci-layout:{}", build.join("container").display());
    imported.edgeforge(&["unpack", &container, &root.display().to_string()])?;
    for (path, expected) in IN_THE_IMAGE {
        let text =
            fs::read_to_string(root.join(path)).with_context(|| format!("/{path} is not in the image"))?;
        ensure(text.contains(expected), || format!("/{path} holds {text:?}"))?;
    }
    for path in ["usr/bin/k3s", "usr/share/ca-certificates/edgeforge/company.pem"] {
        ensure(root.join(path).exists(), || format!("/{path} is not in the image"))?;
    }
    let iso = build.join(format!("shop-{TAG}-amd64.iso")).display().to_string();
    let list = imported.ground.lab.tool("xorriso")?.args(["-indev", &iso, "-find", "/"]).run()?;
    let list = String::from_utf8_lossy(&list).into_owned();
    let missing = ON_THE_MEDIUM.iter().find(|path| !list.contains(**path));
    ensure(missing.is_none(), || format!("{missing:?} is not on the medium: {list}"))
}
