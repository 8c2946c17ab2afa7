//! The builder beside its peers: processor time of both in one run, over the same bytes.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use edge_host::child::Child;
use edge_model::{Context, Error, Result};
use qemu_tests::bench_ground::Ground;
use qemu_tests::images::Recipe;
use serde_json::Value as Json;

use super::row;

const DEADLINE: Duration = Duration::from_secs(1800);
/// Each measurement is repeated, ours and the peer's in turn; the median counts.
const REPETITIONS: usize = 3;

/// What GNU time says.
#[derive(Debug, Clone, Copy)]
struct Cost {
    processor_seconds: f64,
    /// KiB.
    memory: f64,
}

pub(super) fn compare(ground: &Ground) -> Result<()> {
    let built = ground.every_envelope()?;
    let folder = ground.lab.work().join("builder");
    let build = built.folder.join("build");
    let layout = build.join("container");
    let size = layer_size(&layout)?;
    row("unpacked layer", format!("{:.0} MB", size as f64 / 1e6), "");
    let edgeforge = ground.lab.edgeforge().display().to_string();
    let image = format!("{}:{}", layout.display(), built.version);
    let out = |name: &str| folder.join(name).display().to_string();
    let ours =
        [&edgeforge, "unpack", &format!("oci-layout:{image}"), &out("ours")].map(str::to_owned).to_vec();
    let umoci =
        ["umoci", "unpack", "--rootless", "--image", &image, &out("peer")].map(str::to_owned).to_vec();
    let (mine, theirs) = paired(ground, &folder, &ours, &umoci)?;
    ratio("unpack / umoci unpack", mine, theirs, "mark 0.4");
    row("memory of unpack", format!("{:.0} MB", mine.memory / 1024.0), "mark 64 MB");
    let layer = largest_blob(&layout)?;
    let tar = ["sh", "-c", &format!("mkdir -p {0} && tar -x -f {1} -C {0}", out("peer"), layer.display())]
        .map(str::to_owned)
        .to_vec();
    let (mine, theirs) = paired(ground, &folder, &ours, &tar)?;
    ratio("unpack with digests / tar -x without", mine, theirs, "mark 1.2");
    steps(ground, &folder, &build)
}

/// Steps of a build beside the tools that do the like.
fn steps(ground: &Ground, folder: &Path, build: &Path) -> Result<()> {
    let cold = timed_build(ground, folder, "cold", &["--no-cache"], &[])?;
    let step = |steps: &[Json], name: &str| -> Result<f64> {
        let found = steps.iter().find(|step| step["step"] == name);
        let seconds = found.and_then(|step| step["processor_seconds"].as_f64());
        seconds.ok_or_else(|| Error::internal(format!("the build has no step {name:?}")))
    };
    let total =
        |steps: &[Json]| -> f64 { steps.iter().filter_map(|step| step["processor_seconds"].as_f64()).sum() };
    let root = folder.join("root");
    let version = &ground.every_envelope()?.version;
    let image = format!("{}:{version}", build.join("container").display());
    run(ground, &["umoci", "unpack", "--rootless", "--image", &image, &root.display().to_string()])?;
    let tree = root.join("rootfs").display().to_string();
    let erofs = format!(
        "mkfs.erofs --quiet -T0 -Uclear {0}/peer.erofs {tree} && veritysetup format {0}/peer.erofs {0}/peer.hash",
        folder.display()
    );
    let peer = cost(ground, &["sh", "-c", &erofs].map(str::to_owned))?;
    row("root image: tar, EROFS, tree, zstd frames", format!("{:.1} s", step(&cold, "root image")?), "");
    row("mkfs.erofs, then veritysetup format", format!("{:.1} s", peer.processor_seconds), "");
    let content = format!(
        "mkdir -p {0}/iso && cp {1}/oci/blobs/sha256/* {0}/iso/ && grub-mkrescue -o {0}/peer.iso {0}/iso",
        folder.display(),
        build.display()
    );
    let peer = cost(ground, &["sh", "-c", &content].map(str::to_owned))?;
    let mine = step(&cold, "installer ISO")?;
    row("ISO / grub-mkrescue", format!("{:.2}", mine / peer.processor_seconds), "mark 1.0");
    let repacked = format!(
        "cp -r {0} {1}/repack && umoci unpack --rootless --image {1}/repack:{version} {1}/bundle && touch {1}/bundle/rootfs/etc/new \
         && umoci repack --image {1}/repack:new {1}/bundle",
        build.join("container").display(),
        folder.display()
    );
    let peer = cost(ground, &["sh", "-c", &repacked].map(str::to_owned))?;
    row("container image, packed", format!("{:.1} s", step(&cold, "container image")?), "");
    row("umoci unpack and repack of one file", format!("{:.1} s", peer.processor_seconds), "");
    let changed = timed_build(ground, folder, "changed", &[], &["jq"])?;
    row("rebuild with one package more / cold", format!("{:.2}", total(&changed) / total(&cold)), "mark 0.3");
    Ok(())
}

