//! How a process of the gang is, for whoever watches over it: `/health` (it is not stuck), `/ready` (it reaches its store
//! and takes work), `/metrics` (in the text format of `OpenMetrics`, which Prometheus reads).
//!
//! What is counted here is of this process alone and begins anew with it. What waits is asked of the store, so every
//! process of a fleet says the same of that.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use jiff::Timestamp;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::scan::{ScanCounts, ScanEvent, ScanId, WhichScans};
use crate::site::SiteId;
use crate::store::Store;

/// Who has not looked for work for so long is stuck. The longest wait of a statement that is tried again is shorter.
const STUCK: Duration = Duration::from_mins(5);
/// How long the store may take to be reached.
const PATIENCE: Duration = Duration::from_secs(5);
/// Running scans that are added up.
const MOST_SCANS: u32 = 10_000;
/// Sites whose share of blocked pages is told.
const MOST_SITES: usize = 2_000;

/// One label of a metric: its name and value.
type Label = [(&'static str, String); 1];
/// A number with a fraction, such as a share or seconds.
type Fraction = Gauge<f64, AtomicU64>;

/// What one process counts, and where it stands.
pub struct Status {
    store: Arc<dyn Store>,
    stop: CancellationToken,
    glanced: Mutex<Instant>,
    registry: Registry,
    jobs: Gauge,
    tabs_given: Gauge,
    pages: Family<Label, Counter>,
    restarts: Counter,
    ended: Family<Label, Counter>,
    blocked: Family<Label, Fraction>,
    /// The sites whose share of blocked pages is told.
    sites: Mutex<BTreeSet<SiteId>>,
    store_up: Gauge,
    files_wrong: Gauge,
}

impl Status {
    /// Of a process that works on this store with so many tabs, until it is stopped.
    pub fn new(store: Arc<dyn Store>, tabs: usize, stop: CancellationToken) -> Arc<Self> {
        let mut all = Registry::with_prefix("phantom");
        let pages = Family::<Label, Counter>::default();
        for outcome in ["done", "failed", "left"] {
            pages.get_or_create(&outcome_of(outcome)).inc_by(0);
        }
        let (restarts, ended, blocked) = (Counter::default(), Family::default(), Family::default());
        let (jobs, given, store_up) = (Gauge::default(), Gauge::default(), Gauge::default());
        let files_wrong = Gauge::default();
        let may_use: Gauge = Gauge::default();
        may_use.set(whole(tabs));
        all.register("pages", "Pages by what came of them", pages.clone());
        all.register("browser_restarts", "Browsers that were replaced", restarts.clone());
        all.register("scans_ended", "Scans that ended here", ended.clone());
        all.register("jobs", "Scans that this process works on", jobs.clone());
        all.register("tabs", "Tabs that it may use", may_use);
        all.register("tabs_given", "Tabs that it gave to scans", given.clone());
        let share = "Of a site's last whole scan, the share of pages that were blocked";
        all.register("blocked_share", share, blocked.clone());
        all.register("store_up", "Whether the store answers", store_up.clone());
        let wrong = "Files of sites that cannot be used: their sites are not scanned by this process";
        all.register("site_files_wrong", wrong, files_wrong.clone());
        Arc::new(Self {
            store,
            stop,
            glanced: Mutex::new(Instant::now()),
            registry: all,
            jobs,
            tabs_given: given,
            pages,
            restarts,
            ended,
            blocked,
            sites: Mutex::default(),
            store_up,
            files_wrong,
        })
    }

    /// So many files of sites cannot be used.
    pub fn tell_wrong_files(&self, count: usize) {
        self.files_wrong.set(whole(count));
    }

    /// It has looked for work, and has so many scans with so many tabs.
    pub(super) fn glance(&self, scans: usize, tabs: usize) {
        *self.glanced.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.jobs.set(whole(scans));
        self.tabs_given.set(whole(tabs));
    }

    /// Something happened in one of its scans. It is logged, too: nobody else listens to scans that run by themselves.
    pub(super) fn hear(&self, scan: Option<&ScanId>, event: &ScanEvent) {
        let scan = scan.map_or("", |scan| scan.0.as_str());
        match event {
            ScanEvent::Started { site, resumed, .. } => {
                tracing::info!(scan, %site, resumed, "the scan begins");
            }
            ScanEvent::PageDone {
                url,
                took,
                findings_new,
                ..
            } => {
                self.pages.get_or_create(&outcome_of("done")).inc();
                tracing::info!(
                    scan,
                    page = url,
                    seconds = took.as_secs_f64(),
                    findings_new,
                    "a page was looked at"
                );
            }
            ScanEvent::PageFailed { url, reason, .. } => {
                self.pages.get_or_create(&outcome_of("failed")).inc();
                tracing::warn!(scan, page = url, reason, "a page failed");
            }
            ScanEvent::PageLeft { url, reason, .. } => {
                self.pages.get_or_create(&outcome_of("left")).inc();
                tracing::info!(scan, page = url, reason, "a page was left");
            }
            ScanEvent::HostWaits { host, wait } => {
                tracing::info!(scan, host, seconds = wait.as_secs_f64(), "a host asks to be left alone");
            }
            ScanEvent::BrowserRestarted { reason } => {
                self.restarts.inc();
                tracing::warn!(scan, reason, "a browser was replaced");
            }
            ScanEvent::Remark(remark) => tracing::info!(scan, remark, "a remark"),
            _ => {}
        }
    }

    /// A scan ended; the share of its pages that were blocked is asked of the store.
    pub(super) async fn scan_ended(&self, site: &SiteId, scan: &ScanId, how: &'static str) {
        tracing::info!(%scan, %site, how, "the scan ended");
        self.ended.get_or_create(&[("state", how.to_owned())]).inc();
        let nothing = ScanId(String::new());
        let Ok(coverages) = self.store.coverages(site, &nothing, 1).await else {
            return;
        };
        if let Some(coverage) = coverages.first() {
            self.tell_blocked(site, coverage.blocked_share());
        }
    }

    fn tell_blocked(&self, site: &SiteId, share: f64) {
        let mut sites = self.sites.lock().unwrap_or_else(PoisonError::into_inner);
        if sites.len() < MOST_SITES || sites.contains(site) {
            sites.insert(site.clone());
            self.blocked.get_or_create(&[("site", site.0.clone())]).set(share);
        }
    }

    /// Whether it is not stuck.
    pub fn is_alive(&self) -> bool {
        self.glanced.lock().unwrap_or_else(PoisonError::into_inner).elapsed() < STUCK
    }

    /// Why it takes no work, if it does not.
    ///
    /// # Errors
    /// In words.
    pub async fn is_ready(&self) -> Result<(), String> {
        if self.stop.is_cancelled() {
            return Err("it is ending".to_owned());
        }
        match tokio::time::timeout(PATIENCE, self.store.scan_lines(WhichScans::Running, 1)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("the store does not answer".to_owned()),
        }
    }

    /// All there is to say, in the text format of `OpenMetrics`.
    ///
    /// # Errors
    /// A metric that cannot be written.
    pub async fn metrics(&self) -> Result<String, std::fmt::Error> {
        let of_store = match tokio::time::timeout(PATIENCE, self.of_store()).await {
            Ok(Ok(of_store)) => Some(of_store),
            Ok(Err(_)) | Err(_) => None,
        };
        self.store_up.set(i64::from(of_store.is_some()));
        let mut text = String::new();
        encode_registry(&mut text, &self.registry)?;
        if let Some(of_store) = of_store {
            encode_registry(&mut text, &of_store)?;
        }
        encode_eof(&mut text)?;
        Ok(text)
    }

    /// What waits, of all processes. Nothing is said of it while the store does not answer.
    async fn of_store(&self) -> Result<Registry, crate::store::StoreError> {
        let mut all = Registry::with_prefix("phantom");
        let mut tell = |name, help, value: f64| {
            let gauge = Fraction::default();
            gauge.set(value);
            all.register(name, help, gauge);
        };
        let lines = self.store.scan_lines(WhichScans::Running, MOST_SCANS).await?;
        let sum = |of: fn(&ScanCounts) -> u64| lines.iter().map(|line| of(&line.counts)).sum::<u64>() as f64;
        tell("scans_running", "Scans that run, anywhere", lines.len() as f64);
        let help = "Pages that wait, of all scans that run";
        tell("queue_pages", help, sum(|one| one.waiting));
        tell("leases", "Pages that are leased, by anybody", sum(|one| one.leased));
        let waiting = self.store.intent_count(None).await?;
        let help = "Findings to be brought into line with Jira, those among them that the settings do not file";
        tell("tickets_waiting", help, waiting as f64);
        let now = Timestamp::now();
        let oldest = self.store.due_intents(now, 1, None).await?;
        let late = oldest
            .first()
            .map_or(0.0, |intent| now.duration_since(intent.due).as_secs_f64().max(0.0));
        let help = "Seconds since the oldest of them that is due should have been worked on";
        tell("oldest_intent_seconds", help, late);
        Ok(all)
    }

    /// Answers until the process ends.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) {
        let app = Router::new()
            .route("/health", get(health))
            .route("/ready", get(ready))
            .route("/metrics", get(metrics))
            .with_state(self);
        if let Err(error) = axum::serve(listener, app).await {
            tracing::error!(%error, "health and metrics are no longer served");
        }
    }
}

async fn health(State(status): State<Arc<Status>>) -> Response {
    if status.is_alive() {
        (StatusCode::OK, "ok\n").into_response()
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "it has not looked for work for minutes\n",
        )
            .into_response()
    }
}

