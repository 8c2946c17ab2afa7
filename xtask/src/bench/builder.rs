//! The builder beside its peers: processor time of both in one run, over the same bytes.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use edge_host::child::Child;
use edge_model::{Context, Error, Result};
use qemu_tests::bench_ground::Ground;
use qemu_tests::images::Recipe;
use serde_json::Value as Json;

use super::row;
use crate::build;

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

/// In memory: how long a disk's file system looks for free inodes and blocks depends on what was deleted before.
const MEMORY: &str = "/dev/shm";

/// Where the comparison works.
struct Bench<'a> {
    ground: &'a Ground,
    folder: PathBuf,
    /// The first image's root, unpacked.
    root: PathBuf,
}

pub(super) fn compare(ground: &Ground) -> Result<()> {
    let memory =
        tempfile::tempdir_in(MEMORY).with_context(|| format!("cannot create a folder in {MEMORY}"))?;
    let folder = memory.path().to_owned();
    let layout = ground.every_envelope()?.folder.join("build/container");
    let image = format!("{}:{}", layout.display(), ground.every_envelope()?.version);
    let bench = Bench { ground, root: folder.join("bundle/rootfs"), folder };
    bench.sh(&format!("umoci unpack --rootless --image {image} {}", bench.at("bundle")))?;
    unpacking(&bench, &layout, &image)?;
    root_image(&bench)?;
    packing(&bench)?;
    // An earlier run's results would make any rebuild look fast.
    empty(&bench.cache())?;
    let cold = timed_build(&bench, &Recipe::version("1.0.0"), &[("XDG_CACHE_HOME", bench.cache())])?;
    medium(&bench, &cold)?;
    let another = Recipe { packages: vec!["jq".into()], ..Recipe::version("1.0.0") };
    let changed = timed_build(&bench, &another, &[("XDG_CACHE_HOME", bench.cache())])?;
    rebuilt("rebuild with one package more / cold", &changed, &cold, "mark 0.3");
    // As another version of it would: the system that all projects share is made anew.
    let another = Recipe { removed: vec!["less".into()], ..Recipe::version("1.0.0") };
    let changed = timed_build(&bench, &another, &[("XDG_CACHE_HOME", bench.cache())])?;
    rebuilt("rebuild with another system / cold", &changed, &cold, "");
    row("memory of a build", megabytes(cold.memory), "mark 64 MB");
    Ok(())
}

fn rebuilt(what: &str, changed: &Timed, cold: &Timed, mark: &str) {
    let (changed, cold) = (changed.total(), cold.total());
    row(what, format!("{:.2}  ({changed:.1} s / {cold:.1} s)", changed / cold), mark);
}

/// An image of three layers, each with a whole system in it.
fn unpacking(bench: &Bench<'_>, layout: &Path, image: &str) -> Result<()> {
    let tag = image.rsplit(':').next().unwrap_or_default();
    let large = bench.at("large");
    bench.sh(&format!("cp -r {} {large}", layout.display()))?;
    for copy in ["one", "two"] {
        bench.sh(&format!(
            "umoci insert --rootless --image {large}:{tag} {}/usr /{copy}",
            bench.root.display()
        ))?;
    }
    let layers = bench.layers(&large, tag)?;
    let unpack = |blob: &str| format!("(zstd -dc {blob} 2>/dev/null || gzip -dc {blob})");
    let all: String = layers.iter().map(|blob| unpack(blob) + ";").collect();
    let size = bench.output(&format!("{{ {all} }} | wc -c"))?;
    let size = size.trim().parse().map_err(|_| Error::internal("wc gave no number"))?;
    row("layers, unpacked", megabytes(size), "");
    let edgeforge = bench.ground.lab.edgeforge().display().to_string();
    let ours = format!("{edgeforge} unpack oci-layout:{large}:{tag} {}", bench.at("out/ours"));
    let umoci = format!("umoci unpack --rootless --image {large}:{tag} {}", bench.at("out/peer"));
    let (mine, theirs) = bench.paired(&ours, &umoci)?;
    ratio("unpack / umoci unpack", mine, theirs, "mark 0.4");
    row("memory of unpack", megabytes(mine.memory * 1024.0), "mark 64 MB");
    // As tar does it for whoever is not root: without owners.
    let place = bench.at("out/peer");
    let tar: String =
        layers.iter().map(|blob| format!(" && tar -x --no-same-owner -f {blob} -C {place}")).collect();
    let (mine, theirs) = bench.paired(&ours, &format!("mkdir -p {place}{tar}"))?;
    ratio("unpack with digests / tar -x without", mine, theirs, "mark 1.2");
    Ok(())
}

