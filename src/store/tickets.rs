//! What is kept of tickets.

use async_trait::async_trait;
use jiff::Timestamp;

use super::{FindingStore, Result};
use crate::site::SiteId;
use crate::tickets::{ActionRecord, Held, Hold, Intent, TicketLink};
use crate::triage::Fingerprint;

/// Tickets, the wishes for them, and what was done about these. All that filing tickets needs of a store.
#[async_trait]
pub trait TicketStore: FindingStore {
    /// Intents that are due, of one site or of all, oldest first, at most `limit`.
    async fn due_intents(&self, now: Timestamp, limit: u32, site: Option<&SiteId>) -> Result<Vec<Intent>>;
    /// All intents that wait, due or not.
    async fn intent_count(&self, site: Option<&SiteId>) -> Result<u64>;
    /// Removes an intent, unless a newer wish has arrived since it was read.
    async fn finish_intent(&self, intent: &Intent) -> Result<()>;
    /// Puts an intent off and counts the attempt.
    async fn postpone_intent(&self, intent: &Intent, due: Timestamp) -> Result<()>;
    /// Puts an intent off for a reason that is no failure.
    async fn hold_intent(&self, intent: &Intent, due: Timestamp, why: Held) -> Result<()>;
    /// Wishes for the tickets of findings. Those that are not known are left out.
    async fn wish(&self, fingerprints: &[Fingerprint], now: Timestamp) -> Result<()>;
    /// The newest ticket of a finding.
    async fn ticket(&self, fingerprint: &Fingerprint) -> Result<Option<TicketLink>>;
    /// All tickets of a finding, the oldest generation first.
    async fn tickets_of(&self, fingerprint: &Fingerprint) -> Result<Vec<TicketLink>>;
    /// The newest ticket of each finding, by key.
    async fn all_tickets(&self) -> Result<Vec<TicketLink>>;
    /// Records the ticket of a finding.
    async fn link_ticket(&self, link: &TicketLink) -> Result<()>;
    /// One recorded action.
    async fn action(&self, key: &str) -> Result<Option<ActionRecord>>;
    /// Records an action or what became of it.
    async fn record_action(&self, action: &ActionRecord) -> Result<()>;
    /// What was done to the tickets of a finding, oldest first.
    async fn actions(&self, fingerprint: &Fingerprint) -> Result<Vec<ActionRecord>>;
    /// The creations that may have happened since then, oldest first.
    async fn creations(&self, since: Timestamp) -> Result<Vec<ActionRecord>>;
    /// The projects in which nothing is changed, or whose hold was released.
    async fn holds(&self) -> Result<Vec<Hold>>;
    /// Records a hold, or its release.
    async fn put_hold(&self, hold: &Hold) -> Result<()>;
    /// Forgets a hold.
    async fn remove_hold(&self, project: &str) -> Result<()>;
    /// The dead actions, oldest first.
    async fn dead_actions(&self) -> Result<Vec<ActionRecord>>;
    /// Takes or renews the lease that lets one process work the outbox. False if another holds it.
    async fn lease_outbox(&self, owner: &str, now: Timestamp, until: Timestamp) -> Result<bool>;
    /// Gives that lease back.
    async fn release_outbox(&self, owner: &str) -> Result<()>;
}
