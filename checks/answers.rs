//! Answers whose headers are known, and what headers say.

use url::{Host, Url};

use crate::check::Subject;
use crate::evidence::{Header, ResourceKind};
use crate::hosts;

/// One answer and its headers.
pub(crate) struct Answered<'a> {
    /// Where it came from, after redirects.
    pub url: Url,
    /// What it is used as.
    pub kind: ResourceKind,
    /// The headers, names in lower case.
    pub headers: &'a [Header],
}

impl Answered<'_> {
    /// The value of the first header with this name, given in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        value(self.headers, name)
    }

    /// Host and port, as causes name them.
    pub(crate) fn host(&self) -> String {
        host(&self.url)
    }
}

/// Host and port of a URL, as causes name them.
pub(crate) fn host(url: &Url) -> String {
    let name = url.host_str().unwrap_or_default();
    url.port()
        .map_or_else(|| name.to_owned(), |port| format!("{name}:{port}"))
}

/// The value of the first header with this name, given in lower case.
pub(crate) fn value<'a>(headers: &'a [Header], name: &str) -> Option<&'a str> {
    headers
        .iter()
        .find(|header| header.name == name)
        .map(|header| header.value.as_str())
}

/// The page's own document, if it is HTML that came well and its headers are known.
pub(crate) fn page<'a>(subject: &Subject<'a>) -> Option<Answered<'a>> {
    let page = &subject.evidence.page;
    let html = matches!(page.mime.as_deref(), Some("text/html" | "application/xhtml+xml"));
    let well = page.status.is_some_and(|status| (200..300).contains(&status));
    let url = Url::parse(&page.url).ok()?;
    (html && well && !page.headers.is_empty() && matches!(url.scheme(), "http" | "https")).then_some(Answered {
        url,
        kind: ResourceKind::Document,
        headers: &page.headers,
    })
}

/// The answers of the site's own hosts whose headers are known, the page's document first.
pub(crate) fn own<'a>(subject: &Subject<'a>) -> Vec<Answered<'a>> {
    let evidence = subject.evidence;
    let others = evidence.requests.iter().filter_map(|request| {
        // After a redirect the headers are another URL's.
        let last = request.redirects.last().map_or(&request.url, |hop| &hop.to);
        let url = Url::parse(last).ok()?;
        let well = request.status.is_some_and(|status| (200..300).contains(&status));
        (well && !request.headers.is_empty()).then_some(Answered {
            url,
            kind: request.kind,
            headers: &request.headers,
        })
    });
    page(subject)
        .into_iter()
        .chain(others)
        .filter(|answer| answer.url.host_str().is_some_and(|host| hosts::is_own(subject, host)))
        .collect()
}

/// What a `Strict-Transport-Security` header comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Strict {
    /// Seconds for which browsers remember it.
    pub seconds: u64,
    /// It holds for names below the host.
    pub subdomains: bool,
}

/// Reads a `Strict-Transport-Security` header; without `max-age` it is void. Of several, browsers take the first.
pub(crate) fn strict(value: &str) -> Option<Strict> {
    let mut seconds = None;
    let mut subdomains = false;
    for directive in value.lines().next().unwrap_or_default().split(';') {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        match name.trim().to_ascii_lowercase().as_str() {
            "max-age" => seconds = value.trim().trim_matches('"').parse().ok(),
            "includesubdomains" => subdomains = true,
            _ => {}
        }
    }
    seconds.map(|seconds| Strict { seconds, subdomains })
}

/// Whether a host has a name, so that what browsers remember of names can hold for it.
pub(crate) fn is_named(url: &Url) -> bool {
    matches!(url.host(), Some(Host::Domain(_))) && !hosts::is_loopback(url)
}
