//! What must be refused before the first write, and downloads that break.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::Duration;

use edge_model::manifest::Blob;
use edge_model::{Context, Error, Result};
use edge_slot_image::oci::{self, Descriptor};
use edge_slot_image::sha256;
use edge_slot_image::signing::{Signer, SigningKey};
use qemu_tests::bench_ground::Ground;
use qemu_tests::images::{Built, Recipe};
use qemu_tests::registry::Registry;
use qemu_tests::ssh::Ssh;

use super::ensure;

const REJECTED: i32 = 4;
const INTEGRITY: i32 = 5;
/// Root's view of what an upgrade could have changed.
const STATE: &str = "sudo sh -c 'sha256sum /dev/vda5; ls /sys/firmware/efi/efivars | grep OneShot; true'";

pub(super) fn refusals_and_broken_downloads(ground: &Ground) -> Result<()> {
    let foreign = Recipe { keys: Some(ground.lab.work().join("foreign-keys")), ..Recipe::version("5.0.0") };
    ground.publish("foreign", &foreign)?;
    ground.publish("unsigned", &Recipe { unsigned: true, ..Recipe::version("5.0.1") })?;
    let damaged = ground.publish("damaged-blob", &Recipe::version("5.0.2"))?;
    let good = ground.publish("good-at-last", &Recipe::version("5.0.3"))?;
    let (machine, _powered) = ground.healthy_copy("refusals-and-broken-downloads")?;
    let ssh = ground.ssh(&machine);
    let before = ssh.run(STATE, ground.patience(90))?;
    refused(ground, &ssh, "5.0.0", INTEGRITY, "does not trust")?;
    refused(ground, &ssh, "5.0.1", REJECTED, "not signed")?;
    refuse_other_architecture(ground, &ssh, &good)?;
    refuse_without_space(ground, &ssh)?;
    damage_blob(ground, &damaged)?;
    refused(ground, &ssh, "5.0.2", INTEGRITY, "")?;
    let after = ssh.run(STATE, ground.patience(90))?;
    ensure(before == after, || format!("a refused upgrade changed the host: {before} → {after}"))?;
    survive_registry_that_dies(ground, &ssh)?;
    // Each block of it: what boots from a slot that was written with a pause is what was signed.
    let verified = ssh.run("sudo edge-agent verify", ground.patience(120))?;
    ensure(verified.contains("undamaged: slot-a, slot-b, recovery"), || format!("verify: {verified}"))
}

fn refused(ground: &Ground, ssh: &Ssh<'_>, version: &str, code: i32, reason: &str) -> Result<()> {
    let outcome = ssh.outcome(&ground.upgrade_command(version), ground.patience(120))?;
    ensure(outcome.status.code() == Some(code) && outcome.stderr.contains(reason), || {
        format!("{version} should be refused with {code} and {reason:?}: {outcome:?}")
    })
}

