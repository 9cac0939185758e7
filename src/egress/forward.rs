//! Requests with a whole `http:` URL.

use http_body_util::{Either, Empty};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHORIZATION, TRANSFER_ENCODING,
};
use hyper::http::request::Parts;
use hyper::http::uri::{PathAndQuery, Scheme};
use hyper::{Method, Request, Response, StatusCode, Uri, Version};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

use super::CODE_HEADER;
use super::error::{BROKE, DialError, WAITING};
use super::server::{Body, Client, MAX_HEAD, MAX_HEADERS};
use super::target::Target;
use super::upstream::Upstream;

/// Headers that concern one connection only (RFC 9110, 7.6.1), with those of older proxies.
const HOP_BY_HOP: &[&str] = &[
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

type RequestBody = Either<Incoming, Empty<Bytes>>;

/// A connection that can carry another request to the same target.
#[derive(Debug)]
pub(super) struct Kept {
    target: Target,
    sender: SendRequest<RequestBody>,
    /// Set if it leads to the upstream proxy, which wants the whole URL and perhaps a login.
    upstream: Option<Upstream>,
}

/// Passes a request on and brings the response back, both bodies streamed.
pub(super) async fn pass_on(client: &Client, request: Request<Incoming>) -> Result<Response<Body>, DialError> {
    let target = target_of(request.uri())?;
    if let Some(may_pass) = &client.proxy.may_pass
        && !(may_pass.0)(request.method().as_str(), &request.uri().to_string())
    {
        return Err(DialError::Method {
            target: target.to_string(),
            method: request.method().to_string(),
        });
    }
    client
        .proxy
        .ledger
        .watched(&target, exchange(client, &target, request))
        .await
}

fn target_of(uri: &Uri) -> Result<Target, DialError> {
    let malformed = |reason| DialError::Malformed {
        asked: uri.to_string(),
        reason,
    };
    let authority = uri
        .authority()
        .ok_or_else(|| malformed("this is a proxy, which wants CONNECT or a whole URL"))?;
    if uri.scheme() != Some(&Scheme::HTTP) {
        return Err(malformed("only http: URLs are passed on; the others need CONNECT"));
    }
    Target::from_authority(authority, Some(80)).map_err(malformed)
}

/// Sends over the kept connection if the request can be repeated, as the server may have closed it meanwhile; else,
/// and then, over a new one.
async fn exchange(client: &Client, target: &Target, request: Request<Incoming>) -> Result<Response<Body>, DialError> {
    let (mut parts, body) = request.into_parts();
    let repeatable = body.is_end_stream() && matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS);
    clean(&mut parts.headers);
    parts.headers.insert(HOST, host_header(target)?);
    parts.version = Version::HTTP_11;
    let kept = client
        .kept
        .lock()
        .await
        .take()
        .filter(|kept| repeatable && kept.target == *target);
    if let Some(kept) = kept {
        match send(client, kept, parts.clone(), Either::Right(Empty::new())).await {
            Err(DialError::Connect { .. }) => {}
            result => return result,
        }
    }
    let body = if repeatable {
        Either::Right(Empty::new())
    } else {
        Either::Left(body)
    };
    let fresh = connect(client, target).await?;
    send(client, fresh, parts, body).await
}

async fn connect(client: &Client, target: &Target) -> Result<Kept, DialError> {
    let proxy = &client.proxy;
    let (stream, upstream) = proxy.dialer.plain(target).await?;
    // As lenient with servers as browsers are: what they show to a visitor is to be seen.
    let (sender, connection) = http1::Builder::new()
        .preserve_header_case(true)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEAD)
        .allow_spaces_after_header_name_in_responses(true)
        .allow_obsolete_multiline_headers_in_responses(true)
        .ignore_invalid_headers_in_responses(true)
        .handshake::<_, RequestBody>(TokioIo::new(stream))
        .await
        .map_err(|error| broken(target, &error))?;
    let traffic = proxy.ledger.traffic.clone();
    proxy.tasks.spawn(traffic.run_until_cancelled_owned(async move {
        if let Err(error) = connection.await {
            tracing::trace!(%error, "a connection for plain HTTP broke");
        }
    }));
    Ok(Kept {
        target: target.clone(),
        sender,
        upstream: upstream.cloned(),
    })
}

/// Sends one request and waits for the head of its response.
async fn send(
    client: &Client,
    mut kept: Kept,
    mut parts: Parts,
    body: RequestBody,
) -> Result<Response<Body>, DialError> {
    let target = kept.target.clone();
    parts.uri = request_uri(&parts.uri, &target, kept.upstream.is_some())?;
    if let Some(login) = kept
        .upstream
        .as_ref()
        .and_then(|upstream| upstream.authorization.as_ref())
    {
        parts.headers.insert(PROXY_AUTHORIZATION, login.clone());
    }
    let patience = client.proxy.patience.response;
    let sent = timeout(patience, async {
        kept.sender.ready().await?;
        kept.sender.send_request(Request::from_parts(parts, body)).await
    });
    let seconds = patience.as_secs();
    let response = sent
        .await
        .map_err(|_| DialError::TimedOut {
            target: target.to_string(),
            stage: WAITING,
            seconds,
        })?
        .map_err(|error| broken(&target, &error))?;
    let response = received(response, &kept)?;
    *client.kept.lock().await = Some(kept);
    Ok(response)
}

