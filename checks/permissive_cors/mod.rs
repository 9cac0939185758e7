//! # What it looks for
//!
//! Answers that pages of any other site may read with the visitor's credentials.
//!
//! # Why it matters
//!
//! A page of another site can ask for the answer in the visitor's name and read it: account data, tokens, messages. What
//! usually keeps sites apart has been switched off.
//!
//! # How it decides
//!
//! Answers of the site's own hosts that send `Access-Control-Allow-Credentials: true` without being asked are asked for
//! again with an `Origin` that nobody has, without cookies; at most three of a page. If the answer allows that origin,
//! with credentials, it allows every one. `Access-Control-Allow-Origin: null` with credentials counts without asking: a
//! sandboxed frame on any site has the origin `null`. `*` does not count: browsers refuse it together with credentials,
//! and without them the answer is public. There is one finding for each host and template of URL.
//!
//! Severity, by the session cookie that another site's request would bring along:
//! - *high*: one with `SameSite=None`.
//! - *medium*: one without `SameSite`; browsers differ.
//! - *low*: none, or one with `Lax` or `Strict`: credentials of other kinds are left, and what comes later.
//!
//! Confidence: *certain* if the answer allowed the strange origin; *firm* for `null`.
//!
//! # How to fix
//!
//! Keep a list of the origins that may read, compare the whole `Origin` with it, and answer with that origin and
//! `Vary: Origin`; leave the headers out for any other.
//!
//! # Known limits
//!
//! Only answers to GET that a page came by are asked for. An origin that is allowed because it begins or ends like a good
//! one is not tried.
//!
//! # References
//!
//! - WHATWG, Fetch, CORS protocol: <https://fetch.spec.whatwg.org/#http-cors-protocol>
//! - CWE-942, Permissive Cross-domain Policy with Untrusted Domains:
//!   <https://cwe.mitre.org/data/definitions/942.html>

use std::collections::BTreeMap;

use url::Url;

use crate::answers;
use crate::check::{Check, Meta, Outcome, Subject};
use crate::evidence::{Answer, Header, SameSite};
use crate::hosts;
use crate::look::{Look, Seen};
use crate::observation::{Cause, Confidence, Fact, Observation, Question, Severity};
use crate::session_cookie;
use crate::stable::template;

/// Answers that every site may read.
pub struct PermissiveCors;

static META: Meta = Meta {
    id: "permissive-cors",
    version: 1,
    title: "Any other site may read an answer with the visitor's credentials",
    severity: Severity::Medium,
    cwe: 942,
    source: include_str!("mod.rs"),
};

/// URLs of one page that are asked for again.
const MOST_ASKED: usize = 3;

impl Check for PermissiveCors {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn look(&self, seen: &Seen<'_>) -> Option<Look> {
        let origin = if seen.fact("allows").contains("null") {
            "Origin: null"
        } else {
            "Origin: https://another-site.example"
        };
        Some(Look::header_with(
            "Ask as a page of another origin would: the answer names that origin in Access-Control-Allow-Origin and \
             allows credentials.",
            seen.address(&["url"]),
            origin,
            "access-control-",
        ))
    }

    fn run(&self, subject: &Subject<'_>) -> Outcome {
        let mut found: BTreeMap<Cause, Observation> = BTreeMap::new();
        let mut questions = Vec::new();
        for (url, headers) in candidates(subject) {
            let allowed = answers::value(headers, "access-control-allow-origin").unwrap_or_default();
            let (origin, confidence) = if allowed == "null" {
                ("null".to_owned(), Confidence::Firm)
            } else {
                match answered(subject, &url) {
                    Some(true) => ("any".to_owned(), Confidence::Certain),
                    Some(false) => continue,
                    None => {
                        questions.push(Question::AnyOriginMayRead { url: url.to_string() });
                        continue;
                    }
                }
            };
            let observation = observe(subject, &url, &origin, confidence);
            found.entry(observation.cause.clone()).or_insert(observation);
        }
        questions.sort();
        questions.dedup();
        questions.truncate(MOST_ASKED);
        Outcome {
            observations: found.into_values().collect(),
            questions,
        }
    }
}

