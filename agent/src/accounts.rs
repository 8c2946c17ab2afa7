//! The host's accounts as logins see them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use edge_host::{accounts, files};
use edge_model::unattended::Operator;
use edge_model::{Context, Error, Result, paths};
use serde::{Deserialize, Serialize};

use crate::configuration::hash_password;
use crate::state_file::StateFile;

/// Numbers of people's accounts; beyond them are `nobody` and services that systemd makes up.
pub(crate) const PEOPLE: std::ops::RangeInclusive<u32> = 1000..=59_999;
const NO_SHELLS: [&str; 4] = ["/usr/sbin/nologin", "/sbin/nologin", "/bin/false", "/usr/bin/false"];

/// An account with what decides about its login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Person {
    pub(crate) name: String,
    pub(crate) uid: u32,
    pub(crate) shell: String,
    /// As in `/etc/shadow`.
    pub(crate) password: String,
    /// Day since 1970 after which the account is closed.
    expires: Option<u64>,
    pub(crate) groups: Vec<String>,
}

impl Person {
    /// Services' accounts and closed ones stay out, whatever their password is.
    pub(crate) fn may_log_in(&self) -> bool {
        let today = crate::facts::now() / 86_400;
        let is_person = self.uid == 0 || PEOPLE.contains(&self.uid);
        is_person && !NO_SHELLS.contains(&self.shell.as_str()) && self.expires.is_none_or(|day| today < day)
    }
}

/// All accounts.
///
/// # Errors
/// When a file of accounts cannot be read.
pub(crate) fn people() -> Result<Vec<Person>> {
    let read = |path: &str| files::read_text(Path::new(path));
    Ok(parse(&read("/etc/passwd")?, &read("/etc/shadow")?, &read("/etc/group")?))
}

/// One account.
///
/// # Errors
/// As [`people`].
pub(crate) fn person(name: &str) -> Result<Option<Person>> {
    Ok(people()?.into_iter().find(|person| person.name == name))
}

/// Name of the account with this number, for messages.
pub(crate) fn name_of(uid: u32) -> String {
    let found = people().ok().and_then(|people| people.into_iter().find(|person| person.uid == uid));
    found.map_or_else(|| format!("uid {uid}"), |person| person.name)
}

fn parse(passwd: &str, shadow: &str, group: &str) -> Vec<Person> {
    let rows = |text: &str| -> Vec<Vec<String>> {
        text.lines().map(|line| line.split(':').map(str::to_owned).collect()).collect()
    };
    let (shadow, group) = (rows(shadow), rows(group));
    let person = |row: Vec<String>| {
        let [name, _, uid, gid, _, _, shell] = <[String; 7]>::try_from(row).ok()?;
        let secret = shadow.iter().find(|row| row.first() == Some(&name));
        let is_in = |row: &&Vec<String>| {
            row.get(2) == Some(&gid)
                || row.get(3).is_some_and(|members| members.split(',').any(|member| member == name))
        };
        let groups = group.iter().filter(is_in).filter_map(|row| row.first().cloned()).collect();
        Some(Person {
            uid: uid.parse().ok()?,
            shell,
            password: secret.and_then(|row| row.get(1).cloned()).unwrap_or_else(|| "!".into()),
            expires: secret.and_then(|row| row.get(7)?.parse().ok()),
            groups,
            name,
        })
    };
    rows(passwd).into_iter().filter_map(person).collect()
}

/// What people changed about their own accounts: `/etc` is made anew at each boot, so it is kept beside it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct KeptAccount {
    password_hash: Option<String>,
    ssh_keys: Option<Vec<String>>,
    /// What the configuration said then about the operator: another word from there has the last word again.
    configured: Option<Configured>,
}

/// What the configuration says about the operator's account.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Configured {
    name: String,
    password_hash: Option<String>,
    ssh_keys: Vec<String>,
}

impl Configured {
    pub(crate) fn of(operator: Option<&Operator>) -> Option<Self> {
        operator.map(|operator| Self {
            name: operator.name.clone(),
            password_hash: operator.password_hash.as_ref().map(|hash| hash.reveal().to_owned()),
            ssh_keys: operator.ssh_keys.clone(),
        })
    }
}

type KeptAccounts = BTreeMap<String, KeptAccount>;

const MOST_KEYS: usize = 32;
const LONGEST_KEY: usize = 8 << 10;

fn store() -> StateFile<KeptAccounts> {
    StateFile::new(Path::new(paths::OEM_EDGE))
}

fn keep(name: &str, configured: Option<Configured>, change: impl FnOnce(&mut KeptAccount)) -> Result<()> {
    store().change(|all| {
        let account = all.entry(name.to_owned()).or_default();
        account.configured = configured.filter(|configured| configured.name == name);
        change(account);
        Ok(())
    })
}