async fn ready(State(status): State<Arc<Status>>) -> Response {
    match status.is_ready().await {
        Ok(()) => (StatusCode::OK, "ok\n".to_owned()).into_response(),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

async fn metrics(State(status): State<Arc<Status>>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match status.metrics().await {
        Ok(text) => ([(header::CONTENT_TYPE, kind)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

fn outcome_of(page: &str) -> Label {
    [("outcome", page.to_owned())]
}

fn whole(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store;

    #[tokio::test]
    async fn metrics_are_lines_that_prometheus_reads() {
        let folder = tempfile::tempdir().unwrap();
        let store = store::open(folder.path().join("scans.db").to_str()).await.unwrap();
        let stop = CancellationToken::new();
        let status = Status::new(store, 4, stop.clone());
        status.glance(1, 2);
        let url = "https://shop.test/\n".to_owned();
        let reason = "why".to_owned();
        status.hear(None, &ScanEvent::PageFailed { tab: 0, url, reason });
        status.tell_wrong_files(1);
        status.tell_blocked(&SiteId("odd\"site".to_owned()), 0.25);
        let text = status.metrics().await.unwrap();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (name, value) = line.rsplit_once(' ').unwrap();
            assert!(name.starts_with("phantom_") && value.parse::<f64>().is_ok(), "{line}");
        }
        for line in [
            "phantom_pages_total{outcome=\"failed\"} 1",
            "phantom_blocked_share{site=\"odd\\\"site\"} 0.25",
            "phantom_tabs_given 2",
            "phantom_site_files_wrong 1",
            "phantom_queue_pages 0.0",
            "phantom_store_up 1",
        ] {
            assert!(text.lines().any(|one| one == line), "{line} in\n{text}");
        }
        assert!(status.is_alive());
        assert_eq!(status.is_ready().await, Ok(()));
        stop.cancel();
        assert!(status.is_ready().await.is_err(), "who ends takes no work");
    }
}
