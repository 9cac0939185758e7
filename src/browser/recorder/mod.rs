//! What one page did, recorded from the browser's events. Pure: events in, a record and reactions out.
//!
//! A tab is used for many pages, so the recorder must know which events belong to the page at hand: it starts to listen
//! when the main document's request is sent, and forgets issues of the page before when the document is committed.

mod calls;
mod cookies;
mod frames;
mod sockets;
#[cfg(test)]
mod tests;
mod words;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use phantom_checks::evidence::{Failure, Hop, Issue, LinkSource, MixedContentType, Request, ResourceKind};

use super::connection::{Event, MARK};
use super::events::{
    BindingCalled, DialogOpening, FrameNavigated, IssueAdded, LoadingFailed, LoadingFinished, NavigatedWithinDocument,
    NavigationRequested, RequestPaused, RequestServedFromCache, RequestWillBeSent, ResponseData, ResponseExtra,
    ResponseReceived, WindowOpen,
};
use super::guard::HELD;
use crate::crawl::{Guard, Stopped, is_safe};
pub(super) use calls::{Call, Calls, asked};
use words::{
    bounded, csp_issue, headers, initiator, mixed, mixed_content_issue, no_page, resource_kind, sharing_headers,
};

/// Requests kept of one page; the rest is counted as a gap.
const MAX_REQUESTS: usize = 3_000;
/// A document that has come for this long and has not ended is not one that has only just begun.
const LONGEST_DOCUMENT: Duration = Duration::from_secs(1);
/// Issues kept of one page.
const MAX_ISSUES: usize = 500;
/// Frames kept of one page.
const MAX_FRAMES: usize = 2_000;

/// Ways on that the page tried, kept of one page.
const MAX_TRIED: usize = 500;

/// What the tab has to do about an event.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reaction {
    /// A frame of another site or a worker was attached and waits: enable what it can, then let it run.
    SetUpChild { session: String, worker: bool },
    /// The page opened a window: it is noted as a link and closed.
    ClosePopup { target: String },
    /// A dialog holds up the page.
    AnswerDialog { accept: bool },
    /// A request waits; let it go.
    Continue { session: Arc<str>, paused: String },
    /// A request waits; stop it. A navigation is broken off, so that no page of the browser's own comes instead.
    Stop {
        session: Arc<str>,
        paused: String,
        navigation: bool,
    },
}

/// A frame as the browser's events describe it.
#[derive(Debug, Clone, Default)]
pub(super) struct FrameRecord {
    pub parent: Option<String>,
    pub url: String,
    pub origin: String,
    /// The session that can look into it.
    pub session: Arc<str>,
    /// The main world's execution context there.
    pub context: Option<i64>,
    /// Of its document.
    pub loader: String,
}

