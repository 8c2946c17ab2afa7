//! The same inputs give the same bytes, whoever builds, where, and with what machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use edge_host::child::Child;
use edge_model::{Context, Result};
use qemu_tests::bench_ground::Ground;
use qemu_tests::images::{self, Built, Recipe};

use super::ensure;

const DEADLINE: Duration = Duration::from_secs(1800);
/// Its cache serves for one build, beside that of everything else.
const CACHE_LIMIT: &str = "EDGEFORGE_CACHE_LIMIT=2G";
/// Made for the build, and removed afterwards.
const USER: &str = "edgeforge-builder";

/// The first image in every form, built again in another folder by an ordinary user with another umask, on one core: first
/// `edgeforge fetch` fills an empty cache by the lock, then nothing has a network.
pub(super) fn two_builds_are_equal(ground: &Ground) -> Result<()> {
    let one = ground.every_envelope()?;
    let other = if is_root()? {
        as_ordinary_user(ground, &one)?
    } else {
        ground.skip("builds-are-reproducible as another user", "only root can become one");
        again(ground, &one)?
    };
    let disks = [".raw", ".raw.zst", ".qcow2", ".vmdk"];
    let others = [".iso", ".efi", "-recovery.efi", "-live.efi", ".oci.tar", ".container.tar"];
    for suffix in disks.into_iter().chain(others) {
        let name = format!("build/edge-appliance-{}-amd64{suffix}", one.version);
        let digest = |folder: &Path| edge_host::files::digest(&folder.join(&name));
        ensure(digest(&one.folder)? == digest(&other)?, || format!("{name} differs between two builds"))?;
    }
    Ok(())
}

fn is_root() -> Result<bool> {
    Ok(Child::new("id").arg("-u").run()?.trim_ascii() == b"0")
}

fn again(ground: &Ground, one: &Built) -> Result<PathBuf> {
    let folder = ground.lab.work().join("builds-are-reproducible").join("another folder");
    fs::create_dir_all(&folder).context("cannot create a folder")?;
    let recipe = Recipe::every_envelope(&one.version, &ground.bundles());
    images::build_in(&ground.lab, &folder, &recipe, &ground.site(), None, true).map(|built| built.folder)
}

fn shell(script: &str) -> Result<()> {
    Child::new("sh").args(["-ec", script]).deadline(DEADLINE).run().map(drop)
}

/// The user gets the programs and the project with its lock. Everything else has to be fetched, or made anew.
fn as_ordinary_user(ground: &Ground, one: &Built) -> Result<PathBuf> {
    let home = PathBuf::from("/var/tmp").join(USER);
    let result = prepare(ground, one, &home).and_then(|project| {
        let (home, path) = (home.display(), project.display());
        let user = format!(
            "setpriv --reuid {USER} --regid {USER} --init-groups --inh-caps=-all \
             env -i PATH=/usr/bin:/bin:/usr/sbin:/sbin HOME={home} TMPDIR={home}/tmp {CACHE_LIMIT}"
        );
        let edgeforge = format!("{home}/dist/edgeforge");
        let fetched = Child::new("sh").args(["-ec", &format!("cd / && {user} {edgeforge} fetch '{path}'")]);
        let said = String::from_utf8_lossy(&fetched.deadline(DEADLINE).run()?).into_owned();
        ensure(said.trim() == "nothing changed", || format!("fetching by the lock changed something: {said}"))?;
        shell(&format!(
            "cd / && umask 077 && unshare --net -- {user} taskset -c 0 {edgeforge} build '{path}' --offline --locked"
        ))
        .map(|()| project)
    });
    let kept = ground.lab.work().join("builds-are-reproducible");
    let moved = result.and_then(|project| {
        fs::create_dir_all(&kept).context("cannot create a folder")?;
        let build = kept.join("build");
        shell(&format!("rm -rf {0} && mv '{1}/build' {0}", build.display(), project.display()))?;
        Ok(kept)
    });
    // The account is the machine's: it goes, however the build ended.
    shell(&format!("userdel {USER}; rm -rf {}", home.display()))?;
    moved
}

fn prepare(ground: &Ground, one: &Built, home: &Path) -> Result<PathBuf> {
    let project = home.join("another folder");
    let quoted = format!("'{}'", project.display());
    let (home, work, dist) = (home.display(), ground.lab.work().display(), ground.root.join("dist"));
    shell(&format!(
        "userdel {USER} 2>/dev/null || true; rm -rf {home}; mkdir -p {home}/tmp {quoted}\n\
         useradd --home-dir {home} --no-create-home {USER}\n\
         grep -q '^{USER}:' /etc/subuid || usermod --add-subuids 300000-365535 --add-subgids 300000-365535 {USER}\n\
         cp -r {dist} {home}/dist\n\
         cp -r {work}/keys {work}/bundles {home}/\n\
         cd {one} && cp -r forge.yaml forge.lock user-data unattended.yaml overlay {quoted}/\n\
         sed -i 's|{work}|{home}|g' {quoted}/forge.yaml {quoted}/forge.lock\n\
         chown -R {USER}:{USER} {home}; chmod 755 {home}",
        dist = dist.display(),
        one = one.folder.display(),
    ))?;
    Ok(project)
}
