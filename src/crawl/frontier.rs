//! What the frontier holds. The store keeps it; these are the words.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use phantom_checks::Observation;
use phantom_checks::evidence::Evidence;
use serde::{Deserialize, Serialize};
use url::Url;

use super::{PageMark, Template, hash};
use crate::scan::ScanId;

/// The normalised URL of a page: two URLs with one key are one page.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PageKey(pub String);

impl fmt::Display for PageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A page that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPage {
    /// What it is known by.
    pub key: PageKey,
    /// What is navigated to.
    pub url: Url,
    /// Links between it and a start page.
    pub depth: u32,
    /// Where it was found; `None` for start pages and sitemaps.
    pub found_on: Option<PageKey>,
    /// Why it is not to be rendered; it is then recorded as skipped.
    pub skip: Option<String>,
    /// The pages that it is alike by its URL; `None` if no budget of alike pages is for it.
    pub template: Option<Template>,
}

impl NewPage {
    /// Which of the pages of one depth have their turn first; those of one turn, in the order in which they were found.
    ///
    /// What a budget leaves out must not depend on which page was found first: that is a matter of time where several
    /// tabs look at pages. Nor may it be all that comes last in the alphabet. So a hash says it. Start pages keep their
    /// order, and pages that no budget is for come before all others.
    pub fn turn(&self) -> i64 {
        if self.depth == 0 || self.template.is_none() {
            return 0;
        }
        // Sixty-two bits: more than nothing, and a number in any store.
        i64::try_from(hash(self.key.0.as_bytes()) >> 2)
            .unwrap_or(i64::MAX)
            .max(1)
    }
}

/// Where a page of a scan stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PageState {
    /// Waiting.
    Waiting,
    /// Being rendered.
    Leased,
    /// Looked at.
    Done,
    /// Could not be looked at.
    Failed,
    /// Not looked at, on purpose.
    Skipped,
}

/// A page of a scan, for reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRow {
    /// What it is known by.
    pub key: PageKey,
    /// Its URL.
    pub url: String,
    /// Where it stands.
    pub state: PageState,
    /// Why it failed or was skipped.
    pub reason: Option<String>,
    /// The page it redirected to.
    pub redirected_to: Option<String>,
}

/// A host of the organisation that a scan saw and that does not belong to its site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenHost {
    /// The host, in lower case.
    pub host: String,
    /// The URL of the page on which it was seen first.
    pub page: String,
}

/// What a worker asks the frontier for.
#[derive(Debug, Clone)]
pub struct LeaseRequest<'a> {
    /// The scan.
    pub scan: &'a ScanId,
    /// Who will hold the leases, `host:pid:start`.
    pub owner: &'a str,
    /// Leases wanted at most.
    pub max: u32,
    /// How long they hold.
    pub ttl: Duration,
    /// The worker's clock.
    pub now: Timestamp,
    /// Time between two requests to one host, over all workers. A page is leased when its host may be asked within that
    /// time; when its turn is, is decided right before it is asked.
    pub pace: Duration,
    /// Leases held at once on one host, over all workers.
    pub concurrency: u32,
    /// Nothing is leased once so many pages of the scan are leased, done or failed.
    pub most: u64,
}

/// What a host says to who would ask it something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Now; nobody else may until the pace has passed.
    Now {
        /// How often in a row it has asked to be left alone.
        refusals: u32,
    },
    /// Not before then. Nothing is taken.
    Later(Timestamp),
}

/// A page that one worker may render until a deadline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Proof of the lease, unique in the store.
    pub token: String,
    /// The scan.
    pub scan: ScanId,
    /// The page.
    pub key: PageKey,
    /// What is navigated to.
    pub url: Url,
    /// Links between it and a start page.
    pub depth: u32,
    /// It was in flight when a browser died, so it is rendered with no other page beside it.
    pub alone: bool,
    /// How often a browser died with it.
    pub crashes: u32,
    /// The pages that it is alike by its URL; `None` if no budget of alike pages is for it.
    pub template: Option<Template>,
}

/// What came of a leased page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PageOutcome {
    /// Looked at.
    Done,
    /// It led to another page of the site, which was looked at in its place; see [`Completion::recorded_as`].
    Redirected,
    /// Could not be looked at, or only in part, and why. What was seen of it is kept.
    Failed(String),
    /// Not a page (a download, a 204 …), and why.
    Skipped(String),
}

/// All that is recorded of a page, in one transaction.
#[derive(Debug)]
pub struct Completion<'a> {
    /// The lease. If it has run out and another worker holds the page, nothing is recorded.
    pub lease: &'a Lease,
    /// The worker's clock.
    pub now: Timestamp,
    /// What came of it.
    pub outcome: PageOutcome,
    /// The page that was in fact looked at, if a redirect led there. If that page is done or leased already, the
    /// evidence and observations are dropped: they are, or will be, its own.
    pub recorded_as: Option<NewPage>,
    /// What the browser saw.
    pub evidence: Option<&'a Evidence>,
    /// Script texts by hash that the store may not have yet.
    pub bodies: &'a BTreeMap<String, String>,
    /// What the checks said.
    pub observations: &'a [Observation],
    /// The ids of the checks that failed on it.
    pub failed_checks: &'a [String],
    /// Pages found on it, each in scope.
    pub found: &'a [NewPage],
    /// What answered in its place, in words; `None` if it was the page itself.
    pub obstacle: Option<&'a str>,
    /// Hosts of the organisation that were seen on it and do not belong to the site.
    pub hosts: &'a [String],
    /// How and when it was looked at, if a later scan may take it as unchanged.
    pub mark: Option<&'a PageMark>,
}

impl<'a> Completion<'a> {
    /// What came of a page of which nothing was seen.
    pub fn of(lease: &'a Lease, now: Timestamp, outcome: PageOutcome) -> Self {
        static NO_BODIES: BTreeMap<String, String> = BTreeMap::new();
        Self {
            lease,
            now,
            outcome,
            recorded_as: None,
            evidence: None,
            bodies: &NO_BODIES,
            observations: &[],
            failed_checks: &[],
            found: &[],
            obstacle: None,
            hosts: &[],
            mark: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_depend_on_nothing_but_the_page() {
        let page = |path: &str, depth| {
            let url = Url::parse("https://shop.test").unwrap().join(path).unwrap();
            NewPage {
                key: PageKey(url.as_str().to_owned()),
                depth,
                found_on: None,
                skip: None,
                template: Some(Template::of(&url)),
                url,
            }
        };
        assert_eq!(page("/a", 0).turn(), 0, "start pages keep their order");
        let witness = NewPage {
            template: None,
            ..page("/a", 1)
        };
        assert_eq!(witness.turn(), 0);
        let elsewhere = NewPage {
            found_on: Some(PageKey("https://shop.test/b".to_owned())),
            ..page("/a", 7)
        };
        assert_eq!(page("/a", 1).turn(), elsewhere.turn());
        let mut turns: Vec<i64> = (0..200).map(|id| page(&format!("/p/{id}"), 1).turn()).collect();
        assert!(turns.iter().all(|turn| *turn > 0));
        assert!(!turns.is_sorted(), "the first are not the first in the alphabet");
        turns.sort_unstable();
        turns.dedup();
        assert_eq!(turns.len(), 200);
    }
}
