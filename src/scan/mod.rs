//! One run over one site: leases pages, renders them, runs the checks, stores what came of it.

mod record;

pub use record::{ScanCounts, ScanId, ScanRecord, ScanState, Trigger};
