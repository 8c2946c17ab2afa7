//! How long work is waited for: by signs of life, because a clock alone takes a slow disk for a program that hangs.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

/// Less than this, in bytes, is what a loop of `sleep` and `echo >> log` moves.
const MOVED: u64 = 1 << 20;
/// Nothing is waited for longer than so many times its limit, whatever moves.
const AT_MOST: u32 = 10;
/// Looks in one limit.
const LOOKS: u32 = 8;
const SECTOR: u64 = 512;

/// The patience with one process group: it ends when the group has moved nothing on a disk for `limit`.
#[derive(Debug)]
pub struct Patience {
    limit: Duration,
    /// Whatever moves: the limit holds.
    by_the_clock: bool,
    begun: Instant,
    moved_at: Instant,
    next_look: Instant,
    seen: Option<Look>,
}

impl Patience {
    pub fn new(limit: Duration) -> Self {
        let now = Instant::now();
        let next_look = now + limit / LOOKS;
        Self { limit, by_the_clock: false, begun: now, moved_at: now, next_look, seen: None }
    }

    /// One that no sign of life makes longer.
    pub fn by_the_clock(limit: Duration) -> Self {
        Self { by_the_clock: true, ..Self::new(limit) }
    }

    /// Whether the group with this number has used it up.
    pub fn is_over(&mut self, group: u32) -> bool {
        let now = Instant::now();
        if !self.by_the_clock && now >= self.next_look {
            self.next_look = now + self.limit / LOOKS;
            let look = Look::at(group);
            match &self.seen {
                Some(before) if look.has_moved_since(before) => {
                    self.moved_at = now;
                    self.seen = Some(look);
                }
                Some(_) => {}
                None => self.seen = Some(look),
            }
        }
        now >= self.begun + self.limit * AT_MOST || now >= self.moved_at + self.limit
    }

    /// Time without a sign of life after which it is over.
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// The time until the last sign of life, which counts against nobody.
    pub fn forgiven(&self) -> Duration {
        self.moved_at.duration_since(self.begun)
    }
}

/// What a process group and the disks have done until now.
#[derive(Debug, Default)]
struct Look {
    /// Bytes that each process has read from and written to storage.
    processes: BTreeMap<u32, u64>,
    /// Somebody of the group sleeps in the kernel and cannot be woken: it waits for a disk.
    waits_for_a_disk: bool,
    /// Bytes that all disks have moved.
    disks: u64,
}

impl Look {
    fn at(group: u32) -> Self {
        let mut look = Self { disks: disk_bytes(), ..Self::default() };
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
            let Some((state, of_group)) = state_and_group(&stat) else { continue };
            if of_group == group {
                look.waits_for_a_disk |= state == 'D';
                let io = fs::read_to_string(format!("/proc/{id}/io")).unwrap_or_default();
                look.processes.insert(id, storage_bytes(&io));
            }
        }
        look
    }

    fn has_moved_since(&self, before: &Self) -> bool {
        let of_one = |(id, now): (&u32, &u64)| {
            now.saturating_sub(before.processes.get(id).copied().unwrap_or_default())
        };
        let moved: u64 = self.processes.iter().map(of_one).sum();
        // A flush is counted when it is asked for, and seen afterwards only at the disk.
        let flushes = self.waits_for_a_disk && self.disks.saturating_sub(before.disks) >= MOVED;
        moved >= MOVED || flushes
    }
}

/// Bytes that all disks of this machine have moved since it was switched on.
/// <https://docs.kernel.org/admin-guide/iostats.html>
pub fn disk_bytes() -> u64 {
    sectors_moved(&fs::read_to_string("/proc/diskstats").unwrap_or_default()).saturating_mul(SECTOR)
}

/// Partitions repeat what their disks count, which does no harm where only growth matters.
fn sectors_moved(text: &str) -> u64 {
    let of_line = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let number = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
        number(5).saturating_add(number(9))
    };
    text.lines().map(of_line).fold(0, u64::saturating_add)
}

/// From a line of `/proc/PID/stat`, whose program's name may hold anything, also brackets.
fn state_and_group(stat: &str) -> Option<(char, u32)> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(1)?.parse().ok()?))
}

fn storage_bytes(io: &str) -> u64 {
    let value = |key: &str| {
        let line = io.lines().find_map(|line| line.strip_prefix(key));
        line.and_then(|rest| rest.trim().parse::<u64>().ok()).unwrap_or(0)
    };
    value("read_bytes:").saturating_add(value("write_bytes:"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::child::Child;
    use proptest::prelude::*;

    #[test]
    fn the_kernel_s_tables_are_read() {
        assert_eq!(state_and_group("7 (a) b) D 1 42 7 0 -1"), Some(('D', 42)));
        assert_eq!(storage_bytes("rchar: 9\nread_bytes: 4096\nwrite_bytes: 8192\n"), 12_288);
        assert_eq!(sectors_moved(" 252 0 vda 10 0 100 5 20 0 300 7 0 8 9\n"), 400);
    }

    /// In a folder that is on a disk, unlike the temporary one of many machines.
    #[test]
    fn a_slow_writer_is_waited_for_and_a_sleeper_is_not() {
        let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let writes = "for i in 1 2 3 4 5 6 7 8; do dd if=/dev/urandom of=file bs=1M count=2 conv=notrunc,fsync \
                      oflag=append status=none; sleep 0.2; done";
        let sleeps = "while :; do echo x >> file; sleep 0.1; done";
        let child = |script: &str| {
            let child = Child::new("sh").args(["-c", script]).directory(folder.path());
            child.deadline(Duration::from_millis(1000)).run()
        };
        assert!(child(writes).is_ok(), "{:?}", child(writes));
        assert!(child(sleeps).unwrap_err().to_string().contains("deadline"));
    }

    proptest! {
        #[test]
        fn no_table_panics(text in "(?s).{0,200}") {
            let _ = (state_and_group(&text), storage_bytes(&text), sectors_moved(&text));
        }
    }
}
