//! The functions of sprig that Kairos files may use: all that are pure. What asks the clock, randomness, the environment or the network of
//! whoever renders, or makes keys, is not among them.
//!
//! <https://masterminds.github.io/sprig/>

mod codecs;
mod lists;
mod maps;
mod numbers;
mod strings;

use std::collections::BTreeMap;
use std::sync::Arc;

use gotmpl::{Template, TemplateError, Value};

type Outcome = gotmpl::Result<Value>;
type Function = fn(&[Value]) -> Outcome;

/// Elements and bytes that one call may make: a template is no place for more.
const MOST: usize = 10_000;
const LONGEST: usize = 1 << 20;

/// Functions of sprig that nothing pure can do.
pub const NOT_PURE: [&str; 40] = [
    "ago",
    "bcrypt",
    "buildCustomCert",
    "date",
    "dateInZone",
    "dateModify",
    "date_in_zone",
    "date_modify",
    "decryptAES",
    "derivePassword",
    "duration",
    "durationRound",
    "encryptAES",
    "env",
    "expandenv",
    "genCA",
    "genCAWithKey",
    "genPrivateKey",
    "genSelfSignedCert",
    "genSelfSignedCertWithKey",
    "genSignedCert",
    "genSignedCertWithKey",
    "getHostByName",
    "hello",
    "htmlDate",
    "htmlDateInZone",
    "htpasswd",
    "must_date_modify",
    "mustDateModify",
    "mustToDate",
    "now",
    "randAlpha",
    "randAlphaNum",
    "randAscii",
    "randBytes",
    "randInt",
    "randNumeric",
    "shuffle",
    "toDate",
    "uuidv4",
];

pub(super) fn with_functions(template: Template) -> Template {
    all().fold(template, |template, (name, function)| template.func(name, function))
}

fn all() -> impl Iterator<Item = (&'static str, Function)> {
    let tables = [strings::ALL, lists::ALL, maps::ALL, numbers::ALL, codecs::ALL];
    tables.into_iter().flatten().map(|(name, function)| (*name, *function))
}

fn failed(why: impl Into<String>) -> TemplateError {
    TemplateError::Exec(why.into())
}

fn text(args: &[Value], at: usize) -> String {
    args.get(at).map(shown).unwrap_or_default()
}

fn shown(value: &Value) -> String {
    if matches!(value, Value::Nil) { String::new() } else { value.to_string() }
}

fn string(text: impl Into<String>) -> Outcome {
    let text = text.into();
    if text.len() > LONGEST {
        Err(failed("the text becomes too long"))
    } else {
        Ok(Value::String(text.into()))
    }
}

fn truth(holds: bool) -> Outcome {
    Ok(Value::Bool(holds))
}

fn of_items(items: Vec<Value>) -> Outcome {
    if items.len() > MOST { Err(failed("the list becomes too long")) } else { Ok(Value::List(items.into())) }
}

fn of_texts(items: impl Iterator<Item = String>) -> Outcome {
    of_items(items.take(MOST + 1).map(|item| Value::String(item.into())).collect())
}

/// A list, or an error that names the function.
fn items(args: &[Value], at: usize, name: &str) -> gotmpl::Result<Vec<Value>> {
    match args.get(at) {
        Some(Value::List(items)) => Ok(items.to_vec()),
        Some(Value::Nil) | None => Ok(Vec::new()),
        Some(other) => Err(failed(format!("{name} takes a list, not {}", other.type_name()))),
    }
}

fn entries(args: &[Value], at: usize, name: &str) -> gotmpl::Result<BTreeMap<Arc<str>, Value>> {
    match args.get(at) {
        Some(Value::Map(entries)) => Ok((**entries).clone()),
        Some(Value::Nil) | None => Ok(BTreeMap::new()),
        Some(other) => Err(failed(format!("{name} takes a dict, not {}", other.type_name()))),
    }
}

fn of_entries(entries: BTreeMap<Arc<str>, Value>) -> Outcome {
    Ok(Value::Map(Arc::new(entries)))
}

/// As sprig's `cast`: what is no number is 0.
fn int(value: Option<&Value>) -> i64 {
    match value {
        Some(Value::Bool(true)) => 1,
        Some(Value::Float(number)) => *number as i64,
        Some(Value::String(text)) => text
            .trim()
            .parse()
            .unwrap_or_else(|_| text.trim().parse::<f64>().map_or(0, |number| number as i64)),
        Some(other) => other.as_int().unwrap_or(0),
        None => 0,
    }
}

fn float(value: Option<&Value>) -> f64 {
    match value {
        Some(Value::String(text)) => text.trim().parse().unwrap_or(0.0),
        Some(other) => other.as_float().unwrap_or_else(|| int(Some(other)) as f64),
        None => 0.0,
    }
}

/// A number of elements that a text or list can have.
fn count(value: Option<&Value>) -> usize {
    usize::try_from(int(value)).unwrap_or(0).min(MOST)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_name_stands_twice_or_is_said_to_be_missing() {
        let mut seen = BTreeSet::new();
        for (name, _) in all() {
            assert!(seen.insert(name), "{name}");
            assert!(!NOT_PURE.contains(&name), "{name}");
        }
        assert!(seen.len() > 150, "{}", seen.len());
    }

    #[test]
    fn whatever_a_function_is_given_it_ends() {
        let odd = [
            Value::Nil,
            Value::Bool(true),
            Value::Int(i64::MIN),
            Value::Int(i64::MAX),
            Value::Int(-1),
            Value::Uint(u64::MAX),
            Value::Float(f64::NAN),
            Value::Float(1e300),
            Value::String("".into()),
            Value::String("ä(b".into()),
            Value::String("9999999999999999999".into()),
            Value::List(vec![Value::Nil, Value::Int(1), Value::String("x".into())].into()),
            Value::from_entries([("a".to_owned(), Value::Int(1))]),
        ];
        for (_, function) in all() {
            let _ = function(&[]);
            for one in &odd {
                let _ = function(std::slice::from_ref(one));
                for two in &odd {
                    let _ = function(&[one.clone(), two.clone()]);
                    for three in &odd {
                        let _ = function(&[one.clone(), two.clone(), three.clone()]);
                    }
                }
            }
        }
    }
}
