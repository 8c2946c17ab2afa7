//! What is collected, as a list. A tool that an image does not have is an entry in the index, and no more.

use std::path::{Path, PathBuf};
use std::time::Duration;

use edge_host::child::Child;
use edge_host::efivars::{self, EfiVars};
use edge_host::machine::Machine;
use edge_host::{disk, firmware, system_info, tpm};
use edge_model::{Context, Error, Result, paths};

use super::Inputs;
use super::archive::{Archive, Collected, FILE_LIMIT};
use crate::facts::Host;
use crate::{black_box, diagnostics, stages};

/// A command whose output is a file of the bundle.
struct Command {
    file: &'static str,
    /// Program and arguments, separated by spaces.
    words: &'static str,
    seconds: u64,
}

const fn command(file: &'static str, words: &'static str, seconds: u64) -> Command {
    Command { file, words, seconds }
}

const COMMANDS: &[Command] = &[
    command("network/links.txt", "networkctl status -a --no-pager", 20),
    command("network/addresses.txt", "ip -s address", 10),
    command("network/routes.txt", "ip route show table all", 10),
    command("network/routes-6.txt", "ip -6 route show table all", 10),
    command("network/neighbours.txt", "ip neighbour", 10),
    command("network/names.txt", "resolvectl status --no-pager", 20),
    command("network/sockets.txt", "ss -tuanp", 20),
    command("time/status.txt", "timedatectl status --no-pager", 20),
    command("time/server.txt", "timedatectl timesync-status --no-pager", 20),
    command("disks/devices.json", "lsblk -J -O", 20),
    command("disks/use.txt", "df -PTk", 20),
    command("disks/mounts.txt", "findmnt --all --notruncate", 20),
    command("units/failed.txt", "systemctl --failed --no-pager --full", 20),
    command("units/all.txt", "systemctl list-units --all --no-pager --full", 30),
    command("units/jobs.txt", "systemctl list-jobs --no-pager --full", 20),
    command("units/timers.txt", "systemctl list-timers --all --no-pager --full", 20),
    command("kernel/messages.txt", "dmesg", 30),
    command("kernel/modules.txt", "lsmod", 10),
    command("kernel/version.txt", "uname -a", 10),
];

/// Files that are taken as they are.
const FILES: &[(&str, &str)] = &[
    ("versions/os-release", "/etc/os-release"),
    ("versions/kairos-release", paths::KAIROS_RELEASE),
    ("versions/image.json", paths::IMAGE_DESCRIPTION),
    ("versions/layout.env", paths::COS_LAYOUT),
    ("boot/record.json", paths::BOOT_RECORD),
];

/// What the agent knows by itself.
type Known = fn(&Inputs) -> Result<Collected>;
const KNOWN: &[(&str, Known)] = &[
    ("status.json", |inputs| Collected::json(&inputs.status)),
    ("configuration.yaml", |inputs| Ok(Collected::text(inputs.configuration.clone()))),
    ("black-box.json", |_| Collected::json(&black_box::load(&Machine::real()))),
    ("ledger.json", |_| Collected::json(&Host::observe()?.ledger().load())),
    ("stages.json", |_| stage_log()),
    ("boot/firmware.txt", |_| firmware_variables()),
    ("boot/tpm.txt", |_| tpm_state()),
    ("boot/command-line.txt", |_| Ok(Collected::text(system_info::kernel_words() + "\n"))),
    ("disks/health.json", |_| Collected::json(&diagnostics::disks::disks())),
    ("disks/partitions.json", |_| partitions()),
    ("sensors.json", |_| Collected::json(&diagnostics::sensors())),
    ("metrics.json", |_| Collected::json(&diagnostics::metrics())),
];

type Collector = Box<dyn Fn(&Inputs) -> Result<Collected>>;

/// Something to collect, and how.
pub(super) struct Item {
    pub(super) file: String,
    collect: Collector,
}

