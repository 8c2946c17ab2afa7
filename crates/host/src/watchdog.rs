//! The hardware watchdog: armed before anything can hang, handed on ticking to the service manager.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use edge_model::{Context, Error, Result};

use crate::console;

const DEVICE: &str = "/dev/watchdog0";
/// Why the machine was started, as far as the watchdog knows: flags of its driver.
const BOOT_STATUS: &str = "/sys/class/watchdog/watchdog0/bootstatus";
/// `WDIOF_CARDRESET`: the last start was a reset by the watchdog.
const HAS_RESET: u32 = 0x20;

mod ioctl {
    nix::ioctl_readwrite!(set_timeout, b'W', 6, i32);
}

/// An armed watchdog. Closing it without a word leaves it ticking, which is what is wanted: the service
/// manager opens it again and goes on.
#[derive(Debug)]
pub struct Watchdog(Option<File>);

impl Watchdog {
    /// Arms the first watchdog of the machine; `None` when it has none.
    ///
    /// # Errors
    /// When there is one that cannot be armed.
    pub fn arm(timeout: Duration) -> Result<Option<Self>> {
        if !Path::new(DEVICE).exists() {
            return Ok(None);
        }
        let file = OpenOptions::new().write(true).open(DEVICE).context("cannot open the watchdog")?;
        let watchdog = Self(Some(file));
        watchdog.set_timeout(timeout)?;
        Ok(Some(watchdog))
    }

    #[allow(unsafe_code)]
    fn set_timeout(&self, timeout: Duration) -> Result<()> {
        use std::os::fd::AsRawFd;
        let Some(device) = &self.0 else { return Ok(()) };
        let mut seconds = i32::try_from(timeout.as_secs()).unwrap_or(i32::MAX);
        // SAFETY: WDIOC_SETTIMEOUT reads and writes one integer, which lives until the call returns.
        unsafe { ioctl::set_timeout(device.as_raw_fd(), &mut seconds) }
            .map_err(|error| Error::environment(format!("cannot set the watchdog's time: {error}")))?;
        Ok(())
    }

    /// Starts the time anew.
    ///
    /// # Errors
    /// When the device is gone.
    pub fn feed(&mut self) -> Result<()> {
        match &mut self.0 {
            Some(device) => device.write_all(b"\0").context("cannot reach the watchdog"),
            None => Ok(()),
        }
    }
}

impl Drop for Watchdog {
    /// The kernel would warn on every console that it did not stop.
    fn drop(&mut self) {
        let device = self.0.take();
        console::without_kernel_words(|| drop(device));
    }
}

/// Whether the watchdog says that the machine was started by its reset. Many never say it.
pub fn has_reset_the_machine() -> bool {
    let status = std::fs::read_to_string(BOOT_STATUS).ok();
    status.and_then(|text| text.trim().parse::<u32>().ok()).is_some_and(|flags| flags & HAS_RESET != 0)
}
