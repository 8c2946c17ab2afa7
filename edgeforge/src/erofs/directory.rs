//! The entries of a folder: blocks that begin with fixed records, followed by the names.

use edge_model::Result;

use super::damaged;
use super::superblock::number;

const RECORD: usize = 12;
const LONGEST_NAME: usize = 255;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) inode: u64,
}

/// All entries except the folder itself and the one above it.
///
/// # Errors
/// When a record or a name cannot be.
pub(super) fn entries(bytes: &[u8], block: usize) -> Result<Vec<Entry>> {
    let mut found = Vec::new();
    for block in bytes.chunks(block) {
        let names = number::<2>(block, 8) as usize;
        if names < RECORD || names > block.len() || !names.is_multiple_of(RECORD) {
            return Err(damaged("a folder has a wrong table of names"));
        }
        for at in (0..names).step_by(RECORD) {
            let start = number::<2>(block, at + 8) as usize;
            let last = at + RECORD == names;
            let end = if last { block.len() } else { number::<2>(block, at + RECORD + 8) as usize };
            let name = block.get(start..end).filter(|_| start >= names);
            let name = name.ok_or_else(|| damaged("a name lies outside of its folder"))?;
            // The last name of a block ends with the block or with a zero.
            let name = if last { name.split(|byte| *byte == 0).next().unwrap_or(name) } else { name };
            if matches!(name, b"." | b"..") {
                continue;
            }
            if name.is_empty()
                || name.len() > LONGEST_NAME
                || name.iter().any(|byte| matches!(byte, 0 | b'/'))
            {
                return Err(damaged(format_args!("the name {:?}", String::from_utf8_lossy(name))));
            }
            found.push(Entry {
                name: String::from_utf8_lossy(name).into_owned(),
                inode: number::<8>(block, at),
            });
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record(inode: u64, name: u16) -> Vec<u8> {
        [&inode.to_le_bytes()[..], &name.to_le_bytes(), &[1, 0]].concat()
    }

    #[test]
    fn names_end_where_the_next_begins() {
        let bytes = [record(7, 36), record(8, 37), record(9, 40), b".abcde\0\0".to_vec()].concat();
        let found = entries(&bytes, 4096).unwrap();
        let names: Vec<(&str, u64)> = found.iter().map(|entry| (entry.name.as_str(), entry.inode)).collect();
        assert_eq!(names, [("abc", 8), ("de", 9)]);
        let slash = [record(7, 12), b"a/b".to_vec()].concat();
        assert!(entries(&slash, 4096).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600), block in 1_usize..600) {
            let _ = entries(&bytes, block);
        }
    }
}