/// What is asked of a navigation before it leaves.
pub(super) type MayVisit = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// What one page did.
// What is known of a page are facts, not states of a machine.
#[allow(clippy::struct_excessive_bools)]
pub(super) struct Recorder {
    main_session: Arc<str>,
    main_frame: String,
    may_visit: MayVisit,
    /// Steps lead from page to page: navigations of the page are asked about, not stopped.
    walking: bool,
    guard: Arc<Guard>,
    navigation: Navigation,
    /// Of the documents of the page before.
    old_loaders: HashSet<String>,
    loader: String,
    pub requests: Vec<Request>,
    index: HashMap<String, usize>,
    sessions_of: HashMap<usize, Arc<str>>,
    open: HashSet<String>,
    /// Event streams that have begun and have not said anything yet.
    silent: HashSet<String>,
    issues: HashSet<Issue>,
    pub issue_list: Vec<Issue>,
    pub frames: HashMap<String, FrameRecord>,
    workers: HashMap<String, String>,
    /// What it spoke to, or tried to.
    pub calls: Calls,
    before: cookies::Before,
    /// Ways on that the page tried by itself.
    pub tried: Vec<(String, LinkSource)>,
    /// Where a redirect wanted to leave the scope to.
    pub left_scope: Option<String>,
    /// The scheme of a redirect of the main document that leads to no page: the browser does not follow it.
    pub led_nowhere: Option<String>,
    /// Since when the page has been about to ask for another document; it has not done so yet.
    pub about_to_navigate: Option<Instant>,
    /// The URL that the page may be loaded from once more.
    again: Option<String>,
    /// The page may send a form and be replaced by the answer, if the guard lets it.
    pub may_submit: bool,
    /// It has sent one, whose answer is not there yet.
    submitted: bool,
    /// One has come in the place of the page.
    pub replaced: bool,
    pub dom_ready: bool,
    pub loaded: bool,
    /// When the document that is there now began to come.
    pub(super) committed_at: Option<Instant>,
    /// A navigation that the page tried was stopped. The browser may then never say that the page has loaded.
    pub stopped: bool,
    /// It has scripts that wait for the page to be left, as far as is known.
    pub awaits_its_end: bool,
    pub last_activity: Instant,
    /// Marks that came by: what came before them is recorded.
    pub marks: u64,
    /// Requests and frames beyond the bounds, and overflows of events.
    pub dropped: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Navigation {
    /// The page before is still there; nothing of it is of interest.
    Before,
    /// The main document was asked for.
    Sent,
    /// The main document is there.
    Committed,
}

impl Recorder {
    /// A recorder for the page that `main_frame` will be navigated to.
    pub fn new(
        main_session: Arc<str>,
        main_frame: String,
        may_visit: MayVisit,
        guard: Arc<Guard>,
        now: Instant,
    ) -> Self {
        Self {
            main_session,
            main_frame,
            may_visit,
            walking: false,
            guard,
            navigation: Navigation::Before,
            old_loaders: HashSet::new(),
            loader: String::new(),
            requests: Vec::new(),
            index: HashMap::new(),
            sessions_of: HashMap::new(),
            open: HashSet::new(),
            silent: HashSet::new(),
            issues: HashSet::new(),
            issue_list: Vec::new(),
            frames: HashMap::new(),
            workers: HashMap::new(),
            calls: Calls::default(),
            before: cookies::Before::default(),
            tried: Vec::new(),
            left_scope: None,
            led_nowhere: None,
            about_to_navigate: None,
            again: None,
            may_submit: false,
            submitted: false,
            replaced: false,
            dom_ready: false,
            loaded: false,
            committed_at: None,
            stopped: false,
            awaits_its_end: true,
            last_activity: now,
            marks: 0,
            dropped: 0,
        }
    }

    /// Begins the next page in the same tab. What the browser holds on to (frames with their contexts) stays until the
    /// new document is committed.
    pub fn begin(&mut self, may_visit: MayVisit, guard: Arc<Guard>, now: Instant) {
        let (session, frame) = (Arc::clone(&self.main_session), self.main_frame.clone());
        let next = Self::new(session, frame, may_visit, guard, now);
        let old = std::mem::replace(self, next);
        if !old.committed() {
            self.old_loaders = old.old_loaders;
        }
        self.old_loaders.insert(old.loader);
        let loaders = old.frames.values().map(|frame| frame.loader.clone());
        self.old_loaders.extend(loaders);
        self.old_loaders.remove("");
        self.frames = old.frames;
        self.workers = old.workers;
        self.marks = old.marks;
    }

    /// Begins steps in the same tab, which lead from page to page.
    pub fn begin_walk(&mut self, may_visit: MayVisit, guard: Arc<Guard>, now: Instant) {
        self.begin(may_visit, guard, now);
        self.walking = true;
    }

    /// Ends them: what was let through for their sake is stopped again.
    pub fn end_walk(&mut self) {
        self.guard = Arc::default();
    }

    /// Lets the page at this URL be loaded once more, in the state of which more was seen already.
    pub fn again(&mut self, url: &str) {
        self.again = Some(without_fragment(url).to_owned());
        self.loaded = false;
        self.stopped = false;
        self.open.clear();
        self.silent.clear();
    }

    /// The id of the main frame.
    pub fn main_frame(&self) -> &str {
        &self.main_frame
    }

    /// The names of the cookies that the browser held for the page before any script of it ran.
    pub fn cookies_before(&self) -> Vec<String> {
        self.before.names()
    }

    /// The document was committed.
    pub fn committed(&self) -> bool {
        self.navigation == Navigation::Committed
    }

    /// Forgets calls that were made while the page came and are none of its requests: they were the last of the page
    /// before, of which the network may have said so, before they waited for us or after, or whose process has ended.
    pub fn forget_last_words(&mut self) {
        let (requests, all_known) = (&self.index, self.requests.len() < MAX_REQUESTS);
        let of_page = |id: &String| requests.contains_key(id) || !all_known;
        self.calls
            .all
            .retain(|call| call.sure || call.request.as_ref().is_none_or(of_page));
    }

    /// Whether what the page does when it is left would be lost among what the next one does. What it asks for by itself
    /// is told apart by its document; that of others is not.
    pub fn has_last_words(&self) -> bool {
        let sockets = || self.calls.all.iter().any(|call| call.kind == ResourceKind::WebSocket);
        let apart = |frame: &FrameRecord| *frame.session != *self.main_session;
        self.committed()
            && (self.awaits_its_end || !self.workers.is_empty() || self.frames.values().any(apart) || sockets())
    }

