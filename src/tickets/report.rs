use std::time::Duration;

use super::outbox::Hold;
use crate::triage::Fingerprint;

/// What a run over the outbox did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Tickets created.
    pub created: u64,
    /// Tickets found in Jira and linked to their findings.
    pub adopted: u64,
    /// Tickets that were commented, edited, reopened or resolved, or whose decision was taken over.
    pub changed: u64,
    /// Findings whose ticket is as it should be.
    pub unchanged: u64,
    /// Findings that are not filed: below the threshold, in frames of other sites, not seen any more.
    pub not_filed: u64,
    /// Findings whose ticket was deleted in Jira, or hidden from us. Nothing is done about them.
    pub gone: u64,
    /// Findings that wait for a cap, a baseline's pace or the circuit breaker.
    pub held: u64,
    /// What Jira refused for good.
    pub dead: Vec<DeadLetter>,
    /// Intents that are left, due or not.
    pub waiting: u64,
    /// Why the run ended before all was done, as a sentence for people; `None` if nothing stood in its way.
    pub paused: Option<String>,
}

/// What Jira refused for good. It is tried once more by the next process that is asked for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The finding.
    pub fingerprint: Fingerprint,
    /// What Jira objects to, with the fields.
    pub error: String,
}

/// What happens while a run goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A ticket was created.
    Created {
        /// The finding.
        fingerprint: Fingerprint,
        /// The ticket's key.
        key: String,
    },
    /// A ticket was found in Jira and linked.
    Adopted {
        /// The finding.
        fingerprint: Fingerprint,
        /// The ticket's key.
        key: String,
    },
    /// Something was done to a ticket.
    Changed {
        /// The finding.
        fingerprint: Fingerprint,
        /// The ticket's key.
        key: String,
        /// What, as the record names it: `reopen/1`.
        did: Vec<String>,
    },
    /// The ticket was gone for several nights, although Jira lets us see all that we need.
    Orphan {
        /// The finding.
        fingerprint: Fingerprint,
        /// The key it had.
        key: String,
    },
    /// A project's circuit breaker has tripped: nothing is changed there until a person says so.
    Tripped(Hold),
    /// Tickets wait for a cap.
    Digest {
        /// The project's key.
        project: String,
        /// How many.
        waiting: u64,
    },
    /// The ticket is as it should be.
    Unchanged {
        /// The finding.
        fingerprint: Fingerprint,
        /// The ticket's key.
        key: String,
    },
    /// The ticket was deleted in Jira, or is hidden from us.
    Gone {
        /// The finding.
        fingerprint: Fingerprint,
        /// The key it had.
        key: String,
    },
    /// Jira refused for good.
    Dead(DeadLetter),
    /// One finding waits.
    Postponed {
        /// The finding.
        fingerprint: Fingerprint,
        /// For how long at least.
        wait: Duration,
        /// Why.
        why: String,
    },
    /// The whole run waits.
    Holding {
        /// For how long.
        wait: Duration,
        /// Why.
        why: String,
    },
    /// The run ends before all is done.
    Paused {
        /// Why.
        why: String,
    },
}
