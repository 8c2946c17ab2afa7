//! Hiding secrets in text that leaves the host: values of keys that sound secret, in `key=value`, `key: value`, JSON
//! and options of commands, and what is a secret by its form.
//!
//! It hides too much rather than too little. It is the second fence: what is collected has no secrets where that can
//! be had.

use std::sync::OnceLock;

use edge_model::secret::HIDDEN;
use regex::Regex;

/// A name with one of these in it has a secret as its value.
const SECRET_PARTS: [&str; 13] = [
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "token",
    "secret",
    "credential",
    "authorization",
    "bearer",
    "psk",
    "cookie",
    "apikey",
    "privatekey",
];
/// A line without any of these, in small letters, has nothing to hide. Most lines have none, and are done with this look.
const SIGNS: [&str; 11] =
    ["pass", "pwd", "token", "secret", "cred", "auth", "bear", "psk", "cook", "key", "://"];
/// Units of the service manager are called after what they ask for; they are not secret.
const NAMES_OF_UNITS: [&str; 7] = [".service", ".path", ".socket", ".target", ".timer", ".mount", ".slice"];

/// The text without its secrets.
pub fn redact(text: &str) -> String {
    let mut hidden = String::with_capacity(text.len());
    let mut block = Block::None;
    for line in text.split_inclusive('\n') {
        let (content, end) = line.strip_suffix('\n').map_or((line, ""), |content| (content, "\n"));
        match block.next(content) {
            Part::Shown => {
                let (line, opens) = redact_line(content);
                hidden.push_str(&line);
                hidden.push_str(end);
                if let Some(opened) = opens {
                    block = opened;
                }
            }
            Part::FirstHidden => {
                hidden.push_str(HIDDEN);
                hidden.push_str(end);
            }
            Part::Hidden => {}
        }
    }
    hidden
}

/// Lines that are hidden as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Block {
    None,
    /// Up to the end of a private key.
    Key {
        began: bool,
    },
    /// What is indented more than the key that it belongs to.
    Value {
        indentation: usize,
        began: bool,
    },
}

enum Part {
    Shown,
    FirstHidden,
    Hidden,
}

impl Block {
    fn next(&mut self, line: &str) -> Part {
        let began = match self {
            Block::None => return Part::Shown,
            Block::Key { began } => std::mem::replace(began, true),
            Block::Value { indentation, began } => {
                let belongs = line.trim().is_empty()
                    || indentation_of(line) > *indentation
                    || is_item(line, *indentation);
                if !belongs {
                    *self = Block::None;
                    return Part::Shown;
                }
                std::mem::replace(began, true)
            }
        };
        if matches!(self, Block::Key { .. }) && line.contains("-----END") {
            *self = Block::None;
        }
        if began { Part::Hidden } else { Part::FirstHidden }
    }
}

fn indentation_of(line: &str) -> usize {
    line.len() - line.trim_start_matches([' ', '\t']).len()
}

/// An item of a YAML list may stand directly below its key.
fn is_item(line: &str, indentation: usize) -> bool {
    indentation_of(line) == indentation && line.trim_start().starts_with("- ")
}

struct Patterns {
    /// A name and what stands between it and its value.
    key: Regex,
    /// An option of a command, with its value in the next word.
    option: Regex,
    /// User and password in a URL.
    url: Regex,
    /// A hash as `/etc/shadow` has it.
    hash: Regex,
    bearer: Regex,
}

fn patterns() -> Option<&'static Patterns> {
    static PATTERNS: OnceLock<Option<Patterns>> = OnceLock::new();
    let compile = || {
        Some(Patterns {
            key: Regex::new(r#"([A-Za-z0-9_.\-]+)(\\?["']|)([ \t]*[:=][ \t]*)"#).ok()?,
            option: Regex::new(r"(?:^|[\s'=])--?([A-Za-z0-9_.\-]+)[ \t]+").ok()?,
            url: Regex::new(r"([A-Za-z][A-Za-z0-9+.\-]*://)[^\s/@]+@").ok()?,
            hash: Regex::new(r"\$(?:1|2[abxy]?|5|6|7|y|gy)\$[./A-Za-z0-9$=,]{8,}").ok()?,
            bearer: Regex::new(r"(?i)\b(bearer)[ \t]+[A-Za-z0-9+/=._~\-]{8,}").ok()?,
        })
    };
    PATTERNS.get_or_init(compile).as_ref()
}

