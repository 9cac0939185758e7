//! # What it looks for
//!
//! What a page's own Content-Security-Policy stopped, or would have stopped, while the page loaded.
//!
//! # Why it matters
//!
//! A policy that stops what the page needs leaves it broken for its visitors, and is soon taken away again, or loosened
//! until it stops nothing. Now and then what it stopped is an attack.
//!
//! # How it decides
//!
//! The browser's own auditor reports each violation with the directive, what was stopped (a host, an inline script, a
//! call of `eval`), and the line that asked for it. What was asked for by scripts of other sites' frames is marked as
//! theirs. A page that refuses to be framed by this one (`frame-ancestors`) breaks no rule of this page. There is one
//! finding for each directive, what was stopped, and the script or template that asked for it.
//!
//! Severity: *low* if it was stopped; *info* if it was only reported.
//!
//! Confidence: *firm*: the browser said so.
//!
//! # How to fix
//!
//! If the page needs it: allow it as narrowly as can be (a nonce or hash for an inline script, one host for a resource).
//! If not: take it out of the page. If nobody knows where it comes from: find out.
//!
//! # Known limits
//!
//! What happens only after an interaction is seen only if the scan explores that far. What a browser extension would
//! bring about is not there.
//!
//! # References
//!
//! - W3C, Content Security Policy Level 3, violations: <https://www.w3.org/TR/CSP3/#framework-violation>
//! - CWE-693, Protection Mechanism Failure: <https://cwe.mitre.org/data/definitions/693.html>

use std::collections::BTreeMap;

use url::Url;

use crate::check::{Check, Meta, Outcome, Subject};
use crate::evidence::{CspBlocked, CspIssue, Issue};
use crate::hosts;
use crate::look::{Look, Seen};
use crate::observation::{Cause, Confidence, Fact, Observation, Severity};
use crate::stable::{asset, template};

/// What the page's own policy stopped.
pub struct CspViolation;

static META: Meta = Meta {
    id: "csp-violation",
    version: 1,
    title: "The page breaks its own Content-Security-Policy",
    severity: Severity::Low,
    cwe: 693,
    source: include_str!("mod.rs"),
};

impl Check for CspViolation {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn look(&self, seen: &Seen<'_>) -> Option<Look> {
        Some(Look::at(format!(
            "Open the console of the developer tools (F12) and load the page again: the browser says that {} was against \
             the directive {} of the page's policy.",
            seen.fact("stopped"),
            seen.part("directive")
        )))
    }

    fn run(&self, subject: &Subject<'_>) -> Outcome {
        let mut found: BTreeMap<Cause, Observation> = BTreeMap::new();
        for issue in &subject.evidence.issues {
            let Issue::Csp(issue) = issue else { continue };
            let Some(observation) = look(subject, issue) else {
                continue;
            };
            let known = found
                .entry(observation.cause.clone())
                .or_insert_with(|| observation.clone());
            if observation.severity > known.severity {
                *known = observation;
            }
        }
        Outcome {
            observations: found.into_values().collect(),
            questions: Vec::new(),
        }
    }
}

fn look(subject: &Subject<'_>, issue: &CspIssue) -> Option<Observation> {
    let directive = issue.directive.split_ascii_whitespace().next()?.to_ascii_lowercase();
    if directive == "frame-ancestors" {
        return None;
    }
    let blocked = match issue.blocked {
        CspBlocked::Inline => "inline".to_owned(),
        CspBlocked::Eval => "eval".to_owned(),
        CspBlocked::TrustedTypes => "trusted-types".to_owned(),
        CspBlocked::Url => {
            let url = issue.blocked_url.as_deref()?;
            match Url::parse(url) {
                Ok(url) => url.host_str().map_or_else(|| url.scheme().to_owned(), str::to_owned),
                // Where the URL is none of the web, the browser gives its scheme alone.
                Err(_) => url.chars().take(60).collect(),
            }
        }
        CspBlocked::Unknown => return None,
    };
    let document = match issue.frame.as_deref() {
        Some(frame) => hosts::document_url(subject.evidence, frame),
        None => Url::parse(&subject.evidence.page.url).ok(),
    }?;
    let source = issue.source_url.as_deref().and_then(|url| Url::parse(url).ok());
    let asked_by = match source.filter(|source| source.path() != document.path() || source.host() != document.host()) {
        Some(script) => asset(&script),
        None => template(&document),
    };
    let third_party = !document.host_str().is_some_and(|host| hosts::is_own(subject, host));
    let (severity, done) = if issue.report_only {
        (Severity::Info, "reports")
    } else {
        (Severity::Low, "stops")
    };
    let what = match issue.blocked {
        CspBlocked::Inline if directive.starts_with("style") => "inline styles".to_owned(),
        CspBlocked::Inline => "inline scripts".to_owned(),
        CspBlocked::Eval => "eval".to_owned(),
        CspBlocked::TrustedTypes => "strings where trusted types are asked for".to_owned(),
        _ => format!("what comes from {}", blocked.chars().take(60).collect::<String>()),
    };
    let shown: String = asked_by.chars().take(60).collect();
    let mut facts = vec![
        Fact::new("directive", directive.as_str()),
        Fact::new("stopped", issue.blocked_url.as_deref().unwrap_or(&blocked)),
    ];
    if let Some(source) = &issue.source_url {
        let line = issue
            .source_line
            .map_or_else(String::new, |line| format!(", line {line}"));
        facts.push(Fact::new("asked for by", format!("{source}{line}")));
    }
    Some(Observation {
        third_party,
        ..META.observe(
            (severity, Confidence::Firm),
            &format!("The page's own policy ({directive}) {done} {what}, asked for by {shown}"),
            Cause::new(
                1,
                [("directive", directive), ("blocked", blocked), ("asked_by", asked_by)],
            ),
            facts,
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Scene;

    fn issue(directive: &str, blocked: CspBlocked) -> CspIssue {
        CspIssue {
            directive: directive.into(),
            blocked,
            ..CspIssue::default()
        }
    }

    #[test]
    fn violations_are_grouped_by_what_is_the_same() {
        let mut scene = Scene::new("https://case.test/a/17");
        let host = CspIssue {
            blocked_url: Some("https://cdn.test/a.js".into()),
            source_url: Some("https://case.test/app.4f9ac1e2.js".into()),
            source_line: Some(3),
            report_only: true,
            ..issue("script-src-elem", CspBlocked::Url)
        };
        let enforced = CspIssue {
            blocked_url: Some("https://cdn.test/b.js".into()),
            report_only: false,
            ..host.clone()
        };
        for issue in [
            issue("script-src-elem", CspBlocked::Inline),
            host,
            enforced,
            issue("frame-ancestors", CspBlocked::Url),
        ] {
            scene.evidence.issues.push(Issue::Csp(issue));
        }
        let found = scene.run(&CspViolation).observations;
        let causes: Vec<String> = found.iter().map(|seen| seen.cause.to_string()).collect();
        assert_eq!(
            causes,
            [
                "asked_by=case.test/a/{id} blocked=inline directive=script-src-elem",
                "asked_by=case.test/app.js blocked=cdn.test directive=script-src-elem",
            ]
        );
        assert!(found.iter().all(|seen| seen.severity == Severity::Low));
    }
}
