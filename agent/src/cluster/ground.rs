//! Steps of a plan on this host: looking and doing.

use std::fs::{self, File};
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use edge_host::child::Child;
use edge_host::machine::Machine;
use edge_host::mount::{self, MountFlags};
use edge_host::{files, kernel, modules, network};
use edge_model::cluster::KubernetesVersions;
use edge_model::ids::RootHash;
use edge_model::{Context, Error, Result, paths};
use edge_planner::cluster::member::{InForce, Member, Opening};
use edge_planner::cluster::{Action, Probe, RenderedFile, StepId, state};
use tokio::runtime::Handle;

use super::authority;
use super::kept::Places;
use super::kube_api::KubeApi;
use super::pass::{Ground, Seen};
use super::store;
use crate::facts;

/// Programs of Kubernetes wait for each other, on slow machines for long; they say themselves when they give up.
const PROGRAM_DEADLINE: Duration = Duration::from_secs(45 * 60);
const START_DEADLINE: Duration = Duration::from_secs(15 * 60);
/// Longer than the runtime's own patience.
const ANSWER_DEADLINE: Duration = Duration::from_secs(60);
/// Manifests are a few kilobytes.
const MEMORY_OPTIONS: &str = "mode=700,size=1m";

/// This host, with the image that runs.
pub(super) struct Host<'a> {
    pub(super) runtime: &'a Handle,
    pub(super) root_hash: RootHash,
    pub(super) versions: KubernetesVersions,
    /// It is neither on trial nor stands in for another one.
    pub(super) stays: bool,
    /// Images that are on this host.
    pub(super) slots: Vec<RootHash>,
    /// Opened when it is first needed, and again after the keys were made.
    pub(super) api: &'a mut Option<KubeApi>,
}

impl Host<'_> {
    fn api(&mut self) -> Result<&mut KubeApi> {
        match self.api {
            Some(api) => Ok(api),
            None => Ok(self.api.insert(KubeApi::open(self.runtime)?)),
        }
    }
}

fn seen(holds: bool) -> Seen {
    if holds { Seen::Holds } else { Seen::NotYet(None) }
}

impl Ground for Host<'_> {
    fn look(&mut self, probe: &Probe) -> Result<Seen> {
        Ok(match probe {
            Probe::Address { interface, address } => {
                let address = address.to_string();
                seen(network::has_address(interface, &address))
            }
            Probe::Files(wanted) => seen(wanted.iter().all(is_written)),
            Probe::Present(paths) => seen(paths.iter().all(|path| is_present(path))),
            Probe::Opened => {
                let member = store::member().load();
                let places = Places::of_host();
                let is_ours = member.opened.as_ref().is_some_and(|opening| *opening == self.opening());
                let is_clean = member.aside.is_none() && places.is_settled(&self.root_hash, &self.slots);
                let is_settled = !self.stays || is_clean;
                seen(is_ours && is_settled && !places.held(&self.root_hash).aside)
            }
            Probe::Unit(unit) => seen(is_active(unit)?),
            Probe::Runtime(unit) if is_active(unit)? => match crictl(&["version"]) {
                Ok(_) => Seen::Holds,
                Err(error) => Seen::NotYet(Some(format!("it does not answer: {error}"))),
            },
            Probe::Runtime(_) => Seen::NotYet(None),
            Probe::Api => match self.api()?.is_ready() {
                Ok(()) => Seen::Holds,
                Err(error) => Seen::NotYet(Some(error.message)),
            },
            Probe::Object { path, pointer, words } => {
                let object = self.api()?.get(path)?;
                let place = object.as_ref().and_then(|object| object.pointer(pointer));
                seen(place.is_some_and(|value| match value.as_str() {
                    Some(text) => text.contains(words.as_str()),
                    None => value.to_string().contains(words.as_str()),
                }))
            }
            Probe::NodeReady(node) => {
                let found = self.api()?.get(&format!("/api/v1/nodes/{node}"))?;
                match found.as_ref().map(state::node_is_ready) {
                    Some(Ok(())) => Seen::Holds,
                    Some(Err(why)) => Seen::NotYet(Some(why)),
                    None => Seen::NotYet(Some("the node has not joined yet".into())),
                }
            }
            Probe::Applied(set) => seen(self.api()?.has_applied(set)?),
        })
    }

    fn act(&mut self, action: &Action) -> Result<()> {
        match action {
            Action::LoadModules(names) => {
                for name in *names {
                    // A kernel may have it built in, and then there is nothing to load. What is really missing shows in
                    // the step that needs it.
                    if let Err(error) = modules::load_by_name(name) {
                        tracing::warn!("{error}");
                    }
                }
                Ok(())
            }
            Action::SetKernel(settings) => {
                settings.iter().try_for_each(|(key, value)| kernel::set_parameter(key, value))
            }
            Action::MakeBridge { name, address, prefix, routes } => {
                network::make_bridge(name, &format!("{address}/{prefix}"), routes)
            }
            Action::Write(wanted) => wanted.iter().try_for_each(write),
            Action::MountMemory(path) => mount_memory(Path::new(path)),
            Action::EmptyFolder(path) => empty_folder(Path::new(path)),
            Action::MakeAuthorities { folder, names, life_days } => {
                let built = crate::web::built(&Machine::real());
                authority::make(Path::new(folder), names, built, *life_days)
            }
            Action::RemoveEmpty(paths) => paths.iter().try_for_each(|path| remove_if_empty(Path::new(path))),
            Action::Run { program, arguments, output } => run(program, arguments, output.as_deref()),
            Action::MoveDurably { from, to, names } => {
                // Access with keys of before is of no use.
                *self.api = None;
                move_durably(Path::new(from), Path::new(to), names)
            }
            Action::RecordOpening
            | Action::KeepData(_)
            | Action::RestoreData(_)
            | Action::TakeBack
            | Action::Settle => self.change_data(action),
            Action::Start(unit) => start(unit),
            Action::Apply(set) => self.api()?.apply(set),
            Action::Refuse(reason) => Err(Error::integrity(*reason)
                .help("restore /etc/kubernetes from a backup, or delete the cluster and make it again")),
        }
    }

    fn done(&mut self, step: StepId) {
        tracing::info!(step = step.name(), "cluster: {}: done", step.name());
    }
}

