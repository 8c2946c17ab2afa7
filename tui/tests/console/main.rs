//! The console without a terminal and without an agent: sessions typed in, screens compared.

mod agent;
mod driver;
mod guide;
mod monkey;
mod recording;
mod scenes;
mod screens;
mod sessions;
