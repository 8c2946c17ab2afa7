//! The agent's socket of a machine as a port of ours, and plain HTTP over it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use edge_host::child::Running;
use edge_model::{Context, Error, Result};
use serde_json::Value as Json;

use crate::machine::free_port;
use crate::ssh::Ssh;

const ANSWER_WITHIN: Duration = Duration::from_secs(120);

/// A bridge from a port to the agent's socket. The agent sees the operator's account at the other end.
#[derive(Debug)]
pub struct Tunnel {
    process: Running,
    port: u16,
}

/// An answer of the agent.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub media: String,
    pub body: Vec<u8>,
}

impl Answer {
    /// # Errors
    /// When it is not JSON.
    pub fn json(&self) -> Result<Json> {
        serde_json::from_slice(&self.body)
            .with_context(|| format!("not JSON: {}", String::from_utf8_lossy(&self.body)))
    }
}

impl Tunnel {
    /// # Errors
    /// When ssh does not open the port in time.
    pub fn open(ssh: &Ssh<'_>, within: Duration) -> Result<Self> {
        let port = free_port()?;
        let mut tunnel = Self { process: ssh.forward(port)?, port };
        let end = Instant::now() + within;
        while tunnel.call("GET", "/v1/ping", None, None).is_err() {
            let ended = tunnel.process.ended()?.is_some();
            if Instant::now() > end {
                return Err(Error::environment(format!(
                    "the agent cannot be reached through ssh: {}",
                    ssh.said_about(port)
                )));
            }
            std::thread::sleep(Duration::from_millis(500));
            if ended {
                // A machine that has only just started may have no time for sshd within the patience of one connection.
                tunnel.process = ssh.forward(port)?;
            }
        }
        Ok(tunnel)
    }

    /// One call on a connection of its own.
    ///
    /// # Errors
    /// When no whole answer comes.
    pub fn call(&self, method: &str, path: &str, token: Option<&str>, body: Option<&str>) -> Result<Answer> {
        let body = body.unwrap_or_default();
        let token = token.map_or_else(String::new, |token| format!("authorization: {token}\r\n"));
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: agent\r\nconnection: close\r\n{token}content-length: {}\r\n\r\n{body}",
            body.len()
        );
        let context = "the agent does not answer through ssh";
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).context(context)?;
        stream.set_read_timeout(Some(ANSWER_WITHIN)).context(context)?;
        stream.write_all(request.as_bytes()).context(context)?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).context(context)?;
        parse(&bytes).ok_or_else(|| Error::environment(context))
    }
}

fn parse(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
    let field = |name: &str| {
        head.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim().to_owned())
    };
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let mut body = bytes[end + 4..].to_vec();
    if field("transfer-encoding:").as_deref() == Some("chunked") {
        body = dechunk(&body)?;
    }
    Some(Answer { status, media: field("content-type:").unwrap_or_default(), body })
}

/// <https://www.rfc-editor.org/rfc/rfc9112#section-7.1>
fn dechunk(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    loop {
        let line = bytes.windows(2).position(|window| window == b"\r\n")?;
        let length = usize::from_str_radix(std::str::from_utf8(&bytes[..line]).ok()?.trim(), 16).ok()?;
        if length == 0 {
            return Some(whole);
        }
        whole.extend_from_slice(bytes.get(line + 2..line + 2 + length)?);
        bytes = bytes.get(line + 4 + length..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_whole_or_in_chunks() {
        let plain = parse(b"HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\n\r\n{}").unwrap();
        assert_eq!(
            (plain.status, plain.media.as_str(), plain.body.as_slice()),
            (202, "application/json", &b"{}"[..])
        );
        let chunked =
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
        assert_eq!(parse(chunked).unwrap().body, b"abcde");
        assert!(parse(b"HTTP/1.1 200 OK\r\n").is_none());
    }
}
