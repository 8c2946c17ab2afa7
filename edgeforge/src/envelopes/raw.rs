//! The raw disk: what an installation would leave.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};

use edge_host::child::Child;
use edge_host::gpt;
use edge_host::uki_store::{StoredUkis, Which};
use edge_model::cmdline::Mode;
use edge_model::ids::Entry;
use edge_model::layout::{MIB, Role, default_slot_size, minimum_disk};
use edge_model::{Context, Result, paths};
use edge_planner::configuration::{self, Form};
use edge_planner::{accounts, installed};

use super::{DEADLINE, Parts};
use crate::fat::{Fat, place};

/// Writes a disk as an installation would leave it, for machines that are imaged instead of installed. The
/// host extends the last partition at its first boot.
///
/// # Errors
/// When a tool fails.
pub(super) fn write(parts: &Parts<'_>, output: &Path) -> Result<()> {
    let slot_size = default_slot_size(parts.image.manifest.root.size());
    let size = minimum_disk(slot_size);
    File::create(output)
        .and_then(|file| file.set_len(size))
        .with_context(|| format!("cannot create {}", output.display()))?;
    let mut disk =
        OpenOptions::new().read(true).write(true).open(output).context("cannot open the raw disk")?;
    let guid = |role: Option<Role>| {
        Ok(parts
            .guid(&role.map_or_else(|| "disk".to_owned(), |role| format!("partition {}", role.spec().label))))
    };
    let partitions = gpt::write_host_table(&mut disk, size, 512, slot_size, &[], guid)?;
    for partition in &partitions {
        if let Some(image) = partition_image(parts, &partition.label, partition.length)? {
            place(&image, output, partition.start)?;
        }
        if [Role::SlotA, Role::Recovery].iter().any(|role| role.spec().label == partition.label) {
            keep_ukis(parts, output, partition.start, partition.length)?;
        }
    }
    Ok(())
}

/// As an installation does it: the kernels also stand behind their image.
fn keep_ukis(parts: &Parts<'_>, output: &Path, start: u64, length: u64) -> Result<()> {
    let (ukis, blocks) = (&parts.image.manifest.ukis, parts.image.manifest.root.data_blocks);
    let image = parts.image.manifest.root.root_hash;
    let stored = StoredUkis { image, main: ukis.main, recovery: ukis.recovery };
    if !stored.fit(blocks, length) {
        return Ok(());
    }
    let (header_at, header, places) = stored.pieces(blocks);
    for (at, which) in places {
        let mode = if which == Which::Main { Mode::Main } else { Mode::Recovery };
        place(&parts.image.uki(mode), output, start + at)?;
    }
    let disk = OpenOptions::new().write(true).open(output).context("cannot open the raw disk")?;
    disk.write_all_at(&header, start + header_at).context("cannot write the raw disk")
}

/// The content of a partition; `None` for one that stays empty.
fn partition_image(parts: &Parts<'_>, label: &str, length: u64) -> Result<Option<PathBuf>> {
    let image = parts.scratch.join(format!("{label}.img"));
    let is = |role: Role| role.spec().label == label;
    if is(Role::Efi) {
        fat(parts, Role::Efi, length, main_esp_files(parts)?)?.write(parts.tools, &image)?;
    } else if is(Role::EfiRecovery) {
        fat(parts, Role::EfiRecovery, length, recovery_esp_files(parts)?)?.write(parts.tools, &image)?;
    } else if is(Role::Oem) {
        let content = parts.scratch.join("oem");
        let user_data = paths::below_oem(paths::OEM_USER_DATA);
        let text = for_the_host(parts, Form::UserData, "user-data", &parts.project.user_data)?;
        put(&content.join(user_data), &text)?;
        let answers = content.join(paths::below_oem(paths::OEM_UNATTENDED));
        let text = for_the_host(parts, Form::Unattended, "unattended.yaml", &parts.project.unattended)?;
        put(&answers, &text)?;
        let signed = parts.image.signature.is_some();
        let ledger = installed::ledger(&parts.image.manifest, signed, parts.created());
        let (name, bytes) = installed::ledger_file(&ledger).context("cannot write the ledger")?;
        put(&content.join(paths::below_oem(paths::OEM_EDGE)).join(name), &bytes)?;
        if let Some(source) = parts.content.source_of(paths::MEDIUM_CLUSTER) {
            let path = content.join(paths::below_oem(paths::OEM_CLUSTER));
            put(&path, &edge_host::files::read_text(source)?)?;
        }
        ext4(parts, Role::Oem, length, Some(&content), &image)?;
    } else if is(Role::Persistent) {
        ext4(parts, Role::Persistent, length, None, &image)?;
    } else if is(Role::SlotA) || is(Role::Recovery) {
        return Ok(Some(parts.root.image()));
    } else {
        return Ok(None);
    }
    Ok(Some(image))
}

