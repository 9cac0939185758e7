//! A browser that somebody else runs: reached over its web socket, and asked whether it is fit.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_tungstenite::tokio::{TokioAdapter, client_async_with_config};
use async_tungstenite::tungstenite;
use chromiumoxide::cdp::browser_protocol::browser;
use http_body_util::{BodyExt as _, Collected, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, HOST};
use hyper::http::request::Builder;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::{Host, Url};

use super::CALL;
use super::connection::{CdpError, Connection, MAX_MESSAGE};
use super::events::{CommandLineAnswer, VersionAnswer};
use super::flags::Switches;
use crate::config::Endpoint;
use crate::egress::authorization;

/// A browser that takes longer to be connected to is none.
const PATIENCE: Duration = Duration::from_secs(8);
/// The answer to `/json/version` at most, in bytes.
const LONGEST: usize = 64 << 10;
/// Older ones do not know all the switches on which what is promised rests.
const LEAST: u32 = 150;

/// Why a browser of others cannot be used. Each completes "BROWSER …", and none repeats its URL.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unfit {
    #[error("does not answer ({0}); start it there, or correct the URL")]
    Dial(#[from] io::Error),
    #[error("does not speak TLS as it should ({0}); check its certificate")]
    Tls(String),
    #[error("did not answer within {0:?}; check that it runs and that nothing is between")]
    Slow(Duration),
    #[error("is no browser: {0}; write the URL of its debugging port, or its own `ws` URL")]
    NoBrowser(String),
    #[error("wants to be called by its address; write that instead of its name")]
    Name,
    #[error("is {0}, which is too old; version {LEAST} is needed")]
    Old(String),
    #[error("does not say how it was started; start it as `phantom browser --print` shows, with --enable-automation")]
    Silent,
    #[error("was started without {0}; start it as `phantom browser --print` shows")]
    Switches(String),
    #[error("was started with {0}, which hides flaws or lets through what is to be stopped; start it without")]
    Refused(&'static str),
    #[error(
        "does not reach our proxy on this machine's loopback, so it runs on another machine; write it as `{{ url = …, \
         direct = true }}`"
    )]
    Elsewhere,
    #[error("failed: {0}")]
    Call(#[from] CdpError),
}

impl Unfit {
    /// Only a person can change it.
    pub fn lasts(&self) -> bool {
        matches!(
            self,
            Self::Name | Self::Old(_) | Self::Silent | Self::Switches(_) | Self::Refused(_) | Self::Elsewhere
        )
    }
}

/// A browser of others that is connected to, and fit.
pub(super) struct Reached {
    pub connection: Connection,
    /// Its version: `156.0.8078.79`.
    pub version: String,
    pub sandboxed: bool,
    /// Its own traffic goes nowhere.
    pub leads_nowhere: bool,
}

pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}
/// TCP, with TLS or without.
type Wire = Box<dyn Stream>;
/// What a web socket speaks over.
pub(super) type Line = TokioAdapter<Wire>;
/// A web socket to a browser.
pub(super) type Socket = async_tungstenite::WebSocketStream<Line>;

/// Connects to a browser and makes sure that it is fit; `trusted` are keys whose certificates it must accept.
pub(super) async fn reach(endpoint: &Endpoint, trusted: &[String]) -> Result<Reached, Unfit> {
    let url = endpoint.expose();
    let connected = tokio::time::timeout(PATIENCE, async {
        match connect(url, None).await {
            // Chromium answers names with this, lest pages of others get at it through them.
            Err(Unfit::Name) if matches!(url.host(), Some(Host::Domain(_))) => {
                connect(url, Some(peer(url).await?)).await
            }
            connected => connected,
        }
    });
    let connection = Connection::over_socket(connected.await.map_err(|_| Unfit::Slow(PATIENCE))??);
    examine(&connection, trusted).await.map_or_else(
        |unfit| {
            connection.close();
            Err(unfit)
        },
        |(version, sandboxed, leads_nowhere)| {
            Ok(Reached {
                connection: connection.clone(),
                version,
                sandboxed,
                leads_nowhere,
            })
        },
    )
}

async fn examine(connection: &Connection, trusted: &[String]) -> Result<(String, bool, bool), Unfit> {
    let browser = connection.browser();
    let VersionAnswer { product } = browser.call(browser::GetVersionParams::default(), CALL).await?;
    let version = product.split_once('/').map(|(_, version)| version.to_owned());
    let version = version.ok_or_else(|| Unfit::NoBrowser("it names no version".to_owned()))?;
    let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major.is_none_or(|major| major < LEAST) {
        return Err(Unfit::Old(product.chars().take(60).collect()));
    }
    let asked = browser
        .call(browser::GetBrowserCommandLineParams::default(), CALL)
        .await;
    let arguments = match asked {
        Ok(CommandLineAnswer { arguments }) => arguments,
        Err(CdpError::Refused { .. }) => return Err(Unfit::Silent),
        Err(error) => return Err(error.into()),
    };
    let switches = Switches(&arguments);
    switches.judge(trusted)?;
    Ok((version, switches.sandboxed(), switches.leads_nowhere()))
}

