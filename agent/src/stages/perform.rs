//! Carrying out single actions of steps.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use edge_host::child::Child;
use edge_host::{files, placed};
use edge_model::user_data::stages::{Dns, Git, UnitOverride};
use edge_model::{Error, Result};
use edge_planner::stages::{Action, Owner};

use super::{Runner, accounts, datasource, fetch};
use crate::host_state::{change_accounts, write_host_name};

const FILE_MODE: u32 = 0o644;
/// Largest file of variables, in bytes.
const ENVIRONMENT_LIMIT: u64 = 1 << 20;
/// Largest file that a step unpacks, in bytes.
const UNPACKED_LIMIT: u64 = 64 << 20;

impl Runner<'_> {
    pub(super) fn perform(&self, action: &Action) -> Result<()> {
        match action {
            Action::Command(command) => self.shell(command).map(|said| {
                if !said.is_empty() {
                    tracing::info!("{said}");
                }
            }),
            Action::File { path, mode, owner, content, encoding } => {
                let bytes = decode(content, encoding.as_deref())?;
                write_file(Path::new(path), &bytes, *mode, owner)
            }
            Action::Directory { path, mode, owner } => {
                placed::make_folder(Path::new(path), *mode, who(owner)?)
            }
            Action::Download { download, mode, owner } => {
                let timeout =
                    download.timeout.map_or(fetch::TIMEOUT, Duration::from_secs).min(self.patience());
                let bytes = fetch::get(&download.url, timeout, self.network())?;
                write_file(&download_target(&download.path, &download.url), &bytes, *mode, owner)
            }
            Action::Git(git) => self.check_out(git),
            Action::Dns(dns) => self.dns(dns),
            Action::EnsureEntity { path, entity } => accounts::ensure_entity(path.as_deref(), entity),
            Action::DeleteEntity { path, entity } => accounts::delete_entity(path.as_deref(), entity),
            Action::HostName(name) => write_host_name(name),
            Action::Sysctl { key, value } => edge_host::kernel::set_parameter(key, value),
            Action::User { name, user } => accounts::ensure(name, user, &|keys| self.fetch_keys(keys)),
            Action::AuthorizedKeys { user, keys } => {
                accounts::authorize(user, keys, &|keys| self.fetch_keys(keys))
            }
            // Parameters may follow the name.
            Action::Module(words) => Child::new("modprobe")
                .args(words.split_whitespace())
                .deadline(self.patience())
                .run()
                .map(drop),
            Action::Timesyncd(settings) => {
                // A later step adds to what an earlier one has said.
                let path = "/run/systemd/timesyncd.conf.d/60-stage.conf";
                let known = files::read_text_if_there(Path::new(path))?.unwrap_or_default();
                let key_of = |line: &str| line.split_once('=').map(|(key, _)| key.to_owned());
                let kept = known.lines().filter_map(|line| Some((key_of(line)?, line.to_owned())));
                let mut lines: BTreeMap<String, String> = kept.collect();
                lines.extend(settings.iter().map(|(key, value)| (key.clone(), format!("{key}={value}"))));
                let lines: Vec<String> = lines.into_values().collect();
                write_text(path, &format!("[Time]\n{}\n", lines.join("\n")))?;
                self.reload("systemd-timesyncd.service")
            }
            Action::Unit { verb, unit } => self.unit(verb, unit),
            Action::UnitOverride(unit) => self.override_unit(unit),
            Action::Environment { file, variables } => merge_environment(Path::new(file), variables),
            Action::DataSource(source) => datasource::pull(source),
            Action::NotYet(key) => {
                tracing::warn!("`{key}` is accepted and not yet acted on");
                Ok(())
            }
        }
    }

    fn fetch_keys(&self, sources: &[String]) -> Result<Vec<String>> {
        fetch::ssh_keys(sources, self.network())
    }

    fn is_early(&self) -> bool {
        self.moment.early.is_some()
    }

    /// Has a service read its configuration again, if it runs.
    fn reload(&self, unit: &str) -> Result<()> {
        if self.is_early() {
            return Ok(());
        }
        Child::new("systemctl").args(["try-reload-or-restart", unit]).run().map(drop)
    }

    fn unit(&self, verb: &str, unit: &str) -> Result<()> {
        match (verb, self.is_early()) {
            ("start", true) => {
                Err(Error::rejected("no service can be started before the service manager runs")
                    .help("use the stage boot"))
            }
            ("start", false) => Child::new("systemctl").args(["--no-block", "start", unit]).run().map(drop),
            // Without a service manager, links are made where it will look for them.
            (verb, true) => Child::new("systemctl").args(["--root=/", verb, unit]).run().map(drop),
            (verb, false) => Child::new("systemctl").args([verb, unit]).run().map(drop),
        }
    }

    fn override_unit(&self, unit: &UnitOverride) -> Result<()> {
        let service = if unit.service.contains('.') {
            unit.service.clone()
        } else {
            format!("{}.service", unit.service)
        };
        if service.contains('/') {
            return Err(Error::invalid(format!("{service:?} is not the name of a unit")));
        }
        let name = unit.name.clone().unwrap_or_else(|| "override-yip.conf".into());
        let name = if name.ends_with(".conf") { name } else { format!("{name}.conf") };
        write_text(&format!("/etc/systemd/system/{service}.d/{}", name.replace('/', "-")), &unit.content)?;
        if self.is_early() { Ok(()) } else { Child::new("systemctl").arg("daemon-reload").run().map(drop) }
    }

    fn dns(&self, dns: &Dns) -> Result<()> {
        if let Some(path) = &dns.path {
            let mut text = String::new();
            dns.nameservers.iter().for_each(|server| text.push_str(&format!("nameserver {server}\n")));
            if !dns.search.is_empty() {
                text.push_str(&format!("search {}\n", dns.search.join(" ")));
            }
            if !dns.options.is_empty() {
                text.push_str(&format!("options {}\n", dns.options.join(" ")));
            }
            return write_text(path, &text);
        }
        let text =
            format!("[Resolve]\nDNS={}\nDomains={}\n", dns.nameservers.join(" "), dns.search.join(" "));
        write_text("/run/systemd/resolved.conf.d/60-stage.conf", &text)?;
        self.reload("systemd-resolved.service")
    }

    /// Clones, or brings up to date what was cloned before.
    fn check_out(&self, git: &Git) -> Result<()> {
        if git.auth.is_some() {
            return Err(
                Error::rejected("git with credentials is not supported yet").help("fetch with a command")
            );
        }
        let target = Path::new(&git.path);
        // git writes there as root, and runs what it finds in `.git`.
        placed::check_folders_are_roots(&target.join(".git"))?;
        let run =
            |arguments: &[&str]| Child::new("git").args(arguments).deadline(self.patience()).run().map(drop);
        if target.join(".git").exists() {
            return run(&["-C", &git.path, "pull", "--ff-only"]);
        }
        let mut arguments = vec!["clone", "--depth", "1"];
        if let Some(branch) = &git.branch {
            arguments.extend(["--branch", branch]);
        }
        arguments.extend([git.url.as_str(), git.path.as_str()]);
        run(&arguments)
    }
}

