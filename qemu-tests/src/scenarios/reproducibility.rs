//! The same inputs give the same bytes.

use std::path::Path;

use edge_model::Result;
use qemu_tests::bench_ground::Ground;
use qemu_tests::images::{self, Built, Recipe};

use super::ensure;

/// The first image, built again in another folder without results of earlier builds.
pub(super) fn two_builds_are_equal(ground: &Ground) -> Result<()> {
    let folder = ground.lab.work().join("builds-are-reproducible").join("another folder");
    std::fs::create_dir_all(&folder)?;
    let one = ground.every_envelope()?;
    let recipe = Recipe::every_envelope(&one.version, &ground.lab.work().join("bundle.tar.zst"));
    let other = images::build_in(&ground.lab, &folder, &recipe, &ground.site(), None, true)?;
    ensure(one.root_hash == other.root_hash, || {
        format!("root hashes differ: {} and {}", one.root_hash, other.root_hash)
    })?;
    let disks = [".raw", ".raw.zst", ".qcow2", ".vmdk"];
    let others = [".iso", ".efi", "-recovery.efi", "-live.efi", ".oci.tar", ".container.tar"];
    for suffix in disks.into_iter().chain(others) {
        let name = format!("build/edge-appliance-{}-amd64{suffix}", one.version);
        let digest = |built: &Built| edge_host::files::digest(&built.folder.join(Path::new(&name)));
        ensure(digest(&one)? == digest(&other)?, || format!("{name} differs between two builds"))?;
    }
    Ok(())
}
