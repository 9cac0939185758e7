//! Whether a page may be taken as seen: of what it was made when it was looked at last, and whether its server still
//! says the same. Pure.
//!
//! Whatever cannot be told counts as changed. The parts are asked for in full, never with a validator: an answer of 304
//! leaves most headers out, and a changed header is a change.

use std::borrow::Cow;
use std::fmt;
use std::sync::LazyLock;
use std::time::Duration;

use cookie::Cookie;
use jiff::Timestamp;
use phantom_checks::evidence::{Evidence, Header, Request, ResourceKind, SameSite, ValueShape};
use phantom_checks::shape;
use regex::Regex;
use serde::{Deserialize, Serialize};
use url::Url;

use super::{REDACTED, hash};

/// Parts of one page that are asked for; one with more is looked at.
const MOST_PARTS: usize = 80;
/// A page is looked at if it would be too old by the next night. A night may begin somewhat earlier than the one before.
const NEXT_NIGHT: Duration = Duration::from_hours(22);
const DAY: i64 = 86_400;

/// Headers that change with each answer, or with the way to the server, and say nothing of the page.
const UNSTEADY: [&str; 36] = [
    "accept-ranges",
    "age",
    "alt-svc",
    "cf-cache-status",
    "cf-ray",
    "connection",
    "content-encoding",
    "content-length",
    "date",
    "etag",
    "expires",
    "keep-alive",
    "last-modified",
    "nel",
    "report-to",
    "server-timing",
    "set-cookie",
    "traceparent",
    "transfer-encoding",
    "vary",
    "via",
    "x-amz-cf-id",
    "x-amz-cf-pop",
    "x-amz-id-2",
    "x-amz-request-id",
    "x-cache",
    "x-cache-hits",
    "x-correlation-id",
    "x-phantom-egress",
    "x-request-id",
    "x-response-time",
    "x-runtime",
    "x-served-by",
    "x-timer",
    "x-trace-id",
    "x-varnish",
];

/// Of what a look at a page was made, kept beside its evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageMark {
    /// What decides how a page is looked at: checks, advisories, the capture, the site's file. Two looks with one basis
    /// would see the same.
    pub basis: String,
    /// When it was looked at.
    pub looked_at: Timestamp,
    /// It was not looked at since: it was taken as unchanged.
    pub unchanged: bool,
}

/// An earlier look at a page.
#[derive(Debug, Clone, PartialEq)]
pub struct PastLook {
    /// What was seen.
    pub evidence: Evidence,
    /// How, and when.
    pub mark: PageMark,
}

/// When a page may be taken as seen.
pub struct Rules<'a> {
    /// Each page is looked at in full at least so often; whole days.
    pub full_look: Duration,
    /// Pages that load scripts of others, at least so often.
    pub third_party: Duration,
    /// How pages are looked at now.
    pub basis: &'a str,
    /// When this scan began.
    pub now: Timestamp,
    /// Whether a host is the site's own.
    pub is_own: &'a (dyn Fn(&str) -> bool + Sync),
}

/// Why a page is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// It is its turn.
    Due,
    /// Checks, advisories, or how the site is scanned changed.
    OtherBasis,
    /// The last look was not whole.
    InPart,
    /// What it loads from others is too old.
    ThirdParty,
    /// It cannot be told whether this is the same.
    CannotTell(String),
    /// This is another one.
    Changed(String),
}

impl fmt::Display for Look {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Due => f.write_str("it is its turn"),
            Self::OtherBasis => f.write_str("checks, advisories or the site's file changed"),
            Self::InPart => f.write_str("the last look was not whole"),
            Self::ThirdParty => f.write_str("scripts of others were last seen too long ago"),
            Self::CannotTell(what) => write!(f, "it cannot be told whether {what} is the same"),
            Self::Changed(what) => write!(f, "{what} changed"),
        }
    }
}

/// A part of a page: its document, a script, a style, what its scripts fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Where it is.
    pub url: Url,
    /// What it is used as.
    pub kind: ResourceKind,
    /// The status that it had.
    pub status: u16,
    /// The mark of its body; `None` if that says nothing, because it was an error.
    pub mark: Option<String>,
    /// The headers that it had; `None` if they were not kept.
    pub headers: Option<Vec<Header>>,
}

/// What a server says of a part now. Headers are redacted as those of evidence are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The mark of the body.
    pub mark: String,
    /// Its headers.
    pub headers: Vec<Header>,
    /// The cookies that it sets.
    pub cookies: Vec<SetCookie>,
}

