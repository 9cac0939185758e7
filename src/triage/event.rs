//! What became of a finding, when, and why.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::FindingState;
use crate::scan::ScanId;

/// One change of a finding's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindingEvent {
    /// When.
    pub at: Timestamp,
    /// The scan that brought it about; `None` if a person did.
    pub scan: Option<ScanId>,
    /// The state before; `None` if it was not known.
    pub from: Option<FindingState>,
    /// The state after.
    pub to: FindingState,
    /// Why, as a sentence without a full stop. Untrusted where it names a page.
    pub why: String,
}
