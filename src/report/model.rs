//! What a report says, whatever it is written as. Serialised, it is the JSON report.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use phantom_checks::evidence::Step;
use phantom_checks::{Cause, Confidence, Fact, Severity};
use serde::{Deserialize, Serialize};

use super::verdict::Verdict;
use crate::scan::{ScanId, ScanState, Trigger};
use crate::site::SiteId;
use crate::triage::{FindingPage, FindingState, Fingerprint, Instruction};

/// The name of the shape below. Fields may be added under one name; when one changes its meaning or goes, the number
/// is counted up.
pub const SCHEMA: &str = "phantom-gang/report/1";

/// What one scan looked at, what it found, and what it did not look at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: String,
    /// Who wrote it.
    pub tool: Tool,
    /// When it was written.
    pub generated: Timestamp,
    /// What the scan comes to.
    pub verdict: Verdict,
    /// The scan.
    pub scan: ScanPart,
    /// How many findings there are of each severity; a severity without one is left out.
    pub counts: BTreeMap<Severity, u64>,
    /// What was seen, worst first.
    pub findings: Vec<FindingPart>,
    /// What was seen and is not to be reported, worst first: it is not counted above, fails nothing and files nothing.
    #[serde(default)]
    pub suppressed: Vec<SuppressedPart>,
    /// Suppressions of the site that are over, or have never covered anything.
    #[serde(default)]
    pub idle_suppressions: Vec<IdleSuppression>,
    /// Findings that this scan proved fixed, or withdrew.
    #[serde(default)]
    pub gone: Vec<Unseen>,
    /// Open findings of the site that this scan did not see, which proves nothing.
    pub not_observed: Vec<Unseen>,
    /// What nobody should believe to have been checked, and why.
    pub not_checked: Vec<NotChecked>,
    /// The share of pages in whose place a challenge, a CAPTCHA, a consent wall or a maintenance page answered, of all
    /// that were asked for: from 0 to 1. Beyond 0.05 the scan is incomplete.
    #[serde(default)]
    pub blocked_share: f64,
    /// Hosts of the organisation that were seen and that no site's file claims, by name.
    #[serde(default)]
    pub unclaimed_hosts: Vec<UnclaimedHost>,
    /// What pages, frames and workers speak to, or tried to, the first [`super::MAX_ENDPOINTS`] by URL.
    #[serde(default)]
    pub endpoints: Vec<EndpointPart>,
    /// The pages that were not looked at, but taken as unchanged, the first [`super::MAX_UNCHANGED`] by URL.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unchanged_pages: Vec<UnchangedPage>,
    /// The pages that could not be looked at, the first [`super::MAX_FAILED`] by URL.
    pub failed_pages: Vec<FailedPage>,
    /// The checks that looked at every page that was done.
    pub checks: Vec<CheckRun>,
}

/// What pages speak to: one method and one address, without its query.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct EndpointPart {
    /// The HTTP method.
    pub method: String,
    /// The address. Untrusted.
    pub url: String,
    /// Requests that were sent.
    pub sent: u64,
    /// Requests that were not, because they may change state.
    pub stopped: u64,
    /// Messages to a web socket that were not sent.
    pub held: u64,
    /// The names of what is sent. Untrusted.
    pub fields: Vec<String>,
    /// Those of them, and of its headers, whose values look like tokens. Untrusted.
    pub tokens: Vec<String>,
    /// The worker or script that asked. Untrusted.
    pub asked_by: Option<String>,
    /// The page on which it was seen first. Untrusted.
    pub page: String,
    /// The steps on that page that led to it. Untrusted.
    pub steps: Vec<Step>,
}

