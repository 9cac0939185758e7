//! What a page speaks to, redacted.

use phantom_checks::evidence::{Cookie, Endpoint, EndpointToken, Fate, Initiator, Request, Step};
use serde_json::Value;
use url::{Url, form_urlencoded};

use crate::browser::json;
use crate::browser::recorder::Call;
use crate::browser::redact::{self, Redactor};
use crate::crawl::{REDACTED, is_secret};

/// Fields kept of one endpoint.
const MOST_FIELDS: usize = 100;
/// Fields looked at of one body.
const MOST_PAIRS: usize = 1_000;
/// Values in values of JSON are looked at as far as this.
const DEEPEST: usize = 20;
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
        sent_cookies: call.cookies,
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
    if let Some(body) = as_json(&call.body) {
        from_json(body, DEEPEST, before + MOST_PAIRS, &mut pairs);
    } else if content_type.contains("json") {
        understood = false;
    } else if content_type.starts_with("application/x-www-form-urlencoded") {
        for (name, value) in form_urlencoded::parse(call.body.as_bytes()).take(MOST_PAIRS) {
            let value = value.into_owned();
            pairs.push((name.into_owned(), value.clone()));
            from_json(Value::String(value), DEEPEST, before + MOST_PAIRS, &mut pairs);
        }
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

/// JSON that holds other values, whatever it is called: what is sent as plain text needs no leave of a server.
fn as_json(text: &str) -> Option<Value> {
    let holds = text.trim_start().starts_with(['{', '[']);
    holds.then(|| json::read(text).ok()).flatten()
}

/// The names and values of JSON, also of that which is kept as text in it.
fn from_json(value: Value, deep: usize, most: usize, pairs: &mut Vec<(String, String)>) {
    match value {
        _ if deep == 0 || pairs.len() >= most => {}
        Value::Array(items) => {
            for item in items {
                from_json(item, deep - 1, most, pairs);
            }
        }
        Value::Object(object) => {
            for (name, value) in object {
                if pairs.len() >= most {
                    return;
                }
                pairs.push((name, value.as_str().unwrap_or_default().to_owned()));
                from_json(value, deep - 1, most, pairs);
            }
        }
        Value::String(text) => {
            if let Some(value) = as_json(&text) {
                from_json(value, deep - 1, most, pairs);
            }
        }
        _ => {}
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(content_type: &str, body: &str) -> Endpoint {
        let call = Call {
            method: "POST".to_owned(),
            url: "https://shop.test/save?page=2".to_owned(),
            headers: vec![("content-type".to_owned(), content_type.to_owned())],
            body: body.to_owned(),
            ..Call::default()
        };
        endpoint(call, &[], &[], &[], &Redactor::new([7; 32]))
    }

    #[test]
    fn json_is_read_whatever_it_is_called() {
        let body = r#"{"user": {"nick": "ann"}, "list": [{"proof": "m8Qw1rT5yU7iO3pA6sD4fG2hJ9kL0zXc"}], "n": 1}"#;
        for content_type in [
            "",
            "text/plain;charset=UTF-8",
            "application/json",
            "application/x-www-form-urlencoded",
        ] {
            let endpoint = seen(content_type, body);
            assert_eq!(
                endpoint.fields,
                ["page", "list", "proof", "n", "user", "nick"],
                "{content_type}"
            );
            let tokens: Vec<_> = endpoint.tokens.iter().map(|token| token.name.as_str()).collect();
            assert_eq!(tokens, ["proof"], "{content_type}");
            assert!(!endpoint.unread);
        }
        let kept_as_text = seen("text/plain", r#"[{"payload": "{\"_csrf\": 1}"}]"#);
        assert_eq!(kept_as_text.fields, ["page", "payload", "_csrf"]);
        let in_a_field = seen(
            "application/x-www-form-urlencoded",
            "nick=ann&payload=%7B%22proof%22%3A1%7D",
        );
        assert_eq!(in_a_field.fields, ["page", "nick", "payload", "proof"]);
    }

    #[test]
    fn json_that_is_broken_or_endless_is_not_read() {
        let deep = "[".repeat(30_000);
        let deep_and_whole = format!("{}{}", "[".repeat(100), "]".repeat(100));
        let long = format!(
            "{{{}}}",
            (0..2_000)
                .map(|at| format!("\"a{at}\": 1"))
                .collect::<Vec<_>>()
                .join(",")
        );
        for (body, unread) in [
            (deep.as_str(), true),
            ("{a: 1}", true),
            (long.as_str(), true),
            (deep_and_whole.as_str(), false),
        ] {
            assert_eq!(seen("text/plain", body).unread, unread, "{}", &body[..6]);
        }
    }
}