impl Host<'_> {
    /// What happens to data before it is opened, and who answers for it.
    fn change_data(&self, action: &Action) -> Result<()> {
        match action {
            Action::RecordOpening => {
                let opening = self.opening();
                store::member().change(|member| {
                    member.opened = Some(opening);
                    Ok(())
                })
            }
            Action::KeepData(of) => {
                nothing_runs()?;
                let member = store::member().load();
                Places::of_host().keep(of, in_force(&member, of.root_hash), facts::now())?;
                store::member().change(|member| {
                    member.aside = None;
                    Ok(())
                })
            }
            Action::RestoreData(by) => {
                nothing_runs()?;
                let kept = Places::of_host().restore(&self.root_hash, &by.root_hash)?;
                store::member().change(|member| {
                    // Done again after a cut, the record has the returned definition already.
                    if member.aside.as_ref().is_none_or(|aside| aside.root_hash != by.root_hash) {
                        member.aside = Some(in_force(member, by.root_hash));
                    }
                    member.definition.clone_from(&kept.in_force.definition);
                    member.told.clone_from(&kept.in_force.told);
                    Ok(())
                })
            }
            Action::TakeBack => {
                nothing_runs()?;
                // The record first: what stands aside tells until the end that this is not done.
                store::member().change(|member| {
                    if let Some(aside) = member.aside.take_if(|aside| aside.root_hash == self.root_hash) {
                        (member.definition, member.told) = (aside.definition, aside.told);
                    }
                    Ok(())
                })?;
                Places::of_host().take_back(&self.root_hash)
            }
            Action::Settle if !self.stays => Ok(()),
            Action::Settle => {
                Places::of_host().settle(&self.root_hash, &self.slots)?;
                store::member().change(|member| {
                    member.aside = None;
                    Ok(())
                })
            }
            other => Err(Error::internal(format!("{other:?} changes no data"))),
        }
    }

    fn opening(&self) -> Opening {
        Opening { root_hash: self.root_hash, versions: self.versions.clone() }
    }
}

/// What the record has, as something that belongs to the data of an image.
fn in_force(member: &Member, root_hash: RootHash) -> InForce {
    InForce { root_hash, definition: member.definition.clone(), told: member.told.clone() }
}

/// Data that somebody writes to meanwhile is neither copied nor replaced.
fn nothing_runs() -> Result<()> {
    for unit in ["kubelet.service", "containerd.service"] {
        if is_active(unit)? {
            let what = format!("{unit} runs, and the cluster's data is of another version");
            return Err(Error::environment(what).help("restart the host"));
        }
    }
    Ok(())
}

fn is_written(file: &RenderedFile) -> bool {
    let path = Path::new(&file.path);
    let limit = file.content.len() as u64;
    files::read(path, limit).is_ok_and(|bytes| bytes == file.content.as_bytes())
}

fn is_present(path: &str) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.is_dir() || metadata.len() > 0)
}

/// All of them are in memory: nothing has to reach a disk. A reader sees the old or the new file.
fn write(file: &RenderedFile) -> Result<()> {
    let path = Path::new(&file.path);
    let context = || format!("cannot write {}", file.path);
    let folder = path.parent().ok_or_else(|| Error::internal("a file needs a folder"))?;
    fs::create_dir_all(folder).with_context(context)?;
    // Hidden: kubelet reads every other file in the folder of manifests.
    let part = folder.join(format!(".{}.part", path.file_name().unwrap_or_default().to_string_lossy()));
    fs::write(&part, &file.content)
        .and_then(|()| fs::set_permissions(&part, fs::Permissions::from_mode(file.mode)))
        .and_then(|()| fs::rename(&part, path))
        .with_context(context)
}

fn mount_memory(path: &Path) -> Result<()> {
    if mount::is_mounted(path) {
        return Ok(());
    }
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount::mount("edge-manifests", path, "tmpfs", flags, MEMORY_OPTIONS)
}

