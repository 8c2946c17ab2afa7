//! A document with its digest in front: half of it, or another one, is found out. Hosts keep two copies of what they cannot
//! lose, under names that take turns.

use crate::sha256;

/// The bytes of a copy.
pub fn seal(json: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{}\n", sha256(json)).into_bytes();
    bytes.extend_from_slice(json);
    bytes
}

/// The document in a copy; none when it is damaged.
pub fn open(bytes: &[u8]) -> Option<&[u8]> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let (digest, json) = (&bytes[..end], &bytes[end + 1..]);
    (digest == sha256(json).to_string().as_bytes()).then_some(json)
}

/// Name of the file that holds a generation.
pub fn file_name(document: &str, generation: u64) -> String {
    format!("{document}-{}.json", generation % 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_sealed_opens_and_nothing_else_does(json in prop::collection::vec(any::<u8>(), 0..200), at in any::<usize>()) {
            let mut bytes = seal(&json);
            prop_assert_eq!(open(&bytes), Some(&json[..]));
            let at = at % bytes.len();
            bytes[at] ^= 1;
            prop_assert_eq!(open(&bytes), None);
            prop_assert_eq!(open(&json).is_some(), false);
        }
    }
}
