//! The cluster on this host: one caretaker makes it, starts it at every boot, and ends it when a person orders that. What
//! is to be done is decided in [`edge_planner::cluster`]; here it is done and looked at.
//!
//! Without a cluster nothing of this runs: the caretaker sleeps until somebody brings a definition.

mod authority;
mod board;
mod care;
mod ground;
mod kept;
mod kube_api;
mod pass;
pub(crate) mod people;
mod removal;
mod sight;
mod store;

pub(crate) use board::Board;
pub(crate) use care::caretaker;
pub(crate) use kept::told_of_return;
pub(crate) use store::{
    facts, images_that_it_names, missing_on_trial, opened_versions, order_end, order_start,
};
