//! What the outbox holds. The store keeps it; these are the words.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

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
}

/// What is done to a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ActionKind {
    /// Create the ticket.
    Create,
    /// Set the entity property that confirms fingerprint and generation.
    SetProperty,
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
    /// `fingerprint/generation/kind`, unique.
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
}
