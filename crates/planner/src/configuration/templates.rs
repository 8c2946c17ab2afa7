//! Values that are templates: rendered once the host is known, and tried before that with a host that does not exist.

use edge_model::document::tree::Value;
use edge_model::document::{Document, Node, Part, Problem, format};
use edge_model::user_data::UserData;
use serde_json::{Value as Json, json};

use crate::template;

/// What a host says to templates, with a value in each place: a template that holds here holds on a host.
pub fn sample_values() -> Json {
    let text = |name: &str| format!("0123456789abcdef-{name}");
    let texts = |names: &[&str]| -> Json {
        names
            .iter()
            .map(|name| ((*name).to_owned(), Json::from(text(name))))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    let machine = ["name", "vendor", "version", "serial"];
    let with = |more: &[&str]| texts(&[&machine, more].concat());
    json!({
        "Random": text("random"), "UUID": text("uuid"), "MachineID": text("machine"), "ProtectedID": text("protected"),
        "Values": {
            "Random": text("random"), "ProtectedID": text("protected"),
            "node": texts(&["hostname", "machineid", "timezone", "hypervisor"]),
            "os": texts(&["name", "vendor", "version", "release", "architecture"]),
            "kernel": texts(&["release", "version", "architecture"]),
            "product": with(&["uuid", "sku"]), "board": with(&["assettag"]), "chassis": texts(&["type", "vendor", "version", "serial", "assettag"]),
            "bios": texts(&["vendor", "version", "date"]),
            "cpu": { "vendor": "cpu", "model": "cpu", "threads": 4, "cpus": 1, "cores": 4, "speed": 2000, "cache": 4096 },
            "memory": { "size": 8192, "type": "DDR4", "speed": 3200 },
            "storage": [{ "name": "sda", "driver": "sd", "vendor": "disk", "model": "disk", "serial": "1", "size": 64 }],
            "network": [{ "name": "enp1s0", "driver": "e1000", "macaddress": "52:54:00:12:34:56", "speed": 1000 }],
        },
    })
}

/// Renders every value that may be a template. One that cannot be rendered, or comes to something else than its key takes, is told and
/// left out.
pub fn fill_in(tree: &mut Node, values: &dyn Fn() -> Json, problems: &mut Vec<Problem>) {
    let mut filler = Filler { values: None, make: values, problems };
    filler.node(tree, UserData::schema().root(), "");
}

struct Filler<'a> {
    /// Asking a machine for all of it takes time, and few documents need it.
    values: Option<Json>,
    make: &'a dyn Fn() -> Json,
    problems: &'a mut Vec<Problem>,
}

impl Filler<'_> {
    fn node(&mut self, node: &mut Node, part: Part<'_>, path: &str) {
        match &mut node.value {
            Value::Map(entries) => entries.retain_mut(|entry| {
                let at = if path.is_empty() { entry.key.clone() } else { format!("{path}.{}", entry.key) };
                match part.property(&entry.key).or_else(|| part.other_properties()) {
                    Some(inner) if inner.is_rendered_with_the_configuration() => {
                        self.fill(&mut entry.value, inner, &at)
                    }
                    Some(inner) => {
                        self.node(&mut entry.value, inner, &at);
                        true
                    }
                    None => true,
                }
            }),
            Value::List(items) => {
                let Some(inner) = part.items() else { return };
                items
                    .iter_mut()
                    .enumerate()
                    .for_each(|(at, item)| self.node(item, inner, &format!("{path}.{at}")));
            }
            Value::Scalar { .. } => {}
        }
    }

    /// Whether the value stays.
    fn fill(&mut self, node: &mut Node, part: Part<'_>, path: &str) -> bool {
        let Some(text) = node.scalar().filter(|text| text.contains("{{")).map(str::to_owned) else {
            return true;
        };
        let values = self.values.get_or_insert_with(|| (self.make)());
        let made = template::render(&text, values).map_err(|error| error.to_string()).and_then(|made| {
            let made = made.trim().to_owned();
            match part.format() {
                Some(kind) => format::check(kind, &made).map(|_| made),
                None => Ok(made),
            }
        });
        match made {
            Ok(made) => {
                *node = Node::text(node.place.clone(), made);
                true
            }
            Err(why) => {
                self.problems.push(Problem::error(node.place.clone(), path, format!("the template: {why}")));
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use edge_model::document;

    fn filled(text: &str) -> (Option<String>, Vec<String>) {
        let (mut node, _) = document::read::<UserData>("user-data", text);
        let mut problems = Vec::new();
        fill_in(&mut node, &sample_values, &mut problems);
        let name = node.find("hostname").and_then(Node::scalar).map(str::to_owned);
        (name, problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_host_name_may_be_a_template() {
        let (name, problems) = filled("hostname: till-{{ trunc 4 .MachineID }}\n");
        assert_eq!((name.as_deref(), problems.len()), (Some("till-0123"), 0), "{problems:?}");
        for (text, why) in [
            ("hostname: 'till {{ .MachineID }}'\n", "is not a host name"),
            ("hostname: '{{ .MachinID }}'\n", "MachinID"),
            ("hostname: '{{ nofunction .MachineID }}'\n", "nofunction"),
            ("hostname: '{{ if }'\n", "the template"),
        ] {
            let (name, problems) = filled(text);
            assert!(
                name.is_none() && problems.len() == 1 && problems[0].contains(why),
                "{text}: {problems:?}"
            );
        }
        assert_eq!(filled("hostname: plain\n").0.as_deref(), Some("plain"));
    }
}
