//! From fresh namespaces to the image's service manager: what firmware, kernel and `edge-init` do on a machine.

use std::convert::Infallible;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use edge_host::child::{self, Child};
use edge_host::kernel;
use edge_host::mount::{self, MountFlags, bind};
use edge_model::{Context, Result, paths};
use edge_planner::host_kind::HostKind;
use edge_planner::state_layout::{StateLayout, StateMount};

use super::control_groups::{self, CONTROLLERS, SYSTEMD};
use super::host::{ADDRESS, BOOT_RECORD, CONSOLE, GATEWAY, PERSISTENT, ROOT, ROOT_IMAGE, SITE_NAME};

const NODES: [&str; 7] = ["null", "zero", "full", "random", "urandom", "tty", "kmsg"];
/// Settings of this machine's kernel that a node writes: it gets files of its own instead.
const SHADOWED: [(&str, &str); 6] = [
    ("vm/overcommit_memory", "1"),
    ("vm/panic_on_oom", "0"),
    ("kernel/panic", "10"),
    ("kernel/panic_on_oops", "1"),
    ("kernel/keys/root_maxkeys", "1000000"),
    ("kernel/keys/root_maxbytes", "25000000"),
];
/// What a runtime needs where rights are fewer than on a machine of its own.
const RUNTIME: &str = "version = 3
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true
  disable_apparmor = true
";
const SERVICE_MANAGER: &str = "/usr/lib/systemd/systemd";
/// systemd 257 takes version 1 of control groups only when it is told twice, and mixes it with version 2 unless it is told
/// not to: what it makes there, kubelet does not always find.
const VERSION_1: [&str; 3] = [
    "systemd.unified_cgroup_hierarchy=0",
    "SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1",
    "systemd.legacy_systemd_cgroup_controller=1",
];

/// Becomes the first process of the host that is kept in a folder.
///
/// # Errors
/// When something cannot be mounted.
pub fn become_host(folder: &Path) -> Result<Infallible> {
    mount::make_private(Path::new("/"))?;
    let root = folder.join(ROOT);
    fs::create_dir_all(&root).context("cannot create a mount point")?;
    // On a loop device and not as a file: layers of images are mounted from files of it, and the kernel stacks only
    // two of a kind.
    Child::new("mount")
        .args(["-t", "erofs", "-o", "ro,loop"])
        .arg(folder.join(ROOT_IMAGE))
        .arg(&root)
        .run()?;
    kernel_file_systems(&root)?;
    devices(&root, folder)?;
    partitions(&root, folder)?;
    writable_paths(&root)?;
    settings(&root, folder)?;
    mount::pivot_root(&root)?;
    shadow_kernel_settings()?;
    kernel::set_host_name("edge-demo")?;
    let version_1 = if control_groups::is_unified() { &[][..] } else { &VERSION_1[..] };
    wires()?;
    let program = ["container=edge", "PATH=/usr/sbin:/usr/bin", SERVICE_MANAGER, "--log-target=console"];
    Err(child::become_program("env", &[&["-i"], &program[..], version_1].concat()))
}

fn kernel_file_systems(root: &Path) -> Result<()> {
    let none = MountFlags::empty();
    mount::mount("proc", &root.join("proc"), "proc", none, "")?;
    mount::mount("sys", &root.join("sys"), "sysfs", none, "")?;
    for (path, options) in
        [("run", "mode=755"), ("tmp", "mode=1777"), ("dev", "mode=755"), ("media", "mode=755")]
    {
        mount::mount(path, &root.join(path), "tmpfs", none, options)?;
    }
    let groups = root.join("sys/fs/cgroup");
    if control_groups::is_unified() {
        return mount::mount("cgroup", &groups, "cgroup2", none, "");
    }
    mount::mount("cgroup", &groups, "tmpfs", none, "mode=755")?;
    for controller in CONTROLLERS {
        mount::mount("cgroup", &groups.join(controller), "cgroup", none, controller)?;
    }
    mount::mount("cgroup", &groups.join(SYSTEMD), "cgroup", none, "none,name=systemd")
}

/// Only what cannot do harm: no disk of this machine.
fn devices(root: &Path, folder: &Path) -> Result<()> {
    let dev = root.join("dev");
    let context = || "cannot fill /dev";
    let show = |source: &Path, target: PathBuf| {
        fs::write(&target, "").with_context(context)?;
        bind_file(source, &target)
    };
    for node in NODES {
        show(&Path::new("/dev").join(node), dev.join(node))?;
    }
    show(&folder.join(CONSOLE), dev.join("console"))?;
    mount::mount("devpts", &dev.join("pts"), "devpts", MountFlags::empty(), "newinstance,ptmxmode=0666")?;
    mount::mount("shm", &dev.join("shm"), "tmpfs", MountFlags::empty(), "mode=1777")?;
    for (link, target) in [
        ("ptmx", "pts/ptmx"),
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ] {
        symlink(target, dev.join(link)).with_context(context)?;
    }
    Ok(())
}

