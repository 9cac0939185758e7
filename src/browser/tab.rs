//! One tab: navigates, waits until the page is quiet, captures, and is used again.

mod leave;
mod navigate;

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chromiumoxide::cdp::browser_protocol::audits;
use chromiumoxide::cdp::browser_protocol::emulation;
use chromiumoxide::cdp::browser_protocol::fetch;
use chromiumoxide::cdp::browser_protocol::inspector;
use chromiumoxide::cdp::browser_protocol::network;
use chromiumoxide::cdp::browser_protocol::page;
use chromiumoxide::cdp::browser_protocol::storage;
use chromiumoxide::cdp::browser_protocol::target;
use chromiumoxide::cdp::js_protocol::runtime;
use chromiumoxide::types::Method;
use futures::future::BoxFuture;
use phantom_checks::Probe;
use phantom_checks::evidence::ResourceKind;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::Notify;

use super::CALL;
use super::act::{Act, Exploration, Finds};
use super::capture::{Capture, Captured, ScriptCache};
use super::client::Client;
use super::connection::{CdpError, Connection, Events, Session};
use super::events::{FrameTreeAnswer, Navigated, Nothing, SessionAnswer, TargetAnswer};
use super::guard::{self, Child, Lasting, Rules, auto_attach, pause};
use super::recorder::{MayVisit, Reaction, Recorder};
use super::redact::{self, Redactor};
use super::state::SessionState;
use super::steps;
use super::view::View;
use crate::crawl::Guard;
use crate::site::Selector;
pub(super) use leave::Closed;

pub(super) const EARLY: &str = concat!(include_str!("early.js"), include_str!("marks.js"));
const CAPTURE: &str = include_str!("capture.js");
const WAITS: &str = include_str!("waits.js");

/// No event for this long after the page was loaded, and nothing in flight: it is quiet.
const QUIET: Duration = Duration::from_millis(40);
/// After the load event, a page is not waited for longer than this.
const SETTLE_BOUND: Duration = Duration::from_secs(3);
/// A page that is still loading but has shown no activity for this long is taken as it is.
const STALL: Duration = Duration::from_secs(6);
/// The same for a page whose own navigation was stopped.
const AFTER_STOP: Duration = Duration::from_secs(1);
/// How long it may take until events that came, or are about to, are recorded.
const ANSWER_BOUND: Duration = Duration::from_millis(500);

/// The script that is run in every frame of every page, with the probes of the checks in it.
#[derive(Debug, Clone)]
pub struct CaptureScript {
    pub(super) expression: Arc<str>,
    /// The same for what is new in a frame that is explored, without probes.
    pub(super) increment: Arc<str>,
    pub(super) versions: Arc<Vec<(&'static str, u32)>>,
}

/// Stands among the probes of checks for what shows whether one is logged in.
pub(super) const SESSION_PROBE: &str = "session";

impl CaptureScript {
    /// The script itself.
    pub fn expression(&self) -> &str {
        &self.expression
    }

