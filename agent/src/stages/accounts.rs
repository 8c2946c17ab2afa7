//! Accounts that steps make.

use edge_host::accounts;
use edge_model::document::{self, Node};
use edge_model::user_data::stages::{NumberOrText, User};
use edge_model::{Error, Result};
use edge_planner::accounts::{Account, LOCKED};

use crate::configuration::hash_password;
use crate::host_state::{change_accounts, ensure_account};

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

/// Makes the account, group or password that an entity describes.
pub(super) fn ensure_entity(text: &str) -> Result<()> {
    let entity = read_entity(text)?;
    let field = |name: &str| entity.get(name).and_then(Node::scalar).map(str::to_owned).unwrap_or_default();
    let given = |name: &str| Some(field(name)).filter(|text| !text.is_empty());
    match field("kind").as_str() {
        "user" => {
            let account = Account {
                name: field("username"),
                uid: field("uid").parse().ok(),
                gecos: field("info"),
                home: given("homedir"),
                shell: given("shell"),
                ..Account::default()
            };
            change_accounts(|files| files.ensure(&account, None)).map(drop)
        }
        "group" => {
            let (name, id) = (field("group_name"), field("gid").parse().ok());
            let members: Vec<String> =
                field("users").split(',').filter(|member| !member.is_empty()).map(str::to_owned).collect();
            change_accounts(|files| {
                files.ensure_group(&name, id, false);
                for member in members.iter().filter(|member| !member.is_empty()) {
                    files.add_member(&name, member);
                }
            })
        }
        "shadow" => {
            let (name, password) = (field("username"), field("password"));
            change_accounts(|files| {
                if files.has(&name) {
                    let account = Account { name, password: Some(password), ..Account::default() };
                    files.ensure(&account, None);
                }
            })
        }
        other => Err(Error::invalid(format!("an entity of kind {other:?} is not known"))),
    }
}

pub(super) fn delete_entity(text: &str) -> Result<()> {
    let entity = read_entity(text)?;
    let field = |name: &str| entity.get(name).and_then(Node::scalar).map(str::to_owned).unwrap_or_default();
    match field("kind").as_str() {
        "user" | "shadow" => change_accounts(|files| files.remove(&field("username"))),
        "group" => change_accounts(|files| files.remove_group(&field("group_name"))),
        other => Err(Error::invalid(format!("an entity of kind {other:?} is not known"))),
    }
}

fn read_entity(text: &str) -> Result<Node> {
    document::tree::read("entity", text).map_err(|problem| Error::invalid(problem.to_string()))
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