/// The program that wrote a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// The scan that a report is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanPart {
    /// The scan's identity.
    pub id: ScanId,
    /// The site's identity.
    pub site: SiteId,
    /// What people call the site.
    pub title: String,
    /// Who repairs it.
    pub owner: Option<String>,
    /// Who allowed the scan.
    pub approved_by: Option<String>,
    /// Where the crawl started.
    pub start: Vec<String>,
    /// Where the scan stands.
    pub state: ScanState,
    /// Who started it.
    pub trigger: Trigger,
    /// When it began.
    pub started: Timestamp,
    /// When it ended; `None` while it runs.
    pub ended: Option<Timestamp>,
    /// How many pages are in which state.
    pub pages: PageCounts,
    /// Limits that cut it off, and what went wrong beyond single pages, as sentences.
    pub remarks: Vec<String>,
}

impl PageCounts {
    /// The share of pages in whose place something else answered, of all that were asked for; from 0 to 1.
    pub fn blocked_share(self) -> f64 {
        self.blocked as f64 / (self.done + self.failed).max(1) as f64
    }
}

impl ScanPart {
    /// How long the scan took; `None` while it runs.
    pub fn duration(&self) -> Option<Duration> {
        Duration::try_from(self.ended?.duration_since(self.started)).ok()
    }
}

/// How many pages of a scan are in which state. `known` is the sum of all others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageCounts {
    /// All of them.
    pub known: u64,
    /// Looked at.
    pub done: u64,
    /// Could not be looked at.
    pub failed: u64,
    /// Not looked at on purpose.
    pub skipped: u64,
    /// Not looked at yet.
    pub left: u64,
    /// Of those that were looked at: they were not, but taken as unchanged since their last full look.
    #[serde(default)]
    pub unchanged: u64,
    /// Of those that were looked at: a challenge, a CAPTCHA, a consent wall or a maintenance page answered in their
    /// place.
    #[serde(default)]
    pub blocked: u64,
}

/// One finding: observations with one root cause.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FindingPart {
    /// The id of the check.
    pub check: String,
    /// The version of the check that saw it.
    pub check_version: u32,
    /// What it is known by.
    pub fingerprint: Fingerprint,
    /// What is wrong and where. Untrusted.
    pub title: String,
    /// How bad it is.
    pub severity: Severity,
    /// How sure the check is.
    pub confidence: Confidence,
    /// Where it stands.
    pub state: FindingState,
    /// It is in frames of other sites only: told, but neither filed nor counted by the verdict.
    pub third_party: bool,
    /// The root cause.
    pub cause: Cause,
    /// What was seen. Untrusted.
    pub facts: Vec<Fact>,
    /// Where it was seen, the first [`super::MAX_PAGES`] by URL. Untrusted.
    pub pages: Vec<FindingPage>,
    /// On how many pages it was seen.
    pub pages_total: u64,
    /// How a person gets to see it on the first of them. Untrusted.
    #[serde(default)]
    pub steps: Vec<Instruction>,
    /// What it looks like.
    #[serde(default)]
    pub picture: Option<PicturePart>,
    /// Its ticket.
    pub ticket: Option<TicketPart>,
    /// When it was seen first.
    pub first_seen: Timestamp,
    /// When it was seen last.
    pub last_seen: Timestamp,
    /// The number of the weakness in the Common Weakness Enumeration.
    pub cwe: Option<u32>,
    /// Why it matters, in Markdown.
    pub why: String,
    /// How to fix it, in Markdown.
    pub fix: String,
}

impl FindingPart {
    /// What people call it: its ticket, else its title. Untrusted.
    pub fn name(&self) -> &str {
        self.ticket.as_ref().map_or(&self.title, |ticket| &ticket.key)
    }
}

/// A picture of a finding, text around it masked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PicturePart {
    /// The name of the file.
    pub name: String,
    /// When it was taken.
    pub taken: Timestamp,
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// The PNG file, as Base64.
    pub png: String,
}

/// A finding that is not to be reported.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SuppressedPart {
    /// The finding.
    #[serde(flatten)]
    pub finding: FindingPart,
    /// The decision; `None` if it is no longer on record.
    pub decision: Option<DecisionPart>,
}

/// A decision that findings are not to be reported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionPart {
    /// Its id.
    pub id: String,
    /// What was decided, for people.
    pub words: String,
    /// Why.
    pub reason: String,
    /// Who decided.
    pub author: String,
    /// When.
    pub created: Timestamp,
    /// It holds until then; `None` means for ever.
    pub until: Option<Timestamp>,
}

