//! Starts the web page with what the agent and the service manager have laid out for it.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use edge_local_ui::{App, acceptor, serve};
use edge_model::api::WebSettings;
use edge_model::{Context, Error, Result, error, paths};
use tokio::net::TcpListener;

/// Set by the service manager: a folder with the key and the chain.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", error::render(&error));
            ExitCode::from(error.class.exit_code())
        }
    }
}

fn run() -> Result<()> {
    let folder = std::env::var_os(CREDENTIALS).map(PathBuf::from);
    let folder = folder.ok_or_else(|| {
        Error::environment("there is no key for the web page").help("systemctl start edge-local-ui")
    })?;
    let read = |path: &Path| std::fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let settings: WebSettings = serde_json::from_slice(&read(Path::new(paths::WEB_SETTINGS))?)
        .context("the settings cannot be read")?;
    let (chain, key) = (read(&folder.join("chain.pem"))?, read(&folder.join("key.pem"))?);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(async {
        // Both families; a kernel without IPv6 has the other one alone.
        let both = TcpListener::bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, settings.port))).await;
        let listener = match both {
            Ok(listener) => listener,
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
                return Err(error).with_context(|| format!("cannot listen on port {}", settings.port));
            }
            Err(_) => TcpListener::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, settings.port)))
                .await
                .with_context(|| format!("cannot listen on port {}", settings.port))?,
        };
        let tls = acceptor(&chain, &key)?;
        let app = Arc::new(App::new(Path::new(paths::AGENT_SOCKET), settings, &chain));
        serve(listener, tls, app).await
    })
}
