//! What a plan for a cluster consists of.

use serde_json::Value;

use super::member::Opening;

/// The steps, in the order in which they are taken. A distribution leaves out what it does by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StepId {
    Network,
    Configuration,
    Keys,
    Opening,
    Manifests,
    Runtime,
    Kubelet,
    Api,
    Controllers,
    Settings,
    Role,
    Rights,
    NameService,
    Ready,
    Workloads,
}

impl StepId {
    pub const ALL: [StepId; 15] = [
        StepId::Network,
        StepId::Configuration,
        StepId::Keys,
        StepId::Opening,
        StepId::Manifests,
        StepId::Runtime,
        StepId::Kubelet,
        StepId::Api,
        StepId::Controllers,
        StepId::Settings,
        StepId::Role,
        StepId::Rights,
        StepId::NameService,
        StepId::Ready,
        StepId::Workloads,
    ];

    /// In logs and tests.
    pub fn name(self) -> &'static str {
        match self {
            StepId::Network => "network",
            StepId::Configuration => "configuration",
            StepId::Keys => "keys",
            StepId::Opening => "opening",
            StepId::Manifests => "manifests",
            StepId::Runtime => "runtime",
            StepId::Kubelet => "kubelet",
            StepId::Api => "api",
            StepId::Controllers => "controllers",
            StepId::Settings => "settings",
            StepId::Role => "role",
            StepId::Rights => "rights",
            StepId::NameService => "name-service",
            StepId::Ready => "ready",
            StepId::Workloads => "workloads",
        }
    }

    /// What is waited for, for a person at the site.
    pub fn waits_for(self) -> &'static str {
        match self {
            StepId::Network => "the cluster's own network",
            StepId::Configuration => "the cluster's configuration",
            StepId::Keys => "keys and certificates",
            StepId::Opening => "the record of this cluster",
            StepId::Manifests => "the manifests of the datastore and the API",
            StepId::Runtime => "the container runtime (containerd)",
            StepId::Kubelet => "the node's agent (kubelet)",
            StepId::Api => "the Kubernetes API",
            StepId::Controllers => "the manifests of the controllers",
            StepId::Settings => "the cluster's settings",
            StepId::Role => "the node's role",
            StepId::Rights => "rights inside the cluster",
            StepId::NameService => "the cluster's name service (CoreDNS)",
            StepId::Ready => "the node to be ready",
            StepId::Workloads => "workloads to be applied",
        }
    }
}

/// One step: when `check` does not hold, `act` is done, and then it must hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    pub id: StepId,
    pub check: Probe,
    pub act: Vec<Action>,
}

/// A look at the host or its cluster. It changes nothing.
#[derive(Debug, Clone, PartialEq)]
pub enum Probe {
    /// An interface has an address.
    Address { interface: &'static str, address: std::net::Ipv4Addr },
    /// These files hold just this.
    Files(Vec<RenderedFile>),
    /// These files are there and hold something.
    Present(Vec<String>),
    /// This host's record says that its data was opened by the image that runs, none of its data stands aside, and what is held
    /// beside it is what may still be needed.
    Opened,
    /// A unit of the service manager runs.
    Unit(&'static str),
    /// The container runtime runs and answers as one: it may run without.
    Runtime(&'static str),
    /// The API says that it is ready.
    Api,
    /// An object of the API has at a place (a JSON pointer) a text that contains these words.
    Object { path: String, pointer: &'static str, words: String },
    /// The node is there and ready.
    NodeReady(String),
    /// A set of objects was applied just as it is.
    Applied(ObjectSet),
}

/// A change. Each may be cut anywhere and done again.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    LoadModules(&'static [&'static str]),
    SetKernel(&'static [(&'static str, &'static str)]),
    /// A bridge that nothing is plugged into, with an address, and networks that are reached through it.
    MakeBridge {
        name: &'static str,
        address: std::net::Ipv4Addr,
        prefix: u8,
        routes: Vec<String>,
    },
    Write(Vec<RenderedFile>),
    /// An empty file system in memory, unless one is there.
    MountMemory(&'static str),
    /// An empty folder, whatever was there.
    EmptyFolder(&'static str),
    /// Certificate authorities with their keys, in a folder: valid from the day on which the image was built, so that no clock that is
    /// set right later makes them not valid yet.
    MakeAuthorities {
        folder: &'static str,
        names: &'static [Authority],
        life_days: u64,
    },
    /// Removes those of these files that are there and empty: a power cut left them so, and they are made again.
    RemoveEmpty(&'static [&'static str]),
    /// A program of the image, with its output kept in a file if there is a path.
    Run {
        program: &'static str,
        arguments: Vec<String>,
        output: Option<String>,
    },
    /// Everything in a folder reaches the disk; then its entries move to another folder one by one, in this order.
    MoveDurably {
        from: &'static str,
        to: &'static str,
        names: &'static [&'static str],
    },
    /// The datastore's data is copied aside as this image left it, before anything else opens it. What was kept before goes.
    KeepData(Opening),
    /// The data that the image that runs has left takes the place of what another one has made of it; that is put aside.
    RestoreData(Opening),
    /// This image is the one that opens the data, from now on.
    RecordOpening,
    /// What this image had made, and another one had put aside, is the data again.
    TakeBack,
    /// Where the image that runs stays, what only a return to another one would need is no way back any more. On trial nothing is done.
    Settle,
    Start(&'static str),
    Apply(ObjectSet),
    /// Whatever else is done by hand: the reason is shown, and nothing is changed.
    Refuse(&'static str),
}

/// A certificate authority: its file without the ending, and its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Authority {
    pub file: &'static str,
    pub name: &'static str,
}

/// A file that follows from definition and image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderedFile {
    pub path: String,
    pub mode: u32,
    pub content: String,
}

impl RenderedFile {
    pub fn new(path: impl Into<String>, content: impl Into<String>) -> Self {
        Self { path: path.into(), mode: 0o644, content: content.into() }
    }

    /// A JSON document, which every reader of YAML takes.
    pub fn json(path: impl Into<String>, document: &Value) -> Self {
        Self::new(path, pretty(document))
    }
}

/// Several JSON documents as YAML.
pub(super) fn documents(documents: &[Value]) -> String {
    documents.iter().map(pretty).collect::<Vec<_>>().join("---\n")
}

pub(super) fn pretty(document: &Value) -> String {
    // A value of JSON can always be printed.
    format!("{document:#}\n")
}

/// Objects of the API that belong together, in the order in which they are applied.
#[derive(Clone, PartialEq)]
pub struct ObjectSet {
    pub name: String,
    pub objects: Vec<Value>,
}

impl ObjectSet {
    /// Names the content: a set that was applied before is known by it.
    pub fn digest(&self) -> String {
        let bytes: Vec<u8> = self.objects.iter().flat_map(|object| object.to_string().into_bytes()).collect();
        edge_slot_image::sha256(&bytes).to_string()
    }
}

/// Objects may hold secrets.
impl std::fmt::Debug for ObjectSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ObjectSet({}, {} objects)", self.name, self.objects.len())
    }
}
