//! Starts the console, or plays a recorded session back.

use std::path::Path;
use std::process::ExitCode;

use edge_model::{Context, Result};
use edge_tui::event::Size;
use edge_tui::options::{Options, USAGE};
use edge_tui::record::replay;
use edge_tui::runner;
use edge_tui::view::look::{Glyphs, Look};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", edge_model::error::render(&error));
            ExitCode::from(error.class.exit_code())
        }
    }
}

fn run() -> Result<()> {
    let options = Options::parse(std::env::args().skip(1))?;
    let mut look = Look::of(|name| std::env::var(name).ok());
    look.colours &= !options.no_colour;
    if options.ascii {
        look.glyphs = Glyphs::Ascii;
    }
    match &options.replay {
        _ if options.help => println!("{USAGE}"),
        Some(recording) => print_replay(recording, options.size, look)?,
        None => runner::run(&options, look)?,
    }
    Ok(())
}

fn print_replay(recording: &Path, size: Option<Size>, look: Look) -> Result<()> {
    let text =
        std::fs::read_to_string(recording).with_context(|| format!("cannot read {}", recording.display()))?;
    for frame in replay(&text, size, look)? {
        println!("--- event {}\n{}", frame.number, frame.text);
    }
    Ok(())
}
