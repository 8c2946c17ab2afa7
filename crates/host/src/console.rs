//! Words for the person in front of the machine, on every console that the kernel uses.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Holds a folder for each terminal that shows the operator's console: the service manager makes it with the program, and
/// removes it with it.
const OWNED: &str = "/run/edge-tui";

/// Says one line on all consoles that show no program: that one tells by itself what has happened. A console that cannot
/// be written to is passed over: there is nobody else to tell.
pub fn say(message: &str) {
    write_everywhere(message, false);
}

/// Like [`say`], on a screen that shows nothing else any more: a program that has ended leaves what it showed.
pub fn say_alone(message: &str) {
    write_everywhere(message, true);
}

fn write_everywhere(message: &str, alone: bool) {
    let active = fs::read_to_string("/sys/class/tty/console/active").unwrap_or_else(|_| "console".into());
    for name in active.split_whitespace().filter(|name| !is_owned(name, Path::new(OWNED))) {
        let opened = OpenOptions::new()
            .write(true)
            .custom_flags((rustix::fs::OFlags::NOCTTY | rustix::fs::OFlags::NONBLOCK).bits() as i32)
            .open(format!("/dev/{name}"));
        if let Ok(mut console) = opened {
            // Clear, and go to the top: https://man7.org/linux/man-pages/man4/console_codes.4.html
            let clear = if alone && is_screen(name) { "\x1b[2J\x1b[H" } else { "" };
            let _ = writeln!(console, "{clear}\r{message}\r");
        }
    }
}

/// A virtual terminal, not a line.
fn is_screen(name: &str) -> bool {
    name.strip_prefix("tty").is_some_and(|number| number.bytes().all(|digit| digit.is_ascii_digit()))
}

/// `tty0` is the virtual terminal that is seen; the console is on the first one.
fn is_owned(name: &str, owned: &Path) -> bool {
    owned.join(if name == "tty0" { "tty1" } else { name }).exists()
}

/// Where the kernel keeps how urgent a message must be to be shown on the consoles. One below the number is shown:
/// <https://docs.kernel.org/core-api/printk-basics.html>
const LEVELS: &str = "/proc/sys/kernel/printk";
/// Only what ends the system.
const EMERGENCIES: &str = "1";

/// Leaves the consoles to us until the machine is off: what the kernel says of an ordinary end means nothing to the person
/// there. What ends the system is shown all the same.
pub fn quiet_kernel() {
    // A kernel that does not let itself be asked says its word.
    let _ = fs::write(LEVELS, EMERGENCIES);
}

/// Does something about which the kernel would say a word on the consoles that means nothing to the person there. It is
/// in the kernel's log all the same.
pub fn without_kernel_words<T>(work: impl FnOnce() -> T) -> T {
    let before = fs::read_to_string(LEVELS).unwrap_or_default();
    let first = before.split_whitespace().next().map(str::to_owned);
    if first.is_some() {
        quiet_kernel();
    }
    let result = work();
    if let Some(level) = first {
        let _ = fs::write(LEVELS, level);
    }
    result
}

/// A mark that changes when somebody types: at the console, or at a terminal over the network. The kernel notes it as the time of
/// a terminal's last reading, in steps of some seconds (`tty_update_time` of Linux). By the wall clock, which may jump: the mark
/// says that something was typed, and not when.
pub fn mark_of_keys() -> Option<SystemTime> {
    let network = std::fs::read_dir("/dev/pts").into_iter().flatten().flatten().map(|entry| entry.path());
    let terminals = std::iter::once(PathBuf::from("/dev/tty1")).chain(network);
    terminals.filter_map(|path| std::fs::metadata(path).ok()?.accessed().ok()).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_screen_of_a_program_is_left_alone() {
        let owned = tempfile::tempdir().unwrap();
        assert!(!is_owned("tty0", owned.path()));
        std::fs::create_dir(owned.path().join("tty1")).unwrap();
        assert!(is_owned("tty0", owned.path()) && is_owned("tty1", owned.path()));
        assert!(!is_owned("ttyS0", owned.path()));
        assert!(is_screen("tty0") && !is_screen("ttyS0") && !is_screen("hvc0"));
    }
}
