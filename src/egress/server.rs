//! Takes connections and hands each request to [`tunnel`] or [`forward`].

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{Either, Empty, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;

use super::dial::Dialer;
use super::error::DialError;
use super::forward::{self, Kept};
use super::ledger::Ledger;
use super::tunnel;
use super::{CODE_HEADER, HELLO, MayPass};

/// Connections of clients at once; further ones wait. Chromium opens up to 64 to a proxy.
const MAX_CLIENTS: usize = 512;
/// Headers of a request or response at most.
pub(super) const MAX_HEADERS: usize = 256;
/// The head of a request or response at most, in bytes: Chromium's own limit for a response.
pub(super) const MAX_HEAD: usize = 256 * 1024;
/// The pause after a failed accept, which is mostly a lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// An answer of ours, or a server's, streamed.
pub(super) type Body = Either<Incoming, Either<Full<Bytes>, Empty<Bytes>>>;

/// How long is waited for whom.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// For the head of a client's request, and between two requests.
    pub(super) request: Duration,
    /// For the head of a server's response.
    pub(super) response: Duration,
    /// For one direction of a tunnel after the other has ended. Browsers close both; without a limit a server that
    /// keeps silent would hold the connection for ever.
    pub(super) linger: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        let [request, response, linger] = [60, 60, 15].map(Duration::from_secs);
        Self {
            request,
            response,
            linger,
        }
    }
}

/// What all connections share.
#[derive(Debug)]
pub(super) struct Proxy {
    pub(super) dialer: Dialer,
    pub(super) ledger: Arc<Ledger>,
    pub(super) may_pass: Option<MayPass>,
    pub(super) tasks: TaskTracker,
    pub(super) patience: Patience,
}

/// One connection of a client.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) proxy: Arc<Proxy>,
    /// The server that was spoken to last, if it may be spoken to again.
    pub(super) kept: Mutex<Option<Kept>>,
    /// Held until connection and tunnel are over.
    _slot: OwnedSemaphorePermit,
}

/// Accepts until its task is cancelled.
pub(super) async fn serve(listener: TcpListener, proxy: Arc<Proxy>) {
    let slots = Arc::new(Semaphore::new(MAX_CLIENTS));
    while let Ok(slot) = Arc::clone(&slots).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let client = Arc::new(Client {
                    proxy: Arc::clone(&proxy),
                    kept: Mutex::new(None),
                    _slot: slot,
                });
                let stop = proxy.ledger.stop.clone();
                proxy.tasks.spawn(stop.run_until_cancelled_owned(speak(stream, client)));
            }
            Err(error) => {
                tracing::debug!(%error, "the egress proxy could not accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Answers the requests of one client.
async fn speak(stream: TcpStream, client: Arc<Client>) {
    let _ = stream.set_nodelay(true);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(client.proxy.patience.request)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEAD)
        .preserve_header_case(true)
        .auto_date_header(false)
        .serve_connection(
            TokioIo::new(stream),
            service_fn(|request| answer(Arc::clone(&client), request)),
        )
        .with_upgrades();
    if let Err(error) = connection.await {
        tracing::trace!(%error, "a client of the egress proxy was dropped");
    }
}

async fn answer(client: Arc<Client>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    if request.uri().host() == Some(HELLO) {
        return Ok(hello(client.proxy.dialer.own_address()));
    }
    let result = if request.method() == Method::CONNECT {
        tunnel::open(client, request).await
    } else {
        forward::pass_on(&client, request).await
    };
    Ok(result.unwrap_or_else(|error| failure(&error)))
}

/// Tells whoever asks that it speaks through this proxy.
fn hello(own: SocketAddr) -> Response<Body> {
    let mut response = Response::new(Either::Right(Either::Left(Full::from(own.to_string()))));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The answer for what could not be done.
fn failure(error: &DialError) -> Response<Body> {
    let mut response = Response::new(Either::Right(Either::Left(Full::from(format!("{error}\n")))));
    *response.status_mut() = match error {
        DialError::Malformed { .. } => StatusCode::BAD_REQUEST,
        _ => StatusCode::BAD_GATEWAY,
    };
    let headers = response.headers_mut();
    headers.insert(CODE_HEADER, HeaderValue::from_static(error.code()));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
