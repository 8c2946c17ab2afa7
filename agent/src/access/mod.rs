//! Who may come in, and what they did: whatever the surface.

pub(crate) mod audit;
pub(crate) mod sessions;
