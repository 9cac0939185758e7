//! What a page speaks to, redacted.

use phantom_checks::evidence::{Cookie, Endpoint, EndpointToken, Fate, Initiator, Request, Step};
use url::{Url, form_urlencoded};

use crate::browser::json;
use crate::browser::recorder::Call;
use crate::browser::redact::{self, Redactor};
use crate::crawl::{REDACTED, is_secret};

/// Fields kept of one endpoint.
const MOST_FIELDS: usize = 100;
/// Fields looked at of one body.
const MOST_PAIRS: usize = 1_000;
/// The longest name kept, in characters.
const LONGEST_NAME: usize = 120;

/// An endpoint without the values that were sent to it.
pub(super) fn endpoint(
    call: Call,
    path: &[Step],
    requests: &[Request],
    cookies: &[Cookie],
    redactor: &Redactor,
) -> Endpoint {
    let content_type = header(&call, "content-type").to_owned();
    let mut tokens = Vec::new();
    let mut fields: Vec<String> = Vec::new();
    let (pairs, understood) = pairs(&call, &content_type);
    for (name, value) in pairs {
        let secret = is_secret(&name, &value) || redact::looks_random(&value);
        let name = kept_name(&name);
        if fields.len() < MOST_FIELDS && !fields.contains(&name) {
            fields.push(name.clone());
        }
        if secret && tokens.len() < MOST_FIELDS {
            tokens.push(EndpointToken {
                name,
                header: false,
                value: redactor.shape(&value),
            });
        }
    }
    for (name, value) in call.headers.iter().filter(|(name, _)| is_own(name)) {
        if is_secret(name, value) || redact::looks_random(value) {
            tokens.push(EndpointToken {
                name: kept_name(name),
                header: true,
                value: redactor.shape(value),
            });
        }
    }
    let headers = call.whole.then(|| {
        let own = call.headers.iter().filter(|(name, _)| is_own(name));
        own.map(|(name, _)| kept_name(name)).collect()
    });
    let request = requests
        .iter()
        .find(|request| Some(&request.id) == call.request.as_ref());
    Endpoint {
        method: call.method,
        url: redact::url(&call.url),
        // A request that waits is called an XHR whatever it is.
        kind: request.map_or(call.kind, |request| request.kind),
        fate: if call.why.is_some() { Fate::Stopped } else { Fate::Sent },
        why: call.why.map(|why| why.to_string()).unwrap_or_default(),
        times: call.times,
        content_type: content_type
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase(),
        unread: call.body_lost || !understood || fields.len() == MOST_FIELDS,
        fields,
        headers,
        tokens,
        initiator: request.map(|request| initiator(&request.initiator)).unwrap_or_default(),
        frame: call.frame,
        worker: call.worker.map(|url| redact::url(&url)),
        cookies: Url::parse(&call.url).is_ok_and(|url| cookies.iter().any(|cookie| goes_to(cookie, &url))),
        held: call.held,
        path: path.to_vec(),
    }
}

fn initiator(from: &Initiator) -> Initiator {
    Initiator {
        url: from.url.as_deref().map(redact::url),
        ..from.clone()
    }
}

fn header<'a>(call: &'a Call, name: &str) -> &'a str {
    let found = call.headers.iter().find(|(header, _)| header == name);
    found.map_or("", |(_, value)| value)
}

/// Headers that the page itself has set: the browser's own tell nothing.
fn is_own(name: &str) -> bool {
    !name.starts_with("sec-")
        && !matches!(
            name,
            "accept"
                | "accept-encoding"
                | "accept-language"
                | "cache-control"
                | "connection"
                | "content-length"
                | "content-type"
                | "cookie"
                | "dnt"
                | "host"
                | "origin"
                | "pragma"
                | "priority"
                | "purpose"
                | "referer"
                | "save-data"
                | "upgrade-insecure-requests"
                | "user-agent"
        )
}

fn kept_name(name: &str) -> String {
    if redact::looks_random(name) {
        return REDACTED.to_owned();
    }
    name.chars().take(LONGEST_NAME).collect()
}

/// The names and values that are sent, as far as the body is understood, and whether all of it is.
fn pairs(call: &Call, content_type: &str) -> (Vec<(String, String)>, bool) {
    let query = Url::parse(&call.url).ok();
    let query = query
        .iter()
        .flat_map(Url::query_pairs)
        .map(|(name, value)| (name.into_owned(), value.into_owned()));
    let mut pairs: Vec<_> = query.take(MOST_PAIRS).collect();
    let before = pairs.len();
    let mut understood = true;
    if content_type.contains("json") || call.body.starts_with('{') {
        if let Ok(serde_json::Value::Object(object)) = json::read(&call.body) {
            pairs.extend(object.into_iter().take(MOST_PAIRS).map(|(name, value)| {
                let value = value.as_str().map(str::to_owned).unwrap_or_default();
                (name, value)
            }));
        } else {
            understood = false;
        }
    } else if content_type.starts_with("application/x-www-form-urlencoded") {
        let body = form_urlencoded::parse(call.body.as_bytes()).take(MOST_PAIRS);
        pairs.extend(body.map(|(name, value)| (name.into_owned(), value.into_owned())));
    } else if content_type.starts_with("multipart/form-data") {
        pairs.extend(call.body.split("name=\"").skip(1).take(MOST_PAIRS).filter_map(|part| {
            let (name, rest) = part.split_once('"')?;
            let value = rest
                .split_once("\r\n\r\n")
                .map(|(_, value)| value.lines().next().unwrap_or_default());
            Some((name.to_owned(), value.unwrap_or_default().to_owned()))
        }));
    } else {
        understood = call.body.is_empty();
    }
    let whole = understood && pairs.len() - before < MOST_PAIRS;
    (pairs, whole)
}

/// Whether a cookie is for a URL, as far as its domain, path and scheme say.
fn goes_to(cookie: &Cookie, url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let domain = cookie.domain.trim_start_matches('.');
    let below = cookie.domain.starts_with('.') && host.ends_with(&cookie.domain);
    (host == domain || below)
        && url.path().starts_with(cookie.path.trim_end_matches('/'))
        && (!cookie.secure || matches!(url.scheme(), "https" | "wss"))
}
