//! One browser's DevTools connection: messages in and out over its pipe or its web socket, each led to whom it is for.
//!
//! A reader task parses only the envelope of a message. Answers go to the waiting call; events go to the inbox of the
//! tab that the session belongs to. Child sessions join their parent's inbox in the reader itself, so that not even
//! their first event can be lost.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_tungstenite::tungstenite::{Bytes, Message};
use async_tungstenite::{WebSocketReceiver, WebSocketSender};
use chromiumoxide::types::Method;
use futures::StreamExt as _;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::json;
use super::remote::{Line, Socket};

/// The longest message that is accepted. A page that makes the browser send more has broken it.
pub(super) const MAX_MESSAGE: usize = 128 << 20;
/// Events that may wait for one tab. A page that floods us loses events, and its evidence says so.
const INBOX: usize = 50_000;
/// How often a quiet web socket says that it is there.
const SIGN_OF_LIFE: Duration = Duration::from_secs(20);
/// How long it may take to say that it ends.
const GOODBYE: Duration = Duration::from_secs(1);

/// Why a call to the browser came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum CdpError {
    /// No answer in time.
    #[error("the browser did not answer {method} within {after:?}")]
    Timeout {
        /// The method called.
        method: String,
        /// The deadline.
        after: Duration,
    },
    /// The renderer crashed or the tab was closed.
    #[error("the tab is gone")]
    TabGone,
    /// The browser is gone.
    #[error("the browser is gone")]
    BrowserGone,
    /// The browser refused.
    #[error("the browser refused {method}: {message}")]
    Refused {
        /// The method called.
        method: String,
        /// The browser's words.
        message: String,
    },
    /// The page itself could not be asked.
    #[error("the page could not be looked into: {0}")]
    Silent(String),
    /// The answer was not understood.
    #[error("the browser's answer to {method} was not understood: {why}")]
    Answer {
        /// The method called.
        method: String,
        /// What was wrong with it.
        why: String,
    },
}

/// The name of a mark among events. No name of the browser's has no dot in it.
pub(super) const MARK: &str = "mark";

/// An event as it came: only its session and name are known yet.
#[derive(Debug)]
pub(super) struct Event {
    pub session: Arc<str>,
    pub method: String,
    pub params: Box<RawValue>,
}

impl Event {
    /// The parameters, or `None` if they are not of the expected shape at all.
    pub fn read<T: DeserializeOwned>(&self) -> Option<T> {
        json::read(self.params.get()).ok()
    }
}

/// Where the events of one tab and of all its child sessions arrive.
#[derive(Clone)]
pub(super) struct Inbox {
    main: Arc<str>,
    /// What a session belongs to is lost when it crashes. Workers that others can use too say so whenever they end.
    crashes: bool,
    events: mpsc::Sender<Event>,
    gone: CancellationToken,
    overflow: Arc<AtomicBool>,
}

/// The reading end of an [`Inbox`].
pub(super) struct Events {
    receiver: mpsc::Receiver<Event>,
    overflow: Arc<AtomicBool>,
}

impl Events {
    pub async fn next(&mut self) -> Option<Event> {
        self.receiver.recv().await
    }

    /// Takes what is there without waiting.
    pub fn try_next(&mut self) -> Option<Event> {
        self.receiver.try_recv().ok()
    }

    /// Events were lost since this was asked last.
    pub fn overflowed(&self) -> bool {
        self.overflow.swap(false, Ordering::Relaxed)
    }
}

type Answer = Result<Box<RawValue>, String>;

#[derive(Default)]
struct Routes {
    calls: HashMap<u64, oneshot::Sender<Answer>>,
    sessions: HashMap<Arc<str>, Inbox>,
}

struct Shared {
    next_id: AtomicU64,
    outgoing: mpsc::UnboundedSender<Vec<u8>>,
    routes: Mutex<Routes>,
    closed: CancellationToken,
}

impl Shared {
    fn new() -> (Arc<Self>, mpsc::UnboundedReceiver<Vec<u8>>) {
        let (outgoing, queue) = mpsc::unbounded_channel();
        let shared = Self {
            next_id: AtomicU64::new(1),
            outgoing,
            routes: Mutex::default(),
            closed: CancellationToken::new(),
        };
        (Arc::new(shared), queue)
    }

