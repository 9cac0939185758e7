//! # What it looks for
//!
//! Session ids in URLs: of the page, of its links and forms, and of what it loads from the site's own hosts.
//!
//! # Why it matters
//!
//! URLs are written into logs, histories and bookmarks, are sent along as `Referer`, and are passed on by people. Whoever
//! gets the URL has the session. And who sends somebody a URL with an id of their own may share that session later.
//!
//! # How it decides
//!
//! A parameter of the query with a name that server software gives session ids (`PHPSESSID`, `JSESSIONID`,
//! `ASPSESSIONID…`, `CFTOKEN`), or a session id in the path (`;jsessionid=…`, `/(S(…))/`). A parameter `sid` or `sessid`
//! counts if its value looks like a secret. Only URLs of the site's own hosts count. There is one finding for each host
//! and parameter.
//!
//! Severity: always *medium*.
//!
//! Confidence: *firm* for the names of server software and for paths; *tentative* for `sid` and `sessid`.
//!
//! # How to fix
//!
//! Keep the session in a cookie only: `session.use_only_cookies=1` and `session.use_trans_sid=0` in PHP,
//! `<tracking-mode>COOKIE</tracking-mode>` in a Java `web.xml`, `cookieless="UseCookies"` in ASP.NET.
//!
//! # Known limits
//!
//! Servers that see that the browser keeps cookies often stop writing ids into links after the first page.
//!
//! # References
//!
//! - CWE-598, Use of GET Request Method With Sensitive Query Strings: <https://cwe.mitre.org/data/definitions/598.html>
//! - OWASP, Session Management Cheat Sheet:
//!   <https://cheatsheetseries.owasp.org/cheatsheets/Session_Management_Cheat_Sheet.html>

use std::collections::BTreeMap;

use url::Url;

use crate::answers;
use crate::check::{Check, Meta, Outcome, Subject};
use crate::hosts;
use crate::look::{Look, Seen};
use crate::observation::{Cause, Confidence, Fact, Severity};

/// Session ids in URLs.
pub struct SessionIdInUrl;

static META: Meta = Meta {
    id: "session-id-in-url",
    version: 1,
    title: "A session id is part of URLs",
    severity: Severity::Medium,
    cwe: 598,
    source: include_str!("mod.rs"),
};

/// What stands where capture took a secret away.
const REDACTED: &str = "REDACTED";
/// How causes name an id in the path.
const IN_PATH: &str = "path";

impl Check for SessionIdInUrl {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn look(&self, seen: &Seen<'_>) -> Option<Look> {
        Some(Look::at(format!(
            "Look at the address of the page and at those that it asks for (network panel of the developer tools, F12): the \
             parameter {} holds a session's id.",
            seen.part("parameter")
        )))
    }

    fn run(&self, subject: &Subject<'_>) -> Outcome {
        let evidence = subject.evidence;
        let mut found: BTreeMap<(String, String), (Confidence, &str, &str)> = BTreeMap::new();
        let page = std::iter::once((evidence.page.url.as_str(), evidence.page.session_in_path, "page"));
        let links = evidence
            .links
            .iter()
            .filter(|link| !link.source.is_weak())
            .map(|link| (link.url.as_str(), link.session_in_path, "link"));
        let forms = evidence.forms.iter().map(|form| (form.action.as_str(), false, "form"));
        let requests = evidence
            .requests
            .iter()
            .map(|request| (request.url.as_str(), false, "request"));
        for (url, in_path, place) in page.chain(links).chain(forms).chain(requests) {
            for (host, parameter, confidence) in ids(subject, url, in_path) {
                found.entry((host, parameter)).or_insert((confidence, url, place));
            }
        }
        let observations = found.into_iter().map(|((host, parameter), (confidence, url, place))| {
            let title = if parameter == IN_PATH {
                format!("A session id is part of paths on {host}")
            } else {
                let shown: String = parameter.chars().take(40).collect();
                format!("A session id is part of URLs on {host}, as {shown}")
            };
            META.observe(
                (Severity::Medium, confidence),
                &title,
                Cause::new(1, [("host", host), ("parameter", parameter)]),
                vec![Fact::new("url", url), Fact::new("seen in", place)],
            )
        });
        Outcome {
            observations: observations.collect(),
            questions: Vec::new(),
        }
    }
}

/// The session ids in a URL of the site's own: host, parameter, and how sure that is.
fn ids(subject: &Subject<'_>, url: &str, in_path: bool) -> Vec<(String, String, Confidence)> {
    let Ok(url) = Url::parse(url) else { return Vec::new() };
    if !url.host_str().is_some_and(|host| hosts::is_own(subject, host)) {
        return Vec::new();
    }
    let host = answers::host(&url);
    let in_query = url.query_pairs().filter_map(|(name, value)| {
        let name = name.to_ascii_lowercase();
        let confidence = parameter(&name, &value)?;
        Some((host.clone(), stable(&name), confidence))
    });
    let mut ids: Vec<_> = in_query.collect();
    if in_path {
        ids.push((host, IN_PATH.to_owned(), Confidence::Firm));
    }
    ids
}

/// Whether a parameter is a session id; its name is in lower case.
fn parameter(name: &str, value: &str) -> Option<Confidence> {
    let known = matches!(name, "phpsessid" | "jsessionid" | "cftoken") || name.starts_with("aspsessionid");
    match name {
        _ if value.is_empty() => None,
        _ if known => Some(Confidence::Firm),
        "sid" | "sessid" if value == REDACTED => Some(Confidence::Tentative),
        _ => None,
    }
}

fn stable(name: &str) -> String {
    if name.starts_with("aspsessionid") {
        "aspsessionid".to_owned()
    } else {
        name.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Link, LinkSource};
    use crate::testing::Scene;

    #[test]
    fn ids_are_told_from_other_parameters() {
        let table = [
            ("https://case.test/a?PHPSESSID=REDACTED", Some(Confidence::Firm)),
            ("https://case.test/a?ASPSESSIONIDQQRR=REDACTED", Some(Confidence::Firm)),
            ("https://case.test/a?sid=REDACTED", Some(Confidence::Tentative)),
            ("https://case.test/a?sid=12", None),
            ("https://case.test/a?session_id=REDACTED", None),
            ("https://case.test/a?PHPSESSID=", None),
            ("https://ads.example/a?PHPSESSID=REDACTED", None),
        ];
        for (url, expected) in table {
            let mut scene = Scene::new("https://case.test/");
            scene.evidence.links.push(Link {
                url: url.into(),
                frame: "main".into(),
                source: LinkSource::Anchor,
                ..Link::default()
            });
            let outcome = scene.run(&SessionIdInUrl);
            assert_eq!(
                outcome.observations.first().map(|seen| seen.confidence),
                expected,
                "{url}"
            );
        }
        let mut scene = Scene::new("https://case.test/");
        scene.evidence.page.session_in_path = true;
        assert_eq!(scene.run(&SessionIdInUrl).observations.len(), 1);
    }
}
