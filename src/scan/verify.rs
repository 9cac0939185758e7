//! One finding is looked at again: the pages on which it was seen, and no others.
//!
//! A look, not a judgement: pages and evidence are recorded, and no finding changes through it. What proves a finding
//! fixed is more than its pages, and is left to scans of the whole site.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use phantom_checks::Check;
use serde::{Deserialize, Serialize};
use url::Url;

use super::close::mode_of;
use super::proof::was_tried;
use super::scanner::scope_rules;
use super::{ScanError, ScanId, ScanState, Scanner, Start};
use crate::config::Config;
use crate::crawl::{LinkRules, NewPage, PageState, RobotsBook};
use crate::site::{ExploreMode, PrivateStart, ScopeRules, Site, SiteId, Sitemaps};
use crate::store::{Store, StoreError};
use crate::triage::{Finding, Fingerprint, PageLook, WITNESSES, reached};

/// A person waits for the answer: no look takes longer, but for pages in flight.
const LONGEST: Duration = Duration::from_secs(30);
/// Likewise for one page.
const LONGEST_PAGE: Duration = Duration::from_secs(15);

/// Is it there?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Presence {
    /// It was seen.
    StillThere,
    /// It was looked for, and was not there.
    Gone,
    /// It could not be looked for in full, which says nothing.
    CouldNotReach,
}

impl Presence {
    /// The word in JSON and in idempotency keys.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::StillThere => "still-there",
            Self::Gone => "gone",
            Self::CouldNotReach => "could-not-reach",
        }
    }

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::StillThere => "still there",
            Self::Gone => "gone",
            Self::CouldNotReach => "could not reach",
        }
    }
}

impl fmt::Display for Presence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.words())
    }
}

/// What a look at one page came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageVerdict {
    /// The page. Untrusted.
    pub url: String,
    /// Is it there?
    pub presence: Presence,
    /// Why it could not be looked for, or where it was seen instead. Untrusted.
    pub why: Option<String>,
}

/// What a look at one finding came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// The finding.
    pub fingerprint: Fingerprint,
    /// Its site.
    pub site: SiteId,
    /// The id of its check.
    pub check: String,
    /// What is wrong and where. Untrusted.
    pub title: String,
    /// The scan that looked; `None` if there was no page to look at.
    pub scan: Option<ScanId>,
    /// When.
    pub at: Timestamp,
    /// Is it there?
    pub presence: Presence,
    /// Why that cannot be said. Untrusted.
    pub why: Option<String>,
    /// The pages, its witnesses first.
    pub pages: Vec<PageVerdict>,
}

/// Why a finding could not be looked at at all.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The scan could not begin or go on.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The site starts where we may not go.
    #[error(transparent)]
    Private(#[from] PrivateStart),
    /// The check is no more.
    #[error("this version has no check {0}, so it cannot look for the finding; the next scan of its site withdraws it")]
    NoCheck(String),
    /// The check is disabled.
    #[error("the check {check} is disabled for site {site}; take it out of `checks.disable` and scan the site again")]
    Disabled {
        /// The check.
        check: String,
        /// The site.
        site: SiteId,
    },
    /// No scan has kept the site.
    #[error("no scan of site {0} is kept in this store; scan it once, or name another store with `--store`")]
    NoScan(SiteId),
}

impl Scanner {
    /// Looks at a finding again, on the pages on which it was seen last, with its site as the last scan kept it.
    ///
    /// # Errors
    /// If no look is possible. A page that cannot be reached is no error but an answer.
    pub async fn verify(&self, finding: &Finding) -> Result<Verified, VerifyError> {
        let check = phantom_checks::by_id(&finding.check).ok_or_else(|| VerifyError::NoCheck(finding.check.clone()))?;
        let mut kept = self.kept_site(finding).await?;
        kept.may_start(&self.config.network)?;
        if kept.disabled_checks.contains(&finding.check) {
            return Err(VerifyError::Disabled {
                check: finding.check.clone(),
                site: kept.id,
            });
        }
        let rules = scope_rules(&kept)?;
        let urls = pages_of(&*self.store, finding).await?;
        let wanted: Vec<_> = urls.into_iter().map(|url| Wanted::of(url, &rules)).collect();
        let pages: Vec<NewPage> = wanted.iter().filter_map(|one| one.page.clone().ok()).collect();
        if pages.is_empty() {
            let seen = Seen::default();
            return Ok(seen.verdict(finding, check, &wanted));
        }
        // What took pages to be used is looked for so; what took forms to be sent is sent only where that is asked for.
        let saw = mode_of(&*self.store, &finding.last_scan).await?;
        kept.explore.mode = kept.explore.mode.max(saw.min(ExploreMode::Safe));
        let shallow = saw > kept.explore.mode;
        let site = narrowed(kept, &finding.check, pages.len());
        let start = site.start.first().and_then(|url| start_page(url, &rules));
        let scanner = Self {
            config: Arc::new(hurried(&self.config)),
            tabs: self.tabs.min(WITNESSES),
            ..self.clone()
        };
        let site = Box::new(site);
        let ended = Box::pin(scanner.scan(Start::Verify {
            site,
            pages,
            finding: finding.fingerprint.clone(),
        }))
        .await?;
        if ended.record.state == ScanState::Interrupted {
            return Err(ScanError::Stopped.into());
        }
        let record = ended.record;
        let mut seen = Seen::by(&*self.store, &record.id, finding, start).await?;
        seen.untried |= shallow;
        let verified = seen.verdict(finding, check, &wanted);
        let said = format!("finding {}: {}", finding.fingerprint, verified.presence);
        let remarks = [record.remarks, vec![said]].concat();
        self.store
            .set_scan_state(&record.id, record.state, record.ended, &remarks)
            .await?;
        Ok(verified)
    }

