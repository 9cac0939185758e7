//! The browsers of a run: found among its children while they live, and looked for when they must be gone.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Browsers whose process was killed may take this long to notice.
const LAST_BREATH: Duration = Duration::from_secs(10);

/// A process, told from a later one with the same id by its start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub pid: u32,
    parent: u32,
    start: u64,
    pub command: String,
}

impl Seen {
    fn read(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (_, fields) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        if matches!(fields[0], "Z" | "X") {
            return None;
        }
        let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        Some(Self {
            pid,
            parent: fields[1].parse().ok()?,
            start: fields[19].parse().ok()?,
            command: String::from_utf8_lossy(&command).replace('\0', " "),
        })
    }

    fn lives(&self) -> bool {
        Self::read(self.pid).is_some_and(|now| now.start == self.start)
    }

    /// A browser itself, not one of its helpers.
    pub fn is_browser(&self) -> bool {
        self.command.contains("phantom-gang-profile-") && !self.command.contains("--type=")
    }

    pub fn is_renderer(&self) -> bool {
        self.command.contains("--type=renderer")
    }
}

/// All that was ever seen to run below one process.
pub struct Herd {
    root: u32,
    seen: BTreeMap<(u32, u64), Seen>,
}

impl Herd {
    pub fn of(root: u32) -> Self {
        Self {
            root,
            seen: BTreeMap::new(),
        }
    }

    /// Looks around. Returns what runs below the process now.
    pub fn look(&mut self) -> Vec<Seen> {
        let all: Vec<Seen> = fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter_map(Seen::read)
            .collect();
        let mut below = vec![self.root];
        let mut found: Vec<Seen> = Vec::new();
        while let Some(parent) = below.pop() {
            for child in all.iter().filter(|one| one.parent == parent) {
                below.push(child.pid);
                found.push(child.clone());
            }
        }
        self.seen
            .extend(found.iter().map(|one| ((one.pid, one.start), one.clone())));
        found
    }

    pub fn browsers_seen(&self) -> usize {
        self.seen.values().filter(|one| one.is_browser()).count()
    }

    /// Waits until none of them is left.
    pub async fn must_be_gone(&self) {
        let until = Instant::now() + LAST_BREATH;
        loop {
            let left: Vec<&Seen> = self.seen.values().filter(|one| one.lives()).collect();
            if left.is_empty() {
                return;
            }
            assert!(Instant::now() < until, "still there: {left:#?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Kills a process that this test started, or one below it.
pub fn kill(pid: u32) {
    signal(pid, Signal::KILL);
}

pub fn signal(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).unwrap();
    // It may have ended meanwhile.
    let _ = kill_process(pid, signal);
}
