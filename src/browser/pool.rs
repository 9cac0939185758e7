//! The pool: browser processes that are replaced when they die, and slots through which workers render pages.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex as PlainMutex, MutexGuard, PoisonError};
use std::time::Duration;

use chromiumoxide::cdp::browser_protocol::storage;
use tokio::sync::{Mutex, RwLock};
use url::Url;

use super::capture::Captured;
use super::client::{Client, ClientRules, Told};
use super::connection::CdpError;
use super::events::CookiesAnswer;
use super::find::{find, usual_user_agent};
use super::guard::Rules;
use super::others::Others;
use super::picture::{Shot, Spot};
use super::process::{Launch, sweep_profiles};
use super::replay::{Replay, Replayed};
use super::running::Running;
use super::state::{OriginState, SessionState, StateCookie};
use super::steps::{Walk, Walked};
use super::tab::{Closed, PageRequest, Tab, Visit};
use super::{BrowserError, CALL};
use crate::config::BrowserConfig;
use crate::crawl::Guard;
use crate::site::Selector;

/// Pages after which a tab is replaced by a fresh one.
const RECYCLE: u32 = 50;
/// How often a browser is started in a row before the pool gives up.
const STARTS: u32 = 3;
/// How long is waited for a browser of others to be well, at the start of a scan and later.
const START_PATIENCE: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(20);

/// How long the pictures of one page may take.
const PICTURES: Duration = Duration::from_secs(5);

/// What a pool is made of.
#[derive(Clone)]
pub struct PoolOptions {
    /// Which browsers.
    pub config: BrowserConfig,
    /// The User-Agent template of the configuration; `{{ browser }}` stands for the browser's own.
    pub user_agent: String,
    /// The egress proxy of the scan.
    pub egress: SocketAddr,
    /// The company's own proxy, for browsers of others that do not speak through ours.
    pub upstream: Option<Url>,
    /// Tabs in all.
    pub tabs: usize,
    /// Who the browsers say they are.
    pub client: ClientRules,
    /// What all requests of the scan are asked.
    pub guard: Arc<Guard>,
}

/// Counters of a pool, for progress and remarks.
#[derive(Debug, Default)]
pub struct PoolStats {
    /// Browsers that died or were killed because they hung, and were replaced.
    pub restarts: AtomicU64,
    /// Tabs that crashed or hung.
    pub lost_tabs: AtomicU64,
}

/// The session that one browser of a scan has and the others are given: a login, what was begun on the start page.
#[derive(Debug, Default)]
struct Shared {
    state: Arc<SessionState>,
    /// Counted up when tabs must forget the session before.
    epoch: u64,
}

/// Why a page was not rendered. It is not the page's fault alone: it may be tried again.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// The renderer crashed, or the browser died, talked nonsense or had to be killed while it had the page.
    #[error("the browser died with it: {0}")]
    Died(String),
    /// The page did not come to an end in time.
    #[error("it did not finish within {0:?}")]
    Deadline(Duration),
    /// It was not its turn, and will not be soon.
    #[error("its host is left alone for now")]
    NotNow,
    /// There is no browser any more.
    #[error(transparent)]
    NoBrowser(#[from] BrowserError),
}

/// A few browsers with some tabs each, for one scan.
pub struct Pool {
    source: Source,
    version: String,
    user_agent: String,
    egress: SocketAddr,
    cells: Vec<Arc<Cell>>,
    /// What became of them.
    pub stats: Arc<PoolStats>,
    shared: PlainMutex<Shared>,
    rules: Rules,
}

/// The place of one browser, whichever process fills it at the moment.
struct Cell {
    current: Mutex<Option<Arc<Running>>>,
    /// Pages hold it for reading; a page that is to be alone holds it for writing.
    gate: Arc<RwLock<()>>,
}

/// Where browsers come from.
enum Source {
    Ours(Box<Launch>),
    Others(Others),
}

