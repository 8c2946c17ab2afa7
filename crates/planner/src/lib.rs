//! All decisions, pure and synchronous: facts, settings and a request become a plan or a refusal. Time and
//! randomness are passed in.

pub mod accounts;
pub mod boot;
pub mod configuration;
pub mod identity;
pub mod install;
pub mod network;
pub mod network_trial;
pub mod stages;
pub mod state_layout;
pub mod template;
pub mod trial;
pub mod upgrade;
