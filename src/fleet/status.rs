//! How a process of the gang is, for whoever watches over it: `/health` (it is not stuck), `/ready` (it reaches its store
//! and takes work), `/metrics` (in the text format of Prometheus).
//!
//! What is counted here is of this process alone and begins anew with it. What waits is asked of the store, so every
//! process of a fleet says the same of that.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::scan::{ScanEvent, ScanId};
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

/// What one process counts, and where it stands.
pub struct Status {
    store: Arc<dyn Store>,
    stop: CancellationToken,
    tabs: usize,
    glanced: Mutex<Instant>,
    tabs_used: AtomicUsize,
    scans: AtomicUsize,
    pages_done: AtomicU64,
    pages_failed: AtomicU64,
    pages_left: AtomicU64,
    restarts: AtomicU64,
    ended: Mutex<BTreeMap<&'static str, u64>>,
    blocked: Mutex<BTreeMap<SiteId, f64>>,
}

impl Status {
    /// Of a process that works on this store with so many tabs, until it is stopped.
    pub fn new(store: Arc<dyn Store>, tabs: usize, stop: CancellationToken) -> Arc<Self> {
        Arc::new(Self {
            store,
            stop,
            tabs,
            glanced: Mutex::new(Instant::now()),
            tabs_used: AtomicUsize::new(0),
            scans: AtomicUsize::new(0),
            pages_done: AtomicU64::new(0),
            pages_failed: AtomicU64::new(0),
            pages_left: AtomicU64::new(0),
            restarts: AtomicU64::new(0),
            ended: Mutex::default(),
            blocked: Mutex::default(),
        })
    }

