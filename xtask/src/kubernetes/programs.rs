//! The programs of the component: compiled, or found in a folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use edge_host::child::Child;
use edge_model::document::format::is_kubernetes_version;
use edge_model::{Context, Error, Result};

use super::Release;

/// A slow machine with something else to do.
const COMPILE_DEADLINE: Duration = Duration::from_secs(3 * 3600);
/// Kubernetes' components; compiled here, all of them are one program.
pub(super) const COMPONENTS: [&str; 7] = [
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kube-proxy",
    "kubelet",
    "kubeadm",
    "kubectl",
];
pub(super) const ONE_PROGRAM: &str = "kubernetes";
pub(super) const CNI: [&str; 4] = ["bridge", "host-local", "loopback", "portmap"];
const OTHERS: [&str; 8] =
    ["etcd", "etcdctl", "etcdutl", "containerd", "containerd-shim-runc-v2", "runc", "crictl", "coredns"];

/// One program: module folder, package in it, and what else the linker is told.
struct Source {
    name: &'static str,
    module: &'static str,
    package: &'static str,
    /// The module whose version the program says, and the variable that holds it.
    stamp: Option<(&'static str, &'static str)>,
}

const fn source(name: &'static str, module: &'static str, package: &'static str) -> Source {
    Source { name, module, package, stamp: None }
}

const CONTAINERD: &str = "github.com/containerd/containerd/v2";

const SOURCES: [Source; 12] = [
    source(ONE_PROGRAM, "control-plane", "."),
    source("etcd", "etcd", "go.etcd.io/etcd/server/v3"),
    source("etcdctl", "etcd", "go.etcd.io/etcd/etcdctl/v3"),
    source("etcdutl", "etcd", "go.etcd.io/etcd/etcdutl/v3"),
    Source {
        stamp: Some((CONTAINERD, "github.com/containerd/containerd/v2/version.Version")),
        ..source("containerd", "containerd", "github.com/containerd/containerd/v2/cmd/containerd")
    },
    source(
        "containerd-shim-runc-v2",
        "containerd",
        "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
    ),
    source("bridge", "containerd", "github.com/containernetworking/plugins/plugins/main/bridge"),
    source("host-local", "containerd", "github.com/containernetworking/plugins/plugins/ipam/host-local"),
    source("loopback", "containerd", "github.com/containernetworking/plugins/plugins/main/loopback"),
    source("portmap", "containerd", "github.com/containernetworking/plugins/plugins/meta/portmap"),
    Source {
        stamp: Some(("sigs.k8s.io/cri-tools", "sigs.k8s.io/cri-tools/pkg/version.Version")),
        ..source("crictl", "crictl", "sigs.k8s.io/cri-tools/cmd/crictl")
    },
    source("coredns", "coredns", "."),
];

/// The version of the Go compiler.
///
/// # Errors
/// [`edge_model::Class::Environment`] when there is none, or one that is too old for the modules.
pub(super) fn compiler() -> Result<String> {
    let help = "install Go, or give an archive or upstream's programs: KUBE_COMPONENT=PATH";
    let none = |_| {
        Error::environment("there is no Go compiler on this machine, which compiles Kubernetes").help(help)
    };
    let output = Child::new("go")
        .with_whole_environment()
        .env("GOTOOLCHAIN", "local")
        .args(["env", "GOVERSION"])
        .run()
        .map_err(none)?;
    let version = String::from_utf8_lossy(&output).trim().to_owned();
    let modules = crate::root().join("xtask/kubernetes");
    for module in MODULES {
        let file = edge_host::files::read_text(&modules.join(module).join("go.mod"))?;
        let wanted = file.lines().find_map(|line| line.strip_prefix("go ")).unwrap_or_default();
        if numbers(version.trim_start_matches("go")) < numbers(wanted) {
            let what = format!("Kubernetes needs Go {wanted}, and {version} is here");
            return Err(Error::environment(what).help(help));
        }
    }
    Ok(version)
}

const MODULES: [&str; 6] = ["control-plane", "etcd", "containerd", "runc", "crictl", "coredns"];

fn numbers(version: &str) -> Vec<u32> {
    version.split('.').map(|part| part.parse().unwrap_or(0)).collect()
}

/// Beside `go.mod`, in the folders that have one: the modules of the release before.
const BEFORE: &str = "before.mod";

