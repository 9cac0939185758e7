//! What a microsite serves: [`Content`] answers an [`Ask`] with a [`Reply`].

use std::fmt;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, Method, StatusCode};
use futures::stream::BoxStream;

/// What a microsite serves, on any number of virtual hosts.
///
/// Every function `Fn(&Ask) -> Reply` is content.
pub trait Content: Send + Sync + 'static {
    /// The answer to one request. Called on the server's own tasks, so it does not block.
    fn get(&self, ask: &Ask<'_>) -> Reply;

    /// How this host, in lower case, answers when it is spoken to by TLS.
    fn tls(&self, _host: &str) -> Tls {
        Tls::Trusted
    }
}

impl<F> Content for F
where
    F: Fn(&Ask<'_>) -> Reply + Send + Sync + 'static,
{
    fn get(&self, ask: &Ask<'_>) -> Reply {
        self(ask)
    }
}

/// How a host answers when it is spoken to by TLS.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tls {
    /// With a certificate whose key is [`Microsite::spki`](super::Microsite::spki).
    #[default]
    Trusted,
    /// With a certificate that nobody trusts.
    Untrusted,
    /// With a failed handshake.
    Refused,
}

/// How a request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Over TLS.
    Https,
    /// In the clear.
    Http,
}

impl Scheme {
    /// `https` or `http`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Http => "http",
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One request.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// How it came.
    pub scheme: Scheme,
    /// The host it is for, in lower case, without a port.
    pub host: &'a str,
    /// The path as it was sent, beginning with `/`.
    pub path: &'a str,
    /// The query without `?`; empty if there is none.
    pub query: &'a str,
    /// The method.
    pub method: &'a Method,
    /// All headers.
    pub headers: &'a HeaderMap,
    /// What was sent after them, at most a megabyte.
    pub body: &'a [u8],
}

impl Ask<'_> {
    /// Whether the visitor sent a cookie of this name.
    pub fn has_cookie(&self, name: &str) -> bool {
        self.cookie(name).is_some()
    }

    /// The value of a cookie that the visitor sent.
    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.headers
            .get_all("cookie")
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(';'))
            .find_map(|pair| {
                let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                (key.trim() == name).then_some(value.trim())
            })
    }

    /// A field of the form that was sent.
    pub fn field(&self, name: &str) -> Option<String> {
        let mut fields = url::form_urlencoded::parse(self.body);
        fields.find_map(|(key, value)| (key == name).then(|| value.into_owned()))
    }
}

/// The answer to a request.
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// Header names and values; one that is not a valid header is left out. `content-length` and `date` are the
    /// server's business.
    pub headers: Vec<(String, String)>,
    /// Time that passes before the status is sent.
    pub delay: Duration,
    /// What is sent.
    pub body: Body,
}

/// What is sent after the headers, or instead of them.
pub enum Body {
    /// These bytes.
    Full(Bytes),
    /// These bytes, then nothing, and no end.
    Never(Bytes),
    /// These bytes, then the connection (with HTTP/2 the stream) breaks.
    Cut(Bytes),
    /// Whatever the stream gives, for as long as it gives.
    Stream(BoxStream<'static, Bytes>),
    /// Not even a status, and no end.
    Silence,
    /// Not even a status: the connection (with HTTP/2 the stream) breaks.
    Drop,
}

impl Reply {
    /// Status 200 with these bytes.
    pub fn ok(content_type: &str, body: impl Into<Bytes>) -> Self {
        Self {
            status: StatusCode::OK,
            headers: vec![("content-type".to_owned(), content_type.to_owned())],
            delay: Duration::ZERO,
            body: Body::Full(body.into()),
        }
    }

    /// Status 200 with an HTML document.
    pub fn html(text: impl Into<Bytes>) -> Self {
        Self::ok("text/html; charset=utf-8", text)
    }

    /// A status and its name as text.
    pub fn status(status: StatusCode) -> Self {
        let body = match status {
            StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED => String::new(),
            other => format!("{other}\n"),
        };
        Self {
            status,
            ..Self::ok("text/plain; charset=utf-8", body)
        }
    }

    /// A redirect.
    pub fn redirect(status: StatusCode, to: &str) -> Self {
        Self::status(status).header("location", to)
    }

    /// One more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Another body.
    #[must_use]
    pub fn body(mut self, body: Body) -> Self {
        self.body = body;
        self
    }

    /// A delay before the status is sent.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }
}
