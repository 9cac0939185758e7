//! Two listeners on loopback, virtual hosts by name, HTTP/1.1 and HTTP/2.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body as HttpBody, Bytes};
use axum::http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use futures::{StreamExt as _, future, stream};
use http_body_util::{BodyExt as _, Collected, Limited};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use jiff::Timestamp;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::content::{Ask, Body, Content, Reply, Scheme};
use super::log::{Log, LogEntry, MESSAGE};
use super::{DemoError, Files, certs, socket};

/// Replies in flight are given this long when the microsite stops.
const GRACE: Duration = Duration::from_millis(500);

/// What is sent with a request is read so far, in bytes.
const LONGEST_BODY: usize = 1 << 20;

/// A handshake that takes longer is given up.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// A running microsite. It stops when it is dropped.
pub struct Microsite {
    /// Where HTTPS is spoken; any name is served.
    pub https: SocketAddr,
    /// Where HTTP is spoken; any name is served.
    pub http: SocketAddr,
    /// Base64 of the SHA-256 of the hosts' public key, for `browser.trust_spki`.
    pub spki: String,
    /// The authority that signed the hosts' certificates, in PEM.
    pub ca_pem: String,
    /// `.test` names to the two listeners, for `browser.resolve`.
    pub resolve: Vec<(String, String)>,
    /// What was asked for.
    pub log: Log,
    stop: DropGuard,
    tasks: TaskTracker,
}

impl Microsite {
    /// Serves the demo's own content.
    pub async fn start() -> Result<Self, DemoError> {
        Self::serve(Files::demo()?).await
    }

    /// Serves other content.
    pub async fn serve(content: impl Content) -> Result<Self, DemoError> {
        let content: Arc<dyn Content> = Arc::new(content);
        let authority = certs::Authority::generate()?;
        let (spki, ca_pem) = (authority.spki(), authority.pem().to_owned());
        let tls = TlsAcceptor::from(Arc::new(certs::server_config(authority, Arc::clone(&content))?));
        let (secure, https) = listen().await?;
        let (in_the_clear, http) = listen().await?;

        let stop = CancellationToken::new();
        let log = Log::default();
        let tasks = TaskTracker::new();
        let host = Host {
            content,
            log: log.clone(),
            stop: stop.clone(),
            tasks: tasks.clone(),
        };
        tasks.spawn(host.clone().accept(secure, Some(tls)));
        tasks.spawn(host.accept(in_the_clear, None));
        Ok(Self {
            resolve: vec![
                ("*.test:443".to_owned(), https.to_string()),
                ("*.test:80".to_owned(), http.to_string()),
            ],
            https,
            http,
            spki,
            ca_pem,
            log,
            stop: stop.drop_guard(),
            tasks,
        })
    }

    /// Stops accepting, gives replies in flight half a second, and returns when every connection is closed.
    pub async fn stop(self) {
        drop(self.stop);
        self.tasks.close();
        self.tasks.wait().await;
    }
}

async fn listen() -> Result<(TcpListener, SocketAddr), DemoError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .map_err(DemoError::Listen)?;
    let address = listener.local_addr().map_err(DemoError::Listen)?;
    Ok((listener, address))
}

