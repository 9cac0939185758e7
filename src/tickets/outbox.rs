//! What the outbox holds. The store keeps it; these are the words.

use jiff::Timestamp;
use phantom_checks::{Confidence, Severity};
use serde::{Deserialize, Serialize};

use crate::scan::Verified;
use crate::triage::Fingerprint;

/// A wish to bring a finding and its ticket into line. Written in the transaction that recorded the page; a second
/// wish for the same fingerprint joins the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// The finding.
    pub fingerprint: Fingerprint,
    /// Counted up with every wish, so that one that arrives while the worker is busy is not lost.
    pub revision: i64,
    /// Not before.
    pub due: Timestamp,
    /// How often the worker tried in vain.
    pub attempts: u32,
    /// Why it waits although its time had come; stays until it is fulfilled.
    pub held: Option<Held>,
}

/// Why a wish waits although its time had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Held {
    /// As many tickets were created in the project today as may be.
    Cap,
    /// The first whole scan of its site found it; those are filed at a pace.
    Baseline,
    /// The circuit breaker holds all changes in the project.
    Breaker,
}

impl Held {
    /// The reason in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Cap => "the day's tickets of its project are used up",
            Self::Baseline => "the site's first scan found it; those are filed at a pace",
            Self::Breaker => "too many changes at once; a person must release them",
        }
    }
}

/// A project in which nothing is changed until a person says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hold {
    /// The project's key.
    pub project: String,
    /// Since when.
    pub since: Timestamp,
    /// How many tickets would have been created, reopened and resolved.
    pub changes: u64,
    /// How many tickets of ours the project had.
    pub tickets: u64,
    /// When a person released it; what was held goes out from then on.
    pub released: Option<Timestamp>,
}

/// The ticket of a finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketLink {
    /// The finding.
    pub fingerprint: Fingerprint,
    /// Counted up when a new ticket replaces a long-closed one; the first is 1.
    pub generation: u32,
    /// Jira's id of the issue, which outlives moves between projects.
    pub issue_id: String,
    /// Jira's key of the issue when last read.
    pub issue_key: String,
    /// When it was created or adopted.
    pub linked: Timestamp,
    /// When it was closed, when last read; `None` if it was open.
    #[serde(default)]
    pub closed: Option<Timestamp>,
}

impl TicketLink {
    /// The key of the project that it was in when last read.
    pub fn project(&self) -> &str {
        self.issue_key.rsplit_once('-').map_or("", |(project, _)| project)
    }
}

/// What is done to a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ActionKind {
    /// Create the ticket.
    Create,
    /// Link it to its finding.
    Adopt,
    /// Set the entity property that confirms fingerprint and generation.
    SetProperty,
    /// Link it to another issue.
    Link,
    /// Attach a file.
    Attach,
    /// Add a comment.
    Comment,
    /// Bring our block of the description up to date.
    Edit,
    /// Move it out of done.
    Reopen,
    /// Move it to done.
    Resolve,
    /// Take over the decision of a person.
    Suppress,
    /// Note that it is gone.
    Missing,
    /// Note that it is gone for good.
    Orphan,
    /// A person wants a new ticket in its place.
    Recreate,
}

/// What became of an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ActionState {
    /// Recorded; the request may or may not have left.
    Sending,
    /// Answered with success.
    Sent,
    /// Known not to have happened: it did not leave, or it was turned away for a while. Can be sent again at once.
    NotSent,
    /// Left, but no answer came: it may have happened.
    Uncertain,
    /// Refused for good; can be sent again after a person mended the cause.
    Dead,
}

/// An action with its idempotency key, recorded before it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionRecord {
    /// `fingerprint/generation/kind`, and `/n` for what can happen more than once; unique.
    pub key: String,
    /// The finding.
    pub fingerprint: Fingerprint,
    /// The ticket's generation.
    pub generation: u32,
    /// What is done.
    pub kind: ActionKind,
    /// What became of it.
    pub state: ActionState,
    /// When that was recorded.
    pub at: Timestamp,
    /// Why it is uncertain or dead.
    pub error: Option<String>,
    /// What it was about.
    pub detail: Option<Detail>,
}

/// What an action was about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Detail {
    /// The severity that the text was given.
    pub severity: Option<Severity>,
    /// The pages that the text was given.
    pub pages: Option<u64>,
    /// The version of the check.
    pub check_version: Option<u32>,
    /// How sure the check was.
    pub confidence: Option<Confidence>,
    /// The project in which it was to be created.
    pub project: Option<String>,
    /// The first whole scan of its site found it.
    pub baseline: bool,
    /// What a look at it came to, for the comment that says so.
    pub verified: Option<Box<Verified>>,
}
