//! What an unsigned source from outside the verified image may bring to a host with Secure Boot: who and where the host is, and
//! neither code nor keys.

use edge_model::document::{Document, Part};
use edge_model::user_data::UserData;
use edge_planner::configuration::{Form, Kind, Source, Trust, combine};

/// All that may come; whoever marks a key in the types says here that it brings no code and no key.
const MAY_COME: [&str; 17] = [
    "edge.install",
    "edge.interactive",
    "edge.site.edgeHostToken",
    "edge.site.hostName",
    "edge.site.keyboard",
    "edge.site.name",
    "edge.site.network",
    "edge.site.ntpServers",
    "edge.site.prefix",
    "edge.site.projectName",
    "edge.site.projectUid",
    "edge.site.tags",
    "edge.site.timeZone",
    "fqdn",
    "hostname",
    "install",
    "name",
];

fn marked(part: Part<'_>, path: &str, found: &mut Vec<String>) {
    for (name, property) in part.properties() {
        let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        if property.may_come_from_site() {
            found.push(path);
        } else {
            marked(property, &path, found);
        }
    }
}

#[test]
fn only_what_is_listed_here_may_come() {
    let mut found = Vec::new();
    marked(UserData::schema().root(), "", &mut found);
    found.sort();
    assert_eq!(found, MAY_COME);
}

fn of_a_stick(text: &str) -> (String, Vec<String>) {
    let source =
        Source { kind: Kind::Site, form: Form::UserData, name: "stick".into(), text: text.to_owned() };
    let merged = combine(&[source], Trust { secure_boot: true, now: None });
    let refused = merged.problems.iter().filter(|problem| problem.message.contains("needs a signature"));
    (format!("{:?}", merged.tree), refused.map(|problem| problem.path.clone()).collect())
}

/// Each way in which a document could bring something that runs, or that is trusted.
#[test]
fn code_and_keys_do_not_come_by_any_key() {
    const EVIL: &str = "evil-7f3a";
    for (path, value) in [
        ("stages", "{boot: [{commands: [evil-7f3a]}]}"),
        ("users", "[{name: evil-7f3a}]"),
        ("ssh_authorized_keys", "['github:evil-7f3a']"),
        ("write_files", "[{path: /etc/x, content: evil-7f3a}]"),
        ("runcmd", "[evil-7f3a]"),
        ("env", "['LD_PRELOAD=/evil-7f3a']"),
        ("providers", "{paths: [/evil-7f3a]}"),
        ("cloud-init-paths", "[/evil-7f3a]"),
        ("k3s", "{enabled: true, args: [evil-7f3a]}"),
        ("p2p", "{network_token: evil-7f3a}"),
        ("bundles", "[{targets: ['run://evil-7f3a']}]"),
        ("config_url", "https://evil-7f3a.example/x"),
        ("edge.operator", "{name: evil-7f3a}"),
        ("edge.health", "{commands: [evil-7f3a]}"),
        ("edge.upgrade", "{unsigned: allow}"),
        ("edge.cluster", "{name: evil-7f3a, distribution: kubeadm}"),
        ("edge.disableTui", "true"),
        ("edge.site.caCerts", "[evil-7f3a]"),
        ("edge.site.deviceUIDPaths", "[{name: /evil-7f3a}]"),
        ("edge.localUI.login", "{disable_rate_limiting: true}"),
    ] {
        let mut keys: Vec<&str> = path.split('.').collect();
        let last = keys.pop().unwrap();
        let open: String = keys.iter().map(|key| format!("{key}: {{")).collect();
        let text =
            format!("#cloud-config\n{open}{last}: {value}{}\nhostname: till-9\n", "}".repeat(keys.len()));
        let (tree, refused) = of_a_stick(&text);
        assert!(refused.iter().any(|refused| path.starts_with(refused.as_str())), "{path}: {refused:?}");
        assert!(!tree.contains(EVIL) && tree.contains("till-9"), "{path}: {tree}");
    }
}

#[test]
fn a_site_says_where_its_host_is() {
    let text = "#cloud-config\nedge: {site: {hostName: till-9, network: {nameserver: 192.0.2.1}, timeZone: Europe/Zurich}}\n";
    let (tree, refused) = of_a_stick(text);
    assert!(refused.is_empty(), "{refused:?}");
    assert!(["till-9", "192.0.2.1", "Europe/Zurich"].iter().all(|said| tree.contains(said)), "{tree}");
}