/// Answers that say of themselves that credentials may come along.
fn candidates<'a>(subject: &Subject<'a>) -> Vec<(Url, &'a [Header])> {
    let evidence = subject.evidence;
    let requests = evidence
        .requests
        .iter()
        .filter(|request| request.method == "GET" && request.redirects.is_empty())
        .map(|request| (request.url.as_str(), request.headers.as_slice()));
    std::iter::once((evidence.page.url.as_str(), evidence.page.headers.as_slice()))
        .chain(requests)
        .filter(|(_, headers)| {
            answers::value(headers, "access-control-allow-credentials").is_some_and(|value| value.trim() == "true")
        })
        .filter_map(|(url, headers)| Some((Url::parse(url).ok()?, headers)))
        // What was redacted cannot be asked for again.
        .filter(|(url, _)| {
            url.scheme() == "https"
                && !url.as_str().contains("REDACTED")
                && url.host_str().is_some_and(|host| hosts::is_own(subject, host))
        })
        .collect()
}

/// Whether the answer allows every origin; `None` if it was not asked yet.
fn answered(subject: &Subject<'_>, url: &Url) -> Option<bool> {
    subject.evidence.answers.iter().find_map(|answer| match answer {
        Answer::AnyOrigin { url: asked, allowed } if asked == url.as_str() => Some(*allowed),
        Answer::NotAsked {
            question: Question::AnyOriginMayRead { url: asked },
            ..
        } if asked == url.as_str() => Some(false),
        _ => None,
    })
}

fn observe(subject: &Subject<'_>, url: &Url, origin: &str, confidence: Confidence) -> Observation {
    let cookies = session_cookie::sent_to(&subject.evidence.cookies, url);
    let weakest = cookies
        .iter()
        .map(|(cookie, _)| cookie)
        .max_by_key(|cookie| session_cookie::exposure(cookie.same_site));
    let severity = match weakest.map(|cookie| cookie.same_site) {
        Some(SameSite::None) => Severity::High,
        Some(SameSite::Unset | SameSite::Unknown) => Severity::Medium,
        _ => Severity::Low,
    };
    let place = template(url);
    let shown: String = place.chars().take(100).collect();
    let who = if origin == "null" {
        "the origin null"
    } else {
        "any origin"
    };
    let mut facts = vec![Fact::new("url", url.as_str()), Fact::new("allows", who)];
    facts.extend(weakest.map(|cookie| Fact::new("session cookie", cookie.name.as_str())));
    META.observe(
        (severity, confidence),
        &format!("{shown} may be read by {who} with the visitor's credentials"),
        Cause::new(
            1,
            [
                ("url", place),
                ("header", "access-control-allow-origin".to_owned()),
                ("origin", origin.to_owned()),
            ],
        ),
        facts,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Scene;

    #[test]
    fn credentials_without_a_list_are_asked_about() {
        let mut scene = Scene::document("https://case.test/me");
        assert!(scene.run(&PermissiveCors).questions.is_empty());
        scene.header("access-control-allow-credentials", "true");
        let outcome = scene.run(&PermissiveCors);
        let url = "https://case.test/me".to_owned();
        assert_eq!(outcome.questions, [Question::AnyOriginMayRead { url: url.clone() }]);
        assert!(outcome.observations.is_empty());
        for (allowed, expected) in [(false, 0), (true, 1)] {
            scene.evidence.answers = vec![Answer::AnyOrigin {
                url: url.clone(),
                allowed,
            }];
            let outcome = scene.run(&PermissiveCors);
            assert_eq!((outcome.observations.len(), outcome.questions.len()), (expected, 0));
        }
        scene.session_cookie("PHPSESSID", SameSite::None);
        assert_eq!(scene.run(&PermissiveCors).observations[0].severity, Severity::High);
    }

    #[test]
    fn null_is_everybody() {
        let mut scene = Scene::document("https://case.test/me");
        scene.header("access-control-allow-credentials", "true");
        scene.header("access-control-allow-origin", "null");
        let outcome = scene.run(&PermissiveCors);
        assert_eq!(outcome.observations[0].confidence, Confidence::Firm);
        assert!(outcome.questions.is_empty());
    }
}
