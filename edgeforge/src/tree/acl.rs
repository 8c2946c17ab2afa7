//! Access lists as `tar --acls` writes them, in the form in which the kernel keeps them as extended attributes.
//!
//! <https://manpages.debian.org/trixie/libarchive-dev/archive_entry_acl.3.en.html>,
//! `struct posix_acl_xattr_entry` of Linux

use edge_model::{Error, Result};

/// PAX records of access lists, and the attributes that they become.
pub(super) const RECORDS: [(&str, &str); 2] = [
    ("SCHILY.acl.access", "SCHILY.xattr.system.posix_acl_access"),
    ("SCHILY.acl.default", "SCHILY.xattr.system.posix_acl_default"),
];
const VERSION: u32 = 2;
const NOBODY: u32 = u32::MAX;
const MOST_ENTRIES: usize = 4096;

/// # Errors
/// [`edge_model::Class::InvalidInput`] when an entry is none, or names an account without its number.
pub(super) fn to_attribute(text: &str) -> Result<Vec<u8>> {
    let mut entries = Vec::new();
    for entry in text.split([',', '\n']).map(str::trim).filter(|entry| !entry.is_empty()) {
        entries.push(parse(entry)?);
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
fn parse(entry: &str) -> Result<(u16, u32, u16)> {
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
    let id = || -> Result<u32> {
        let text = number.unwrap_or(if name == "root" { "0" } else { name });
        text.parse().map_err(|_| {
            Error::invalid(format!("the access list names {name:?} without its number"))
                .help("make the layer with tar --numeric-owner")
        })
    };
    match (kind, name) {
        ("user" | "u", "") => Ok((0x01, NOBODY, bits)),
        ("user" | "u", _) => Ok((0x02, id()?, bits)),
        ("group" | "g", "") => Ok((0x04, NOBODY, bits)),
        ("group" | "g", _) => Ok((0x08, id()?, bits)),
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
        assert_eq!(to_attribute(lines).unwrap(), expected);
        let commas = "user::rw-,group::r--,other::---,user:app:r--:1000,mask::r--";
        assert_eq!(to_attribute(commas).unwrap(), expected);
    }

    #[test]
    fn accounts_without_a_number_and_nonsense_are_refused() {
        let error = to_attribute("user:lisa:r--").unwrap_err();
        assert!(error.to_string().contains("lisa") && error.help.unwrap().contains("numeric"));
        for text in ["user", "user::rwz", "mask:1:r--", "a:b:c:d:e", "x::r--"] {
            assert!(to_attribute(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[a-z:,\n0-9-]{0,100}") {
            let _ = to_attribute(&text);
        }
    }
}