/// Everything but the journal.
pub(super) fn items() -> Vec<Item> {
    let item = |file: &str, collect: Collector| Item { file: file.into(), collect };
    let known = KNOWN.iter().map(|(file, known)| item(file, Box::new(known)));
    let commands = COMMANDS.iter().map(|command| item(command.file, Box::new(|_| run(command))));
    let taken = FILES.iter().map(|(file, path)| item(file, Box::new(|_| take(Path::new(path)))));
    let audits = audits().into_iter().map(|path| {
        let (name, path) = (path.file_name().unwrap_or_default().to_string_lossy().into_owned(), path);
        item(&format!("audit/{name}"), Box::new(move |_| take(&path)))
    });
    known.chain(commands).chain(taken).chain(audits).collect()
}

impl Item {
    /// # Errors
    /// When the archive cannot be written. That there is nothing to collect is not one.
    pub(super) fn add_to(&self, archive: &mut Archive, inputs: &Inputs) -> Result<()> {
        archive.add(&self.file, (self.collect)(inputs))
    }
}

fn run(command: &Command) -> Result<Collected> {
    let mut words = command.words.split(' ');
    let child = Child::new(words.next().unwrap_or_default()).args(words);
    let child = child.deadline(Duration::from_secs(command.seconds)).output_limit(FILE_LIMIT as u64 + 1);
    let outcome = child.outcome()?;
    let text = String::from_utf8_lossy(&outcome.stdout).into_owned();
    let said = outcome.stderr.trim();
    if text.is_empty() && !outcome.status.success() {
        let said: String = said.chars().take(500).collect();
        return Err(Error::environment(said).context(format!("`{}` failed", command.words)));
    }
    let note = (!outcome.status.success()).then(|| format!("`{}`: {}", command.words, outcome.status));
    let complaint =
        if said.is_empty() { String::new() } else { format!("\n# {}\n", said.replace('\n', "\n# ")) };
    Ok(Collected { text: text + &complaint, note })
}

/// A file, or its beginning.
fn take(path: &Path) -> Result<Collected> {
    use std::io::Read;
    let file = std::fs::File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let mut bytes = Vec::new();
    file.take(FILE_LIMIT as u64 + 1)
        .read_to_end(&mut bytes)
        .with_context(|| format!("cannot read {}", path.display()))?;
    Ok(Collected::text(String::from_utf8_lossy(&bytes)))
}

/// The stages of this boot and of those that are kept. In recovery there are only those of this boot.
fn stage_log() -> Result<Collected> {
    let kept = stages::read_kept();
    Collected::json(&if kept.is_empty() { stages::read_present() } else { kept })
}

fn firmware_variables() -> Result<Collected> {
    let variables = EfiVars::of_machine().ok_or_else(efivars::missing)?;
    Ok(Collected::text(firmware::describe(&variables)))
}

fn tpm_state() -> Result<Collected> {
    tpm::describe().map(Collected::text).ok_or_else(|| Error::environment("the machine has no TPM"))
}

fn partitions() -> Result<Collected> {
    let describe = |disk: &disk::PartitionedDisk| {
        let partitions = disk.partitions.iter().map(|partition| {
            serde_json::json!({
                "number": partition.number, "label": partition.label,
                "start": partition.start, "length": partition.length,
            })
        });
        serde_json::json!({ "disk": disk.disk, "partitions": partitions.collect::<Vec<_>>() })
    };
    Collected::json(&disk::partitioned_disks().iter().map(describe).collect::<Vec<_>>())
}

/// The audit records of a host: the present file and the one before, on `/oem` and in memory.
fn audits() -> Vec<PathBuf> {
    let present = [paths::OEM_AUDIT, paths::RUN_AUDIT].map(PathBuf::from);
    let earlier = present.clone().map(|path| path.with_extension("1.jsonl"));
    present.into_iter().chain(earlier).filter(|path| path.exists()).collect()
}
