//! # What it looks for
//!
//! Pages whose Content-Security-Policy would not stop an injected script, or that have none.
//!
//! # Why it matters
//!
//! If text of an attacker's gets into a page as markup, its scripts run with the visitor's rights. A policy that names
//! where scripts come from is the second line: the browser refuses the rest.
//!
//! # How it decides
//!
//! The policies of the page's header and of its `meta` elements are parsed as browsers parse them. One that only reports
//! does not count. A policy stops injected scripts if `script-src` (else `default-src`) is there, does not have
//! `'unsafe-inline'` without a nonce, a hash or `'strict-dynamic'`, and does not allow whole schemes or `*`, which
//! `'strict-dynamic'` makes void. All policies of a page hold at once, so one that is in order is enough. There is one
//! finding for each host.
//!
//! Severity: always *low*: it takes another flaw to be of use.
//!
//! Confidence: *firm*: the policy is what the browser goes by.
//!
//! # How to fix
//!
//! Send `Content-Security-Policy: script-src 'nonce-…' 'strict-dynamic'; object-src 'none'; base-uri 'none'` with a new
//! nonce in every answer, and put the nonce on the page's own script elements. Try it with
//! `Content-Security-Policy-Report-Only` first.
//!
//! # Known limits
//!
//! Whether an allowed host serves scripts that can be turned against the page is not looked at. `'unsafe-eval'`, a
//! missing `base-uri` and missing limits for styles, images and connections are not reported.
//!
//! # References
//!
//! - W3C, Content Security Policy Level 3: <https://www.w3.org/TR/CSP3/>
//! - CWE-693, Protection Mechanism Failure: <https://cwe.mitre.org/data/definitions/693.html>
//! - OWASP, Content Security Policy Cheat Sheet:
//!   <https://cheatsheetseries.owasp.org/cheatsheets/Content_Security_Policy_Cheat_Sheet.html>

use crate::answers;
use crate::check::{Check, Meta, Outcome, Subject};
use crate::look::{Look, Seen};
use crate::observation::{Cause, Confidence, Fact, Severity};
use crate::policy;

/// Pages without a policy that would stop an injected script.
pub struct WeakCsp;

static META: Meta = Meta {
    id: "weak-csp",
    version: 1,
    title: "No Content-Security-Policy would stop an injected script",
    severity: Severity::Low,
    cwe: 693,
    source: include_str!("mod.rs"),
};

impl Check for WeakCsp {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn look(&self, seen: &Seen<'_>) -> Option<Look> {
        Some(Look::header(
            "Look at the headers of the page: what the policy allows, or that there is none, is among what was seen. The \
             command prints nothing where there is none.",
            seen.page,
            "content-security-policy",
        ))
    }

    fn run(&self, subject: &Subject<'_>) -> Outcome {
        let mut outcome = Outcome::default();
        let Some(page) = answers::page(subject) else {
            return outcome;
        };
        let policies = policy::enforced(subject.evidence, true);
        let least = policies.iter().map(policy::Policy::weaknesses).min_by_key(Vec::len);
        let weaknesses = match least {
            Some(weaknesses) if weaknesses.is_empty() => return outcome,
            Some(weaknesses) => weaknesses,
            None => Vec::new(),
        };
        let host = page.host();
        let title = if weaknesses.is_empty() {
            format!("Pages of {host} have no Content-Security-Policy")
        } else {
            format!("The Content-Security-Policy of {host} would not stop an injected script")
        };
        let mut facts: Vec<Fact> = weaknesses
            .iter()
            .map(|why| Fact::new("the policy", why.as_str()))
            .collect();
        facts.push(Fact::new(
            "header",
            page.header("content-security-policy").unwrap_or("none"),
        ));
        if page.header("content-security-policy-report-only").is_some() {
            facts.push(Fact::new(
                "only reported",
                "Content-Security-Policy-Report-Only stops nothing",
            ));
        }
        outcome.observations.push(META.observe(
            (Severity::Low, Confidence::Firm),
            &title,
            Cause::new(1, [("host", host), ("header", "content-security-policy".to_owned())]),
            facts,
        ));
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Scene;

    #[test]
    fn one_good_policy_is_enough() {
        let table: [(&[&str], usize); 5] = [
            (&[], 1),
            (&["upgrade-insecure-requests"], 1),
            (&["script-src 'unsafe-inline'"], 1),
            (&["script-src 'unsafe-inline'", "default-src 'self'"], 0),
            (&["script-src 'unsafe-inline', script-src 'self'"], 0),
        ];
        for (policies, expected) in table {
            let mut scene = Scene::document("https://case.test/");
            for policy in policies {
                scene.header("content-security-policy", policy);
            }
            assert_eq!(scene.run(&WeakCsp).observations.len(), expected, "{policies:?}");
        }
        let mut reported = Scene::document("https://case.test/");
        reported.header("content-security-policy-report-only", "script-src 'self'");
        assert_eq!(reported.run(&WeakCsp).observations.len(), 1);
    }
}
