//! # What it looks for
//!
//! Cookies of the site that lack `Secure`, `HttpOnly` or `SameSite`; those that carry a visitor's session above all.
//!
//! # Why it matters
//!
//! Whoever has the session cookie is the visitor, as far as the server can tell. Without `Secure` the browser sends it
//! over http as well, where it can be read on the way. Without `HttpOnly` any script on the page can read it, an injected
//! one too. Without `SameSite` it depends on the browser whether other sites can have it sent.
//!
//! # How it decides
//!
//! The cookies that the browser holds for the page, if their domain is the site's own. A session cookie is known by the
//! name that well-known software gives it, or by a random value that is hidden from scripts or ends with the browser
//! session. Cookies that count, test, balance load or keep a preference are never session cookies, and neither are
//! tokens that scripts must read (`XSRF-TOKEN`). `Secure` is asked for only on pages over https. There is one finding for
//! each session cookie, and one for each domain with other cookies.
//!
//! Severity, by the worst that a session cookie lacks:
//! - *medium*: `Secure`.
//! - *low*: `HttpOnly`.
//! - *info*: `SameSite`. Most browsers then take it for `Lax`.
//!
//! Other cookies without `Secure` are *info*; nothing else is asked of them, since scripts may well need to read them.
//! `SameSite=None` is a decision, not an omission; what follows from it `missing-csrf-token` says.
//!
//! Confidence: *firm* for a session cookie known by its name, and for other cookies; *tentative* for one known by its
//! shape.
//!
//! # How to fix
//!
//! Set session cookies with `Secure; HttpOnly; SameSite=Lax`, best with a name that begins with `__Host-`.
//!
//! # Known limits
//!
//! The cookies of the visitor that the scan is are seen, not those of others. A cookie with an odd name and a value that
//! does not look random is taken for no session's.
//!
//! # References
//!
//! - CWE-614, Sensitive Cookie in HTTPS Session Without 'Secure' Attribute:
//!   <https://cwe.mitre.org/data/definitions/614.html>
//! - CWE-1004, Sensitive Cookie Without `HttpOnly` Flag: <https://cwe.mitre.org/data/definitions/1004.html>
//! - OWASP, Session Management Cheat Sheet:
//!   <https://cheatsheetseries.owasp.org/cheatsheets/Session_Management_Cheat_Sheet.html>

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;
use url::Url;

use crate::check::{Check, Meta, Outcome, Subject};
use crate::evidence::{Cookie, SameSite};
use crate::hosts;
use crate::look::{Look, Seen};
use crate::observation::{Cause, Confidence, Fact, Observation, Severity};
use crate::session_cookie::{self, Recognised};

/// Cookies that are protected less than they could be.
pub struct InsecureCookie;

static META: Meta = Meta {
    id: "insecure-cookie",
    version: 1,
    title: "A cookie is protected less than it could be",
    severity: Severity::Medium,
    cwe: 614,
    source: include_str!("mod.rs"),
};

impl Check for InsecureCookie {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn look(&self, seen: &Seen<'_>) -> Option<Look> {
        let (cookie, lacks) = (seen.address(&["cookie", "cookies"]), seen.fact("lacks"));
        Some(Look::header(
            format!(
                "Look at the cookies of the page (developer tools, F12, Application or Storage), or at what sets them: \
                 {cookie} lacks {lacks}. A cookie that is set only after a login shows there alone."
            ),
            seen.page,
            "set-cookie:",
        ))
    }

    fn run(&self, subject: &Subject<'_>) -> Outcome {
        let secure_page = Url::parse(&subject.evidence.page.url)
            .is_ok_and(|url| url.scheme() == "https" && !hosts::is_loopback(&url));
        let mut outcome = Outcome::default();
        let mut others: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for cookie in &subject.evidence.cookies {
            let domain = cookie.domain.trim_start_matches('.');
            if !hosts::is_own(subject, domain) {
                continue;
            }
            if let Some(how) = session_cookie::recognise(cookie) {
                outcome.observations.extend(session(cookie, how, secure_page));
            } else if secure_page && !cookie.secure {
                others.entry(domain).or_default().push(&cookie.name);
            }
        }
        outcome.observations.extend(others.into_iter().map(|(domain, names)| {
            META.observe(
                (Severity::Info, Confidence::Firm),
                &format!("Cookies of {domain} that carry no session are sent over http as well"),
                Cause::new(1, [("domain", domain.to_owned()), ("kind", "other".to_owned())]),
                vec![Fact::new("cookies", names.join(", ")), Fact::new("lacks", "Secure")],
            )
        }));
        outcome
    }
}