    /// Whether a request that was made after the first `requests` ones has no answer yet.
    pub fn unanswered_since(&self, requests: usize) -> bool {
        self.requests.iter().skip(requests).any(|request| {
            let silent = request.status.is_none() || self.silent.contains(&request.id);
            silent && request.failure.is_none() && request.kind != ResourceKind::Ping
        })
    }

    /// Requests whose answer has not wholly arrived. Of an event stream, its beginning is enough.
    pub fn in_flight(&self) -> usize {
        self.open.len()
    }

    /// The URL of the oldest request whose answer has not wholly arrived.
    pub fn oldest_in_flight(&self) -> Option<&str> {
        let open = self.requests.iter().find(|request| self.open.contains(&request.id))?;
        Some(&open.url)
    }

    /// How the main document ended before it was whole, or that it has not ended; `None` if it is whole. Nothing is wrong
    /// with one whose page broke it off by itself, or that has only just begun.
    pub fn broken_off(&self, now: Instant) -> Option<String> {
        let loader = &self.frames.get(&self.main_frame)?.loader;
        let document = self.requests.get(*self.index.get(loader)?)?;
        if self.open.contains(&document.id) {
            let began = self.committed_at?;
            let late = !self.stopped && now.duration_since(began) >= LONGEST_DOCUMENT;
            return late.then(|| "the document never ended".to_owned());
        }
        let failure = document.failure.as_ref()?;
        let by_page = failure.canceled || failure.error == "net::ERR_ABORTED";
        (!by_page).then(|| format!("the document broke off ({})", failure.error))
    }

    /// The session that can give the body of a request.
    pub fn session_of(&self, request: usize) -> Option<&Arc<str>> {
        self.sessions_of.get(&request)
    }

    /// Takes one event in.
    pub fn take(&mut self, event: &Event, now: Instant) -> Option<Reaction> {
        match event.method.as_str() {
            "Network.requestWillBeSent" => self.request_sent(&event.read()?, &event.session, now),
            "Network.responseReceived" => self.response(&event.read()?, now),
            // Of all other answers it says nothing that is needed, and there are many.
            "Network.responseReceivedExtraInfo" if self.navigation != Navigation::Before && !self.before.whole => {
                self.answered_raw(&event.read()?);
            }
            "Network.requestServedFromCache" => self.served_from_cache(&event.read()?),
            "Network.loadingFinished" => self.finished(&event.read::<LoadingFinished>()?.request_id, now),
            "Network.eventSourceMessageReceived" => self.said(&event.read::<LoadingFinished>()?.request_id, now),
            "Network.loadingFailed" => self.failed(event.read()?, now),
            "Network.webSocketCreated" => self.web_socket(event.read()?, &event.session, now),
            "Network.webSocketHandshakeResponseReceived" => self.handshake(&event.read()?),
            "Network.webSocketClosed" => self.web_socket_closed(&event.read()?),
            "Audits.issueAdded" => self.issue(event.read()?, &event.session, now),
            "Page.frameNavigated" => self.frame_navigated(event.read::<FrameNavigated>()?.frame, &event.session, now),
            "Page.frameAttached" => self.frame_attached(event.read()?, &event.session),
            "Page.frameDetached" => self.frame_detached(&event.read()?),
            "Page.navigatedWithinDocument" => self.within_document(event.read()?),
            "Page.frameRequestedNavigation" => self.navigation_requested(&event.read()?, now),
            "Page.windowOpen" => self.tried(&event.read::<WindowOpen>()?.url, LinkSource::Popup),
            "Page.domContentEventFired" if self.is_main(&event.session) => self.dom_ready = true,
            "Page.loadEventFired" if self.is_main(&event.session) => self.loaded = true,
            "Page.javascriptDialogOpening" => {
                return Some(Reaction::AnswerDialog {
                    accept: event.read::<DialogOpening>()?.r#type == "beforeunload",
                });
            }
            "Runtime.executionContextCreated" => self.context_created(event.read()?, &event.session),
            "Runtime.executionContextDestroyed" => self.context_destroyed(&event.read()?, &event.session),
            "Runtime.executionContextsCleared" => self.contexts_cleared(&event.session),
            "Runtime.bindingCalled" => self.held(&event.read()?, &event.session),
            "Target.attachedToTarget" => return Some(self.attached(event.read()?)),
            "Target.detachedFromTarget" => self.detached(&event.read()?),
            "Fetch.requestPaused" => return Some(self.paused(event.read()?, &event.session)),
            MARK => self.marks += 1,
            _ => {}
        }
        None
    }

