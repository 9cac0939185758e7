//! When a host may be asked something: for a page, or for what we ask beside pages.
//!
//! A turn is taken right before a request leaves, not when a page is leased: between the two, a browser may have to
//! start. The store gives the turns, so that they are apart whoever asks: other tabs, scans and processes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use url::Url;

use super::Now;
use super::run::Run;
use crate::browser::MayGo;
use crate::crawl::{Turn, pace};
use crate::store::{Store, StoreError};

/// How long it takes until it shows that a host need not be left alone any more.
const LONGEST_SLEEP: Duration = Duration::from_secs(5);
/// A turn of which it was told later than that was long ago: others have had theirs since, or have it now.
const ON_ITS_WAY: Duration = Duration::from_millis(500);
/// A store that is always as slow is taken at its word after so many.
const MOST_LATE: u32 = 3;
/// A page whose turn is so much later than those of all that may be leased beside it goes back.
const PAGES_PATIENCE: Duration = Duration::from_secs(5);

/// The turns that one scan takes in this process.
pub(super) struct Turns {
    store: Arc<dyn Store>,
    now: Now,
    hosts: Mutex<HashMap<String, Arc<Host>>>,
}

#[derive(Default)]
struct Host {
    /// Who waits does so here, one after another: only the first asks the store.
    queue: tokio::sync::Mutex<()>,
    /// How often in a row it had asked to be left alone when it was asked last.
    refusals: AtomicU32,
}

impl Turns {
    pub fn new(store: Arc<dyn Store>, now: Now) -> Self {
        Self {
            store,
            now,
            hosts: Mutex::default(),
        }
    }

    fn host(&self, name: &str) -> Arc<Host> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(host) = hosts.get(name) {
            return Arc::clone(host);
        }
        Arc::clone(hosts.entry(name.to_owned()).or_default())
    }

    /// Waits for a turn and takes it. False, and nothing is taken, if it would come later than that.
    async fn take(&self, name: &str, pace: Duration, latest: Option<Instant>) -> bool {
        let host = self.host(name);
        let queue = host.queue.lock();
        let _first = match latest {
            None => queue.await,
            Some(latest) => match tokio::time::timeout_at(latest.into(), queue).await {
                Ok(first) => first,
                Err(_) => return false,
            },
        };
        let mut late = 0;
        loop {
            let (now, asked) = ((self.now)(), Instant::now());
            let wait = match self.store.take_turn(name, now, pace).await {
                Ok(Turn::Now { .. }) if asked.elapsed() > ON_ITS_WAY && late < MOST_LATE => {
                    late += 1;
                    Duration::ZERO
                }
                Ok(Turn::Now { refusals }) => {
                    host.refusals.store(refusals, Ordering::Relaxed);
                    return true;
                }
                Ok(Turn::Later(at)) => Duration::try_from(at.duration_since(now)).unwrap_or_default(),
                // Whoever records what comes of it will meet the same trouble, and say so.
                Err(_) => {
                    tokio::time::sleep(pace).await;
                    return true;
                }
            };
            if latest.is_some_and(|latest| Instant::now() + wait > latest) {
                return false;
            }
            tokio::time::sleep(wait.clamp(Duration::from_millis(1), LONGEST_SLEEP)).await;
        }
    }

    /// How often in a row a host had asked to be left alone when it was asked last.
    pub fn refusals(&self, name: &str) -> u32 {
        self.host(name).refusals.load(Ordering::Relaxed)
    }

    /// A host has answered, whatever it said, or is taken at its word.
    pub async fn answered(&self, name: &str) -> Result<(), StoreError> {
        if self.host(name).refusals.swap(0, Ordering::Relaxed) > 0 {
            self.store.forgive_host(name).await?;
        }
        Ok(())
    }

    /// A host asks to be left alone, by all.
    pub async fn refused(&self, name: &str, wait: Duration) -> Result<(), StoreError> {
        let now = (self.now)();
        self.store.hold_host(name, now, super::shared::after(now, wait)).await
    }
}

/// The host that a URL's turns are of.
pub(super) fn host_of(url: &Url) -> &str {
    url.host_str().unwrap_or_default()
}

impl Run {
    /// The time between two requests to the host of a URL.
    pub(super) fn pace_at(&self, url: &Url) -> Duration {
        let delay = self.robots().of(url).and_then(crate::crawl::Robots::crawl_delay);
        pace(&self.site.limits, delay)
    }

    /// Waits until the host of a URL may be asked.
    pub(super) async fn wait_for_turn(&self, url: &Url) {
        self.turns.take(host_of(url), self.pace_at(url), None).await;
    }

    /// The same. False, and at once, if that is later than this.
    pub(super) async fn wait_for_turn_until(&self, url: &Url, latest: Instant) -> bool {
        self.turns.take(host_of(url), self.pace_at(url), Some(latest)).await
    }

    /// What a page asks before it is navigated to: it waits for its turn. No if that is too far away, or the scan ends.
    pub(super) fn may_go(self: &Arc<Self>, url: &Url) -> MayGo {
        let (run, url) = (Arc::clone(self), url.clone());
        Arc::new(move || {
            let (run, url) = (Arc::clone(&run), url.clone());
            async move {
                let pace = run.pace_at(&url);
                let before = pace.saturating_mul(run.site.limits.concurrency.saturating_add(1));
                let latest = Instant::now() + before.saturating_add(PAGES_PATIENCE);
                let taken = run.turns.take(host_of(&url), pace, Some(latest));
                tokio::select! {
                    taken = taken => taken,
                    () = run.stop.cancelled() => false,
                    () = run.give_up.cancelled() => false,
                }
            }
            .boxed()
        })
    }
}
