//! The API of this host's cluster, as the agent uses it: through its own key, over the cluster's own address.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use edge_host::files;
use edge_model::{Context, Error, Result};
use edge_planner::cluster::ObjectSet;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::discovery::{Scope, pinned_kind};
use kube::{Api, Client, Config};
use serde_json::{Value, json};
use tokio::runtime::Handle;

/// Stronger than the one for people: it works before any rights are there. It never leaves this host.
const ACCESS: &str = "/etc/kubernetes/super-admin.conf";
const PATIENCE: Duration = Duration::from_secs(20);
const MANAGER: &str = "edge-agent";
/// Where the agent remembers inside the cluster what it has applied.
const NAMESPACE: &str = "edge-system";

pub(super) struct KubeApi {
    client: Client,
    runtime: Handle,
    kinds: HashMap<GroupVersionKind, (ApiResource, Scope)>,
}

impl KubeApi {
    /// # Errors
    /// When there is no access yet.
    pub(super) fn open(runtime: &Handle) -> Result<Self> {
        let text = files::read_text(Path::new(ACCESS))?;
        let unusable = |error: kube::config::KubeconfigError| {
            Error::integrity(format!("{ACCESS} cannot be used: {error}"))
        };
        let kubeconfig = Kubeconfig::from_yaml(&text).map_err(unusable)?;
        let _inside = runtime.enter();
        let mut config = runtime
            .block_on(Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()))
            .map_err(unusable)?;
        // The site's proxy leads away from this host.
        config.proxy_url = None;
        config.read_timeout = Some(PATIENCE);
        let client = Client::try_from(config).map_err(trouble)?;
        Ok(Self { client, runtime: runtime.clone(), kinds: HashMap::new() })
    }

    fn wait<T>(&self, work: impl Future<Output = kube::Result<T>>) -> kube::Result<T> {
        let limited = async { tokio::time::timeout(PATIENCE, work).await };
        self.runtime.block_on(limited).unwrap_or_else(|_| {
            Err(kube::Error::Service("the Kubernetes API does not answer in time".into()))
        })
    }

    /// # Errors
    /// In which words it is not ready.
    pub(super) fn is_ready(&self) -> Result<()> {
        self.text("/readyz").map(drop)
    }

    fn text(&self, path: &str) -> Result<String> {
        let request = http_get(path)?;
        self.wait(self.client.request_text(request)).map_err(trouble)
    }

    /// An object or a list; `None` when there is none at this path.
    ///
    /// # Errors
    /// When the API does not answer, or with something else than JSON.
    pub(super) fn get(&self, path: &str) -> Result<Option<Value>> {
        let request = http_get(path)?;
        match self.wait(self.client.request_text(request)) {
            Ok(text) => serde_json::from_str(&text).map(Some).context("the Kubernetes API gave no JSON"),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
            Err(error) => Err(trouble(error)),
        }
    }

    /// Whether a set was applied just as it is.
    ///
    /// # Errors
    /// As [`KubeApi::get`].
    pub(super) fn has_applied(&self, set: &ObjectSet) -> Result<bool> {
        let path = format!("/api/v1/namespaces/{NAMESPACE}/configmaps/{}", record_name(set));
        let record = self.get(&path)?;
        Ok(record.is_some_and(|record| record.pointer("/data/digest") == Some(&set.digest().into())))
    }

    /// Applies a set, and then the record of it.
    ///
    /// # Errors
    /// What the API says about the first object that it refuses.
    pub(super) fn apply(&mut self, set: &ObjectSet) -> Result<()> {
        for object in &set.objects {
            self.apply_one(object)?;
        }
        self.apply_one(
            &json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": NAMESPACE } }),
        )?;
        self.apply_one(&json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": { "name": record_name(set), "namespace": NAMESPACE },
            "data": { "digest": set.digest() },
        }))
    }

    fn apply_one(&mut self, object: &Value) -> Result<()> {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let (version, kind, name) = (text("/apiVersion"), text("/kind"), text("/metadata/name"));
        let what = format!("{kind} {name} cannot be applied");
        let (resource, scope) = self.kind(version, kind).context(what.clone())?;
        let api: Api<DynamicObject> = match scope {
            Scope::Cluster => Api::all_with(self.client.clone(), &resource),
            Scope::Namespaced => {
                let namespace = object.pointer("/metadata/namespace").and_then(Value::as_str);
                Api::namespaced_with(self.client.clone(), namespace.unwrap_or("default"), &resource)
            }
        };
        // What the definition says holds, whoever has changed it.
        let parameters = PatchParams::apply(MANAGER).force();
        let applied = self.wait(api.patch(name, &parameters, &Patch::Apply(object)));
        applied.map(drop).map_err(|error| {
            let error = trouble(error);
            Error { message: without_values(&error.message, object), ..error }.context(what)
        })
    }

    fn kind(&mut self, version: &str, kind: &str) -> Result<(ApiResource, Scope)> {
        let (group, version) = version.split_once('/').unwrap_or(("", version));
        let wanted = GroupVersionKind::gvk(group, version, kind);
        if let Some(known) = self.kinds.get(&wanted) {
            return Ok(known.clone());
        }
        let (resource, capabilities) = self.wait(pinned_kind(&self.client, &wanted)).map_err(trouble)?;
        let found = (resource, capabilities.scope);
        self.kinds.insert(wanted, found.clone());
        Ok(found)
    }
}

