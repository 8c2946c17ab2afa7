//! A cluster by itself: how long until a page is served, and what it costs.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use edge_host::child::Child;
use edge_model::cluster::{ClusterDefinition, ImageKubernetes};
use edge_model::{Context, Error, Result};
use qemu_tests::bench_ground::{CLUSTER, Ground, IN_NAMESPACES};
use qemu_tests::images::Built;
use qemu_tests::machine::{Bus, Machine, Medium, free_port};
use qemu_tests::namespaces::{self, ADDRESS, Deed, Facts, NamespaceHost};
use qemu_tests::page;

use super::{MIB, row};
use crate::{build, kubernetes};

const DISK_GIB: u64 = 16;
/// Creations in namespaces, of which the best counts.
const TRIES: usize = 3;
/// Without a sign of life.
const PATIENCE: Duration = Duration::from_secs(400);

/// Prints what a cluster costs, in namespaces and in a machine.
pub(super) fn measure(ground: &Ground) -> Result<()> {
    let component = kubernetes::prepare(kubernetes::Release::Current)?;
    let built = ground.with_cluster_of(&component.archive)?;
    let size = |path: &Path| -> Result<f64> {
        let archive = fs::metadata(path).with_context(|| format!("cannot look at {}", path.display()))?;
        Ok(archive.len() as f64 / MIB)
    };
    row("provider image with Kubernetes", format!("{:.0} MiB", size(&built.archive())?), "by hand 408 MiB");
    row("its ISO", format!("{:.0} MiB", size(&built.iso())?), "");
    match namespaces::missing() {
        Some(why) => println!("SKIPPED a cluster in namespaces: {why}"),
        None => in_namespaces(ground, &built, &component.archive)?,
    }
    in_a_machine(ground, &built)
}

fn in_namespaces(ground: &Ground, built: &Built, component: &Path) -> Result<()> {
    let facts = Facts { cluster: format!("{CLUSTER}{IN_NAMESPACES}"), name_server: None };
    let program = build::program("edge-namespace", false);
    let (mut best, mut cost) = (Duration::MAX, Duration::ZERO);
    for _ in 0..TRIES {
        let mut host = NamespaceHost::install(&program, ground.lab.work(), "bench-cluster", built, &facts)?;
        let started = Instant::now();
        host.start()?;
        expect_page(&host)?;
        if started.elapsed() < best {
            (best, cost) = (started.elapsed(), host.processor_time()?);
        }
        host.expect_cluster()?;
    }
    let seconds = best.as_secs_f64();
    row(
        "namespaces, service manager to page",
        format!("{seconds:.1} s"),
        "by hand 16.6 s, without its start",
    );
    row("CPU, service manager to page", format!("{:.1} s", cost.as_secs_f64()), "");
    let (upstream, cost) = as_upstream(ground, built, component)?;
    row("the same as upstream's guide makes it", format!("{:.1} s", upstream.as_secs_f64()), "");
    row("CPU of that", format!("{:.1} s", cost.as_secs_f64()), "");
    row("ratio", format!("{:.2}", seconds / upstream.as_secs_f64()), "");
    Ok(())
}

fn expect_page(host: &NamespaceHost) -> Result<()> {
    let page = build::program("edge-page", false);
    let url = format!("http://{ADDRESS}:{}/", page::PORT);
    host.expect("the page", |host| {
        Ok(match host.on_its_network(&page, &["ask", &url]) {
            Ok(_) => Deed::Done(()),
            Err(error) => Deed::Seen(error.to_string()),
        })
    })
}

/// Time and processor time to the page on the same host with the same programs, images and manifests, without our agent.
fn as_upstream(ground: &Ground, built: &Built, component: &Path) -> Result<(Duration, Duration)> {
    let program = build::program("edge-namespace", false);
    let mut host =
        NamespaceHost::install(&program, ground.lab.work(), "bench-upstream", built, &Facts::default())?;
    let folder = host.kept("usr/local/upstream");
    let context = || format!("cannot fill {}", folder.display());
    fs::create_dir_all(&folder).with_context(context)?;
    let definition = edge_model::document::parse::<ClusterDefinition>("cluster.yaml", CLUSTER)?;
    let manifests = definition.workloads.first().map_or("", |workload| workload.manifests.reveal());
    fs::write(folder.join("page.yaml"), manifests).with_context(context)?;
    Child::new("tar").arg("-C").arg(&folder).arg("-xf").arg(component).arg("images").run()?;
    let layout = folder.join("images");
    Child::new("tar").arg("-C").arg(&layout).arg("-cf").arg(folder.join("images.tar")).arg(".").run()?;
    fs::remove_dir_all(&layout).with_context(context)?;
    kubernetes::compile_ctr(&folder.join("ctr"))?;
    let started = Instant::now();
    host.start()?;
    let image = host.run(&["cat", edge_model::paths::IMAGE_KUBERNETES])?;
    let image: ImageKubernetes = serde_json::from_str(&image).with_context(context)?;
    let Some(images) = &image.images else { return Err(Error::internal("the image names no images")) };
    let tag = |name: &str| name.rsplit(':').next().unwrap_or_default().to_owned();
    let settings = [
        format!("PAUSE={}", images.pause),
        format!("VERSION={}", image.versions.kubernetes),
        format!("ETCD_TAG={}", tag(&images.etcd)),
        format!("DNS_TAG={}", tag(&images.core_dns)),
    ];
    let words = std::iter::once("env").chain(settings.iter().map(String::as_str));
    host.run(&words.chain(["sh", "-c", include_str!("upstream.sh")]).collect::<Vec<_>>())?;
    expect_page(&host)?;
    Ok((started.elapsed(), host.processor_time()?))
}

fn in_a_machine(ground: &Ground, built: &Built) -> Result<()> {
    let port = free_port()?;
    let machine = Machine::new(&ground.lab, "bench-cluster-machine", DISK_GIB, Bus::Virtio)?
        .with_medium(Medium::Cd(built.iso()))
        .for_cluster(port, page::PORT)
        .isolated();
    let mut powered = machine.power_on(&ground.lab, ground.accelerator)?;
    powered.serial.expect("is installed on", PATIENCE)?;
    let (started, used) = (Instant::now(), powered.processor_seconds()?);
    for (wanted, what) in [("edge: healthy", "healthy"), ("edge: cluster ready", "ready")] {
        powered.serial.expect(wanted, PATIENCE)?;
        let (seconds, cost) = (started.elapsed().as_secs(), powered.processor_seconds()? - used);
        row(
            &format!("machine, first start to {what}"),
            format!("{seconds} s"),
            &format!("{cost:.0} s of CPU"),
        );
    }
    page::wait_for(port, &powered.serial, PATIENCE)?;
    let (seconds, cost) = (started.elapsed().as_secs(), powered.processor_seconds()? - used);
    row("machine, first start to page", format!("{seconds} s"), &format!("{cost:.0} s of CPU"));
    let ssh = ground.ssh(&machine);
    let written = "awk '{print int($7 * 512 / 1000000)}' /sys/block/vda/stat";
    row("written to the disk until then", ssh.run(written, PATIENCE)? + " MB", "mark 140 MB");
    let containerd = "sudo du --summarize --block-size=1000 /var/lib/containerd | cut -f1";
    row("of that stored by containerd", ssh.run(containerd, PATIENCE)? + " kB", "mark 5 MB");
    let memory = "free --mega | awk '/Mem/ {print $3}'";
    row("memory in use", ssh.run(memory, PATIENCE)? + " MB", "");
    Ok(())
}