/// Into a folder goes a file with the name that the address ends with.
fn download_target(path: &str, url: &str) -> PathBuf {
    let target = Path::new(path);
    if !(path.ends_with('/') || target.is_dir()) {
        return target.to_owned();
    }
    let address = url.split(['?', '#']).next().unwrap_or_default();
    let name = address.rsplit('/').next().filter(|name| !name.is_empty() && *name != ".." && *name != ".");
    target.join(name.unwrap_or("download"))
}

fn write_text(path: &str, text: &str) -> Result<()> {
    write_file(Path::new(path), text.as_bytes(), None, &Owner::default())
}

fn decode(content: &str, encoding: Option<&str>) -> Result<Vec<u8>> {
    let base64 = |text: &str| {
        let packed: String = text.split_whitespace().collect();
        data_encoding::BASE64
            .decode(packed.as_bytes())
            .map_err(|error| Error::invalid(format!("the content is not base64: {error}")))
    };
    let unpack = |bytes: &[u8]| {
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(bytes)
            .take(UNPACKED_LIMIT + 1)
            .read_to_end(&mut unpacked)
            .map_err(|error| Error::invalid(format!("the content is not gzip: {error}")))?;
        if unpacked.len() as u64 > UNPACKED_LIMIT {
            return Err(Error::invalid(format!("the content unpacks to more than {UNPACKED_LIMIT} bytes")));
        }
        Ok(unpacked)
    };
    match encoding.unwrap_or_default() {
        "" => Ok(content.as_bytes().to_vec()),
        "b64" | "base64" => base64(content),
        "gz" | "gzip" => unpack(content.as_bytes()),
        _ => unpack(&base64(content)?),
    }
}

