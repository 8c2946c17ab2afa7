//! QEMU's control socket.
//!
//! <https://www.qemu.org/docs/master/interop/qmp-spec.html>

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use edge_model::{Context, Error, Result};
use serde_json::{Value, json};

const ANSWER_WITHIN: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub struct Qmp {
    stream: BufReader<UnixStream>,
}

/// A socket has its name a moment before anybody listens there; on a busy machine the moment is long.
fn reach(path: &Path) -> std::io::Result<UnixStream> {
    const PAUSE: Duration = Duration::from_millis(50);
    let started = Instant::now();
    loop {
        match UnixStream::connect(path) {
            Err(error)
                if error.kind() == std::io::ErrorKind::ConnectionRefused
                    && started.elapsed() < ANSWER_WITHIN =>
            {
                std::thread::sleep(PAUSE);
            }
            other => return other,
        }
    }
}

impl Qmp {
    /// # Errors
    /// When the socket does not speak the protocol.
    pub fn connect(path: &Path) -> Result<Self> {
        let stream = reach(path).context("cannot reach the machine's control socket")?;
        stream.set_read_timeout(Some(ANSWER_WITHIN)).context("cannot set a time limit")?;
        let mut qmp = Self { stream: BufReader::new(stream) };
        qmp.read()?; // greeting
        qmp.command("qmp_capabilities", json!({}))?;
        Ok(qmp)
    }

    /// Sends a command and returns its answer; events on the way are passed over.
    ///
    /// # Errors
    /// When QEMU refuses or is gone.
    pub fn command(&mut self, name: &str, arguments: Value) -> Result<Value> {
        let mut line = json!({ "execute": name, "arguments": arguments }).to_string();
        line.push('\n');
        self.stream.get_mut().write_all(line.as_bytes()).context("the machine is gone")?;
        loop {
            let answer = self.read()?;
            if let Some(result) = answer.get("return") {
                return Ok(result.clone());
            }
            if let Some(error) = answer.get("error") {
                return Err(Error::internal(format!("QEMU refuses {name}: {error}")));
            }
        }
    }

    fn read(&mut self) -> Result<Value> {
        let mut line = String::new();
        if self.stream.read_line(&mut line).context("the machine does not answer")? == 0 {
            return Err(Error::environment("the machine is gone"));
        }
        serde_json::from_str(&line).context("QEMU's answer cannot be read")
    }
}
