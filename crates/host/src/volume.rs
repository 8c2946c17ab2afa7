//! What a partition's content is reached through.

use std::path::{Path, PathBuf};

/// A partition of ours as it can be read and written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Volume {
    /// Its blocks are the content.
    Raw(PathBuf),
    /// Its blocks are locked, and somebody has opened them: the content is at a device of the device mapper.
    Opened { partition: PathBuf, content: PathBuf },
}

impl Volume {
    /// The block device of the content: what is mounted, written and checked.
    pub fn content(&self) -> &Path {
        match self {
            Volume::Raw(partition) => partition,
            Volume::Opened { content, .. } => content,
        }
    }

    /// The block device of the partition itself.
    pub fn partition(&self) -> &Path {
        match self {
            Volume::Raw(partition) | Volume::Opened { partition, .. } => partition,
        }
    }
}