/// Writes a file as a whole; one that has the content already is left alone.
fn write_file(path: &Path, bytes: &[u8], mode: Option<u32>, owner: &Owner) -> Result<()> {
    placed::write(path, bytes, mode.unwrap_or(FILE_MODE), who(owner)?)
}

/// By default root.
fn who(owner: &Owner) -> Result<placed::Owner> {
    let (uid, gid) = match &owner.names {
        Some(names) => owner_by_name(names)?,
        None => (owner.user.unwrap_or(0), owner.group.unwrap_or(0)),
    };
    Ok(placed::Owner { uid, gid })
}

/// `user:group`, each by name or number.
fn owner_by_name(names: &str) -> Result<(u32, u32)> {
    let (user, group) = names.split_once(':').unwrap_or((names, ""));
    change_accounts(|files| {
        let user_ids = files.ids(user);
        let uid = user.parse().ok().or(user_ids.map(|(uid, _)| uid));
        let gid = if group.is_empty() {
            user_ids.map(|(_, gid)| gid).or(Some(0))
        } else {
            group.parse().ok().or_else(|| files.group_id(group))
        };
        uid.zip(gid)
    })?
    .ok_or_else(|| Error::invalid(format!("there is no owner {names:?} on this host")))
}

/// Sets variables in a file of `KEY=value` lines; other lines stay.
fn merge_environment(path: &Path, variables: &BTreeMap<String, String>) -> Result<()> {
    let bytes = placed::read_if_there(path, placed::Owner::ROOT.uid, ENVIRONMENT_LIMIT)?.unwrap_or_default();
    let text = String::from_utf8(bytes)
        .map_err(|_| Error::invalid(format!("{} is not UTF-8 text", path.display())))?;
    let key_of = |line: &str| line.split_once('=').map(|(key, _)| key.trim().to_owned()).unwrap_or_default();
    let mut lines: Vec<String> =
        text.lines().filter(|line| !variables.contains_key(&key_of(line))).map(str::to_owned).collect();
    for (key, value) in variables {
        let quoted = format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""));
        lines.push(format!("{key}={quoted}"));
    }
    write_file(path, (lines.join("\n") + "\n").as_bytes(), None, &Owner::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_download_to_a_folder_keeps_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().display().to_string();
        assert_eq!(download_target(&place, "https://a.example/x/tool?v=1"), folder.path().join("tool"));
        assert_eq!(download_target("/opt/new/", "https://a.example/tool"), Path::new("/opt/new/tool"));
        assert_eq!(download_target("/opt/new/", "https://a.example/.."), Path::new("/opt/new/download"));
        assert_eq!(download_target("/opt/tool", "https://a.example/x"), Path::new("/opt/tool"));
    }

    #[test]
    fn contents_are_decoded_with_limits() {
        assert_eq!(decode("a", None).unwrap(), b"a");
        assert_eq!(decode("YQ==\n", Some("b64")).unwrap(), b"a");
        assert!(decode("?", Some("base64")).is_err());
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut packed, b"text").unwrap();
        let packed = data_encoding::BASE64.encode(&packed.finish().unwrap());
        assert_eq!(decode(&packed, Some("gz+b64")).unwrap(), b"text");
        assert!(decode("YQ==", Some("gzip+base64")).is_err());
    }
}
