//! # What it looks for
//!
//! Pages with something to click that any other site may show in a frame.
//!
//! # Why it matters
//!
//! Another site can lay such a page, unseen, over its own, so that the visitor's click goes to a button of this page: it
//! buys, agrees or deletes in the visitor's name.
//!
//! # How it decides
//!
//! A page with a visible form that changes something (POST). It is protected if a policy in its header has
//! `frame-ancestors` that does not allow everybody (`*`, `http:`, `https:`), or if there is none and `X-Frame-Options` is
//! `DENY` or `SAMEORIGIN`. In a `meta` element neither counts. There is one finding for each host.
//!
//! Severity:
//! - *medium*: the browser holds a session cookie with `SameSite=None` that would be sent along in a frame.
//! - *low*: it does not, so that in the frame the visitor is not logged in, as far as is known.
//!
//! Confidence: *firm*; *tentative* if the session cookie is known only by its shape.
//!
//! # How to fix
//!
//! Send `Content-Security-Policy: frame-ancestors 'self'`, or name the sites that may frame the page. Give session
//! cookies `SameSite=Lax`.
//!
//! # Known limits
//!
//! Buttons outside of forms are not counted. A page that breaks out of frames by script is not known as protected.
//!
//! # References
//!
//! - W3C, Content Security Policy Level 3, `frame-ancestors`: <https://www.w3.org/TR/CSP3/#directive-frame-ancestors>
//! - CWE-1021, Improper Restriction of Rendered UI Layers or Frames:
//!   <https://cwe.mitre.org/data/definitions/1021.html>
//! - OWASP, Clickjacking Defense Cheat Sheet:
//!   <https://cheatsheetseries.owasp.org/cheatsheets/Clickjacking_Defense_Cheat_Sheet.html>

use crate::answers::{self, Answered};
use crate::check::{Check, Meta, Outcome, Subject};
use crate::evidence::{FormMethod, SameSite};
use crate::fields;
use crate::look::{Look, Seen};
use crate::observation::{Cause, Confidence, Fact, Severity};
use crate::policy;
use crate::session_cookie::{self, Recognised};

/// Pages that any site may frame.
pub struct FramingAllowed;

static META: Meta = Meta {
    id: "framing-allowed",
    version: 1,
    title: "Any other site may show a page with forms in a frame",
    severity: Severity::Low,
    cwe: 1021,
    source: include_str!("mod.rs"),
};

impl Check for FramingAllowed {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn look(&self, seen: &Seen<'_>) -> Option<Look> {
        Some(Look::header(
            "Look at the headers of the page: neither X-Frame-Options nor frame-ancestors of Content-Security-Policy \
             keeps other sites from showing it in a frame. A page of another origin with <iframe src=…> of this address \
             shows it.",
            seen.page,
            "",
        ))
    }

    fn needs_session(&self) -> bool {
        true
    }

    fn run(&self, subject: &Subject<'_>) -> Outcome {
        let mut outcome = Outcome::default();
        let Some(page) = answers::page(subject) else {
            return outcome;
        };
        let main = subject.evidence.main_frame().map(|frame| frame.id.as_str());
        let form = subject.evidence.forms.iter().find(|form| {
            form.visible
                && Some(form.frame.as_str()) == main
                && fields::targets(form)
                    .iter()
                    .any(|(_, method)| *method == FormMethod::Post)
        });
        let Some(form) = form.filter(|_| !is_protected(subject, &page)) else {
            return outcome;
        };
        let sent = session_cookie::of_visitor(subject, &page.url);
        let cookie = sent
            .iter()
            .filter(|(cookie, _)| cookie.same_site == SameSite::None)
            .max_by_key(|(_, how)| *how);
        let rated = match cookie {
            Some((_, Recognised::ByName)) => (Severity::Medium, Confidence::Firm),
            Some((_, Recognised::ByShape)) => (Severity::Medium, Confidence::Tentative),
            None => (Severity::Low, Confidence::Firm),
        };
        let host = page.host();
        let mut facts = vec![
            Fact::new("form", form.snippet.as_str()),
            Fact::new("x-frame-options", page.header("x-frame-options").unwrap_or("none")),
        ];
        facts.extend(cookie.map(|(cookie, _)| Fact::new("session cookie", cookie.name.as_str())));
        outcome.observations.push(META.observe(
            rated,
            &format!("Any site may show pages of {host} in a frame, forms included"),
            Cause::new(1, [("host", host), ("header", "frame-ancestors".to_owned())]),
            facts,
        ));
        outcome
    }
}

fn is_protected(subject: &Subject<'_>, page: &Answered<'_>) -> bool {
    let policies = policy::enforced(subject.evidence, false);
    let mut ancestors = policies
        .iter()
        .filter_map(|policy| policy.sources("frame-ancestors"))
        .peekable();
    if ancestors.peek().is_some() {
        let open = ["*", "http:", "https:"];
        return ancestors.any(|allowed| !allowed.iter().any(|source| open.contains(&source.as_str())));
    }
    page.header("x-frame-options").is_some_and(|value| {
        value
            .split([',', '\n'])
            .map(str::trim)
            .any(|word| word.eq_ignore_ascii_case("deny") || word.eq_ignore_ascii_case("sameorigin"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Scene, field};

    fn scene(headers: &[(&str, &str)]) -> Scene {
        let mut scene = Scene::document("https://case.test/");
        scene.form(FormMethod::Post, "https://case.test/save", &[field("text", "nick")]);
        for (name, value) in headers {
            scene.header(name, value);
        }
        scene
    }

    #[test]
    fn the_newer_header_decides() {
        let csp = "content-security-policy";
        let table: [(&[(&str, &str)], bool); 8] = [
            (&[], false),
            (&[("x-frame-options", "DENY")], true),
            (&[("x-frame-options", "sameorigin")], true),
            (&[("x-frame-options", "ALLOW-FROM https://a.test")], false),
            (&[(csp, "frame-ancestors 'none'")], true),
            (&[(csp, "frame-ancestors *"), ("x-frame-options", "DENY")], false),
            (&[(csp, "frame-ancestors *"), (csp, "frame-ancestors 'self'")], true),
            (&[(csp, "default-src 'none'")], false),
        ];
        for (headers, expected) in table {
            assert_eq!(
                scene(headers).run(&FramingAllowed).observations.is_empty(),
                expected,
                "{headers:?}"
            );
        }
    }

    #[test]
    fn it_matters_more_if_the_session_comes_along() {
        for (same_site, severity) in [(SameSite::None, Severity::Medium), (SameSite::Lax, Severity::Low)] {
            let mut scene = scene(&[]);
            scene.session_cookie("PHPSESSID", same_site);
            assert_eq!(scene.run(&FramingAllowed).observations[0].severity, severity);
        }
        let mut scene = scene(&[]);
        scene.evidence.forms[0].method = FormMethod::Get;
        assert!(scene.run(&FramingAllowed).observations.is_empty());
    }
}
