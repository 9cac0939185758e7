//! The rules of a crawl, pure: which URLs are one page, which belong to the site, how fast to go.

mod frontier;

pub use frontier::{Completion, Lease, LeaseRequest, NewPage, PageKey, PageOutcome, PageRow, PageState};