    /// It has looked for work, and has so many scans with so many tabs.
    pub(super) fn glance(&self, scans: usize, tabs: usize) {
        *self.glanced.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.scans.store(scans, Ordering::Relaxed);
        self.tabs_used.store(tabs, Ordering::Relaxed);
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
                self.pages_done.fetch_add(1, Ordering::Relaxed);
                tracing::info!(
                    scan,
                    page = url,
                    seconds = took.as_secs_f64(),
                    findings_new,
                    "a page was looked at"
                );
            }
            ScanEvent::PageFailed { url, reason, .. } => {
                self.pages_failed.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(scan, page = url, reason, "a page failed");
            }
            ScanEvent::PageLeft { url, reason, .. } => {
                self.pages_left.fetch_add(1, Ordering::Relaxed);
                tracing::info!(scan, page = url, reason, "a page was left");
            }
            ScanEvent::BrowserRestarted { reason } => {
                self.restarts.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(scan, reason, "a browser was replaced");
            }
            ScanEvent::Remark(remark) => tracing::info!(scan, remark, "a remark"),
            _ => {}
        }
    }

    /// A scan ended; the share of its pages that were blocked is asked of the store.
    pub(super) async fn scan_ended(&self, site: &SiteId, scan: &ScanId, how: &'static str) {
        tracing::info!(%scan, %site, how, "the scan ended");
        *self
            .ended
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(how)
            .or_default() += 1;
        let nothing = ScanId(String::new());
        let Ok(coverages) = self.store.coverages(site, &nothing, 1).await else {
            return;
        };
        let mut blocked = self.blocked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(coverage) = coverages.first()
            && (blocked.len() < MOST_SITES || blocked.contains_key(site))
        {
            blocked.insert(site.clone(), coverage.blocked_share());
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
        match tokio::time::timeout(PATIENCE, self.store.scan_lines(true, 1)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("the store does not answer".to_owned()),
        }
    }

    /// All there is to say, as Prometheus reads it.
    pub async fn metrics(&self) -> String {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64;
        let mut text = Text::default();
        text.head("phantom_pages_total", "counter", "Pages by what came of them.");
        for (what, counter) in [
            ("done", &self.pages_done),
            ("failed", &self.pages_failed),
            ("left", &self.pages_left),
        ] {
            text.line("phantom_pages_total", &[("outcome", what)], count(counter));
        }
        text.one(
            "phantom_browser_restarts_total",
            "counter",
            "Browsers that were replaced.",
            count(&self.restarts),
        );
        text.head("phantom_scans_ended_total", "counter", "Scans that ended here.");
        for (how, scans) in self.ended.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            text.line("phantom_scans_ended_total", &[("state", how)], *scans as f64);
        }
        let of = |counter: &AtomicUsize| counter.load(Ordering::Relaxed) as f64;
        text.one(
            "phantom_jobs",
            "gauge",
            "Scans that this process works on.",
            of(&self.scans),
        );
        text.one("phantom_tabs", "gauge", "Tabs that it may use.", self.tabs as f64);
        text.one(
            "phantom_tabs_given",
            "gauge",
            "Tabs that it gave to scans.",
            of(&self.tabs_used),
        );
        text.head(
            "phantom_blocked_share",
            "gauge",
            "Of a site's last whole scan, the share of pages that were blocked.",
        );
        for (site, share) in self.blocked.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            text.line("phantom_blocked_share", &[("site", &site.0)], *share);
        }
        let asked = tokio::time::timeout(PATIENCE, self.of_store(&mut text)).await;
        let up = matches!(asked, Ok(Ok(())));
        text.one(
            "phantom_store_up",
            "gauge",
            "Whether the store answers.",
            f64::from(u8::from(up)),
        );
        text.0
    }

    async fn of_store(&self, text: &mut Text) -> Result<(), crate::store::StoreError> {
        let lines = self.store.scan_lines(true, MOST_SCANS).await?;
        let sum =
            |of: fn(&crate::scan::ScanCounts) -> u64| lines.iter().map(|line| of(&line.counts)).sum::<u64>() as f64;
        text.one(
            "phantom_scans_running",
            "gauge",
            "Scans that run, anywhere.",
            lines.len() as f64,
        );
        text.one(
            "phantom_queue_pages",
            "gauge",
            "Pages that wait, of all scans that run.",
            sum(|one| one.waiting),
        );
        text.one(
            "phantom_leases",
            "gauge",
            "Pages that are leased, by anybody.",
            sum(|one| one.leased),
        );
        let waiting = self.store.intent_count(None).await?;
        text.one(
            "phantom_tickets_waiting",
            "gauge",
            "Findings whose tickets wait.",
            waiting as f64,
        );
        let now = Timestamp::now();
        let oldest = self.store.due_intents(now, 1, None).await?;
        let late = oldest
            .first()
            .map_or(0.0, |intent| now.duration_since(intent.due).as_secs_f64().max(0.0));
        let help = "Seconds since the oldest of them that is due should have been worked on.";
        text.one("phantom_oldest_intent_seconds", "gauge", help, late);
        Ok(())
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
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (kind, status.metrics().await).into_response()
}

/// Metrics as text.
#[derive(Default)]
struct Text(String);

impl Text {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        let escaped = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let labels: Vec<String> = labels
            .iter()
            .map(|(key, value)| format!("{key}=\"{}\"", escaped(value)))
            .collect();
        let labels = if labels.is_empty() {
            String::new()
        } else {
            format!("{{{}}}", labels.join(","))
        };
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: f64) {
        self.head(name, kind, help);
        self.line(name, &[], value);
    }
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
        status
            .blocked
            .lock()
            .unwrap()
            .insert(SiteId("odd\"site".to_owned()), 0.25);
        let text = status.metrics().await;
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (name, value) = line.rsplit_once(' ').unwrap();
            assert!(name.starts_with("phantom_") && value.parse::<f64>().is_ok(), "{line}");
        }
        for line in [
            "phantom_pages_total{outcome=\"failed\"} 1",
            "phantom_blocked_share{site=\"odd\\\"site\"} 0.25",
            "phantom_tabs_given 2",
            "phantom_queue_pages 0",
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
