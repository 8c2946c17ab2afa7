//! A cluster by itself: in namespaces of this machine, where a start takes seconds, and in a machine from its medium.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use edge_model::api::cluster::ClusterPhase;
use edge_model::ids::Slot;
use edge_model::{Context, Result};
use edge_planner::cluster::StepId;
use qemu_tests::bench_ground::{CLUSTER, Ground, IN_NAMESPACES};
use qemu_tests::images::Built;
use qemu_tests::machine::{Bus, Machine, Medium, Powered, free_port};
use qemu_tests::namespaces::{ADDRESS, Deed, Facts, NamespaceHost, SITE_NAME};
use qemu_tests::page;

use super::ensure;

const UNCLEAN_RESTARTS: u32 = 20;
/// What a small box has.
const CLUSTER_DISK_GIB: u64 = 16;
/// Without a sign of life.
const PATIENCE: Duration = Duration::from_secs(400);

fn new_host(ground: &Ground, name: &str) -> Result<NamespaceHost> {
    new_host_of(ground, name, &ground.with_cluster()?)
}

pub(super) fn new_host_of(ground: &Ground, name: &str, image: &Built) -> Result<NamespaceHost> {
    let facts = Facts { cluster: format!("{CLUSTER}{IN_NAMESPACES}"), name_server: None };
    let program = std::env::current_exe().context("this program has no path")?;
    let program = program.with_file_name("edge-namespace");
    NamespaceHost::install(&program, ground.lab.work(), name, image, &facts)
}

/// Steps that change something: after each of them the power can go. The others only wait.
fn changing() -> impl Iterator<Item = StepId> {
    StepId::ALL.into_iter().filter(|step| !matches!(step, StepId::Api | StepId::Ready))
}

/// Created, served, cut, back, with a name server, deleted, and created again.
pub(super) fn in_namespaces(ground: &Ground) -> Result<()> {
    let mut host = new_host(ground, "cluster-in-namespaces")?;
    let started = Instant::now();
    host.start()?;
    host.expect_cluster()?;
    eprintln!(
        "  cluster: all pods run {:.1} s after the service manager was started, with {:.1} processor seconds",
        started.elapsed().as_secs_f64(),
        host.processor_time()?.as_secs_f64()
    );
    for url in ["http://page/", "http://page.default.svc.cluster.local/", &format!("http://{ADDRESS}:30080/")]
    {
        ask_for_page(&host, url)?;
    }
    // What an engineer does all day goes from the API to kubelet.
    let log = host.kubectl(&["logs", "--namespace=kube-system", "deployment/coredns"])?;
    ensure(log.contains("CoreDNS"), || format!("the log of CoreDNS: {log}"))?;
    let access = host.run(&["edge-agent", "cluster", "kubeconfig"])?;
    ensure(access.contains("client-certificate-data"), || "the kubeconfig gives no access".into())?;
    host.kubectl(&["create", "configmap", "kept", "--from-literal=word=kept"])?;

    host.power_cut()?;
    host.tell(&Facts { cluster: format!("{CLUSTER}{IN_NAMESPACES}"), name_server: Some(ADDRESS.into()) })?;
    host.start()?;
    host.expect_cluster()?;
    let kept = host.kubectl(&["get", "configmap", "kept", "--output=jsonpath={.data.word}"])?;
    ensure(kept == "kept", || format!("an object from before the power cut: {kept:?}"))?;
    ask_for_page(&host, "http://page/")?;
    host.expect("the site's name in a pod", |host| {
        Ok(match ask_for_page(host, &format!("http://{SITE_NAME}:30080/")) {
            Ok(()) => Deed::Done(()),
            Err(error) => Deed::Seen(error.to_string()),
        })
    })?;

    let wrong = host.run(&["edge-agent", "cluster", "delete", "--confirm", "shopp"]);
    ensure(wrong.is_err(), || "another name deleted the cluster".into())?;
    host.run(&["edge-agent", "cluster", "delete", "--confirm", "shop"])?;
    expect_nothing_left(&host)?;
    // It stays away at the next start, although the medium's definition is still there ...
    host.power_cut()?;
    host.start()?;
    let view = host.expect("the agent", |host| {
        Ok(host.cluster().map_or_else(|error| Deed::Seen(error.to_string()), Deed::Done))
    })?;
    ensure(view.status.is_none(), || format!("a deleted cluster was made again by itself: {view:?}"))?;
    expect_nothing_left(&host)?;
    // ... and comes back when somebody orders it.
    host.run(&["edge-agent", "cluster", "create"])?;
    host.expect_cluster()?;
    ask_for_page(&host, "http://page/")
}