fn bind_file(source: &Path, target: &Path) -> Result<()> {
    Child::new("mount").arg("--bind").arg(source).arg(target).run().map(drop)
}

fn partitions(root: &Path, folder: &Path) -> Result<()> {
    for path in [paths::OEM, paths::PERSISTENT] {
        let kept = folder.join(PERSISTENT).join(&path[1..]);
        fs::create_dir_all(&kept).context("cannot create the folder of a partition")?;
        bind(&kept, &root.join(&path[1..]))?;
    }
    Ok(())
}

/// As `edge-agent early` does it, by the same plan. What is in memory lies below `/media`.
fn writable_paths(root: &Path) -> Result<()> {
    let inside = |path: &str| root.join(path.trim_start_matches('/'));
    let text = fs::read_to_string(inside(paths::IMAGE_LAYOUT)).context("cannot read the image's layout")?;
    let is_empty =
        |path: &str| fs::read_dir(inside(path)).map_or(true, |mut entries| entries.next().is_none());
    for state in StateLayout::parse(&text)?.mounts(HostKind::Appliance, is_empty) {
        let target = inside(state.path());
        if fs::create_dir_all(&target).is_err() {
            continue;
        }
        let base = match state {
            StateMount::Ephemeral(_) => root.join("media"),
            _ => inside(paths::PERSISTENT_STATE),
        };
        let store = base.join(state.store_name());
        if let StateMount::PersistentBind(_) = state {
            fs::create_dir_all(&store).context("cannot create a folder for state")?;
            bind(&store, &target)?;
            continue;
        }
        let (upper, work) = (store.join("upper"), store.join("work"));
        fs::create_dir_all(&upper)
            .and_then(|()| fs::create_dir_all(&work))
            .context("cannot create a folder")?;
        let options =
            format!("lowerdir={},upperdir={},workdir={}", target.display(), upper.display(), work.display());
        mount::mount("overlay", &target, "overlay", MountFlags::empty(), &options)?;
    }
    Ok(())
}

fn settings(root: &Path, folder: &Path) -> Result<()> {
    let put = |path: &str, content: &[u8]| {
        let path = root.join(path.trim_start_matches('/'));
        fs::create_dir_all(path.parent().unwrap_or(root))
            .and_then(|()| fs::write(&path, content))
            .with_context(|| format!("cannot write {}", path.display()))
    };
    let record = fs::read(folder.join(BOOT_RECORD)).context("cannot read the boot record")?;
    put(paths::BOOT_RECORD, &record)?;
    let names = format!("127.0.0.1 localhost edge-demo\n{ADDRESS} {SITE_NAME}\n");
    put("/etc/hosts", names.as_bytes())?;
    put("/etc/containerd/conf.d/namespaces.toml", RUNTIME.as_bytes())?;
    let servers = fs::read_to_string(folder.join(super::host::NAME_SERVERS)).unwrap_or_default();
    let site =
        format!("[Match]\nName=eth0\n[Network]\nAddress={ADDRESS}/24\nGateway={GATEWAY}\nDNS={servers}\n");
    put("/run/systemd/network/05-site.network", site.as_bytes())?;
    // The name server of the site, if it is asked for: it answers from the host's own table.
    put(
        "/run/systemd/resolved.conf.d/site.conf",
        format!("[Resolve]\nDNSStubListenerExtra={ADDRESS}\n").as_bytes(),
    )
}

fn shadow_kernel_settings() -> Result<()> {
    let folder = Path::new("/run/kernel-settings");
    fs::create_dir_all(folder).context("cannot create a folder")?;
    for (key, value) in SHADOWED {
        let (real, own) = (Path::new("/proc/sys").join(key), folder.join(key.replace('/', "_")));
        if real.exists() {
            fs::write(&own, value).context("cannot write a setting")?;
            bind_file(&own, &real)?;
        }
    }
    Ok(())
}

/// One wired interface, as a site has it. The host gives it its address.
fn wires() -> Result<()> {
    let ip = |words: &[&str]| Child::new("ip").args(words).run().map(drop);
    ip(&["link", "set", "lo", "up"])?;
    ip(&["link", "add", "eth0", "type", "veth", "peer", "name", "peer0"])?;
    ip(&["link", "set", "peer0", "up"])
}