/// A manifest that is rightly signed and names another architecture; the blobs are never asked for.
fn refuse_other_architecture(ground: &Ground, ssh: &Ssh<'_>, image: &Built) -> Result<()> {
    let manifest =
        fs::read_to_string(image.folder.join("build/manifest.json")).context("cannot read a manifest")?;
    let manifest = manifest.replace("\"amd64\"", "\"riscv64\"").into_bytes();
    let key =
        fs::read_to_string(ground.lab.work().join("keys/image-signing.key")).context("cannot read a key")?;
    let signature =
        serde_json::to_vec(&SigningKey::parse(&key)?.sign(&manifest)?).context("cannot write a signature")?;
    let mut blobs = Vec::new();
    let mut layer = |media_type: &str, bytes: Vec<u8>| {
        let blob = Blob { digest: sha256(&bytes), size: bytes.len() as u64 };
        blobs.push((edge_model::ids::to_hex(&blob.digest.0), bytes));
        Descriptor::new(media_type, blob)
    };
    let layers = vec![layer(oci::MEDIA_IMAGE_MANIFEST, manifest), layer(oci::MEDIA_SIGNATURE, signature)];
    let artifact = oci::Manifest::artifact(layers, std::collections::BTreeMap::new());
    let artifact =
        layer(oci::MEDIA_MANIFEST, serde_json::to_vec(&artifact).context("cannot write a manifest")?);
    let index = serde_json::to_string(&oci::Index::of(artifact)).context("cannot write an index")?;
    let mut script =
        format!("mkdir -p /tmp/other/blobs/sha256; cd /tmp/other; echo '{index}' > index.json; ");
    for (name, bytes) in blobs {
        let text = String::from_utf8(bytes).map_err(|_| Error::internal("a blob is not text"))?;
        script.push_str(&format!("printf %s '{text}' > blobs/sha256/{name}; "));
    }
    ssh.run(&format!("sudo sh -c \"{}\"", script.replace('"', "\\\"")), ground.patience(60))?;
    let outcome = ssh.outcome("sudo edge-agent upgrade oci-layout:/run/edge-other", ground.patience(60))?;
    ensure(outcome.status.code() != Some(0), || "a folder that is not there was accepted".into())?;
    ssh.run("sudo mv /tmp/other /run/edge-other", ground.patience(60))?;
    let outcome = ssh.outcome("sudo edge-agent upgrade oci-layout:/run/edge-other", ground.patience(60))?;
    ensure(outcome.status.code() == Some(REJECTED) && outcome.stderr.contains("riscv64"), || {
        format!("another architecture was not refused: {outcome:?}")
    })
}

fn refuse_without_space(ground: &Ground, ssh: &Ssh<'_>) -> Result<()> {
    let fill = "sudo mount /dev/vda1 /mnt && sudo dd if=/dev/zero of=/mnt/ballast bs=1M status=none; sudo umount /mnt";
    // dd ends with an error when the disk is full, as it should be.
    ssh.outcome(fill, ground.patience(180))?;
    refused(ground, ssh, "5.0.3", REJECTED, "efi")?;
    ssh.run("sudo mount /dev/vda1 /mnt && sudo rm /mnt/ballast && sudo umount /mnt", ground.patience(60))
        .map(drop)
}

/// One bit in the registry's copy of the root image.
fn damage_blob(ground: &Ground, image: &Built) -> Result<()> {
    let bytes = fs::read(image.folder.join("build/manifest.json")).context("cannot read a manifest")?;
    let manifest = edge_slot_image::signing::parse_manifest(&bytes)?;
    let digest = edge_model::ids::to_hex(&manifest.root.blob.digest.0);
    let blob: PathBuf = ground
        .lab
        .work()
        .join("registry/content/docker/registry/v2/blobs/sha256")
        .join(&digest[..2])
        .join(&digest)
        .join("data");
    let file = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(&blob)
        .context("cannot open the registry's blob")?;
    let at = manifest.root.blob.size / 2;
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).context("cannot read the registry's blob")?;
    file.write_all_at(&[byte[0] ^ 1], at).context("cannot damage the registry's blob")
}

/// A registry of its own is killed in the middle of the download and comes back: the upgrade goes on.
fn survive_registry_that_dies(ground: &Ground, ssh: &Ssh<'_>) -> Result<()> {
    let registry = Registry::start(&ground.lab)?;
    let port = registry.port();
    let command = format!("sudo edge-agent upgrade oci:{} --plain-http", registry.guest_reference("5.0.3"));
    let killer = std::thread::spawn({
        let (lab, delay) = (ground.lab.clone(), ground.patience(1).mul_f64(4.0));
        move || {
            std::thread::sleep(delay);
            drop(registry);
            std::thread::sleep(Duration::from_secs(3));
            // Bound to this thread it would end with it.
            Registry::start_independent(&lab, port)
        }
    });
    let answer = ssh.run(&command, ground.patience(240));
    let revived = killer.join().map_err(|_| Error::internal("the registry's thread ended"))??;
    let answer = answer?;
    drop(revived);
    ensure(answer.contains("is ready in slot b"), || format!("the upgrade did not go on: {answer}"))
}
