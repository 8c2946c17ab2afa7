//! The site operator's console on tty1 and serial lines: what this machine is, how it is, and what can be done about it.
//!
//! Everything that happens is an [`event::Event`]. [`update::update`] takes it into the [`state::State`] and says which
//! [`action::Action`]s follow; only the [`runner`] performs them. `view` shows the state. The console holds no truth of
//! its own: everything that it shows comes from the agent.

pub mod action;
pub mod confirm;
pub mod event;
pub mod findings;
pub mod form;
pub mod installer;
pub mod known;
pub mod login;
pub mod network_form;
pub mod options;
pub mod record;
pub mod runner;
pub mod screens;
pub mod scroll;
pub mod state;
pub mod terminal;
pub mod time_zones;
pub mod update;
pub mod view;

pub use edge_words as strings;
pub use edge_words::units;
