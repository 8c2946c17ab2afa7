//! The documentation, typed in as it stands.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use edge_host::child::Child;
use edge_model::{Context, Result};
use qemu_tests::bench_ground::Ground;
use qemu_tests::docs::{self, Block, Place};
use qemu_tests::records::{self, Said};

use super::ensure;

const DEADLINE: Duration = Duration::from_secs(1800);
/// What a page takes as given; what it writes itself is not in the list.
const WRONG_ANSWERS: &str = "hostName: till\ninstall:\n  wipe: everything\n  disc: {}\n";

/// Every block for the builder, page by page, each in a folder of its own.
pub(super) fn commands_of_the_builder(ground: &Ground) -> Result<()> {
    let folder = ground.lab.work().join("docs-run-with-the-builder");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    let mut blocks = docs::blocks(&ground.root)?;
    blocks.retain(|block| matches!(block.place, Place::Builder { .. }));
    let mut shop = None;
    for page in pages(&blocks) {
        let own = folder.join(page.display().to_string().replace('/', "-"));
        prepare(ground, &own, page, shop.as_deref())?;
        for block in blocks.iter().filter(|block| block.page == page) {
            let Place::Builder { exit } = block.place else { continue };
            run(block, exit, &own, ground)?;
        }
        // The first page makes the project that the others begin with.
        shop = shop.or_else(|| Some(own.join("shop")).filter(|shop| shop.join("build").exists()));
    }
    ensure(shop.is_some(), || "no page has built a project".into())
}

/// In their order, each once.
fn pages(blocks: &[Block]) -> Vec<&Path> {
    let mut pages: Vec<&Path> = blocks.iter().map(|block| block.page.as_path()).collect();
    pages.dedup();
    pages
}

fn prepare(ground: &Ground, own: &Path, page: &Path, shop: Option<&Path>) -> Result<()> {
    let context = "cannot prepare a page's folder";
    fs::create_dir_all(own).context(context)?;
    symlink(ground.root.join("dist"), own.join("dist")).context(context)?;
    let starts_anew = ["README.md", "docs/build.md"].iter().any(|name| page == Path::new(name));
    let Some(shop) = shop.filter(|_| !starts_anew) else { return Ok(()) };
    // Only looked at: a copy of its outputs would take gigabytes for each page.
    symlink(shop, own.join("shop")).context(context)?;
    let name = "shop-1.0.0-amd64.iso";
    symlink(own.join("shop/build").join(name), own.join(name)).context(context)?;
    fs::copy(shop.join("user-data"), own.join("user-data")).context(context)?;
    let answers = own.join("unattended.yaml");
    if page == Path::new("docs/configuration.md") {
        fs::write(answers, WRONG_ANSWERS).context(context)
    } else {
        fs::copy(shop.join("unattended.yaml"), answers).map(drop).context(context)
    }
}

fn run(block: &Block, exit: i32, folder: &Path, ground: &Ground) -> Result<()> {
    let dist: PathBuf = ground.root.join("dist");
    let path = std::env::var("PATH").unwrap_or_default();
    let last = block.commands.len().saturating_sub(1);
    for (at, command) in block.commands.iter().enumerate() {
        let outcome = Child::new("sh")
            .directory(folder)
            .env("PATH", format!("{}:{path}", dist.display()))
            .args(["-c", command])
            .deadline(DEADLINE)
            .outcome()?;
        let wanted = if at == last { exit } else { 0 };
        ensure(outcome.status.code() == Some(wanted), || {
            format!(
                "{}:{}: `{command}` ended with {}: {}",
                block.page.display(),
                block.line,
                outcome.status,
                outcome.stderr
            )
        })?;
    }
    Ok(())
}

/// Every block for a host.
pub(super) fn commands_of_a_host(ground: &Ground) -> Result<()> {
    let (machine, _powered) = ground.healthy_copy("docs-run-on-a-host")?;
    let ssh = ground.ssh(&machine);
    let said = [Said::Whole("status", "/v1/status"), Said::Whole("metrics", "/v1/metrics")];
    records::check(&ground.root, &ssh, ground.patience(60), &said)?;
    for block in docs::blocks(&ground.root)?.iter().filter(|block| block.place == Place::Host) {
        for command in &block.commands {
            let place = || format!("{}:{}", block.page.display(), block.line);
            ssh.run(command, ground.patience(120)).with_context(place)?;
        }
    }
    Ok(())
}
