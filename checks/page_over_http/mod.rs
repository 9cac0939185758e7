//! # What it looks for
//!
//! Pages that are served over http, without encryption.
//!
//! # Why it matters
//!
//! Whoever sits between the visitor and the server reads the page, and can put anything in its place: other prices,
//! another bank account, a login form of their own.
//!
//! # How it decides
//!
//! The page that was reached, after all redirects, is an `http:` page, and it was answered well. This machine itself
//! (loopback) does not count. There is one finding for each host.
//!
//! Severity: always *medium*. What a page asks for over http is another check's (`insecure-form`).
//!
//! Confidence: *certain*, since the answer came over http.
//!
//! # How to fix
//!
//! Serve the host over https, redirect every http URL to its https form, and send `Strict-Transport-Security` from
//! there.
//!
//! # Known limits
//!
//! Only pages that the scan comes by are seen. That a host also answers over http without redirecting, if no link leads
//! there, is not asked.
//!
//! # References
//!
//! - CWE-319, Cleartext Transmission of Sensitive Information: <https://cwe.mitre.org/data/definitions/319.html>
//! - OWASP, Transport Layer Security Cheat Sheet:
//!   <https://cheatsheetseries.owasp.org/cheatsheets/Transport_Layer_Security_Cheat_Sheet.html>

use url::Url;

use crate::answers;
use crate::check::{Check, Meta, Outcome, Subject};
use crate::hosts;
use crate::look::{Look, Seen};
use crate::observation::{Cause, Confidence, Fact, Severity};

/// Pages without encryption.
pub struct PageOverHttp;

static META: Meta = Meta {
    id: "page-over-http",
    version: 1,
    title: "A page is served without encryption",
    severity: Severity::Medium,
    cwe: 319,
    source: include_str!("mod.rs"),
};

impl Check for PageOverHttp {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn look(&self, seen: &Seen<'_>) -> Option<Look> {
        Some(Look::header(
            "Ask for the address over http: the answer is the page, not a redirect to https.",
            seen.address(&["page"]),
            "",
        ))
    }

    fn run(&self, subject: &Subject<'_>) -> Outcome {
        let mut outcome = Outcome::default();
        let page = &subject.evidence.page;
        let Ok(url) = Url::parse(&page.url) else {
            return outcome;
        };
        let well = page.status.is_some_and(|status| (200..300).contains(&status));
        if url.scheme() != "http" || !well || hosts::is_loopback(&url) {
            return outcome;
        }
        let host = answers::host(&url);
        outcome.observations.push(META.observe(
            (Severity::Medium, Confidence::Certain),
            &format!("{host} serves pages over http"),
            Cause::new(1, [("host", host.clone())]),
            vec![Fact::new("page", page.url.as_str())],
        ));
        outcome
    }
}