fn empty_folder(path: &Path) -> Result<()> {
    let context = || format!("cannot empty {}", path.display());
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(context);
        }
        _ => {}
    }
    fs::create_dir_all(path).with_context(context)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).with_context(context)
}

fn remove_if_empty(path: &Path) -> Result<()> {
    if fs::metadata(path).is_ok_and(|metadata| metadata.len() == 0) {
        fs::remove_file(path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(())
}

fn run(program: &str, arguments: &[String], output: Option<&str>) -> Result<()> {
    let said = Child::new(program).args(arguments).deadline(PROGRAM_DEADLINE).run()?;
    match output {
        None => Ok(()),
        Some(path) => fs::write(path, said)
            .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o600)))
            .with_context(|| format!("cannot write {path}")),
    }
}

/// Keys that have their names after a power cut have their bytes, too.
fn move_durably(from: &Path, to: &Path, names: &[&str]) -> Result<()> {
    sync_below(from)?;
    for name in names {
        let (source, target) = (from.join(name), to.join(name));
        let context = || format!("cannot put {} in its place", target.display());
        if target.is_dir() {
            // An unfinished attempt left it: nothing was ever opened with it.
            fs::remove_dir_all(&target).with_context(context)?;
        }
        fs::rename(&source, &target).with_context(context)?;
        files::sync_folder(to)?;
    }
    Ok(())
}

fn sync_below(folder: &Path) -> Result<()> {
    let context = || format!("cannot flush {}", folder.display());
    for entry in fs::read_dir(folder).with_context(context)? {
        let path = entry.with_context(context)?.path();
        if path.is_dir() {
            sync_below(&path)?;
        } else {
            File::open(&path).and_then(|file| file.sync_all()).with_context(context)?;
        }
    }
    files::sync_folder(folder)
}

fn is_active(unit: &str) -> Result<bool> {
    Ok(Child::new("systemctl").args(["is-active", "--quiet", unit]).outcome()?.status.success())
}

/// Asks the container runtime.
///
/// # Errors
/// When it does not answer in time.
pub(super) fn crictl(arguments: &[&str]) -> Result<Vec<u8>> {
    Child::new("crictl").arg("--timeout=20s").args(arguments).deadline(ANSWER_DEADLINE).run()
}

/// What starts behind the gate finds it open: image and data fit together, or nothing would be started.
fn start(unit: &str) -> Result<()> {
    let gate = Path::new(paths::CLUSTER_OPEN);
    fs::create_dir_all(paths::CLUSTER_RUN).context("cannot create the cluster's folder in /run")?;
    fs::write(gate, "").context("cannot open the cluster's gate")?;
    Child::new("systemctl").args(["start", unit]).deadline(START_DEADLINE).run().map(drop)
}

/// Those that pods can ask, too.
pub(super) fn name_servers() -> Vec<IpAddr> {
    let text = files::read_text(Path::new(paths::RESOLV_CONF)).unwrap_or_default();
    let mut servers: Vec<IpAddr> = Vec::new();
    for line in text.lines() {
        let server =
            line.strip_prefix("nameserver ").and_then(|address| address.trim().parse::<IpAddr>().ok());
        // Pods have a loopback of their own.
        if let Some(server) = server.filter(|server| !server.is_loopback() && !servers.contains(server)) {
            servers.push(server);
        }
    }
    servers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_move_as_a_whole_and_an_unfinished_move_is_made_good() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("new"), folder.path().join("kubernetes"));
        fs::create_dir(&to).unwrap();
        let fill = || {
            empty_folder(&from).unwrap();
            fs::create_dir(from.join("pki")).unwrap();
            fs::write(from.join("pki/ca.crt"), "certificate").unwrap();
            fs::write(from.join("admin.conf"), "access").unwrap();
        };
        fill();
        // Cut in the middle: one name has moved, and everything begins again.
        fs::rename(from.join("admin.conf"), to.join("admin.conf")).unwrap();
        fs::create_dir(to.join("pki")).unwrap();
        fs::write(to.join("pki/old"), "of the attempt before").unwrap();
        fill();
        move_durably(&from, &to, &["admin.conf", "pki"]).unwrap();
        assert!(is_present(&to.join("pki/ca.crt").display().to_string()) && !to.join("pki/old").exists());
        assert_eq!(fs::metadata(&from).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn files_are_the_same_or_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b.json").display().to_string();
        let file = RenderedFile { mode: 0o600, ..RenderedFile::new(&path, "content\n") };
        assert!(!is_written(&file));
        write(&file).unwrap();
        assert!(is_written(&file));
        fs::write(&path, "content\nmore\n").unwrap();
        assert!(!is_written(&file), "longer than it should be");
        write(&file).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!is_present(&folder.path().join("none").display().to_string()));
        fs::write(folder.path().join("empty"), "").unwrap();
        assert!(!is_present(&folder.path().join("empty").display().to_string()));
        remove_if_empty(&folder.path().join("empty")).unwrap();
        assert!(!folder.path().join("empty").exists());
    }
}
