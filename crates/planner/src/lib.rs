//! All decisions, pure and synchronous: facts, settings and a request become a plan or a refusal. Time and
//! randomness are passed in.

pub mod boot;
pub mod install;
pub mod network;
pub mod state_layout;
pub mod trial;
pub mod upgrade;
