//! The sandbox on a socket.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Path as Segments, Request, State as Shared};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{any, get, post};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::api::{Answer, Desk, Handled};
use super::faults::{Fault, Faults, FaultsJson};
use super::log::{CAPACITY, Exchange};
use super::options::{SandboxAccount, SandboxOptions};
use super::pages;
use super::people::SandboxPerson;
use super::route::{self, Asked};
use super::state::{Kept, SandboxIssue, SandboxLink, State};
use crate::config::Deployment;

/// Requests beyond this many bytes are refused.
const MAX_BODY: usize = 10 << 20;

/// Why a sandbox cannot start.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The address cannot be listened on.
    #[error("the sandbox cannot listen on {address}: {why}; choose another with --listen")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the operating system said.
        why: std::io::Error,
    },
    /// The file that keeps the issues cannot be used.
    #[error("the sandbox cannot use its state file {path}: {why}; remove it, or choose another with --state")]
    StateFile {
        /// The file.
        path: String,
        /// What is wrong.
        why: std::io::Error,
    },
}

/// A running sandbox. It stops when dropped.
pub struct Sandbox {
    app: Arc<App>,
    address: SocketAddr,
    open: watch::Receiver<BTreeSet<SocketAddr>>,
    stop: CancellationToken,
}

struct App {
    began: Instant,
    options: SandboxOptions,
    base: String,
    state: Mutex<State>,
}

/// Marks an answer that is never sent.
#[derive(Clone, Copy)]
struct Dropped;