    fn routes(&self) -> MutexGuard<'_, Routes> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing comes any more.
    fn ended(&self) {
        self.closed.cancel();
        let mut routes = self.routes();
        routes.calls.clear();
        for inbox in routes.sessions.values() {
            inbox.gone.cancel();
        }
        routes.sessions.clear();
    }
}

/// A DevTools connection to one browser.
#[derive(Clone)]
pub(super) struct Connection(Arc<Shared>);

impl Connection {
    /// Speaks over the two ends of the browser's debugging pipe.
    pub fn over_pipe(to_browser: OwnedFd, from_browser: OwnedFd) -> io::Result<Self> {
        let writer = pipe::Sender::from_owned_fd(to_browser)?;
        let reader = pipe::Receiver::from_owned_fd(from_browser)?;
        let (shared, queue) = Shared::new();
        tokio::spawn(write_all(writer, queue, shared.closed.clone()));
        tokio::spawn(read_all(reader, Arc::clone(&shared)));
        Ok(Self(shared))
    }

    /// Speaks over a web socket.
    pub fn over_socket(socket: Socket) -> Self {
        let (sender, receiver) = socket.split();
        let (shared, queue) = Shared::new();
        tokio::spawn(send_all(sender, queue, shared.closed.clone()));
        tokio::spawn(receive_all(receiver, Arc::clone(&shared)));
        Self(shared)
    }

    /// Ends the connection. A browser at a pipe ends with it; one of others goes on.
    pub fn close(&self) {
        self.0.closed.cancel();
    }

    /// Ends when the browser does.
    pub fn closed(&self) -> &CancellationToken {
        &self.0.closed
    }

    /// A session of the browser itself, which no event is led to.
    pub fn browser(&self) -> Session {
        Session {
            connection: self.clone(),
            id: Arc::from(""),
            gone: CancellationToken::new(),
        }
    }

    /// A tab's session; its events, and those of all its children, arrive at the other end.
    pub fn open(&self, session_id: &str) -> (Session, Events) {
        let id: Arc<str> = Arc::from(session_id);
        let (sender, receiver) = mpsc::channel(INBOX);
        let inbox = Inbox {
            main: Arc::clone(&id),
            crashes: true,
            events: sender,
            gone: CancellationToken::new(),
            overflow: Arc::default(),
        };
        let session = Session {
            connection: self.clone(),
            id: Arc::clone(&id),
            gone: inbox.gone.clone(),
        };
        let events = Events {
            receiver,
            overflow: Arc::clone(&inbox.overflow),
        };
        self.0.routes().sessions.insert(id, inbox);
        (session, events)
    }

    /// Forgets a tab and all its children.
    pub fn forget(&self, session_id: &str) {
        self.0.routes().sessions.retain(|_, inbox| &*inbox.main != session_id);
    }

    /// Puts a mark behind all events of a tab that have come so far; it arrives as an event named [`MARK`].
    pub fn mark(&self, session_id: &str) {
        let mark = Event {
            session: Arc::from(session_id),
            method: MARK.to_owned(),
            params: RawValue::NULL.to_owned(),
        };
        if let Some(inbox) = self.0.routes().sessions.get(session_id)
            && inbox.events.try_send(mark).is_err()
        {
            inbox.overflow.store(true, Ordering::Relaxed);
        }
    }

    fn send<C: Method + Serialize>(&self, session: &str, command: &C, id: u64) -> Result<(), CdpError> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Call<'a, C> {
            id: u64,
            method: &'a str,
            #[serde(skip_serializing_if = "str::is_empty")]
            session_id: &'a str,
            params: &'a C,
        }
        let method = command.identifier();
        let call = Call {
            id,
            method: &method,
            session_id: session,
            params: command,
        };
        let bytes = serde_json::to_vec(&call).map_err(|error| CdpError::Answer {
            method: method.to_string(),
            why: error.to_string(),
        })?;
        self.0.outgoing.send(bytes).map_err(|_| CdpError::BrowserGone)
    }
}

