//! The pool: browser processes that are replaced when they die, and slots through which workers render pages.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex as PlainMutex, MutexGuard, PoisonError};
use std::time::Duration;

use chromiumoxide::cdp::browser_protocol::browser;
use chromiumoxide::cdp::browser_protocol::network;
use chromiumoxide::cdp::browser_protocol::storage;
use chromiumoxide::cdp::browser_protocol::target;
use tokio::sync::{Mutex, RwLock};
use tokio_util::sync::CancellationToken;

use super::capture::Captured;
use super::client::{Client, ClientRules};
use super::connection::{CdpError, Connection, Session};
use super::events::{ContextAnswer, CookiesAnswer, Nothing};
use super::find::{Found, find};
use super::guard::{self, Lasting, Rules};
use super::picture::{Shot, Spot};
use super::process::{Launch, Process, sweep_profiles};
use super::replay::{Replay, Replayed};
use super::state::{OriginState, SessionState, StateCookie};
use super::steps::{Walk, Walked};
use super::tab::{Closed, PageRequest, Tab, Visit};
use super::{BrowserError, CALL, FIRST_CALL};
use crate::config::BrowserConfig;
use crate::crawl::Guard;
use crate::site::Selector;

/// Pages after which a tab is replaced by a fresh one.
const RECYCLE: u32 = 50;
/// How often a browser is started in a row before the pool gives up.
const STARTS: u32 = 3;

/// How long the pictures of one page may take.
const PICTURES: Duration = Duration::from_secs(5);

/// What a pool is made of.
#[derive(Clone)]
pub struct PoolOptions {
    /// The local browsers.
    pub config: BrowserConfig,
    /// The User-Agent template of the configuration; `{{ browser }}` stands for the browser's own.
    pub user_agent: String,
    /// The egress proxy of the scan.
    pub egress: SocketAddr,
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
    launch: Launch,
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
    gate: RwLock<()>,
}

struct Running {
    process: PlainMutex<Option<Process>>,
    pid: Option<u32>,
    connection: Connection,
    context: String,
    lasting: Lasting,
    condemned: CancellationToken,
}

impl Running {
    fn alive(&self) -> bool {
        !self.connection.closed().is_cancelled() && !self.condemned.is_cancelled()
    }

    /// Takes a session over, in place of the one before.
    async fn take_over(&self, state: &SessionState) {
        let browser = self.connection.browser();
        let forget = storage::ClearCookiesParams {
            browser_context_id: Some(self.context.clone().into()),
        };
        let forgotten: Result<Nothing, _> = browser.call(forget, CALL).await;
        let given = give_cookies(&browser, &self.context, state).await;
        if let Err(error) = forgotten.map(|_| ()).and(given) {
            // It starts afresh, with the session.
            tracing::debug!(%error, "a browser does not take a session over");
            self.condemned.cancel();
        }
    }

    async fn end(&self) {
        self.condemned.cancel();
        let process = self.process.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(process) = process {
            process.end().await;
        }
    }
}

impl Pool {
    /// Finds the browser and starts the first process, so that what is wrong with it shows at once.
    pub async fn start(options: PoolOptions) -> Result<Self, BrowserError> {
        sweep_profiles();
        let found = find(&options.config).await?;
        let device = options.client.device.clone();
        let user_agent = device.user_agent.as_ref().unwrap_or(&options.user_agent);
        let user_agent = user_agent.replace("{{ browser }}", &found.user_agent());
        let processes = options.config.processes.clamp(1, options.tabs.max(1));
        let launch = Launch {
            found,
            config: options.config,
            user_agent,
            device,
        };
        let pool = Self {
            launch,
            egress: options.egress,
            cells: (0..processes)
                .map(|_| {
                    Arc::new(Cell {
                        current: Mutex::new(None),
                        gate: RwLock::new(()),
                    })
                })
                .collect(),
            stats: Arc::default(),
            shared: PlainMutex::default(),
            rules: Rules::new(Client::new(options.client), options.guard),
        };
        if let Some(first) = pool.cells.first() {
            pool.running(first).await?;
        }
        Ok(pool)
    }

    /// The browser that is driven.
    pub fn browser(&self) -> &Found {
        &self.launch.found
    }

