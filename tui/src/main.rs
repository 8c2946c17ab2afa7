//! The site operator's console on tty1: what this machine is, where it is reached, and how it is.
//!
//! It holds no truth of its own: everything shown comes from the agent.

mod view;

use std::process::ExitCode;
use std::time::Duration;

use edge_client::Client;
use edge_model::api::HostStatus;
use edge_model::{Context, Result};
use ratatui::crossterm::event;

/// Between two looks at the agent. Short enough for progress, long enough to cost nothing.
const REFRESH: Duration = Duration::from_secs(2);

/// What the screen shows.
#[derive(Debug)]
enum Shown {
    Status(Box<HostStatus>),
    /// The agent does not answer.
    Nothing(String),
}

fn main() -> ExitCode {
    let mut terminal = ratatui::init();
    let ended = run(&mut terminal);
    ratatui::restore();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", edge_model::error::render(&error));
            ExitCode::from(error.class.exit_code())
        }
    }
}

/// Draws until the terminal is taken away.
fn run(terminal: &mut ratatui::DefaultTerminal) -> Result<()> {
    let client = Client::new()?;
    loop {
        let shown = match client.status() {
            Ok(status) => Shown::Status(Box::new(status)),
            Err(error) => Shown::Nothing(error.to_string()),
        };
        terminal.draw(|frame| view::draw(frame, &shown)).context("cannot draw on the terminal")?;
        // Keys do nothing yet, but a resize must be drawn at once.
        if event::poll(REFRESH).context("cannot read the terminal")? {
            event::read().context("cannot read the terminal")?;
        }
    }
}
