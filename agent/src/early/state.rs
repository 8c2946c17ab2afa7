//! Making paths of the read-only root writable, by the plan of [`edge_planner::state_layout`].

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use edge_host::files;
use edge_host::mount::{self, MountFlags};
use edge_model::user_data::install::Install;
use edge_model::{Context, Result, paths};
use edge_planner::host_kind::HostKind;
use edge_planner::state_layout::{StateLayout, StateMount};

/// A second view of the image, below everything that is mounted over it.
const IMAGE: &str = "/run/edge/image";
/// Kairos' place for paths that stages add.
const EXTRA_LAYOUT: &str = "/run/cos/extra-layout.env";
const EPHEMERAL: &str = "/run/overlay";

/// The layout that the image ships, where stages of the root file system may change it.
pub(super) fn publish_layout() -> Result<()> {
    fs::create_dir_all(paths::COS_DIR).context("cannot create /run/cos")?;
    fs::copy(paths::IMAGE_LAYOUT, paths::COS_LAYOUT).map(drop).context("cannot write cos-layout.env")
}

/// The layout of this boot: the image's, with what stages and the configuration add. Additions that cannot be read
/// are left out.
pub(super) fn layout(install: &Install, reasons: &mut Vec<String>) -> Result<StateLayout> {
    let image = files::read_text(Path::new(paths::IMAGE_LAYOUT))?;
    let present = files::read_text(Path::new(paths::COS_LAYOUT)).and_then(|text| StateLayout::parse(&text));
    let mut layout = match present {
        Ok(layout) => layout,
        Err(error) => {
            reasons.push(format!("what a stage wrote to cos-layout.env is not used: {error}"));
            StateLayout::parse(&image)?
        }
    };
    let extra = files::read_text_if_there(Path::new(EXTRA_LAYOUT))?.unwrap_or_default();
    match layout.extend(&extra) {
        Ok(unused) if unused.is_empty() => {}
        Ok(unused) => reasons.push(format!("nothing acts on {} of extra-layout.env", unused.join(", "))),
        Err(error) => reasons.push(format!("what a stage wrote to extra-layout.env is not used: {error}")),
    }
    layout.add_paths(&install.bind_mounts, &install.ephemeral_mounts);
    Ok(layout)
}

pub(super) fn apply(layout: &StateLayout, kind: HostKind) -> Result<()> {
    bind_image()?;
    let options = format!("mode=755,size={}", layout.overlay_size);
    mount::mount("overlay", Path::new(EPHEMERAL), "tmpfs", MountFlags::NODEV | MountFlags::NOSUID, &options)?;
    writable_tmp()?;
    for state in layout.mounts(kind, image_is_empty) {
        apply_one(&state).with_context(|| format!("cannot make {} writable", state.path()))?;
    }
    Ok(())
}

/// Services with a `/tmp` of their own need one to begin with. Debian 13 enables `tmp.mount`, which finds this one in its place; on
/// Debian 12 and Ubuntu nothing else mounts it, and the root is read-only.
fn writable_tmp() -> Result<()> {
    let target = Path::new("/tmp");
    if !target.is_dir() || mount::is_mounted(target) {
        return Ok(());
    }
    // As systemd's tmp.mount has it.
    let options = "mode=1777,size=50%,nr_inodes=1m";
    mount::mount("tmpfs", target, "tmpfs", MountFlags::NODEV | MountFlags::NOSUID, options)
}

/// Without the mounts below `/`: those are not part of the image.
fn bind_image() -> Result<()> {
    fs::create_dir_all(IMAGE).context("cannot create a folder in /run")?;
    mount::bind_one(Path::new("/"), Path::new(IMAGE))
}

fn in_image(path: &str) -> PathBuf {
    Path::new(IMAGE).join(path.trim_start_matches('/'))
}

fn image_is_empty(path: &str) -> bool {
    fs::read_dir(in_image(path)).map_or(true, |mut entries| entries.next().is_none())
}

fn apply_one(state: &StateMount) -> Result<()> {
    let target = Path::new(state.path());
    // A path that the image does not have exists only where its parent is writable already.
    if fs::create_dir_all(target).is_err() {
        return Ok(());
    }
    match state {
        StateMount::Ephemeral(_) => overlay(state, Path::new(EPHEMERAL)),
        StateMount::PersistentOverlay(_) => overlay(state, Path::new(paths::PERSISTENT_STATE)),
        StateMount::PersistentBind(_) => {
            let store = Path::new(paths::PERSISTENT_STATE).join(state.store_name());
            create_like(&store, target)?;
            mount::bind(&store, target)
        }
    }
}

fn overlay(state: &StateMount, base: &Path) -> Result<()> {
    let store = base.join(state.store_name());
    let (upper, work) = (store.join("upper"), store.join("work"));
    let lower = in_image(state.path());
    let target = Path::new(state.path());
    create_like(&upper, target)?;
    fs::create_dir_all(&work).context("cannot create a folder for changes")?;
    let options =
        format!("lowerdir={},upperdir={},workdir={}", lower.display(), upper.display(), work.display());
    mount::mount("overlay", target, "overlay", MountFlags::empty(), &options)
}

/// The top folder of a writable path keeps the owner and mode that the image gives it.
fn create_like(store: &Path, model: &Path) -> Result<()> {
    if store.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(store).with_context(|| format!("cannot create {}", store.display()))?;
    let metadata = fs::metadata(model).with_context(|| format!("cannot look at {}", model.display()))?;
    fs::set_permissions(store, fs::Permissions::from_mode(metadata.mode() & 0o7777))
        .and_then(|()| std::os::unix::fs::chown(store, Some(metadata.uid()), Some(metadata.gid())))
        .with_context(|| format!("cannot prepare {}", store.display()))
}
