//! The command line.

use std::path::PathBuf;

use edge_model::{Error, Result, paths};

use crate::event::Size;

pub const USAGE: &str = "\
The site operator's console.

edge-tui [OPTIONS]

  --socket PATH   where the agent is reached
  --record FILE   write every event of this session to a file; passwords are left out
  --replay FILE   print the screens of a recorded session
  --size WxH      size of the screens of a replay, like 80x24
  --ascii         no letters beyond ASCII
  --no-colour     no colours
  --help          this text

The keys are explained by F1 or Ctrl-G.";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    pub socket: PathBuf,
    pub record: Option<PathBuf>,
    pub replay: Option<PathBuf>,
    pub size: Option<Size>,
    pub ascii: bool,
    pub no_colour: bool,
    pub help: bool,
}

impl Options {
    /// Reads the arguments behind the name of the program.
    ///
    /// # Errors
    /// [`edge_model::Class::InvalidInput`] for an unknown option or a missing value.
    pub fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self> {
        let mut options = Self {
            socket: PathBuf::from(paths::AGENT_SOCKET),
            record: None,
            replay: None,
            size: None,
            ascii: false,
            no_colour: false,
            help: false,
        };
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let mut value = || {
                arguments.next().ok_or_else(|| {
                    Error::invalid(format!("{argument} needs a value")).help("edge-tui --help")
                })
            };
            match argument.as_str() {
                "--socket" => options.socket = value()?.into(),
                "--record" => options.record = Some(value()?.into()),
                "--replay" => options.replay = Some(value()?.into()),
                "--size" => options.size = Some(size(&value()?)?),
                "--ascii" => options.ascii = true,
                "--no-colour" | "--no-color" => options.no_colour = true,
                "--help" | "-h" => options.help = true,
                other => {
                    return Err(Error::invalid(format!("{other} is not an option")).help("edge-tui --help"));
                }
            }
        }
        Ok(options)
    }
}

fn size(text: &str) -> Result<Size> {
    let parsed = text
        .split_once('x')
        .and_then(|(width, height)| Some(Size { width: width.parse().ok()?, height: height.parse().ok()? }));
    parsed.ok_or_else(|| Error::invalid(format!("{text} is not a size")).help("like 80x24"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Options> {
        Options::parse(text.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn options_are_read_and_others_refused() {
        let options = parse("--replay file --size 120x40 --ascii").unwrap();
        assert_eq!(options.size, Some(Size { width: 120, height: 40 }));
        assert!(options.ascii && !options.no_colour);
        for wrong in ["--size", "--size 80", "--what", "file"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
