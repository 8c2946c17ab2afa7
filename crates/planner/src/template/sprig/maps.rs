//! Dicts, and what kind of value something is.

use std::collections::BTreeMap;
use std::sync::Arc;

use gotmpl::Value;

use super::{Function, Outcome, entries, failed, of_entries, of_items, of_texts, shown, string, text, truth};

pub(super) const ALL: &[(&str, Function)] = &[
    ("dict", |args| {
        let pairs = args
            .chunks(2)
            .map(|pair| (shown(&pair[0]).into(), pair.get(1).cloned().unwrap_or(Value::String("".into()))));
        of_entries(pairs.collect())
    }),
    ("get", |args| {
        let found = entries(args, 0, "get")?.get(text(args, 1).as_str()).cloned();
        Ok(found.unwrap_or(Value::String("".into())))
    }),
    ("set", |args| {
        let mut all = entries(args, 0, "set")?;
        all.insert(text(args, 1).into(), args.get(2).cloned().unwrap_or(Value::Nil));
        of_entries(all)
    }),
    ("unset", |args| {
        let mut all = entries(args, 0, "unset")?;
        all.remove(text(args, 1).as_str());
        of_entries(all)
    }),
    ("hasKey", |args| truth(entries(args, 0, "hasKey")?.contains_key(text(args, 1).as_str()))),
    ("pluck", |args| {
        let key = text(args, 0);
        let mut found = Vec::new();
        for at in 1..args.len() {
            found.extend(entries(args, at, "pluck")?.get(key.as_str()).cloned());
        }
        of_items(found)
    }),
    ("keys", |args| {
        let mut keys = Vec::new();
        for at in 0..args.len() {
            keys.extend(entries(args, at, "keys")?.keys().map(ToString::to_string));
        }
        of_texts(keys.into_iter())
    }),
    ("values", |args| of_items(entries(args, 0, "values")?.into_values().collect())),
    ("pick", |args| {
        let wanted: Vec<String> = args.iter().skip(1).map(shown).collect();
        of_entries(
            entries(args, 0, "pick")?
                .into_iter()
                .filter(|(key, _)| wanted.iter().any(|one| one == &**key))
                .collect(),
        )
    }),
    ("omit", |args| {
        let left_out: Vec<String> = args.iter().skip(1).map(shown).collect();
        of_entries(
            entries(args, 0, "omit")?
                .into_iter()
                .filter(|(key, _)| !left_out.iter().any(|one| one == &**key))
                .collect(),
        )
    }),
    ("merge", |args| merged(args, false)),
    ("mustMerge", |args| merged(args, false)),
    ("mergeOverwrite", |args| merged(args, true)),
    ("mustMergeOverwrite", |args| merged(args, true)),
    ("dig", dig),
    // Values cannot be changed: each is a copy of its own.
    ("deepCopy", |args| Ok(args.first().cloned().unwrap_or(Value::Nil))),
    ("mustDeepCopy", |args| Ok(args.first().cloned().unwrap_or(Value::Nil))),
    ("typeOf", |args| string(kind_of(args.first()))),
    ("kindOf", |args| string(kind_of(args.first()))),
    ("typeIs", |args| truth(kind_of(args.get(1)) == text(args, 0))),
    ("kindIs", |args| truth(kind_of(args.get(1)) == text(args, 0))),
    ("typeIsLike", |args| truth(kind_of(args.get(1)) == text(args, 0).trim_start_matches('*'))),
    ("deepEqual", |args| truth(args.first() == args.get(1))),
];

/// As Go's reflection calls them.
fn kind_of(value: Option<&Value>) -> &'static str {
    match value {
        Some(Value::Bool(_)) => "bool",
        Some(Value::Int(_)) => "int",
        Some(Value::Uint(_)) => "uint64",
        Some(Value::Float(_)) => "float64",
        Some(Value::String(_)) => "string",
        Some(Value::List(_)) => "slice",
        Some(Value::Map(_)) => "map",
        Some(_) | None => "invalid",
    }
}

fn merged(args: &[Value], overwrites: bool) -> Outcome {
    let mut all = entries(args, 0, "merge")?;
    for at in 1..args.len() {
        merge_into(&mut all, entries(args, at, "merge")?, overwrites);
    }
    of_entries(all)
}

fn merge_into(base: &mut BTreeMap<Arc<str>, Value>, more: BTreeMap<Arc<str>, Value>, overwrites: bool) {
    for (key, value) in more {
        match (base.get(&key).cloned(), value) {
            (Some(Value::Map(inner)), Value::Map(other)) => {
                let mut inner = (*inner).clone();
                merge_into(&mut inner, (*other).clone(), overwrites);
                base.insert(key, Value::Map(Arc::new(inner)));
            }
            (Some(present), _) if present.is_truthy() && !overwrites => {}
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

/// `dig "a" "b" DEFAULT DICT`
fn dig(args: &[Value]) -> Outcome {
    let [keys @ .., otherwise, dict] = args else {
        return Err(failed("dig takes keys, a default and a dict"));
    };
    let mut at = dict.clone();
    for key in keys {
        let Value::Map(inner) = &at else { return Ok(otherwise.clone()) };
        match inner.get(shown(key).as_str()).cloned() {
            Some(found) => at = found,
            None => return Ok(otherwise.clone()),
        }
    }
    Ok(at)
}
