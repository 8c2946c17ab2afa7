//! What all pages share.

use std::path::Path;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use edge_client::AsyncClient;
use edge_model::api::{WebSettings, WebUi};

use crate::limits::Limits;
use crate::session::Sessions;
use crate::tls;

pub struct App {
    pub(crate) agent: AsyncClient,
    pub(crate) settings: WebSettings,
    pub(crate) sessions: Sessions,
    pub(crate) limits: Limits,
    /// Streams that are open.
    pub(crate) live: AtomicUsize,
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
            live: AtomicUsize::new(0),
        }
    }

    pub(crate) fn idle(&self) -> Duration {
        Duration::from_secs(self.settings.idle_minutes * 60)
    }
}
