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
    let (mut fields, mut inner): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    let sent = Sent::of(&call, &content_type);
    let outer = sent.outer.into_iter().map(|pair| (pair, false));
    for ((name, value), is_inner) in outer.chain(sent.inner.into_iter().map(|pair| (pair, true))) {
        let secret = is_secret(&name, &value) || redact::looks_random(&value);
        let name = kept_name(&name);
        let names = if is_inner { &mut inner } else { &mut fields };
        if names.len() < MOST_FIELDS && !names.contains(&name) {
            names.push(name.clone());
        }
        if secret && tokens.len() < MOST_FIELDS {
            tokens.push(EndpointToken {
                name,
                header: false,
                inner: is_inner,
                value: redactor.shape(&value),
            });
        }
    }
    for (name, value) in call.headers.iter().filter(|(name, _)| is_own(name)) {
        if is_secret(name, value) || redact::looks_random(value) {
            tokens.push(EndpointToken {
                name: kept_name(name),
                header: true,
                inner: false,
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
        unread: call.body_lost || !sent.whole || fields.len() == MOST_FIELDS,
        fields,
        inner,
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

/// The names and values that are sent, as far as the body is understood.
#[derive(Default)]
struct Sent {
    outer: Vec<(String, String)>,
    /// Those in objects in objects of JSON: some of them, if there are many.
    inner: Vec<(String, String)>,
    /// It was understood, and no outer one is missing.
    whole: bool,
}

impl Sent {
    fn of(call: &Call, content_type: &str) -> Self {
        let mut sent = Self::default();
        let query = Url::parse(&call.url).ok();
        let query = query.iter().flat_map(Url::query_pairs);
        let query = query.map(|(name, value)| (name.into_owned(), value.into_owned()));
        sent.outer.extend(query.take(MOST_PAIRS));
        let most = sent.outer.len() + MOST_PAIRS;
        let mut understood = true;
        if let Some(body) = as_json(&call.body) {
            sent.json(body, DEEPEST, true);
        } else if content_type.contains("json") {
            understood = false;
        } else if content_type.starts_with("application/x-www-form-urlencoded") {
            for (name, value) in form_urlencoded::parse(call.body.as_bytes()).take(MOST_PAIRS) {
                let value = value.into_owned();
                sent.outer.push((name.into_owned(), value.clone()));
                // One field that holds all there is, as JSON, is a way to send it.
                sent.json(Value::String(value), DEEPEST, true);
            }
        } else if content_type.starts_with("multipart/form-data") {
            let parts = call.body.split("name=\"").skip(1).take(MOST_PAIRS);
            sent.outer.extend(parts.filter_map(|part| {
                let (name, rest) = part.split_once('"')?;
                let value = rest
                    .split_once("\r\n\r\n")
                    .map(|(_, value)| value.lines().next().unwrap_or_default());
                Some((name.to_owned(), value.unwrap_or_default().to_owned()))
            }));
        } else {
            understood = call.body.is_empty();
        }
        sent.whole = understood && sent.outer.len() < most;
        sent.outer.truncate(most);
        sent
    }

    /// The names and values of JSON, also of that which is kept as text in it.
    fn json(&mut self, value: Value, deep: usize, is_outer: bool) {
        match value {
            _ if deep == 0 => {}
            Value::Array(items) => {
                for item in items {
                    self.json(item, deep - 1, is_outer);
                }
            }
            Value::Object(object) => {
                for (name, value) in object {
                    let pairs = if is_outer { &mut self.outer } else { &mut self.inner };
                    // What is said again and again, as in the rows of a list, is one.
                    let text = value.as_str().unwrap_or_default();
                    if pairs.len() < 2 * MOST_PAIRS
                        && (!text.is_empty() || !pairs.iter().any(|(known, _)| *known == name))
                    {
                        pairs.push((name, text.to_owned()));
                    }
                    self.json(value, deep - 1, false);
                }
            }
            Value::String(text) => {
                if let Some(value) = as_json(&text) {
                    self.json(value, deep - 1, is_outer);
                }
            }
            _ => {}
        }
    }
}

/// JSON that holds other values, whatever it is called: what is sent as plain text needs no leave of a server.
fn as_json(text: &str) -> Option<Value> {
    let holds = text.trim_start().starts_with(['{', '[']);
    holds.then(|| json::read(text).ok()).flatten()
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

    fn owned(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn long_lists_are_read() {
        let row = r#"{"sku": "a", "count": 1, "size": "b", "colour": "c"}"#;
        let body = format!(r#"{{"items": [{}], "nick": "ann"}}"#, vec![row; 300].join(","));
        let seen = seen("application/json", &body);
        assert!(!seen.unread, "what is left out of rows is no loss");
        assert_eq!(seen.fields, owned(&["page", "items", "nick"]));
        assert_eq!(seen.inner, owned(&["colour", "count", "size", "sku"]));
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
            assert_eq!(endpoint.fields, ["page", "list", "n", "user"], "{content_type}");
            assert_eq!(endpoint.inner, ["proof", "nick"], "{content_type}");
            let tokens = endpoint.tokens.iter();
            let tokens: Vec<_> = tokens.map(|token| (token.name.as_str(), token.inner)).collect();
            assert_eq!(tokens, [("proof", true)], "{content_type}");
            assert!(!endpoint.unread);
        }
        let kept_as_text = seen("text/plain", r#"[{"payload": "{\"_csrf\": 1}"}]"#);
        assert_eq!(
            (kept_as_text.fields, kept_as_text.inner),
            (owned(&["page", "payload"]), owned(&["_csrf"]))
        );
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