fn session(cookie: &Cookie, how: Recognised, secure_page: bool) -> Option<Observation> {
    let lacks: Vec<(&str, Severity)> = [
        ("Secure", Severity::Medium, secure_page && !cookie.secure),
        ("HttpOnly", Severity::Low, !cookie.http_only),
        ("SameSite", Severity::Info, cookie.same_site == SameSite::Unset),
    ]
    .into_iter()
    .filter(|(_, _, lacks)| *lacks)
    .map(|(name, severity, _)| (name, severity))
    .collect();
    let severity = lacks.iter().map(|(_, severity)| *severity).max()?;
    let names: Vec<&str> = lacks.iter().map(|(name, _)| *name).collect();
    let confidence = match how {
        Recognised::ByName => Confidence::Firm,
        Recognised::ByShape => Confidence::Tentative,
    };
    let domain = cookie.domain.trim_start_matches('.');
    let name = stable_name(&cookie.name);
    let shown: String = name.chars().take(60).collect();
    Some(META.observe(
        (severity, confidence),
        &format!("The session cookie {shown} of {domain} lacks {}", names.join(", ")),
        Cause::new(
            1,
            [
                ("domain", domain.to_owned()),
                ("kind", "session".to_owned()),
                ("cookie", name),
            ],
        ),
        vec![
            Fact::new("cookie", cookie.name.as_str()),
            Fact::new("domain", cookie.domain.as_str()),
            Fact::new("path", cookie.path.as_str()),
            Fact::new("lacks", names.join(", ")),
        ],
    ))
}

/// A name without what differs from one installation or visit to the next.
fn stable_name(name: &str) -> String {
    static VARYING: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"[0-9a-f]{16,}|(?P<asp>ASPSESSIONID)[A-Z]{8}").ok());
    let name: String = name.chars().take(200).collect();
    match VARYING.as_ref() {
        Some(varying) => varying.replace_all(&name, "${asp}{id}").into_owned(),
        None => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Scene, shape};

    fn one(scene: &Scene) -> (Severity, Confidence) {
        let outcome = scene.run(&InsecureCookie);
        assert_eq!(outcome.observations.len(), 1, "{outcome:?}");
        (outcome.observations[0].severity, outcome.observations[0].confidence)
    }

    #[test]
    fn the_worst_that_is_missing_decides() {
        let table = [
            (true, true, SameSite::Lax, None),
            (true, true, SameSite::None, None),
            (true, true, SameSite::Unset, Some(Severity::Info)),
            (true, false, SameSite::Lax, Some(Severity::Low)),
            (false, true, SameSite::Lax, Some(Severity::Medium)),
        ];
        for (secure, http_only, same_site, expected) in table {
            let mut scene = Scene::new("https://case.test/");
            let cookie = scene.session_cookie("PHPSESSID", same_site);
            (cookie.secure, cookie.http_only) = (secure, http_only);
            match expected {
                None => assert!(scene.run(&InsecureCookie).observations.is_empty()),
                Some(severity) => assert_eq!(one(&scene), (severity, Confidence::Firm)),
            }
        }
    }

    #[test]
    fn what_carries_no_session_and_what_is_not_ours() {
        let mut scene = Scene::new("https://case.test/");
        let cookie = scene.session_cookie("theme", SameSite::Unset);
        (cookie.secure, cookie.http_only, cookie.session) = (false, false, false);
        cookie.value = shape("dark");
        assert_eq!(one(&scene), (Severity::Info, Confidence::Firm));
        scene.evidence.page.url = "http://case.test/".into();
        assert!(scene.run(&InsecureCookie).observations.is_empty());
        let mut other = Scene::new("https://case.test/");
        let cookie = other.session_cookie("PHPSESSID", SameSite::Unset);
        cookie.domain = ".ads.example".into();
        assert!(other.run(&InsecureCookie).observations.is_empty());
    }

    #[test]
    fn names_that_vary_are_one_cause() {
        assert_eq!(stable_name("SESS0123456789abcdef0123456789abcdef"), "SESS{id}");
        assert_eq!(stable_name("ASPSESSIONIDQQRRSSTT"), "ASPSESSIONID{id}");
        assert_eq!(stable_name("PHPSESSID"), "PHPSESSID");
    }
}
