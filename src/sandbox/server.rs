//! The sandbox on a socket.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Path as Segments, RawQuery, Request, State as Shared};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::api::{Answer, Desk};
use super::faults::{Fault, Faults, FaultsJson};
use super::log::{CAPACITY, Exchange};
use super::options::SandboxOptions;
use super::pages;
use super::state::{Kept, SandboxIssue, State};

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
        state.kept.issues.remove(index);
        self.app.save(&state);
        true
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

    fn save(&self, state: &State) {
        if let Some(path) = &self.options.state_file
            && let Err(error) = state.kept.save(path)
        {
            tracing::warn!(path = %path.display(), %error, "the sandbox cannot keep its issues");
        }
    }

    /// Works on the state; what was changed is kept before the answer leaves.
    fn with(&self, work: impl FnOnce(&mut Desk<'_>) -> Result<Answer, Answer>) -> Response {
        let mut state = self.state();
        let answer = work(&mut Desk {
            options: &self.options,
            base: &self.base,
            now: (self.options.now)(),
            state: &mut state,
        });
        let answer = answer.unwrap_or_else(|answer| answer);
        if answer.changed {
            self.save(&state);
        }
        answer.into_response()
    }

    fn knows(&self, headers: &HeaderMap) -> bool {
        let expected = format!("{}:{}", self.options.user, self.options.token);
        headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|text| text.strip_prefix("Basic "))
            .and_then(|encoded| STANDARD.decode(encoded).ok())
            .is_some_and(|given| given == expected.as_bytes())
    }

    /// The answer of the guard, if the request gets no further.
    fn stopped(&self, method: &Method, headers: &HeaderMap) -> Option<Response> {
        let fault = self.state().faults.next();
        let answer = |status, message: &str| Some(Answer::error(status, message).into_response());
        match fault {
            Some(Fault::RateLimited { retry_after_s }) => {
                let mut response = Answer::error(StatusCode::TOO_MANY_REQUESTS, "Rate limit exceeded.").into_response();
                let headers = response.headers_mut();
                headers.insert(header::RETRY_AFTER, HeaderValue::from(retry_after_s));
                headers.insert("ratelimit-reason", HeaderValue::from_static("jira-burst-based"));
                return Some(response);
            }
            Some(Fault::ServerError) => return answer(StatusCode::SERVICE_UNAVAILABLE, "Service unavailable."),
            Some(Fault::Unauthorized) => return answer(StatusCode::UNAUTHORIZED, UNAUTHORIZED),
            None => {}
        }
        if !self.knows(headers) {
            return answer(StatusCode::UNAUTHORIZED, UNAUTHORIZED);
        }
        if method != Method::GET && !is_json(headers) {
            return answer(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "Content-Type must be application/json.",
            );
        }
        None
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
    let api = Router::new()
        .route(
            "/myself",
            get(async |Shared(app): Shelf| app.with(|desk| Ok(desk.myself()))),
        )
        .route(
            "/issue",
            post(async |Shared(app): Shelf, body: Bytes| app.with(|desk| desk.create(&body))),
        )
        .route(
            "/issue/{id}",
            get(
                async |Shared(app): Shelf, Segments(id): Id, RawQuery(query): RawQuery| {
                    app.with(|desk| desk.get(&id, query.as_deref().unwrap_or_default()))
                },
            ),
        )
        .route("/issue/{id}/properties/{key}", get(get_property).put(set_property))
        .route("/issue/{id}/comment", get(comments).post(add_comment))
        .route("/issue/{id}/transitions", get(transitions).post(transition))
        .route(
            "/search/jql",
            post(async |Shared(app): Shelf, body: Bytes| app.with(|desk| desk.search(&body))),
        )
        .route("/search", axum::routing::any(gone))
        .fallback(async || Answer::error(StatusCode::NOT_FOUND, "This sandbox has no such resource."))
        .method_not_allowed_fallback(async || Answer::error(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed."))
        .layer(middleware::from_fn_with_state(Arc::clone(&app), guard));
    Router::new()
        .nest("/rest/api/3", api)
        .route("/sandbox", get(queue))
        .route("/browse/{key}", get(ticket))
        .route("/sandbox/faults", get(get_faults).post(set_faults))
        .route(
            "/sandbox/log",
            get(async |Shared(app): Shelf| {
                let log: Vec<Exchange> = app.state().log.iter().cloned().collect();
                axum::Json(log)
            }),
        )
        .with_state(app)
}

async fn gone() -> Answer {
    let message = "The requested API has been removed. Please use the /rest/api/3/search/jql API instead.";
    Answer::error(StatusCode::GONE, message)
}

type Property = Segments<(String, String)>;

async fn get_property(Shared(app): Shelf, Segments((id, key)): Property) -> Response {
    app.with(|desk| desk.get_property(&id, &key))
}

async fn set_property(Shared(app): Shelf, Segments((id, key)): Property, body: Bytes) -> Response {
    app.with(|desk| desk.set_property(&id, &key, &body))
}

async fn comments(Shared(app): Shelf, Segments(id): Id, RawQuery(query): RawQuery) -> Response {
    app.with(|desk| desk.comments(&id, query.as_deref().unwrap_or_default()))
}

async fn add_comment(Shared(app): Shelf, Segments(id): Id, body: Bytes) -> Response {
    app.with(|desk| desk.add_comment(&id, &body))
}

async fn transitions(Shared(app): Shelf, Segments(id): Id) -> Response {
    app.with(|desk| desk.transitions(&id))
}

async fn transition(Shared(app): Shelf, Segments(id): Id, body: Bytes) -> Response {
    app.with(|desk| desk.transition(&id, &body))
}

async fn queue(Shared(app): Shelf) -> Response {
    let page = pages::queue(&app.state().kept.issues);
    inert(page)
}

async fn ticket(Shared(app): Shelf, Segments(key): Id) -> Response {
    let state = app.state();
    let issue = state.kept.find(&key).and_then(|index| state.kept.issues.get(index));
    match issue {
        Some(issue) => inert(pages::ticket(issue)),
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

/// Faults, credentials and the log, around every request to the API.
async fn guard(Shared(app): Shelf, request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    let original = head
        .extensions
        .get::<axum::extract::OriginalUri>()
        .map_or_else(|| head.uri.clone(), |original| original.0.clone());
    let Ok(body) = to_bytes(body, MAX_BODY).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let method = head.method.clone();
    let response = match app.stopped(&method, &head.headers) {
        Some(response) => response,
        None => next.run(Request::from_parts(head, Body::from(body.clone()))).await,
    };
    let (head, answer) = response.into_parts();
    let answer = to_bytes(answer, usize::MAX).await.unwrap_or_default();
    let dropped = head.extensions.get::<Dropped>().is_some();
    let json = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).ok();
    let mut state = app.state();
    state.requests += 1;
    if state.log.len() == CAPACITY {
        state.log.pop_front();
    }
    state.log.push_back(Exchange {
        method: method.to_string(),
        path: original.path().to_owned(),
        query: original.query().unwrap_or_default().to_owned(),
        body: json(&body),
        status: (!dropped).then(|| head.status.as_u16()),
        response: if dropped { None } else { json(&answer) },
    });
    drop(state);
    Response::from_parts(head, Body::from(answer))
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
    let served = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection to the sandbox ended early");
    }
}
