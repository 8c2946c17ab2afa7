//! Documents that the kernel command line or user data point to, for the installer.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use edge_host::{files, system_info};
use edge_model::user_data::edge::SiteNetwork;
use edge_model::{Error, Result, paths};
use edge_planner::configuration::{Form, Kind, Source};

use super::{Settings, site, sources};
use crate::stages::fetch;

/// The network of a machine that was just started may take so long.
const PATIENCE: Duration = Duration::from_secs(60);
/// Documents that point to documents that point to documents.
const DEPTH: usize = 4;
const URL_WORDS: [&str; 3] = ["config_url", "kairos.config_url", "cos.setup"];
const UNATTENDED_WORD: &str = "edge.unattended";

/// Fetches everything that the command line and `known` documents point to; [`super::of_medium`] reads it from then on.
///
/// # Errors
/// When one of them cannot be read: it is never as if it were empty.
pub(crate) fn fetch_all(known: &[Source]) -> Result<()> {
    // With Secure Boot the command line may not say where to fetch from, any more than anything else.
    let words = if super::trust().secure_boot { String::new() } else { system_info::kernel_words() };
    let word = |name: &str| {
        words
            .split_whitespace()
            .find_map(|word| word.strip_prefix(name)?.strip_prefix('=').map(str::to_owned))
    };
    let mut network = Settings::from(known, Vec::new()).data.edge.site.network;
    let mut found = Vec::new();
    if let Some(place) = word(UNATTENDED_WORD) {
        let text = read(&place, &network)?;
        found.push(Source {
            kind: Kind::Unattended,
            form: Form::Unattended,
            name: format!("command-line:{place}"),
            text,
        });
    }
    let mut next = URL_WORDS.iter().find_map(|name| word(name));
    if next.is_none() {
        next = Settings::from(known, Vec::new()).data.config_url;
    }
    let mut depth = 0;
    while let Some(url) = next.take() {
        depth += 1;
        if depth > DEPTH {
            return Err(Error::invalid(format!(
                "config_url: more than {DEPTH} documents point to each other"
            )));
        }
        let source =
            Source { kind: Kind::Site, form: Form::UserData, text: read(&url, &network)?, name: url };
        let said = Settings::from(std::slice::from_ref(&source), Vec::new()).data;
        if said.edge.site.network != SiteNetwork::default() {
            network = said.edge.site.network;
        }
        next = said.config_url;
        found.push(source);
    }
    site::store(&found, Path::new(sources::FETCHED))
}

/// A URL, or a path on the medium.
fn read(place: &str, network: &SiteNetwork) -> Result<String> {
    if !place.starts_with("http://") && !place.starts_with("https://") {
        return files::read_text(&Path::new(paths::MEDIUM_MOUNT).join(place.trim_start_matches('/')));
    }
    let end = Instant::now() + PATIENCE;
    loop {
        match fetch::get(place, fetch::TIMEOUT, network) {
            Ok(bytes) => {
                return String::from_utf8(bytes)
                    .map_err(|_| Error::invalid(format!("{place} does not answer with text")));
            }
            Err(error) if Instant::now() >= end => return Err(error),
            Err(_) => sleep(Duration::from_secs(2)),
        }
    }
}
