//! How a program answers: for people, or with `--json` as one JSON value on standard output, also when it fails. Progress
//! and hints go to the error output in both cases.

use std::process::ExitCode;

use edge_model::{Class, Context, Error, Result, error};
use serde::Serialize;

/// Who reads the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    Person,
    Program,
}

/// What is printed instead of an answer.
#[derive(Serialize)]
struct Failure<'e> {
    error: &'e Error,
}

impl Reader {
    pub fn of_flag(json: bool) -> Self {
        if json { Self::Program } else { Self::Person }
    }

    /// Before the arguments are understood: they may be what is wrong.
    pub fn of_arguments() -> Self {
        let options = std::env::args_os().skip(1).take_while(|argument| argument != "--");
        Self::of_flag(options.into_iter().any(|argument| argument == "--json"))
    }

    /// Prints the answer; `for_people` does it in their words.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub fn tell<T: Serialize + ?Sized>(self, answer: &T, for_people: impl FnOnce(&T)) -> Result<()> {
        match self {
            Self::Person => for_people(answer),
            Self::Program => {
                println!("{}", serde_json::to_string(answer).context("cannot print the answer")?)
            }
        }
        Ok(())
    }

    /// Prints why there is no answer, once; gives what the program ends with.
    pub fn fail(self, error: &Error) -> ExitCode {
        match self {
            Self::Person => eprintln!("{}", error::render(error)),
            Self::Program => {
                let text = serde_json::to_string(&Failure { error });
                println!("{}", text.unwrap_or_else(|_| r#"{"error":{}}"#.into()));
            }
        }
        ExitCode::from(error.class.exit_code())
    }

    /// What a program ends with whose arguments are wrong, or that was only asked for help; `said` is what its parser
    /// says, and `is_error` whether something is wrong.
    pub fn usage(self, said: &str, is_error: bool) -> Option<Error> {
        let text = said.trim().trim_start_matches("error: ");
        let (message, rest) = text.split_once("\n\n").unwrap_or((text, ""));
        let error = Error::new(Class::InvalidInput, message.trim());
        let error = if rest.is_empty() { error } else { error.help(rest.trim()) };
        (is_error && self == Self::Program).then_some(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_arguments_are_an_error_for_programs() {
        let said = "error: unrecognized subcommand 'bild'\n\n  tip: 'build'\n\nUsage: x\n";
        let error = Reader::Program.usage(said, true).unwrap();
        assert_eq!(
            (error.message.as_str(), error.class),
            ("unrecognized subcommand 'bild'", Class::InvalidInput)
        );
        assert!(error.help.unwrap().starts_with("tip"));
        assert!(Reader::Person.usage(said, true).is_none());
        assert!(Reader::Program.usage("Usage: x", false).is_none());
    }
}
