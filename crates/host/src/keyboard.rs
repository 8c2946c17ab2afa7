//! The keys of the virtual terminals: tables that the kernel looks pressed keys up in, as `loadkeys --bkeymap` writes them.
//!
//! <https://man7.org/linux/man-pages/man2/ioctl_console.2.html>

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use edge_model::{Context, Error, Result};

const MAGIC: &[u8] = b"bkeymap";
/// One byte for each table that there may be, then what is there, one table after the other.
const TABLES: usize = 256;
const KEYS: usize = 128;
const TERMINAL: &str = "/dev/tty1";

mod ioctl {
    /// `struct kbentry` of `linux/kd.h`.
    #[repr(C)]
    pub(super) struct Entry {
        pub(super) table: u8,
        pub(super) key: u8,
        pub(super) value: u16,
    }
    const KDSKBENT: u16 = 0x4b47;
    nix::ioctl_write_ptr_bad!(set_entry, KDSKBENT, Entry);
}

/// What each key means, by the modifiers that are held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keymap(BTreeMap<u8, [u16; KEYS]>);

impl Keymap {
    /// # Errors
    /// [`edge_model::Class::Integrity`] when it is not a table of keys.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let damaged = || Error::integrity("this is no table of keys");
        let rest = bytes.strip_prefix(MAGIC).ok_or_else(damaged)?;
        let (flags, mut rest) = rest.split_at_checked(TABLES).ok_or_else(damaged)?;
        let mut tables = BTreeMap::new();
        for (number, _) in (0u8..=u8::MAX).zip(flags).filter(|(_, flag)| **flag == 1) {
            let (table, after) = rest.split_at_checked(2 * KEYS).ok_or_else(damaged)?;
            let mut keys = [0; KEYS];
            for (key, pair) in keys.iter_mut().zip(table.as_chunks::<2>().0) {
                *key = u16::from_le_bytes(*pair);
            }
            tables.insert(number, keys);
            rest = after;
        }
        Ok(Self(tables))
    }

    /// Makes the kernel use it on all virtual terminals. A machine without one has no use for it.
    ///
    /// # Errors
    /// When the kernel refuses.
    #[allow(unsafe_code)]
    pub fn apply(&self) -> Result<()> {
        if !Path::new(TERMINAL).exists() {
            return Ok(());
        }
        let terminal = OpenOptions::new()
            .read(true)
            .custom_flags(rustix::fs::OFlags::NOCTTY.bits() as i32)
            .open(TERMINAL)
            .context("cannot open the first console")?;
        for (table, keys) in &self.0 {
            for (key, value) in (0u8..).zip(keys) {
                let entry = ioctl::Entry { table: *table, key, value: *value };
                // SAFETY: KDSKBENT reads one `kbentry`, which lives until the call returns.
                unsafe { ioctl::set_entry(terminal.as_raw_fd(), &entry) }
                    .map_err(|error| Error::environment(format!("cannot set the keyboard: {error}")))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn with_tables(flags: &[u8], tables: usize) -> Vec<u8> {
        let mut all = [0; TABLES];
        for flag in flags {
            all[usize::from(*flag)] = 1;
        }
        let words = (0..tables * KEYS).flat_map(|word| (word as u16).to_le_bytes());
        [MAGIC, &all].concat().into_iter().chain(words).collect()
    }

    #[test]
    fn tables_stand_behind_their_flags() {
        let keymap = Keymap::parse(&with_tables(&[0, 2], 2)).unwrap();
        assert_eq!(keymap.0.keys().copied().collect::<Vec<_>>(), [0, 2]);
        assert_eq!((keymap.0[&0][1], keymap.0[&2][0]), (1, 128));
        assert!(Keymap::parse(&with_tables(&[0, 2], 1)).is_err());
        assert!(Keymap::parse(b"bkeymap").is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..800), real in any::<bool>()) {
            let bytes = if real { [MAGIC, &bytes].concat() } else { bytes };
            let _ = Keymap::parse(&bytes);
        }
    }
}
