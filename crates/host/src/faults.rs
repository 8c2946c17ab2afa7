//! Effects that tests let fail, or be the last ones: after each of them the power may go. In the product this is nothing.
//!
//! A test runs its work once to learn how many effects it has, then once for every effect that fails, and once for every effect
//! after which everything stops.

#[cfg(all(feature = "faults", not(debug_assertions)))]
compile_error!(
    "`faults` takes flushes away: it is for tests, and no program that is released may have it; build with `cargo xtask build`"
);

use std::fs::File;
use std::io;
use std::path::Path;

/// Said before every effect on a disk.
///
/// # Errors
/// What a test wants to see.
#[cfg(not(any(test, feature = "faults")))]
#[inline]
pub(crate) fn effect(_what: &'static str, _path: &Path) -> io::Result<()> {
    Ok(())
}

/// Waits until a file or folder is on the disk.
///
/// # Errors
/// When the disk refuses.
#[cfg(not(any(test, feature = "faults")))]
pub(crate) fn flush(_what: &'static str, _path: &Path, file: &File) -> io::Result<()> {
    file.sync_all()
}

/// In tests the machine that runs them loses nothing: waiting for its disk would prove nothing.
#[cfg(any(test, feature = "faults"))]
pub(crate) fn flush(what: &'static str, path: &Path, _file: &File) -> io::Result<()> {
    effect(what, path)
}

#[cfg(any(test, feature = "faults"))]
pub(crate) use play::effect;
#[cfg(any(test, feature = "faults"))]
pub use play::{Fault, Played, play};

#[cfg(any(test, feature = "faults"))]
mod play {
    use std::cell::RefCell;
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

    use super::{Path, io};

    /// What happens instead of an effect.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Fault {
        /// The disk refuses with this error number.
        Fails(i32),
        /// Nothing happens any more, as when the power goes.
        PowerGoes,
    }

    /// What became of the work.
    #[derive(Debug)]
    pub struct Played<R> {
        /// None when the power went.
        pub outcome: Option<R>,
        /// Effects in their order, as `WHAT NAME`.
        pub effects: Vec<String>,
    }

    #[derive(Debug, Default)]
    struct Stage {
        effects: Vec<String>,
        at: Option<(usize, Fault)>,
    }

    struct PowerWent;

    thread_local! {
        static STAGE: RefCell<Option<Stage>> = const { RefCell::new(None) };
    }

    /// Does the work of this thread with a fault at its `n`-th effect, counted from 0.
    pub fn play<R>(at: Option<(usize, Fault)>, work: impl FnOnce() -> R) -> Played<R> {
        STAGE.with(|stage| *stage.borrow_mut() = Some(Stage { at, ..Stage::default() }));
        let outcome = catch_unwind(AssertUnwindSafe(work));
        let stage = STAGE.with(|stage| stage.borrow_mut().take()).unwrap_or_default();
        let outcome = match outcome {
            Ok(outcome) => Some(outcome),
            Err(panic) if panic.is::<PowerWent>() => None,
            Err(panic) => resume_unwind(panic),
        };
        Played { outcome, effects: stage.effects }
    }

    pub(crate) fn effect(what: &'static str, path: &Path) -> io::Result<()> {
        let fault = STAGE.with(|stage| {
            let mut stage = stage.borrow_mut();
            let stage = stage.as_mut()?;
            let number = stage.effects.len();
            let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
            stage.effects.push(format!("{what} {name}"));
            match stage.at {
                // Once the power has gone, nothing that cleans up has an effect either.
                Some((at, Fault::PowerGoes)) if number >= at => Some(Fault::PowerGoes),
                Some((at, fault)) if number == at => Some(fault),
                _ => None,
            }
        });
        match fault {
            None => Ok(()),
            Some(Fault::Fails(number)) => Err(io::Error::from_raw_os_error(number)),
            Some(Fault::PowerGoes) if std::thread::panicking() => Err(io::Error::other("the power has gone")),
            // Not by the hook of panics, which would print each.
            Some(Fault::PowerGoes) => resume_unwind(Box::new(PowerWent)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files;

    const NO_SPACE: i32 = 28;

    #[test]
    fn a_file_is_the_old_one_or_the_new_one_whatever_fails() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let write = |bytes: &[u8]| files::write_durably(&path, bytes, 0o600);
        write(b"old").unwrap();
        let whole = play(None, || write(b"new")).effects;
        assert_eq!(
            whole,
            [
                "create state.part",
                "write state.part",
                "flush state.part",
                "rename state",
                "flush folder of state"
            ]
        );
        for (at, effect) in whole.iter().enumerate() {
            for fault in [Fault::Fails(NO_SPACE), Fault::PowerGoes] {
                write(b"old").unwrap();
                let played = play(Some((at, fault)), || write(b"new"));
                assert!(!matches!(played.outcome, Some(Ok(()))), "{fault:?} at {effect}");
                let seen = std::fs::read(&path).unwrap();
                let renamed = at > 3;
                assert_eq!(seen, if renamed { b"new" } else { b"old" }, "{fault:?} at {effect}");
                write(b"again").unwrap();
                assert_eq!(std::fs::read(&path).unwrap(), b"again");
            }
        }
    }
}
