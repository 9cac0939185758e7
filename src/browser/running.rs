//! A browser that runs, with the context of one scan in it; ours, or somebody else's.

use std::net::SocketAddr;
use std::sync::{Mutex as PlainMutex, PoisonError};
use std::time::{Duration, Instant};

use chromiumoxide::cdp::browser_protocol::browser;
use chromiumoxide::cdp::browser_protocol::network;
use chromiumoxide::cdp::browser_protocol::page;
use chromiumoxide::cdp::browser_protocol::storage;
use chromiumoxide::cdp::browser_protocol::target;
use chromiumoxide::cdp::js_protocol::runtime;
use tokio_util::sync::CancellationToken;

use super::connection::{CdpError, Connection, Session};
use super::endpoints::Seat;
use super::events::{ContextAnswer, Evaluated, Navigated, Nothing, SessionAnswer, TargetAnswer, TargetsAnswer};
use super::guard::{self, Lasting, Rules};
use super::process::{Launch, Process};
use super::remote::{Reached, Unfit};
use super::state::SessionState;
use super::{BrowserError, CALL, FIRST_CALL};
use crate::egress::HELLO;

/// How long a browser may take until it shows what our proxy says.
const HELLO_BOUND: Duration = Duration::from_secs(5);
/// A page that was made to crash is gone this much later.
const CRASHING: Duration = Duration::from_millis(100);

/// One browser, as one of its connections sees it.
pub(super) struct Running {
    whose: Whose,
    pub pid: Option<u32>,
    pub connection: Connection,
    pub context: String,
    pub lasting: Lasting,
    condemned: CancellationToken,
}

enum Whose {
    Ours(PlainMutex<Option<Box<Process>>>),
    Others(Seat),
}

/// Where the pages of a context speak to.
enum Way {
    /// Our own proxy.
    Egress(SocketAddr),
    /// Their own way, through this proxy if there is one.
    Direct(Option<String>),
}

