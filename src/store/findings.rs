//! What is kept of findings.

use async_trait::async_trait;
use jiff::Timestamp;
use phantom_checks::Observation;

use super::Result;
use crate::crawl::PageKey;
use crate::scan::{ScanClose, ScanId, ScanRecord};
use crate::site::SiteId;
use crate::triage::{
    Coverage, Finding, FindingEvent, FindingPage, Fingerprint, Judgement, PageLook, Picture, Suppression,
};

/// Findings, what was seen of them, and what people decided.
#[async_trait]
pub trait FindingStore: Send + Sync {
    /// One scan.
    async fn scan(&self, id: &ScanId) -> Result<Option<ScanRecord>>;
    /// Records what else was observed on a page that was looked at already. False if it was not.
    async fn observe(
        &self,
        scan: &ScanId,
        page: &PageKey,
        now: Timestamp,
        observations: &[Observation],
    ) -> Result<bool>;
    /// Keeps the picture of a finding in place of an earlier one. It is deleted with the evidence of its scan.
    async fn keep_picture(&self, picture: &Picture) -> Result<()>;
    /// The picture of a finding.
    async fn picture(&self, fingerprint: &Fingerprint) -> Result<Option<Picture>>;
    /// Deletes the pictures that scans of a site took.
    async fn drop_pictures(&self, site: &SiteId) -> Result<()>;
    /// The findings that this scan saw, worst first, then by check, then by title.
    async fn findings(&self, scan: &ScanId) -> Result<Vec<Finding>>;
    /// The open findings of a site that this scan did not see.
    async fn unseen_findings(&self, scan: &ScanId) -> Result<Vec<Finding>>;
    /// One finding.
    async fn finding(&self, fingerprint: &Fingerprint) -> Result<Option<Finding>>;
    /// The pages on which a scan saw a finding, by URL, `limit` at most, and how many there are in all.
    async fn finding_pages(
        &self,
        scan: &ScanId,
        fingerprint: &Fingerprint,
        limit: u32,
    ) -> Result<(Vec<FindingPage>, u64)>;
    /// The pages that led a scan to this URL, the start page first, the page itself last; 20 at most.
    async fn way_to(&self, scan: &ScanId, url: &str) -> Result<Vec<String>>;
    /// All findings, of one site or of any, whatever their state, worst first.
    async fn all_findings(&self, site: Option<&SiteId>) -> Result<Vec<Finding>>;
    /// What became of a finding through time, oldest first.
    async fn finding_events(&self, fingerprint: &Fingerprint) -> Result<Vec<FindingEvent>>;
    /// The pages of a scan and how each was seen, by key.
    async fn page_looks(&self, scan: &ScanId) -> Result<Vec<PageLook>>;
    /// The coverage of the newest whole scans of a site, `limit` at most, newest first; the scan `but` is left out.
    async fn coverages(&self, site: &SiteId, but: &ScanId, limit: u32) -> Result<Vec<Coverage>>;
    /// Ends a scan: its state, its coverage, and where its findings stand; each whose state changes wishes for its
    /// ticket. A finding that is no longer as it was judged stays as it is. Returns how many changed their state; `None`
    /// if another process has the scan: then nothing was recorded.
    async fn close_scan(&self, close: &ScanClose<'_>) -> Result<Option<u64>>;
    /// Records where findings stand by a person's word; each whose state changes wishes for its ticket. A finding that
    /// is no longer as it was judged stays as it is. Returns how many changed their state.
    async fn judge(&self, judgements: &[Judgement], now: Timestamp) -> Result<u64>;
    /// Records a decision, or that it holds again, and suppresses the open findings that it covers on all pages on
    /// which they were seen last. Returns how many it suppressed.
    async fn suppress(&self, suppression: &Suppression, now: Timestamp) -> Result<u64>;
    /// The suppressions that were not lifted, expired ones too, oldest first.
    async fn suppressions(&self) -> Result<Vec<Suppression>>;
    /// Ends a suppression. What it covered is open again, unless another one covers it. False if there is none with
    /// this id, or it was lifted before.
    async fn lift_suppression(&self, id: &str, by: &str, now: Timestamp) -> Result<bool>;
    /// Makes these the suppressions that the file of a site asks for; those it asked for before and no longer does are
    /// lifted. They take hold of findings when a scan sees them, and let go of them when it ends.
    async fn set_file_suppressions(&self, site: &SiteId, all: &[Suppression], now: Timestamp) -> Result<()>;
    /// When the first scan of the whole site ended; `None` if there was none.
    async fn baseline_end(&self, site: &SiteId) -> Result<Option<Timestamp>>;
}
