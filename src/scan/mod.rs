//! One run over one site: leases pages, renders them, runs the checks, stores what came of it.

mod event;
mod record;

pub use event::ScanEvent;
pub use record::{ScanCounts, ScanId, ScanRecord, ScanState, Trigger};
