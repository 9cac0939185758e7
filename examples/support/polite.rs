//! Whether a server was asked no more often than its site allows, by its own log.

#![allow(dead_code, reason = "each show uses a part of it")]

use std::collections::BTreeMap;

use phantom_gang::demo::LogEntry;

/// What one host's log comes to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Hurry {
    /// The most requests within any one second.
    pub second: usize,
    /// The most within any ten.
    pub ten: usize,
    /// The shortest time between two, in milliseconds.
    pub nearest: i64,
}

impl Hurry {
    /// Requests leave a pace apart, whoever sends them. One may be longer on its way than the next, so that both arrive
    /// closer together: any second, and any ten, may hold one more than it should, and no more.
    pub fn is_polite(&self, pages_per_s: usize) -> bool {
        self.second <= pages_per_s + 1 && self.ten <= 10 * pages_per_s + 1
    }
}

/// The requests for pages of each host.
pub fn hurry(log: &[LogEntry]) -> BTreeMap<String, Hurry> {
    let mut times: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    for entry in log.iter().filter(|entry| entry.method == "GET") {
        times.entry(&entry.host).or_default().push(entry.at.as_millisecond());
    }
    let of = |mut times: Vec<i64>| {
        times.sort_unstable();
        let most = |span: i64| {
            let within = times.iter().enumerate().map(|(index, from)| {
                let rest = &times[index..];
                rest.partition_point(|at| at - from < span)
            });
            within.max().unwrap_or(0)
        };
        let apart = times.windows(2).map(|pair| pair[1] - pair[0]);
        Hurry {
            second: most(1_000),
            ten: most(10_000),
            nearest: apart.min().unwrap_or(i64::MAX),
        }
    };
    times
        .into_iter()
        .map(|(host, times)| (host.to_owned(), of(times)))
        .collect()
}

/// The worst of all hosts.
pub fn worst(hosts: &BTreeMap<String, Hurry>) -> Hurry {
    let worse = |a: Hurry, b: &Hurry| Hurry {
        second: a.second.max(b.second),
        ten: a.ten.max(b.ten),
        nearest: a.nearest.min(b.nearest),
    };
    let none = Hurry {
        nearest: i64::MAX,
        ..Hurry::default()
    };
    hosts.values().fold(none, worse)
}
