//! The cluster of this host: the agent tells of it with its status, so nothing is asked.

use edge_model::Error;

use super::{Behaviour, Wish};
use crate::action::Answer;
use crate::event::Key;
use crate::known::Known;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cluster;

impl Behaviour for Cluster {
    fn key(&mut self, _: Key, _: &Known) -> Vec<Wish> {
        Vec::new()
    }

    fn answer(&mut self, _: Answer, _: &Known) -> Vec<Wish> {
        Vec::new()
    }

    // It asks nothing that could be refused.
    fn trouble(&mut self, _: Error) {}
}