    /// Puts the probes of these checks, by their ids, into the script.
    pub fn new(probes: &[(&'static str, Probe)]) -> Self {
        Self::with_login(probes, None, None)
    }

    /// The same, with what shows that one is logged in, and what that one is not.
    pub fn with_login(
        probes: &[(&'static str, Probe)],
        logged_in: Option<&Selector>,
        logged_out: Option<&Selector>,
    ) -> Self {
        let mut functions: Vec<String> = probes
            .iter()
            .map(|(id, probe)| format!("{id:?}: ({})", probe.source.trim()))
            .collect();
        if let Some(logged_in) = logged_in {
            let out = logged_out.map_or_else(|| "null".to_owned(), steps::there);
            let asked = steps::there(logged_in);
            functions.push(format!(
                "{SESSION_PROBE:?}: (() => window.top === window ? [{asked}, {out}] : null)"
            ));
        }
        Self {
            expression: format!("{}(null, {{{}}})", CAPTURE.trim_end(), functions.join(",\n")).into(),
            increment: format!("{}(window.__phantomExplore.take(), {{}})", CAPTURE.trim_end()).into(),
            versions: Arc::new(probes.iter().map(|(id, probe)| (*id, probe.version)).collect()),
        }
    }
}

/// Waits until a page may be navigated to; false if it may not any more.
pub type MayGo = Arc<dyn Fn() -> BoxFuture<'static, bool> + Send + Sync>;

/// A page to be rendered.
#[derive(Clone)]
pub struct PageRequest {
    /// Where to.
    pub url: String,
    /// Asked right before it is navigated to. The time that this takes is none of the page's.
    pub may_go: MayGo,
    /// All the time it may take.
    pub deadline: Duration,
    /// Asked with the URL of the navigation and of each redirect, before it leaves.
    pub may_visit: MayVisit,
    /// Asked about every request that could change something, whoever causes it.
    pub guard: Arc<Guard>,
    /// What is run in its frames.
    pub script: CaptureScript,
    /// Replaces secrets.
    pub redactor: Redactor,
    /// Script texts that are known from other pages of the scan.
    pub scripts: Arc<ScriptCache>,
    /// How far it is explored, if it is.
    pub explore: Option<Exploration>,
    /// Bodies are hashed, so that it can be told later whether they changed.
    pub marks: bool,
    /// Requests whose address has this in it are not made, but for the page itself.
    pub held_word: Option<String>,
}

/// What came of a navigation.
#[derive(Debug)]
pub enum Visit {
    /// A page, as far as it could be seen.
    Page(Box<Captured>),
    /// Not a page: a download, an answer without content.
    NotAPage {
        /// What it is instead, as a sentence.
        what: String,
    },
    /// A redirect leads out of the scope; it was not followed.
    LeftScope {
        /// Where to.
        to: String,
    },
    /// The browser broke the navigation off: it shows no such answers, or a renderer died at the wrong moment.
    BrokenOff {
        /// The status, if there was an answer.
        status: Option<u16>,
    },
    /// No answer that could be shown.
    Unreachable {
        /// The browser's error: `net::ERR_CONNECTION_REFUSED`.
        error: String,
    },
}

pub(super) struct Shared {
    recorder: Mutex<Recorder>,
    changed: Notify,
}

impl Shared {
    pub fn recorder(&self) -> MutexGuard<'_, Recorder> {
        self.recorder.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One tab of one browser, in the context of one scan.
pub(super) struct Tab {
    connection: Connection,
    pub(super) session: Session,
    target: String,
    pub(super) view: View,
    shared: Arc<Shared>,
    lasting: Lasting,
    holds_word: AtomicBool,
}

impl Tab {
    /// Opens a tab and listens to all that happens in it.
    pub async fn open(
        connection: &Connection,
        context: &str,
        session: &SessionState,
        rules: &Rules,
        lasting: &Lasting,
    ) -> Result<Self, CdpError> {
        let browser = connection.browser();
        let mut create = target::CreateTargetParams::new("about:blank");
        create.browser_context_id = Some(context.to_owned().into());
        let TargetAnswer { target_id } = browser.call(create, CALL).await?;
        let mut attach = target::AttachToTargetParams::new(target_id.clone());
        attach.flatten = Some(true);
        let SessionAnswer { session_id } = browser.call(attach, CALL).await?;
        let kept = session.script();
        let (session, events) = connection.open(&session_id);
        let tree: FrameTreeAnswer = session.call(page::GetFrameTreeParams::default(), CALL).await?;
        let nowhere: MayVisit = Arc::new(|_| false);
        let main_frame = tree.frame_tree.frame.id;
        let (id, now) = (Arc::clone(session.id()), Instant::now());
        let recorder = Recorder::new(id, main_frame, nowhere, Arc::clone(&rules.guard), now);
        let shared = Arc::new(Shared {
            recorder: Mutex::new(recorder),
            changed: Notify::new(),
        });
        tokio::spawn(pump(
            events,
            session.clone(),
            connection.clone(),
            Arc::clone(&shared),
            rules.clone(),
        ));
        let tab = Self {
            connection: connection.clone(),
            session,
            target: target_id,
            view: View::of(rules.client.device()),
            shared,
            lasting: lasting.clone(),
            holds_word: AtomicBool::new(false),
        };
        tab.enable(rules).await?;
        if let Some(script) = kept {
            let mut give = page::AddScriptToEvaluateOnNewDocumentParams::new(script);
            // Not in the page's world, which must not see what is not its own.
            give.world_name = Some("session".to_owned());
            tab.call(give).await?;
        }
        Ok(tab)
    }

    pub(super) fn recorder(&self) -> MutexGuard<'_, Recorder> {
        self.shared.recorder()
    }

    /// Begins steps that lead from page to page.
    pub(super) fn begin_walk(&self, may_visit: MayVisit, guard: Arc<Guard>) {
        self.shared.recorder().begin_walk(may_visit, guard, Instant::now());
    }

    /// Where a navigation wanted to that was stopped.
    pub(super) fn left_to(&self) -> Option<String> {
        self.shared.recorder().left_scope.clone()
    }

    /// Forgets what the scripts of an origin keep for good.
    pub(super) async fn forget_storage(&self, origin: &str) {
        let forget = storage::ClearDataForOriginParams::new(origin, "local_storage");
        // An origin that the browser does not know keeps nothing.
        let _ = self.call(forget).await;
    }

    /// Enables all that is listened to. Each answer is waited for: some come from the browser's process, some from the
    /// renderer's, and a renderer that has not got there yet would load its first page unheard.
    async fn enable(&self, rules: &Rules) -> Result<(), CdpError> {
        futures::try_join!(
            self.call(inspector::EnableParams::default()),
            self.call(page::EnableParams::default()),
            self.call(network::EnableParams::default()),
            self.call(audits::EnableParams::default()),
            self.call(runtime::EnableParams::default()),
            self.call(page::AddScriptToEvaluateOnNewDocumentParams::new(EARLY)),
            self.call(guard::held()),
            self.call(page::AddScriptToEvaluateOnNewDocumentParams::new(&*rules.hold)),
            self.call(auto_attach()),
            self.call(rules.client.pause(pause())),
            self.call(self.view.small()),
        )?;
        self.show_on(&rules.client).await
    }

    pub(super) fn session(&self) -> &Session {
        &self.session
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Waits until a page that is loaded once more is quiet. False if it is not in time.
    pub(super) async fn settle_again(&self, until: Instant) -> bool {
        matches!(self.settle(until).await, Ok(true))
    }

    /// Makes the tab the device that the site's file asks for.
    async fn show_on(&self, client: &Client) -> Result<(), CdpError> {
        if client.device().touch {
            self.call(emulation::SetTouchEmulationEnabledParams::new(true)).await?;
        }
        let own = client
            .device()
            .locale
            .as_ref()
            .map(|locale| emulation::SetLocaleOverrideParams {
                locale: Some(locale.clone()),
            });
        if let Some(told) = client.told() {
            self.call(told.user_agent.clone()).await?;
        }
        if let Some(locale) = own.or_else(|| client.told().map(|told| told.locale.clone())) {
            // The browser has one for all of a process, and refuses to be told twice.
            match self.call(locale).await {
                Err(CdpError::Refused { .. }) | Ok(_) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn call(&self, command: impl Method + Serialize) -> Result<Nothing, CdpError> {
        self.session.call(command, CALL).await
    }

    pub(super) fn main_frame(&self) -> String {
        self.shared.recorder().main_frame().to_owned()
    }

    /// Ends when the tab crashes or is closed.
    pub fn gone(&self) -> bool {
        self.session.gone().is_cancelled()
    }

    /// Renders a page. An error means that the tab is not to be used again.
    pub async fn visit(&self, request: &PageRequest) -> Result<Visit, CdpError> {
        let began = Instant::now();
        if request.url.contains('#') {
            // From another route of the same document it would be a step within the document, which loads nothing.
            self.leave(request).await?;
        }
        self.hold_word(request.held_word.as_deref()).await?;
        self.begin(request, began);
        let navigated: Navigated = self
            .session
            .call(page::NavigateParams::new(request.url.as_str()), request.deadline)
            .await?;
        if navigated.error_text.as_ref().is_some_and(|error| !error.is_empty()) {
            self.document_answered().await;
        }
        if self.gone() {
            return Err(CdpError::TabGone);
        }
        if let Some(instead) = self.not_shown(&navigated) {
            return Ok(instead);
        }
        let cut_short = !self.settle(began + request.deadline.mul_f32(0.7)).await?;
        let capture = Capture {
            session: &self.session,
            shared: &self.shared,
            request,
            until: began + request.deadline,
        };
        let waited_for = cut_short.then(|| self.waited_for()).flatten();
        let broken_off = self.recorder().broken_off(Instant::now());
        let (first, finds) = match &request.explore {
            Some(plan) => {
                let mut act = Act::new(self, &capture, plan);
                act.install().await;
                let first = capture.answers().await?;
                let left = (began + request.deadline).saturating_duration_since(Instant::now());
                let finds = act.run(&first, Instant::now() + left.mul_f32(plan.share)).await;
                (first, finds)
            }
            None => (capture.answers().await?, Finds::default()),
        };
        self.join_workers(request);
        let mut captured = capture.finish(first, finds).await?;
        captured.evidence.page.cut_short = cut_short;
        captured.evidence.page.waited_for = waited_for;
        captured.evidence.page.broken_off = broken_off;
        captured.evidence.page.took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(Visit::Page(Box::new(captured)))
    }

    fn begin(&self, request: &PageRequest, now: Instant) {
        let (may_visit, guard) = (Arc::clone(&request.may_visit), Arc::clone(&request.guard));
        self.shared.recorder().begin(may_visit, guard, now);
    }

    /// Workers that outlive their pages are seen apart from them: theirs is what they do. Not where the evidence is not
    /// kept, of errors and of what is loaded once more with a mark: no other page would have what these took.
    fn join_workers(&self, request: &PageRequest) {
        let mut recorder = self.shared.recorder();
        let mut requests = recorder.requests.iter();
        let document = requests.find(|request| request.kind == ResourceKind::Document);
        let is_error = document
            .and_then(|document| document.status)
            .is_some_and(|status| status >= 400);
        if is_error || request.held_word.is_some() {
            return;
        }
        let origins: Vec<String> = recorder.frames.values().map(|frame| frame.origin.clone()).collect();
        recorder.calls.join(self.lasting.take(&origins));
    }

    /// Waits until it is recorded what became of the document.
    async fn document_answered(&self) {
        self.until(|recorder| {
            let document = recorder.requests.first();
            document.is_some_and(|document| document.status.is_some() || document.failure.is_some())
        })
        .await;
    }

    /// Waits until all events that have come so far are recorded. The browser's answers overtake them: answers go
    /// straight to who asked, events pass through the recorder.
    pub(super) async fn caught_up(&self) {
        let before = self.shared.recorder().marks;
        self.connection.mark(self.session.id());
        self.until(|recorder| recorder.marks > before).await;
    }

    /// Waits for the recorder, for a short time: what does not come in it will not come.
    async fn until(&self, is: impl Fn(&Recorder) -> bool) {
        let wait = async {
            loop {
                let changed = self.shared.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if is(&self.shared.recorder()) {
                    return;
                }
                changed.await;
            }
        };
        let _ = tokio::time::timeout(ANSWER_BOUND, wait).await;
    }

    /// Waits until the page is quiet. False if a bound ended the wait before the page had loaded.
    pub(super) async fn settle(&self, until: Instant) -> Result<bool, CdpError> {
        let mut loaded_at = None;
        loop {
            let changed = self.shared.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let now = Instant::now();
            let wake = match self.waiting_for(now, until, &mut loaded_at) {
                Wait::Over { loaded } => return Ok(loaded),
                Wait::Until(wake) => wake,
                Wait::Timers { bound } => {
                    let due = self.timers_due().await.unwrap_or_default();
                    self.caught_up().await;
                    let quiet = self.shared.recorder().last_activity <= now;
                    match (due.is_zero(), quiet) {
                        (true, true) => return Ok(true),
                        (true, false) => continue,
                        (false, _) => (now + due + QUIET).min(bound),
                    }
                }
            };
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep_until(wake.into()) => {}
                () = self.session.gone().cancelled() => return Err(CdpError::TabGone),
            }
        }
    }

    /// What a page that does not load is waiting for, as far as the network knows.
    fn waited_for(&self) -> Option<String> {
        self.shared.recorder().oldest_in_flight().map(redact::url)
    }

    /// What the page is waited for now.
    fn waiting_for(&self, now: Instant, until: Instant, loaded_at: &mut Option<Instant>) -> Wait {
        let recorder = self.shared.recorder();
        if !recorder.loaded {
            let patience = if recorder.stopped { AFTER_STOP } else { STALL };
            let stalled = recorder.last_activity + patience;
            return if now >= until.min(stalled) {
                Wait::Over {
                    loaded: recorder.stopped,
                }
            } else {
                Wait::Until(stalled.min(until))
            };
        }
        let bound = (*loaded_at.get_or_insert(now) + SETTLE_BOUND).min(until);
        let quiet = recorder.last_activity + QUIET;
        match recorder.in_flight() {
            _ if now >= bound => Wait::Over { loaded: true },
            0 if now >= quiet => Wait::Timers { bound },
            0 => Wait::Until(quiet.min(bound)),
            _ => Wait::Until(bound),
        }
    }

    /// How long the page's own first timers will still take; `None` if the page does not say. Asks on the way whether it
    /// waits for its end.
    async fn timers_due(&self) -> Option<Duration> {
        let mut ask = runtime::EvaluateParams::new(WAITS.trim_end());
        ask.return_by_value = Some(true);
        ask.silent = Some(true);
        ask.include_command_line_api = Some(true);
        let answer: super::events::Evaluated = self.session.call(ask, Duration::from_secs(2)).await.ok()?;
        let value = answer.result.value?;
        self.recorder().awaits_its_end = value.get("end").and_then(Value::as_bool).unwrap_or(true);
        let due = value.get("due")?.as_f64()?;
        (due.is_finite() && due > 0.0).then(|| Duration::from_secs_f64((due / 1000.0).min(3.0)))
    }
}

/// What a page that settles is waited for.
enum Wait {
    Over {
        loaded: bool,
    },
    Until(Instant),
    /// Nothing moves; its timers may still.
    Timers {
        bound: Instant,
    },
}

async fn pump(mut events: Events, session: Session, connection: Connection, shared: Arc<Shared>, rules: Rules) {
    // Not even when a frame has crashed does this end: others are there, and what they ask for waits for us.
    while let Some(mut event) = events.next().await {
        let mut reactions = Vec::new();
        {
            let mut recorder = shared.recorder();
            let now = Instant::now();
            loop {
                if !rules.client.take(&event, &session) {
                    let reaction = recorder.take(&event, now);
                    reactions.extend(reaction.map(|reaction| (reaction, rules.client.headers(&event))));
                }
                match events.try_next() {
                    Some(next) => event = next,
                    None => break,
                }
            }
            if events.overflowed() {
                recorder.dropped += 1;
            }
        }
        for (reaction, headers) in reactions {
            react(reaction, headers, &session, &connection, &shared, &rules);
        }
        shared.changed.notify_waiters();
    }
    shared.changed.notify_waiters();
}

fn react(
    reaction: Reaction,
    headers: Option<Vec<fetch::HeaderEntry>>,
    session: &Session,
    connection: &Connection,
    shared: &Arc<Shared>,
    rules: &Rules,
) {
    match reaction {
        Reaction::SetUpChild { session: child, worker } => {
            let kind = if worker { Child::Worker } else { Child::Frame };
            let (at, rules, shared) = (session.child(&child), rules.clone(), Arc::clone(shared));
            tokio::spawn(async move {
                if !guard::set_up(at, kind, rules).await {
                    shared.recorder().unheard(&child);
                }
            });
        }
        Reaction::ClosePopup { target } => connection.browser().tell(&target::CloseTargetParams::new(target)),
        Reaction::AnswerDialog { accept } => session.tell(&page::HandleJavaScriptDialogParams::new(accept)),
        Reaction::Continue { session: at, paused } => {
            let mut go = fetch::ContinueRequestParams::new(paused);
            go.headers = headers;
            session.child(&at).tell(&go);
        }
        Reaction::Stop {
            session: at,
            paused,
            navigation,
        } => {
            guard::stop(&session.child(&at), paused, navigation);
        }
    }
}
