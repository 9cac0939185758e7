//! Findings become tickets: intents from the scan, the outbox worker, and the record of what was sent.

mod clock;
mod dry_run;
mod outbox;
mod reconcile;
mod report;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod worker;

pub use clock::{Clock, SystemClock};
pub use dry_run::{Planned, dry_run};
pub use outbox::{ActionKind, ActionRecord, ActionState, Intent, TicketLink};
pub use report::{DeadLetter, Event, Report};
pub use worker::{Timing, Worker};
