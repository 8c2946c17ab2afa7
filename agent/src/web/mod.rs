//! What the web page needs of the agent: a certificate, and where it listens. The page is a program of its own without rights;
//! it gets its key from the service manager.

mod care;
mod certificate;

use std::path::{Path, PathBuf};

use edge_host::{files, machine::Machine};
use edge_model::api::{WebSettings, WebUi};
use edge_model::{Context, Result, paths};
use edge_planner::host_kind::HostKind;
use serde::{Deserialize, Serialize};

use crate::configuration::Settings;
use crate::facts::Host;
use crate::{clock, facts};

pub(crate) use care::WebCaretaker;
pub(crate) use certificate::{Certificate, moment};

/// Where it listens when nothing is said.
const PORT: u16 = 5080;
/// Minutes without a click after which a login ends.
const IDLE_MINUTES: u64 = 15;

/// Whether this host has a web page.
pub(crate) fn is_wanted(kind: HostKind, settings: &Settings) -> bool {
    let wanted = settings.edge().local_ui.as_ref().and_then(|page| page.enabled).unwrap_or(true);
    // A medium has no accounts: nobody could log in.
    wanted && kind != HostKind::Installer && Path::new(paths::LOCAL_UI_PROGRAM).exists()
}

/// What is served, and with what: another one of these takes a start of the service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Served {
    settings: WebSettings,
    pub(crate) fingerprint: String,
}

impl Served {
    /// Of which nothing is known.
    fn unknown() -> Self {
        let settings = WebSettings {
            port: 0,
            host_name: String::new(),
            host_id: String::new(),
            names: Vec::new(),
            idle_minutes: 0,
        };
        Self { settings, fingerprint: String::new() }
    }

    #[cfg(test)]
    fn of_test(fingerprint: &str) -> Self {
        Self { fingerprint: fingerprint.to_owned(), ..Self::unknown() }
    }

    pub(crate) fn for_people(&self) -> WebUi {
        WebUi {
            url: String::new(),
            port: self.settings.port,
            fingerprint: self.fingerprint.clone(),
            own: true,
        }
    }
}

/// Puts everything where the page's unit finds it, and says what is to be served. The certificate is made where there is none, or
/// the present one does not do any more.
///
/// # Errors
/// When nothing can be written, even in memory.
pub(crate) fn prepare(host: &Host, settings: &Settings) -> Result<Served> {
    let certificate = certificate(host)?;
    let run = Path::new(paths::RUN_WEB);
    std::fs::create_dir_all(run).context("cannot create the web page's folder")?;
    let page = settings.edge().local_ui.clone().unwrap_or_default();
    let settings = WebSettings {
        port: page.port.unwrap_or(PORT),
        host_name: facts::host_name().unwrap_or_default(),
        host_id: facts::host_id(),
        names: page.names.clone().unwrap_or_default(),
        idle_minutes: page.idle_minutes.unwrap_or(IDLE_MINUTES),
    };
    files::write_durably(&run.join("key.pem"), certificate.key.reveal().as_bytes(), 0o600)?;
    files::write_durably(&run.join("chain.pem"), certificate.chain.as_bytes(), 0o644)?;
    let text = serde_json::to_vec(&settings).context("cannot write the web page's settings")?;
    files::write_durably(Path::new(paths::WEB_SETTINGS), &text, 0o644)?;
    Ok(Served { settings, fingerprint: certificate.fingerprint()? })
}

fn certificate(host: &Host) -> Result<Certificate> {
    let facts = edge_planner::web_certificate::Facts {
        host_name: &facts::host_name()?,
        host_id: &facts::host_id(),
        built: built(&host.machine),
        proven_now: clock::is_set().then(facts::now),
    };
    let kept = PathBuf::from(if host.keeps_state() { paths::OEM_WEB } else { paths::RUN_WEB });
    Certificate::prepare(&kept, &facts).or_else(|error| {
        // A page that runs goes on with what it has.
        if Path::new(paths::WEB_ENABLED).exists() {
            return Err(error);
        }
        // A host whose settings cannot be kept has a page all the same, with other digits at each start.
        tracing::warn!("the web page's certificate is of this boot alone: {error}");
        Certificate::prepare(Path::new(paths::RUN_WEB), &facts)
    })
}

/// When the image was built: before that it is certainly not.
pub(crate) fn built(machine: &Machine) -> u64 {
    let path = machine.path(paths::CLOCK_EPOCH);
    let written = files::read_text(&path).ok().and_then(|text| text.trim().parse().ok());
    let modified = || {
        let modified = std::fs::metadata(&path).and_then(|metadata| metadata.modified()).ok()?;
        modified.duration_since(std::time::UNIX_EPOCH).ok().map(|since| since.as_secs())
    };
    written.or_else(modified).unwrap_or_else(facts::now)
}