impl Sandbox {
    /// Starts a sandbox. It listens when this returns.
    pub async fn start(options: SandboxOptions) -> Result<Self, SandboxError> {
        let kept = match &options.state_file {
            Some(path) => usable(path).map_err(|why| SandboxError::StateFile {
                path: path.display().to_string(),
                why,
            })?,
            None => Kept::default(),
        };
        let listening = async {
            let listener = TcpListener::bind(options.listen).await?;
            let address = listener.local_addr()?;
            Ok((listener, address))
        };
        let (listener, address) = listening.await.map_err(|why| SandboxError::Listen {
            address: options.listen,
            why,
        })?;
        let app = Arc::new(App {
            began: Instant::now(),
            base: format!("http://{address}"),
            state: Mutex::new(State {
                kept,
                faults: options.faults,
                ..State::default()
            }),
            options,
        });
        let (gauge, open) = watch::channel(BTreeSet::new());
        let stop = CancellationToken::new();
        tokio::spawn(serve(listener, router(Arc::clone(&app)), gauge, stop.clone()));
        Ok(Self {
            app,
            address,
            open,
            stop,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The base URL for a configuration, as `http://127.0.0.1:8687`.
    pub fn base_url(&self) -> &str {
        &self.app.base
    }

    /// Where a person sees the queue.
    pub fn queue_url(&self) -> String {
        format!("{}/sandbox", self.app.base)
    }

    /// All issues, oldest first.
    pub fn issues(&self) -> Vec<SandboxIssue> {
        self.app.state().kept.issues.clone()
    }

    /// Changes an issue as a person could, or as no API allows. False if there is none with this key.
    pub fn edit(&self, key: &str, change: impl FnOnce(&mut SandboxIssue)) -> bool {
        let mut state = self.app.state();
        let found = state.kept.find(key);
        let Some(issue) = found.and_then(|index| state.kept.issues.get_mut(index)) else {
            return false;
        };
        change(issue);
        self.app.save(&state);
        true
    }

    /// Deletes an issue. False if there is none with this key.
    pub fn delete(&self, key: &str) -> bool {
        let mut state = self.app.state();
        let Some(index) = state.kept.find(key) else {
            return false;
        };
        state.kept.remove(index);
        self.app.save(&state);
        true
    }

    /// One issue, by id or key, also by a key that it had before it was moved.
    pub fn issue(&self, id_or_key: &str) -> Option<SandboxIssue> {
        let state = self.app.state();
        let found = state.kept.find(id_or_key);
        found.and_then(|index| state.kept.issues.get(index)).cloned()
    }

    /// All links between issues, oldest first.
    pub fn links(&self) -> Vec<SandboxLink> {
        self.app.state().kept.links.clone()
    }

    /// The first of the accounts beside the scanner's, as a person who works in the queue.
    pub fn person(&self) -> SandboxPerson<'_> {
        let options = &self.app.options;
        SandboxPerson {
            sandbox: self,
            account: options.people.first().cloned().unwrap_or_else(|| options.scanner()),
        }
    }

    /// Does something as an account, past faults and log. False if it was refused.
    pub(super) fn as_account(&self, who: &SandboxAccount, deed: impl FnOnce(&mut Desk<'_>) -> Handled) -> bool {
        self.app.with(who.clone(), deed).is_ok()
    }

    /// The faults that are still to come.
    pub fn faults(&self) -> Faults {
        self.app.state().faults
    }

    /// Sets how it misbehaves from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.app.state().faults = faults;
    }

    /// The last 10,000 requests to the API, oldest first.
    pub fn log(&self) -> Vec<Exchange> {
        self.app.state().log.iter().cloned().collect()
    }

    /// Requests to the API since the start.
    pub fn requests(&self) -> u64 {
        self.app.state().requests
    }

    /// Those of them that asked for a change, whatever came of it.
    pub fn changes(&self) -> u64 {
        self.app.state().changes
    }

    /// Waits until every connection that was made before this call is closed by its peer and its last request dealt
    /// with. For tests that kill a client: while a peer keeps a connection open, this does not return.
    pub async fn quiet(&self) {
        let mut open = self.open.clone();
        // Connections are accepted in order: once this one is, all earlier ones were.
        if let Ok(last) = TcpStream::connect(self.address).await
            && let Ok(name) = last.local_addr()
        {
            let _ = open.wait_for(|open| open.contains(&name)).await;
        }
        let _ = open.wait_for(BTreeSet::is_empty).await;
    }

    /// Stops at once; open connections are closed.
    pub fn stop(&self) {
        self.stop.cancel();
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Reads the state and shows that it can be written, before anything depends on it.
fn usable(path: &Path) -> std::io::Result<Kept> {
    let kept = Kept::load(path)?;
    kept.save(path)?;
    Ok(kept)
}

impl App {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn log(&self, exchange: Exchange, changes: bool) {
        let mut state = self.state();
        state.requests += 1;
        state.changes += u64::from(changes);
        if state.log.len() == CAPACITY {
            state.log.pop_front();
        }
        state.log.push_back(exchange);
    }

    fn save(&self, state: &State) {
        if let Some(path) = &self.options.state_file
            && let Err(error) = state.kept.save(path)
        {
            tracing::warn!(path = %path.display(), %error, "the sandbox cannot keep its issues");
        }
    }

    /// Works on the state as an account; what was changed is kept before the answer leaves.
    fn with(&self, who: SandboxAccount, work: impl FnOnce(&mut Desk<'_>) -> Handled) -> Handled {
        let mut state = self.state();
        let answer = work(&mut Desk {
            options: &self.options,
            base: &self.base,
            now: (self.options.now)(),
            state: &mut state,
            who,
        });
        if answer.as_ref().is_ok_and(|answer| answer.changed) {
            self.save(&state);
        }
        answer
    }

    /// As a request from outside: it may be that no answer is sent.
    fn asked(&self, who: SandboxAccount, work: impl FnOnce(&mut Desk<'_>) -> Handled) -> Response {
        let answered = self.with(who, |desk| {
            let mut answer = work(desk)?;
            answer.dropped |= answer.changed && desk.state.faults.drops_change();
            Ok(answer)
        });
        answered.unwrap_or_else(|answer| answer).into_response()
    }

    /// The account that a request comes from.
    fn account(&self, headers: &HeaderMap) -> Option<SandboxAccount> {
        let given = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        if let Some(token) = given.strip_prefix("Bearer ") {
            return self.options.login(None, token);
        }
        let decoded = STANDARD.decode(given.strip_prefix("Basic ")?).ok()?;
        let text = String::from_utf8(decoded).ok()?;
        let (user, token) = text.split_once(':')?;
        self.options.login(Some(user), token)
    }

    /// Who asks; or the answer, if the request gets no further.
    fn admitted(&self, method: &Method, headers: &HeaderMap, path: &[&str]) -> Result<SandboxAccount, Box<Response>> {
        let answer = |status, message: &str| Err(Box::new(Answer::error(status, message).into_response()));
        let fault = self.state().faults.next();
        match fault {
            Some(Fault::RateLimited { retry_after_s }) => {
                let mut response = Answer::error(StatusCode::TOO_MANY_REQUESTS, "Rate limit exceeded.").into_response();
                let headers = response.headers_mut();
                headers.insert(header::RETRY_AFTER, HeaderValue::from(retry_after_s));
                headers.insert("ratelimit-reason", HeaderValue::from_static("jira-burst-based"));
                return Err(Box::new(response));
            }
            Some(Fault::ServerError) => return answer(StatusCode::SERVICE_UNAVAILABLE, "Service unavailable."),
            Some(Fault::Unauthorized) => return answer(StatusCode::UNAUTHORIZED, UNAUTHORIZED),
            None => {}
        }
        let Some(account) = self.account(headers) else {
            return answer(StatusCode::UNAUTHORIZED, UNAUTHORIZED);
        };
        if path.last() == Some(&"attachments") {
            if headers.get("x-atlassian-token").is_none_or(|value| value != "no-check") {
                return answer(StatusCode::FORBIDDEN, "XSRF check failed");
            }
        } else if matches!(*method, Method::POST | Method::PUT) && !is_json(headers) {
            return answer(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "Content-Type must be application/json.",
            );
        }
        Ok(account)
    }
}

const UNAUTHORIZED: &str = "Client must be authenticated to access this resource.";

fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|kind| kind.split(';').next().map(str::trim) == Some("application/json"))
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let mut response = match self.body {
            Some(body) => (self.status, axum::Json(body)).into_response(),
            None => self.status.into_response(),
        };
        if self.dropped {
            response.extensions_mut().insert(Dropped);
        }
        response
    }
}

type Shelf = Shared<Arc<App>>;
type Id = Segments<String>;

fn router(app: Arc<App>) -> Router {
    let version = match app.options.deployment {
        Deployment::Cloud => 3,
        Deployment::DataCenter => 2,
    };
    Router::new()
        .route(&format!("/rest/api/{version}/{{*path}}"), any(api))
        .route("/sandbox", get(queue))
        .route("/browse/{key}", get(ticket))
        .route("/sandbox/faults", get(get_faults).post(set_faults))
        .route("/sandbox/move", post(relocate))
        .route(
            "/sandbox/log",
            get(async |Shared(app): Shelf| {
                let log: Vec<Exchange> = app.state().log.iter().cloned().collect();
                axum::Json(log)
            }),
        )
        .fallback(async || Answer::error(StatusCode::NOT_FOUND, "This sandbox has no such resource."))
        .with_state(app)
}

/// Faults, credentials and the log, around every request to the API.
async fn api(Shared(app): Shelf, Segments(path): Id, request: Request) -> Response {
    let came = app.began.elapsed();
    let (head, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MAX_BODY).await else {
        return Answer::error(StatusCode::PAYLOAD_TOO_LARGE, "The request is too large.").into_response();
    };
    let parts: Vec<&str> = path.split('/').collect();
    let (slow, changes) = (app.state().faults.slow_changes, route::changes(&head.method, &parts));
    if changes && !slow.is_zero() {
        tokio::time::sleep(slow).await;
    }
    let query = head.uri.query().unwrap_or_default();
    let content_type = head
        .headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let response = match app.admitted(&head.method, &head.headers, &parts) {
        Ok(who) => app.asked(who, |desk| {
            let asked = Asked {
                method: &head.method,
                path: &parts,
                query,
                content_type: content_type.unwrap_or_default(),
                body: &body,
            };
            route::answer(desk, &asked)
        }),
        Err(response) => *response,
    };
    let (answer_head, answer) = response.into_parts();
    let answer = to_bytes(answer, usize::MAX).await.unwrap_or_default();
    let dropped = answer_head.extensions.get::<Dropped>().is_some();
    let json = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).ok();
    let exchange = Exchange {
        came_us: u64::try_from(came.as_micros()).unwrap_or(u64::MAX),
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        query: query.to_owned(),
        body: json(&body),
        status: (!dropped).then(|| answer_head.status.as_u16()),
        response: if dropped { None } else { json(&answer) },
    };
    app.log(exchange, changes);
    Response::from_parts(answer_head, Body::from(answer))
}

/// Moves an issue, as the account that asks.
async fn relocate(Shared(app): Shelf, headers: HeaderMap, body: Bytes) -> Response {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Move {
        issue: String,
        project: String,
    }
    let Some(who) = app.account(&headers).filter(|_| is_json(&headers)) else {
        return Answer::error(StatusCode::UNAUTHORIZED, UNAUTHORIZED).into_response();
    };
    app.asked(who, |desk| {
        let to: Move = super::api::parse(&body)?;
        desk.relocate(&to.issue, &to.project)
    })
}

async fn queue(Shared(app): Shelf) -> Response {
    let page = pages::queue(&app.state().kept.issues, app.options.deployment);
    inert(page)
}

async fn ticket(Shared(app): Shelf, Segments(key): Id) -> Response {
    let state = app.state();
    let issue = state.kept.find(&key).and_then(|index| state.kept.issues.get(index));
    match issue {
        Some(issue) => inert(pages::ticket(issue, &state.kept, &app.options)),
        None => (StatusCode::NOT_FOUND, "There is no such ticket in this sandbox.").into_response(),
    }
}

fn inert(page: String) -> Response {
    let policy = [(header::CONTENT_SECURITY_POLICY, pages::POLICY)];
    (policy, Html(page)).into_response()
}

async fn get_faults(Shared(app): Shelf) -> axum::Json<FaultsJson> {
    axum::Json(app.state().faults.into())
}

/// Only JSON is taken, so that no page in a browser can post here.
async fn set_faults(Shared(app): Shelf, headers: HeaderMap, body: Bytes) -> Response {
    if !is_json(&headers) {
        return StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response();
    }
    match serde_json::from_slice::<FaultsJson>(&body) {
        Ok(change) => {
            let mut state = app.state();
            change.apply(&mut state.faults);
            axum::Json(FaultsJson::from(state.faults)).into_response()
        }
        Err(error) => (
            StatusCode::BAD_REQUEST,
            axum::Json(json!({ "error": error.to_string() })),
        )
            .into_response(),
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the connection is closed without an answer, as was asked for")]
struct Hangup;

async fn serve(
    listener: TcpListener,
    router: Router,
    gauge: watch::Sender<BTreeSet<SocketAddr>>,
    stop: CancellationToken,
) {
    loop {
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                // Out of file descriptors, or a peer that is gone already: others are served.
                Err(error) => {
                    tracing::warn!(%error, "the sandbox cannot accept a connection");
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                    continue;
                }
            },
            () = stop.cancelled() => return,
        };
        gauge.send_modify(|open| {
            open.insert(peer);
        });
        let (gauge, stop) = (gauge.clone(), stop.clone());
        let router = TowerToHyperService::new(router.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = converse(stream, router) => {}
                () = stop.cancelled() => {}
            }
            gauge.send_modify(|open| {
                open.remove(&peer);
            });
        });
    }
}

/// Serves one connection. An error of the service makes hyper close it without an answer.
async fn converse(stream: TcpStream, router: TowerToHyperService<Router>) {
    let service = service_fn(move |request| {
        let answer = router.call(request);
        async move {
            let Ok(response) = answer.await;
            if response.extensions().get::<Dropped>().is_some() {
                return Err(Hangup);
            }
            Ok(response)
        }
    });
    // A server goes on with what it was asked for when nobody waits for the answer any more.
    let served = hyper::server::conn::http1::Builder::new()
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection to the sandbox ended early");
    }
}
