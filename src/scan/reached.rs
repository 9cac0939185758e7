//! What a scan learns of a site to tell its pages from what answers in their place.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use phantom_checks::evidence::Evidence;
use url::Url;

use super::ScanError;
use super::run::Run;
use crate::crawl::PageState;
use crate::crawl::reached::{Baseline, Instead, Known, instead, is_login_page, is_login_path};

/// Login pages that are compared with.
const MOST_LOGINS: usize = 8;
/// Origins whose answer to an address that cannot exist is kept.
const MOST_ORIGINS: usize = 1_000;

/// How long the answer may take, and how much of it is read.
const PATIENCE: Duration = Duration::from_secs(10);
const MOST_BYTES: usize = 1_024;

/// What is known so far.
#[derive(Debug, Default)]
pub(super) struct Looks(Mutex<Learnt>);

#[derive(Debug, Default)]
struct Learnt {
    start: Option<Baseline>,
    logins: Vec<Baseline>,
    /// By origin; `None` if it says by its status that there is no such page, or could not be asked.
    missing: HashMap<String, Option<Baseline>>,
}

impl Looks {
    fn learnt(&self) -> std::sync::MutexGuard<'_, Learnt> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an origin was not asked yet for an address that cannot exist.
    pub fn lacks(&self, url: &Url) -> bool {
        let learnt = self.learnt();
        learnt.missing.len() < MOST_ORIGINS && !learnt.missing.contains_key(&url.origin().ascii_serialization())
    }

    /// Keeps what an origin shows for it.
    pub fn keep_missing(&self, url: &Url, shown: Option<Baseline>) {
        let origin = url.origin().ascii_serialization();
        self.learnt().missing.entry(origin).or_insert(shown);
    }

    /// What answered in a page's place, if anything did; and learns from the page.
    pub fn judge(&self, evidence: &Evidence, is_start: bool) -> Option<Instead> {
        let mut learnt = self.learnt();
        let origin = Url::parse(&evidence.page.url).map(|url| url.origin().ascii_serialization());
        let known = Known {
            is_start,
            start: learnt.start.as_ref(),
            missing: origin.ok().and_then(|origin| learnt.missing.get(&origin)?.as_ref()),
            logins: &learnt.logins,
        };
        let found = instead(evidence, &known);
        if found.is_none() {
            if is_start && learnt.start.is_none() {
                learnt.start = Baseline::of(evidence);
            }
            if learnt.logins.len() < MOST_LOGINS && is_login_page(evidence) {
                learnt.logins.extend(Baseline::of(evidence));
            }
        }
        found
    }
}

impl Run {
    /// Takes in the login pages that the newest scan of the site saw: who looks at a few pages meets none.
    pub(super) async fn remember_logins(&self) -> Result<(), ScanError> {
        let Some(newest) = self.store.newest_scan(Some(&self.site.id)).await? else {
            return Ok(());
        };
        let done = self.store.pages(&newest.id, PageState::Done, u32::MAX).await?;
        let is_login = |url: &str| Url::parse(url).is_ok_and(|url| is_login_path(url.path()));
        for page in done.iter().filter(|page| is_login(&page.url)).take(MOST_LOGINS) {
            if let Some(evidence) = self.store.evidence(&newest.id, &page.key).await? {
                self.looks.judge(&evidence, false);
            }
        }
        Ok(())
    }

    /// An address of the same origin that cannot exist, if this is to be asked for.
    pub(super) fn address_of_nothing(&self, url: &Url) -> Option<Url> {
        if !self.looks.lacks(url) {
            return None;
        }
        let nothing = url
            .join(&format!("/phantom-gang-asks-for-nothing-{:08x}", rand::random::<u32>()))
            .ok()?;
        (self.scope().admits(&nothing).is_ok() && self.robots().allows(&nothing)).then_some(nothing)
    }

    /// Whether a server answers as if an address existed; `None` if the scan was stopped meanwhile.
    pub(super) async fn seems_to_exist(&self, url: &Url) -> Option<bool> {
        let asked = async {
            self.wait_for_turn(url).await;
            self.fetcher.get(url, &[], MOST_BYTES, PATIENCE).await
        };
        let answer = self.stop.run_until_cancelled(asked).await?;
        Some(answer.is_ok_and(|answer| (200..300).contains(&answer.status)))
    }
}
