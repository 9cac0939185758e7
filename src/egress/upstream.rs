//! The company's own proxy, behind ours.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hyper::header::HeaderValue;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use url::Url;

use super::error::EgressError;
use super::target::Target;

/// The answer of a proxy to CONNECT may have this many bytes before the tunnel begins.
const MAX_HEAD: usize = 16 * 1024;

/// Where the upstream proxy is, and who we are to it.
#[derive(Debug, Clone)]
pub(super) struct Upstream {
    pub(super) target: Target,
    pub(super) authorization: Option<HeaderValue>,
}

impl Upstream {
    pub(super) fn parse(url: &Url) -> Result<Self, EgressError> {
        let wrong = |reason| EgressError::Upstream {
            url: without_login(url),
            reason,
        };
        if url.scheme() != "http" {
            return Err(wrong("only proxies that are spoken to in plain HTTP are supported"));
        }
        let host = url.host().ok_or_else(|| wrong("it names no host"))?.to_owned();
        let port = url
            .port_or_known_default()
            .filter(|port| *port > 0)
            .ok_or_else(|| wrong("it names no port"))?;
        Ok(Self {
            target: Target { host, port },
            authorization: authorization(url),
        })
    }

    /// Asks the proxy at the other end of `stream` for a tunnel. Nothing behind its answer is read.
    pub(super) async fn connect<S>(&self, stream: &mut S, target: &Target) -> Result<(), String>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n").into_bytes();
        if let Some(value) = &self.authorization {
            request.extend_from_slice(b"Proxy-Authorization: ");
            request.extend_from_slice(value.as_bytes());
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n");
        stream.write_all(&request).await.map_err(|error| error.to_string())?;
        match status(&read_head(stream).await?) {
            Some(200..=299) => Ok(()),
            Some(407) => Err("it wants a login (407)".to_owned()),
            Some(status) => Err(format!("it answered {status}")),
            None => Err("its answer is not HTTP".to_owned()),
        }
    }
}

/// Reads up to the empty line, a byte at a time: what comes after belongs to the tunnel. A connection is made once,
/// so the calls do not matter.
async fn read_head<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Vec<u8>, String> {
    let mut head = Vec::with_capacity(256);
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= MAX_HEAD {
            return Err("its answer has no end".to_owned());
        }
        head.push(
            stream
                .read_u8()
                .await
                .map_err(|_| "it closed the connection".to_owned())?,
        );
    }
    Ok(head)
}

fn status(head: &[u8]) -> Option<u16> {
    let line = head.split(|byte| *byte == b'\r').next()?;
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    words.next()?.strip_prefix("HTTP/1.")?;
    words.next()?.parse().ok()
}

/// The login that a URL has, for a header.
pub(crate) fn authorization(url: &Url) -> Option<HeaderValue> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let mut login = decoded(url.username());
    login.push(b':');
    login.extend(decoded(url.password().unwrap_or_default()));
    let mut value = HeaderValue::try_from(format!("Basic {}", BASE64.encode(login))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Undoes percent-encoding; a `%` that begins none stands for itself.
fn decoded(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        let escaped = behind
            .get(..2)
            .filter(|_| *first == b'%')
            .and_then(|digits| hex::decode(digits).ok());
        out.extend(escaped.as_deref().unwrap_or(&[*first]));
        rest = if escaped.is_some() { &behind[2..] } else { behind };
    }
    out
}

/// The URL as it may be shown.
fn without_login(url: &Url) -> String {
    let mut url = url.clone();
    // Both fail only for URLs that can have neither.
    let _ = url.set_password(None);
    let _ = url.set_username("");
    url.into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn logins_are_taken_from_the_url() {
        let table = [
            ("http://proxy:3128", None),
            ("http://us:pw@proxy:3128", Some("Basic dXM6cHc=")),
            ("http://us@proxy:3128", Some("Basic dXM6")),
            ("http://u%40s:p%3Aw@proxy:3128", Some("Basic dUBzOnA6dw==")),
        ];
        for (url, expected) in table {
            let upstream = Upstream::parse(&url.parse().unwrap()).unwrap();
            assert_eq!(upstream.target.to_string(), "proxy:3128");
            assert_eq!(
                upstream.authorization.as_ref().map(|value| value.to_str().unwrap()),
                expected,
                "{url}"
            );
        }
    }

    #[test]
    fn an_error_does_not_show_the_password() {
        let error = Upstream::parse(&"https://us:secret@proxy:3128".parse().unwrap())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("https://proxy:3128") && !error.contains("secret"),
            "{error}"
        );
    }

    #[test]
    fn status_lines_are_read() {
        let table = [
            ("HTTP/1.1 200 OK\r\n", Some(200)),
            ("HTTP/1.0 407\r\n", Some(407)),
            ("HTTP/2 200\r\n", None),
            ("SSH-2.0\r\n", None),
            ("", None),
        ];
        for (head, expected) in table {
            assert_eq!(status(head.as_bytes()), expected, "{head}");
        }
    }

    #[tokio::test]
    async fn nothing_behind_the_head_is_read() {
        let mut stream: &[u8] = b"HTTP/1.1 200 OK\r\nVia: x\r\n\r\nhello";
        read_head(&mut stream).await.unwrap();
        assert_eq!(stream, b"hello");
    }

    #[tokio::test]
    async fn a_head_without_end_is_refused() {
        let endless = vec![b'x'; MAX_HEAD + 1];
        assert_eq!(
            read_head(&mut endless.as_slice()).await.unwrap_err(),
            "its answer has no end"
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_status_or_none(head: Vec<u8>) {
            if let Some(status) = status(&head) {
                prop_assert!(head.starts_with(b"HTTP/1.") && !status.to_string().is_empty());
            }
        }

        #[test]
        fn what_url_encodes_is_decoded(name in "[^\u{0}-\u{1f}]{1,20}") {
            let mut url: Url = "http://proxy:1".parse().unwrap();
            url.set_username(&name).unwrap();
            // A `%` in the name is left as it is by `set_username`.
            prop_assume!(!name.contains('%'));
            prop_assert_eq!(decoded(url.username()), name.into_bytes());
        }
    }
}
