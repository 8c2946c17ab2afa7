//! From the initrd to the verified root.

use std::convert::Infallible;
use std::fs;
use std::path::Path;

use edge_host::mount::{self, MountFlags};
use edge_host::{child, device_mapper, files};
use edge_model::api::{BootRecord, Found};
use edge_model::cmdline::CommandLine;
use edge_model::initrd::MODULE_DIRECTORY;
use edge_model::{Context, Result, paths};

use crate::root::Root;

const NEW_ROOT: &str = "/sysroot";
const NEXT: &str = paths::AGENT_PROGRAM;

/// Opens the root through dm-verity, makes it `/` and becomes `edge-agent early`.
pub(crate) fn to_agent(command_line: &CommandLine, root: &Root, is_fallback: bool) -> Result<Infallible> {
    let device = root.device.to_string_lossy();
    let verified = device_mapper::create_verity(
        "edge-root",
        &device,
        &command_line.root_hash,
        command_line.data_blocks,
    )?;
    let new_root = Path::new(NEW_ROOT);
    mount::mount(&verified.to_string_lossy(), new_root, "erofs", MountFlags::RDONLY, "")?;
    write_boot_record(command_line, root, is_fallback)?;
    for kernel in ["/dev", "/proc", "/sys", "/run"] {
        mount::move_mount(Path::new(kernel), &new_root.join(&kernel[1..]))?;
    }
    // Gives the memory of the initrd back.
    let _ = fs::remove_dir_all(MODULE_DIRECTORY);
    let _ = fs::remove_file("/init");
    mount::switch_root(new_root)?;
    Err(child::become_program(NEXT, &["early"]))
}

fn write_boot_record(command_line: &CommandLine, root: &Root, is_fallback: bool) -> Result<()> {
    let record = BootRecord {
        mode: command_line.mode,
        root_hash: command_line.root_hash,
        data_blocks: command_line.data_blocks,
        slot: root.slot,
        disk: root.disk.clone(),
        reasons: Vec::new(),
        is_fallback,
        found: Found::default(),
    };
    let path = Path::new(paths::BOOT_RECORD);
    fs::create_dir_all(path.parent().unwrap_or(Path::new("/run"))).context("cannot create /run/edge")?;
    let bytes = serde_json::to_vec(&record).context("cannot write the boot record")?;
    files::write_durably(path, &bytes, 0o644)
}
