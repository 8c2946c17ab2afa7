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
    let (lab, recipe) = (&ground.lab, Recipe::version(&ground.first.version));
    let (one, other) = (&ground.first, images::build_in(lab, &folder, &recipe, &ground.site(), None, true)?);
    ensure(one.root_hash == other.root_hash, || {
        format!("root hashes differ: {} and {}", one.root_hash, other.root_hash)
    })?;
    for suffix in [".iso", ".raw", ".efi", "-recovery.efi", "-live.efi", ".oci.tar"] {
        let name = format!("build/edge-appliance-{}-amd64{suffix}", one.version);
        let digest = |built: &Built| edge_host::files::digest(&built.folder.join(Path::new(&name)));
        ensure(digest(one)? == digest(&other)?, || format!("{name} differs between two builds"))?;
    }
    Ok(())
}
