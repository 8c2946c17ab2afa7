//! One file behind HTTP on the loopback interface, as firmware asks for it.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use edge_model::{Context, Result};

/// Longest request that is read, in bytes.
const REQUEST_LIMIT: u64 = 16 << 10;

/// A server that runs as long as this program.
#[derive(Debug)]
pub struct HttpServer {
    port: u16,
    downloads: Arc<AtomicUsize>,
}

impl HttpServer {
    /// Serves one file, whatever the path of the request.
    ///
    /// # Errors
    /// When there is no free port.
    pub fn start(file: &Path) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("cannot listen for HTTP")?;
        let port = listener.local_addr().context("cannot listen for HTTP")?.port();
        let downloads = Arc::new(AtomicUsize::new(0));
        let (file, counter): (PathBuf, _) = (file.to_owned(), downloads.clone());
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let (file, counter) = (file.clone(), counter.clone());
                // Who hangs up early asks again.
                thread::spawn(move || drop(serve(&connection, &file, &counter)));
            }
        });
        Ok(Self { port, downloads })
    }

    /// The address for a guest: 10.0.2.2 is this machine.
    pub fn guest_url(&self, name: &str) -> String {
        format!("http://10.0.2.2:{}/{name}", self.port)
    }

    /// How often the whole file was sent.
    pub fn downloads(&self) -> usize {
        self.downloads.load(Ordering::Acquire)
    }
}

/// Answers the requests of one connection.
fn serve(connection: &TcpStream, file: &Path, downloads: &AtomicUsize) -> std::io::Result<()> {
    let mut answer = connection;
    let mut requests = BufReader::new(connection);
    loop {
        let mut lines = requests.by_ref().take(REQUEST_LIMIT).lines();
        let Some(request) = lines.next().transpose()? else { return Ok(()) };
        // The headers change nothing; an empty line ends them.
        for line in lines {
            if line?.is_empty() {
                break;
            }
        }
        let mut file = File::open(file)?;
        let size = file.metadata()?.len();
        write!(
            answer,
            "HTTP/1.1 200 OK\r\nContent-Length: {size}\r\nContent-Type: application/octet-stream\r\n\r\n"
        )?;
        if request.starts_with("GET ") {
            std::io::copy(&mut file, &mut answer)?;
            downloads.fetch_add(1, Ordering::AcqRel);
        } else if !request.starts_with("HEAD ") {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_and_get_on_one_connection() {
        let folder = std::env::temp_dir().join(format!("http-server-{}", std::process::id()));
        std::fs::write(&folder, b"content").unwrap();
        let server = HttpServer::start(&folder).unwrap();
        let mut connection = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
        connection.write_all(b"HEAD /x HTTP/1.1\r\nHost: a\r\n\r\nGET /x HTTP/1.1\r\n\r\n").unwrap();
        connection.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        assert_eq!(answer.matches("Content-Length: 7\r\n").count(), 2, "{answer}");
        assert!(answer.ends_with("\r\n\r\ncontent"), "{answer}");
        assert_eq!(server.downloads(), 1);
        std::fs::remove_file(folder).unwrap();
    }
}
