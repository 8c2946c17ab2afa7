//! The same inputs give the same bytes.

use std::path::Path;

use edge_model::Result;
use qemu_tests::bench_ground::Ground;
use qemu_tests::images::{self, Built, Recipe};

use super::ensure;

/// Two builds, in two folders, without results of earlier builds.
pub(super) fn two_builds_are_equal(ground: &Ground) -> Result<()> {
    let build = |name: &str| -> Result<Built> {
        let folder = ground.lab.work().join("builds-are-reproducible").join(name);
        std::fs::create_dir_all(&folder)?;
        images::build_in(&ground.lab, &folder, &Recipe::version("9.0.0"), &ground.site(), None, true)
    };
    let (one, other) = (build("one")?, build("another folder")?);
    ensure(one.root_hash == other.root_hash, || {
        format!("root hashes differ: {} and {}", one.root_hash, other.root_hash)
    })?;
    for suffix in [".iso", ".raw", ".efi", "-recovery.efi", "-live.efi", ".oci.tar"] {
        let name = format!("build/edge-appliance-9.0.0-amd64{suffix}");
        let digest = |built: &Built| edge_host::files::digest(&built.folder.join(Path::new(&name)));
        ensure(digest(&one)? == digest(&other)?, || format!("{name} differs between two builds"))?;
    }
    Ok(())
}
