//! Connections: who comes without TLS is sent to it, on the same port, and who does not say what he wants is let go.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode, header};
use edge_model::{Error, Result};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::App;
use crate::limits::{HANDSHAKE, HEADERS, Origin};
use crate::router::router;

/// First byte of a handshake of TLS.
const TLS_HANDSHAKE: u8 = 0x16;
const AFTER_TROUBLE: Duration = Duration::from_millis(200);
/// Who has asked for nothing for so long is let go; what is under way, a stream too, is finished.
const REST: Duration = Duration::from_secs(60);
const BETWEEN_LOOKS: Duration = Duration::from_secs(15);
/// Bytes that may be under way to us before somebody reads them.
const WINDOW_OF_A_STREAM: u32 = 64 << 10;
const WINDOW_OF_ALL: u32 = 256 << 10;
const HEAD: usize = 32 << 10;

/// Which addresses a connection has, and when it asked for something last.
#[derive(Debug, Clone)]
pub(crate) struct Ends {
    pub(crate) browser: IpAddr,
    pub(crate) own: SocketAddr,
    last: Arc<Mutex<Instant>>,
}

impl Ends {
    pub(crate) fn new(browser: IpAddr, own: SocketAddr) -> Self {
        Self { browser: browser.to_canonical(), own, last: Arc::new(Mutex::new(Instant::now())) }
    }

    /// Whose share of everything it takes.
    pub(crate) fn origin(&self) -> Origin {
        Origin::of(self.browser)
    }

    pub(crate) fn asks(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn rests(&self) -> bool {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).elapsed() > REST
    }
}

/// Serves until the process is stopped.
///
/// # Errors
/// Never: what fails is one connection.
pub async fn serve(listener: TcpListener, tls: TlsAcceptor, app: Arc<App>) -> Result<()> {
    let router = router(&app);
    loop {
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                eprintln!("a connection was not taken: {error}");
                tokio::time::sleep(AFTER_TROUBLE).await;
                continue;
            }
        };
        let origin = Origin::of(address.ip());
        let Some(place) = app.limits.place(origin) else { continue };
        let (tls, router) = (tls.clone(), router.clone());
        tokio::spawn(async move {
            // Whoever is at the other end may leave at any time.
            let _ = connection(stream, address.ip(), tls, router).await;
            drop(place);
        });
    }
}

async fn connection(stream: TcpStream, browser: IpAddr, tls: TlsAcceptor, router: Router) -> Result<()> {
    let own = stream.local_addr()?;
    stream.set_nodelay(true)?;
    let mut first = [0];
    let late = |_| Error::environment("the other end says nothing");
    let length = tokio::time::timeout(HANDSHAKE, stream.peek(&mut first)).await.map_err(late)??;
    if length == 0 || first[0] != TLS_HANDSHAKE {
        return to_tls(stream).await;
    }
    let stream = tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await.map_err(late)??;
    let ends = Ends::new(browser, own);
    let service = router.layer(axum::Extension(ends.clone()));
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADERS).max_buf_size(HEAD);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(32)
        .max_header_list_size(16 << 10)
        .initial_stream_window_size(WINDOW_OF_A_STREAM)
        .initial_connection_window_size(WINDOW_OF_ALL)
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(20));
    let served = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    tokio::pin!(served);
    loop {
        tokio::select! {
            ended = served.as_mut() => return ended.map_err(|error| Error::environment(error.to_string())),
            () = tokio::time::sleep(BETWEEN_LOOKS) => {
                if ends.rests() {
                    served.as_mut().graceful_shutdown();
                }
            }
        }
    }
}

/// Somebody has typed the address without `https://`.
async fn to_tls(stream: TcpStream) -> Result<()> {
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS)
        .keep_alive(false)
        .serve_connection(
            TokioIo::new(stream),
            service_fn(async |request| Ok::<_, edge_model::Error>(redirect(&request))),
        );
    served.await.map_err(|error| Error::environment(error.to_string()))
}

fn redirect(request: &Request<Incoming>) -> Response<Body> {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let place =
        host.filter(|host| is_host(host)).map(|host| format!("https://{host}{}", request.uri().path()));
    let answer = match place {
        Some(place) => {
            Response::builder().status(StatusCode::PERMANENT_REDIRECT).header(header::LOCATION, place)
        }
        None => Response::builder().status(StatusCode::BAD_REQUEST),
    };
    answer.body(Body::empty()).unwrap_or_default()
}

/// `host`, `host:port` or `[address]:port`: nothing that could lead anywhere else.
fn is_host(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
    !text.is_empty() && text.len() <= 255 && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_leads_to_the_same_host_or_nowhere() {
        for good in ["192.0.2.17:5080", "[fd00::1]:5080", "till.local"] {
            assert!(is_host(good), "{good}");
        }
        for wrong in ["", "a/b", "a@b", "a b", "a\r\nb", "a?b", &"a".repeat(300)] {
            assert!(!is_host(wrong), "{wrong:?}");
        }
    }
}