/// One line without its secrets, and what begins in it.
fn redact_line(line: &str) -> (String, Option<Block>) {
    let lower = line.to_ascii_lowercase();
    if !lower.contains('$') && !SIGNS.iter().any(|sign| lower.contains(sign)) {
        return (line.to_owned(), None);
    }
    // Patterns that stand here compile, as the tests show; if they did not, nothing would be let out.
    let Some(patterns) = patterns() else { return (HIDDEN.into(), None) };
    if let Some(at) = line.find("-----BEGIN").filter(|at| line[*at..].contains("PRIVATE KEY")) {
        let closed = line.contains("-----END");
        let text = format!("{}{HIDDEN}", redact_forms(&line[..at], patterns));
        return (text, (!closed).then_some(Block::Key { began: true }));
    }
    let mut text = String::with_capacity(line.len());
    let mut at = 0;
    let mut opens = None;
    while let Some(found) = next_secret(line, at, patterns) {
        text.push_str(&line[at..found.begin]);
        text.push_str(&found.shown);
        at = found.end.max(found.begin);
        if found.continues {
            opens = Some(Block::Value { indentation: indentation_of(line), began: !found.shown.is_empty() });
        }
        if at >= line.len() {
            break;
        }
    }
    text.push_str(line.get(at..).unwrap_or_default());
    (redact_forms(&text, patterns), opens)
}

/// What is a secret by its form, whatever it is called.
fn redact_forms(text: &str, patterns: &Patterns) -> String {
    let text = patterns.url.replace_all(text, format!("${{1}}{HIDDEN}@"));
    let text = patterns.hash.replace_all(&text, HIDDEN);
    patterns.bearer.replace_all(&text, format!("${{1}} {HIDDEN}")).into_owned()
}

/// A value to be hidden.
struct Found {
    begin: usize,
    end: usize,
    /// What is shown in its place; nothing where there is no value on this line.
    shown: String,
    /// The value goes on in the next lines.
    continues: bool,
}

fn next_secret(line: &str, from: usize, patterns: &Patterns) -> Option<Found> {
    let of_key = next_key(line, from, patterns);
    let of_option = next_option(line, from, patterns);
    match (of_key, of_option) {
        (Some(key), Some(option)) if option.begin < key.begin => Some(option),
        (Some(key), _) => Some(key),
        (None, option) => option,
    }
}

fn next_key(line: &str, from: usize, patterns: &Patterns) -> Option<Found> {
    let mut at = from;
    loop {
        let captures = patterns.key.captures_at(line, at)?;
        let (whole, name) = (captures.get(0)?, captures.get(1)?);
        if !is_secret(name.as_str()) {
            at = name.end();
            continue;
        }
        let quoted = !captures.get(2)?.as_str().is_empty();
        let colon = captures.get(3)?.as_str().contains(':');
        return Some(value(line, whole.end(), quoted, colon));
    }
}

fn next_option(line: &str, from: usize, patterns: &Patterns) -> Option<Found> {
    let mut at = from;
    loop {
        let captures = patterns.option.captures_at(line, at)?;
        let (whole, name) = (captures.get(0)?, captures.get(1)?);
        if is_secret(name.as_str()) {
            return Some(value(line, whole.end(), false, false));
        }
        at = name.end();
    }
}

/// The value that begins at `begin`, up to where it ends for certain.
fn value(line: &str, begin: usize, quoted_key: bool, colon: bool) -> Found {
    let rest = &line[begin..];
    let found = |length: usize| Found { begin, end: begin + length, shown: HIDDEN.into(), continues: false };
    let trimmed = rest.trim_end();
    if trimmed.is_empty() {
        return Found { begin, end: begin, shown: String::new(), continues: true };
    }
    // What opens here ends in another line.
    let indicators = ['|', '>', '-', '+', '[', '{', '1', '2', '3', '4', '5', '6', '7', '8', '9'];
    if trimmed.starts_with(['|', '>', '[', '{']) && trimmed.chars().all(|letter| indicators.contains(&letter))
    {
        return Found { continues: true, ..found(rest.len()) };
    }
    for quote in ["\\\"", "\"", "'"] {
        if let Some(inside) = rest.strip_prefix(quote) {
            // A value whose end is not found takes the whole line, and what belongs to it.
            return match end_of_quoted(inside, quote) {
                Some(length) => found(quote.len() + length),
                None => Found { continues: true, ..found(rest.len()) },
            };
        }
    }
    if colon && quoted_key {
        let nested = rest.starts_with(['[', '{']);
        let end = if nested { None } else { rest.find([',', '}', ']']) };
        return found(end.unwrap_or(rest.len()));
    }
    if colon { found(trimmed.len()) } else { found(rest.find(char::is_whitespace).unwrap_or(rest.len())) }
}

/// Length up to and with the closing quote.
fn end_of_quoted(inside: &str, quote: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, letter) in inside.char_indices() {
        if !escaped && inside[at..].starts_with(quote) {
            return Some(at + quote.len());
        }
        escaped = quote == "\"" && letter == '\\' && !escaped;
    }
    None
}

/// Whether the value of something with this name is a secret.
pub fn is_secret(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    if NAMES_OF_UNITS.iter().any(|ending| lower.ends_with(ending)) {
        return false;
    }
    let joined: String = lower.chars().filter(|letter| letter.is_ascii_alphanumeric()).collect();
    SECRET_PARTS.iter().any(|part| joined.contains(part)) || has_word_key(name)
}

