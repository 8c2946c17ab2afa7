//! The image as a host in namespaces of this machine: its own service manager, agent and cluster, at the speed of the
//! machine instead of an emulated one. What needs firmware, a kernel of ours or a disk is proved in virtual machines.
//!
//! A host is a folder: what an installed host has on its partitions is kept there, and what is in memory goes when the
//! host is killed. So killing it is a power cut, except for what the kernel has not written yet.

mod control_groups;
mod host;
mod inside;
mod root_image;
mod sandbox;

pub use host::{ADDRESS, Deed, Facts, NamespaceHost, SITE_NAME};
pub use inside::become_host;
pub use sandbox::{enter, missing};
