//! Findings become tickets: intents from the scan, the outbox worker, and the record of what was sent.

mod attach;
mod check;
mod clock;
mod dry_run;
mod gate;
#[cfg(test)]
mod life_tests;
mod notice;
mod outbox;
mod perform;
mod queue;
mod reconcile;
mod report;
mod route;
mod sheet;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod verify;
mod worker;

pub use check::{Checked, Verdict, check};
pub use clock::{Clock, SystemClock};
pub use dry_run::{Planned, dry_run};
pub use gate::BREAKER_FLOOR;
pub use outbox::{ActionKind, ActionRecord, ActionState, Detail, Held, Hold, Intent, TicketLink};
pub use queue::{TicketRow, WaitingRow, release, retry, sync, tickets, waiting};
pub use report::{DeadLetter, Event, Report};
pub use verify::{Commented, Unclear, meant};
pub use worker::{Timing, Worker};
