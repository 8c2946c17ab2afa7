//! Content bundles: what a site runs comes from one file, and from nowhere else.

use std::fs;
use std::path::{Path, PathBuf};

use edge_host::child::Child;
use edge_model::api::cluster::PodState;
use edge_model::content::{IMAGE_NAME, IMAGE_TAG};
use edge_model::ids::{Digest, to_hex};
use edge_model::{Context, Result};
use edge_slot_image::sha256;
use qemu_tests::bench_ground::{CLUSTER, Ground, IN_NAMESPACES, KUBERNETES};
use qemu_tests::namespaces::{Deed, Facts, NamespaceHost};
use serde_json::{Value, json};

use super::cluster::{ask_for_page, new_host_of};
use super::ensure;

const ON_THE_HOST: &str = "usr/local/site.tar.zst";
/// What the component's archive calls the page of tests.
const PAGE: &str = "edge.local/page:1";
/// Told to a host that shall not ask anybody.
const NOBODY_ELSE: &str = "#cloud-config\nedge:\n  content: {upstream: false}\n";

/// An image with a layer that no host has, pushed, bundled, brought, and run; then the disk loses bytes of it.
pub(super) fn without_a_network(ground: &Ground) -> Result<()> {
    let name = "content-without-a-network";
    let folder = ground.lab.work().join(format!("{name}-files"));
    let image = push_image(ground, &folder)?;
    let bundle = build_bundle(ground, &folder, &image)?;

    let cluster = CLUSTER.replace(PAGE, &image);
    let mut host = new_host_of(ground, name, &ground.with_cluster()?)?;
    host.tell(&Facts { cluster: format!("{cluster}{IN_NAMESPACES}"), name_server: None })?;
    fs::write(host.kept("oem/90_custom.yaml"), NOBODY_ELSE).context("cannot tell the host")?;
    host.start()?;
    expect_missing(&host, &image)?;

    refuses_strangers(ground, &host, &folder, &image)?;
    bring(&host, &bundle)?;
    host.expect_cluster()?;
    ask_for_page(&host, "http://page/")?;
    let view = content(&host)?;
    ensure(view["bundles"][0]["signed"] == json!(true), || format!("the bundle on the host: {view}"))?;

    // After a power cut the disk loses a byte of it.
    host.power_cut()?;
    host.start()?;
    host.expect_cluster()?;
    let removed = host.run(&["edge-agent", "content", "remove", "site"]);
    ensure(removed.is_err_and(|error| error.to_string().contains("the cluster of this host needs")), || {
        "a bundle went that the cluster needs, or stayed for another reason".into()
    })?;
    damage(&host)?;
    let verified = host.run(&["edge-agent", "content", "verify"]);
    ensure(verified.is_err_and(|error| error.to_string().contains(&image)), || {
        "damage was not found".into()
    })?;
    let again = host.run(&["edge-agent", "content", "import", &format!("file:/{ON_THE_HOST}")])?;
    ensure(again.contains("is here") && !again.contains("already"), || format!("the import said: {again}"))?;
    host.run(&["edge-agent", "content", "verify"])?;
    let gone = host.run(&["edge-agent", "--json", "content", "remove", "site", "--force"])?;
    ensure(gone.contains("\"bundles\":[]"), || format!("after its removal: {gone}"))?;
    // What runs goes on, whatever becomes of the bundle.
    ask_for_page(&host, "http://page/")
}

/// The page of the component with one more layer, in the tests' registry.
fn push_image(ground: &Ground, folder: &Path) -> Result<String> {
    let context = "cannot prepare an image";
    if folder.exists() {
        fs::remove_dir_all(folder).context(context)?;
    }
    fs::create_dir_all(folder).context(context)?;
    let component = std::env::var_os(KUBERNETES).unwrap_or_default();
    Child::new("tar").arg("-xf").arg(component).arg("-C").arg(folder).arg("images").run()?;
    let layout = folder.join("images");
    add_a_layer(folder, &layout).context(context)?;
    let local = format!("oci:{}:site", layout.display());
    let image = format!("127.0.0.1:{}/shop/site:1", ground.registry.port());
    let pushed = ["--insecure-policy", "copy", "-q", "--dest-tls-verify=false", &local];
    ground.lab.tool("skopeo")?.args(pushed).arg(format!("docker://{image}")).run()?;
    Ok(image)
}

