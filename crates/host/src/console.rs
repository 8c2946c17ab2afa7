//! Words for the person in front of the machine, on every console that the kernel uses.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

/// Says one line on all consoles. A console that cannot be written to is passed over: there is nobody else
/// to tell.
pub fn say(message: &str) {
    let active = fs::read_to_string("/sys/class/tty/console/active").unwrap_or_else(|_| "console".into());
    for name in active.split_whitespace() {
        let opened = OpenOptions::new()
            .write(true)
            .custom_flags((rustix::fs::OFlags::NOCTTY | rustix::fs::OFlags::NONBLOCK).bits() as i32)
            .open(format!("/dev/{name}"));
        if let Ok(mut console) = opened {
            let _ = writeln!(console, "\r{message}\r");
        }
    }
}
