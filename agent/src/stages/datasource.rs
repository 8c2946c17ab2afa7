//! User data from where clouds and hypervisors put it, as steps with `datasource` ask for it.

use edge_model::paths;
use std::fs;
use std::path::Path;

use edge_host::machine::Machine;
use edge_host::patience::Patience;
use edge_host::{files, volumes};
use edge_model::user_data::stages::{DataSource, Provider};
use edge_model::{Context, Error, Result};

use super::shell;
use crate::configuration::{site, trust};

const TARGET: &str = paths::OEM_DATASOURCE;
const SENTINEL: &str = "/run/.userdata_load";
const SCRIPT_DEADLINE: std::time::Duration = std::time::Duration::from_secs(600);

/// One place where user data may be.
trait Finder {
    /// The user data, if this place has any.
    fn find(&self, source: &DataSource) -> Result<Option<String>>;
}

struct Volume {
    label: &'static str,
    names: &'static [&'static str],
}

impl Finder for Volume {
    fn find(&self, _: &DataSource) -> Result<Option<String>> {
        let found = volumes::read_files(&[self.label], self.names)?;
        Ok(found.into_iter().next().map(|file| file.text))
    }
}

struct LocalFile;

impl Finder for LocalFile {
    fn find(&self, source: &DataSource) -> Result<Option<String>> {
        let path =
            source.path.as_deref().ok_or_else(|| Error::invalid("the provider `file` needs `path`"))?;
        files::read_text_if_there(Path::new(path))
    }
}

fn finder(provider: Provider) -> Option<Box<dyn Finder>> {
    match provider {
        Provider::Cdrom => Some(Box::new(Volume { label: "cidata", names: &["user-data"] })),
        Provider::ConfigDrive => {
            Some(Box::new(Volume { label: "config-2", names: &["openstack/latest/user_data"] }))
        }
        Provider::File => Some(Box::new(LocalFile)),
        // Reached over a network of a cloud; no appliance stands there yet.
        _ => None,
    }
}

/// Looks in the order in which the providers are listed; the first that has something is kept.
pub(super) fn pull(source: &DataSource) -> Result<()> {
    if Path::new(TARGET).exists() {
        return Ok(());
    }
    let closed = site::is_claimed(&Machine::real()) || trust().secure_boot;
    for provider in &source.providers {
        if closed && *provider != Provider::File {
            tracing::warn!("{provider:?} is not read: this host is claimed, or started with Secure Boot");
            continue;
        }
        let Some(finder) = finder(*provider) else {
            tracing::warn!("the provider {provider:?} is not supported yet");
            continue;
        };
        if let Some(text) = finder.find(source)? {
            return keep(&text);
        }
    }
    Ok(())
}

fn keep(text: &str) -> Result<()> {
    // The folder's name says that the user data is complete.
    let folder = Path::new(TARGET).with_extension("part");
    fs::create_dir_all(&folder).context("cannot keep user data")?;
    files::write_durably(&folder.join("userdata"), text.as_bytes(), 0o600)?;
    if text.starts_with("#!") {
        let script = folder.join("userdata");
        shell::run(&format!("sh '{}'", script.display()), &[], &mut Patience::new(SCRIPT_DEADLINE), false)?;
    } else {
        files::write_durably(&folder.join("userdata.yaml"), text.as_bytes(), 0o600)?;
    }
    fs::rename(&folder, TARGET).context("cannot keep user data")?;
    fs::write(SENTINEL, "1").context("cannot write a sentinel")
}
