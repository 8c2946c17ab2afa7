//! The cluster, for people.

use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use clap::Subcommand;
use edge_cli::Reader;
use edge_client::Client;
use edge_host::files;
use edge_model::api::cluster::{
    ClusterName, ClusterPhase, ClusterRequest, ClusterStatus, ClusterView, PodState, PodStatus,
};
use edge_model::{Error, Result};

use super::red;
use crate::facts;

const POLL: Duration = Duration::from_millis(500);

#[derive(Subcommand)]
#[command(after_help = EXAMPLES)]
pub(super) enum Cluster {
    /// What the cluster is, how far it is, and its pods
    Status {
        /// Wait until it runs
        #[arg(long)]
        wait: bool,
    },
    /// Make a cluster
    Create {
        /// `cluster.yaml`; without it the definition that this host was told
        definition: Option<PathBuf>,
    },
    /// Print access to the cluster for a day, for kubectl and other tools
    Kubeconfig,
    /// End the cluster and remove its data
    Delete {
        /// The cluster's name, instead of typing it
        #[arg(long, value_name = "NAME")]
        confirm: Option<String>,
    },
}

const EXAMPLES: &str = "Examples:
  edge-agent cluster status --wait
  edge-agent cluster create cluster.yaml
  edge-agent cluster kubeconfig > kubeconfig && kubectl --kubeconfig kubeconfig get pods -A
  edge-agent cluster delete --confirm shop";

impl Cluster {
    pub(super) fn run(self, reader: Reader) -> Result<()> {
        let client = Client::new()?;
        match self {
            Cluster::Status { wait } => {
                let view = if wait { follow(&client, until_it_runs)? } else { client.cluster()? };
                reader.tell(&view, print_view)
            }
            Cluster::Create { definition } => {
                let definition = definition.map(|path| files::read_text(&path)).transpose()?;
                client.create_cluster(&ClusterRequest { definition })?;
                reader.tell(&client.cluster()?, |_| {
                    println!("the cluster is being made; edge-agent cluster status --wait follows it");
                })
            }
            Cluster::Kubeconfig => {
                let access = client.cluster_kubeconfig()?;
                reader.tell(&access, |access| print!("{}", access.kubeconfig))
            }
            Cluster::Delete { confirm } => delete(&client, confirm, reader),
        }
    }
}

fn delete(client: &Client, confirm: Option<String>, reader: Reader) -> Result<()> {
    let name = match confirm {
        Some(name) => name,
        None => ask(&client.cluster()?.status.ok_or_else(|| Error::rejected("this host has no cluster"))?)?,
    };
    client.delete_cluster(&ClusterName { name: name.clone() })?;
    let mut begun = false;
    let view = follow(client, |view| {
        let Some(status) = &view.status else { return Ok(true) };
        begun |= status.phase == ClusterPhase::Removing;
        match (&status.phase, &status.waits_for) {
            (ClusterPhase::Stopped, Some(wait)) if begun => {
                let why = wait.reason.clone().unwrap_or_default();
                Err(Error::environment(why).help("the host tries again by itself; edge-agent cluster status"))
            }
            _ => Ok(false),
        }
    })?;
    reader.tell(&view, |_| println!("the cluster {name} was removed, with its data"))
}

fn ask(status: &ClusterStatus) -> Result<String> {
    let what = format!("This ends the cluster {} and removes everything that is stored in it.", status.name);
    super::typed("the cluster's name", &what)
}

/// Says on standard error what is waited for, each time that it changes.
fn follow(client: &Client, mut is_over: impl FnMut(&ClusterView) -> Result<bool>) -> Result<ClusterView> {
    let mut said = String::new();
    loop {
        let view = client.cluster()?;
        if is_over(&view)? {
            return Ok(view);
        }
        let line = view.status.as_ref().map(line).unwrap_or_default();
        if line != said {
            eprintln!("{line}");
            said = line;
        }
        sleep(POLL);
    }
}

fn until_it_runs(view: &ClusterView) -> Result<bool> {
    match &view.status {
        None => Err(Error::rejected("this host has no cluster")),
        Some(status) if status.phase == ClusterPhase::Stopped => {
            let why = status.waits_for.as_ref().and_then(|wait| wait.reason.clone()).unwrap_or_default();
            Err(Error::rejected(format!("the cluster is not started: {why}")))
        }
        Some(status) => {
            Ok(status.phase == ClusterPhase::Running && status.pods.running == status.pods.wanted)
        }
    }
}

/// The cluster in one line.
pub(super) fn line(status: &ClusterStatus) -> String {
    let version = status.versions.as_ref().map_or_else(String::new, |versions| format!(" ({versions})"));
    let pods = match status.pods.wanted {
        0 => String::new(),
        wanted => format!(", {} of {wanted} pods run", status.pods.running),
    };
    let waits = status.waits_for.as_ref().map_or_else(String::new, |wait| {
        let reason = wait.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
        format!(", waiting for {} since {} s{reason}", wait.what, facts::now().saturating_sub(wait.since))
    });
    format!("{}{version} {}{pods}{waits}", status.name, status.phase.words())
}

fn print_view(view: &ClusterView) {
    let Some(status) = &view.status else {
        println!("this host has no cluster");
        return;
    };
    println!("{}", line(status));
    if !status.node.is_empty() {
        println!("node {}", status.node);
    }
    for pod in &view.pods {
        println!("  {:<12} {:<40} {}", pod.namespace, pod.name, describe(pod));
    }
}

fn describe(pod: &PodStatus) -> String {
    let restarts = match pod.restarts {
        0 => String::new(),
        1 => " (restarted once)".into(),
        times => format!(" (restarted {times} times)"),
    };
    let state = match &pod.state {
        PodState::Running => "runs".into(),
        PodState::Done => "is done".into(),
        PodState::Waiting { reason } => reason.clone(),
        PodState::Failing { reason } => red(reason),
        PodState::Unknown => "in a state that this program does not know".into(),
    };
    state + &restarts
}
