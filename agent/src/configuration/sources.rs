//! Where documents are looked for.

use std::fs;
use std::path::{Path, PathBuf};

use edge_host::disk::PartitionedDisk;
use edge_host::volumes::VolumeFile;
use edge_host::{files, system_info, volumes};
use edge_model::document::{Place, Problem};
use edge_model::layout::Role;
use edge_model::{Error, Result, paths};
use edge_planner::configuration::{Form, Kind, Source};
use edge_planner::host_kind::HostKind;

use super::tried;

/// Labels of volumes that configure a machine, and whose files are looked for on them.
pub(crate) const VOLUMES: [&str; 2] = ["cidata", "EDGEDATA"];
pub(super) const VOLUME_FILES: [&str; 6] =
    ["user-data", "meta-data", "network-config", "user-data.yaml", "network-config.yaml", "unattended.yaml"];
/// Names of credentials in the firmware's strings.
const CREDENTIALS: [(&str, Form, Kind); 2] =
    [("edge.user-data", Form::UserData, Kind::Machine), ("edge.unattended", Form::Unattended, Kind::Machine)];

/// What the installer has fetched over the network.
pub(super) const FETCHED: &str = "/run/edge/fetched";

type Found = (Vec<Source>, Vec<Problem>);

/// The sources of an installed host. Nothing outside the verified image and the host's own partitions is read:
/// what a site brought was copied to `/oem` while the host was not claimed.
pub(crate) fn of_host() -> Found {
    let mut found = (Vec::new(), Vec::new());
    for (folder, kind) in
        [(paths::IMAGE_OEM, Kind::Image), (paths::PLUG_IN_CONFIG, Kind::PlugIn), (paths::OEM, Kind::UserData)]
    {
        for path in documents(Path::new(folder)) {
            read(&path, kind, Form::UserData, &mut found);
        }
    }
    kernel_words(&mut found);
    // What the site brought overrules what was prepared on the medium.
    read(Path::new(paths::OEM_UNATTENDED), Kind::Unattended, Form::Unattended, &mut found);
    for (kind, path) in super::site::documents() {
        let form = form_of(&path);
        read(&path, kind, form, &mut found);
    }
    read(Path::new(paths::OEM_LOCAL), Kind::Local, Form::UserData, &mut found);
    found
}

/// The files that a boot reads.
pub(super) fn paths_of(kind: HostKind) -> Vec<PathBuf> {
    let own = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
    if kind == HostKind::Installer {
        let medium = Path::new(paths::MEDIUM_MOUNT);
        return [paths::MEDIUM_USER_DATA, paths::MEDIUM_UNATTENDED].map(|name| medium.join(name)).into();
    }
    let mut found = own(&[paths::OEM_UNATTENDED, paths::OEM_LOCAL]);
    for folder in [paths::PLUG_IN_CONFIG, paths::OEM] {
        found.extend(documents(Path::new(folder)));
    }
    found.extend(super::site::documents().into_iter().map(|(_, path)| path));
    found
}

/// The sources of an installation medium, and of everything that lies beside it.
pub(crate) fn of_medium() -> Found {
    let mut found = (Vec::new(), Vec::new());
    for path in documents(Path::new(paths::IMAGE_OEM)) {
        read(&path, Kind::Image, Form::UserData, &mut found);
    }
    let medium = Path::new(paths::MEDIUM_MOUNT);
    read(&medium.join(paths::MEDIUM_USER_DATA), Kind::UserData, Form::UserData, &mut found);
    kernel_words(&mut found);
    read(&medium.join(paths::MEDIUM_UNATTENDED), Kind::Unattended, Form::Unattended, &mut found);
    match foreign().and_then(|sources| tried::without_bad(sources, &mut found.1)) {
        Ok(sources) => found.0.extend(sources),
        Err(error) => found.1.push(problem("volumes beside the medium", &error)),
    }
    for (kind, path) in super::site::documents_in(Path::new(FETCHED)) {
        let form = form_of(&path);
        let label = path.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
        match files::read_text(&path) {
            Ok(text) => {
                let name = format!("{label}:{}", file_name(form));
                found.0.push(Source { kind, form, name, text });
            }
            Err(error) => found.1.push(problem(&path.display().to_string(), &error)),
        }
    }
    found
}

/// What lies beside a machine: volumes and firmware strings.
///
/// # Errors
/// When one of them is there and cannot be read.
pub(super) fn foreign() -> Result<Vec<Source>> {
    let mut sources: Vec<Source> =
        volumes::read_files(&VOLUMES, &VOLUME_FILES)?.into_iter().map(of_volume).collect();
    for (credential, form, kind) in CREDENTIALS {
        if let Some(text) = system_info::firmware_credential(credential) {
            sources.push(Source { kind, form, name: format!("SMBIOS:{credential}"), text });
        }
    }
    Ok(sources)
}

/// What somebody put on the host's own boot partition, which every computer can read.
///
/// # Errors
/// When it cannot be mounted or read.
pub(super) fn of_boot_partition(disk: &PartitionedDisk) -> Result<Vec<Source>> {
    let files = volumes::read_volume(disk.volume(Role::Efi)?.content(), "ESP", &VOLUME_FILES)?;
    Ok(files.into_iter().map(of_volume).collect())
}

fn of_volume(file: VolumeFile) -> Source {
    let form = form_of(Path::new(&file.name));
    let kind = if form == Form::Unattended { Kind::Unattended } else { Kind::Site };
    Source { kind, form, name: format!("{}:{}", file.label, file.name), text: file.text }
}

/// The name under which a document of a form is kept.
pub(super) fn file_name(form: Form) -> &'static str {
    match form {
        Form::Unattended => "unattended.yaml",
        Form::MetaData => "meta-data",
        Form::NetworkConfig => "network-config",
        Form::UserData | Form::KernelWords | Form::Forge | Form::Cluster => "user-data",
    }
}

pub(super) fn form_of(path: &Path) -> Form {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    match name.trim_end_matches(".yaml").rsplit(':').next().unwrap_or_default() {
        "unattended" | "edge.unattended" => Form::Unattended,
        "meta-data" => Form::MetaData,
        "network-config" => Form::NetworkConfig,
        _ => Form::UserData,
    }
}

fn kernel_words(found: &mut Found) {
    let name = "kernel command line".to_owned();
    let text = system_info::kernel_words();
    found.0.push(Source { kind: Kind::KernelCommandLine, form: Form::KernelWords, name, text });
}

fn read(path: &Path, kind: Kind, form: Form, found: &mut Found) {
    match files::read_text_if_there(path) {
        Ok(Some(text)) if let Some(problem) = tried::refusal(path, &text) => found.1.push(problem),
        Ok(Some(text)) => found.0.push(Source { kind, form, name: path.display().to_string(), text }),
        Ok(None) => {}
        Err(error) => found.1.push(problem(&path.display().to_string(), &error)),
    }
}

fn problem(name: &str, error: &Error) -> Problem {
    Problem::error(Place::whole(name), "", format!("cannot be read: {error}"))
}

/// The YAML files directly in a folder, by name.
pub(crate) fn documents(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let is_yaml = |path: &PathBuf| {
        path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") && path.is_file()
    };
    let mut found: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(is_yaml).collect();
    found.sort();
    found
}
