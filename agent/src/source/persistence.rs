//! Downloads that break are taken up again, and only they: what the disk does wrong is not the network's fault.

use std::io::Read;
use std::time::Duration;

use edge_model::{Error, Result};

/// Seconds before a broken download is taken up again.
pub(crate) const RETRY_PAUSES: [u64; 4] = [1, 3, 9, 20];

/// Why a part of an image did not arrive where it should be.
#[derive(Debug)]
pub(crate) enum Broken {
    /// Trying again may help.
    Download(Error),
    Other(Error),
}

/// Tries until it is done, something else than a download fails, or all pauses were made.
///
/// # Errors
/// The last one.
pub(crate) fn persistently<T>(pauses: &[u64], mut attempt: impl FnMut() -> Result<T, Broken>) -> Result<T> {
    let mut pauses = pauses.iter();
    loop {
        match attempt() {
            Ok(done) => return Ok(done),
            Err(Broken::Other(error)) => return Err(error),
            Err(Broken::Download(error)) => match pauses.next() {
                Some(seconds) => std::thread::sleep(Duration::from_secs(*seconds)),
                // What the registry said has help of its own.
                None if error.help.is_some() => return Err(error),
                None => return Err(error.help("run the upgrade again: it goes on where it stopped")),
            },
        }
    }
}

/// A download that remembers that it broke: whoever copies it reports a file that cannot be written.
pub(crate) struct Watched<R> {
    inner: R,
    broke: Option<String>,
}

impl<R: Read> Watched<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self { inner, broke: None }
    }

    /// Whose fault the failure of a copy was.
    pub(crate) fn blame(&self, failure: Error) -> Broken {
        match &self.broke {
            Some(why) => {
                Broken::Download(Error::environment(why).context("the download of the kernel broke off"))
            }
            None => Broken::Other(failure),
        }
    }
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer);
        if let Err(error) = &read
            && error.kind() != std::io::ErrorKind::Interrupted
        {
            self.broke = Some(error.to_string());
        }
        read
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A fake connection that gives some bytes and ends with an error.
    struct FakeBrokenConnection(usize);

    impl Read for FakeBrokenConnection {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            if self.0 == 0 {
                return Err(std::io::Error::other("connection reset"));
            }
            let length = buffer.len().min(self.0);
            self.0 -= length;
            Ok(length)
        }
    }

    #[test]
    fn a_download_is_tried_again_and_a_full_disk_is_not() {
        let tries = |results: &[bool]| {
            let mut left = results.iter();
            let mut count = 0;
            let done = persistently(&[0, 0], || {
                count += 1;
                match left.next() {
                    Some(true) => Ok(()),
                    Some(false) => Err(Broken::Download(Error::environment("broke off"))),
                    None => Err(Broken::Other(Error::environment("disk full"))),
                }
            });
            (done.is_ok(), count)
        };
        assert_eq!(tries(&[false, false, true]), (true, 3));
        assert_eq!(tries(&[false, false, false, true]), (false, 3));
        assert_eq!(tries(&[]), (false, 1));
    }

    #[test]
    fn a_copy_that_fails_is_blamed_on_what_failed() {
        let mut stream = Watched::new(FakeBrokenConnection(3));
        let copied = std::io::copy(&mut stream, &mut std::io::sink());
        assert!(copied.is_err());
        let Broken::Download(error) = stream.blame(Error::environment("cannot write x.efi")) else {
            panic!("the disk is blamed")
        };
        assert!(error.to_string().contains("the kernel broke off"), "{error}");
        let whole = Watched::new(&b"bytes"[..]);
        assert!(matches!(whole.blame(Error::environment("disk full")), Broken::Other(_)));
    }
}
