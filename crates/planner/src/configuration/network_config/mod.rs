//! NoCloud's `network-config`, version 1 and netplan's version 2, in the spelling of user data.

mod document;
mod interfaces;

use edge_model::document::tree::{Entry, Node, Place};
use edge_model::document::{self as documents, Document, Problem};
use serde_json::Value as Json;

use self::document::{NetplanAddress, NetworkConfig};
use self::interfaces::{Parameters, interfaces};

pub(super) fn network_config(name: &str, text: &str) -> (Node, Vec<Problem>) {
    let mut node = match documents::tree::read(name, text) {
        Ok(node) => node,
        Err(problem) => return (Node::empty(problem.place.clone()), vec![problem]),
    };
    if let Some(inner) = node.take("network") {
        node = inner.value;
    }
    let mut problems = Vec::new();
    documents::check::check(&mut node, NetworkConfig::schema().root(), &mut problems);
    let place = node.place.clone();
    let mut user_data = Node::empty(place.clone());
    match documents::typed::<NetworkConfig>(&node) {
        Ok(config) => {
            notes(&config, &place, &mut problems);
            let interfaces = serde_json::to_value(interfaces(&config)).unwrap_or_default();
            let value = without_nothing(&interfaces);
            let value = Node::from_json(&place, &value);
            let entry = Entry { key: String::new(), key_place: place, value };
            user_data.put(&["edge", "site", "network", "interfaces"], entry);
        }
        Err(error) => problems.push(Problem::error(place, "", error.to_string())),
    }
    (user_data, problems)
}

/// Without nulls and empty lists: what was not said must not overrule anything.
fn without_nothing(json: &Json) -> Json {
    match json {
        Json::Object(entries) => Json::Object(
            entries
                .iter()
                .filter(|(_, value)| !value.is_null() && value.as_array().is_none_or(|list| !list.is_empty()))
                .map(|(key, value)| (key.clone(), without_nothing(value)))
                .collect(),
        ),
        Json::Array(items) => Json::Array(items.iter().map(without_nothing).collect()),
        other => other.clone(),
    }
}

/// A value that nothing acts on must not look as if it did.
fn notes(config: &NetworkConfig, place: &Place, problems: &mut Vec<Problem>) {
    let note = |path: String, message: &str| Problem::warning(place.clone(), &path, message);
    let plans = [
        ("ethernets", &config.ethernets),
        ("vlans", &config.vlans),
        ("bonds", &config.bonds),
        ("bridges", &config.bridges),
    ];
    for (kind, (id, plan)) in
        plans.iter().flat_map(|(kind, plans)| plans.iter().map(move |plan| (kind, plan)))
    {
        for key in Parameters(&plan.parameters).unknown() {
            problems.push(note(format!("{kind}.{id}.parameters.{key}"), "nothing acts on this parameter"));
        }
        for (key, given) in
            [("ipv6-privacy", plan.ipv6_privacy == Some(true)), ("wakeonlan", plan.wakeonlan == Some(true))]
        {
            if given {
                problems.push(note(format!("{kind}.{id}.{key}"), "nothing acts on this"));
            }
        }
        let addresses = plan.addresses.iter().filter_map(NetplanAddress::text);
        for address in addresses.filter(|address| documents::format::check("ip-network", address).is_err()) {
            problems.push(Problem::error(
                place.clone(),
                &format!("{kind}.{id}.addresses"),
                format!("{address:?} is not an address with a prefix length, like 10.0.0.5/24"),
            ));
        }
    }
    for device in &config.config {
        let name = device.name.clone().unwrap_or_default();
        for key in Parameters(&device.params).unknown() {
            problems.push(Problem::warning(
                place.clone(),
                &format!("{name}.params.{key}"),
                "nothing acts on this parameter",
            ));
        }
    }
}