impl Pool {
    /// Finds the browser and starts the first process, or connects to one of others, so that what is wrong with it shows
    /// at once.
    pub async fn start(options: PoolOptions) -> Result<Self, BrowserError> {
        let device = options.client.device.clone();
        let template = device.user_agent.clone().unwrap_or(options.user_agent);
        let called = |version: &str| template.replace("{{ browser }}", &usual_user_agent(version));
        let processes = options.config.processes.clamp(1, options.tabs.max(1));
        let (source, version, cells) = if options.config.endpoints.is_empty() {
            sweep_profiles();
            let found = find(&options.config).await?;
            let version = found.version.clone();
            let launch = Launch {
                user_agent: called(&version),
                found,
                config: options.config,
                device: device.clone(),
                listen: None,
            };
            (Source::Ours(Box::new(launch)), version, processes)
        } else {
            let (others, version) = Others::find(options.config, options.upstream).await?;
            (Source::Others(others), version, options.tabs.max(1))
        };
        let user_agent = called(&version);
        // A browser of others was not started for us, and has to be told tab by tab.
        let told = matches!(source, Source::Others(_)).then(|| Told::new(&user_agent, &device));
        // Tabs of others' browsers are spread over all of them, whichever they are, and one that is alone is so in all.
        let gate = Arc::new(RwLock::new(()));
        let cell = |_| {
            let gate = if told.is_some() {
                Arc::clone(&gate)
            } else {
                Arc::default()
            };
            Arc::new(Cell {
                current: Mutex::new(None),
                gate,
            })
        };
        let pool = Self {
            cells: (0..cells).map(cell).collect(),
            source,
            version,
            user_agent,
            egress: options.egress,
            stats: Arc::default(),
            shared: PlainMutex::default(),
            rules: Rules::new(Client::new(options.client, told), options.guard),
        };
        if let Some(first) = pool.cells.first() {
            pool.running(first, START_PATIENCE).await?;
        }
        Ok(pool)
    }

    /// The version of the browser that is driven.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Which browser it is, for people.
    pub fn described(&self) -> String {
        match &self.source {
            Source::Ours(launch) => format!("{} {}", launch.found.path.display(), self.version),
            Source::Others(_) => format!("Chromium {} of browser.endpoints", self.version),
        }
    }

    /// The User-Agent of all requests.
    pub fn user_agent(&self) -> &str {
        &self.user_agent
    }

    /// What people should know of these browsers.
    pub fn warnings(&self) -> Vec<String> {
        match &self.source {
            Source::Ours(launch) if launch.config.sandbox && !launch.sandboxed() => vec![
                "Chromium's sandbox is off, because it cannot run as root; run as another user to have it".to_owned(),
            ],
            Source::Ours(_) => Vec::new(),
            Source::Others(others) => others.warnings(),
        }
    }

    /// Chromium's own sandbox is on. It cannot run as root.
    pub fn sandboxed(&self) -> bool {
        match &self.source {
            Source::Ours(launch) => launch.sandboxed(),
            Source::Others(others) => others.sandboxed(),
        }
    }

    /// The process ids of the browsers that run now.
    pub async fn pids(&self) -> Vec<u32> {
        let mut pids = Vec::new();
        for cell in &self.cells {
            pids.extend(cell.current.lock().await.as_ref().and_then(|running| running.pid));
        }
        pids
    }

    /// A slot for one worker; workers are spread over the browsers.
    pub fn slot(self: &Arc<Self>, worker: usize) -> Slot {
        let cell = Arc::clone(&self.cells[worker % self.cells.len()]);
        Slot {
            pool: Arc::clone(self),
            cell,
            open: None,
            pages: 0,
            epoch: 0,
        }
    }

    /// Takes the cookies of the browser that `slot` uses; every browser that is started from now on is given them.
    /// Called after the start page, so that all browsers of a scan share the session that it began.
    pub async fn share_cookies(&self, slot: &Slot) {
        if let Some(cookies) = slot.cookies().await {
            Arc::make_mut(&mut self.shared().state).cookies = cookies;
        }
    }

