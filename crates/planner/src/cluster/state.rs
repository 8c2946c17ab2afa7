//! What is seen of a cluster, in words: from objects of its API to what an operator reads.

use edge_model::api::cluster::{PodState, PodStatus};
use serde_json::Value;

/// Whether a node says that it is ready; otherwise why not.
///
/// # Errors
/// The node's own words.
pub fn node_is_ready(node: &Value) -> Result<(), String> {
    let ready = conditions(node, "Ready");
    match ready.and_then(|condition| condition["status"].as_str()) {
        Some("True") => Ok(()),
        _ => {
            let why = ready.and_then(|condition| condition["message"].as_str()).unwrap_or_default();
            Err(if why.is_empty() { "the node has not reported yet".into() } else { why.to_owned() })
        }
    }
}

fn conditions<'v>(object: &'v Value, kind: &str) -> Option<&'v Value> {
    object.pointer("/status/conditions")?.as_array()?.iter().find(|condition| condition["type"] == kind)
}

/// One pod as a person should see it.
pub fn pod(pod: &Value) -> PodStatus {
    let text = |pointer: &str| pod.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let restarts = containers(pod).filter_map(|container| container["restartCount"].as_u64()).sum();
    PodStatus {
        namespace: text("/metadata/namespace"),
        name: text("/metadata/name"),
        state: pod_state(pod),
        restarts,
    }
}

fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    let list =
        |pointer: &str| pod.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    list("/status/initContainerStatuses").iter().chain(list("/status/containerStatuses"))
}

fn pod_state(pod: &Value) -> PodState {
    let phase = pod.pointer("/status/phase").and_then(Value::as_str).unwrap_or("Unknown");
    if pod.pointer("/metadata/deletionTimestamp").is_some() {
        return PodState::Waiting { reason: "it is being stopped".into() };
    }
    match phase {
        "Succeeded" => PodState::Done,
        "Running" if conditions(pod, "Ready").is_some_and(|ready| ready["status"] == "True") => {
            PodState::Running
        }
        // Its controller has made another one, or will not: that is told by the one that counts.
        "Failed" if pod.pointer("/metadata/ownerReferences/0").is_some() => PodState::Done,
        "Failed" => {
            let why =
                pod.pointer("/status/message").and_then(Value::as_str).unwrap_or("it ended with an error");
            PodState::Failing { reason: why.to_owned() }
        }
        _ => trouble(pod).unwrap_or_else(|| PodState::Waiting { reason: waiting(pod, phase) }),
    }
}

/// What does not become better by waiting.
fn trouble(pod: &Value) -> Option<PodState> {
    for container in containers(pod) {
        let waiting = &container["state"]["waiting"];
        let image = container["image"].as_str().unwrap_or_default();
        let reason = match waiting["reason"].as_str().unwrap_or_default() {
            "ImagePullBackOff" | "ErrImagePull" | "ErrImageNeverPull" => {
                format!("its image {image} is not on this host")
            }
            "InvalidImageName" => format!("{image} is no name of an image"),
            "CrashLoopBackOff" => {
                format!("{} ends again and again{}", name_of(container), how_it_ended(container))
            }
            "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => {
                let why = waiting["message"].as_str().unwrap_or("no reason is given");
                format!("{} cannot be started: {why}", name_of(container))
            }
            _ => continue,
        };
        return Some(PodState::Failing { reason });
    }
    let scheduled = conditions(pod, "PodScheduled")?;
    let message = scheduled["message"].as_str().filter(|message| !message.is_empty())?;
    (scheduled["status"] == "False")
        .then(|| PodState::Failing { reason: format!("no node takes it: {message}") })
}

fn name_of(container: &Value) -> &str {
    container["name"].as_str().unwrap_or("a container")
}

fn how_it_ended(container: &Value) -> String {
    match container.pointer("/lastState/terminated/exitCode").and_then(Value::as_i64) {
        Some(137) => ", killed (out of memory or by hand)".into(),
        Some(code) => format!(", with exit code {code}"),
        None => String::new(),
    }
}

fn waiting(pod: &Value, phase: &str) -> String {
    let creating = containers(pod).any(|container| {
        matches!(
            container.pointer("/state/waiting/reason").and_then(Value::as_str),
            Some("ContainerCreating" | "PodInitializing")
        )
    });
    match phase {
        _ if creating => "it is being started".into(),
        "Running" => "it runs, and is not ready yet".into(),
        "Pending" => "it waits for its turn".into(),
        other => format!("its phase is {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn pods_are_described_in_words() {
        let container = |state: Value| json!({ "name": "pos", "image": "shop/pos:1", "restartCount": 3, "state": state, "lastState": { "terminated": { "exitCode": 2 } } });
        let waiting = |reason: &str| container(json!({ "waiting": { "reason": reason } }));
        let with = |phase: &str, containers: Vec<Value>, ready: &str| {
            json!({ "metadata": { "namespace": "pos", "name": "pos-1" }, "status": {
                "phase": phase, "containerStatuses": containers, "conditions": [{ "type": "Ready", "status": ready }] } })
        };
        for (object, expected) in [
            (with("Running", vec![container(json!({ "running": {} }))], "True"), PodState::Running),
            (with("Succeeded", vec![], "False"), PodState::Done),
            (
                with("Running", vec![container(json!({ "running": {} }))], "False"),
                PodState::Waiting { reason: "it runs, and is not ready yet".into() },
            ),
            (
                with("Pending", vec![waiting("ContainerCreating")], "False"),
                PodState::Waiting { reason: "it is being started".into() },
            ),
            (
                with("Pending", vec![waiting("ImagePullBackOff")], "False"),
                PodState::Failing { reason: "its image shop/pos:1 is not on this host".into() },
            ),
            (
                with("Running", vec![waiting("CrashLoopBackOff")], "False"),
                PodState::Failing { reason: "pos ends again and again, with exit code 2".into() },
            ),
            (
                json!({ "status": { "phase": "Pending", "conditions": [
                    { "type": "PodScheduled", "status": "False", "message": "0/1 nodes are available: 1 Insufficient memory." }] } }),
                PodState::Failing {
                    reason: "no node takes it: 0/1 nodes are available: 1 Insufficient memory.".into(),
                },
            ),
        ] {
            assert_eq!(pod(&object).state, expected, "{object}");
        }
        assert_eq!(pod(&with("Running", vec![waiting("x")], "True")).restarts, 3);
    }

    #[test]
    fn a_node_says_why_it_is_not_ready() {
        let node = |status: &str| json!({ "status": { "conditions": [{ "type": "Ready", "status": status, "message": "network plugin is not ready" }] } });
        assert_eq!(node_is_ready(&node("True")), Ok(()));
        assert_eq!(node_is_ready(&node("False")), Err("network plugin is not ready".into()));
        assert!(node_is_ready(&json!({})).is_err());
    }

    proptest! {
        #[test]
        fn no_answer_panics(text in "[\\[\\]{}\":,a-z0-9]{0,200}") {
            if let Ok(value) = serde_json::from_str::<Value>(&text) {
                let _ = (pod(&value), node_is_ready(&value));
            }
        }
    }
}
