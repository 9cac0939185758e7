//! What the processes that work on one scan know of each other.
//!
//! A scan has one owner, the process that began it, or took it over: it reads what the site lists of itself, judges and
//! closes. Any number of others help: they lease pages, look at them and record what they saw, and nothing else. Each
//! says every few seconds that it still lives. What a dead one held goes to others, pages and the scan itself.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{ScanCounts, ScanId, ScanRecord, ScanState, Standing, Trigger, owner};
use crate::crawl::{LeaseRequest, pace};
use crate::site::SiteId;

/// A process that works on a scan says so this often.
pub const BEAT: Duration = Duration::from_secs(2);
/// Without a word for so long its pages go to others. A database that is away, or moves, is back by then.
pub const PAGES_KEPT: Duration = Duration::from_secs(90);
/// … and so long, the scan.
pub const SCAN_KEPT: Duration = Duration::from_mins(2);
/// A process that has made a scan takes it within so long, or is dead.
pub const TAKES: SignedDuration = SignedDuration::from_mins(5);

/// What a person wants of a running scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wish {
    /// That it ends; what was found is kept.
    Stop,
    /// That it waits until somebody says that it may go on.
    Pause,
}

/// Which scans are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhichScans {
    /// Those that run, whether a process has them or not; oldest first.
    Running,
    /// Those too that wait for their hours or for a person's word; newest first.
    Open,
    /// All; newest first.
    All,
}

/// The process that has a scan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanOwner {
    /// How it signs.
    pub name: String,
    /// When the scan goes to others, if it does not say again that it lives; `None` if it never said.
    pub until: Option<Timestamp>,
}

impl ScanOwner {
    /// It works no more. Of a process on another machine only its silence tells.
    pub fn is_gone(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| until <= now) || owner::is_dead(&self.name)
    }
}

/// A process says that it lives.
#[derive(Debug)]
pub struct Pulse<'a> {
    /// The scan that it works on.
    pub scan: &'a ScanId,
    /// How it signs.
    pub owner: &'a str,
    /// The tokens of the pages that it holds. Others that the store thinks it holds go back.
    pub held: &'a [String],
    /// Those are its own until then.
    pub leases_until: Timestamp,
    /// The scan too, if it is its own.
    pub scan_until: Timestamp,
    /// How long it has worked on it since it said so last.
    pub worked: Duration,
}

/// What it hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beat {
    /// The scan is its own.
    pub owned: bool,
    /// Where the scan stands.
    pub state: ScanState,
    /// What a person wants of it.
    pub wish: Option<Wish>,
    /// How long those who had it have worked on it.
    pub worked: Duration,
}

/// A scan, in a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanLine {
    /// The identity.
    pub id: ScanId,
    /// Its site.
    pub site: SiteId,
    /// Who started it.
    pub trigger: Trigger,
    /// Where it stands.
    pub state: ScanState,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// The process that has it.
    pub owner: Option<String>,
    /// Until when; `None` if no process ever said that it has it.
    pub owner_until: Option<Timestamp>,
    /// What a person wants of it.
    pub wish: Option<Wish>,
    /// The workers that may have it.
    pub pool: String,
    /// Its pages.
    pub counts: ScanCounts,
}

impl ScanLine {
    /// It runs, and nobody has it: its process was killed, even before it took it, or handed it back.
    pub fn is_orphan(&self, now: Timestamp) -> bool {
        let gone = || self.owner.as_deref().is_none_or(owner::is_dead);
        self.state == ScanState::Running
            && match self.owner_until {
                Some(until) => until <= now || gone(),
                None => now.duration_since(self.started) > TAKES && gone(),
            }
    }

    /// Where it stands, in one word.
    pub fn standing(&self, now: Timestamp) -> Standing {
        Standing::of(self.state, self.wish, self.trigger, self.is_orphan(now))
    }

    /// What comes first, what later: what a person waits for, then the night's scans, oldest first.
    pub fn rank(&self) -> (u8, Timestamp) {
        let rank = match self.trigger {
            Trigger::Verify => 0,
            Trigger::OnDemand => 1,
            Trigger::Nightly => 2,
        };
        (rank, self.started)
    }
}

/// Something that somebody did, as it is kept for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditEntry {
    /// When.
    pub at: Timestamp,
    /// Who: a person's account and machine, or `schedule` with machine and process.
    pub who: String,
    /// What, such as `scan-started`.
    pub what: String,
    /// Of what: a scan, a finding, a site.
    pub subject: String,
    /// Why, or with whose leave.
    pub why: Option<String>,
}

/// What a worker asks the frontier for, as long as it knows nothing of the scan but its record.
pub(super) fn lease_request<'a>(record: &'a ScanRecord, owner: &'a str, max: u32, now: Timestamp) -> LeaseRequest<'a> {
    LeaseRequest {
        scan: &record.id,
        owner,
        max,
        ttl: PAGES_KEPT,
        now,
        pace: pace(&record.site.limits, None),
        concurrency: record.site.limits.concurrency,
        most: u64::MAX,
    }
}

/// `now`, and so long after it.
pub(super) fn after(now: Timestamp, time: Duration) -> Timestamp {
    let time = SignedDuration::try_from(time).unwrap_or_default();
    now.checked_add(time).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn line(owner: Option<&str>, until: Option<i64>) -> ScanLine {
        ScanLine {
            id: ScanId("s".to_owned()),
            site: SiteId("shop".to_owned()),
            trigger: Trigger::OnDemand,
            state: ScanState::Running,
            started: at(0),
            ended: None,
            owner: owner.map(str::to_owned),
            owner_until: until.map(at),
            wish: None,
            pool: "default".to_owned(),
            counts: ScanCounts::default(),
        }
    }

    #[test]
    fn who_says_nothing_loses_the_scan() {
        let now = at(100);
        for (owner, until, orphan) in [
            (Some("elsewhere:7:7"), Some(101), false),
            (Some("elsewhere:7:7"), Some(100), true),
            (None, Some(200), true),
            // It is about to be taken by the process that made it.
            (None, None, false),
        ] {
            assert_eq!(line(owner, until).is_orphan(now), orphan, "{owner:?} {until:?}");
        }
        assert!(!line(None, None).is_orphan(at(300)));
        assert!(line(None, None).is_orphan(at(301)), "the process that made it is gone");
        let me = owner::this_process();
        assert!(!line(Some(&me), Some(200)).is_orphan(now));
        let dead = format!("{}:1", me.rsplit_once(':').unwrap().0);
        assert!(line(Some(&dead), Some(200)).is_orphan(now), "its process is gone");
        let ended = ScanLine {
            state: ScanState::Interrupted,
            ..line(Some("elsewhere:7:7"), Some(1))
        };
        assert!(!ended.is_orphan(now), "a person stopped it");
    }

    #[test]
    fn a_person_waits_for_what_goes_first() {
        let of = |trigger, started| {
            let mut line = line(None, None);
            line.trigger = trigger;
            line.started = at(started);
            line.rank()
        };
        let mut ranks = [
            of(Trigger::Nightly, 1),
            of(Trigger::OnDemand, 9),
            of(Trigger::Verify, 10),
            of(Trigger::Nightly, 0),
        ];
        ranks.sort();
        assert_eq!(ranks.map(|(_, started)| started), [at(10), at(9), at(0), at(1)]);
    }
}