/// File system and hash tree, from an archive in one pass each, beside a folder and the two usual tools.
fn root_image(bench: &Bench<'_>) -> Result<()> {
    build::compile(&["--release", "--package", "xtask", "--example", "hash_tree"])?;
    let hash_tree = build::program("examples/hash_tree", false).display().to_string();
    let (archive, root) = (bench.at("root.tar"), bench.root.display());
    bench.sh(&format!("tar -c -f {archive} -C {root} ."))?;
    let image = bench.at("out/root.img");
    let ours = format!(
        "mkfs.erofs --quiet --tar=f --sort=none -Enoinline_data -T0 {image} {archive} && {hash_tree} {image}"
    );
    let theirs = format!(
        "mkfs.erofs --quiet -Enoinline_data -T0 {image} {root} && veritysetup format {image} {image}.hash"
    );
    let (mine, theirs) = bench.paired(&ours, &theirs)?;
    ratio("EROFS and tree / mkfs.erofs, veritysetup", mine, theirs, "mark 0.8");
    Ok(())
}

/// The same root as a layer.
fn packing(bench: &Bench<'_>) -> Result<()> {
    let (layout, bundle) = (bench.at("repack"), bench.at("repacked"));
    bench.sh(&format!(
        "umoci init --layout {layout} && umoci new --image {layout}:1 && umoci unpack --rootless --image {layout}:1 {bundle} \
         && cp -a {}/. {bundle}/rootfs/",
        bench.root.display()
    ))?;
    let theirs = bench.cost(&format!("umoci repack --image {layout}:2 {bundle}"))?;
    // Never seen before, or the cache would know the answer.
    let recipe = Recipe { envelopes: Some(vec!["container".into()]), ..Recipe::version("1.0.0") };
    let recipe = recipe.file("etc/motd", &format!("{:?}\n", Instant::now()), false);
    let built = timed_build(bench, &recipe, &[])?;
    let mine = Cost { processor_seconds: built.step("container image")?, memory: 0.0 };
    ratio("container image / umoci repack", mine, theirs, "mark 0.5");
    Ok(())
}

/// The installer ISO beside one with the same files.
fn medium(bench: &Bench<'_>, cold: &Timed) -> Result<()> {
    let folder = bench.at("iso");
    empty(Path::new(&folder))?;
    bench.sh(&format!("cp {}/oci/blobs/sha256/* {folder}", cold.output.display()))?;
    let theirs = bench.cost(&format!("grub-mkrescue -o {} {folder}", bench.at("peer.iso")))?;
    let mine = Cost { processor_seconds: cold.step("installer ISO")?, memory: 0.0 };
    ratio("ISO / grub-mkrescue", mine, theirs, "mark 1.0");
    Ok(())
}

/// What a build says of itself.
struct Timed {
    steps: Vec<Json>,
    /// Bytes.
    memory: f64,
    output: PathBuf,
}

impl Timed {
    fn step(&self, name: &str) -> Result<f64> {
        let found = self.steps.iter().find(|step| step["step"] == name);
        let seconds = found.and_then(|step| step["processor_seconds"].as_f64());
        seconds.ok_or_else(|| Error::internal(format!("the build has no step {name:?}")))
    }

    fn total(&self) -> f64 {
        // The tools are made once for all projects.
        let steps = self.steps.iter().filter(|step| step["step"] != "tools tree");
        steps.filter_map(|step| step["processor_seconds"].as_f64()).sum()
    }
}

