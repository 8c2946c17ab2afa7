//! All decisions, pure and synchronous: facts, settings and a request become a plan or a refusal. Time and
//! randomness are passed in.

pub mod accounts;
pub mod admission;
pub mod black_box;
pub mod boot;
pub mod cluster;
pub mod configuration;
pub mod content;
pub mod entities;
pub mod host_kind;
pub mod hosts_file;
pub mod identity;
pub mod install;
pub mod installed;
pub mod login;
pub mod network;
pub mod network_trial;
pub mod proxy;
pub mod redaction;
pub mod registries;
pub mod stages;
pub mod state_layout;
pub mod take_over;
pub mod template;
pub mod upgrade;
pub mod ways_out;
pub mod web_certificate;
