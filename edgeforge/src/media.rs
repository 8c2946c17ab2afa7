//! What a machine is started from: the installer ISO (as CD and as USB stick) and the raw disk.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::Duration;

use edge_host::child::Child;
use edge_host::gpt::{self, Guid};
use edge_host::sandbox::Sandbox;
use edge_model::cmdline::Mode;
use edge_model::ids::InstallationId;
use edge_model::layout::{MIB, Role, TYPE_ESP, TYPE_LINUX, default_slot_size, minimum_disk};
use edge_model::{Context, Result, paths};
use edge_planner::accounts;
use edge_planner::configuration::{self, Form};
use edge_slot_image::Hasher;

use crate::clock;
use crate::fat::{Fat, place};
use crate::project::Project;
use crate::provider_image::Image;
use crate::root_image::BuiltRoot;

const DEADLINE: Duration = Duration::from_secs(600);
const VOLUME_LABEL: &str = "EDGE_INSTALL";

/// What both media are made from.
pub(crate) struct Parts<'a> {
    pub(crate) project: &'a Project,
    pub(crate) image: &'a Image,
    pub(crate) root: &'a BuiltRoot,
    /// systemd-boot.
    pub(crate) loader: &'a Path,
    pub(crate) tools: &'a Sandbox,
    /// A folder for files on the way.
    pub(crate) scratch: &'a Path,
}

impl Parts<'_> {
    fn created(&self) -> u64 {
        self.image.manifest.created
    }

    /// A number that depends on the image and `purpose` only.
    fn volume_id(&self, purpose: &str) -> u32 {
        let guid = self.guid(purpose).0;
        u32::from_le_bytes([guid[0], guid[1], guid[2], guid[3]])
    }

    fn guid(&self, purpose: &str) -> Guid {
        Guid::derived(format!("{} {purpose}", self.image.manifest.root.root_hash).as_bytes())
    }

    fn write_scratch(&self, name: &str, bytes: &[u8]) -> Result<PathBuf> {
        let path = self.scratch.join(name);
        fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }

    /// The identity of a medium: everything that an installation from it would bring to a host.
    pub(crate) fn installation_id(&self) -> Result<InstallationId> {
        let mut hasher = Hasher::default();
        hasher.update(&self.image.manifest_bytes);
        hasher.update(self.project.user_data.as_bytes());
        hasher.update(b"\0");
        hasher.update(self.project.unattended.as_bytes());
        for (path, source) in &self.project.medium_overlay {
            hasher.update(path.as_bytes());
            hasher.update(&edge_host::files::digest(source)?.0.0);
        }
        Ok(InstallationId(hasher.finish()))
    }
}

/// Writes the installer ISO.
///
/// # Errors
/// When a tool fails.
pub(crate) fn write_iso(parts: &Parts<'_>, output: &Path) -> Result<()> {
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
    Child::new("xorriso")
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
        .arg(&tree)
        .deadline(DEADLINE)
        .inside(parts.tools)?
        .run()
        .map(drop)
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
        put(path, &fs::read(source).with_context(|| format!("cannot read {}", source.display()))?)?;
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

/// Writes a disk as an installation would leave it, for machines that are imaged instead of installed. The
/// host extends the last partition at its first boot.
///
/// # Errors
/// When a tool fails.
pub(crate) fn write_raw(parts: &Parts<'_>, output: &Path) -> Result<()> {
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
    }
    Ok(())
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
        fs::create_dir_all(&content).context("cannot create a folder")?;
        let user_data = paths::OEM_USER_DATA.trim_start_matches("/oem/");
        let text = for_the_host(parts, Form::UserData, "user-data", &parts.project.user_data)?;
        fs::write(content.join(user_data), text).context("cannot write user data")?;
        let answers = content.join(paths::OEM_UNATTENDED.trim_start_matches("/oem/"));
        fs::create_dir_all(answers.parent().unwrap_or(&content)).context("cannot create a folder")?;
        let text = for_the_host(parts, Form::Unattended, "unattended.yaml", &parts.project.unattended)?;
        fs::write(answers, text).context("cannot write the operator's answers")?;
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
        (paths::ESP_LOADER_CONF.into(), conf),
    ])
}

fn recovery_esp_files(parts: &Parts<'_>) -> Result<Vec<(String, PathBuf)>> {
    let name = edge_host::esp::RECOVERY_UKI;
    let conf = parts.write_scratch("recovery-loader.conf", edge_host::esp::loader_conf(name).as_bytes())?;
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