/// Shorter words stand in every sentence.
const SHORTEST_SECRET: usize = 4;

fn record_name(set: &ObjectSet) -> String {
    format!("edge-set-{}", set.name)
}

fn http_get(path: &str) -> Result<axum::http::Request<Vec<u8>>> {
    axum::http::Request::get(path).body(Vec::new()).map_err(|error| Error::internal(error.to_string()))
}

/// The API's own words; of a connection that does not come about, what it ended with.
fn trouble(error: kube::Error) -> Error {
    if let kube::Error::Api(status) = &error {
        return Error::environment(in_short(&status.message));
    }
    let mut last = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        let refused = inner.downcast_ref::<std::io::Error>();
        if refused.is_some_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused) {
            return Error::environment("it does not answer yet");
        }
        last = inner.to_string();
        cause = inner.source();
    }
    Error::environment(last)
}

/// An answer of the API without what it quotes of an object: that may be a secret, and everybody reads why a cluster waits.
fn without_values(message: &str, object: &Value) -> String {
    /// The words before a value that was not understood, up to the next comma.
    const QUOTES: [&str; 2] = ["got ", "Invalid value: "];
    let mut text = message.to_owned();
    for quote in QUOTES {
        let mut parts = text.split(quote);
        let mut kept = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let rest = part.find(", ").map_or("", |at| &part[at..]);
            kept.push_str(&format!("{quote}…{rest}"));
        }
        text = kept;
    }
    let mut values = Vec::new();
    scalars(object, &mut values);
    // The longest first: one may be a part of another.
    values.sort_by_key(|value| std::cmp::Reverse(value.len()));
    for value in values.into_iter().filter(|value| value.len() >= SHORTEST_SECRET) {
        text = text.replace(&value, "…");
    }
    text
}

/// Values that say nothing of what the object is.
fn scalars(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => fields
            .iter()
            .filter(|(key, _)| !["apiVersion", "kind", "name", "namespace"].contains(&key.as_str()))
            .for_each(|(_, value)| scalars(value, found)),
        Value::Array(items) => items.iter().for_each(|item| scalars(item, found)),
        Value::String(text) => found.push(text.clone()),
        Value::Number(number) => found.push(number.to_string()),
        Value::Null | Value::Bool(_) => {}
    }
}

/// A check of the API server has a line for each of its parts: those that hold say nothing.
fn in_short(message: &str) -> String {
    let failed: Vec<&str> = message
        .lines()
        .filter_map(|line| line.strip_prefix("[-]"))
        .map(|line| line.trim_end_matches(": reason withheld"))
        .collect();
    if failed.is_empty() { message.trim().to_owned() } else { failed.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_api_quotes_of_an_object_is_left_out() {
        let object = json!({ "kind": "Deployment", "metadata": { "name": "till" }, "spec": { "template": { "spec": {
            "containers": [{ "name": "till", "env": [{ "name": "DB_PIN", "value": 12_345_678 }] }] } } },
            "stringData": { "password": "geheim!" } });
        let message = "failed to create typed patch object (default/till): .spec.template.spec.containers[name=\"till\"]\
            .env[name=\"DB_PIN\"].value: expected string, got &value.valueUnstructured{Value:12345678}";
        let said = without_values(message, &object);
        assert!(
            !said.contains("12345678") && said.contains("DB_PIN") && said.contains("expected string"),
            "{said}"
        );
        let said =
            without_values("Secret \"till\" is invalid: data: Invalid value: \"geheim!\": too long", &object);
        assert!(!said.contains("geheim") && said.contains("till"), "{said}");
        assert!(!without_values("unknown: geheim!", &object).contains("geheim"));
    }

    #[test]
    fn only_what_does_not_hold_is_said() {
        let message = "[+]ping ok\n[-]etcd failed: reason withheld\n[-]informer-sync failed: reason withheld\nreadyz check failed";
        assert_eq!(in_short(message), "etcd failed, informer-sync failed");
        assert_eq!(in_short("pods \"a\" is forbidden\n"), "pods \"a\" is forbidden");
    }
}
