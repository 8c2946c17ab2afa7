//! What is wrong with an answer, and at which key of the document it stands.

use edge_model::document::{self, Severity};
use edge_model::unattended::Unattended;
use edge_model::{Class, Error};
use serde_json::Value;

/// One finding with the path of keys that it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub path: String,
    pub message: String,
}

impl Finding {
    /// The last key of the path that is a name: `addresses` of `network.enp1s0.addresses.0`.
    pub fn key(&self) -> &str {
        let is_name = |key: &&str| !key.bytes().all(|byte| byte.is_ascii_digit());
        self.path.rsplit('.').find(is_name).unwrap_or_default()
    }
}

/// Checks answers as the agent will.
pub fn check(answers: &Value) -> Vec<Finding> {
    // JSON is YAML.
    let (_, problems) = document::read::<Unattended>("answers", &answers.to_string());
    problems
        .into_iter()
        .filter(|problem| problem.severity == Severity::Error)
        .map(|problem| {
            let help = problem.help.map_or_else(String::new, |help| format!(" ({help})"));
            Finding { path: problem.path, message: format!("{}{help}", problem.message) }
        })
        .collect()
}

/// The findings that an error of the agent tells of: `NAME:LINE:COLUMN: error: PATH: MESSAGE`.
pub fn of_error(error: &Error) -> Vec<Finding> {
    if error.class != Class::InvalidInput {
        return Vec::new();
    }
    std::iter::once(&error.message).chain(&error.causes).filter_map(|text| of_line(text)).collect()
}

/// The finding of one line, if it is one.
pub fn of_line(line: &str) -> Option<Finding> {
    let (_, finding) = line.split_once(": error: ")?;
    let (path, message) = finding.split_once(": ")?;
    Some(Finding { path: path.to_owned(), message: message.replace("(help: ", "(") })
}

/// Takes out of a document what says nothing, so that it overrules nothing.
pub fn without_nothing(value: Value) -> Value {
    let says_something = |value: &Value| match value {
        Value::Null => false,
        Value::Array(items) => !items.is_empty(),
        Value::Object(entries) => !entries.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    };
    match value {
        Value::Object(entries) => Value::Object(
            entries
                .into_iter()
                .map(|(key, value)| (key, without_nothing(value)))
                .filter(|(_, value)| says_something(value))
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.into_iter().map(without_nothing).collect()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_finding_knows_its_key() {
        let wrong = json!({ "network": { "enp1s0": { "addresses": ["300.0.0.1/24"], "mtu": 3 } } });
        let keys: Vec<String> = check(&wrong).iter().map(|finding| finding.key().to_owned()).collect();
        assert_eq!(keys, ["addresses", "mtu"]);
    }

    #[test]
    fn an_error_of_the_agent_is_taken_apart() {
        let error =
            Error::invalid("answers:4:3: error: network.enp1s0.gateway: no address (help: like 10.0.0.1)");
        let expected =
            Finding { path: "network.enp1s0.gateway".into(), message: "no address (like 10.0.0.1)".into() };
        assert_eq!(of_error(&error), [expected]);
        assert_eq!(of_error(&Error::rejected("busy")), []);
    }
}