    async fn kept_site(&self, finding: &Finding) -> Result<Site, VerifyError> {
        let newest = self.store.newest_scan(Some(&finding.site)).await?;
        newest
            .map(|record| record.site)
            .ok_or_else(|| VerifyError::NoScan(finding.site.clone()))
    }
}

/// The pages on which a finding was seen last, its witnesses first, three at most.
async fn pages_of(store: &dyn Store, finding: &Finding) -> Result<Vec<String>, StoreError> {
    let most = u32::try_from(WITNESSES).unwrap_or(u32::MAX);
    let (seen_on, _) = store
        .finding_pages(&finding.last_scan, &finding.fingerprint, most)
        .await?;
    let witnesses = finding.past.witnesses.iter().map(|witness| witness.url.clone());
    let mut known = BTreeSet::new();
    Ok(witnesses
        .chain(seen_on.into_iter().map(|page| page.url))
        .filter(|url| known.insert(url.clone()))
        .take(WITNESSES)
        .collect())
}

/// A page that is to be looked at, or why it is not.
struct Wanted {
    url: String,
    page: Result<NewPage, String>,
}

impl Wanted {
    fn of(url: String, rules: &ScopeRules) -> Self {
        // Robots are asked when the page's turn comes.
        let robots = RobotsBook::new(false);
        let links = LinkRules {
            scope: rules,
            robots: &robots,
            depth: 1,
        };
        let page = Url::parse(&url)
            .map_err(|error| error.to_string())
            .and_then(|url| links.page(&url, 1, None).map_err(|why| why.to_string()))
            .and_then(|page| page.skip.clone().map_or(Ok(page), Err))
            .map(|page| NewPage { template: None, ..page });
        Self { url, page }
    }
}

/// The start page as it is visited.
fn start_page(url: &Url, rules: &ScopeRules) -> Option<String> {
    let robots = RobotsBook::new(false);
    let links = LinkRules {
        scope: rules,
        robots: &robots,
        depth: 1,
    };
    Some(links.page(url, 0, None).ok()?.url.to_string())
}

/// The site with one check, and with budgets for a person who waits.
fn narrowed(mut site: Site, check: &str, pages: usize) -> Site {
    let others = phantom_checks::all().iter().map(|one| one.meta().id);
    site.disabled_checks = others.filter(|id| *id != check).map(str::to_owned).collect();
    site.sitemaps = Sitemaps::List(Vec::new());
    // The first one begins the session.
    site.start.truncate(1);
    site.limits.pages = pages as u64 + 1;
    site.limits.depth = 1;
    site.limits.duration = site.limits.duration.min(LONGEST);
    site.limits.narrowed = true;
    site
}

fn hurried(config: &Config) -> Config {
    let mut config = config.clone();
    config.browser.processes = 1;
    config.browser.page_deadline = config.browser.page_deadline.min(LONGEST_PAGE);
    config
}

/// What a scan saw of one finding.
#[derive(Default)]
struct Seen {
    scan: Option<ScanId>,
    looks: BTreeMap<String, PageLook>,
    /// Where pages led that were redirected.
    led_to: BTreeMap<String, String>,
    /// The pages on which the finding was.
    on: BTreeSet<String>,
    start: Option<String>,
    /// What the finding was proved by was not tried again.
    untried: bool,
}

