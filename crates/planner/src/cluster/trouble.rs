//! A cluster whose API does not answer cannot say why: what its host sees of it can.

use serde_json::Value;

/// Containers without which there is no API, in the order in which one needs the other.
pub const NEEDED: [(&str, &str); 2] =
    [("etcd", "the datastore (etcd)"), ("kube-apiserver", "the Kubernetes API (kube-apiserver)")];
/// What kubelet says only because there is no API yet.
const CONSEQUENCES: [&str; 7] = [
    "mirror pod",
    "connection refused",
    "node is not registered",
    "Unable to register node",
    "failed to ensure lease",
    "Failed to watch",
    "error getting node",
];
/// As much of a program's last words as a person reads.
const LONGEST: usize = 240;

/// A unit of the service manager.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnitSight {
    pub is_active: bool,
    pub restarts: u32,
    /// Of its journal, the last lines, oldest first.
    pub lines: Vec<String>,
}

/// The newest container of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerSight {
    pub id: String,
    pub name: String,
    pub is_running: bool,
    /// How often one of this name was made before it.
    pub attempt: u64,
    /// Of its log, the last lines.
    pub lines: Vec<String>,
}

/// What a host sees of a cluster that does not answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sight {
    pub runtime: UnitSight,
    pub kubelet: UnitSight,
    pub containers: Vec<ContainerSight>,
}

/// Why there is no API, if it can be seen.
pub fn why_no_api(sight: &Sight) -> Option<String> {
    let nothing_started = !sight.containers.iter().any(|container| container.name == NEEDED[0].0);
    for (unit, name) in [(&sight.runtime, "containerd"), (&sight.kubelet, "kubelet")] {
        // A program that ends at once is seen while it runs, too.
        let ends = nothing_started && unit.restarts > 1;
        if !unit.is_active || ends {
            let how = if unit.restarts > 0 { "ends again and again" } else { "does not run" };
            return Some(with_last_words(format!("{name} {how}"), &unit.lines));
        }
    }
    for (name, words) in NEEDED {
        match sight.containers.iter().find(|container| container.name == name) {
            Some(container) if !container.is_running && container.attempt > 0 => {
                return Some(with_last_words(format!("{words} ends again and again"), &container.lines));
            }
            Some(_) => {}
            None => {
                let error = sight
                    .kubelet
                    .lines
                    .iter()
                    .rev()
                    .find_map(|line| error_of(line).filter(|_| tells(line)))?;
                return Some(format!("{words} is not started: {}", in_short(&error)));
            }
        }
    }
    None
}

fn with_last_words(what: String, lines: &[String]) -> String {
    match last_error(lines) {
        Some(error) => format!("{what}: {error}"),
        None => what,
    }
}

