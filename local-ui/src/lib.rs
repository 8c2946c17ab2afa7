//! The web page of an edge host, on port 5080: everything that the console can do, in a browser of the site's network.
//!
//! HTML is made here, and works without a script. The program has no rights and no truth of its own: it speaks with the agent,
//! each time for the person whose browser asks. What it remembers are logins, and those are gone when it ends.

mod accept;
mod app;
mod assets;
mod defence;
mod limits;
mod live;
pub mod pages;
mod pass_through;
mod reply;
pub mod router;
mod session;
mod tls;
pub mod ui;

pub use accept::serve;
pub use app::App;
pub use limits::Origin;
pub use tls::acceptor;

#[cfg(test)]
mod tests;