/// A cookie as a header sets it, without its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetCookie {
    /// The name.
    pub name: String,
    /// Only over https.
    pub secure: bool,
    /// Not for scripts.
    pub http_only: bool,
    /// For requests from other sites.
    pub same_site: SameSite,
}

impl SetCookie {
    /// Reads the value of a `Set-Cookie` header; `None` if it has no name.
    pub fn parse(text: &str) -> Option<Self> {
        let cookie = Cookie::parse(text).ok()?;
        Some(Self {
            name: cookie.name().to_owned(),
            secure: cookie.secure().unwrap_or_default(),
            http_only: cookie.http_only().unwrap_or_default(),
            same_site: match cookie.same_site() {
                Some(cookie::SameSite::Strict) => SameSite::Strict,
                Some(cookie::SameSite::Lax) => SameSite::Lax,
                Some(cookie::SameSite::None) => SameSite::None,
                None => SameSite::Unset,
            },
        })
    }
}

/// What must be asked for to know whether a page is as it was; its document first. An error if it is to be looked at
/// anyway.
pub fn parts(key: &str, past: &PastLook, rules: &Rules<'_>) -> Result<Vec<Part>, Look> {
    let evidence = &past.evidence;
    let page = &evidence.page;
    if past.mark.basis != rules.basis {
        return Err(Look::OtherBasis);
    }
    let whole = evidence.gaps.is_empty() && !page.cut_short && page.broken_off.is_none() && page.status == Some(200);
    if !whole || !page.redirects.is_empty() || page.session_in_path || page.logged_in == Some(false) {
        return Err(Look::InPart);
    }
    if is_turn(key, rules) || too_old(past, rules.full_look, rules.now) {
        return Err(Look::Due);
    }
    let mut all: Vec<Part> = Vec::new();
    let mut of_others = false;
    for request in &evidence.requests {
        let Some(loaded) = part(request, all.is_empty(), rules)? else {
            continue;
        };
        of_others |= loaded.kind == ResourceKind::Script && !is_own(&loaded.url, rules);
        if all.iter().all(|other| other.url != loaded.url) {
            all.push(loaded);
        }
    }
    let document = all.first_mut().filter(|part| part.kind == ResourceKind::Document);
    let Some(document) = document.filter(|part| part.mark.is_some()) else {
        return Err(Look::CannotTell("its document".to_owned()));
    };
    document.headers = Some(page.headers.clone());
    if of_others && too_old(past, rules.third_party, rules.now) {
        return Err(Look::ThirdParty);
    }
    if all.len() > MOST_PARTS {
        return Err(Look::CannotTell("all that it loads".to_owned()));
    }
    Ok(all)
}

/// Pages take turns, so that each has a full look in time and no night has them all.
fn is_turn(key: &str, rules: &Rules<'_>) -> bool {
    let days = i64::try_from(rules.full_look.as_secs()).unwrap_or(i64::MAX) / DAY;
    let days = days.max(1);
    let today = rules.now.as_second().div_euclid(DAY);
    let share = i64::try_from(hash(key.as_bytes()) % days.unsigned_abs()).unwrap_or(0);
    share == today.rem_euclid(days)
}

fn too_old(past: &PastLook, most: Duration, now: Timestamp) -> bool {
    let age = Duration::try_from(now.duration_since(past.mark.looked_at)).unwrap_or_default();
    age + NEXT_NIGHT > most
}

fn is_own(url: &Url, rules: &Rules<'_>) -> bool {
    url.host_str().is_some_and(|host| (rules.is_own)(host))
}

