//! Keeps a scan from looking at ever more pages that are alike, and from knowing ever more that it cannot look at.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use phantom_checks::evidence::Look;
use url::Url;

use super::ScanError;
use super::run::Run;
use crate::crawl::{Lease, NewPage, PageState, Room, Template, UsedUp, hash_of};

/// Pages that may wait, in a scan's limit of pages: those beyond would never have their turn.
const MOST_WAITING: u64 = 10;
/// Small limits know at least so many.
const LEAST_WAITING: u64 = 10_000;

/// For so long at most, pages wait for those that may lead to others of their kind.
const PATIENCE: Duration = Duration::from_secs(20);

/// The depths of the pages that this process looks at now.
#[derive(Debug, Default)]
pub(super) struct InFlight(Mutex<BTreeMap<u32, Vec<Instant>>>);

impl InFlight {
    fn depths(&self) -> MutexGuard<'_, BTreeMap<u32, Vec<Instant>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn begins(&self, depth: u32) {
        self.depths().entry(depth).or_default().push(Instant::now());
    }

    pub fn ended(&self, depth: u32) {
        let mut depths = self.depths();
        if let Some(begun) = depths.get_mut(&depth) {
            begun.pop();
            if begun.is_empty() {
                depths.remove(&depth);
            }
        }
    }

    /// How long a page of this depth should wait for those before it; `None` if there is none to wait for.
    fn wait(&self, depth: u32) -> Option<Duration> {
        let depths = self.depths();
        let newest = depths.range(..depth).flat_map(|(_, begun)| begun).max()?;
        PATIENCE.checked_sub(newest.elapsed())
    }
}

impl Run {
    /// Pages that lead to others like this one may still be found: there are shallower ones in other tabs, and not all
    /// of its kind will have their turn.
    pub(super) fn is_early(&self, lease: &Lease) -> bool {
        let template = lease.template.as_ref();
        self.in_flight.wait(lease.depth).is_some()
            && template.is_some_and(|template| self.alike().is_contended(template))
    }

    /// Waits until the pages that are shallower have been looked at, or long enough.
    pub(super) async fn shallower_done(&self, lease: &Lease) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let Some(wait) = self.in_flight.wait(lease.depth) else {
                return;
            };
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep(wait) => {}
                () = self.stop.cancelled() => return,
                () = self.give_up.cancelled() => return,
            }
        }
    }

    /// Takes a leased page from the budgets of pages that are alike. If one is used up, so it is for all pages that
    /// wait, and the reason is returned.
    pub(super) async fn take_alike(&self, lease: &Lease) -> Result<Option<String>, ScanError> {
        let Some(template) = &lease.template else {
            return Ok(None);
        };
        let taken = self.alike().take(template);
        let Err(UsedUp { alike, reason }) = taken else {
            return Ok(None);
        };
        self.store.skip_alike(&self.scan, &alike, &reason).await?;
        Ok(Some(reason))
    }

    /// Gives a page back that was not looked at.
    pub(super) fn give_alike_back(&self, lease: &Lease) {
        if let Some(template) = &lease.template {
            self.alike().give_back(template);
        }
    }

    /// Takes in what a page looks like.
    pub(super) fn saw_alike(&self, lease: &Lease, look: Option<&Look>) {
        if let Some((template, look)) = lease.template.as_ref().zip(look) {
            self.alike().saw(template, look);
        }
    }

    /// Of the pages that were found, those that are kept; some of them to be skipped.
    pub(super) fn bounded(&self, found: Vec<NewPage>) -> Vec<NewPage> {
        let most = self.site.limits.pages.saturating_mul(MOST_WAITING).max(LEAST_WAITING);
        let crowded = self.waiting.load(Ordering::Relaxed) > most;
        if crowded && !found.is_empty() {
            self.remark(format!(
                "more than {most} known pages wait for their turn; links that were found since are not kept"
            ));
            return Vec::new();
        }
        let mut alike = self.alike();
        let room = |mut page: NewPage| {
            if let (None, Some(template)) = (&page.skip, &page.template) {
                match alike.found(template, hash_of(&page.key.0)) {
                    Room::Free => {}
                    Room::UsedUp(reason) => page.skip = Some(reason),
                    Room::NotEvenKept => return None,
                }
            }
            Some(page)
        };
        found.into_iter().filter_map(room).collect()
    }

    /// Counts the pages that an earlier process has looked at.
    pub(super) async fn remember_alike(&self) -> Result<(), ScanError> {
        for state in [PageState::Done, PageState::Failed] {
            for page in self.store.pages(&self.scan, state, u32::MAX).await? {
                let Ok(url) = Url::parse(&page.url) else { continue };
                let template = Template::of(&url);
                let evidence = self.store.evidence(&self.scan, &page.key).await?;
                let mut alike = self.alike();
                // What is used up shows again when the next page of the kind has its turn.
                if alike.take(&template).is_ok()
                    && let Some(look) = evidence.and_then(|evidence| evidence.page.look)
                {
                    alike.saw(&template, &look);
                }
            }
        }
        Ok(())
    }

    /// Says what was found and not even kept.
    pub(super) fn remark_alike(&self) {
        let remarks = self.alike().remarks();
        for remark in remarks {
            self.remark(remark);
        }
    }
}