impl Running {
    /// Starts a browser of our own.
    pub async fn start(
        launch: &Launch,
        egress: SocketAddr,
        rules: &Rules,
        state: &SessionState,
    ) -> Result<Self, BrowserError> {
        let process = Process::start(launch)?;
        let connection = process.connection.clone();
        match prepare(&connection, Way::Egress(egress), rules, state).await {
            Ok((context, lasting)) => Ok(Self {
                pid: process.id(),
                whose: Whose::Ours(PlainMutex::new(Some(Box::new(process)))),
                connection,
                context,
                lasting,
                condemned: CancellationToken::new(),
            }),
            Err(error) => {
                let words = process.last_words();
                let path = launch.found.path.clone();
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

    /// Makes a context in a browser of others. If its pages are to speak through our proxy, it is asked to.
    pub async fn join(
        reached: Reached,
        seat: Seat,
        ways: (SocketAddr, Option<&str>),
        rules: &Rules,
        state: &SessionState,
    ) -> Result<Self, (Seat, Unfit)> {
        let connection = reached.connection;
        let (egress, upstream) = ways;
        let direct = seat.endpoint().direct;
        let way = match (direct, upstream) {
            (false, _) => Way::Egress(egress),
            (true, Some(proxy)) => Way::Direct(Some(proxy.to_owned())),
            (true, None) => Way::Direct(reached.leads_nowhere.then(|| "direct://".to_owned())),
        };
        let prepared = async {
            let (context, lasting) = prepare(&connection, way, rules, state).await?;
            if !direct {
                says_hello(&connection, &context, egress).await?;
            }
            Ok((context, lasting))
        };
        match prepared.await {
            Ok((context, lasting)) => Ok(Self {
                whose: Whose::Others(seat),
                pid: None,
                connection,
                context,
                lasting,
                condemned: CancellationToken::new(),
            }),
            Err(unfit) => {
                connection.close();
                Err((seat, unfit))
            }
        }
    }

    pub fn alive(&self) -> bool {
        !self.connection.closed().is_cancelled() && !self.condemned.is_cancelled()
    }

    /// Whoever else needs a browser may be led to the one that this is in.
    pub fn is_well(&self) {
        if let Whose::Others(seat) = &self.whose {
            seat.is_well();
        }
    }

    /// Nobody may use it any more.
    pub fn condemn(&self) {
        self.condemned.cancel();
    }

    /// Takes a session over, in place of the one before.
    pub async fn take_over(&self, state: &SessionState) {
        let browser = self.connection.browser();
        let forget = storage::ClearCookiesParams {
            browser_context_id: Some(self.context.clone().into()),
        };
        let forgotten: Result<Nothing, _> = browser.call(forget, CALL).await;
        let given = give_cookies(&browser, &self.context, state).await;
        if let Err(error) = forgotten.map(|_| ()).and(given) {
            // It starts afresh, with the session.
            tracing::debug!(%error, "a browser does not take a session over");
            self.condemn();
        }
    }

    /// Ends a browser of ours; in one of others, what was ours.
    pub async fn end(&self) {
        let died = self.connection.closed().is_cancelled() && !self.condemned.is_cancelled();
        self.condemn();
        match &self.whose {
            Whose::Ours(process) => {
                let process = process.lock().unwrap_or_else(PoisonError::into_inner).take();
                if let Some(process) = process {
                    process.end().await;
                }
            }
            Whose::Others(seat) if died => seat.failed(&Unfit::Call(CdpError::BrowserGone)),
            Whose::Others(_) => {
                if let Err(error) = give_up(&self.connection, &self.context).await {
                    // It does so by itself when the connection ends.
                    tracing::debug!(%error, "a remote browser does not end a context");
                }
                self.connection.close();
            }
        }
    }
}

impl Drop for Running {
    /// A browser of others ends a context with the connection that made it.
    fn drop(&mut self) {
        self.connection.close();
    }
}

async fn prepare(
    connection: &Connection,
    way: Way,
    rules: &Rules,
    state: &SessionState,
) -> Result<(String, Lasting), CdpError> {
    let browser = connection.browser();
    let mut create = target::CreateBrowserContextParams {
        dispose_on_detach: Some(true),
        ..Default::default()
    };
    match way {
        Way::Egress(egress) => {
            create.proxy_server = Some(format!("http://{egress}"));
            create.proxy_bypass_list = Some("<-loopback>".to_owned());
        }
        Way::Direct(proxy) => create.proxy_server = proxy,
    }
    let ContextAnswer { browser_context_id } = browser.call(create, FIRST_CALL).await?;
    let lasting = guard::watch_workers(connection, &browser_context_id, rules).await?;
    let mut downloads = browser::SetDownloadBehaviorParams::new(browser::SetDownloadBehaviorBehavior::Deny);
    downloads.browser_context_id = Some(browser_context_id.clone().into());
    browser.call::<Nothing>(downloads, CALL).await?;
    give_cookies(&browser, &browser_context_id, state).await?;
    Ok((browser_context_id, lasting))
}

/// Has a browser show what only our proxy says: then its pages reach it.
async fn says_hello(connection: &Connection, context: &str, egress: SocketAddr) -> Result<(), Unfit> {
    let browser = connection.browser();
    let mut create = target::CreateTargetParams::new("about:blank");
    create.browser_context_id = Some(context.to_owned().into());
    let TargetAnswer { target_id } = browser.call(create, CALL).await?;
    let mut attach = target::AttachToTargetParams::new(target_id.clone());
    attach.flatten = Some(true);
    let SessionAnswer { session_id } = browser.call(attach, CALL).await?;
    let tab = browser.child(&session_id);
    let went: Navigated = tab
        .call(page::NavigateParams::new(format!("http://{HELLO}/")), CALL)
        .await?;
    let until = Instant::now() + HELLO_BOUND;
    let mut heard = false;
    while went.error_text.is_none() && !heard && Instant::now() < until {
        let mut ask = runtime::EvaluateParams::new("document.documentElement.textContent");
        ask.return_by_value = Some(true);
        // It may be between two documents.
        let answer: Result<Evaluated, _> = tab.call(ask, CALL).await;
        let text = answer.ok().and_then(|answer| answer.result.value);
        heard = text.is_some_and(|text| text.as_str().is_some_and(|text| text.trim() == egress.to_string()));
        if !heard {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    browser
        .call::<Nothing>(target::CloseTargetParams::new(target_id), CALL)
        .await?;
    if heard { Ok(()) } else { Err(Unfit::Elsewhere) }
}

/// Ends our context in a browser of others. A page that is still open is not left to say its last words: it crashes,
/// which a page that hangs does, too.
async fn give_up(connection: &Connection, context: &str) -> Result<(), CdpError> {
    let browser = connection.browser();
    let TargetsAnswer { target_infos } = browser.call(target::GetTargetsParams::default(), CALL).await?;
    let ours = target_infos
        .into_iter()
        .filter(|one| one.browser_context_id == context && one.r#type == "page");
    let mut open = false;
    for tab in ours {
        open = true;
        let mut attach = target::AttachToTargetParams::new(tab.target_id);
        attach.flatten = Some(true);
        if let Ok(SessionAnswer { session_id }) = browser.call(attach, CALL).await {
            browser.child(&session_id).tell(&page::CrashParams::default());
        }
    }
    if open {
        tokio::time::sleep(CRASHING).await;
    }
    let dispose = target::DisposeBrowserContextParams::new(context.to_owned());
    browser.call::<Nothing>(dispose, CALL).await.map(|_| ())
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
