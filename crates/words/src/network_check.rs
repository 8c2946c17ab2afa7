//! Words of the test of the network.

pub const GOOD: &str = "ok";
pub const BAD: &str = "!!";
pub const ALL_GOOD: &str = "All links of the network work.";
