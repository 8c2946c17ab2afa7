//! Installing this medium's image on a disk.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use edge_host::block::{self, Disk};
use edge_host::child::Child;
use edge_host::disk::PartitionedDisk;
use edge_host::efivars::Variable;
use edge_host::esp::Esp;
use edge_host::gpt::{self, Guid};
use edge_host::install_record::{self, InstallRecord, InstallState};
use edge_host::machine::Machine;
use edge_host::mount::MountFlags;
use edge_host::slot::{ImageReader, ImageWriter};
use edge_host::uki_store::{StoredUkis, Which};
use edge_host::{files, firmware, sticks, volumes};
use edge_model::api::InstallRequest;
use edge_model::api::installer::{DiskContent, InstallDisk};
use edge_model::ids::{Entry, InstallationId};
use edge_model::layout::{MIB, PARTITIONS, Role};
use edge_model::manifest::{Blob, ImageManifest, Signatures};
use edge_model::user_data::install::FileSystem;
use edge_model::{Context, Error, Result, paths};
use edge_planner::cluster::check;
use edge_planner::configuration::{Source, for_the_host};
use edge_planner::host_kind::HostKind;
use edge_planner::install::{self, DiskFacts, InstallDecision, InstallPlan, PreviousInstallation};
use edge_planner::installed;
use edge_slot_image::signing;

use super::fsck::Kernel;
use super::{Outcome, mend, write_image};
use crate::configuration::{self, Settings, VOLUMES, hash_password, site};
use crate::content;
use crate::facts::{self, Host};
use crate::report::Report;
use crate::stages::{self, Moment, chroot};
use crate::state_file::StateFile;

/// Where the configuration partition of a disk is mounted meanwhile.
pub(super) const TARGET: &str = "/run/edge/target";
const FORMAT_DEADLINE: Duration = Duration::from_secs(300);

/// The medium that the installer runs from.
pub(crate) struct Medium {
    root: PathBuf,
    id: InstallationId,
    pub(super) manifest: ImageManifest,
    pub(super) signed: bool,
    /// The cluster definition that the medium brings, as text.
    cluster: Option<String>,
}

