//! What all pages share.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use edge_client::AsyncClient;
use edge_model::api::{WebSettings, WebUi};

use tokio::sync::Semaphore;

use crate::limits::Limits;
use crate::session::Sessions;
use crate::tls;

/// Of programs that send documents; each may be 2 MiB.
const BODIES: usize = 8;

pub struct App {
    pub(crate) agent: AsyncClient,
    pub(crate) settings: WebSettings,
    pub(crate) sessions: Sessions,
    pub(crate) limits: Limits,
    /// Streams that are open, by session.
    pub(crate) live: Mutex<BTreeMap<String, usize>>,
    /// Requests whose body is held in memory.
    pub(crate) bodies: Semaphore,
    /// First digits of the certificate, as the console shows them.
    pub(crate) digits: String,
}

/// What is in it is logins: nothing of it is printed.
impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("App")
    }
}

impl App {
    pub fn new(agent: &Path, settings: WebSettings, chain: &[u8]) -> Self {
        let page = WebUi {
            url: String::new(),
            port: settings.port,
            fingerprint: tls::fingerprint(chain),
            own: true,
        };
        Self {
            agent: AsyncClient::at(agent),
            digits: page.digits(),
            settings,
            sessions: Sessions::default(),
            limits: Limits::default(),
            live: Mutex::default(),
            bodies: Semaphore::new(BODIES),
        }
    }

    pub(crate) fn idle(&self) -> Duration {
        Duration::from_secs(self.settings.idle_minutes * 60)
    }
}