/// One session: a tab, a frame of another site, a worker, or the browser itself.
#[derive(Clone)]
pub(super) struct Session {
    connection: Connection,
    id: Arc<str>,
    gone: CancellationToken,
}

impl Session {
    pub fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// Ends when the tab crashes or is closed.
    pub fn gone(&self) -> &CancellationToken {
        &self.gone
    }

    /// A child session of the same tab: it is gone when the tab is.
    pub fn child(&self, id: &str) -> Session {
        Session {
            connection: self.connection.clone(),
            id: Arc::from(id),
            gone: self.gone.clone(),
        }
    }

    /// Calls a method and waits for the answer, but no longer than `deadline`, nor than tab and browser live.
    pub async fn call<R: DeserializeOwned>(
        &self,
        command: impl Method + Serialize,
        deadline: Duration,
    ) -> Result<R, CdpError> {
        let method = command.identifier();
        let id = self.connection.0.next_id.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        self.connection.0.routes().calls.insert(id, sender);
        let _forget = ForgetCall {
            shared: &self.connection.0,
            id,
        };
        self.connection.send(&self.id, &command, id)?;
        let answer = tokio::select! {
            biased;
            answer = receiver => answer.map_err(|_| CdpError::BrowserGone)?,
            () = self.gone.cancelled() => return Err(CdpError::TabGone),
            () = self.connection.0.closed.cancelled() => return Err(CdpError::BrowserGone),
            () = tokio::time::sleep(deadline) => {
                return Err(CdpError::Timeout { method: method.into_owned(), after: deadline })
            }
        };
        match answer {
            Ok(result) => json::read(result.get()).map_err(|error| CdpError::Answer {
                method: method.into_owned(),
                why: error.to_string(),
            }),
            Err(message) => Err(CdpError::Refused {
                method: method.into_owned(),
                message,
            }),
        }
    }

    /// Calls a method whose answer does not matter.
    pub fn tell(&self, command: &(impl Method + Serialize)) {
        let id = self.connection.0.next_id.fetch_add(1, Ordering::Relaxed);
        // A browser that is gone needs telling nothing.
        let _ = self.connection.send(&self.id, command, id);
    }
}

struct ForgetCall<'a> {
    shared: &'a Shared,
    id: u64,
}

impl Drop for ForgetCall<'_> {
    fn drop(&mut self) {
        self.shared.routes().calls.remove(&self.id);
    }
}

async fn write_all(mut pipe: pipe::Sender, mut queue: mpsc::UnboundedReceiver<Vec<u8>>, closed: CancellationToken) {
    loop {
        let bytes = tokio::select! {
            bytes = queue.recv() => bytes,
            () = closed.cancelled() => None,
        };
        let Some(mut bytes) = bytes else { return };
        bytes.push(0);
        if pipe.write_all(&bytes).await.is_err() {
            closed.cancel();
            return;
        }
    }
}

async fn read_all(mut pipe: pipe::Receiver, shared: Arc<Shared>) {
    let mut buffer: Vec<u8> = Vec::with_capacity(1 << 20);
    let mut searched = 0;
    loop {
        match pipe.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
        let mut start = 0;
        while let Some(end) = buffer[searched..]
            .iter()
            .position(|&byte| byte == 0)
            .map(|at| searched + at)
        {
            dispatch(&shared, &buffer[start..end]);
            start = end + 1;
            searched = start;
        }
        buffer.drain(..start);
        searched = buffer.len();
        if buffer.len() > MAX_MESSAGE {
            tracing::warn!(
                bytes = buffer.len(),
                "the browser sent a message beyond all bounds; giving it up"
            );
            break;
        }
    }
    shared.ended();
}

async fn send_all(
    mut socket: WebSocketSender<Line>,
    mut queue: mpsc::UnboundedReceiver<Vec<u8>>,
    closed: CancellationToken,
) {
    let mut ticks = tokio::time::interval_at(Instant::now() + SIGN_OF_LIFE, SIGN_OF_LIFE);
    loop {
        let message = tokio::select! {
            bytes = queue.recv() => bytes.and_then(|bytes| String::from_utf8(bytes).ok()).map(Message::text),
            // What is between us must not take a quiet connection for a dead one.
            _ = ticks.tick() => Some(Message::Ping(Bytes::new())),
            () = closed.cancelled() => None,
        };
        let Some(message) = message else { break };
        if socket.send(message).await.is_err() {
            closed.cancel();
            return;
        }
    }
    let _ = tokio::time::timeout(GOODBYE, socket.close(None)).await;
}