impl Seen {
    async fn by(
        store: &dyn Store,
        scan: &ScanId,
        finding: &Finding,
        start: Option<String>,
    ) -> Result<Self, StoreError> {
        let looks = store.page_looks(scan).await?;
        let done = store.pages(scan, PageState::Done, u32::MAX).await?;
        let url_of = |key: &str| done.iter().find(|row| row.key.0 == key).map(|row| row.url.clone());
        let led_to = done
            .iter()
            .filter_map(|row| Some((row.url.clone(), url_of(row.redirected_to.as_deref()?)?)));
        let (on, _) = store.finding_pages(scan, &finding.fingerprint, u32::MAX).await?;
        let keys = done.iter().map(|row| row.key.clone());
        let untried = !was_tried(store, scan, finding, keys).await?;
        Ok(Self {
            untried,
            scan: Some(scan.clone()),
            led_to: led_to.collect(),
            looks: looks.into_iter().map(|look| (look.url.clone(), look)).collect(),
            on: on.into_iter().map(|page| page.url).collect(),
            start,
        })
    }

    fn verdict(&self, finding: &Finding, check: &dyn Check, wanted: &[Wanted]) -> Verified {
        let mut pages: Vec<PageVerdict> = wanted.iter().map(|one| self.page(one, &finding.check)).collect();
        for url in &self.on {
            let told = |one: &PageVerdict| one.url == *url || self.led_to.get(&one.url) == Some(url);
            if !pages.iter().any(told) {
                pages.push(PageVerdict {
                    url: url.clone(),
                    presence: Presence::StillThere,
                    why: None,
                });
            }
        }
        let (presence, why) = self.whole(finding, check.meta().version, &pages);
        Verified {
            fingerprint: finding.fingerprint.clone(),
            site: finding.site.clone(),
            check: finding.check.clone(),
            title: finding.title.clone(),
            scan: self.scan.clone(),
            at: Timestamp::now(),
            presence,
            why,
            pages,
        }
    }

    fn page(&self, wanted: &Wanted, check: &str) -> PageVerdict {
        let (presence, why) = match &wanted.page {
            Err(why) => (Presence::CouldNotReach, Some(why.clone())),
            Ok(page) => self.presence(page.url.as_str(), check),
        };
        PageVerdict {
            url: wanted.url.clone(),
            presence,
            why,
        }
    }

    /// Is the finding on a page that was to be looked at? Where that is not sure, the reason.
    fn presence(&self, url: &str, check: &str) -> (Presence, Option<String>) {
        if self.on.contains(url) {
            return (Presence::StillThere, None);
        }
        let lost = |why: String| (Presence::CouldNotReach, Some(why));
        let Some(look) = self.looks.get(url) else {
            return lost("it was not looked at".to_owned());
        };
        if look.redirected {
            return match self.led_to.get(url) {
                Some(to) if self.on.contains(to) => (Presence::StillThere, Some(format!("it leads to {to}"))),
                Some(to) => lost(format!("it leads to {to}")),
                None => lost("it leads to another page".to_owned()),
            };
        }
        if look.state != PageState::Done {
            let reason = look.reason.clone();
            return lost(reason.unwrap_or_else(|| "it was not looked at in time".to_owned()));
        }
        if look.failed_checks.iter().any(|failed| failed == check) {
            return lost("the check failed on it, or could not try there what it has to".to_owned());
        }
        if let Some(obstacle) = &look.obstacle {
            return lost(format!("something else answered in its place, {obstacle}"));
        }
        match look.status {
            _ if reached(look) => (Presence::Gone, None),
            Some(status) if !(200..300).contains(&status) => lost(format!("the server answered {status}")),
            _ => lost("not all of it could be seen".to_owned()),
        }
    }

    /// One page with it is enough to know that it is there; that it is gone takes all of them, a session as in a scan,
    /// and the check that saw it.
    fn whole(&self, finding: &Finding, version: u32, pages: &[PageVerdict]) -> (Presence, Option<String>) {
        if pages.iter().any(|page| page.presence == Presence::StillThere) {
            return (Presence::StillThere, None);
        }
        let lost = |why: String| (Presence::CouldNotReach, Some(why));
        if pages.is_empty() {
            return lost("no page is known on which it was seen; scan its site again".to_owned());
        }
        if let Some(page) = pages.iter().find(|page| page.presence == Presence::CouldNotReach) {
            let why = page.why.as_deref().unwrap_or("it was not looked at");
            return lost(format!("{}: {why}", page.url));
        }
        let start = self.start.as_ref();
        if let Some((start, look)) = start.map(|start| (start, self.looks.get(start)))
            && look.is_none_or(|look| look.state != PageState::Done)
        {
            let reason = look.and_then(|look| look.reason.as_deref());
            let why = reason.unwrap_or("it was not looked at in time");
            return lost(format!("the start page {start}, which begins the session: {why}"));
        }
        if version != finding.check_version {
            let then = finding.check_version;
            return lost(format!(
                "the check changed: version {then} saw it, version {version} ran; the next scan knows more"
            ));
        }
        if self.untried {
            let why = "what showed it was not tried again: the scan that saw it did more than the site's file asks for now, or \
                       it had no effect";
            return lost(why.to_owned());
        }
        (Presence::Gone, None)
    }
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
