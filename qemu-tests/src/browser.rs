//! The web page of a machine, asked for as a browser does that has clicked the warning away. openssl speaks TLS for it.

use std::time::Duration;

use edge_host::child::Running;
use edge_model::{Error, Result};

use crate::lab::Lab;
use crate::machine::free_port;
use crate::patience::Patience;
use crate::ssh::Ssh;

/// Where the page is, on the host.
const PAGE: &str = "127.0.0.1:5080";
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(500);

/// A browser with one tab.
#[derive(Debug)]
pub struct Browser<'a> {
    lab: &'a Lab,
    port: u16,
    cookie: Option<String>,
    way: Running,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Page {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Page {
    /// Where it leads to.
    pub fn location(&self) -> &str {
        self.header("location")
    }

    fn header(&self, name: &str) -> &str {
        let line = self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        });
        line.unwrap_or_default()
    }

    /// What its forms bring back.
    pub fn token(&self) -> String {
        let rest = self.body.split_once("name=\"token\" value=\"").map(|(_, rest)| rest);
        rest.and_then(|rest| rest.split('"').next()).unwrap_or_default().to_owned()
    }
}

impl<'a> Browser<'a> {
    /// A browser that reaches the page of a machine through its ssh.
    ///
    /// # Errors
    /// When ssh cannot be started.
    pub fn open(ssh: &Ssh<'a>) -> Result<Self> {
        let port = free_port()?;
        let way = ssh.forward_to(port, PAGE)?;
        Ok(Self { lab: ssh.lab, port, cookie: None, way })
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// SHA-256 of the certificate that the page shows, in hex.
    ///
    /// # Errors
    /// When it shows none.
    pub fn fingerprint(&self) -> Result<String> {
        let shown =
            self.lab.tool("openssl")?.args(["s_client", "-connect", &self.address()]).input(Vec::new());
        let shown = shown.deadline(ANSWER_WITHIN).run()?;
        let digest =
            self.lab.tool("openssl")?.args(["x509", "-noout", "-fingerprint", "-sha256"]).input(shown);
        let said = String::from_utf8_lossy(&digest.deadline(ANSWER_WITHIN).run()?).into_owned();
        let (_, digits) =
            said.trim().split_once('=').ok_or_else(|| Error::integrity(format!("openssl said {said}")))?;
        Ok(digits.replace(':', "").to_lowercase())
    }

    /// # Errors
    /// When nothing comes back.
    pub fn get(&mut self, path: &str) -> Result<Page> {
        self.ask("GET", path, "")
    }

    /// Sends a form from our own page.
    ///
    /// # Errors
    /// When nothing comes back.
    pub fn post(&mut self, path: &str, form: &str) -> Result<Page> {
        self.ask("POST", path, form)
    }

    fn ask(&mut self, method: &str, path: &str, form: &str) -> Result<Page> {
        let address = self.address();
        let cookie = self.cookie.as_ref().map(|cookie| format!("Cookie: {cookie}\r\n")).unwrap_or_default();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nSec-Fetch-Site: same-origin\r\n{cookie}\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
            form.len()
        );
        let arguments = ["s_client", "-quiet", "-connect", &address];
        let client = self.lab.tool("openssl")?.args(arguments).input(request.into_bytes());
        // It ends with an error where the other end closes without a farewell; what counts is what came.
        let said = client.deadline(ANSWER_WITHIN).outcome()?;
        let text = String::from_utf8_lossy(&said.stdout).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").ok_or_else(|| {
            Error::environment(format!(
                "the page does not come: {}",
                said.stderr.lines().last().unwrap_or_default()
            ))
        })?;
        let status = head.split_whitespace().nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        let page = Page { status, head: head.to_owned(), body: body.to_owned() };
        let set = page.header("set-cookie").split(';').next().unwrap_or_default();
        if !set.is_empty() {
            self.cookie = Some(set.to_owned());
        }
        Ok(page)
    }

    /// Asks until the answer is as wanted.
    ///
    /// # Errors
    /// What came last, when nothing changes any more.
    pub fn wait_for(&mut self, path: &str, within: Duration, fits: impl Fn(&Page) -> bool) -> Result<Page> {
        let mut patience = Patience::new(within);
        loop {
            let seen = match self.get(path) {
                Ok(page) if fits(&page) => return Ok(page),
                Ok(page) => format!("{} {}", page.status, page.location()),
                Err(error) => error.to_string(),
            };
            if patience.is_over(seen.clone()) {
                return Err(Error::environment(format!(
                    "{path} did not become what it should; last seen: {seen}"
                )));
            }
            std::thread::sleep(POLL);
        }
    }

    /// Begins anew what leads to the machine: a restart has ended it.
    ///
    /// # Errors
    /// When ssh cannot be started.
    pub fn reconnect(&mut self, ssh: &Ssh<'a>) -> Result<()> {
        self.way.kill();
        self.way = ssh.forward_to(self.port, PAGE)?;
        Ok(())
    }
}

impl Drop for Browser<'_> {
    fn drop(&mut self) {
        self.way.kill();
    }
}
