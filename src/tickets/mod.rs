//! Findings become tickets: intents from the scan, the outbox worker, and the record of what was sent.

mod outbox;

pub use outbox::{ActionKind, ActionRecord, ActionState, Intent, TicketLink};
