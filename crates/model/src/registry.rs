//! What a registry's answer, or its silence, means for a person. Help belongs to the cause: a name that is wrong is not a
//! network that is down.

use crate::{Error, error::chain};

/// Why something of a registry could not be had, or not be given to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing was answered; with what the network library says, down to the last cause.
    Silence(String),
    NotFound,
    /// It wants to know who asks, or knows and does not allow it.
    Login,
    /// Any other answer.
    Answer(String),
}

impl Trouble {
    /// Of an HTTP status that is not a success, with the answer's text.
    pub fn of_status(status: u16, text: &str) -> Self {
        match status {
            401 | 403 => Self::Login,
            404 => Self::NotFound,
            _ => Self::Answer(format!("the registry answers {status}: {}", text.trim())),
        }
    }

    /// Of a request that got no answer.
    pub fn silence(error: &dyn std::error::Error) -> Self {
        Self::Silence(chain(error))
    }

    /// As an error that says what to do next.
    pub fn error(self) -> Error {
        match self {
            Self::Silence(said) => {
                let help = help_for_silence(&said);
                Error::environment(said).help(help)
            }
            Self::NotFound => Error::invalid("the registry has no such image")
                .help("it was reached, and answers: check the image's name and its tag"),
            Self::Login => Error::environment("the registry wants a login, or does not allow this one")
                .help("log in with docker login or podman login, or set REGISTRY_HOST, REGISTRY_USER and REGISTRY_PASSWORD"),
            Self::Answer(said) => Error::environment(said),
        }
    }
}

fn help_for_silence(said: &str) -> &'static str {
    let said = said.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
    if has(&["expired", "notvalidyet", "not yet valid"]) {
        "its certificate is not valid at this time: compare the clock here with the certificate's dates"
    } else if has(&["notvalidforname", "not valid for name"]) {
        "its certificate is for another name: use the name that stands in it"
    } else if has(&["invalidcontenttype", "corrupt message", "wrong version number"]) {
        "it does not speak TLS: --plain-http, or plain-http in `registries`, is for such registries"
    } else if has(&["certificate", "unknownissuer"]) {
        "its certificate is signed by a CA that is not trusted here: name it with `ca`, or in caCerts of the site"
    } else if has(&["refused"]) {
        "the machine is there, and nothing takes connections at that port: check the port, and whether the registry runs"
    } else if has(&["lookup", "resolve", "name or service", "dns error"]) {
        "its name is not known: check how it is written, and the name server"
    } else {
        "check the network and the name; a new try goes on where this one stopped"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_belongs_to_the_cause() {
        let help = |trouble: Trouble| trouble.error().help.unwrap_or_default();
        for (said, word) in [
            (
                "error sending request: tcp connect error: Connection refused (os error 111)",
                "nothing takes connections",
            ),
            ("dns error: failed to lookup address information", "name server"),
            ("invalid peer certificate: UnknownIssuer", "CA"),
            ("invalid peer certificate: certificate expired: verification time", "clock"),
            ("invalid peer certificate: certificate not valid for name", "another name"),
            ("received corrupt message of type InvalidContentType", "--plain-http"),
            ("operation timed out", "check the network"),
        ] {
            assert!(help(Trouble::Silence(said.into())).contains(word), "{said}");
        }
        assert!(!help(Trouble::of_status(404, "")).contains("network"));
        assert!(help(Trouble::of_status(403, "")).contains("log in"));
        assert_eq!(Trouble::of_status(500, " boom\n").error().to_string(), "the registry answers 500: boom");
    }
}