    fn request_sent(&mut self, sent: &RequestWillBeSent, session: &Arc<str>, now: Instant) {
        let main_document = sent.r#type == "Document" && sent.frame_id.as_deref() == Some(&self.main_frame);
        if self.navigation == Navigation::Before {
            if !main_document || *session != self.main_session {
                return;
            }
            self.navigation = Navigation::Sent;
            self.loader.clone_from(&sent.loader_id);
        } else if self.old_loaders.contains(&sent.loader_id) {
            return;
        }
        self.last_activity = now;
        if let (Some(redirect), Some(&at)) = (&sent.redirect_response, self.index.get(&sent.request_id)) {
            self.redirected(at, redirect, &sent.request.url, mixed(&sent.request.mixed_content_type));
            return;
        }
        if sent.request.url.starts_with("data:") || sent.request.url.starts_with("blob:") {
            return;
        }
        let request = Request {
            id: sent.request_id.clone(),
            url: bounded(&sent.request.url),
            method: sent.request.method.clone(),
            kind: resource_kind(&sent.r#type),
            frame: sent.frame_id.clone().or_else(|| self.frame_of_session(session)),
            worker: self.workers.get(&**session).cloned(),
            initiator: initiator(&sent.initiator),
            mixed_content: mixed(&sent.request.mixed_content_type),
            ..Request::default()
        };
        // Nobody sees the answer to a ping.
        if request.kind != ResourceKind::Ping {
            self.open.insert(sent.request_id.clone());
        }
        self.add(request, session);
    }

    fn add(&mut self, request: Request, session: &Arc<str>) {
        if self.requests.len() >= MAX_REQUESTS {
            self.dropped += 1;
            return;
        }
        self.index.insert(request.id.clone(), self.requests.len());
        self.sessions_of.insert(self.requests.len(), Arc::clone(session));
        self.requests.push(request);
    }

    /// Only this tells of redirects that the browser refuses, and of cookies.
    fn answered_raw(&mut self, raw: &ResponseExtra) {
        let Some(document) = self.requests.first().filter(|document| document.id == raw.request_id) else {
            return;
        };
        self.before.answered(raw);
        if self.navigation == Navigation::Sent && !self.before.whole {
            self.led_nowhere = no_page(&document.url, &raw.headers);
        }
    }

    fn redirected(&mut self, at: usize, response: &ResponseData, to: &str, mixed_content: MixedContentType) {
        let Some(request) = self.requests.get_mut(at) else {
            return;
        };
        if request.redirects.len() < 30 {
            request.redirects.push(Hop {
                url: bounded(&response.url),
                status: response.status,
                to: bounded(to),
            });
        }
        if mixed_content != MixedContentType::None {
            request.mixed_content = mixed_content;
        }
    }

    fn request_mut(&mut self, id: &str) -> Option<&mut Request> {
        self.index.get(id).and_then(|&at| self.requests.get_mut(at))
    }

    fn response(&mut self, received: &ResponseReceived, now: Instant) {
        self.last_activity = now;
        let Some(request) = self.request_mut(&received.request_id) else {
            return;
        };
        let response = &received.response;
        request.kind = resource_kind(&received.r#type);
        request.status = Some(response.status);
        request.mime = Some(response.mime_type.to_ascii_lowercase());
        request.from_cache |= response.from_disk_cache || response.from_service_worker;
        let stream = request.kind == ResourceKind::EventSource;
        if matches!(
            request.kind,
            ResourceKind::Document | ResourceKind::Script | ResourceKind::Stylesheet
        ) {
            request.headers = headers(response);
        } else {
            request.headers = sharing_headers(response);
        }
        // Streams stay open by design: once they have begun, waiting for them would be waiting for ever.
        if stream {
            self.open.remove(&received.request_id);
            self.silent.insert(received.request_id.clone());
        }
    }

    /// Only the first message of a stream counts: some never end.
    fn said(&mut self, stream: &str, now: Instant) {
        if self.silent.remove(stream) {
            self.last_activity = now;
        }
    }

    fn served_from_cache(&mut self, served: &RequestServedFromCache) {
        if let Some(request) = self.request_mut(&served.request_id) {
            request.from_cache = true;
        }
    }

    fn finished(&mut self, id: &str, now: Instant) {
        if self.open.remove(id) | self.silent.remove(id) {
            self.last_activity = now;
        }
    }

    fn failed(&mut self, failed: LoadingFailed, now: Instant) {
        self.finished(&failed.request_id, now);
        if let Some(request) = self
            .index
            .get(&failed.request_id)
            .and_then(|&at| self.requests.get_mut(at))
        {
            request.failure = Some(Failure {
                error: failed.error_text,
                blocked: failed.blocked_reason,
                canceled: failed.canceled,
            });
            self.calls.ended(request);
        }
    }

    fn issue(&mut self, added: IssueAdded, session: &Arc<str>, now: Instant) {
        if self.navigation == Navigation::Before || self.issue_list.len() >= MAX_ISSUES {
            return;
        }
        self.last_activity = now;
        let details = added.issue.details;
        let issue = match (
            details.mixed_content_issue_details,
            details.content_security_policy_issue_details,
        ) {
            (Some(details), _) => Issue::MixedContent(mixed_content_issue(details)),
            (_, Some(details)) => Issue::Csp(csp_issue(details, self.frame_of_session(session))),
            _ => Issue::Other { name: added.issue.code },
        };
        if self.issues.insert(issue.clone()) {
            self.issue_list.push(issue);
        }
    }

    /// A frame is about to ask for another document. Until it does, the page is not quiet.
    fn navigation_requested(&mut self, requested: &NavigationRequested, now: Instant) {
        self.last_activity = now;
        if requested.frame_id == self.main_frame && requested.disposition == "currentTab" {
            self.about_to_navigate = Some(now);
        }
    }

    fn within_document(&mut self, navigated: NavigatedWithinDocument) {
        self.tried(&navigated.url, LinkSource::History);
        if let Some(frame) = self.frames.get_mut(&navigated.frame_id) {
            frame.url = navigated.url;
        }
    }

    fn tried(&mut self, url: &str, source: LinkSource) {
        let known = || self.tried.iter().any(|(known, how)| known == url && *how == source);
        if self.tried.len() < MAX_TRIED && self.navigation != Navigation::Before && !known() {
            self.tried.push((bounded(url), source));
        }
    }

    fn is_main(&self, session: &Arc<str>) -> bool {
        self.committed() && *session == self.main_session
    }

    fn held(&mut self, called: &BindingCalled, session: &Arc<str>) {
        if called.name == HELD && self.navigation != Navigation::Before {
            let worker = self.workers.get(&**session).cloned();
            let frame = self.frame_of_session(session);
            self.calls.held(&called.payload, frame, worker);
        }
    }

    fn paused(&mut self, paused: RequestPaused, session: &Arc<str>) -> Reaction {
        let judged = self.guard.judge(&asked(&paused));
        let (kind, request) = (resource_kind(&paused.resource_type), &paused.request);
        let navigation = kind == ResourceKind::Document;
        let of_page = navigation && paused.frame_id == self.main_frame && *session == self.main_session;
        let safe = is_safe(&request.method);
        if of_page {
            self.about_to_navigate = None;
        }
        let again = safe && self.again.as_deref() == Some(without_fragment(&request.url));
        let go = match (of_page, self.navigation) {
            (true, _) if self.walking => {
                let may = (self.may_visit)(&paused.request.url) && (safe || judged.is_ok());
                if !may {
                    self.left_scope = Some(paused.request.url.clone());
                }
                may
            }
            (true, Navigation::Committed) if !safe && self.may_submit && judged.is_ok() => {
                self.may_submit = false;
                self.submitted = true;
                true
            }
            (true, Navigation::Committed) if !again => {
                if safe {
                    self.tried(&paused.request.url, LinkSource::Navigation);
                }
                self.stopped = true;
                false
            }
            // What may be visited is asked of it, which knows more.
            (true, _) if safe => {
                let may = (self.may_visit)(&paused.request.url);
                if !may {
                    self.left_scope = Some(paused.request.url.clone());
                }
                may
            }
            _ => judged.is_ok(),
        };
        if of_page && safe && go && !self.before.whole {
            self.before.asked(&paused);
        }
        if self.navigation != Navigation::Before && !(of_page && safe) {
            let worker = self.workers.get(&**session).cloned();
            let why = if go {
                None
            } else {
                Some(judged.err().unwrap_or(Stopped::Method))
            };
            let sure = self.is_child(&paused.frame_id);
            self.calls.paused(&paused, why, worker, sure);
        }
        let (session, paused) = (Arc::clone(session), paused.request_id);
        if go {
            Reaction::Continue { session, paused }
        } else {
            Reaction::Stop {
                session,
                paused,
                navigation,
            }
        }
    }
}

fn without_fragment(url: &str) -> &str {
    url.split('#').next().unwrap_or_default()
}