/// A pod asks for the page of another one.
pub(super) fn ask_for_page(host: &NamespaceHost, url: &str) -> Result<()> {
    let answer = host.kubectl(&["exec", "deployment/page", "--", "edge-page", "ask", url])?;
    ensure(answer.contains(page::TEXT), || format!("{url} gave {answer}"))
}

fn expect_nothing_left(host: &NamespaceHost) -> Result<()> {
    host.expect("the end of the cluster", |host| {
        Ok(match host.cluster()?.status {
            None => Deed::Done(()),
            Some(status) => Deed::Seen(format!("{status:?}")),
        })
    })?;
    let look = "ip -brief link | grep -E 'cni0|edge0|veth.*@if'; grep -E 'kubelet|containerd|manifests' /proc/mounts | \
                grep -v ^/dev; pgrep -l 'containerd|kube|etcd|coredns|edge-page'; nft list tables | grep -v 'inet filter'; \
                ls -A /var/lib/etcd /var/lib/kubelet /var/lib/containerd /etc/kubernetes | grep -v '^/\\|^$'";
    // The kernel takes a network's devices away when it has time.
    host.expect("an empty host", |host| {
        let left = host.run(&["sh", "-c", &format!("{look}; true")])?;
        Ok(if left.trim().is_empty() { Deed::Done(()) } else { Deed::Seen(left) })
    })
}

/// The power goes after every step of one creation; each start takes it one step further.
pub(super) fn cut_after_every_step(ground: &Ground) -> Result<()> {
    let mut host = new_host(ground, "cluster-cut-after-every-step")?;
    for step in changing() {
        host.start()?;
        cut_after(&mut host, step)?;
    }
    expect_whole(&mut host)
}

/// Waits for a step, or for one behind it: what is on the disk already is not done again, and a cut takes its time.
fn cut_after(host: &mut NamespaceHost, step: StepId) -> Result<()> {
    let steps = changing().filter(|one| *one >= step).map(|step| format!("cluster: {}: done", step.name()));
    let lines: Vec<String> = steps.chain(["cluster: the node is ready".to_owned()]).collect();
    host.expect_log(&lines)?;
    host.power_cut()
}

fn expect_whole(host: &mut NamespaceHost) -> Result<()> {
    host.start()?;
    host.expect_cluster()?;
    ask_for_page(host, "http://page/")
}

/// Each cut with a host of its own, which then has to become whole.
pub(super) fn cut_after_each_step(ground: &Ground) -> Result<()> {
    for step in changing() {
        let name = format!("cluster-cut-after-each-step-{}", step.name());
        let mut host = new_host(ground, &name)?;
        host.start()?;
        cut_after(&mut host, step)?;
        expect_whole(&mut host)?;
        eprintln!("  cluster: cut after {}: whole again", step.name());
    }
    Ok(())
}