impl Medium {
    /// # Errors
    /// When this is not the live system of a medium, or the medium is damaged.
    pub(crate) fn open(host: &Host) -> Result<Self> {
        if host.kind != HostKind::Installer {
            return Err(Error::rejected("an installation starts from an installation medium")
                .help("boot the machine from the ISO"));
        }
        let root = host.machine.path(paths::MEDIUM_MOUNT);
        let id = files::read_text(&root.join(paths::MEDIUM_ID))?;
        let bytes = files::read(&root.join(paths::MEDIUM_MANIFEST), signing::MANIFEST_LIMIT as u64)?;
        let signature = files::read_text_if_there(&root.join(paths::MEDIUM_SIGNATURE))?;
        let signature: Option<Signatures> = signature
            .map(|text| serde_json::from_str(&text))
            .transpose()
            .context("the medium's signature cannot be read")?;
        let provenance =
            signing::check_signature(&bytes, signature.as_ref(), &facts::trusted_keys(&host.machine)?)?;
        let manifest = signing::parse_manifest(&bytes)?;
        if manifest.root.root_hash != host.record.root_hash {
            return Err(Error::integrity("the medium's manifest belongs to another image"));
        }
        let signed = provenance != signing::Provenance::Unsigned;
        let cluster = files::read_text_if_there(&root.join(paths::MEDIUM_CLUSTER))?;
        if let Some(text) = &cluster {
            // Before any disk is touched: a host that cannot make its cluster is of no use.
            let definition =
                check::parse("cluster.yaml", text).context("the medium's cluster definition is wrong")?;
            let carried = manifest.kubernetes.as_ref().map(|carried| &carried.versions);
            check::fits_versions(&definition, carried)?;
        }
        Ok(Self { root, id: InstallationId(id.trim().parse()?), manifest, signed, cluster })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The kernel of an image, if it is the medium's own.
    pub(super) fn kernel_for(&self, kernel: &Kernel<'_>) -> Option<(Blob, PathBuf)> {
        let ukis = &self.manifest.ukis;
        let (blob, name) = match kernel.which {
            Which::Main => (ukis.main, paths::MEDIUM_UKI_MAIN),
            Which::Recovery => (ukis.recovery, paths::MEDIUM_UKI_RECOVERY),
        };
        let is_ours = kernel.image.root_hash == self.manifest.root.root_hash;
        is_ours.then(|| (blob, self.file(name)))
    }
}

/// Looks at the machine's disks and decides.
///
/// # Errors
/// [`edge_model::Class::Rejected`] when no disk can be taken.
pub(crate) fn plan(host: &Host, request: &InstallRequest) -> Result<InstallDecision> {
    let medium = Medium::open(host)?;
    plan_for(host, &medium, request)
}

/// The machine's disks as a person chooses among them.
///
/// # Errors
/// When this is not the live system of a medium.
pub(crate) fn survey(host: &Host) -> Result<Vec<InstallDisk>> {
    let medium = Medium::open(host)?;
    let needed = medium.manifest.root.size();
    let facts = look_at_all(&host.machine.disks(), &host.record.disk)?;
    Ok(facts
        .into_iter()
        .filter(|disk| !disk.optical && !disk.is_medium)
        .map(|disk| view(disk, needed, &medium.id))
        .collect())
}

fn view(disk: DiskFacts, image_size: u64, medium: &InstallationId) -> InstallDisk {
    let holds = match &disk.installation {
        Some(found) if !found.finished => DiskContent::UnfinishedInstallation,
        Some(found) if found.id == *medium => DiskContent::ThisInstallation,
        Some(_) => DiskContent::OtherInstallation,
        None if disk.has_data => DiskContent::Data,
        None => DiskContent::Nothing,
    };
    InstallDisk {
        unsuitable: install::why_unsuitable(&disk, image_size, medium),
        path: disk.path,
        model: disk.model,
        serial: disk.serial,
        size: disk.size,
        rotational: disk.rotational,
        holds,
    }
}

fn plan_for(host: &Host, medium: &Medium, request: &InstallRequest) -> Result<InstallDecision> {
    let disks = look_at_all(&host.machine.disks(), &host.record.disk)?;
    let request = with_chosen_disk(request)?;
    install::plan(&disks, &request, medium.manifest.root.size(), &medium.id)
}

/// In Kairos a program may say which disk is meant (`script:///path/of/a/program`): the last line that it prints.
fn with_chosen_disk(request: &InstallRequest) -> Result<InstallRequest> {
    const SCRIPT: &str = "script://";
    const DEADLINE: Duration = Duration::from_secs(60);
    let mut request = request.clone();
    let path = request.disk.path.as_deref().and_then(|path| path.strip_prefix(SCRIPT)).map(str::to_owned);
    let Some(path) = path else { return Ok(request) };
    if configuration::trust().secure_boot {
        return Err(Error::rejected("with Secure Boot no program may choose the disk")
            .help("name it in `install.disk`: by id, serial number, model or size"));
    }
    let said = Child::new(&path)
        .deadline(DEADLINE)
        .run()
        .with_context(|| format!("{path} does not say which disk is meant"))?;
    let said = String::from_utf8_lossy(&said);
    let device = said.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default();
    let is_device = edge_model::document::format::check("device-path", device).is_ok();
    if !is_device || !device.starts_with('/') {
        return Err(Error::invalid(format!("{path} says {device:?}, which is no device")));
    }
    request.disk.path = Some(device.to_owned());
    Ok(request)
}

/// The disks of this machine; the installation runs from `medium`.
fn look_at_all(disks: &[Disk], medium: &str) -> Result<Vec<DiskFacts>> {
    let documents = volumes::with_labels(&VOLUMES)?;
    Ok(disks.iter().map(|disk| look_at(disk, medium, &documents)).collect())
}

fn look_at(disk: &Disk, medium: &str, documents: &[(PathBuf, String)]) -> DiskFacts {
    let mut record = None;
    let mut has_data = true;
    if let Ok(mut device) = disk.open() {
        record = InstallRecord::read(&mut device);
        has_data = holds_data(&mut device, disk.size).unwrap_or(true);
    }
    DiskFacts {
        path: disk.path.clone(),
        links: disk.links.clone(),
        size: disk.size,
        model: disk.model.clone(),
        serial: disk.serial.clone(),
        rotational: disk.rotational,
        read_only: disk.read_only,
        optical: disk.optical,
        removable: sticks::is_removable_disk(disk),
        holds_documents: documents.iter().any(|(volume, _)| block::is_of_disk(volume, disk)),
        is_medium: disk.path == medium,
        in_use: block::in_use(disk),
        has_data,
        installation: record.map(|record| PreviousInstallation {
            finished: record.state == InstallState::Installed,
            id: record.id,
        }),
    }
}

/// Whether anything is in the first or last MiB, where every partition table, file system, RAID and volume
/// group leaves its mark.
fn holds_data(device: &mut File, size: u64) -> std::io::Result<bool> {
    const EDGE: u64 = 1 << 20;
    let mut buffer = vec![0; EDGE.min(size) as usize];
    for start in [0, size.saturating_sub(EDGE)] {
        device.seek(SeekFrom::Start(start))?;
        device.read_exact(&mut buffer)?;
        if buffer.iter().any(|byte| *byte != 0) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Installs, or arranges that the disk is booted that this medium has installed before.
///
/// # Errors
/// When no disk can be taken or a step fails. A disk that was begun is recognised and begun again.
pub(crate) fn run(host: &Host, request: &InstallRequest, report: &mut dyn Report) -> Result<Outcome> {
    let medium = Medium::open(host)?;
    match plan_for(host, &medium, request)? {
        InstallDecision::BootDisk(path) => {
            let disk = host.machine.disk(&path)?;
            // Whoever asks at the same time must not write into what is being mended.
            let _lock = disk.disk.lock()?;
            let mended = mend::from_medium(host, &medium, &disk, report)?;
            host.variables().and_then(|variables| firmware::boot_disk_next(variables, &disk)).map_err(
                |error| {
                    let said =
                        if mended.is_empty() { "nothing had to be mended".into() } else { mended.join("; ") };
                    let error =
                        error.context(format!("{path} is not what the firmware starts next ({said})"));
                    error.help("remove the medium, then switch the machine off and on")
                },
            )?;
            let mended =
                if mended.is_empty() { String::new() } else { format!("; mended: {}", mended.join("; ")) };
            Ok(Outcome::restart(format!(
                "{path} was installed from this medium before: it is booted, nothing is wiped{mended}"
            )))
        }
        InstallDecision::Install(plan) => {
            let disk = host
                .machine
                .disks()
                .into_iter()
                .find(|disk| disk.path == plan.disk)
                .ok_or_else(|| Error::environment(format!("{} is gone", plan.disk)))?;
            let _lock = disk.lock()?;
            // Somebody may have installed while we waited for the lock.
            if plan_for(host, &medium, request)? != InstallDecision::Install(plan.clone()) {
                return Err(
                    Error::rejected(format!("{} has changed meanwhile", plan.disk)).help("start again")
                );
            }
            let (sources, problems) = configuration::of_medium();
            // What could be read a moment ago must not be missing from the host.
            Settings::from(&sources, problems).must_be_right()?;
            let left_out = execute(host, &medium, &plan, &disk, &sources, report)?;
            let left_out: String = left_out.iter().map(|error| format!("; {error}")).collect();
            Ok(Outcome::stay(format!(
                "{} {} is installed on {}{left_out}",
                medium.manifest.name, medium.manifest.version, plan.disk
            )))
        }
    }
}

/// Makes a host of a disk, in steps that can be begun again. Gives what of the medium's content was not taken.
///
/// # Errors
/// What refused; the disk is then known as one whose installation has not finished.
pub(super) fn execute(
    host: &Host,
    medium: &Medium,
    plan: &InstallPlan,
    disk: &Disk,
    sources: &[Source],
    report: &mut dyn Report,
) -> Result<Vec<Error>> {
    run_stages(&host.machine, &["kairos-install.pre", "before-install"]);
    report.step(&format!("partitioning {}", disk.path), 0);
    let record = |state| InstallRecord { state, id: medium.id.clone() };
    let disk = partition(&host.machine, disk, plan, &record(InstallState::Installing))?;
    report.step("making file systems", 0);
    make_file_systems(&host.machine, &disk, plan)?;
    let source = ImageReader::open(&host.machine.medium_image()?)?;
    let image = &medium.manifest.root;
    for (role, what) in [(Role::SlotA, "the system"), (Role::Recovery, "the recovery system")] {
        let target = ImageWriter::of_new_disk(&disk, role)?;
        write_image::copy(&source, &target, &image.root_hash, image.data_blocks, what, report)?;
        keep_ukis(medium, &target)?;
    }
    report.step("installing the boot loader", 0);
    fill_main_esp(&host.machine, &disk, medium)?;
    fill_recovery_esp(&host.machine, &disk, medium)?;
    report.step("writing the configuration", 0);
    fill_oem(&host.machine, &disk, medium, sources)?;
    let left_out = bring_content(&host.machine, &disk, medium, report)?;
    run_stage_in_new_image(&host.machine, &disk);
    run_stages(&host.machine, &["after-install"]);
    set_firmware(host, &disk, medium)?;
    host.machine.write_disk(&plan.disk, |device| record(InstallState::Installed).write(device))?;
    run_stages(&host.machine, &["kairos-install.after"]);
    Ok(left_out)
}

/// Stages of the installation. One that fails is recorded; it does not stop the installation.
fn run_stages(machine: &Machine, names: &[&str]) {
    for name in names {
        stages::run(name, &Moment::of_running_system(machine, HostKind::Installer));
    }
}

fn run_stage_in_new_image(machine: &Machine, disk: &PartitionedDisk) {
    let parts = |role| disk.volume(role);
    let run = || -> Result<()> {
        let (image, oem, persistent) = (parts(Role::SlotA)?, parts(Role::Oem)?, parts(Role::Persistent)?);
        let parts = chroot::Parts {
            image: image.content(),
            oem: chroot::Place::Device(oem.content()),
            persistent: chroot::Place::Device(persistent.content()),
        };
        stages::append(machine, &stages::run_in_image(machine, "after-install-chroot", &parts)?);
        Ok(())
    };
    if let Err(error) = run() {
        tracing::warn!("the stage after-install-chroot did not run: {error}");
    }
}

/// The record comes first: should the power fail from here on, the same medium may begin again.
fn partition(
    machine: &Machine,
    disk: &Disk,
    plan: &InstallPlan,
    record: &InstallRecord,
) -> Result<PartitionedDisk> {
    let extra: Vec<(String, u64)> = plan
        .extra_partitions
        .iter()
        .map(|partition| (partition.name.clone(), partition.size.saturating_mul(MIB)))
        .collect();
    let claim = |device: &mut File| record.write(device);
    let place = |device: &mut File| {
        install_record::wipe_around(device, disk.size)?;
        let guid = |_| Guid::random();
        gpt::write_host_table(device, disk.size, disk.logical_sector, plan.slot_size, &extra, guid).map(drop)
    };
    machine.partition(disk, Role::Persistent, &[&claim, &place])
}

fn make_file_systems(machine: &Machine, disk: &PartitionedDisk, plan: &InstallPlan) -> Result<()> {
    make_extra_file_systems(machine, disk, plan)?;
    for role in [Role::Efi, Role::EfiRecovery] {
        let mut format = machine.program("mkfs.vfat").args(["-F", "32"]);
        if let Some(label) = role.spec().fs_label {
            format = format.args(["-n", label]);
        }
        format.arg(disk.volume(role)?.content()).deadline(FORMAT_DEADLINE).run()?;
    }
    for role in [Role::Oem, Role::Persistent] {
        let mut format = machine.program("mkfs.ext4").args(["-q", "-F"]);
        if let Some(label) = role.spec().fs_label {
            format = format.args(["-L", label]);
        }
        format.arg(disk.volume(role)?.content()).deadline(FORMAT_DEADLINE).run()?;
    }
    Ok(())
}

/// The site's own partitions have the numbers behind ours.
fn make_extra_file_systems(machine: &Machine, disk: &PartitionedDisk, plan: &InstallPlan) -> Result<()> {
    for (number, partition) in (PARTITIONS.len() as u32 + 1..).zip(&plan.extra_partitions) {
        let Some(kind) = partition.fs else { continue };
        let (program, label_option, always): (_, _, &[&str]) = match kind {
            FileSystem::Ext2 => ("mkfs.ext2", "-L", &["-q", "-F"]),
            FileSystem::Ext3 => ("mkfs.ext3", "-L", &["-q", "-F"]),
            FileSystem::Ext4 => ("mkfs.ext4", "-L", &["-q", "-F"]),
            FileSystem::Vfat => ("mkfs.vfat", "-n", &[]),
            FileSystem::None | FileSystem::Noformat | FileSystem::Dash => continue,
        };
        let mut format = machine.program(program).args(always);
        if let Some(label) = &partition.label {
            format = format.args([label_option, label]);
        }
        let device = disk.disk.partition(number).ok_or_else(|| {
            Error::environment(format!("the partition {} does not show up", partition.name))
        })?;
        format.arg(device).deadline(FORMAT_DEADLINE).run()?;
    }
    Ok(())
}

/// # Errors
/// When the image has none.
pub(super) fn loader(machine: &Machine) -> Result<Vec<u8>> {
    files::read(&machine.path(paths::IMAGE_SYSTEMD_BOOT), 16 << 20)
}

fn add_uki(esp: &Esp, name: &str, blob: Blob, source: &Path) -> Result<()> {
    let mut file = File::open(source).with_context(|| format!("cannot open {}", source.display()))?;
    esp.add_uki(name, blob, &mut file)
}

/// Behind the image, where nothing that happens to a boot partition reaches them.
///
/// # Errors
/// When the medium or the partition fails.
pub(super) fn keep_ukis(medium: &Medium, target: &ImageWriter) -> Result<()> {
    let (ukis, blocks) = (&medium.manifest.ukis, medium.manifest.root.data_blocks);
    let image = medium.manifest.root.root_hash;
    let stored = StoredUkis { image, main: ukis.main, recovery: ukis.recovery };
    StoredUkis::forget(target, blocks)?;
    if !stored.fit(blocks, target.size()) {
        return Ok(());
    }
    for (which, name) in
        [(Which::Main, paths::MEDIUM_UKI_MAIN), (Which::Recovery, paths::MEDIUM_UKI_RECOVERY)]
    {
        let path = medium.file(name);
        let mut file = File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
        stored.write(target, blocks, which, &mut file)?;
    }
    stored.seal(target, blocks)
}

fn fill_main_esp(machine: &Machine, disk: &PartitionedDisk, medium: &Medium) -> Result<()> {
    let esp = Esp::open(disk, Role::Efi)?;
    let name = medium.manifest.root.root_hash.uki_name();
    add_uki(&esp, &name, medium.manifest.ukis.main, &medium.file(paths::MEDIUM_UKI_MAIN))?;
    esp.install_loader(&loader(machine)?, &[paths::ESP_LOADER_MAIN, paths::ESP_LOADER_FALLBACK])?;
    esp.set_default_entry(&medium.manifest.root.root_hash.entry())?;
    // A second way to recovery, for firmware that does not start another partition's loader.
    add_uki(
        &esp,
        Entry::recovery_beside().as_str(),
        medium.manifest.ukis.recovery,
        &medium.file(paths::MEDIUM_UKI_RECOVERY),
    )?;
    esp.close()
}

fn fill_recovery_esp(machine: &Machine, disk: &PartitionedDisk, medium: &Medium) -> Result<()> {
    let esp = Esp::open(disk, Role::EfiRecovery)?;
    add_uki(
        &esp,
        Entry::recovery().as_str(),
        medium.manifest.ukis.recovery,
        &medium.file(paths::MEDIUM_UKI_RECOVERY),
    )?;
    esp.install_loader(&loader(machine)?, &[paths::ESP_LOADER_RECOVERY, paths::ESP_LOADER_FALLBACK])?;
    esp.set_default_entry(&Entry::recovery())?;
    esp.close()
}

/// User data, the operator's answers and the first ledger.
fn fill_oem(machine: &Machine, disk: &PartitionedDisk, medium: &Medium, sources: &[Source]) -> Result<()> {
    let volume = disk.volume(Role::Oem)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let mount = machine.mount_volume(&volume, TARGET, "ext4", flags)?;
    let below = |path: &str| mount.path().join(paths::below_oem(path));
    let edge = mount.path().join("edge");
    fs::create_dir_all(&edge).context("cannot create a folder on the configuration partition")?;
    for (source, target) in [
        (medium.file(paths::MEDIUM_USER_DATA), paths::OEM_USER_DATA),
        (medium.file(paths::MEDIUM_UNATTENDED), paths::OEM_UNATTENDED),
    ] {
        let name = source.display().to_string();
        for document in sources.iter().filter(|document| document.name == name) {
            let text = for_the_host(document.form, &name, &document.text, &mut hash_password)?;
            files::write_durably(&below(target), text.as_bytes(), 0o600)?;
        }
    }
    if let Some(text) = &medium.cluster {
        files::write_durably(&below(paths::OEM_CLUSTER), text.as_bytes(), 0o600)?;
    }
    // What lay beside the medium belongs to this site: the stick may be gone at the first boot.
    site::store(sources, &below(paths::OEM_SITE))?;
    let ledger = installed::ledger(&medium.manifest, medium.signed, facts::now());
    StateFile::new(&edge).change_or_begin(|fresh| {
        *fresh = ledger;
        Ok(())
    })?;
    mount.close()
}

/// Content bundles of the medium go where the host will look for them: its cluster comes up without any network.
fn bring_content(
    machine: &Machine,
    disk: &PartitionedDisk,
    medium: &Medium,
    report: &mut dyn Report,
) -> Result<Vec<Error>> {
    let folder = medium.file(paths::MEDIUM_CONTENT);
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let volume = disk.volume(Role::Persistent)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let mount = machine.mount_volume(&volume, TARGET, "ext4", flags)?;
    let left_out = content::bring_from_medium(&folder, mount.path(), machine, report)?;
    mount.close()?;
    Ok(left_out)
}

/// Firmware may remember an earlier installation: what it remembers is replaced.
fn set_firmware(host: &Host, disk: &PartitionedDisk, medium: &Medium) -> Result<()> {
    let variables = host.variables()?;
    for stale in
        [Variable::LoaderEntryOneShot, Variable::FallbackEntry, Variable::BootCount, Variable::BootReason]
    {
        variables.remove(stale)?;
    }
    variables.set_entry(Variable::LoaderEntryDefault, &medium.manifest.root.root_hash.entry())?;
    firmware::ensure_entries(variables, disk, None).map(drop)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use edge_model::Class;

    use super::*;

    #[test]
    fn a_program_chooses_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let chosen = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            let mut request = InstallRequest::default();
            request.disk.path = Some(format!("script://{}", path.display()));
            with_chosen_disk(&request).map(|request| request.disk.path)
        };
        assert_eq!(chosen("one", "echo looking; echo /dev/vdb; echo").unwrap(), Some("/dev/vdb".into()));
        assert_eq!(chosen("two", "echo vdb").unwrap_err().class, Class::InvalidInput);
        assert!(chosen("three", "exit 3").unwrap_err().to_string().contains("which disk is meant"));
        let named = InstallRequest::default();
        assert_eq!(with_chosen_disk(&named).unwrap().disk.path, None);
    }
}