/// Builds a project in every form; gives what each step took.
fn timed_build(
    ground: &Ground,
    folder: &Path,
    name: &str,
    options: &[&str],
    packages: &[&str],
) -> Result<Vec<Json>> {
    let bundle = ground.lab.work().join("bundle.tar.zst");
    let recipe = Recipe {
        packages: packages.iter().map(|name| (*name).to_owned()).collect(),
        ..Recipe::every_envelope("1.0.0", &bundle)
    };
    let project = folder.join(name);
    qemu_tests::images::write_project(&ground.lab, &project, &recipe, &ground.site())?;
    let answer = Child::new(ground.lab.edgeforge())
        .arg("build")
        .arg(&project)
        .arg("--json")
        .args(options)
        .deadline(DEADLINE)
        .run()?;
    let answer: Json = serde_json::from_slice(&answer).context("edgeforge's answer cannot be read")?;
    Ok(answer["steps"].as_array().cloned().unwrap_or_default())
}

fn ratio(what: &str, mine: Cost, theirs: Cost, mark: &str) {
    let value = format!(
        "{:.2}  ({:.1} s / {:.1} s)",
        mine.processor_seconds / theirs.processor_seconds,
        mine.processor_seconds,
        theirs.processor_seconds
    );
    row(what, value, mark);
}

fn paired(ground: &Ground, folder: &Path, mine: &[String], theirs: &[String]) -> Result<(Cost, Cost)> {
    let mut costs = (Vec::new(), Vec::new());
    for _ in 0..REPETITIONS {
        for (command, costs) in [(mine, &mut costs.0), (theirs, &mut costs.1)] {
            fs::remove_dir_all(folder).or_else(|error| match error.kind() {
                std::io::ErrorKind::NotFound => Ok(()),
                _ => Err(error),
            })?;
            fs::create_dir_all(folder).context("cannot create a folder")?;
            costs.push(cost(ground, command)?);
        }
    }
    Ok((median(costs.0), median(costs.1)))
}

fn median(mut costs: Vec<Cost>) -> Cost {
    costs.sort_by(|one, other| one.processor_seconds.total_cmp(&other.processor_seconds));
    costs[costs.len() / 2]
}

/// Inside the lab tree, for ours as for the peers.
fn cost(ground: &Ground, command: &[String]) -> Result<Cost> {
    let report = ground.lab.work().join("cost");
    ground
        .lab
        .tool("/usr/bin/time")?
        .args(["--format", "%U %S %M", "--output"])
        .arg(&report)
        .args(command)
        .deadline(DEADLINE)
        .run()?;
    let text = fs::read_to_string(&report).context("cannot read what GNU time wrote")?;
    let words: Vec<f64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [user, system, memory] = words[..] else {
        return Err(Error::internal(format!("GNU time wrote {text:?}")));
    };
    Ok(Cost { processor_seconds: user + system, memory })
}

fn run(ground: &Ground, command: &[&str]) -> Result<()> {
    cost(ground, &command.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>()).map(drop)
}

fn largest_blob(layout: &Path) -> Result<PathBuf> {
    let mut blobs = Vec::new();
    for entry in fs::read_dir(layout.join("blobs/sha256")).context("cannot list blobs")? {
        let entry = entry.context("cannot list blobs")?;
        blobs.push((entry.metadata().context("cannot look at a blob")?.len(), entry.path()));
    }
    blobs.sort();
    blobs.pop().map(|(_, path)| path).ok_or_else(|| Error::internal("the layout has no blobs"))
}

/// Bytes of the layer when it is unpacked.
fn layer_size(layout: &Path) -> Result<u64> {
    let blob = largest_blob(layout)?;
    let output = Child::new("sh")
        .args(["-c", "(zstd -dc \"$0\" 2>/dev/null || gzip -dc \"$0\") | wc -c"])
        .arg(&blob)
        .deadline(DEADLINE)
        .run()?;
    String::from_utf8_lossy(&output).trim().parse().map_err(|_| Error::internal("wc gave no number"))
}