pub(super) fn is_of_before(file: &Path) -> bool {
    file.file_stem().is_some_and(|stem| stem == "before")
}

/// The list of modules that counts for a folder and a release.
fn module_file(folder: &Path, release: Release) -> PathBuf {
    let before = folder.join(BEFORE);
    if release == Release::Before && before.exists() { before } else { folder.join("go.mod") }
}

/// Where each program is.
#[derive(Debug)]
pub(super) struct Programs {
    paths: BTreeMap<String, PathBuf>,
}

impl Programs {
    /// Compiles everything into a folder; `objects` is kept by an interrupted run for the next one.
    ///
    /// # Errors
    /// When a program does not compile.
    pub(super) fn compile(release: Release, sources: &Path, objects: &Path, output: &Path) -> Result<Self> {
        crate::packages::for_kubernetes()?;
        let go = |module: &Path, link_flags: &str| {
            go(&module_file(module, release), link_flags).env("GOCACHE", objects)
        };
        fs::create_dir_all(output).with_context(|| format!("cannot create {}", output.display()))?;
        for source in &SOURCES {
            eprintln!("compiling {}...", source.name);
            let module = sources.join(source.module);
            go(&module, &link_flags(&module_file(&module, release), source)?)
                .env("CGO_ENABLED", "0")
                .arg("-o")
                .arg(output.join(source.name))
                .arg(source.package)
                .run()?;
        }
        eprintln!("compiling runc...");
        // Its C code must run before Go begins; static, because the image may be of any distribution.
        go(&sources.join("runc"), "-s -w -linkmode external -extldflags -static")
            .env("CGO_ENABLED", "1")
            .args(["-tags", "seccomp,netgo,osusergo", "-o"])
            .arg(output.join("runc"))
            .arg("github.com/opencontainers/runc")
            .run()?;
        for component in COMPONENTS {
            let link = output.join(component);
            // An interrupted run has left it.
            let _ = fs::remove_file(&link);
            std::os::unix::fs::symlink(ONE_PROGRAM, link).context("cannot name a component")?;
        }
        Self::find(output, sources, output)
    }

    /// Finds all programs in a folder, at any depth. The one that holds a pod together is compiled when it is not there.
    ///
    /// # Errors
    /// [`edge_model::Class::InvalidInput`] naming those that are missing.
    pub(super) fn find(folder: &Path, sources: &Path, output: &Path) -> Result<Self> {
        let mut paths = BTreeMap::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
                let path = entry.context("cannot list programs")?.path();
                if path.is_dir() {
                    folders.push(path);
                } else if let Some(name) = path.file_name().and_then(|name| name.to_str()) {
                    paths.insert(name.to_owned(), path.clone());
                }
            }
        }
        let missing: Vec<&str> = COMPONENTS
            .iter()
            .chain(&OTHERS)
            .chain(&CNI)
            .copied()
            .filter(|name| !paths.contains_key(*name))
            .collect();
        if !missing.is_empty() {
            return Err(Error::invalid(format!("{} lacks {}", folder.display(), missing.join(", ")))
                .help("give a folder with the programs of Kubernetes, etcd, containerd, runc, crictl, CoreDNS and the CNI plug-ins"));
        }
        if !paths.contains_key("pause") {
            fs::create_dir_all(output).with_context(|| format!("cannot create {}", output.display()))?;
            let pause = output.join("pause");
            Child::new("cc")
                .with_whole_environment()
                .args(["-Os", "-static", "-s", "-o"])
                .arg(&pause)
                .arg(sources.join("pause/pause.c"))
                .run()?;
            paths.insert("pause".into(), pause);
        }
        Ok(Self { paths })
    }

    /// The file itself, behind links.
    ///
    /// # Errors
    /// When it is gone.
    pub(super) fn file(&self, name: &str) -> Result<PathBuf> {
        let path =
            self.paths.get(name).ok_or_else(|| Error::internal(format!("{name} was not looked for")))?;
        path.canonicalize().with_context(|| format!("cannot open {}", path.display()))
    }

    /// Whether all components are one file.
    ///
    /// # Errors
    /// As [`Programs::file`].
    pub(super) fn are_one(&self) -> Result<bool> {
        let first = self.file(COMPONENTS[0])?;
        COMPONENTS.iter().try_fold(true, |same, name| Ok(same && self.file(name)? == first))
    }

    fn says(&self, name: &str, arguments: &[&str]) -> Result<String> {
        let path =
            self.paths.get(name).ok_or_else(|| Error::internal(format!("{name} was not looked for")))?;
        let output = Child::new(path).args(arguments).run()?;
        Ok(String::from_utf8_lossy(&output).into_owned())
    }

    /// With `v`.
    ///
    /// # Errors
    /// When kubeadm does not say it.
    pub(super) fn kubernetes_version(&self) -> Result<String> {
        let said = self.says("kubeadm", &["version", "-o", "short"])?;
        let version = said.trim();
        if is_kubernetes_version(version) {
            return Ok(version.to_owned());
        }
        Err(Error::invalid(format!("kubeadm says that it is {version:?}, which is no version")))
    }

    /// Without `v`.
    ///
    /// # Errors
    /// When etcd does not say it.
    pub(super) fn etcd_version(&self) -> Result<String> {
        self.word_behind("etcd", &["--version"], "etcd Version: ")
    }

    /// Without `v`.
    ///
    /// # Errors
    /// When CoreDNS does not say it.
    pub(super) fn coredns_version(&self) -> Result<String> {
        self.word_behind("coredns", &["-version"], "CoreDNS-")
    }

    fn word_behind(&self, name: &str, arguments: &[&str], before: &str) -> Result<String> {
        let said = self.says(name, arguments)?;
        let word = said.split_once(before).and_then(|(_, rest)| rest.split_whitespace().next());
        word.map(str::to_owned)
            .ok_or_else(|| Error::invalid(format!("{name} does not say its version: {said}")))
    }
}

