//! Extended attributes: some behind the inode, some shared between inodes.

use edge_model::Result;

use super::inode::Inode;
use super::superblock::number;
use super::{Image, damaged};

const HEADER: usize = 12;
const RECORD: usize = 4;
const PREFIXES: [(u8, &str); 6] = [
    (1, "user."),
    (2, "system.posix_acl_access"),
    (3, "system.posix_acl_default"),
    (4, "trusted."),
    (5, "lustre."),
    (6, "security."),
];

/// The attributes of an inode as PAX records, in the order of their names.
///
/// # Errors
/// When a record lies outside, or has a name of an unknown kind.
pub(super) fn read(image: &Image, inode: &Inode) -> Result<Vec<(String, Vec<u8>)>> {
    let (at, length) = inode.attributes;
    if length == 0 {
        return Ok(Vec::new());
    }
    let bytes = image.bytes(at, length as usize)?;
    let shared = usize::from(bytes[4]);
    let own = HEADER + shared * 4;
    if own > bytes.len() {
        return Err(damaged("shared attributes lie outside of an inode"));
    }
    let mut found = Vec::new();
    for index in 0..shared {
        let place = image.superblock.shared_attributes + 4 * number::<4>(&bytes, HEADER + index * 4);
        let head = image.bytes(place, RECORD)?;
        let size = RECORD + usize::from(head[0]) + number::<2>(&head, 2) as usize;
        found.extend(record(&image.bytes(place, size)?)?.map(|(found, _)| found));
    }
    let mut rest = &bytes[own..];
    while let Some((attribute, length)) = record(rest)? {
        found.push(attribute);
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    found.sort();
    Ok(found)
}

type Record = ((String, Vec<u8>), usize);

/// The first record with its length; `None` at the end.
fn record(bytes: &[u8]) -> Result<Option<Record>> {
    if bytes.len() < RECORD || bytes[..RECORD] == [0; RECORD] {
        return Ok(None);
    }
    let (name, index) = (usize::from(bytes[0]), bytes[1]);
    let value = number::<2>(bytes, 2) as usize;
    let prefix = PREFIXES.iter().find(|(number, _)| *number == index).map(|(_, prefix)| *prefix);
    let prefix = prefix.ok_or_else(|| damaged(format_args!("an attribute of the unknown kind {index}")))?;
    let end = RECORD + name + value;
    let content = bytes.get(RECORD..end).ok_or_else(|| damaged("an attribute lies outside of its inode"))?;
    let key = format!("SCHILY.xattr.{prefix}{}", String::from_utf8_lossy(&content[..name]));
    Ok(Some(((key, content[name..].to_vec()), end)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_record_has_a_prefix_a_name_and_a_value() {
        let bytes = [&[10, 6, 2, 0][..], b"capability", &[1, 2], &[9, 9]].concat();
        let (attribute, length) = record(&bytes).unwrap().unwrap();
        assert_eq!(attribute, ("SCHILY.xattr.security.capability".to_owned(), vec![1, 2]));
        assert_eq!(length, 16);
        assert!(record(&[0; 8]).unwrap().is_none());
        assert!(record(&[200, 6, 0, 0]).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = record(&bytes);
        }
    }
}
