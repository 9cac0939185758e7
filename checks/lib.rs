//! The checks of Phantom Gang: evidence of one page in, observations out.
//!
//! This crate is pure. It knows no browser, no clock, no network and no store, so every check can be run again over
//! evidence that was captured long ago. What evidence cannot tell, a check asks for with a [`Question`].

pub mod check;
pub mod docs;
pub mod evidence;
pub mod observation;
pub mod stable;

pub use check::{Bodies, Check, Meta, Outcome, Probe, SiteFacts, Subject};
pub use docs::Docs;
pub use observation::{Cause, Confidence, Fact, Observation, Question, Severity};

/// Every check there is, in the order in which reports list them. One line a check.
pub fn all() -> &'static [&'static dyn Check] {
    &[]
}

/// The check with this id, if there is one.
pub fn by_id(id: &str) -> Option<&'static dyn Check> {
    all().iter().copied().find(|check| check.meta().id == id)
}
