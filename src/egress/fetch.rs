//! Our own requests (robots.txt, sitemaps, answers to the questions of checks), through the same proxy as the browsers.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Proxy, Response, redirect};
use tokio::time::timeout;
use url::Url;

use super::ledger::Ledger;
use super::target::Target;
use super::{CODE_HEADER, DialError, Egress, trust};

/// What a fetch brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The status.
    pub status: u16,
    /// The headers in the order of the response, names in lower case. Bytes that are not UTF-8 are replaced.
    pub headers: Vec<(String, String)>,
    /// The body, decompressed, cut at the limit.
    pub body: Vec<u8>,
    /// There was more than the limit.
    pub truncated: bool,
}

impl Fetched {
    /// The first value of a header; `name` in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(have, _)| have == name)
            .map(|(_, value)| value.as_str())
    }
}

/// Why a fetch brought nothing. URLs are shown without user names.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The fetcher could not be made.
    #[error("own fetches cannot be made: {0}; check network.user_agent and browser.trust_spki")]
    Setup(String),
    /// The request cannot be sent as it is.
    #[error("{url}: the request cannot be sent: {reason}")]
    Request {
        /// The URL.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The server could not be reached.
    #[error("{url}: {source}")]
    Reach {
        /// The URL.
        url: String,
        /// Why, and what to do.
        source: DialError,
    },
    /// The server's certificate or handshake was not accepted.
    #[error("{url}: TLS failed: {reason}; repair the certificate, or name its key in browser.trust_spki")]
    Tls {
        /// The URL.
        url: String,
        /// What TLS said.
        reason: String,
    },
    /// Too slow.
    #[error("{url}: no {stage} within {limit:?}; try again, or look at the server's load")]
    TimedOut {
        /// The URL.
        url: String,
        /// What was waited for: `response` or `end of the body`.
        stage: &'static str,
        /// The limit.
        limit: Duration,
    },
    /// The connection broke, or what came was not HTTP.
    #[error("{url}: the {stage} broke off: {reason}; try again, or look at the server's log")]
    Broken {
        /// The URL.
        url: String,
        /// What broke off: `response` or `body`.
        stage: &'static str,
        /// What was wrong.
        reason: String,
    },
}

impl FetchError {
    /// Whether the next try may bring something, and is soon over if not.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Reach { source, .. } => {
                !matches!(source.code(), "resolve" | "refused" | "timeout" | "budget" | "cut")
            }
            Self::TimedOut { .. } | Self::Broken { .. } => true,
            Self::Setup(_) | Self::Request { .. } | Self::Tls { .. } => false,
        }
    }

    /// Whether nothing at all can be had of the origin of this URL, as far as this error says it.
    pub fn loses_origin(&self, origin: &Url) -> bool {
        let (url, lost) = match self {
            Self::Setup(_) => return true,
            Self::Reach { url, source } => (url, !source.had_connection()),
            Self::Tls { url, .. } => (url, true),
            Self::Request { .. } | Self::TimedOut { .. } | Self::Broken { .. } => return false,
        };
        // A redirect may have led elsewhere.
        lost && Url::parse(url).is_ok_and(|url| url.origin() == origin.origin())
    }
}

/// Makes requests of our own. Cheap to clone; redirects are never followed, cookies never kept.
#[derive(Debug, Clone)]
pub struct Fetcher {
    client: Client,
    egress: SocketAddr,
    ledger: Arc<Ledger>,
}

impl Fetcher {
    /// Makes a fetcher that speaks through `egress` and no other proxy, whatever the environment says.
    ///
    /// `trust_spki` holds the base64 of the SHA-256 of public keys; a server that proves to hold one of them needs no
    /// valid certificate. Only the server's own certificate is looked at, not its issuers.
    pub fn new(egress: &Egress, trust_spki: &[String], user_agent: &str) -> Result<Self, FetchError> {
        let tls = trust::client_config(trust_spki).map_err(|error| FetchError::Setup(error.to_string()))?;
        let setup = |error: reqwest::Error| FetchError::Setup(reason(&error));
        let client = Client::builder()
            .no_proxy()
            .proxy(Proxy::all(format!("http://{}", egress.address)).map_err(setup)?)
            .tls_backend_preconfigured(tls)
            .redirect(redirect::Policy::none())
            .referer(false)
            .user_agent(user_agent)
            .pool_idle_timeout(Duration::from_secs(15))
            .build()
            .map_err(setup)?;
        Ok(Self {
            client,
            egress: egress.address,
            ledger: Arc::clone(&egress.ledger),
        })
    }

