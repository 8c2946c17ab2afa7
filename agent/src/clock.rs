//! Time: one clock that never jumps, and what is known about the one on the wall.

use edge_model::paths;
use std::path::Path;

/// Seconds of the machine's run time. Never jumps, and counts while the machine sleeps.
pub(crate) fn seconds() -> u64 {
    edge_host::kernel::up_time().as_secs()
}

/// Whether the wall clock was set from a time server in this boot.
pub(crate) fn is_set() -> bool {
    Path::new(paths::CLOCK_IS_SYNCHRONIZED).exists()
}
