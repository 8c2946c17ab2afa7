//! The console without a terminal and without an agent: sessions typed in, screens compared.

#![allow(clippy::unwrap_used)] // a test; helpers outside of #[test] count as code for the lint

mod agent;
mod driver;
mod guide;
mod monkey;
mod recording;
mod scenes;
mod screens;
mod sessions;