/// Nothing runs out, and what was there stays there.
pub(super) fn many_unclean_restarts(ground: &Ground) -> Result<()> {
    let mut host = new_host(ground, "cluster-many-unclean-restarts")?;
    let mut addresses = BTreeSet::new();
    for round in 0..UNCLEAN_RESTARTS {
        host.start()?;
        host.expect_cluster()?;
        ask_for_page(&host, "http://page/")?;
        let object = format!("round-{round}");
        host.kubectl(&["create", "configmap", &object])?;
        let known = host.kubectl(&["get", "configmaps", "--output=name"])?;
        let there = (0..=round).all(|round| known.contains(&format!("configmap/round-{round}")));
        ensure(there, || format!("objects after {round} power cuts: {known}"))?;
        let held = host.run(&["sh", "-c", "ls /run/cni/ipam/edge | grep -c '^[0-9]'"])?;
        let pods =
            host.kubectl(&["get", "pods", "--all-namespaces", "--output=jsonpath={.items[*].status.podIP}"])?;
        let own = pods.split_whitespace().filter(|address| *address != "198.19.0.1").collect::<BTreeSet<_>>();
        ensure(held.trim().parse() == Ok(own.len()), || format!("{held} addresses are held, by {own:?}"))?;
        addresses.extend(own.into_iter().map(str::to_owned));
        host.power_cut()?;
    }
    eprintln!("  cluster: {UNCLEAN_RESTARTS} power cuts, {} addresses of pods in all", addresses.len());
    Ok(())
}

/// Air-gapped, from a medium that brings the definition to a served page; again after a power cut; and its end.
pub(super) fn in_a_machine(ground: &Ground) -> Result<()> {
    let built = ground.with_cluster()?;
    let port = free_port()?;
    let machine = Machine::new(&ground.lab, "cluster-in-a-machine", CLUSTER_DISK_GIB, Bus::Virtio)?
        .with_medium(Medium::Cd(built.iso()))
        .for_cluster(port, page::PORT)
        .isolated();
    let mut powered = machine.power_on(&ground.lab, ground.accelerator)?;
    powered.serial.expect("is installed on", PATIENCE)?;
    expect_page(ground, &mut powered, &built, port, "from the end of the installation")?;
    powered.pull_the_plug();

    let machine = machine.with_medium(Medium::None);
    let mut powered = machine.power_on(&ground.lab, ground.accelerator)?;
    expect_page(ground, &mut powered, &built, port, "from the power cut")?;
    let ssh = ground.ssh(&machine);
    let status = ssh.run("sudo edge-agent cluster status", PATIENCE)?;
    ensure(status.contains("shop") && status.contains("running"), || format!("the cluster is {status}"))?;
    ssh.run("sudo edge-agent cluster delete --confirm shop", PATIENCE)?;
    let left =
        ssh.run("sudo edge-agent cluster status; sudo ls /var/lib/etcd; pgrep -l kube; true", PATIENCE)?;
    ensure(left.trim() == "this host has no cluster", || format!("the cluster left behind: {left}"))?;
    ensure(page::fetch(port).is_err(), || "the page of a deleted cluster is still served".into())
}

fn expect_page(ground: &Ground, powered: &mut Powered, built: &Built, port: u16, since: &str) -> Result<()> {
    let (started, used) = (Instant::now(), powered.processor_seconds()?);
    ground.expect_healthy(powered, "a", built)?;
    powered.serial.expect("edge: cluster ready", PATIENCE)?;
    let mark = |what: &str, powered: &Powered| {
        let used = powered.processor_seconds()? - used;
        eprintln!("  cluster: {what} {} s {since}, {used:.0} processor seconds", started.elapsed().as_secs());
        Ok(())
    };
    mark("ready", powered)?;
    page::wait_for(port, &powered.serial, PATIENCE)?;
    mark("page", powered)
}