/// A client of the container runtime that is not part of the component.
///
/// # Errors
/// When it does not compile.
pub(super) fn compile_ctr(sources: &Path, output: &Path) -> Result<()> {
    go(&sources.join("containerd/go.mod"), "-s -w")
        .env("CGO_ENABLED", "0")
        .arg("-o")
        .arg(output)
        .arg("github.com/containerd/containerd/v2/cmd/ctr")
        .run()
        .map(drop)
}

/// The compiler, in the folder of a list of modules.
fn go(list: &Path, link_flags: &str) -> Child {
    let name = list.file_name().unwrap_or_default().to_string_lossy();
    Child::new("go")
        .with_whole_environment()
        .directory(list.parent().unwrap_or(list))
        // The compiler of this machine, and the modules that are pinned: nothing else decides what comes out.
        .env("GOTOOLCHAIN", "local")
        .env("GOFLAGS", "-mod=readonly")
        // The compiler spends a quarter of its time on collecting its own garbage, and needs few hundred MB without.
        .env("GOGC", "400")
        // What is stripped afterwards need not be made.
        .args([
            "build",
            &format!("-modfile={name}"),
            "-trimpath",
            "-buildvcs=false",
            "-gcflags=all=-dwarf=false",
            "-ldflags",
            link_flags,
        ])
        .deadline(COMPILE_DEADLINE)
}

/// Without its version Kubernetes refuses to work with its other parts.
fn link_flags(modules: &Path, source: &Source) -> Result<String> {
    let mut flags = "-s -w".to_owned();
    if source.name == ONE_PROGRAM {
        let version = version_of(modules, "k8s.io/kubernetes")?;
        let mut parts = version.trim_start_matches('v').split('.');
        let (major, minor) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        for package in ["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"] {
            for (key, value) in [
                ("gitVersion", version.as_str()),
                ("gitMajor", major),
                ("gitMinor", minor),
                ("gitTreeState", "clean"),
                // The same bytes whenever it is compiled.
                ("buildDate", "1970-01-01T00:00:00Z"),
            ] {
                flags.push_str(&format!(" -X {package}.{key}={value}"));
            }
        }
    }
    if let Some((of, variable)) = source.stamp {
        flags.push_str(&format!(" -X {variable}={}", version_of(modules, of)?));
    }
    Ok(flags)
}

/// The version of a module that a `go.mod` pins.
fn version_of(module: &Path, name: &str) -> Result<String> {
    let text = edge_host::files::read_text(module)?;
    let version = text.lines().find_map(|line| {
        let mut words = line.trim().trim_start_matches("require ").split_whitespace();
        (words.next() == Some(name)).then(|| words.next()).flatten().filter(|word| word.starts_with('v'))
    });
    version
        .map(str::to_owned)
        .ok_or_else(|| Error::internal(format!("{} does not pin {name}", module.display())))
}