    /// Gives a session to all browsers, those that run and those to come, in place of what they have.
    pub async fn give_session(&self, state: SessionState) {
        let state = Arc::new(state);
        {
            let mut shared = self.shared();
            shared.state = Arc::clone(&state);
            shared.epoch += 1;
        }
        for cell in &self.cells {
            let running = cell.current.lock().await.clone();
            if let Some(running) = running.filter(|running| running.alive()) {
                running.take_over(&state).await;
            }
        }
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on servers are answered that ask by HTTP, or not: an answer that is wrong is not given twice.
    pub fn answer_servers(&self, answer: bool) {
        self.rules.client.answer(answer);
    }

    /// The session that all browsers share, and how often it was replaced.
    pub fn session(&self) -> (Arc<SessionState>, u64) {
        let shared = self.shared();
        (Arc::clone(&shared.state), shared.epoch)
    }

    /// Ends all browsers.
    pub async fn end(&self) {
        for cell in &self.cells {
            if let Some(running) = cell.current.lock().await.take() {
                running.end().await;
            }
        }
    }

    async fn running(&self, cell: &Cell, patience: Duration) -> Result<Arc<Running>, BrowserError> {
        let mut current = cell.current.lock().await;
        let died = if let Some(running) = current.as_ref() {
            if running.alive() {
                return Ok(Arc::clone(running));
            }
            running.end().await;
            *current = None;
            true
        } else {
            false
        };
        let (state, _) = self.session();
        let running = match &self.source {
            Source::Ours(launch) => self.start_one(launch, &state).await?,
            Source::Others(others) => others.join(self.egress, &self.rules, &state, patience).await?,
        };
        if died {
            self.stats.restarts.fetch_add(1, Ordering::Relaxed);
        }
        let running = Arc::new(running);
        *current = Some(Arc::clone(&running));
        Ok(running)
    }

    async fn start_one(&self, launch: &Launch, state: &SessionState) -> Result<Running, BrowserError> {
        let mut last = None;
        for _ in 0..STARTS {
            match Running::start(launch, self.egress, &self.rules, state).await {
                Ok(running) => return Ok(running),
                Err(error) => {
                    tracing::warn!(%error, "a browser did not start");
                    last = Some(error);
                }
            }
        }
        Err(last.unwrap_or(BrowserError::Prepare(CdpError::BrowserGone)))
    }
}

/// Through which one worker renders its pages. It keeps its tab from page to page.
pub struct Slot {
    pool: Arc<Pool>,
    cell: Arc<Cell>,
    open: Option<(Arc<Running>, Tab)>,
    pages: u32,
    /// Of the session that its tab has.
    epoch: u64,
}

impl Slot {
    /// Renders a page. With `alone`, no other page is open in this browser meanwhile.
    pub async fn render(&mut self, request: &PageRequest, alone: bool) -> Result<Visit, RenderError> {
        let cell = Arc::clone(&self.cell);
        let (_shared, _alone);
        if alone {
            _alone = cell.gate.write().await;
        } else {
            _shared = cell.gate.read().await;
        }
        let (running, tab) = self.ready().await?;
        if !(request.may_go)().await {
            self.open = Some((running, tab));
            return Err(RenderError::NotNow);
        }
        let visit = tokio::time::timeout(request.deadline, tab.visit(request)).await;
        match visit {
            Ok(Ok(visit)) => {
                self.pages += 1;
                self.open = Some((running, tab));
                if matches!(&visit, Visit::Page(captured) if captured.worn) {
                    self.close().await;
                }
                Ok(visit)
            }
            failed => {
                self.pool.stats.lost_tabs.fetch_add(1, Ordering::Relaxed);
                let died = tab.gone() || !running.alive();
                let closed = tab.close().await;
                if closed != Closed::Yes {
                    running.end().await;
                }
                Err(match failed {
                    _ if died => RenderError::Died("its renderer or browser ended".to_owned()),
                    _ if closed == Closed::BrowserHangs => RenderError::Died("its browser hung".to_owned()),
                    // A dying renderer's answers may come before the news of its death.
                    Ok(Err(error)) if !matches!(error, CdpError::Timeout { .. }) => {
                        RenderError::Died(error.to_string())
                    }
                    _ => RenderError::Deadline(request.deadline),
                })
            }
        }
    }

    /// Does steps, with no bound of time but theirs.
    pub async fn walk(&mut self, walk: &Walk) -> Result<Walked, RenderError> {
        let cell = Arc::clone(&self.cell);
        let _shared = cell.gate.read().await;
        let (running, tab) = self.ready().await?;
        let walked = tab.walk(walk).await;
        if tab.gone() || !running.alive() {
            return Err(RenderError::Died("its renderer or browser ended".to_owned()));
        }
        self.open = Some((running, tab));
        Ok(walked)
    }

    /// Sends a form in several ways; see [`Replay`]. The inner error is why nothing can be known.
    pub async fn replay(&mut self, replay: &Replay) -> Result<Result<Replayed, String>, RenderError> {
        let cell = Arc::clone(&self.cell);
        let _shared = cell.gate.read().await;
        let (running, tab) = self.ready().await?;
        let replayed = tab.replay(replay).await;
        if tab.gone() || !running.alive() {
            return Err(RenderError::Died("its renderer or browser ended".to_owned()));
        }
        self.open = Some((running, tab));
        Ok(replayed)
    }

