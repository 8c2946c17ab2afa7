//! Plain data shared by the builder, the host and the operator's surfaces. No I/O, no clock, no logging.
//!
//! Start with [`layout`] (what a disk looks like), [`manifest`] (what an image is) and [`api`] (what the
//! agent says about a host).

pub mod api;
pub mod boot_reason;
pub mod calendar;
pub mod canvos;
pub mod cluster;
pub mod cmdline;
pub mod content;
pub mod document;
pub mod error;
pub mod forge;
pub mod ids;
pub mod initrd;
pub mod keyboard;
pub mod layout;
pub mod ledger;
pub mod manifest;
pub mod paths;
pub mod registry;
pub mod secret;
pub mod shared_state;
pub mod stage_log;
pub mod unattended;
pub mod user_data;

pub use error::{Class, Context, Error, Result};