/// Puts back what people changed about their accounts, as far as the accounts are there.
///
/// # Errors
/// When a file cannot be written.
pub(crate) fn restore(configured: Option<&Configured>) -> Result<()> {
    for (name, kept) in store().read()? {
        let configured = configured.filter(|configured| configured.name == name);
        if person(&name)?.is_none() || kept.configured.as_ref() != configured {
            continue;
        }
        if let Some(hash) = &kept.password_hash {
            write_password(&name, hash)?;
        }
        if let Some(keys) = &kept.ssh_keys {
            write_ssh_keys(&name, keys)?;
        }
    }
    Ok(())
}

/// Gives an account another password.
///
/// # Errors
/// When it is too simple, or the files cannot be written.
pub(crate) fn set_password(name: &str, password: &str, configured: Option<Configured>) -> Result<()> {
    const SHORTEST: usize = 8;
    if password.chars().count() < SHORTEST {
        return Err(Error::invalid(format!("a password has at least {SHORTEST} characters")));
    }
    if password.contains(['\n', '\0']) {
        return Err(Error::invalid("a password cannot hold line ends"));
    }
    let hash = hash_password(password)?;
    // First what lasts: a password that is gone after the next start would have closed the door behind it.
    keep(name, configured, |kept| kept.password_hash = Some(hash.clone()))?;
    write_password(name, &hash)
}

fn write_password(name: &str, hash: &str) -> Result<()> {
    let today = (crate::facts::now() / 86_400).to_string();
    accounts::change(|files| {
        let shadow = &mut files[2];
        let mut found = false;
        let lines: Vec<String> = shadow
            .lines()
            .map(|line| {
                let mut fields: Vec<&str> = line.split(':').collect();
                if fields.first() != Some(&name) || fields.len() < 3 {
                    return line.to_owned();
                }
                found = true;
                fields[1] = hash;
                fields[2] = &today;
                fields.join(":")
            })
            .collect();
        if !found {
            return Err(Error::environment(format!("{name} has no entry in /etc/shadow")));
        }
        *shadow = lines.join("\n") + "\n";
        Ok(())
    })
}

/// SSH keys that root keeps for an account.
pub(crate) fn ssh_keys(name: &str) -> Vec<String> {
    let text = fs::read_to_string(key_file(name)).unwrap_or_default();
    text.lines().map(str::to_owned).filter(|line| !line.trim().is_empty()).collect()
}

/// # Errors
/// When a key is not one line, or the file cannot be written.
pub(crate) fn set_ssh_keys(name: &str, keys: &[String], configured: Option<Configured>) -> Result<()> {
    if keys.len() > MOST_KEYS || keys.iter().any(|key| key.len() > LONGEST_KEY) {
        return Err(Error::invalid(format!("at most {MOST_KEYS} keys of {LONGEST_KEY} characters")));
    }
    if let Some(wrong) = keys.iter().find(|key| key.contains(['\n', '\r', '\0']) || !looks_like_key(key)) {
        let start: String = wrong.chars().take(20).collect();
        return Err(Error::invalid(format!("{start:?} is not an SSH key"))
            .help("a line of authorized_keys, as in ~/.ssh/id_ed25519.pub"));
    }
    keep(name, configured, |kept| kept.ssh_keys = Some(keys.to_vec()))?;
    write_ssh_keys(name, keys)
}

fn write_ssh_keys(name: &str, keys: &[String]) -> Result<()> {
    let path = key_file(name);
    fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))
        .context("cannot create a folder for SSH keys")?;
    let text: String = keys.iter().map(|key| format!("{}\n", key.trim())).collect();
    files::write_durably(&path, text.as_bytes(), 0o644)
}

fn looks_like_key(text: &str) -> bool {
    text.trim().starts_with("ssh-") || text.trim().starts_with("ecdsa-") || text.trim().starts_with("sk-")
}

fn key_file(name: &str) -> std::path::PathBuf {
    Path::new(paths::AUTHORIZED_KEYS).join(name)
}

#[cfg(test)]
impl Person {
    pub(crate) fn of_test(name: &str) -> Self {
        Self {
            name: name.into(),
            uid: 1000,
            shell: "/bin/sh".into(),
            password: "!".into(),
            expires: None,
            groups: vec!["sudo".into()],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_come_from_three_files() {
        let people = parse(
            "root:x:0:0:root:/root:/bin/bash\nsshd:x:100:65534::/run/sshd:/usr/sbin/nologin\nsite:x:1000:1000::/home/site:/bin/bash\nbroken\n",
            "root:*:1::::::\nsite:$6$a$b:1::::::\nsshd:$6$a$b:1::::::\n",
            "sudo:x:27:site,other\nsite:x:1000:\n",
        );
        let site = people.iter().find(|person| person.name == "site").unwrap();
        assert_eq!(
            (site.groups.as_slice(), site.may_log_in()),
            (&["sudo".to_owned(), "site".to_owned()][..], true)
        );
        assert!(!people.iter().find(|person| person.name == "sshd").unwrap().may_log_in());
        assert_eq!(people.len(), 3);
    }
}
