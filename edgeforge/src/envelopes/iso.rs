//! The installer ISO: one hybrid file for CD, USB stick and HTTP boot.

use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use edge_host::child::Child;
use edge_model::cmdline::Mode;
use edge_model::layout::{TYPE_ESP, TYPE_LINUX};
use edge_model::{Context, Result, paths};

use super::content::size_of;
use super::{DEADLINE, Parts};
use crate::clock;
use crate::fat::Fat;

const VOLUME_LABEL: &str = "EDGE_INSTALL";
/// Bytes a second that the slowest disk is expected to take.
const SLOWEST_DISK: u64 = 10_000_000;

/// Writes the installer ISO.
///
/// # Errors
/// When a tool fails.
pub(super) fn write(parts: &Parts<'_>, output: &Path) -> Result<()> {
    let esp = parts.scratch.join("esp.img");
    let conf = parts.write_scratch("loader.conf", b"timeout 0\neditor no\n")?;
    let uki = parts.image.uki(Mode::Live);
    let files = vec![
        (paths::ESP_LOADER_FALLBACK.to_owned(), parts.loader.to_owned()),
        (format!("{}/edge-live.efi", paths::ESP_UKI_DIR), uki),
        (paths::ESP_LOADER_CONF.to_owned(), conf),
    ];
    let (size, id, modified) = (Fat::size_for(&files)?, parts.volume_id("live esp"), parts.created());
    Fat { size, label: None, id, modified, files }.write(parts.tools, &esp)?;
    let tree = parts.scratch.join("iso");
    fill_iso_tree(parts, &tree)?;
    let stamp = clock::xorriso_stamp(parts.created())?;
    let xorriso = Child::new("xorriso")
        .env("SOURCE_DATE_EPOCH", parts.created().to_string())
        .env("TZ", "UTC")
        .args(["-as", "mkisofs", "-quiet", "-volid", VOLUME_LABEL, "-r"])
        .arg(format!("--modification-date={stamp}"))
        .args(["--set_all_file_dates", &stamp])
        .args(["--gpt_disk_guid", &parts.guid("medium").to_string()])
        .arg("-o")
        .arg(output)
        .args(["-append_partition", "2", TYPE_ESP])
        .arg(&esp)
        .args(["-append_partition", "3", TYPE_LINUX])
        .arg(parts.root.image())
        .args(["-appended_part_as_gpt", "-partition_offset", "16"])
        .args(["-e", "--interval:appended_partition_2:all::", "-no-emul-boot"])
        .arg(&tree);
    add_content(parts, xorriso)?.run().map(drop)
}

/// Bundles have gigabytes: xorriso reads them where they are, and cuts the parts itself.
fn add_content(parts: &Parts<'_>, mut xorriso: Child) -> Result<Child> {
    let content = parts.content;
    let mut tools = parts.tools.clone();
    for folder in content.folders() {
        tools = tools.share(folder);
    }
    if !content.files().is_empty() {
        xorriso = xorriso.arg("--");
        for file in content.files() {
            let place = format!("/{}", file.path);
            xorriso = match file.range {
                None => xorriso.arg("-map").arg(&file.source).arg(place),
                Some((start, length)) => xorriso.arg("-cut_out").arg(&file.source).args([
                    start.to_string(),
                    length.to_string(),
                    place,
                ]),
            };
        }
        // Owners and modes as `-r` gives them to everything else.
        xorriso = xorriso.args(["-find", "/", "-exec", "mkisofs_r", "--"]);
    }
    let size = content.sources().map(|(_, source)| size_of(source)).sum::<Result<u64>>()?;
    let patience = DEADLINE + Duration::from_secs(size / SLOWEST_DISK);
    xorriso.deadline(patience).inside(&tools)
}

fn fill_iso_tree(parts: &Parts<'_>, tree: &Path) -> Result<()> {
    let put = |name: &str, bytes: &[u8]| {
        let path = tree.join(name);
        let folder = path.parent().unwrap_or(tree);
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(&path, bytes))
            .with_context(|| format!("cannot write {}", path.display()))
    };
    for (path, source) in &parts.project.medium_overlay {
        let target = tree.join(path);
        // Not `fs::copy`: it would keep a mode in which what follows cannot replace the file.
        fs::create_dir_all(target.parent().unwrap_or(tree))
            .and_then(|()| std::io::copy(&mut File::open(source)?, &mut File::create(&target)?))
            .with_context(|| format!("cannot copy {}", source.display()))?;
    }
    put(paths::MEDIUM_USER_DATA, parts.project.user_data.as_bytes())?;
    put(paths::MEDIUM_UNATTENDED, parts.project.unattended.as_bytes())?;
    put(paths::MEDIUM_MANIFEST, &parts.image.manifest_bytes)?;
    if let Some(signature) = &parts.image.signature {
        put(paths::MEDIUM_SIGNATURE, signature)?;
    }
    put(paths::MEDIUM_ID, format!("{}\n", parts.installation_id()?.0).as_bytes())?;
    for (mode, name) in [(Mode::Main, paths::MEDIUM_UKI_MAIN), (Mode::Recovery, paths::MEDIUM_UKI_RECOVERY)] {
        put(name, &fs::read(parts.image.uki(mode)).context("cannot read a UKI")?)?;
    }
    Ok(())
}