    /// Goes to a page and looks whether it shows one thing or another; see [`Walk`] for the bounds. The inner error is
    /// why the page could not be asked.
    pub async fn shows(
        &mut self,
        url: &str,
        is: &Selector,
        is_not: Option<&Selector>,
        walk: &Walk,
    ) -> Result<Result<bool, String>, RenderError> {
        let cell = Arc::clone(&self.cell);
        let _shared = cell.gate.read().await;
        let (running, tab) = self.ready().await?;
        let shows = tab.shows(url, is, is_not, walk).await;
        if tab.gone() || !running.alive() {
            return Err(RenderError::Died("its renderer or browser ended".to_owned()));
        }
        self.open = Some((running, tab));
        Ok(shows)
    }

    /// The session as this slot's browser has it, with the storage of the page that is open.
    pub async fn session(&self) -> Option<SessionState> {
        let cookies = self.cookies().await?;
        let (_, tab) = self.open.as_ref()?;
        let origin = tab.storage().await;
        let kept = |origin: &OriginState| !origin.local_storage.is_empty() || !origin.session_storage.is_empty();
        Some(SessionState {
            cookies,
            origins: origin.into_iter().filter(kept).collect(),
        })
    }

    async fn cookies(&self) -> Option<Vec<StateCookie>> {
        let running = self.cell.current.lock().await.clone()?;
        let ask = storage::GetCookiesParams {
            browser_context_id: Some(running.context.clone().into()),
        };
        let answer: CookiesAnswer = running.connection.browser().call(ask, CALL).await.ok()?;
        Some(answer.cookies.into_iter().map(Into::into).collect())
    }

    /// Pictures of what stands on the page that was rendered last, which is left by that; `None` for what cannot be
    /// shown.
    pub async fn pictures(&mut self, request: &PageRequest, spots: &[Spot]) -> Vec<Option<Shot>> {
        let none = || spots.iter().map(|_| None).collect();
        let cell = Arc::clone(&self.cell);
        // A page that is to be alone is not kept waiting.
        let Ok(_shared) = cell.gate.try_read() else {
            return none();
        };
        let Some((running, tab)) = self.open.take() else {
            return none();
        };
        if let Ok(Ok(shots)) = tokio::time::timeout(PICTURES, tab.pictures(request, spots)).await {
            self.open = Some((running, tab));
            return shots;
        }
        if tab.close().await != Closed::Yes {
            running.end().await;
        }
        none()
    }

    /// Leaves the page that was rendered last. What it does when it is left is added to what was captured of it.
    pub async fn leave(&mut self, request: &PageRequest, captured: &mut Captured) {
        let left = match &self.open {
            Some((_, tab)) => tab.leave_captured(request, captured).await,
            None => true,
        };
        if !left {
            self.close().await;
        }
    }

    /// Closes the tab, if one is open.
    pub async fn close(&mut self) {
        self.pages = 0;
        if let Some((running, tab)) = self.open.take()
            && tab.close().await != Closed::Yes
        {
            running.end().await;
        }
    }

    async fn ready(&mut self) -> Result<(Arc<Running>, Tab), RenderError> {
        let (session, epoch) = self.pool.session();
        let stale = self.epoch != epoch;
        if stale || self.pages >= RECYCLE {
            self.close().await;
        }
        if let Some((running, tab)) = self.open.take()
            && running.alive()
        {
            if !tab.gone() {
                return Ok((running, tab));
            }
            // Its renderer crashed between two pages.
            if tab.close().await != Closed::Yes {
                running.end().await;
            }
        }
        self.pages = 0;
        let mut last = None;
        for _ in 0..STARTS {
            let running = self.pool.running(&self.cell, PATIENCE).await?;
            match Tab::open(
                &running.connection,
                &running.context,
                &session,
                &self.pool.rules,
                &running.lasting,
            )
            .await
            {
                Ok(tab) => {
                    if stale {
                        for origin in &session.origins {
                            tab.forget_storage(&origin.origin).await;
                        }
                    }
                    self.epoch = epoch;
                    return Ok((running, tab));
                }
                // A browser that cannot open a tab is of no use to anyone.
                Err(error) => {
                    running.end().await;
                    last = Some(error);
                }
            }
        }
        Err(RenderError::NoBrowser(BrowserError::Prepare(
            last.unwrap_or(CdpError::BrowserGone),
        )))
    }
}