    /// The User-Agent of all requests.
    pub fn user_agent(&self) -> &str {
        &self.launch.user_agent
    }

    /// Chromium's own sandbox is on. It cannot run as root.
    pub fn sandboxed(&self) -> bool {
        self.launch.sandboxed()
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

    async fn running(&self, cell: &Cell) -> Result<Arc<Running>, BrowserError> {
        let mut current = cell.current.lock().await;
        if let Some(running) = current.as_ref() {
            if running.alive() {
                return Ok(Arc::clone(running));
            }
            self.stats.restarts.fetch_add(1, Ordering::Relaxed);
            running.end().await;
            *current = None;
        }
        let mut last = None;
        for _ in 0..STARTS {
            match self.start_one().await {
                Ok(running) => {
                    let running = Arc::new(running);
                    *current = Some(Arc::clone(&running));
                    return Ok(running);
                }
                Err(error) => {
                    tracing::warn!(%error, "a browser did not start");
                    last = Some(error);
                }
            }
        }
        Err(last.unwrap_or(BrowserError::Prepare(CdpError::BrowserGone)))
    }

    async fn start_one(&self) -> Result<Running, BrowserError> {
        let process = Process::start(&self.launch)?;
        let connection = process.connection.clone();
        match self.prepare(&connection).await {
            Ok((context, lasting)) => Ok(Running {
                pid: process.id(),
                process: PlainMutex::new(Some(process)),
                connection,
                context,
                lasting,
                condemned: CancellationToken::new(),
            }),
            Err(error) => {
                let words = process.last_words();
                let path = self.launch.found.path.clone();
                process.end().await;
                if words.is_empty() {
                    return Err(error.into());
                }
                Err(BrowserError::Launch {
                    path,
                    why: explain(&words),
                })
            }
        }
    }

    async fn prepare(&self, connection: &Connection) -> Result<(String, Lasting), CdpError> {
        let lasting = guard::watch_workers(connection, &self.rules).await?;
        let browser = connection.browser();
        let create = target::CreateBrowserContextParams {
            dispose_on_detach: Some(true),
            proxy_server: Some(format!("http://{}", self.egress)),
            proxy_bypass_list: Some("<-loopback>".to_owned()),
            ..Default::default()
        };
        let ContextAnswer { browser_context_id } = browser.call(create, FIRST_CALL).await?;
        let mut downloads = browser::SetDownloadBehaviorParams::new(browser::SetDownloadBehaviorBehavior::Deny);
        downloads.browser_context_id = Some(browser_context_id.clone().into());
        browser.call::<Nothing>(downloads, CALL).await?;
        let (state, _) = self.session();
        give_cookies(&browser, &browser_context_id, &state).await?;
        Ok((browser_context_id, lasting))
    }
}

fn explain(words: &str) -> String {
    if words.contains("No usable sandbox") {
        return "its sandbox cannot run here; allow unprivileged user namespaces, or set browser.sandbox = false in \
                phantom.toml"
            .to_owned();
    }
    words
        .lines()
        .rev()
        .take(3)
        .collect::<Vec<_>>()
        .into_iter()
        .rev()
        .collect::<Vec<_>>()
        .join("; ")
}

/// Gives a context its cookies; those that the browser does not take are left out.
async fn give_cookies(browser: &Session, context: &str, state: &SessionState) -> Result<(), CdpError> {
    let give = async |cookies: Vec<network::CookieParam>| {
        let mut give = storage::SetCookiesParams::new(cookies);
        give.browser_context_id = Some(context.to_owned().into());
        browser.call::<Nothing>(give, CALL).await
    };
    if state.cookies.is_empty() {
        return Ok(());
    }
    match give(state.cookies.iter().map(Into::into).collect()).await {
        Err(CdpError::Refused { .. }) => {
            for cookie in &state.cookies {
                if let Err(CdpError::Refused { .. }) = give(vec![cookie.into()]).await {
                    tracing::warn!(cookie = %cookie.name, domain = %cookie.domain, "the browser does not take a cookie");
                }
            }
            Ok(())
        }
        given => given.map(|_| ()),
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
            let running = self.pool.running(&self.cell).await?;
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
