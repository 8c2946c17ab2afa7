//! Accounts that steps make.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use edge_host::{accounts, placed};
use edge_model::document;
use edge_model::user_data::stages::{NumberOrText, User};
use edge_model::{Error, Result};
use edge_planner::accounts::{Account, LOCKED};
use edge_planner::entities::{Entity, Kind};

use crate::configuration::hash_password;
use crate::host_state::{change_accounts, ensure_account};

/// Largest file of accounts that is not the host's own, in bytes.
const OTHER_FILE_LIMIT: u64 = 1 << 20;

/// Fetches the keys that are not given literally.
pub(super) type FetchKeys<'a> = &'a dyn Fn(&[String]) -> Result<Vec<String>>;

/// Makes or changes an account with its home folder and keys.
pub(super) fn ensure(name: &str, user: &User, fetch: FetchKeys<'_>) -> Result<()> {
    document::format::check("account-or-root", name).map_err(Error::invalid)?;
    let account = Account {
        name: name.to_owned(),
        password: password(user)?,
        uid: match &user.uid {
            Some(NumberOrText::Number(uid)) => Some(*uid),
            Some(NumberOrText::Text(uid)) => uid.parse().ok(),
            None => None,
        },
        gecos: user.gecos.clone().unwrap_or_default(),
        home: user.homedir.clone(),
        shell: user.shell.clone(),
        primary_group: user.primary_group.clone(),
        groups: user.groups.clone(),
        no_user_group: user.no_user_group,
        system: user.system,
        expires: user.password_expiry.as_deref().and_then(day_number),
    };
    ensure_account(&account, !user.no_create_home)?;
    add_keys(name, &user.ssh_authorized_keys, fetch)
}

/// What is given literally works without a network, whatever becomes of the rest.
fn add_keys(name: &str, sources: &[String], fetch: FetchKeys<'_>) -> Result<()> {
    let is_literal = |source: &&String| document::format::check("ssh-key", source).is_ok();
    let (literal, fetched): (Vec<&String>, Vec<&String>) = sources.iter().partition(is_literal);
    if !literal.is_empty() {
        accounts::authorize(name, &literal.into_iter().cloned().collect::<Vec<_>>())?;
    }
    if !fetched.is_empty() {
        accounts::authorize(name, &fetch(&fetched.into_iter().cloned().collect::<Vec<_>>())?)?;
    }
    Ok(())
}

/// A hash or a lock is written as it is; a plain password is hashed.
fn password(user: &User) -> Result<Option<String>> {
    let given = user.passwd.as_ref().map(|secret| secret.reveal().to_owned()).filter(|text| !text.is_empty());
    let stored = match given {
        Some(text) if text.starts_with(['$', '!']) || text == "*" => Some(text),
        Some(text) => Some(hash_password(&text)?),
        None => None,
    };
    if user.lock_passwd {
        return Ok(Some(format!("{LOCKED}{}", stored.unwrap_or_default().trim_start_matches('!'))));
    }
    Ok(stored)
}

/// Days since 1970 of `YYYY-MM-DD`.
fn day_number(text: &str) -> Option<u64> {
    let mut parts = text.split('-').map(str::parse::<i64>);
    let (year, month, day) = (parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?);
    // Civil from days, with years that begin in March.
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * month + 2) / 5 + day - 1;
    u64::try_from(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468).ok()
}

/// Adds SSH keys to an account that is there.
pub(super) fn authorize(user: &str, keys: &[String], fetch: FetchKeys<'_>) -> Result<()> {
    if !change_accounts(|files| files.has(user))? {
        return Err(Error::invalid(format!("there is no account {user}")));
    }
    add_keys(user, keys, fetch)
}

/// Makes the account, group or password that an entity describes; in a file of its own, just its line.
pub(super) fn ensure_entity(path: Option<&str>, text: &str) -> Result<()> {
    let entity = Entity::parse(text)?;
    if let Some(path) = other_file(path, &entity) {
        return change_file(path, |text| entity.put_into(text));
    }
    match entity.kind {
        Kind::User => {
            let account = Account {
                name: entity.name.clone(),
                uid: entity.field(1).and_then(|uid| uid.parse().ok()),
                gecos: entity.field(3).unwrap_or_default().to_owned(),
                home: entity.field(4).map(str::to_owned),
                shell: entity.field(5).map(str::to_owned),
                ..Account::default()
            };
            let gid = entity.field(2).and_then(|gid| gid.parse::<u32>().ok());
            change_accounts(|files| {
                files.ensure(&account, None);
                if gid.is_some() {
                    entity.put_into(&mut files.passwd);
                }
            })
        }
        Kind::Group => {
            let id = entity.field(1).and_then(|gid| gid.parse().ok());
            change_accounts(|files| {
                files.ensure_group(&entity.name, id, false);
                entity.members.iter().for_each(|member| files.add_member(&entity.name, member));
            })
        }
        Kind::Shadow => change_accounts(|files| entity.put_into(&mut files.shadow)),
        Kind::GroupShadow => change_accounts(|files| entity.put_into(&mut files.gshadow)),
    }
}

/// Removes just what the entity is: an account goes as a whole, a password leaves its account.
pub(super) fn delete_entity(path: Option<&str>, text: &str) -> Result<()> {
    let entity = Entity::parse(text)?;
    if let Some(path) = other_file(path, &entity) {
        return change_file(path, |text| entity.remove_from(text));
    }
    change_accounts(|files| match entity.kind {
        Kind::User => files.remove(&entity.name),
        Kind::Group => files.remove_group(&entity.name),
        Kind::Shadow => entity.remove_from(&mut files.shadow),
        Kind::GroupShadow => entity.remove_from(&mut files.gshadow),
    })
}

/// A file that is not the host's own.
fn other_file<'p>(path: Option<&'p str>, entity: &Entity) -> Option<&'p Path> {
    path.filter(|path| !path.is_empty() && *path != entity.kind.file()).map(Path::new)
}

fn change_file(path: &Path, change: impl FnOnce(&mut String)) -> Result<()> {
    let present = placed::read_if_there(path, placed::Owner::ROOT.uid, OTHER_FILE_LIMIT)?.unwrap_or_default();
    let before = String::from_utf8(present)
        .map_err(|_| Error::invalid(format!("{} is not UTF-8 text", path.display())))?;
    let mut text = before.clone();
    change(&mut text);
    if text == before {
        return Ok(());
    }
    // Only root can have put another one there since.
    let (mode, owner) = fs::symlink_metadata(path).map_or((0o600, placed::Owner::ROOT), |found| {
        (found.mode() & 0o7777, placed::Owner { uid: found.uid(), gid: found.gid() })
    });
    placed::write(path, text.as_bytes(), mode, owner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_from_1970() {
        assert_eq!(day_number("1970-01-01"), Some(0));
        assert_eq!(day_number("2000-03-01"), Some(11_017));
        assert_eq!(day_number("2026-11-21"), Some(20_778));
    }
}
