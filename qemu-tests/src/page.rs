//! The page of tests and demo, as a browser beside the host asks for it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::thread::sleep;
use std::time::Duration;

use edge_model::{Context, Error, Result};

use crate::patience::Patience;
use crate::serial::Serial;

/// The port of the host at which a pod serves it: `cluster.yaml` of this crate.
pub const PORT: u16 = 30080;
/// What the page says.
pub const TEXT: &str = "This page is served by a pod";
const POLL: Duration = Duration::from_secs(1);
const WITHIN: Duration = Duration::from_secs(20);

/// Fetches the page through a port of this machine.
///
/// # Errors
/// When nobody answers, or something else comes.
pub fn fetch(port: u16) -> Result<String> {
    let context = || "the page does not come";
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, WITHIN).with_context(context)?;
    stream.set_read_timeout(Some(WITHIN)).with_context(context)?;
    stream.write_all(b"GET / HTTP/1.0\r\nHost: page\r\n\r\n").with_context(context)?;
    let mut answer = String::new();
    stream.take(1 << 20).read_to_string(&mut answer).with_context(context)?;
    if answer.starts_with("HTTP/1") && answer.contains(TEXT) {
        return Ok(answer);
    }
    Err(Error::environment(format!("something else came than the page: {:?}", answer.lines().next())))
}

/// Waits for the page of a machine, which shows signs of life meanwhile.
///
/// # Errors
/// The last one of [`fetch`].
pub fn wait_for(port: u16, serial: &Serial, within: Duration) -> Result<()> {
    let mut patience = Patience::new(within);
    while let Err(error) = fetch(port) {
        if patience.is_over(serial.signs()) {
            return Err(error);
        }
        sleep(POLL);
    }
    Ok(())
}