/// A file in a folder, with modes that do not depend on who builds: as an installation leaves them.
fn put(path: &Path, text: impl AsRef<[u8]>) -> Result<()> {
    let context = || format!("cannot write {}", path.display());
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).with_context(context)?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).with_context(context)?;
    fs::write(path, text).with_context(context)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).with_context(context)
}

/// A raw disk is a host already: it keeps no plain password. The salt follows from the image and the password, so
/// that the same inputs give the same bytes.
fn for_the_host(parts: &Parts<'_>, form: Form, name: &str, text: &str) -> Result<String> {
    let root_hash = parts.image.manifest.root.root_hash;
    let mut hash = |plain: &str| {
        let digest = edge_slot_image::sha256(format!("{root_hash} {plain}").as_bytes());
        let mut salt = [0; 12];
        salt.copy_from_slice(&digest.0[..12]);
        accounts::hash_password(plain, &salt)
    };
    configuration::for_the_host(form, name, text, &mut hash)
}

fn fat<'a>(parts: &Parts<'_>, role: Role, size: u64, files: Vec<(String, PathBuf)>) -> Result<Fat<'a>> {
    let id = parts.volume_id(role.spec().label);
    Ok(Fat { size, label: role.spec().fs_label, id, modified: parts.created(), files })
}

fn main_esp_files(parts: &Parts<'_>) -> Result<Vec<(String, PathBuf)>> {
    let name = parts.image.manifest.root.root_hash.uki_name();
    let text = edge_host::esp::loader_conf(&name);
    let conf = parts.write_scratch("main-loader.conf", text.as_bytes())?;
    Ok(vec![
        (paths::ESP_LOADER_MAIN.into(), parts.loader.to_owned()),
        (paths::ESP_LOADER_FALLBACK.into(), parts.loader.to_owned()),
        (format!("{}/{name}", paths::ESP_UKI_DIR), parts.image.uki(Mode::Main)),
        (format!("{}/{}", paths::ESP_UKI_DIR, Entry::recovery_beside()), parts.image.uki(Mode::Recovery)),
        (paths::ESP_LOADER_CONF.into(), conf),
    ])
}

fn recovery_esp_files(parts: &Parts<'_>) -> Result<Vec<(String, PathBuf)>> {
    let name = Entry::recovery();
    let conf =
        parts.write_scratch("recovery-loader.conf", edge_host::esp::loader_conf(name.as_str()).as_bytes())?;
    Ok(vec![
        (paths::ESP_LOADER_RECOVERY.into(), parts.loader.to_owned()),
        (paths::ESP_LOADER_FALLBACK.into(), parts.loader.to_owned()),
        (format!("{}/{name}", paths::ESP_UKI_DIR), parts.image.uki(Mode::Recovery)),
        (paths::ESP_LOADER_CONF.into(), conf),
    ])
}

fn ext4(parts: &Parts<'_>, role: Role, length: u64, content: Option<&Path>, image: &Path) -> Result<()> {
    let uuid = parts.guid(role.spec().label).to_string();
    let mut make = Child::new("mkfs.ext4")
        .env("SOURCE_DATE_EPOCH", parts.created().to_string())
        .env("E2FSPROGS_FAKE_TIME", parts.created().to_string())
        .args(["-q", "-F", "-U", &uuid, "-E"])
        .arg(format!("hash_seed={uuid},root_owner=0:0,lazy_itable_init=1"));
    if let Some(label) = role.spec().fs_label {
        make = make.args(["-L", label]);
    }
    if let Some(content) = content {
        make = make.arg("-d").arg(content);
    }
    make.arg(image).arg(format!("{}m", length / MIB)).deadline(DEADLINE).inside(parts.tools)?.run().map(drop)
}
