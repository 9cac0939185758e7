//! What a running scan tells whoever watches it.
//!
//! Events are for showing only: what must not be lost is in the store. A watcher that falls behind may miss some.

use std::time::Duration;

use phantom_checks::{Confidence, Severity};
use serde::{Serialize, Serializer};

use super::{ScanCounts, ScanId, Standing, Wish};
use crate::site::SiteId;
use crate::triage::Fingerprint;

/// Something that happened in a scan. Texts and URLs come from pages and are untrusted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", content = "data", rename_all = "kebab-case")]
pub enum ScanEvent {
    /// The scan begins, or goes on after it was interrupted.
    Started {
        /// The scan.
        scan: ScanId,
        /// The site.
        site: SiteId,
        /// Tabs that will be used at most.
        tabs: usize,
        /// It had begun earlier.
        resumed: bool,
    },
    /// A tab begins to render a page.
    PageStarted {
        /// The tab's number, from 0, over all browsers.
        tab: usize,
        /// The page.
        url: String,
    },
    /// A page was looked at, and that is recorded.
    PageDone {
        /// The tab.
        tab: usize,
        /// The page.
        url: String,
        /// How long it took, from lease to record.
        #[serde(rename = "seconds", serialize_with = "seconds")]
        took: Duration,
        /// Findings on it that the site did not have before.
        findings_new: u64,
    },
    /// A page could not be looked at.
    PageFailed {
        /// The tab.
        tab: usize,
        /// The page.
        url: String,
        /// Why.
        reason: String,
    },
    /// What was rendered turned out not to be a page, or goes back to the frontier: the tab is free again.
    PageLeft {
        /// The tab.
        tab: usize,
        /// The page.
        url: String,
        /// Why.
        reason: String,
    },
    /// A host asks to be left alone, and is, by all who scan it.
    HostWaits {
        /// The host.
        host: String,
        /// For how long.
        #[serde(rename = "seconds", serialize_with = "seconds")]
        wait: Duration,
    },
    /// A finding was seen on a page. The same finding may be told many times.
    Finding {
        /// What it is known by.
        fingerprint: Fingerprint,
        /// The id of the check.
        check: String,
        /// How bad it is.
        severity: Severity,
        /// How sure the check is.
        confidence: Confidence,
        /// What is wrong and where.
        title: String,
        /// The site did not have it before this scan.
        new: bool,
    },
    /// Where the pages of the scan stand.
    Counts(ScanCounts),
    /// Something to know about the scan as a whole.
    Remark(String),
    /// A person wants the scan to stop or to wait; it does.
    Wished(Wish),
    /// A browser died or hung and was replaced.
    BrowserRestarted {
        /// Why.
        reason: String,
    },
    /// A ticket was created.
    TicketCreated {
        /// Its key.
        key: String,
        /// The finding's title.
        title: String,
    },
    /// A ticket that was there already now stands for a finding.
    TicketAdopted {
        /// Its key.
        key: String,
        /// The finding's title.
        title: String,
    },
    /// So many findings still wait to be brought into line with their tickets.
    TicketsLeft(u64),
    /// Tickets cannot be filed for now, or one was refused.
    TicketProblem(String),
    /// The scan ended, or waits.
    Finished {
        /// Where it stands.
        state: Standing,
    },
}

fn seconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_secs_f64())
}
