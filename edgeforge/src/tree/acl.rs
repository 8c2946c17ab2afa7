//! Access lists as `tar --acls` writes them, in the form in which the kernel keeps them as extended attributes.
//!
//! <https://manpages.debian.org/trixie/libarchive-dev/archive_entry_acl.3.en.html>,
//! `struct posix_acl_xattr_entry` of Linux

use std::collections::BTreeMap;

use edge_model::{Error, Result};

/// PAX records of access lists, and the attributes that they become.
const RECORDS: [(&str, &str); 2] = [
    ("SCHILY.acl.access", "SCHILY.xattr.system.posix_acl_access"),
    ("SCHILY.acl.default", "SCHILY.xattr.system.posix_acl_default"),
];
const VERSION: u32 = 2;
const NOBODY: u32 = u32::MAX;
const MOST_ENTRIES: usize = 4096;

/// The attribute that a PAX record of an access list becomes.
pub(super) fn attribute_of(record: &str) -> Option<&'static str> {
    RECORDS.iter().find(|(key, _)| *key == record).map(|(_, attribute)| *attribute)
}

pub(super) fn is_record(key: &str) -> bool {
    attribute_of(key).is_some()
}

/// Accounts and groups with their numbers. tar writes names, whatever it is told.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    users: BTreeMap<String, u32>,
    groups: BTreeMap<String, u32>,
}

impl Accounts {
    /// From the texts of `/etc/passwd` and `/etc/group`.
    pub(super) fn new(passwd: Option<Vec<u8>>, group: Option<Vec<u8>>) -> Self {
        let table = |text: Option<Vec<u8>>| {
            let text = String::from_utf8_lossy(&text.unwrap_or_default()).into_owned();
            let entry = |line: &str| {
                let mut fields = line.split(':');
                Some((fields.next()?.to_owned(), fields.nth(1)?.parse().ok()?))
            };
            text.lines().filter_map(entry).collect()
        };
        Self { users: table(passwd), groups: table(group) }
    }
}

/// # Errors
/// [`edge_model::Class::InvalidInput`] when an entry is none, or names an account that is not known.
pub(super) fn to_attribute(text: &str, accounts: &Accounts) -> Result<Vec<u8>> {
    let mut entries = Vec::new();
    for entry in text.split([',', '\n']).map(str::trim).filter(|entry| !entry.is_empty()) {
        entries.push(parse(entry, accounts)?);
        if entries.len() > MOST_ENTRIES {
            return Err(Error::invalid("an access list has too many entries"));
        }
    }
    // The kernel takes them in this order alone.
    entries.sort_unstable();
    let mut bytes = VERSION.to_le_bytes().to_vec();
    for (tag, id, permissions) in entries {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(permissions.to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    Ok(bytes)
}

/// `user:NAME:rwx`, with the number in place of the name or behind all.
fn parse(entry: &str, accounts: &Accounts) -> Result<(u16, u32, u16)> {
    let wrong = || Error::invalid(format!("{entry:?} is no entry of an access list"));
    let parts: Vec<&str> = entry.split(':').collect();
    let (kind, name, permissions, number) = match parts[..] {
        // `other::r--` is also written `other:r--`.
        [kind @ ("mask" | "other"), permissions] => (kind, "", permissions, None),
        [kind, name, permissions] => (kind, name, permissions, None),
        [kind, name, permissions, number] => (kind, name, permissions, Some(number)),
        _ => return Err(wrong()),
    };
    let mut bits = 0;
    for letter in permissions.chars() {
        bits |= match letter {
            'r' => 4,
            'w' => 2,
            'x' => 1,
            '-' => 0,
            _ => return Err(wrong()),
        };
    }
    let id = |table: &BTreeMap<String, u32>| -> Result<u32> {
        let known = || table.get(name).copied().or_else(|| (name == "root").then_some(0));
        number.unwrap_or(name).parse().ok().or_else(known).ok_or_else(|| {
            Error::invalid(format!("the access list names {name:?}, which the image does not know"))
                .help("add the account in a layer below, or write its number")
        })
    };
    match (kind, name) {
        ("user" | "u", "") => Ok((0x01, NOBODY, bits)),
        ("user" | "u", _) => Ok((0x02, id(&accounts.users)?, bits)),
        ("group" | "g", "") => Ok((0x04, NOBODY, bits)),
        ("group" | "g", _) => Ok((0x08, id(&accounts.groups)?, bits)),
        ("mask" | "m", "") => Ok((0x10, NOBODY, bits)),
        ("other" | "o", "") => Ok((0x20, NOBODY, bits)),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lists_become_what_the_kernel_keeps() {
        let expected = [
            [2, 0, 0, 0].as_slice(),
            &[1, 0, 6, 0, 255, 255, 255, 255],
            &[2, 0, 4, 0, 232, 3, 0, 0],
            &[4, 0, 4, 0, 255, 255, 255, 255],
            &[16, 0, 4, 0, 255, 255, 255, 255],
            &[32, 0, 0, 0, 255, 255, 255, 255],
        ]
        .concat();
        let lines = "user::rw-\nuser:1000:r--\ngroup::r--\nmask::r--\nother::---\n";
        let accounts = Accounts::new(Some(b"lisa:x:1000:100::/:/bin/sh\n".into()), None);
        assert_eq!(to_attribute(lines, &accounts).unwrap(), expected);
        let names = lines.replace("1000", "lisa");
        assert_eq!(to_attribute(&names, &accounts).unwrap(), expected);
        let commas = "user::rw-,group::r--,other::---,user:app:r--:1000,mask::r--";
        assert_eq!(to_attribute(commas, &Accounts::default()).unwrap(), expected);
    }

    #[test]
    fn unknown_accounts_and_nonsense_are_refused() {
        let to_attribute = |text: &str| to_attribute(text, &Accounts::default());
        let error = to_attribute("user:lisa:r--").unwrap_err();
        assert!(error.to_string().contains("lisa") && error.help.unwrap().contains("number"));
        for text in ["user", "user::rwz", "mask:1:r--", "a:b:c:d:e", "x::r--"] {
            assert!(to_attribute(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[a-z:,\n0-9-]{0,100}") {
            let _ = to_attribute(&text, &Accounts::default());
        }
    }
}
