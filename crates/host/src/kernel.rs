//! Parameters of the running kernel.

use std::fs;
use std::time::Duration;

use edge_model::{Context, Error, Result};

/// Tells the kernel what this host is called.
///
/// # Errors
/// When the kernel refuses.
pub fn set_host_name(name: &str) -> Result<()> {
    rustix::system::sethostname(name.as_bytes())
        .map_err(std::io::Error::from)
        .context("cannot set the host name")
}

/// Release of the running kernel, as `uname -r` says it.
pub fn release() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// Time since power-on.
pub fn up_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Sets a parameter by its sysctl name: `net.ipv4.ip_forward`. Slashes and dots may change places, as in sysctl.
///
/// # Errors
/// When there is no such parameter or the kernel refuses the value.
pub fn set_parameter(key: &str, value: &str) -> Result<()> {
    let path = parameter_path(key)?;
    fs::write(format!("/proc/sys/{path}"), value).with_context(|| format!("cannot set {key}"))
}

/// The separator that comes first separates; the other one is then part of a name, such as that of an interface.
fn parameter_path(key: &str) -> Result<String> {
    let dots_separate = key.chars().find(|character| matches!(character, '.' | '/')) == Some('.');
    let path: String = key
        .chars()
        .map(|character| match character {
            '.' if dots_separate => '/',
            '/' if dots_separate => '.',
            other => other,
        })
        .collect();
    if path.split('/').any(|part| part.is_empty() || part == "..") {
        return Err(Error::invalid(format!("{key:?} is not the name of a kernel parameter")));
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_of_a_parameter_are_understood() {
        for (key, path) in [
            ("net.ipv4.ip_forward", "net/ipv4/ip_forward"),
            ("net/ipv4/ip_forward", "net/ipv4/ip_forward"),
            ("net.ipv4.conf.eth0/7.forwarding", "net/ipv4/conf/eth0.7/forwarding"),
            ("net/ipv4/conf/eth0.7/forwarding", "net/ipv4/conf/eth0.7/forwarding"),
        ] {
            assert_eq!(parameter_path(key).unwrap(), path);
        }
        for wrong in ["../x", "net..x", "", "net/../x"] {
            assert!(parameter_path(wrong).is_err(), "{wrong}");
        }
    }
}