fn timed_build(bench: &Bench<'_>, recipe: &Recipe, variables: &[(&str, PathBuf)]) -> Result<Timed> {
    let lab = &bench.ground.lab;
    let project = bench.folder.join("timed");
    qemu_tests::images::write_project(lab, &project, recipe, &bench.ground.site())?;
    let command = Child::new(lab.edgeforge())
        .with_whole_environment()
        .arg("build")
        .arg(&project)
        .arg("--json")
        .deadline(DEADLINE);
    let answer = variables.iter().fold(command, |command, (name, value)| command.env(name, value)).run()?;
    let answer: Json = serde_json::from_slice(&answer).context("edgeforge's answer cannot be read")?;
    let (steps, memory) = (answer["steps"].as_array().cloned(), answer["peak_memory"].as_f64());
    let (Some(steps), Some(memory)) = (steps, memory) else {
        return Err(Error::internal("edgeforge's answer has no steps or no memory"));
    };
    Ok(Timed { steps, memory, output: project.join("build") })
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

fn megabytes(bytes: f64) -> String {
    format!("{:.0} MB", bytes / 1e6)
}

fn median(mut costs: Vec<Cost>) -> Cost {
    costs.sort_by(|one, other| one.processor_seconds.total_cmp(&other.processor_seconds));
    costs[costs.len() / 2]
}

fn empty(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).context("cannot empty a folder")
        }
        _ => fs::create_dir_all(folder).context("cannot create a folder"),
    }
}

impl Bench<'_> {
    fn cache(&self) -> PathBuf {
        self.folder.join("timed-cache")
    }

    fn at(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// Runs a shell command inside the lab tree, for ours as for the peers.
    fn output(&self, command: &str) -> Result<String> {
        let output = self.ground.lab.tool("sh")?.args(["-ec", command]).deadline(DEADLINE).run()?;
        Ok(String::from_utf8_lossy(&output).into_owned())
    }

    fn sh(&self, command: &str) -> Result<()> {
        self.output(command).map(drop)
    }

    fn cost(&self, command: &str) -> Result<Cost> {
        let report = self.at("cost");
        let time = ["--format", "%U %S %M", "--output", &report, "sh", "-ec", command];
        self.ground.lab.tool("/usr/bin/time")?.args(time).deadline(DEADLINE).run()?;
        let text = fs::read_to_string(&report).context("cannot read what GNU time wrote")?;
        let words: Vec<f64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let [user, system, memory] = words[..] else {
            return Err(Error::internal(format!("GNU time wrote {text:?}")));
        };
        Ok(Cost { processor_seconds: user + system, memory })
    }

    /// Both in turn, each into an empty folder `out`.
    fn paired(&self, mine: &str, theirs: &str) -> Result<(Cost, Cost)> {
        let mut costs = (Vec::new(), Vec::new());
        for _ in 0..REPETITIONS {
            for (command, costs) in [(mine, &mut costs.0), (theirs, &mut costs.1)] {
                empty(&self.folder.join("out"))?;
                costs.push(self.cost(command)?);
            }
        }
        Ok((median(costs.0), median(costs.1)))
    }

    /// Files of an image's layers.
    fn layers(&self, layout: &str, tag: &str) -> Result<Vec<String>> {
        let read = |path: String| -> Result<Json> {
            let text = fs::read(&path).with_context(|| format!("cannot read {path}"))?;
            serde_json::from_slice(&text).with_context(|| format!("{path} is no JSON"))
        };
        let blob = |digest: &Json| {
            format!(
                "{layout}/blobs/sha256/{}",
                digest.as_str().unwrap_or_default().trim_start_matches("sha256:")
            )
        };
        let index = read(format!("{layout}/index.json"))?;
        let named = |one: &&Json| one["annotations"]["org.opencontainers.image.ref.name"] == tag;
        let manifest = index["manifests"].as_array().into_iter().flatten().find(named);
        let manifest = manifest.ok_or_else(|| Error::internal(format!("the layout has no image {tag}")))?;
        let manifest = read(blob(&manifest["digest"]))?;
        Ok(manifest["layers"].as_array().into_iter().flatten().map(|layer| blob(&layer["digest"])).collect())
    }
}