    /// Gets an `http:` or `https:` URL. At most `max_bytes` of the body are kept; `limit` holds for all of it, from
    /// resolving the name to the end of the body.
    pub async fn get(
        &self,
        url: &Url,
        headers: &[(String, String)],
        max_bytes: usize,
        limit: Duration,
    ) -> Result<Fetched, FetchError> {
        let shown = shown(url);
        let target = target_of(url).ok_or_else(|| FetchError::Request {
            url: shown.clone(),
            reason: "only http and https URLs with a host can be fetched".to_owned(),
        })?;
        let headers = header_map(headers).map_err(|reason| FetchError::Request {
            url: shown.clone(),
            reason,
        })?;
        let mut stage = "response";
        let fetched = timeout(limit, async {
            let sent = self.client.get(url.clone()).headers(headers).send().await;
            let response = sent.map_err(|error| self.explain(&error, &target, &shown))?;
            if let Some(source) = self.own_answer(&response, &target, url) {
                return Err(FetchError::Reach {
                    url: shown.clone(),
                    source,
                });
            }
            stage = "end of the body";
            receive(response, max_bytes, &shown).await
        });
        let fetched = fetched.await;
        fetched.unwrap_or_else(|_| {
            Err(FetchError::TimedOut {
                url: shown.clone(),
                stage,
                limit,
            })
        })
    }

    /// The error behind an answer that the proxy gave in the server's place. Only in the clear can that be told.
    fn own_answer(&self, response: &Response, target: &Target, url: &Url) -> Option<DialError> {
        (url.scheme() == "http" && response.headers().contains_key(CODE_HEADER)).then(|| {
            self.ledger.last_error(target).unwrap_or_else(|| DialError::Connect {
                target: target.to_string(),
                reason: "the egress proxy could not reach it".to_owned(),
            })
        })
    }

    fn explain(&self, error: &reqwest::Error, target: &Target, url: &str) -> FetchError {
        let url = url.to_owned();
        if let Some(tls) = tls_error(error) {
            return FetchError::Tls {
                url,
                reason: tls.to_string(),
            };
        }
        if error.is_connect() {
            let unreachable = || DialError::Connect {
                target: target.to_string(),
                reason: format!("through the egress proxy at {}: {}", self.egress, reason(error)),
            };
            let stopped = self.ledger.stop.is_cancelled().then_some(DialError::Cut);
            let source = stopped
                .or_else(|| self.ledger.last_error(target))
                .unwrap_or_else(unreachable);
            return FetchError::Reach { url, source };
        }
        if error.is_builder() || error.is_request() && error.source().is_none() {
            return FetchError::Request {
                url,
                reason: reason(error),
            };
        }
        FetchError::Broken {
            url,
            stage: "response",
            reason: reason(error),
        }
    }
}

async fn receive(mut response: Response, max_bytes: usize, url: &str) -> Result<Fetched, FetchError> {
    let headers = response
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    let mut fetched = Fetched {
        status: response.status().as_u16(),
        headers,
        body: Vec::new(),
        truncated: false,
    };
    while let Some(chunk) = response.chunk().await.map_err(|error| broken_body(&error, url))? {
        let room = max_bytes - fetched.body.len();
        fetched.body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if chunk.len() > room {
            fetched.truncated = true;
            break;
        }
    }
    Ok(fetched)
}

fn broken_body(error: &reqwest::Error, url: &str) -> FetchError {
    FetchError::Broken {
        url: url.to_owned(),
        stage: "body",
        reason: reason(error),
    }
}

fn target_of(url: &Url) -> Option<Target> {
    matches!(url.scheme(), "http" | "https").then_some(())?;
    Some(Target {
        host: url.host()?.to_owned(),
        port: url.port_or_known_default()?,
    })
}

fn header_map(headers: &[(String, String)]) -> Result<HeaderMap, String> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let wrong = || format!("the header `{name}` is not valid");
        map.append(
            HeaderName::try_from(name).map_err(|_| wrong())?,
            HeaderValue::try_from(value).map_err(|_| wrong())?,
        );
    }
    Ok(map)
}

/// The URL as it may be logged.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    // Both fail only for URLs that can have neither.
    let _ = url.set_password(None);
    let _ = url.set_username("");
    url.into()
}

/// The deepest cause that says something; what lies above it only names layers.
fn reason(error: &dyn Error) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

/// The TLS error among the causes. An I/O error hides the one it carries from `source`.
fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(tls) = error.downcast_ref() {
            return Some(tls);
        }
        let inside = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = inside
            .map(|inside| inside as &(dyn Error + 'static))
            .or_else(|| error.source());
    }
    None
}