/// Makes a server's response ours to send.
fn received(response: Response<Incoming>, from: &Kept) -> Result<Response<Body>, DialError> {
    let (mut parts, body) = response.into_parts();
    let target = from.target.to_string();
    if from.upstream.is_some() && parts.status == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
        return Err(DialError::Upstream {
            target,
            reason: "it wants a login (407)".to_owned(),
        });
    }
    if parts.status.is_informational() {
        return Err(DialError::Protocol {
            target,
            reason: format!("it answered {} unasked", parts.status),
        });
    }
    clean(&mut parts.headers);
    parts.headers.remove(CODE_HEADER);
    parts.version = Version::HTTP_11;
    Ok(Response::from_parts(parts, Either::Left(body)))
}

/// The form in which the other end wants the URL, without a user name in it.
fn request_uri(uri: &Uri, target: &Target, whole: bool) -> Result<Uri, DialError> {
    let path = uri
        .path_and_query()
        .cloned()
        .unwrap_or_else(|| PathAndQuery::from_static("/"));
    if !whole {
        return Ok(Uri::from(path));
    }
    let whole = Uri::builder()
        .scheme(Scheme::HTTP)
        .authority(target.to_string())
        .path_and_query(path);
    whole.build().map_err(|_| DialError::Malformed {
        asked: uri.to_string(),
        reason: "not a URL",
    })
}

/// A proxy writes this header itself, whatever the client wrote (RFC 9112, 3.2.2).
fn host_header(target: &Target) -> Result<HeaderValue, DialError> {
    let text = if target.port == 80 {
        target.host.to_string()
    } else {
        target.to_string()
    };
    HeaderValue::try_from(text).map_err(|_| DialError::Malformed {
        asked: target.to_string(),
        reason: "the host name is not valid",
    })
}

/// Takes off what concerns one connection only.
fn clean(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        // A message must keep its length and its host, whatever the other side says of them.
        .filter(|name| *name != CONTENT_LENGTH && *name != HOST)
        .collect();
    // With both, the length is a lie (RFC 9112, 6.1).
    if headers.contains_key(TRANSFER_ENCODING) {
        headers.remove(CONTENT_LENGTH);
    }
    for name in HOP_BY_HOP {
        headers.remove(*name);
    }
    for name in &named {
        headers.remove(name);
    }
}

fn broken(target: &Target, error: &hyper::Error) -> DialError {
    let (target, reason) = (target.to_string(), error.to_string());
    if error.is_parse() {
        DialError::Protocol { target, reason }
    } else {
        DialError::Connect {
            target,
            reason: format!("{BROKE}: {reason}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hop_by_hop_headers_are_taken_off() {
        let mut headers: HeaderMap = [
            ("connection", "close, X-Secret"),
            ("connection", "content-length"),
            ("keep-alive", "5"),
            ("proxy-connection", "keep-alive"),
            ("proxy-authorization", "Basic x"),
            ("te", "trailers"),
            ("trailer", "x"),
            ("upgrade", "h2c"),
            ("x-secret", "1"),
            ("content-length", "3"),
            ("x-kept", "1"),
        ]
        .into_iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
        .collect();
        clean(&mut headers);
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["content-length", "x-kept"]);
    }

    #[test]
    fn chunks_win_over_a_length() {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("3"));
        headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        clean(&mut headers);
        assert!(headers.is_empty());
    }

    #[test]
    fn only_whole_http_urls_are_passed_on() {
        let table = [
            ("http://a.test/x", Some("a.test:80")),
            ("http://u:p@A.test:8080/x", Some("a.test:8080")),
            ("http://[::1]/", Some("[::1]:80")),
            ("https://a.test/", None),
            ("ftp://a.test/", None),
            ("/x", None),
            ("*", None),
            ("a.test:80", None),
        ];
        for (uri, expected) in table {
            let target = target_of(&uri.parse().unwrap());
            assert_eq!(
                target.ok().map(|target| target.to_string()).as_deref(),
                expected,
                "{uri}"
            );
        }
    }

    #[test]
    fn the_other_end_gets_the_url_it_wants() {
        let uri: Uri = "http://u:p@A.test/x?y=1".parse().unwrap();
        let target = target_of(&uri).unwrap();
        assert_eq!(request_uri(&uri, &target, false).unwrap(), "/x?y=1");
        assert_eq!(request_uri(&uri, &target, true).unwrap(), "http://a.test:80/x?y=1");
    }
}
