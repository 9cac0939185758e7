//! Speaks Jira Cloud REST v3: one method a request, every outcome typed.
//!
//! No redirect is followed and nothing is sent again here: both could do a change twice. Who decides what happens
//! after a [`Failure`] is the caller.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::StatusCode;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, RETRY_AFTER};
use rustls_platform_verifier::BuilderVerifierExt as _;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;
use tokio::time::Instant;
use url::{Host, Url};

use super::call::Call;
use super::credentials::{Credentials, SetupError};
use super::failure::{Failure, Rejection};
use super::text;
use super::wire::{Comment, CreatedIssue, Issue, Myself, NewComment, NewIssue, Property, SearchRequest, Stamp};
use crate::config::{Deployment, JiraConfig};
use crate::triage::Fingerprint;

/// An answer beyond this many bytes is not read.
const MAX_ANSWER: usize = 8 << 20;
/// Pages of one search that are read at most: 50 issues each carry one label.
const MAX_PAGES: usize = 20;
/// The pause after a 429 that does not say how long.
const DEFAULT_PAUSE: Duration = Duration::from_mins(1);
/// The longest pause that is believed.
const MAX_PAUSE: Duration = Duration::from_hours(24);

/// A connection to one Jira.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    credentials: Credentials,
    pace: Duration,
    next: Mutex<Option<Instant>>,
}

/// Leave to send one changing request now. It is taken before the intention is recorded, so that no wait lies between
/// the record and the request.
#[derive(Debug)]
#[must_use]
pub struct Permit(());

