//! # What it looks for
//!
//! Documents, scripts and stylesheets of the site without `X-Content-Type-Options: nosniff`.
//!
//! # Why it matters
//!
//! Without it browsers may take what a server calls text or an image for a script, if a page asks for it as one. An
//! uploaded file can become code in that way.
//!
//! # How it decides
//!
//! The answers of the site's own hosts whose headers were kept: documents, scripts, stylesheets. The first value of the
//! header must be `nosniff`, in any case. There is one finding for each host.
//!
//! Severity: always *info*: today's browsers sniff little, and it takes an upload to be of use.
//!
//! Confidence: *firm*.
//!
//! # How to fix
//!
//! Send `X-Content-Type-Options: nosniff` with every answer, and give every file its right `Content-Type`.
//!
//! # Known limits
//!
//! Whether the host serves uploads at all is not known.
//!
//! # References
//!
//! - WHATWG, Fetch, `X-Content-Type-Options`: <https://fetch.spec.whatwg.org/#x-content-type-options-header>
//! - CWE-693, Protection Mechanism Failure: <https://cwe.mitre.org/data/definitions/693.html>

use std::collections::BTreeMap;

use crate::answers;
use crate::check::{Check, Meta, Outcome, Subject};
use crate::evidence::ResourceKind;
use crate::look::{Look, Seen};
use crate::observation::{Cause, Confidence, Fact, Severity};

/// Answers whose type browsers may guess.
pub struct MissingNosniff;

static META: Meta = Meta {
    id: "missing-nosniff",
    version: 1,
    title: "Browsers may guess the type of files",
    severity: Severity::Info,
    cwe: 693,
    source: include_str!("mod.rs"),
};

impl Check for MissingNosniff {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn look(&self, seen: &Seen<'_>) -> Option<Look> {
        Some(Look::header(
            "Look at the headers of the answer: there is no X-Content-Type-Options: nosniff. The command prints nothing \
             where it is missing.",
            seen.address(&["answer"]),
            "x-content-type-options",
        ))
    }

    fn run(&self, subject: &Subject<'_>) -> Outcome {
        let mut without: BTreeMap<String, (String, &str)> = BTreeMap::new();
        for answer in answers::own(subject) {
            let kept = matches!(
                answer.kind,
                ResourceKind::Document | ResourceKind::Script | ResourceKind::Stylesheet
            );
            let value = answer.header("x-content-type-options").unwrap_or_default();
            let first = value.split([',', '\n']).next().unwrap_or_default().trim();
            if kept && !first.eq_ignore_ascii_case("nosniff") {
                without.entry(answer.host()).or_insert_with(|| {
                    (
                        answer.url.to_string(),
                        if value.is_empty() { "none" } else { "another value" },
                    )
                });
            }
        }
        let observations = without.into_iter().map(|(host, (url, header))| {
            META.observe(
                (Severity::Info, Confidence::Firm),
                &format!("{host} does not send X-Content-Type-Options: nosniff"),
                Cause::new(
                    1,
                    [("host", host.clone()), ("header", "x-content-type-options".to_owned())],
                ),
                vec![Fact::new("answer", url), Fact::new("header", header)],
            )
        });
        Outcome {
            observations: observations.collect(),
            questions: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Scene;

    #[test]
    fn one_finding_a_host() {
        let mut scene = Scene::document("https://case.test/");
        for url in ["https://case.test/a.js", "https://cdn.test/a.js"] {
            let request = scene.request(url, ResourceKind::Script);
            request.status = Some(200);
            request.headers = vec![crate::evidence::Header {
                name: "server".into(),
                value: "x".into(),
            }];
        }
        assert_eq!(scene.run(&MissingNosniff).observations.len(), 1);
        scene.header("x-content-type-options", "NoSniff");
        assert_eq!(
            scene.run(&MissingNosniff).observations.len(),
            1,
            "the script still lacks it"
        );
        scene.evidence.requests.clear();
        assert!(scene.run(&MissingNosniff).observations.is_empty());
    }
}
