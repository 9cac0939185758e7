//! # What it looks for
//!
//! Hosts that serve pages over https without telling browsers, by `Strict-Transport-Security`, to come only over https;
//! or that tell it for a short time, or in a way that browsers do not understand.
//!
//! # Why it matters
//!
//! A visitor who types the name, or follows an old link, begins over http. Whoever sits in between answers in the
//! server's place, and the redirect to https never comes. With the header, browsers that were there before do not begin
//! over http at all.
//!
//! # How it decides
//!
//! The headers of the page, and of the site's own frames on it. A host is in order if the header has a `max-age` of at
//! least 180 days, if a host above it that was seen on the page says `includeSubDomains`, or if its top-level domain is
//! one that browsers always visit over https. Addresses and loopback have no name to be remembered by, and do not count.
//! Scripts and images are not looked at. There is one finding for each host.
//!
//! Severity: always *low*: it takes somebody in between, at a first visit.
//!
//! Confidence: *firm*, since the header is what browsers go by. That a host is on the list which browsers bring along
//! (preload) cannot be seen.
//!
//! # How to fix
//!
//! Send `Strict-Transport-Security: max-age=31536000` with every answer over https, `includeSubDomains` once all names
//! below answer over https. Begin with a short time if in doubt.
//!
//! # Known limits
//!
//! A missing `includeSubDomains` is not reported, and neither is the header over http, where it is void.
//!
//! # References
//!
//! - IETF, HTTP Strict Transport Security (RFC 6797): <https://www.rfc-editor.org/rfc/rfc6797>
//! - CWE-319, Cleartext Transmission of Sensitive Information: <https://cwe.mitre.org/data/definitions/319.html>

use std::collections::{BTreeMap, BTreeSet};

use crate::answers::{self, Strict};
use crate::check::{Check, Meta, Outcome, Subject};
use crate::evidence::ResourceKind;
use crate::look::{Look, Seen};
use crate::observation::{Cause, Confidence, Fact, Severity};

/// Hosts that browsers may still visit over http.
pub struct WeakHsts;

static META: Meta = Meta {
    id: "weak-hsts",
    version: 1,
    title: "Browsers are not told to come over https only",
    severity: Severity::Low,
    cwe: 319,
    source: include_str!("mod.rs"),
};

/// The shortest time that is in order, in seconds: 180 days.
const LEAST: u64 = 180 * 24 * 60 * 60;

/// Top-level domains that are, as a whole, on the list of hosts that browsers visit only over https.
const ALWAYS_STRICT: &[&str] = &[
    "app",
    "bank",
    "boo",
    "channel",
    "dad",
    "day",
    "dev",
    "esq",
    "foo",
    "ing",
    "insurance",
    "meme",
    "mov",
    "new",
    "nexus",
    "page",
    "phd",
    "prof",
    "rsvp",
    "zip",
];

impl Check for WeakHsts {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn look(&self, seen: &Seen<'_>) -> Option<Look> {
        Some(Look::header(
            "Look at the headers of the answer over https: Strict-Transport-Security is missing, or too weak. The command \
             prints nothing where it is missing.",
            seen.address(&["answer"]),
            "strict-transport-security",
        ))
    }

    fn run(&self, subject: &Subject<'_>) -> Outcome {
        let answers = answers::own(subject);
        let secure: Vec<_> = answers
            .iter()
            .filter(|answer| answer.url.scheme() == "https" && answers::is_named(&answer.url))
            .collect();
        let mut said: BTreeMap<&str, Strict> = BTreeMap::new();
        for answer in &secure {
            let strict = answer.header("strict-transport-security").and_then(answers::strict);
            if let (Some(strict), Some(host)) = (strict, answer.url.host_str()) {
                said.entry(host).or_insert(strict);
            }
        }
        let mut outcome = Outcome::default();
        let mut looked_at = BTreeSet::new();
        for answer in secure.iter().filter(|answer| answer.kind == ResourceKind::Document) {
            let Some(host) = answer.url.host_str() else { continue };
            if !looked_at.insert(host) || is_covered(host, &said) {
                continue;
            }
            let header = answer.header("strict-transport-security");
            let why = match (header, said.get(host)) {
                (None, None) => "does not send it".to_owned(),
                (_, Some(strict)) if strict.seconds >= LEAST => continue,
                (_, Some(Strict { seconds: 0, .. })) => "switches it off (max-age=0)".to_owned(),
                (_, Some(strict)) => format!("sends it for {} days only", strict.seconds / 86_400),
                (Some(_), None) => "sends it without a max-age, so that browsers ignore it".to_owned(),
            };
            outcome.observations.push(META.observe(
                (Severity::Low, Confidence::Firm),
                &format!("Strict-Transport-Security: {host} {why}"),
                Cause::new(
                    1,
                    [
                        ("host", host.to_owned()),
                        ("header", "strict-transport-security".to_owned()),
                    ],
                ),
                vec![
                    Fact::new("answer", answer.url.as_str()),
                    Fact::new("header", header.unwrap_or("none")),
                ],
            ));
        }
        outcome
    }
}

/// Whether a host above it covers it, or its top-level domain.
fn is_covered(host: &str, said: &BTreeMap<&str, Strict>) -> bool {
    let mut rest = host;
    while let Some((_, parent)) = rest.split_once('.') {
        if said
            .get(parent)
            .is_some_and(|strict| strict.subdomains && strict.seconds >= LEAST)
        {
            return true;
        }
        rest = parent;
    }
    ALWAYS_STRICT.contains(&rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Scene;

    #[test]
    fn headers_are_judged() {
        let table = [
            ("https://case.test/", "max-age=31536000", true),
            ("https://case.test/", "max-age=\"15552000\"; includeSubDomains", true),
            ("https://case.test/", "max-age=86400", false),
            ("https://case.test/", "max-age=0", false),
            ("https://case.test/", "includeSubDomains", false),
            ("https://case.test/", "", false),
            ("https://shop.dev/", "", true),
            ("http://case.test/", "", true),
            ("https://10.0.0.1/", "", true),
            ("https://localhost/", "", true),
        ];
        for (url, value, passes) in table {
            let mut scene = Scene::document(url);
            if !value.is_empty() {
                scene.header("strict-transport-security", value);
            }
            assert_eq!(scene.run(&WeakHsts).observations.is_empty(), passes, "{url} {value}");
        }
    }

    #[test]
    fn a_host_above_covers_those_below() {
        let mut scene = Scene::document("https://www.case.test/");
        scene.header("strict-transport-security", "max-age=1");
        assert_eq!(scene.run(&WeakHsts).observations.len(), 1);
        let request = scene.request("https://case.test/a.js", ResourceKind::Script);
        request.status = Some(200);
        request.headers.push(crate::evidence::Header {
            name: "strict-transport-security".into(),
            value: "max-age=31536000; includeSubDomains".into(),
        });
        assert!(scene.run(&WeakHsts).observations.is_empty());
    }
}
