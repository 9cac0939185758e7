//! Findings become tickets: intents from the scan, the outbox worker, and the record of what was sent.

mod clock;
mod dry_run;
mod gate;
mod notice;
mod outbox;
mod perform;
mod reconcile;
mod report;
mod route;
mod sheet;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod worker;

pub use clock::{Clock, SystemClock};
pub use gate::BREAKER_FLOOR;
pub use dry_run::{Planned, dry_run};
pub use outbox::{ActionKind, ActionRecord, ActionState, Detail, Held, Hold, Intent, TicketLink};
pub use report::{DeadLetter, Event, Report};
pub use worker::{Timing, Worker};