/// The newest container of each name, from the answer of `crictl ps --all --output json`.
pub fn containers(answer: &Value) -> Vec<ContainerSight> {
    let list = answer["containers"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut newest: Vec<ContainerSight> = Vec::new();
    for container in list {
        let text = |pointer: &str| container.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let seen = ContainerSight {
            id: text("/id").to_owned(),
            name: text("/metadata/name").to_owned(),
            is_running: text("/state") == "CONTAINER_RUNNING",
            attempt: container.pointer("/metadata/attempt").and_then(Value::as_u64).unwrap_or(0),
            lines: Vec::new(),
        };
        match newest.iter_mut().find(|known| known.name == seen.name) {
            Some(known) if known.attempt < seen.attempt => *known = seen,
            Some(_) => {}
            None => newest.push(seen),
        }
    }
    newest
}

/// The last line that tells of an error of its own; without one, the last line.
fn last_error(lines: &[String]) -> Option<String> {
    let mut told = lines.iter().rev().filter(|line| tells(line));
    let found = told.clone().find_map(|line| error_of(line)).or_else(|| told.next().cloned())?;
    Some(in_short(&found)).filter(|error| !error.is_empty())
}

fn tells(line: &str) -> bool {
    !CONSEQUENCES.iter().any(|words| line.contains(words))
}

fn in_short(error: &str) -> String {
    error.trim().chars().take(LONGEST).collect()
}

/// Of the ways in which these programs write: klog (`E1126 22:49:41.131720 1 file.go:12] "Words" err="why"`), zap's JSON
/// (etcd), `level=fatal msg=…` (containerd), and plain `Error: …`.
fn error_of(line: &str) -> Option<String> {
    if let Ok(Value::Object(entry)) = serde_json::from_str::<Value>(line) {
        let text = |key: &str| entry.get(key).and_then(Value::as_str);
        let bad = matches!(text("level"), Some("error" | "fatal" | "panic"));
        return bad.then(|| match (text("msg"), text("error")) {
            (Some(words), Some(error)) => format!("{words}: {error}"),
            (words, error) => words.or(error).unwrap_or_default().to_owned(),
        });
    }
    if let Some((head, words)) = line.split_once("] ")
        && head.starts_with(['E', 'F'])
        && head.get(1..5).is_some_and(|date| date.bytes().all(|byte| byte.is_ascii_digit()))
    {
        return Some(quoted(words, "err=").unwrap_or_else(|| words.trim_matches('"').to_owned()));
    }
    if line.contains("level=fatal") || line.contains("level=error") {
        return quoted(line, "error=").or_else(|| quoted(line, "msg="));
    }
    line.trim_start().strip_prefix("Error: ").or_else(|| line.strip_prefix("panic: ")).map(str::to_owned)
}

/// The value behind a key, quoted as Go does it.
fn quoted(line: &str, key: &str) -> Option<String> {
    let start = line.find(key)? + key.len();
    let rest = line.get(start..)?.strip_prefix('"')?;
    let mut value = String::new();
    let mut letters = rest.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => return Some(value),
            '\\' => match letters.next()? {
                'n' | 't' => value.push(' '),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn lines(text: &[&str]) -> Vec<String> {
        text.iter().map(|line| (*line).to_owned()).collect()
    }

    fn running(said: &[&str]) -> UnitSight {
        UnitSight { is_active: true, restarts: 0, lines: lines(said) }
    }

    fn container(name: &str, is_running: bool, attempt: u64, said: &[&str]) -> ContainerSight {
        ContainerSight { id: "1".into(), name: name.into(), is_running, attempt, lines: lines(said) }
    }

    #[test]
    fn what_is_seen_is_said_in_words() {
        let kubelet_fails = UnitSight {
            is_active: false,
            restarts: 7,
            lines: lines(&[
                "I1126 22:49:41.131720     534 server.go:520] \"Kubelet version\" kubeletVersion=\"v1.37.2\"",
                "E1126 22:49:42.131720     534 run.go:72] \"command failed\" err=\"failed to run Kubelet: cgroup v1 is \\\"not\\\" supported\"",
            ]),
        };
        let etcd = r#"{"level":"fatal","ts":"2026-11-26T23:34:08.16Z","msg":"discovery failed","error":"wal: file is broken"}"#;
        for (sight, expected) in [
            (
                Sight { runtime: running(&[]), kubelet: kubelet_fails, containers: vec![] },
                Some("kubelet ends again and again: failed to run Kubelet: cgroup v1 is \"not\" supported"),
            ),
            (Sight { kubelet: running(&[]), ..Sight::default() }, Some("containerd does not run")),
            (
                Sight {
                    runtime: running(&[]),
                    kubelet: running(&[]),
                    containers: vec![container("etcd", false, 3, &[etcd])],
                },
                Some("the datastore (etcd) ends again and again: discovery failed: wal: file is broken"),
            ),
            (
                Sight {
                    runtime: running(&[]),
                    kubelet: running(&[]),
                    containers: vec![
                        container("etcd", true, 0, &[]),
                        container("kube-apiserver", false, 1, &["Error: unknown flag: --x"]),
                    ],
                },
                Some("the Kubernetes API (kube-apiserver) ends again and again: unknown flag: --x"),
            ),
            // Everything is on its way.
            (
                Sight {
                    runtime: running(&[]),
                    kubelet: running(&["E1126 22:49:42.1 534 a.go:1] \"Cannot reach the API\""]),
                    containers: vec![
                        container("etcd", true, 0, &[]),
                        container("kube-apiserver", true, 0, &[]),
                    ],
                },
                None,
            ),
            (
                Sight {
                    runtime: running(&[]),
                    kubelet: running(&[
                        "E1126 22:49:42.1 534 a.go:1] \"Error syncing pod\" err=\"no space left\" pod=\"x\"",
                    ]),
                    containers: vec![],
                },
                Some("the datastore (etcd) is not started: no space left"),
            ),
        ] {
            assert_eq!(why_no_api(&sight).as_deref(), expected);
        }
    }

    #[test]
    fn only_the_newest_container_of_a_name_counts() {
        let of = |name: &str, attempt: u64, state: &str| json!({ "id": format!("{name}{attempt}"), "metadata": { "name": name, "attempt": attempt }, "state": state });
        let answer = json!({ "containers": [
            of("etcd", 1, "CONTAINER_EXITED"), of("etcd", 2, "CONTAINER_RUNNING"), of("etcd", 0, "CONTAINER_EXITED"),
        ] });
        let [newest] = &containers(&answer)[..] else { panic!("one name") };
        assert!(newest.is_running && newest.id == "etcd2");
        assert!(containers(&json!({})).is_empty());
    }

    proptest! {
        #[test]
        fn no_line_panics(line in "[EF]?[0-9]{0,4}.{0,60}(err=\"|error=\"|msg=\")?.{0,60}") {
            let sight = Sight { kubelet: UnitSight { lines: vec![line], ..UnitSight::default() }, ..Sight::default() };
            let _ = (why_no_api(&sight), last_error(&sight.kubelet.lines));
        }
    }
}
