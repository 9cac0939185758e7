//! What the shows share: a clock that jumps from night to night, and settings for a Jira on loopback.

#![allow(dead_code, reason = "each show uses a part of it")]

use std::error::Error;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use phantom_checks::Severity;
use phantom_gang::browser::default_tabs;
use phantom_gang::config::{
    BrowserConfig, Config, Deployment, JiraAuth, JiraConfig, Lifecycle, SecretSource, TicketDefaults,
};
use phantom_gang::demo::{Content, Microsite};
use phantom_gang::scan::{Ended, Scanner, Start, Trigger};
use phantom_gang::site::Site;
use phantom_gang::store::{self, Store};
use phantom_gang::tickets::{Clock, Event, Report, Worker};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

pub type Result<T> = std::result::Result<T, Box<dyn Error>>;

pub const DAY: Duration = Duration::from_hours(24);

/// The system's clock, moved forward by whoever sleeps: nights pass at once.
pub struct StageClock(Mutex<Duration>);

impl StageClock {
    /// It is noon, so that no day ends within a run.
    pub fn new() -> Arc<Self> {
        const DAY_S: i64 = 86_400;
        let second = Timestamp::now().as_second().rem_euclid(DAY_S);
        let noon = (DAY_S / 2 - second).rem_euclid(DAY_S);
        Arc::new(Self(Mutex::new(Duration::from_secs(noon.unsigned_abs()))))
    }

    pub fn time(&self) -> Timestamp {
        let moved = *self.0.lock().unwrap();
        Timestamp::now() + SignedDuration::try_from(moved).unwrap()
    }

    pub fn skip(&self, time: Duration) {
        *self.0.lock().unwrap() += time;
    }

    /// Skips to this time, if it is not over yet.
    pub fn skip_to(&self, time: Timestamp) {
        self.skip(Duration::try_from(time.duration_since(self.time())).unwrap_or_default());
    }
}

#[async_trait]
impl Clock for StageClock {
    fn now(&self) -> Timestamp {
        self.time()
    }

    async fn sleep(&self, time: Duration) {
        tokio::task::yield_now().await;
        self.skip(time);
    }
}

/// Settings for a Jira at this address; the token is read from the file.
pub fn jira(deployment: Deployment, base: &str, user: &str, token: &Path) -> Result<JiraConfig> {
    let auth = JiraAuth::Basic {
        user: user.to_owned(),
        token: SecretSource::File(token.to_owned()),
    };
    let defaults = TicketDefaults {
        priority: [
            (Severity::High, "High".to_owned()),
            (Severity::Medium, "Medium".to_owned()),
        ]
        .into(),
        ..TicketDefaults::of("SEC")
    };
    Ok(JiraConfig {
        requests_per_s: 100_000.0,
        timeout: Duration::from_secs(10),
        lifecycle: Lifecycle {
            max_new_per_day: 1_000,
            ..Lifecycle::default()
        },
        ..JiraConfig::new(deployment, base.parse()?, auth, defaults)
    })
}

/// One site, real browsers, a store, and an outbox, all by one clock.
pub struct Stage {
    pub clock: Arc<StageClock>,
    pub store: Arc<dyn Store>,
    pub jira: JiraConfig,
    site: Site,
    config: Arc<Config>,
    _microsite: Microsite,
    _folder: TempDir,
}

impl Stage {
    pub async fn new(content: impl Content, site: &str, jira: JiraConfig, clock: Arc<StageClock>) -> Result<Self> {
        let microsite = Microsite::serve(content).await?;
        let folder = tempfile::tempdir()?;
        Ok(Self {
            store: store::open(folder.path().join("scans.db").to_str()).await?,
            site: Site::from_str(site, Path::new("sitemaps/show.toml"))?,
            config: Arc::new(Config {
                browser: BrowserConfig {
                    processes: 1,
                    resolve: microsite.resolve.clone(),
                    trust_spki: vec![microsite.spki.clone()],
                    ..BrowserConfig::default()
                },
                jira: Some(jira.clone()),
                ..Config::default()
            }),
            jira,
            clock,
            _microsite: microsite,
            _folder: folder,
        })
    }

    /// Scans the site as it is now.
    pub async fn scan(&self) -> Result<Ended> {
        let clock = Arc::clone(&self.clock);
        let scanner = Scanner {
            store: Arc::clone(&self.store),
            config: Arc::clone(&self.config),
            tabs: default_tabs(),
            listener: Arc::new(|_| {}),
            by: "test".to_owned(),
            stop: CancellationToken::new(),
            now: Arc::new(move || clock.time()),
        };
        let start = Start::New {
            site: Box::new(self.site.clone()),
            trigger: Trigger::Nightly,
        };
        Ok(scanner.scan(start).await?)
    }

    /// Brings tickets into line.
    pub async fn file(&self) -> Result<(Report, Vec<Event>)> {
        file(&self.store, &self.jira, &self.clock).await
    }
}

/// Works an outbox to its end.
pub async fn file(store: &Arc<dyn Store>, jira: &JiraConfig, clock: &Arc<StageClock>) -> Result<(Report, Vec<Event>)> {
    let events: Arc<Mutex<Vec<Event>>> = Arc::default();
    let told = Arc::clone(&events);
    let clock: Arc<dyn Clock> = Arc::clone(clock) as Arc<dyn Clock>;
    let worker = Worker::new(store.clone(), jira)?
        .with_clock(clock)
        .on_event(move |event| told.lock().unwrap().push(event.clone()));
    let report = worker.run(Duration::from_hours(1), &CancellationToken::new()).await?;
    let events = std::mem::take(&mut *events.lock().unwrap());
    Ok((report, events))
}

/// Ends the show if something is wrong.
pub fn expect(right: bool, what: impl FnOnce() -> String) -> Result<()> {
    if right { Ok(()) } else { Err(what().into()) }
}