/// With `called`, the browser is called by its address instead of its name.
async fn connect(url: &Url, called: Option<SocketAddr>) -> Result<Socket, Unfit> {
    let mut at = url.clone();
    let own = matches!(url.scheme(), "ws" | "wss") && url.path() != "/";
    if !own {
        let (path, query) = ask(url, called).await?;
        at.set_path(&path);
        at.set_query(query.as_deref());
    }
    let request = asking(&at, called, "ws://browser")
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", tungstenite::handshake::client::generate_key())
        .body(());
    let request = request.map_err(|_| Unfit::NoBrowser("its URL cannot be asked for".to_owned()))?;
    let limits = tungstenite::protocol::WebSocketConfig::default()
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE));
    match client_async_with_config(request, dial(url).await?, Some(limits)).await {
        Ok((socket, _)) => Ok(socket),
        Err(tungstenite::Error::Http(answer)) if answer.status() == StatusCode::INTERNAL_SERVER_ERROR => {
            Err(Unfit::Name)
        }
        Err(tungstenite::Error::Http(answer)) => Err(Unfit::NoBrowser(format!("it answers {}", answer.status()))),
        Err(tungstenite::Error::Io(error)) => Err(error.into()),
        Err(error) => {
            tracing::debug!(%error, "no web socket to a remote browser");
            Err(Unfit::NoBrowser("it opens no web socket".to_owned()))
        }
    }
}

/// Where a browser's web socket is: its path and query.
async fn ask(url: &Url, called: Option<SocketAddr>) -> Result<(String, Option<String>), Unfit> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Version {
        web_socket_debugger_url: String,
    }
    let broken = |error: hyper::Error| Unfit::NoBrowser(error.to_string());
    let prefix = url.path().trim_end_matches('/');
    let mut at = url.clone();
    at.set_path(&format!("{prefix}/json/version"));
    let request = asking(&at, called, "").body(Empty::<Bytes>::new());
    let request = request.map_err(|_| Unfit::NoBrowser("its URL cannot be asked for".to_owned()))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(dial(url).await?)).await.map_err(broken)?;
    let speaking = tokio::spawn(connection);
    let answer = sender.send_request(request).await.map_err(broken)?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), LONGEST).collect().await;
    speaking.abort();
    let body = body.map(Collected::to_bytes).unwrap_or_default();
    if status == StatusCode::INTERNAL_SERVER_ERROR && String::from_utf8_lossy(&body).contains("Host header") {
        return Err(Unfit::Name);
    }
    let version = serde_json::from_slice::<Version>(&body)
        .ok()
        .filter(|_| status == StatusCode::OK);
    let socket = version.and_then(|version| Url::parse(&version.web_socket_debugger_url).ok());
    let socket = socket.ok_or_else(|| Unfit::NoBrowser(format!("/json/version answers {status}")))?;
    // What is in front of the browser may add to its path, and wants its token with each request.
    let path = socket.path().strip_prefix(prefix).unwrap_or(socket.path());
    let query = socket.query().or(url.query()).map(str::to_owned);
    Ok((format!("{prefix}{path}"), query))
}

/// A request for a path of the browser, with the login that its URL has. `origin` is not sent:
/// the library for web sockets wants whole URLs.
fn asking(url: &Url, called: Option<SocketAddr>, origin: &str) -> Builder {
    let host = match (called, url.host_str(), url.port()) {
        (Some(address), ..) => address.to_string(),
        (None, host, None) => host.unwrap_or_default().to_owned(),
        (None, host, Some(port)) => format!("{}:{port}", host.unwrap_or_default()),
    };
    let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
    let request = Request::get(format!("{origin}{}{query}", url.path())).header(HOST, host);
    match authorization(url) {
        Some(login) => request.header(AUTHORIZATION, login),
        None => request,
    }
}

fn place(url: &Url) -> Result<(String, u16), Unfit> {
    let host = match url.host() {
        Some(Host::Domain(name)) => name.to_owned(),
        Some(Host::Ipv4(address)) => address.to_string(),
        Some(Host::Ipv6(address)) => address.to_string(),
        None => String::new(),
    };
    let port = url.port_or_known_default();
    port.map(|port| (host, port))
        .ok_or_else(|| Unfit::NoBrowser("its URL has no port".to_owned()))
}

async fn peer(url: &Url) -> Result<SocketAddr, Unfit> {
    let mut found = tokio::net::lookup_host(place(url)?).await?;
    found
        .next()
        .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound).into())
}

async fn dial(url: &Url) -> Result<Wire, Unfit> {
    let (host, port) = place(url)?;
    let stream = TcpStream::connect((host.as_str(), port)).await?;
    stream.set_nodelay(true)?;
    if matches!(url.scheme(), "http" | "ws") {
        return Ok(Box::new(stream));
    }
    let broken = |error: &dyn std::fmt::Display| Unfit::Tls(error.to_string());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = rustls_platform_verifier::Verifier::new(Arc::clone(&provider)).map_err(|error| broken(&error))?;
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| broken(&error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    let name = rustls_pki_types::ServerName::try_from(host).map_err(|error| broken(&error))?;
    let connected = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    Ok(Box::new(connected.map_err(|error| broken(&error))?))
}