#[derive(Clone)]
struct Host {
    content: Arc<dyn Content>,
    log: Log,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Host {
    async fn accept(self, listener: TcpListener, tls: Option<TlsAcceptor>) {
        while let Some(accepted) = self.stop.run_until_cancelled(listener.accept()).await {
            match accepted {
                Ok((stream, _)) => {
                    self.tasks.spawn(self.clone().greet(stream, tls.clone()));
                }
                // Out of file descriptors, for example: spinning would not bring them back.
                Err(error) => {
                    tracing::warn!(%error, "the microsite cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    async fn greet(self, stream: TcpStream, tls: Option<TlsAcceptor>) {
        // Without effect on correctness; replies are many and small.
        let _ = stream.set_nodelay(true);
        let Some(tls) = tls else {
            return self.converse(stream, Scheme::Http).await;
        };
        let handshake = tokio::time::timeout(HANDSHAKE, tls.accept(stream));
        match self.stop.run_until_cancelled(handshake).await {
            Some(Ok(Ok(stream))) => self.converse(stream, Scheme::Https).await,
            Some(Ok(Err(error))) => tracing::debug!(%error, "no handshake"),
            Some(Err(_)) | None => {}
        }
    }

    async fn converse<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(self, stream: S, scheme: Scheme) {
        let stop = self.stop.clone();
        let service = hyper::service::service_fn(move |request| self.clone().answer(request, scheme));
        let mut server = auto::Builder::new(TokioExecutor::new());
        server.http1().timer(TokioTimer::new());
        server.http2().timer(TokioTimer::new());
        let mut connection = pin!(server.serve_connection_with_upgrades(TokioIo::new(stream), service));
        if stop.run_until_cancelled(connection.as_mut()).await.is_none() {
            connection.as_mut().graceful_shutdown();
            let _ = tokio::time::timeout(GRACE, connection).await;
        }
    }

    async fn answer(self, mut request: Request<Incoming>, scheme: Scheme) -> Result<Response<HttpBody>, Dropped> {
        let host = host_of(&request);
        let upgraded = hyper::upgrade::on(&mut request);
        let (request, body) = request.into_parts();
        let body = Limited::new(body, LONGEST_BODY).collect().await;
        let body = body.map(Collected::to_bytes).unwrap_or_default();
        let headers = &request.headers;
        let ask = Ask {
            scheme,
            host: &host,
            path: request.uri.path(),
            query: request.uri.query().unwrap_or_default(),
            method: &request.method,
            headers,
            body: &body,
        };
        let agent = headers.get("user-agent").and_then(|value| value.to_str().ok());
        let entry = LogEntry {
            at: Timestamp::now(),
            scheme,
            host: host.clone(),
            method: ask.method.to_string(),
            path: match ask.query {
                "" => ask.path.to_owned(),
                query => format!("{}?{query}", ask.path),
            },
            user_agent: agent.unwrap_or_default().to_owned(),
        };
        self.log.push(entry.clone());
        let mut reply = self.content.get(&ask);
        if reply.status == StatusCode::SWITCHING_PROTOCOLS {
            reply = socket::opened(reply, headers).ok_or(Dropped)?;
            let log = self.log.clone();
            let tell = move || {
                log.push(LogEntry {
                    at: Timestamp::now(),
                    method: MESSAGE.to_owned(),
                    ..entry.clone()
                });
            };
            let stop = self.stop.clone();
            self.tasks.spawn(stop.run_until_cancelled_owned(async move {
                if let Ok(stream) = upgraded.await {
                    let _ = socket::listen(TokioIo::new(stream), tell).await;
                }
            }));
        }
        if !reply.delay.is_zero() {
            tokio::time::sleep(reply.delay).await;
        }
        respond(reply).await
    }
}

/// The name that a request is for: of its target with HTTP/2, else of its `Host` header.
fn host_of<B>(request: &Request<B>) -> String {
    let authority = request.uri().host().map(str::to_owned).or_else(|| {
        let value = request.headers().get("host")?.to_str().ok()?;
        value.split(':').next().map(str::to_owned)
    });
    authority.unwrap_or_default().to_ascii_lowercase()
}

/// Told to the HTTP library, which then breaks the connection.
#[derive(Debug, thiserror::Error)]
#[error("dropped as the content asked")]
struct Dropped;

/// Breaks the connection, but lets what was written before be sent.
async fn cut() -> Result<Bytes, Dropped> {
    tokio::task::yield_now().await;
    Err(Dropped)
}

async fn respond(reply: Reply) -> Result<Response<HttpBody>, Dropped> {
    let ok = |bytes| Ok::<Bytes, Infallible>(bytes);
    let body = match reply.body {
        Body::Full(bytes) => HttpBody::from(bytes),
        Body::Never(bytes) => HttpBody::from_stream(stream::iter([ok(bytes)]).chain(stream::pending())),
        Body::Cut(bytes) => HttpBody::from_stream(stream::iter([Ok(bytes)]).chain(stream::once(cut()))),
        Body::Stream(bytes) => HttpBody::from_stream(bytes.map(ok)),
        Body::Silence => future::pending().await,
        Body::Drop => return Err(Dropped),
    };
    let mut response = Response::new(body);
    *response.status_mut() = reply.status;
    for (name, value) in reply.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(&name), HeaderValue::try_from(&value)) {
            response.headers_mut().append(name, value);
        } else {
            tracing::warn!(name, value, "not a header");
        }
    }
    Ok(response)
}

#[cfg(test)]
mod tests;
