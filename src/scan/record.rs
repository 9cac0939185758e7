use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::site::Site;
use crate::triage::{Coverage, Judgement};

/// The identity of a scan: `20261123-045900-7f3a90c1`, in UTC, so that ids sort by time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ScanId(pub String);

impl ScanId {
    /// A new id for a scan that starts now.
    pub fn new(now: Timestamp) -> Self {
        Self(format!(
            "{}-{:04x}",
            now.strftime("%Y%m%d-%H%M%S"),
            rand::random::<u16>()
        ))
    }
}

impl fmt::Display for ScanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Who started a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trigger {
    /// The schedule.
    Nightly,
    /// A person or a pipeline.
    OnDemand,
    /// A request to look at one finding again.
    Verify,
}

impl Trigger {
    /// A look at some pages, and at nothing that they lead to: no judgement of any finding.
    pub fn is_look(self) -> bool {
        self == Self::Verify
    }
}

/// Where a scan stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScanState {
    /// Pages are being rendered, or the process that did so is dead.
    Running,
    /// Ended before all pages had their turn: at its terminal, by a person's word, or because its hours were over. Can be
    /// resumed.
    Interrupted,
    /// Every page was looked at, or cut off by a limit that the site names.
    Complete,
    /// Something that should have been looked at was not; can be resumed if pages are left.
    Incomplete,
}

impl ScanState {
    /// Its word, as in reports and the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Interrupted => "interrupted",
            Self::Complete => "complete",
            Self::Incomplete => "incomplete",
        }
    }
}

/// One scan, as the store keeps it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ScanRecord {
    /// The identity.
    pub id: ScanId,
    /// The site as it was when the scan began, command-line budgets included.
    pub site: Site,
    /// Who started it.
    pub trigger: Trigger,
    /// Where it stands.
    pub state: ScanState,
    /// When it began.
    pub started: Timestamp,
    /// When it ended; `None` while it runs.
    pub ended: Option<Timestamp>,
    /// Limits that cut it off, and what went wrong beyond single pages, as sentences.
    pub remarks: Vec<String>,
}

impl ScanRecord {
    /// Of a scan that begins now.
    pub fn begun(id: ScanId, site: Site, trigger: Trigger, started: Timestamp) -> Self {
        Self {
            id,
            site,
            trigger,
            state: ScanState::Running,
            started,
            ended: None,
            remarks: Vec::new(),
        }
    }
}

/// How many pages of a scan are in which state. `known` is the sum of all others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanCounts {
    /// Waiting.
    pub waiting: u64,
    /// Being rendered.
    pub leased: u64,
    /// Looked at.
    pub done: u64,
    /// Could not be looked at.
    pub failed: u64,
    /// Not looked at on purpose: robots.txt, a budget, not a page.
    pub skipped: u64,
}

impl ScanCounts {
    /// All pages of the scan.
    pub fn known(&self) -> u64 {
        self.waiting + self.leased + self.done + self.failed + self.skipped
    }
}

/// The end of a scan, or of one process's part of it.
#[derive(Debug)]
pub struct ScanClose<'a> {
    /// The scan.
    pub scan: &'a ScanId,
    /// The process that has it; nothing is recorded if another one does.
    pub owner: Option<&'a str>,
    /// How it ended.
    pub state: ScanState,
    /// When.
    pub ended: Timestamp,
    /// Limits that cut it off, and what went wrong beyond single pages, as sentences.
    pub remarks: &'a [String],
    /// How much of the site it looked at.
    pub coverage: &'a Coverage,
    /// Where findings stand now.
    pub judgements: &'a [Judgement],
}