/// To the next minor version of Kubernetes, with the next of etcd, and back, and there again: first as it should go, then with the
/// power going after every step of each way. Nobody tells such a host which image stays, so each way can be gone back.
pub(super) fn minor_there_and_back(ground: &Ground) -> Result<()> {
    let name = "cluster-minor-there-and-back";
    let (old, new) = (ground.with_cluster_before(name)?, ground.with_cluster()?);
    let mut host = new_host_of(ground, name, &old)?;
    host.start()?;
    host.expect_cluster()?;
    note(&host, "before")?;
    host.power_cut()?;

    go_to(&mut host, &new, Slot::B, "to the next minor")?;
    ensure(notes(&host)?.contains("before"), || "an object did not come along".into())?;
    note(&host, "after")?;
    host.power_cut()?;

    go_to(&mut host, &old, Slot::A, "back")?;
    expect_data_of(&host, Slot::A)?;
    let notices = host.run(&["edge-agent", "notices"])?;
    ensure(notices.contains("has its data of"), || format!("nobody was told of the return: {notices}"))?;
    note(&host, "meanwhile")?;
    host.power_cut()?;

    go_to(&mut host, &new, Slot::B, "there again")?;
    expect_data_of(&host, Slot::B)?;
    host.power_cut()?;
    for (image, slot) in [(&old, Slot::A), (&new, Slot::B), (&old, Slot::A)] {
        host.next_image(image, slot)?;
        for step in changing() {
            host.start()?;
            cut_after(&mut host, step)?;
        }
        host.start()?;
        host.expect_cluster()?;
        ask_for_page(&host, "http://page/")?;
        expect_data_of(&host, slot)?;
        host.power_cut()?;
        eprintln!("  cluster: slot {slot}, cut after every step: whole again");
    }
    Ok(())
}

fn go_to(host: &mut NamespaceHost, image: &Built, slot: Slot, what: &str) -> Result<()> {
    host.next_image(image, slot)?;
    let started = Instant::now();
    host.start()?;
    let begun = started.elapsed();
    host.expect_log(&["cluster: api: done".into(), "cluster: controllers: done".into()])?;
    let answers = started.elapsed() - begun;
    let view = host.expect_cluster()?;
    let version = view.status.and_then(|status| status.versions).map(|versions| versions.to_string());
    eprintln!(
        "  cluster: {what}, {}: API {:.1} s after the service manager, all pods {:.1} s",
        version.unwrap_or_default(),
        answers.as_secs_f64(),
        (started.elapsed() - begun).as_secs_f64()
    );
    let nodes =
        host.kubectl(&["get", "nodes", "--output=jsonpath={.items[*].status.nodeInfo.kubeletVersion}"])?;
    let wanted = host.run(&["kubelet", "--version"])?;
    ensure(wanted.contains(nodes.trim()), || format!("the node is at {nodes}, its image at {wanted}"))?;
    ask_for_page(host, "http://page/")
}

fn note(host: &NamespaceHost, name: &str) -> Result<()> {
    host.kubectl(&["create", "configmap", name]).map(drop)
}

fn notes(host: &NamespaceHost) -> Result<String> {
    host.kubectl(&["get", "configmaps", "--output=name"])
}

/// What the old image left, or what the new one has made of it; what somebody made after the return is in neither.
fn expect_data_of(host: &NamespaceHost, slot: Slot) -> Result<()> {
    let notes = notes(host)?;
    let has = |name: &str| notes.contains(&format!("configmap/{name}"));
    let is_right = has("before") && has("after") == (slot == Slot::B) && !has("meanwhile");
    ensure(is_right, || format!("in slot {slot} there are other objects than there should be: {notes}"))
}

/// A host says in words why its cluster does not come up.
pub(super) fn says_why_not(ground: &Ground) -> Result<()> {
    let mut host = new_host(ground, "cluster-says-why-not")?;
    let broken = IN_NAMESPACES.replace("failCgroupV1: false", "failCgroupV1: false\n    maxPods: -1");
    host.tell(&Facts { cluster: format!("{CLUSTER}{broken}"), name_server: None })?;
    host.start()?;
    let reason = host.expect("a reason", |host| {
        let status = match host.cluster() {
            Ok(view) => view.status,
            Err(error) => return Ok(Deed::Seen(error.to_string())),
        };
        let phase = status.as_ref().map(|status| status.phase);
        let reason = status.and_then(|status| status.waits_for?.reason);
        Ok(match reason {
            Some(reason) if reason.contains("kubelet") => Deed::Done(reason),
            other => Deed::Seen(format!("{phase:?}: {other:?}")),
        })
    })?;
    ensure(reason.contains("maxPods") || reason.contains("MaxPods"), || format!("the reason is: {reason}"))?;
    let view = host.cluster()?;
    ensure(view.status.is_some_and(|status| status.phase == ClusterPhase::Making), || "another phase".into())
}
