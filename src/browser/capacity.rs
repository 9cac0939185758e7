//! How many tabs a machine can bear.

use std::fs;

/// Memory that one tab needs, in bytes; measured with headless-shell it is about half of this.
const A_TAB: u64 = 350 << 20;

/// About two tabs a core, as far as there is memory for them; at least one.
pub fn default_tabs() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let by_memory = memory().map_or(usize::MAX, |bytes| usize::try_from(bytes / A_TAB).unwrap_or(usize::MAX));
    (cores * 2).min(by_memory).max(1)
}

/// The memory that is free for us: the machine's, or the container's if that is less.
fn memory() -> Option<u64> {
    let meminfo = fs::read_to_string("/proc/meminfo").ok()?;
    let available: u64 = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?
        .trim()
        .strip_suffix(" kB")?
        .parse()
        .ok()?;
    let limit = fs::read_to_string("/sys/fs/cgroup/memory.max")
        .ok()
        .and_then(|text| text.trim().parse::<u64>().ok());
    Some(limit.unwrap_or(u64::MAX).min(available << 10))
}
