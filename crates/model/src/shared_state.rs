//! Documents that two versions of us share: an image writes one, and the image that it replaces, or comes back to, reads it.
//! What a version does not know is no damage, and is still there after it has written.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// As much of a document as this version understands.
#[derive(Debug, Clone, PartialEq)]
pub struct Understood<T> {
    pub document: T,
    raw: Value,
    /// The raw document without what `document` does not hold: element by element the same lists.
    held: Value,
    /// Elements of lists that were not understood: name of the list, place, element.
    strange: Vec<(String, usize, Value)>,
}

impl<T: Serialize + DeserializeOwned + Default> Understood<T> {
    /// Reads field by field, and lists element by element: what is strange becomes its default, and is carried along.
    pub fn read(raw: Value) -> Self {
        if let Ok(document) = serde_json::from_value(raw.clone()) {
            return Self { document, held: raw.clone(), raw, strange: Vec::new() };
        }
        let mut held = match serde_json::to_value(T::default()) {
            Ok(Value::Object(fields)) => fields,
            _ => Map::new(),
        };
        let mut strange = Vec::new();
        let fields = raw.as_object().cloned().unwrap_or_default();
        for (name, value) in fields {
            if let Some(value) = fitting::<T>(&held, &name, &value) {
                held.insert(name, value);
            } else if let Value::Array(elements) = value {
                let mut kept = Vec::new();
                for (place, element) in elements.into_iter().enumerate() {
                    let alone = Value::Array(vec![element.clone()]);
                    if fitting::<T>(&held, &name, &alone).as_ref() == Some(&alone) {
                        kept.push(element);
                    } else {
                        strange.push((name.clone(), place, element));
                    }
                }
                held.insert(name, Value::Array(kept));
            }
        }
        let held = Value::Object(held);
        let document = serde_json::from_value(held.clone()).unwrap_or_default();
        Self { document, raw, held, strange }
    }

    /// The document as it was written.
    pub fn raw(&self) -> &Value {
        &self.raw
    }

    /// The document after a change, with everything that only another version knows.
    ///
    /// # Errors
    /// When `after` cannot be written as JSON.
    pub fn carry(&self, after: &T) -> serde_json::Result<Value> {
        let known = serde_json::to_value(&self.document)?;
        // Lists without their strange elements, so that the others stand at the same places in all three.
        let mut raw = self.raw.clone();
        for (name, ..) in &self.strange {
            raw[name] = self.held[name].clone();
        }
        let mut next = carry(&raw, &known, &serde_json::to_value(after)?);
        for (name, place, element) in &self.strange {
            if let Some(Value::Array(elements)) = next.get_mut(name) {
                elements.insert((*place).min(elements.len()), element.clone());
            }
        }
        Ok(next)
    }
}

/// A field as far as it can be read in a document that can: keys of it that nobody knows may be missing.
fn fitting<T: DeserializeOwned>(document: &Map<String, Value>, name: &str, value: &Value) -> Option<Value> {
    /// More new keys than a version brings.
    const MOST: usize = 32;
    let mut value = value.clone();
    for _ in 0..MOST {
        let mut with = document.clone();
        with.insert(name.to_owned(), value.clone());
        let error = match serde_json::from_value::<T>(Value::Object(with)) {
            Ok(_) => return Some(value),
            Err(error) => error.to_string(),
        };
        // Documents of people are strict about their keys, and parts of them are remembered.
        let unknown = error.strip_prefix("unknown field `")?.split('`').next()?.to_owned();
        remove_key(&mut value, &unknown);
    }
    None
}

fn remove_key(value: &mut Value, key: &str) {
    match value {
        Value::Object(fields) => {
            fields.remove(key);
            fields.values_mut().for_each(|value| remove_key(value, key));
        }
        Value::Array(elements) => elements.iter_mut().for_each(|value| remove_key(value, key)),
        _ => {}
    }
}

/// Keys that say which variant of an enum an object is.
const TAGS: [&str; 4] = ["as", "at", "event", "state"];