async fn receive_all(mut socket: WebSocketReceiver<Line>, shared: Arc<Shared>) {
    loop {
        let message = tokio::select! {
            message = socket.next() => message,
            () = shared.closed.cancelled() => None,
        };
        match message {
            Some(Ok(Message::Text(text))) => dispatch(&shared, text.as_bytes()),
            Some(Ok(Message::Binary(bytes))) => dispatch(&shared, &bytes),
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
            Some(Ok(Message::Close(_))) | None => break,
            Some(Err(error)) => {
                tracing::debug!(%error, "the connection to a remote browser broke");
                break;
            }
        }
    }
    shared.ended();
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a> {
    id: Option<u64>,
    #[serde(borrow)]
    method: Option<&'a str>,
    #[serde(borrow)]
    session_id: Option<&'a str>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    error: Option<ErrorBody>,
}

#[derive(Deserialize)]
struct ErrorBody {
    #[serde(default)]
    message: String,
}

fn dispatch(shared: &Shared, message: &[u8]) {
    let text = String::from_utf8_lossy(message);
    let mended;
    let envelope = if let Ok(envelope) = serde_json::from_str(&text) {
        Ok(envelope)
    } else {
        mended = json::well_formed(&text);
        serde_json::from_str(&mended)
    };
    let envelope: Envelope<'_> = match envelope {
        Ok(envelope) => envelope,
        Err(error) => {
            tracing::debug!(%error, "a message of the browser was not understood");
            return;
        }
    };
    if let Some(id) = envelope.id {
        let answer = match (envelope.result, envelope.error) {
            (_, Some(error)) => Err(error.message),
            (Some(result), None) => Ok(result.to_owned()),
            (None, None) => Err("an answer without a result".to_owned()),
        };
        if let Some(waiting) = shared.routes().calls.remove(&id) {
            // Whoever waited may have given up meanwhile.
            let _ = waiting.send(answer);
        }
        return;
    }
    let (Some(method), Some(params)) = (envelope.method, envelope.params) else {
        return;
    };
    route_event(shared, envelope.session_id.unwrap_or_default(), method, params);
}

fn route_event(shared: &Shared, session: &str, method: &str, params: &RawValue) {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Related<'a> {
        #[serde(borrow)]
        session_id: &'a str,
        #[serde(borrow, default)]
        target_info: Info<'a>,
    }
    #[derive(Default, Deserialize)]
    struct Info<'a> {
        #[serde(borrow, default)]
        r#type: Cow<'a, str>,
    }
    let mut routes = shared.routes();
    match method {
        "Target.attachedToTarget" => {
            if let (Some(mut inbox), Ok(child)) = (
                routes.sessions.get(session).cloned(),
                serde_json::from_str::<Related<'_>>(params.get()),
            ) {
                inbox.crashes = matches!(&*child.target_info.r#type, "iframe" | "page");
                routes.sessions.insert(Arc::from(child.session_id), inbox);
            }
        }
        "Target.detachedFromTarget" => {
            if let Ok(child) = serde_json::from_str::<Related<'_>>(params.get())
                && let Some(inbox) = routes.sessions.remove(child.session_id)
                && &*inbox.main == child.session_id
            {
                inbox.gone.cancel();
            }
        }
        // The page of a crashed frame is not whole: it is lost with it.
        "Inspector.targetCrashed" => {
            if let Some(inbox) = routes.sessions.get(session).filter(|inbox| inbox.crashes) {
                inbox.gone.cancel();
            }
        }
        _ => {}
    }
    let Some((session, inbox)) = routes.sessions.get_key_value(session) else {
        return;
    };
    let event = Event {
        session: Arc::clone(session),
        method: method.to_owned(),
        params: params.to_owned(),
    };
    if inbox.events.try_send(event).is_err() {
        inbox.overflow.store(true, Ordering::Relaxed);
    }
}
