//! What a program and all that it starts cost, read from `/proc`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::{Child, ExitStatus};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

/// How often `/proc` is read. What a process does between the last reading and its end is lost, except for the program
/// itself.
const EVERY: Duration = Duration::from_millis(200);
/// What CPU times in `/proc` are counted in, the same on every machine that Chromium runs on.
const TICKS_PER_SECOND: u64 = 100;

/// What one run of a program came to.
#[allow(dead_code, reason = "each bench shows a part of it")]
pub struct Run {
    pub status: ExitStatus,
    /// From its start to its end.
    pub took: Duration,
    /// CPU time of the program itself.
    pub own: Duration,
    /// CPU time of all that it started, and that these started.
    pub others: Duration,
    /// Its resident memory at each reading, in bytes, with the time since its start.
    pub memory: Vec<(Duration, u64)>,
    /// The most resident memory it ever had, in bytes.
    pub peak: u64,
}

impl Run {
    pub fn own_share(&self) -> f64 {
        self.own.as_secs_f64() / (self.own + self.others).as_secs_f64().max(f64::MIN_POSITIVE)
    }
}

/// Waits for the program and reads what it costs meanwhile.
pub fn watch(mut child: Child, began: Instant) -> Run {
    let pid = child.id();
    let (ended, end) = mpsc::channel();
    let waiter = std::thread::spawn(move || {
        let pid = Pid::from_raw(i32::try_from(pid).expect("a process id")).expect("a process id");
        // It stays a zombie, so that its own times can still be read.
        waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).expect("a child");
        let _ = ended.send(began.elapsed());
    });
    let mut costs = Costs::of(pid);
    let mut memory = Vec::new();
    let mut peak = 0;
    let took = loop {
        costs.read();
        if let Some((now, most)) = resident(pid) {
            memory.push((began.elapsed(), now));
            peak = most;
        }
        match end.recv_timeout(EVERY) {
            Ok(took) => break took,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => panic!("the program cannot be waited for"),
        }
    };
    costs.read();
    waiter.join().expect("a thread that ends");
    let (own, others) = costs.sum();
    Run {
        status: child.wait().expect("a child"),
        took,
        own,
        others,
        memory,
        peak,
    }
}

/// CPU times of a program and its descendants. A browser leads a process group of its own, and what it started stays in
/// that group when its parent is gone.
struct Costs {
    root: u32,
    groups: BTreeSet<u32>,
    /// By process id and start, so that a number that is used again is another process.
    ticks: BTreeMap<(u32, u64), u64>,
}

struct Stat {
    parent: u32,
    group: u32,
    ticks: u64,
    start: u64,
}

impl Costs {
    fn of(root: u32) -> Self {
        Self {
            root,
            groups: BTreeSet::new(),
            ticks: BTreeMap::new(),
        }
    }

    fn read(&mut self) {
        let all: BTreeMap<u32, Stat> = fs::read_dir("/proc")
            .expect("/proc")
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter_map(|pid| Some((pid, stat(pid)?)))
            .collect();
        let own_group = all.get(&self.root).map(|root| root.group);
        let mut family = BTreeSet::from([self.root]);
        let mut grown = true;
        while grown {
            grown = false;
            for (&pid, stat) in &all {
                if (family.contains(&stat.parent) || self.groups.contains(&stat.group)) && family.insert(pid) {
                    grown = true;
                    if Some(stat.group) != own_group {
                        self.groups.insert(stat.group);
                    }
                }
            }
        }
        for pid in family {
            if let Some(stat) = all.get(&pid) {
                self.ticks.insert((pid, stat.start), stat.ticks);
            }
        }
    }

    /// Of the program, and of all others.
    fn sum(&self) -> (Duration, Duration) {
        let of = |own: bool| {
            let ticks: u64 = self
                .ticks
                .iter()
                .filter(|((pid, _), _)| (*pid == self.root) == own)
                .map(|(_, ticks)| ticks)
                .sum();
            Duration::from_millis(ticks * 1_000 / TICKS_PER_SECOND)
        };
        (of(true), of(false))
    }
}

/// `/proc/PID/stat`, of which the fields after the name in brackets are counted from 3: proc(5).
fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    Some(Stat {
        parent: u32::try_from(number(4)?).ok()?,
        group: u32::try_from(number(5)?).ok()?,
        ticks: number(14)? + number(15)?,
        start: number(22)?,
    })
}

/// Resident memory now and at most, in bytes.
fn resident(pid: u32) -> Option<(u64, u64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix(" kB")?.parse::<u64>().ok()
    };
    Some((field("VmRSS:")? << 10, field("VmHWM:")? << 10))
}

pub fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// The value of `--name VALUE` on the command line; without it, another.
pub fn option(name: &str, otherwise: usize) -> usize {
    let mut arguments = std::env::args().skip_while(|argument| argument != name);
    let Some(value) = arguments.nth(1) else {
        return otherwise;
    };
    value
        .parse()
        .unwrap_or_else(|_| panic!("{name} takes a number, not {value:?}"))
}