/// `key` is a word of its own in `key`, `api_key`, `sshKey` and `KEY`, and not in `keyboard` or `monkey`.
fn has_word_key(name: &str) -> bool {
    let separate = name.split(['_', '-', '.']).any(|word| word.eq_ignore_ascii_case("key"));
    let camel = name.match_indices("Key").any(|(at, word)| {
        let before = name[..at].chars().next_back();
        let after = name[at + word.len()..].chars().next();
        before.is_some_and(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit())
            && after.is_none_or(|letter| !letter.is_ascii_lowercase())
    });
    separate || camel
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_of_secret_keys_are_hidden_in_every_form() {
        let cases = [
            ("password=hunter2 next=1", "password=(hidden) next=1"),
            ("edge.token=hunter2", "edge.token=(hidden)"),
            ("BOOT a=1 api_key='hunter 2' b=2", "BOOT a=1 api_key=(hidden) b=2"),
            ("  password: hunter 2 # x", "  password: (hidden)"),
            (r#"{"password":"hun\"ter2","user":"u"}"#, r#"{"password":(hidden),"user":"u"}"#),
            (r#"{"pinToken":12345,"user":"u"}"#, r#"{"pinToken":(hidden),"user":"u"}"#),
            (r#"log: {\"secret\":\"hunter2\",\"n\":1}"#, r#"log: {\"secret\":(hidden),\"n\":1}"#),
            (r#""secrets": ["hunter2", "hunter3"]"#, r#""secrets": (hidden)"#),
            ("run --token hunter2 --name x", "run --token (hidden) --name x"),
            ("run --token=hunter2", "run --token=(hidden)"),
            ("proxy http://u:hunter2@proxy.example:3128/", "proxy http://(hidden)@proxy.example:3128/"),
            ("Authorization: Bearer hunter2hunter2", "Authorization: (hidden)"),
            ("header Bearer hunter2hunter2", "header Bearer (hidden)"),
            ("root:$6$salt$hunter2hunter2:1", "root:(hidden):1"),
            ("x -----BEGIN PRIVATE KEY----- hunter2 -----END PRIVATE KEY-----", "x (hidden)"),
        ];
        for (text, expected) in cases {
            assert_eq!(redact(text), expected);
        }
    }

    #[test]
    fn values_of_several_lines_are_hidden() {
        let text = "a: 1\npassword: |\n  hunter2\n\n  hunter3\nb: 2\ntokens:\n- hunter4\n- hunter5\nc: 3\n";
        assert_eq!(redact(text), "a: 1\npassword: (hidden)\nb: 2\ntokens:\n(hidden)\nc: 3\n");
        let json = "{\n  \"secret\": {\n    \"x\": \"hunter2\"\n  },\n  \"b\": 1\n}";
        let hidden = redact(json);
        assert!(!hidden.contains("hunter") && hidden.contains("\"b\": 1"), "{hidden}");
        let key =
            "k\n-----BEGIN OPENSSH PRIVATE KEY-----\nhunter2\n-----END OPENSSH PRIVATE KEY-----\nnext\n";
        assert_eq!(redact(key), "k\n(hidden)\nnext\n");
    }

    #[test]
    fn ordinary_text_is_left_as_it_is() {
        for text in [
            "systemd-ask-password-wall.path: Deactivated successfully.",
            "keyboard=us monkey: x keys: 3",
            "Nov 21 12:00:00 host kernel: usb 1-1: new device, address 5",
            "mac 52:54:00:12:34:56 https://registry.example/v2/",
            "Dispatch Password Requests to Console",
            "cost $5$ and $6",
            "",
            "\n\n",
        ] {
            assert_eq!(redact(text), text);
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(?s).{0,200}") {
            let _ = redact(&text);
        }

        #[test]
        fn texts_made_of_what_matters_do_not_panic(text in "[-a:=\"'\\\\ \n{}\\[\\]|>k]{0,40}(key|token)[-a:=\"'\\\\ \n{}\\[\\]|>]{0,40}") {
            let _ = redact(&text);
        }

        #[test]
        fn a_secret_never_appears(
            key in "([a-z]{1,5}[_.-])?(password|passwd|token|secret|key)",
            secret in "S3C[A-Za-z0-9+/=,;&@!]{6,30}",
            form in 0..6usize,
            before in "[a-z 0-9:.]{0,20}",
        ) {
            let line = match form {
                0 => format!("{before} {key}={secret} after=1"),
                1 => format!("{before} {key}: {secret}"),
                2 => format!("{{\"a\":1,\"{key}\":\"{secret}\",\"b\":[2]}}"),
                3 => format!("{before} --{key} {secret}"),
                4 => format!("{before}\n  {key}: >-\n    {secret}\n  b: 1"),
                _ => format!("{before} {key} = \"{secret}\""),
            };
            let hidden = redact(&line);
            prop_assert!(!hidden.contains(&secret), "{}", hidden);
        }
    }
}