/// A suppression that does nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdleSuppression {
    /// The decision.
    #[serde(flatten)]
    pub decision: DecisionPart,
    /// What it is to cover, for people.
    pub scope: String,
    /// What is wrong with it, as a sentence without a full stop.
    pub trouble: String,
}

/// The ticket of a finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketPart {
    /// Jira's key of the issue.
    pub key: String,
    /// Where people open it; `None` if the configuration names no Jira.
    pub url: Option<String>,
}

/// A finding that the scan did not see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unseen {
    /// The id of the check.
    pub check: String,
    /// What it is known by.
    pub fingerprint: Fingerprint,
    /// What is wrong and where. Untrusted.
    pub title: String,
    /// How bad it is.
    pub severity: Severity,
    /// Where it stands.
    #[serde(default = "not_observed")]
    pub state: FindingState,
    /// When it was seen last.
    pub last_seen: Timestamp,
    /// Its ticket.
    pub ticket: Option<TicketPart>,
}

impl Unseen {
    /// What people call it: its ticket, else its title. Untrusted.
    pub fn name(&self) -> &str {
        self.ticket.as_ref().map_or(&self.title, |ticket| &ticket.key)
    }
}

/// What was written before the state was said.
fn not_observed() -> FindingState {
    FindingState::NotObserved
}

/// Things that were not checked, for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotChecked {
    /// What kind of thing they are.
    pub what: NotCheckedKind,
    /// Why, as a sentence or the name of a rule. Untrusted.
    pub reason: String,
    /// How many there are.
    pub count: u64,
    /// Some of them: URLs, or ids of checks. Untrusted.
    pub examples: Vec<String>,
}

/// What was not checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NotCheckedKind {
    /// Pages that could not be looked at.
    FailedPages,
    /// Pages whose turn did not come.
    WaitingPages,
    /// Pages in whose place something else answered.
    AnsweredInstead,
    /// Pages that were taken as unchanged since their last full look: their findings stay, and nothing is proved by them.
    UnchangedPages,
    /// Pages of which a part could not be seen.
    PartsOfPages,
    /// Checks that did not run.
    Checks,
    /// Pages that were left out on purpose.
    SkippedPages,
}

impl NotCheckedKind {
    /// How people call so many of them.
    pub fn noun(self, count: u64) -> &'static str {
        match (self, count == 1) {
            (Self::FailedPages, true) => "page failed",
            (Self::FailedPages, false) => "pages failed",
            (Self::WaitingPages, true) => "page not reached",
            (Self::WaitingPages, false) => "pages not reached",
            (Self::AnsweredInstead, true) => "page answered by something else",
            (Self::AnsweredInstead, false) => "pages answered by something else",
            (Self::UnchangedPages, true) => "page taken as unchanged",
            (Self::UnchangedPages, false) => "pages taken as unchanged",
            (Self::PartsOfPages, true) => "page seen in part",
            (Self::PartsOfPages, false) => "pages seen in part",
            (Self::Checks, true) => "check not run",
            (Self::Checks, false) => "checks not run",
            (Self::SkippedPages, true) => "page skipped",
            (Self::SkippedPages, false) => "pages skipped",
        }
    }
}

/// A host of the organisation that no site's file claims: perhaps a new site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnclaimedHost {
    /// Its name. Untrusted.
    pub host: String,
    /// The page on which it was seen first. Untrusted.
    pub seen_on: String,
}

/// A page that was taken as unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnchangedPage {
    /// Its URL. Untrusted.
    pub url: String,
    /// When it was looked at last.
    pub looked_at: Timestamp,
}

/// A page that could not be looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedPage {
    /// Its URL. Untrusted.
    pub url: String,
    /// Why. Untrusted.
    pub reason: String,
}

/// A check that ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckRun {
    /// Its id.
    pub id: String,
    /// Its version.
    pub version: u32,
    /// What it finds, in a few words.
    pub title: String,
}
