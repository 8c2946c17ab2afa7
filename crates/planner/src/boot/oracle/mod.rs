//! Where a host ends, by the real decisions and a model of what surrounds them: firmware with its quirks, the rules of
//! systemd-boot, disks that rot, images of every behaviour, and a plug that may be pulled at every point.
//!
//! A state is *absorbing* when it is left by nobody; the only one that may be is a system that runs.

mod firmware;
mod host;
mod rules;
