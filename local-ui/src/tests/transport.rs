//! Over real connections: TLS, the way to it, and streams.

use std::sync::Arc;
use std::time::Duration;

use edge_model::api::WebSettings;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

use super::fake_agent::FakeAgent;
use crate::{App, acceptor, serve};

async fn served() -> (FakeAgent, std::net::SocketAddr) {
    let agent = FakeAgent::start();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let tls = acceptor(chain.as_bytes(), key.as_bytes()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let settings = WebSettings {
        port: address.port(),
        host_name: "shop-17".into(),
        host_id: "edge-4c4c".into(),
        names: Vec::new(),
        idle_minutes: 15,
    };
    let app = Arc::new(App::new(agent.socket(), settings, chain.as_bytes()));
    tokio::spawn(serve(listener, tls, app));
    (agent, address)
}

async fn said(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    // An end without a farewell of TLS is an end.
    let _ = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut bytes)).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

#[derive(Debug)]
struct AnyCertificate;

/// As a person who clicks the warning away.
impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

async fn over_tls(address: std::net::SocketAddr, request: &str) -> String {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate))
        .with_no_client_auth();
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    said(&mut stream).await
}

#[tokio::test]
async fn a_page_comes_over_tls() {
    let (_agent, address) = served().await;
    let request = format!("GET /login HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    let answer = over_tls(address, &request).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("shop-17"), "{answer}");
    assert!(answer.contains("class=\"digits\""), "the digits are on it: {answer}");
}

#[tokio::test]
async fn whoever_comes_without_tls_is_led_to_it_and_nothing_else_is_said() {
    let (agent, address) = served().await;
    for (host, expected) in [
        (address.to_string(), format!("location: https://{address}/login")),
        ("evil.example/x".to_owned(), "400".to_owned()),
    ] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET /login HTTP/1.1\r\nHost: {host}\r\nCookie: __Host-edge=1\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let answer = said(&mut stream).await;
        assert!(answer.contains(&expected) && !answer.contains("shop-17"), "{answer}");
    }
    assert!(agent.calls().is_empty());
}

#[tokio::test]
async fn whoever_says_nothing_is_let_go() {
    let (_agent, address) = served().await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let begun = std::time::Instant::now();
    assert_eq!(said(&mut stream).await, "");
    assert!(begun.elapsed() < Duration::from_secs(18), "{:?}", begun.elapsed());
}