/// What a request of a page brought, if that is to be asked for.
fn part(request: &Request, first: bool, rules: &Rules<'_>) -> Result<Option<Part>, Look> {
    use ResourceKind::{Document, EventSource, Fetch, Script, Stylesheet, Unknown, WebSocket, Xhr};
    let cannot_tell = || Err(Look::CannotTell(request.url.clone()));
    let Some(url) = Url::parse(&request.url)
        .ok()
        .filter(|url| url.scheme().starts_with("http"))
    else {
        return match request.kind {
            WebSocket | Unknown => cannot_tell(),
            _ => Ok(None),
        };
    };
    let counts = match request.kind {
        Script => true,
        Document | Stylesheet | Xhr | Fetch | EventSource | Unknown => is_own(&url, rules),
        _ => false,
    };
    let stopped = request
        .failure
        .as_ref()
        .is_some_and(|failure| failure.blocked.is_some());
    if !counts || stopped && !first {
        // What the browser did not let through follows from what did come.
        return Ok(None);
    }
    let plain = request.method == "GET" && request.failure.is_none() && request.redirects.is_empty();
    let (true, Some(status)) = (plain && !request.url.contains(REDACTED), request.status) else {
        return cannot_tell();
    };
    let body_counts = status == 200;
    if matches!(request.kind, EventSource | Unknown) || body_counts && request.mark.is_none() {
        return cannot_tell();
    }
    Ok(Some(Part {
        url,
        kind: request.kind,
        status,
        mark: request.mark.clone().filter(|_| body_counts),
        headers: (body_counts && matches!(request.kind, Document | Script | Stylesheet))
            .then(|| request.headers.clone()),
    }))
}

/// Whether a part is as it was. Cookies are compared with those that the browser held.
pub fn compare(part: &Part, answer: &Answer, evidence: &Evidence) -> Result<(), Look> {
    let changed = |what: &str| Err(Look::Changed(format!("{what} of {}", part.url)));
    if answer.status != part.status {
        return changed("the status");
    }
    if part.mark.as_ref().is_some_and(|mark| *mark != answer.mark) {
        return changed("the text");
    }
    if let Some(headers) = &part.headers
        && steady_headers(headers) != steady_headers(&answer.headers)
    {
        return changed("a header");
    }
    let known = |set: &SetCookie| {
        evidence.cookies.iter().any(|cookie| {
            let flags = (cookie.secure, cookie.http_only, cookie.same_site);
            cookie.name == set.name && flags == (set.secure, set.http_only, set.same_site)
        })
    };
    if part.kind == ResourceKind::Document && !answer.cookies.iter().all(known) {
        return changed("a cookie");
    }
    Ok(())
}

/// Headers that must not change, sorted; several of one name in one.
fn steady_headers(headers: &[Header]) -> Vec<(&str, String)> {
    let kept = headers
        .iter()
        .filter(|header| !UNSTEADY.contains(&header.name.as_str()))
        .map(|header| (header.name.as_str(), header.value.as_str()));
    let mut sorted: Vec<_> = kept.collect();
    sorted.sort_by_key(|(name, _)| *name);
    let mut joined: Vec<(&str, String)> = Vec::new();
    for (name, value) in sorted {
        let value = value.replace('\n', ", ");
        match joined.last_mut().filter(|(last, _)| *last == name) {
            Some((_, all)) => {
                all.push_str(", ");
                all.push_str(&value);
            }
            None => joined.push((name, value)),
        }
    }
    joined
}

/// A document without what each answer has anew: nonces, and random values of fields and `meta` elements. Nothing else
/// is taken out, so that no change of what is loaded or run is.
pub fn steady(html: &str) -> Cow<'_, str> {
    static NONCE: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r#"(?i)(\bnonce\s*=\s*["'])[^"']+|('nonce-)[^']+"#).ok());
    static TAG: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"(?i)<(?:input|meta)\b[^>]{0,5000}>").ok());
    static VALUE: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r#"(?i)(\b(?:value|content)\s*=\s*["'])([^"'\s]{16,4096})(["'])"#).ok());
    let (Some(nonce), Some(tag), Some(value)) = (NONCE.as_ref(), TAG.as_ref(), VALUE.as_ref()) else {
        return Cow::Borrowed(html);
    };
    let html = nonce.replace_all(html, "${1}${2}REDACTED");
    let masked = |found: &regex::Captures<'_>| {
        let inner = |found: &regex::Captures<'_>| {
            let shown = if is_token(&found[2]) { REDACTED } else { &found[2] };
            format!("{}{shown}{}", &found[1], &found[3])
        };
        value.replace_all(&found[0], inner).into_owned()
    };
    match html {
        Cow::Borrowed(html) => tag.replace_all(html, masked),
        Cow::Owned(html) => Cow::Owned(tag.replace_all(&html, masked).into_owned()),
    }
}

fn is_token(value: &str) -> bool {
    let (charset, entropy) = shape::measure(value);
    shape::is_random(&ValueShape {
        hash: String::new(),
        length: u32::try_from(value.chars().count()).unwrap_or(u32::MAX),
        charset,
        entropy,
        kind: None,
    })
}

#[cfg(test)]
#[path = "unchanged_tests.rs"]
mod tests;