/// `after` with what `raw` says beyond `known`, where `known` is what this version wrote for `raw`.
fn carry(raw: &Value, known: &Value, after: &Value) -> Value {
    if known == after {
        return raw.clone();
    }
    match (raw, known, after) {
        // Another variant has keys of its own.
        (Value::Object(_), Value::Object(known), Value::Object(said))
            if TAGS.iter().any(|tag| {
                matches!((known.get(*tag), said.get(*tag)), (Some(Value::String(one)), Some(Value::String(other))) if one != other)
            }) =>
        {
            after.clone()
        }
        (Value::Object(raw), Value::Object(known), Value::Object(after)) => {
            let said = after.iter().map(|(name, value)| {
                let value = match (raw.get(name), known.get(name)) {
                    (Some(raw), Some(known)) => carry(raw, known, value),
                    _ => value.clone(),
                };
                (name.clone(), value)
            });
            let unsaid =
                raw.iter().filter(|(name, _)| !known.contains_key(*name) && !after.contains_key(*name));
            let unsaid = unsaid.map(|(name, value)| (name.clone(), value.clone()));
            Value::Object(said.chain(unsaid).collect())
        }
        (Value::Array(raw), Value::Array(known), Value::Array(after)) if raw.len() == known.len() => {
            let one = |(place, value): (usize, &Value)| match known.iter().position(|other| other == value) {
                Some(same) => raw[same].clone(),
                // What stood here is nowhere else: it was changed, and nothing was moved.
                None if known.len() == after.len() && !after.contains(&known[place]) => {
                    carry(&raw[place], &known[place], value)
                }
                None => value.clone(),
            };
            Value::Array(after.iter().enumerate().map(one).collect())
        }
        _ => after.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::black_box::{BlackBox, Ending};
    use crate::ledger::{HistoryEvent, Ledger, UpgradeStage};
    use proptest::prelude::*;
    use serde_json::json;

    const HASH: &str = "abababababababababababababababababababababababababababababababab";

    fn image(version: &str) -> Value {
        json!({ "name": "edge", "version": version, "root_hash": HASH, "created": 1, "data_blocks": 1, "signed": true })
    }

    /// As an agent of the future may write it.
    fn of_the_future() -> Value {
        json!({
            "generation": 7, "format": 3, "slot_a": image("1"), "slot_b": null, "recovery": null,
            "pending": { "slot": "b", "image": image("3"), "source": "oci:x", "stage": { "at": "delta", "base": 4 } },
            "failed": [
                { "root_hash": HASH, "version": "2", "reason": "health", "at": 5, "log": "a line" },
                { "root_hash": { "sha3": "00" }, "version": "2.1" },
            ],
            "history": [{ "at": 1, "event": "attested", "version": "1", "root_hash": HASH, "by": "tpm" }],
            "components": { "kubernetes": "1.40" },
        })
    }

    #[test]
    fn what_a_newer_version_wrote_is_no_damage_and_stays() {
        let read = Understood::<Ledger>::read(of_the_future());
        let ledger = &read.document;
        assert_eq!(ledger.failed.len(), 1, "the failed image is not forgotten");
        assert_eq!(ledger.history[0].event, HistoryEvent::Unknown);
        assert_eq!(ledger.pending.as_ref().unwrap().stage, UpgradeStage::Unknown);
        let mut after = ledger.clone();
        after.slot_b = after.slot_a.clone();
        after
            .history
            .push(crate::ledger::HistoryEntry { event: HistoryEvent::Committed, ..after.history[0].clone() });
        let written = read.carry(&after).unwrap();
        assert_eq!(written["components"]["kubernetes"], "1.40");
        assert_eq!(written["failed"][0]["log"], "a line");
        assert_eq!(written["failed"][1]["version"], "2.1");
        assert_eq!(written["pending"]["stage"]["at"], "delta");
        assert_eq!(written["history"][0]["event"], "attested");
        assert_eq!(written["history"][1]["event"], "committed");
        assert_eq!(written["slot_b"]["version"], "1");
    }

    #[test]
    fn what_is_changed_or_removed_does_not_come_back() {
        let read = Understood::<Ledger>::read(of_the_future());
        let after = Ledger { pending: None, ..read.document.clone() };
        assert_eq!(read.carry(&after).unwrap()["pending"], Value::Null);
        let boots = json!({ "boots": [{ "id": "1", "mode": "main", "version": "1", "rootHash": HASH,
            "ending": { "as": "vaporized", "reason": "x" }, "temperature": 99 }] });
        let read = Understood::<BlackBox>::read(boots);
        let mut after = read.document.clone();
        assert_eq!(after.boots[0].ending, Ending::Unknown);
        after.boots[0].ending = Ending::LostPowerOrReset;
        let written = read.carry(&after).unwrap();
        assert_eq!(written["boots"][0]["ending"]["as"], "lost-power-or-reset");
        assert_eq!(written["boots"][0]["temperature"], 99);
    }

    #[test]
    fn a_ring_that_turns_gives_nobody_what_was_another_s() {
        let boot = |id: &str| {
            json!({ "id": id, "mode": "main", "version": "1", "rootHash": HASH,
            "ending": { "as": "vaporized", "reason": "x" }, "temperature": 99 })
        };
        let read = Understood::<BlackBox>::read(json!({ "boots": [boot("1"), boot("2")] }));
        let mut after = read.document.clone();
        let mut third = after.boots.remove(0);
        third.id = "3".into();
        after.boots.push(third);
        let written = read.carry(&after).unwrap();
        assert_eq!(written["boots"][0]["temperature"], 99);
        assert_eq!(written["boots"][1].get("temperature"), None, "{written}");
        let mut after = read.document.clone();
        after.boots[0].ending = Ending::LostPowerOrReset;
        assert_eq!(read.carry(&after).unwrap()["boots"][0]["ending"], json!({ "as": "lost-power-or-reset" }));
    }

    /// Such as a network that is remembered: its type is that of a document of people.
    #[test]
    fn a_strict_part_with_a_new_key_is_understood_and_kept() {
        #[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        struct Strict {
            mtu: u32,
        }
        #[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(default)]
        struct Memory {
            proven: Option<Strict>,
            boots: u32,
        }
        let read = Understood::<Memory>::read(json!({ "proven": { "mtu": 9000, "wifi": { "ssid": "x" } } }));
        assert_eq!(read.document.proven, Some(Strict { mtu: 9000 }));
        let written = read.carry(&Memory { boots: 1, ..read.document.clone() }).unwrap();
        assert_eq!((&written["proven"]["wifi"]["ssid"], &written["boots"]), (&json!("x"), &json!(1)));
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<u32>().prop_map(Value::from),
            "[a-z]{0,6}".prop_map(Value::from)
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            let key = prop_oneof![
                Just("failed".to_owned()),
                Just("history".to_owned()),
                Just("pending".to_owned()),
                "[a-z]{1,4}"
            ];
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(key, inner, 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn nothing_panics_and_an_unchanged_document_stays_as_it_was(raw in any_json()) {
            let read = Understood::<Ledger>::read(raw.clone());
            let written = read.carry(&read.document).unwrap();
            if let Value::Object(fields) = raw {
                for (name, value) in fields {
                    prop_assert_eq!(&written[&name], &value, "{}", name);
                }
            }
        }
    }
}
