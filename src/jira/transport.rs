//! Carries a [`Call`] to Jira and says what became of it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::StatusCode;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, RETRY_AFTER};
use reqwest::multipart::{Form, Part};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;
use tokio::time::Instant;
use url::{Host, Url};

use super::call::Call;
use super::credentials::{Credentials, SetupError};
use super::failure::{Failure, Rejection};
use super::text;
use crate::config::JiraConfig;

/// An answer beyond this many bytes is not read.
const MAX_ANSWER: usize = 8 << 20;
/// The pause after a 429 that does not say how long.
const DEFAULT_PAUSE: Duration = Duration::from_mins(1);
/// The longest pause that is believed.
const MAX_PAUSE: Duration = Duration::from_hours(24);

/// Sends requests at a pace.
#[derive(Debug)]
pub(super) struct Transport {
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

impl Transport {
    pub fn new(config: &JiraConfig) -> Result<Self, SetupError> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("phantom-gang/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .timeout(config.timeout)
            .connect_timeout(config.timeout.min(Duration::from_secs(10)))
            .tls_backend_preconfigured(tls(&config.base_url, config.ca_file.as_deref())?);
        if let Some(proxy) = &config.proxy {
            let proxy = reqwest::Proxy::all(proxy.as_str()).map_err(|error| SetupError::Http(describe(&error)))?;
            builder = builder.proxy(proxy);
        } else if is_loopback(&config.base_url) {
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

    pub async fn permit(&self) -> Permit {
        self.paced().await;
        Permit(())
    }

    /// Sends a request that only reads, at its turn.
    pub async fn read<T: DeserializeOwned>(&self, call: &Call) -> Result<T, Failure> {
        self.paced().await;
        let body = self.exchange(call).await?;
        parse(call, &body)
    }

    /// Sends a request that changes something and is answered with what came of it.
    pub async fn change<T: DeserializeOwned>(&self, permit: Permit, call: &Call) -> Result<T, Failure> {
        let Permit(()) = permit;
        let body = self.exchange(call).await?;
        parse(call, &body)
    }

    /// Sends a request that changes something, whatever its answer says beside its status.
    pub async fn send(&self, permit: Permit, call: &Call) -> Result<(), Failure> {
        let Permit(()) = permit;
        self.exchange(call).await.map(|_| ())
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

    /// The next request keeps its distance from this moment: a permit may have waited until it was used, and two
    /// requests must not come close together for that.
    async fn sent_now(&self) {
        let earliest = Instant::now() + self.pace;
        let mut next = self.next.lock().await;
        *next = Some(next.map_or(earliest, |next| next.max(earliest)));
    }

    async fn exchange(&self, call: &Call) -> Result<Vec<u8>, Failure> {
        let mut request = self
            .http
            .request(call.method.clone(), call.url(&self.base))
            .header(AUTHORIZATION, self.credentials.header())
            .header(ACCEPT, "application/json");
        if let Some(body) = &call.body {
            request = request.json(body);
        }
        if let Some(file) = &call.upload {
            let part = Part::bytes(file.bytes.clone()).file_name(file.name.clone());
            let part = part.mime_str(&file.mime).map_err(|error| broken(call, &error))?;
            // Without this header Jira takes a form for one that a hostile page sent.
            request = request
                .header("X-Atlassian-Token", "no-check")
                .multipart(Form::new().part("file", part));
        }
        self.sent_now().await;
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

fn tls(base: &Url, ca_file: Option<&Path>) -> Result<rustls::ClientConfig, SetupError> {
    let refused = |error: rustls::Error| SetupError::Tls(error.to_string());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(refused)?;
    let extra = ca_file.map_or_else(|| Ok(Vec::new()), certificates)?;
    match base.scheme() {
        "https" => {
            let verifier =
                rustls_platform_verifier::Verifier::new_with_extra_roots(extra, provider).map_err(refused)?;
            Ok(builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(verifier))
                .with_no_client_auth())
        }
        // The sandbox is spoken to in the clear, also on machines that have no certificates.
        "http" => Ok(builder
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth()),
        _ => Err(SetupError::BaseUrl(base.to_string())),
    }
}

/// The certificates in a PEM file, one at least.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, SetupError> {
    let unusable = |why: String| SetupError::CaFile {
        path: path.display().to_string(),
        why,
    };
    let read: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    match read {
        Ok(found) if found.is_empty() => Err(unusable("it holds no certificate".to_owned())),
        Ok(found) => Ok(found),
        Err(error) => Err(unusable(error.to_string())),
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
    let why = challenge(headers).map_or(why, str::to_owned);
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
            reason: limit_reason(headers),
        },
        408 | 500.. => no_answer(call, format!("status {status}{why}")),
        status => Failure::Misconfigured { call: name, status },
    }
}

/// Data Center asks for a captcha after some wrong passwords, and tells so in a header only.
fn challenge(headers: &HeaderMap) -> Option<&'static str> {
    let denied = headers.get("x-authentication-denied-reason")?.to_str().ok()?;
    denied
        .starts_with("CAPTCHA_CHALLENGE")
        .then_some(": too many failed logins, so Jira wants a captcha; log in once with a browser as this account")
}

/// Which limit was hit, as Cloud names it; empty if it does not say.
fn limit_reason(headers: &HeaderMap) -> String {
    let reason = headers.get("ratelimit-reason").and_then(|value| value.to_str().ok());
    text::cut(&text::line(reason.unwrap_or_default()), 60)
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
    use crate::config::Deployment;

    #[test]
    fn every_status_has_its_outcome() {
        let create = Call {
            mutates: true,
            ..Call::myself(Deployment::Cloud)
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
            assert_eq!(kind(&Call::myself(Deployment::Cloud), status), reading, "{status}");
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

    #[test]
    fn limits_and_captchas_are_named() {
        let mut headers = HeaderMap::new();
        headers.insert("ratelimit-reason", HeaderValue::from_static("jira-quota-based"));
        headers.insert(RETRY_AFTER, HeaderValue::from_static("9"));
        let call = Call::myself(Deployment::DataCenter);
        let limited = failure(&call, StatusCode::TOO_MANY_REQUESTS, &headers, b"").to_string();
        assert!(limited.contains("pause of 9 s (jira-quota-based)"), "{limited}");
        headers.insert(
            "x-authentication-denied-reason",
            HeaderValue::from_static("CAPTCHA_CHALLENGE; login-url=https://x.test/login.jsp"),
        );
        let denied = failure(&call, StatusCode::FORBIDDEN, &headers, b"").to_string();
        assert!(denied.contains("captcha"), "{denied}");
    }

    #[test]
    fn a_ca_file_that_cannot_be_used_is_named() {
        let base: Url = "https://jira.test".parse().unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        let said = |path: &Path| tls(&base, Some(path)).err().unwrap().to_string();
        let none = said(file.path());
        assert!(
            none.contains(&*file.path().to_string_lossy()) && none.contains("no certificate"),
            "{none}"
        );
        std::fs::write(
            file.path(),
            "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
        )
        .unwrap();
        assert!(said(file.path()).starts_with("jira.ca_file: "));
        assert!(said(Path::new("/no/such.pem")).contains("/no/such.pem"));
        let made = rcgen::generate_simple_self_signed(vec!["jira.test".to_owned()]).unwrap();
        std::fs::write(file.path(), made.cert.pem()).unwrap();
        assert_eq!(certificates(file.path()).unwrap().len(), 1);
    }
}