impl Client {
    /// Sets up a connection; nothing is sent yet.
    pub fn new(config: &JiraConfig) -> Result<Self, SetupError> {
        if config.deployment != Deployment::Cloud {
            return Err(SetupError::Deployment);
        }
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("phantom-gang/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .timeout(config.timeout)
            .connect_timeout(config.timeout.min(Duration::from_secs(10)))
            .tls_backend_preconfigured(tls(&config.base_url)?);
        if is_loopback(&config.base_url) {
            builder = builder.no_proxy();
        }
        Ok(Self {
            http: builder.build().map_err(|error| SetupError::Http(describe(&error)))?,
            base: config.base_url.clone(),
            credentials: Credentials::read(&config.auth)?,
            pace: Duration::try_from_secs_f64(1.0 / config.requests_per_s).unwrap_or(Duration::from_millis(500)),
            next: Mutex::new(None),
        })
    }

    /// Waits for the pace and gives leave to send one changing request.
    pub async fn permit(&self) -> Permit {
        self.paced().await;
        Permit(())
    }

    /// Who are we?
    pub async fn myself(&self) -> Result<Myself, Failure> {
        self.read(Call::myself()).await
    }

    /// Creates an issue with fields, label and entity property in one request.
    pub async fn create_issue(&self, permit: Permit, issue: &NewIssue) -> Result<CreatedIssue, Failure> {
        self.change(permit, Call::create_issue(issue)).await
    }

    /// Reads an issue by id or key.
    pub async fn issue(&self, id: &str) -> Result<Issue, Failure> {
        self.read(Call::issue(id)).await
    }

    /// Reads all pages of the search for the ticket of a finding.
    pub async fn find(
        &self,
        projects: &[String],
        fingerprint: &Fingerprint,
        generation: u32,
    ) -> Result<Vec<Issue>, Failure> {
        self.search(SearchRequest::for_ticket(projects, fingerprint, generation))
            .await
    }

    /// Reads all pages of a search, 20 at most.
    pub async fn search(&self, mut request: SearchRequest) -> Result<Vec<Issue>, Failure> {
        let mut issues = Vec::new();
        for _ in 0..MAX_PAGES {
            let page: super::wire::SearchPage = self.read(Call::search(&request)).await?;
            issues.extend(page.issues);
            request.next_page_token = page.next_page_token;
            if request.next_page_token.is_none() {
                break;
            }
        }
        Ok(issues)
    }

    /// Sets our entity property.
    pub async fn set_stamp(&self, permit: Permit, id: &str, stamp: &Stamp) -> Result<(), Failure> {
        let Permit(()) = permit;
        self.send(&Call::set_stamp(id, stamp)).await.map(|_| ())
    }

    /// Reads our entity property; `None` if the issue has none, or one that is not ours.
    pub async fn stamp(&self, id: &str) -> Result<Option<Stamp>, Failure> {
        match self.read::<Property>(Call::stamp(id)).await {
            Ok(property) => Ok(serde_json::from_value(property.value).ok()),
            Err(Failure::NotFound { .. }) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Adds a comment.
    pub async fn add_comment(&self, permit: Permit, id: &str, comment: &NewComment) -> Result<Comment, Failure> {
        self.change(permit, Call::add_comment(id, comment)).await
    }

    async fn read<T: DeserializeOwned>(&self, call: Call) -> Result<T, Failure> {
        self.paced().await;
        let body = self.send(&call).await?;
        parse(&call, &body)
    }

    async fn change<T: DeserializeOwned>(&self, permit: Permit, call: Call) -> Result<T, Failure> {
        let Permit(()) = permit;
        let body = self.send(&call).await?;
        parse(&call, &body)
    }

    async fn paced(&self) {
        let turn = {
            let mut next = self.next.lock().await;
            let turn = next.map_or_else(Instant::now, |next| next.max(Instant::now()));
            *next = Some(turn + self.pace);
            turn
        };
        tokio::time::sleep_until(turn).await;
    }

    async fn send(&self, call: &Call) -> Result<Vec<u8>, Failure> {
        let mut request = self
            .http
            .request(call.method.clone(), call.url(&self.base))
            .header(AUTHORIZATION, self.credentials.header())
            .header(ACCEPT, "application/json");
        if let Some(body) = &call.body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(|error| broken(call, &error))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = capped(response).await;
        if status.is_success() {
            return body.map_err(|why| no_answer(call, why));
        }
        tracing::debug!(call = %call.name(), status = status.as_u16(), "Jira did not do it");
        Err(failure(call, status, &headers, &body.unwrap_or_default()))
    }
}

fn tls(base: &Url) -> Result<rustls::ClientConfig, SetupError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| SetupError::Tls(error.to_string()))?;
    match base.scheme() {
        "https" => Ok(builder
            .with_platform_verifier()
            .map_err(|error| SetupError::Tls(error.to_string()))?
            .with_no_client_auth()),
        // The sandbox is spoken to in the clear, also on machines that have no certificates.
        "http" => Ok(builder
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth()),
        _ => Err(SetupError::BaseUrl(base.to_string())),
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

async fn capped(mut response: reqwest::Response) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| describe(&error))? {
        if body.len() + chunk.len() > MAX_ANSWER {
            return Err(format!("the answer is larger than {MAX_ANSWER} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn parse<T: DeserializeOwned>(call: &Call, body: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|error| no_answer(call, format!("the answer cannot be read: {error}")))
}

/// The request failed before a status came.
fn broken(call: &Call, error: &reqwest::Error) -> Failure {
    if error.is_connect() || error.is_builder() {
        return Failure::NotSent {
            call: call.name(),
            why: describe(error),
        };
    }
    no_answer(call, describe(error))
}

/// No proper answer came to a request that may have arrived.
fn no_answer(call: &Call, why: String) -> Failure {
    let (call, mutates) = (call.name(), call.mutates);
    if mutates {
        Failure::Uncertain { call, why }
    } else {
        Failure::NotSent { call, why }
    }
}

fn failure(call: &Call, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Failure {
    let name = call.name();
    let rejection = rejection(status, body);
    let why = rejection
        .messages
        .first()
        .map_or_else(String::new, |message| format!(": {message}"));
    match status.as_u16() {
        400 | 413 | 422 => Failure::Rejected { call: name, rejection },
        401 => Failure::Unauthorized { call: name, why },
        403 => Failure::Forbidden { call: name, why },
        404 => Failure::NotFound { call: name },
        409 => Failure::NotSent {
            call: name,
            why: format!("a conflicting change was made at the same time (409){why}"),
        },
        429 => Failure::RateLimited {
            call: name,
            retry_after: retry_after(headers, Timestamp::now()),
        },
        408 | 500.. => no_answer(call, format!("status {status}{why}")),
        status => Failure::Misconfigured { call: name, status },
    }
}

/// Seconds, or a date; see RFC 9110, section 10.2.3.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Duration {
    let Some(text) = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()) else {
        return DEFAULT_PAUSE;
    };
    let pause = if let Ok(seconds) = text.trim().parse::<u64>() {
        Duration::from_secs(seconds)
    } else if let Ok(date) = jiff::fmt::rfc2822::parse(text.trim()) {
        Duration::try_from(date.timestamp().duration_since(now)).unwrap_or_default()
    } else {
        DEFAULT_PAUSE
    };
    pause.clamp(Duration::from_secs(1), MAX_PAUSE)
}

fn rejection(status: StatusCode, body: &[u8]) -> Rejection {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Said {
        #[serde(default)]
        error_messages: Vec<String>,
        #[serde(default)]
        errors: BTreeMap<String, serde_json::Value>,
    }
    let said: Said = serde_json::from_slice(body).unwrap_or_default();
    let safe = |message: &str| text::cut(&text::line(message), 300);
    Rejection {
        status: status.as_u16(),
        messages: said.error_messages.iter().take(10).map(|one| safe(one)).collect(),
        fields: said
            .errors
            .iter()
            .take(50)
            .map(|(field, message)| {
                let message = message.as_str().map_or_else(|| message.to_string(), str::to_owned);
                (safe(field), safe(&message))
            })
            .collect(),
    }
}

/// An error with its causes. The URL is left out: it says nothing that the caller does not say.
fn describe(error: &reqwest::Error) -> String {
    let mut out = String::new();
    let mut next: Option<&dyn std::error::Error> = std::error::Error::source(error);
    while let Some(cause) = next {
        if !out.is_empty() {
            out.push_str(": ");
        }
        out.push_str(&cause.to_string());
        next = cause.source();
    }
    if error.is_timeout() {
        return format!("no answer in time ({out})");
    }
    if out.is_empty() {
        out.push_str("the request failed");
    }
    text::cut(&text::line(&out), 300)
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    #[test]
    fn every_status_has_its_outcome() {
        let create = Call {
            mutates: true,
            ..Call::myself()
        };
        let kind = |call: &Call, status: u16| {
            let failure = failure(
                call,
                StatusCode::from_u16(status).unwrap(),
                &HeaderMap::new(),
                br#"{"errorMessages":["no\u001b"],"errors":{"f":"bad","g":{"x":1}}}"#,
            );
            let text = format!("{failure:?}");
            text.split([' ', '{']).next().unwrap().to_owned()
        };
        for (status, changing, reading) in [
            (302, "Misconfigured", "Misconfigured"),
            (400, "Rejected", "Rejected"),
            (401, "Unauthorized", "Unauthorized"),
            (403, "Forbidden", "Forbidden"),
            (404, "NotFound", "NotFound"),
            (405, "Misconfigured", "Misconfigured"),
            (408, "Uncertain", "NotSent"),
            (409, "NotSent", "NotSent"),
            (410, "Misconfigured", "Misconfigured"),
            (413, "Rejected", "Rejected"),
            (422, "Rejected", "Rejected"),
            (429, "RateLimited", "RateLimited"),
            (500, "Uncertain", "NotSent"),
            (503, "Uncertain", "NotSent"),
        ] {
            assert_eq!(kind(&create, status), changing, "{status}");
            assert_eq!(kind(&Call::myself(), status), reading, "{status}");
        }
    }

    #[test]
    fn a_refusal_is_told_safely() {
        let read = rejection(
            StatusCode::BAD_REQUEST,
            br#"{"errorMessages":["no\u001b[31m"],"errors":{"summary":"bad","g":{"x":1}}}"#,
        );
        assert_eq!(
            read.to_string(),
            r#"Jira refused it (400); no\u{1b}[31m; field g: {"x":1}; field summary: bad"#
        );
        assert_eq!(
            rejection(StatusCode::BAD_REQUEST, b"<html>").messages,
            Vec::<String>::new()
        );
    }

    #[test]
    fn pauses_are_read() {
        let now: Timestamp = "2026-11-23T05:00:00Z".parse().unwrap();
        for (value, seconds) in [
            ("7", 7),
            ("0", 1),
            ("99999999", 24 * 3600),
            ("Mon, 23 Nov 2026 05:00:30 GMT", 30),
            ("Mon, 23 Nov 2020 05:00:30 GMT", 1),
            ("soon", 60),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_static(value));
            assert_eq!(retry_after(&headers, now).as_secs(), seconds, "{value}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), DEFAULT_PAUSE);
    }
}