/// Leaves one image in a layout: the page, with one layer more.
fn add_a_layer(folder: &Path, layout: &Path) -> Result<()> {
    let blob = |digest: &Value| -> Result<PathBuf> {
        let digest: Digest = digest.as_str().unwrap_or_default().parse()?;
        Ok(layout.join("blobs/sha256").join(to_hex(&digest.0)))
    };
    let read = |path: &Path| -> Result<Value> {
        serde_json::from_slice(&fs::read(path)?).context("a document of the layout cannot be read")
    };
    let put = |bytes: &[u8]| -> Result<Value> {
        fs::write(layout.join("blobs/sha256").join(to_hex(&sha256(bytes).0)), bytes)?;
        Ok(json!({ "digest": sha256(bytes).to_string(), "size": bytes.len() }))
    };
    fs::create_dir_all(folder.join("etc"))?;
    fs::write(folder.join("etc/note"), "a layer of the site\n")?;
    let archive = folder.join("layer.tar");
    Child::new("tar").arg("-cf").arg(&archive).arg("-C").arg(folder).arg("etc").run()?;
    let diff_id = sha256(&fs::read(&archive)?).to_string();
    Child::new("gzip").arg("-n").arg(&archive).run()?;
    let mut layer = put(&fs::read(folder.join("layer.tar.gz"))?)?;
    layer["mediaType"] = json!("application/vnd.oci.image.layer.v1.tar+gzip");

    let index = read(&layout.join("index.json"))?;
    let entries = index["manifests"].as_array().cloned().unwrap_or_default();
    let page = entries.into_iter().find(|entry| entry["annotations"][IMAGE_NAME] == PAGE).unwrap_or_default();
    let mut manifest = read(&blob(&page["digest"])?)?;
    let mut config = read(&blob(&manifest["config"]["digest"])?)?;
    for (list, new) in [(&mut config["rootfs"]["diff_ids"], json!(diff_id)), (&mut manifest["layers"], layer)]
    {
        if let Some(list) = list.as_array_mut() {
            list.push(new);
        }
    }
    for (key, value) in put(config.to_string().as_bytes())?.as_object().into_iter().flatten() {
        manifest["config"][key] = value.clone();
    }
    let mut entry = put(manifest.to_string().as_bytes())?;
    entry["mediaType"] = page["mediaType"].clone();
    entry["annotations"] = json!({ IMAGE_TAG: "site" });
    let index = json!({ "schemaVersion": 2, "manifests": [entry] });
    Ok(fs::write(layout.join("index.json"), index.to_string())?)
}

fn build_bundle(ground: &Ground, folder: &Path, image: &str) -> Result<PathBuf> {
    let bundle = folder.join("site.tar.zst");
    Child::new(ground.lab.edgeforge())
        .args(["bundle", "build", "--plain-http", "--image", image, "--output"])
        .arg(&bundle)
        .arg("--keys")
        .arg(ground.lab.work().join("keys"))
        .run()?;
    let shown = Child::new(ground.lab.edgeforge()).args(["--json", "bundle", "show"]).arg(&bundle).run()?;
    let shown: Value = serde_json::from_slice(&shown).context("the bundle is not shown")?;
    ensure(shown["images"][0]["name"] == image && shown["name"] == "site", || {
        format!("in the bundle: {shown}")
    })?;
    Ok(bundle)
}

fn expect_missing(host: &NamespaceHost, image: &str) -> Result<()> {
    host.expect("a pod without its image", |host| {
        let view = match host.cluster() {
            Ok(view) => view,
            Err(error) => return Ok(Deed::Seen(error.to_string())),
        };
        let waits = view.pods.iter().any(|pod| {
            pod.name.starts_with("page-")
                && matches!(&pod.state, PodState::Waiting { reason } | PodState::Failing { reason } if reason.contains("mage"))
        });
        Ok(if waits { Deed::Done(()) } else { Deed::Seen(format!("{:?}", view.status)) })
    })?;
    let log = host.run(&["journalctl", "--boot", "--output=cat", "--unit=edge-agent"])?;
    ensure(log.contains(&format!("{image} is not on this host")), || {
        "the log does not say what is missing".into()
    })
}

/// A bundle by somebody else's key, and one by nobody's, bring nothing.
fn refuses_strangers(ground: &Ground, host: &NamespaceHost, folder: &Path, image: &str) -> Result<()> {
    let stranger = folder.join("stranger");
    Child::new(ground.lab.edgeforge()).args(["keys", "generate"]).arg(&stranger).run()?;
    for (keys, why) in [(Some(&stranger), "does not trust"), (None, "not signed")] {
        let bundle = folder.join("other.tar.zst");
        let mut build = Child::new(ground.lab.edgeforge())
            .args(["bundle", "build", "--plain-http", "--image", image, "--output"])
            .arg(&bundle);
        if let Some(keys) = keys {
            build = build.arg("--keys").arg(keys);
        }
        build.run()?;
        let error = bring(host, &bundle).err().map(|error| error.to_string()).unwrap_or_default();
        ensure(error.contains(why), || format!("a bundle that should be refused: {error:?}"))?;
    }
    let stored = host.run(&["find", "/usr/local/edge/content/blobs", "-type", "f"])?;
    ensure(stored.is_empty(), || format!("a refused bundle left: {stored}"))
}

fn bring(host: &NamespaceHost, bundle: &Path) -> Result<String> {
    fs::copy(bundle, host.kept(ON_THE_HOST)).context("cannot bring a bundle")?;
    host.run(&["edge-agent", "content", "import", &format!("file:/{ON_THE_HOST}")])
}

fn content(host: &NamespaceHost) -> Result<Value> {
    let answer = host.run(&["edge-agent", "--json", "content", "list"])?;
    serde_json::from_str(&answer).context("the agent's answer cannot be read")
}

/// The largest blob loses its last byte to another one.
fn damage(host: &NamespaceHost) -> Result<()> {
    let script = "file=$(find /usr/local/edge/content/blobs -type f -printf '%s %p\\n' | sort -n | tail -1 | cut -d' ' -f2); \
                  truncate -s -1 $file && printf x >> $file";
    host.run(&["sh", "-c", script]).map(drop)
}
