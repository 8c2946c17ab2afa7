//! The unattended file: the answers of the site operator, as much of them as an installation needs.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::yaml;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Unattended {
    pub interactive: Interactive,
    pub install: Option<InstallAnswers>,
    pub host_name: Option<String>,
    pub operator: Option<Operator>,
    pub network: Vec<Interface>,
}

/// Whether somebody may be asked for what the document leaves out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Interactive {
    #[default]
    Ask,
    Never,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct InstallAnswers {
    pub disk: DiskChoice,
    /// Allows the installation to erase a disk that holds data.
    pub wipe: bool,
    /// Size of each slot in MiB; by default twice the image, at least 1024.
    pub slot_size_mib: Option<u64>,
    pub after: AfterInstall,
}

/// Which disk to install on: every condition that is given must hold, and of those that are left the
/// largest is taken.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct DiskChoice {
    /// A device path: `/dev/vda`, `/dev/disk/by-id/…`, `/dev/disk/by-path/…`.
    pub path: Option<String>,
    /// The name under `/dev/disk/by-id`.
    pub id: Option<String>,
    pub serial: Option<String>,
    pub min_size_gib: Option<u64>,
    pub max_size_gib: Option<u64>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AfterInstall {
    #[default]
    Reboot,
    PowerOff,
    /// Stay in the installer.
    Nothing,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Operator {
    pub name: String,
    #[serde(default)]
    pub ssh_keys: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Interface {
    /// Interface name or pattern, as in systemd.network: `enp1s0`, `en*`.
    pub name: String,
    /// Addresses with prefix length; none means DHCP.
    #[serde(default)]
    pub addresses: Vec<String>,
    #[serde(default)]
    pub gateway: Option<IpAddr>,
    #[serde(default)]
    pub dns: Vec<IpAddr>,
}

impl Unattended {
    /// Parses and checks a document.
    ///
    /// # Errors
    /// [`crate::Class::InvalidInput`] naming the file and the value.
    pub fn parse(name: &str, text: &str) -> Result<Self> {
        // A file of comments alone is an empty document, not a missing one.
        let document: Option<Self> = yaml::parse(name, text)?;
        let document = document.unwrap_or_default();
        document.check().map_err(|error| error.context(format!("{name} is not usable")))?;
        Ok(document)
    }

    fn check(&self) -> Result<()> {
        if let Some(host_name) = &self.host_name {
            check_host_name(host_name)?;
        }
        if let Some(operator) = &self.operator {
            check_account_name(&operator.name)?;
            for key in &operator.ssh_keys {
                check_ssh_key(key)?;
            }
        }
        self.network.iter().try_for_each(Interface::check)
    }
}

fn check_host_name(name: &str) -> Result<()> {
    let label_is_valid = |label: &str| {
        (1..=63).contains(&label.len())
            && label.chars().all(|character| character.is_ascii_alphanumeric() || character == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if name.len() <= 253 && name.split('.').all(label_is_valid) {
        return Ok(());
    }
    Err(Error::invalid(format!("host-name {name:?} is not a host name"))
        .help("use letters, digits and hyphens, with dots between labels"))
}

fn check_account_name(name: &str) -> Result<()> {
    let mut characters = name.chars();
    let valid = characters.next().is_some_and(|first| first.is_ascii_lowercase())
        && characters
            .all(|other| other.is_ascii_lowercase() || other.is_ascii_digit() || "-_".contains(other))
        && name.len() <= 32;
    if valid && name != "root" {
        return Ok(());
    }
    Err(Error::invalid(format!("operator name {name:?} cannot be used"))
        .help("use a lower-case name of at most 32 characters other than root"))
}

fn check_ssh_key(key: &str) -> Result<()> {
    let kind = key.split_whitespace().next().unwrap_or_default();
    let known = ["ssh-ed25519", "ssh-rsa", "ecdsa-sha2-", "sk-ssh-ed25519@", "sk-ecdsa-sha2-"];
    if known.iter().any(|prefix| kind.starts_with(prefix)) && !key.contains('\n') {
        return Ok(());
    }
    Err(Error::invalid("an entry of operator.ssh-keys is not a public SSH key")
        .help("give one line as it stands in a .pub file"))
}

impl Interface {
    fn check(&self) -> Result<()> {
        let name_is_valid = !self.name.is_empty()
            && self
                .name
                .chars()
                .all(|character| character.is_ascii_alphanumeric() || ".-_*?:".contains(character));
        if !name_is_valid {
            return Err(Error::invalid(format!("network interface name {:?} cannot be used", self.name)));
        }
        for address in &self.addresses {
            parse_address(address)?;
        }
        if self.gateway.is_some() && self.addresses.is_empty() {
            return Err(Error::invalid(format!("interface {} has a gateway but no address", self.name))
                .help("remove the gateway to use DHCP, or add addresses"));
        }
        Ok(())
    }
}

/// Reads `address/prefix`.
///
/// # Errors
/// When the text is not an address with a prefix length that fits it.
pub fn parse_address(text: &str) -> Result<(IpAddr, u8)> {
    let parsed = text.split_once('/').and_then(|(address, prefix)| {
        let address: IpAddr = address.parse().ok()?;
        let prefix: u8 = prefix.parse().ok()?;
        (prefix <= if address.is_ipv4() { 32 } else { 128 }).then_some((address, prefix))
    });
    parsed.ok_or_else(|| {
        Error::invalid(format!("{text:?} is not an address with a prefix length, like 10.0.0.5/24"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_whole_document_is_read() {
        let document = Unattended::parse(
            "unattended.yaml",
            "interactive: never\ninstall:\n  disk:\n    serial: S1\n  wipe: true\n  after: power-off\nhost-name: shop-17\n\
             operator:\n  name: site\n  ssh-keys: [ssh-ed25519 AAAA x]\nnetwork:\n- name: en*\n  addresses: [10.0.0.5/24]\n  gateway: 10.0.0.1\n",
        )
        .unwrap();
        let install = document.install.unwrap();
        assert!(install.wipe && install.after == AfterInstall::PowerOff);
        assert_eq!(install.disk.serial.as_deref(), Some("S1"));
    }

    #[test]
    fn errors_name_the_place_and_the_key() {
        let cases = [
            ("instal: {}", "instal"),
            ("install:\n  wipe: yes", "2"),
            ("host-name: -x", "-x"),
            ("operator:\n  name: root", "root"),
            ("network:\n- name: eth0\n  addresses: [10.0.0.5]", "10.0.0.5"),
            ("network:\n- name: eth0\n  gateway: 10.0.0.1", "gateway"),
        ];
        for (text, expected) in cases {
            let error = Unattended::parse("unattended.yaml", text).unwrap_err().to_string();
            assert!(error.contains("unattended.yaml") && error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn comments_alone_are_an_empty_document() {
        assert_eq!(Unattended::parse("u", "# nothing yet\n").unwrap(), Unattended::default());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[ -~\n]{0,300}") {
            let _ = Unattended::parse("unattended.yaml", &text);
        }
    }
}
