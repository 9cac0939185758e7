//! # What it looks for
//!
//! Pages that tell the browser to send their whole URL to every site that they link to or load from.
//!
//! # Why it matters
//!
//! Paths and parameters tell what somebody reads, searches for or is allowed to see. Browsers by themselves tell other
//! sites only the origin; a page can switch that protection off.
//!
//! # How it decides
//!
//! The policy in force: the last one that browsers know in the `Referrer-Policy` header, or after that in a
//! `meta name=referrer`. `unsafe-url` (in a `meta` also `always`) sends the whole URL everywhere;
//! `no-referrer-when-downgrade` sends it to all https sites. A page without a policy is in order. There is
//! one finding for each host.
//!
//! Severity: *low* for `unsafe-url`, which sends it over http, too; *info* for `no-referrer-when-downgrade`.
//!
//! Confidence: *firm*.
//!
//! # How to fix
//!
//! Take the policy out, or set `strict-origin-when-cross-origin`, which is what browsers do by themselves.
//!
//! # Known limits
//!
//! Policies of single links (`referrerpolicy`) are not looked at.
//!
//! # References
//!
//! - W3C, Referrer Policy: <https://www.w3.org/TR/referrer-policy/>
//! - CWE-200, Exposure of Sensitive Information to an Unauthorized Actor:
//!   <https://cwe.mitre.org/data/definitions/200.html>

use crate::answers;
use crate::check::{Check, Meta, Outcome, Subject};
use crate::look::{Look, Seen};
use crate::observation::{Cause, Confidence, Fact, Severity};

/// Pages that tell everybody their whole URL.
pub struct UnsafeReferrerPolicy;

static META: Meta = Meta {
    id: "unsafe-referrer-policy",
    version: 1,
    title: "Pages tell other sites their whole URL",
    severity: Severity::Low,
    cwe: 200,
    source: include_str!("mod.rs"),
};

const KNOWN: &[&str] = &[
    "no-referrer",
    "no-referrer-when-downgrade",
    "same-origin",
    "origin",
    "strict-origin",
    "origin-when-cross-origin",
    "strict-origin-when-cross-origin",
    "unsafe-url",
];

impl Check for UnsafeReferrerPolicy {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn look(&self, seen: &Seen<'_>) -> Option<Look> {
        Some(Look::header(
            format!(
                "Look at the headers of the page and at its meta elements named referrer: the policy is {}.",
                seen.fact("policy")
            ),
            seen.page,
            "referrer-policy",
        ))
    }

    fn run(&self, subject: &Subject<'_>) -> Outcome {
        let mut outcome = Outcome::default();
        let Some(page) = answers::page(subject) else {
            return outcome;
        };
        let main = subject.evidence.main_frame().map(|frame| frame.id.as_str());
        let metas = subject
            .evidence
            .metas
            .iter()
            .filter(|meta| meta.name == "referrer" && Some(meta.frame.as_str()) == main)
            .filter_map(|meta| meta.content.as_deref())
            .map(|content| (content, true));
        let header = page.header("referrer-policy").map(|value| (value, false));
        let mut in_force = None;
        for (text, is_meta) in header.into_iter().chain(metas) {
            for word in text.split([',', '\n']) {
                in_force = known(&word.trim().to_ascii_lowercase(), is_meta).or(in_force);
            }
        }
        let severity = match in_force {
            Some("unsafe-url") => Severity::Low,
            Some("no-referrer-when-downgrade") => Severity::Info,
            _ => return outcome,
        };
        let policy = in_force.unwrap_or_default();
        let host = page.host();
        outcome.observations.push(META.observe(
            (severity, Confidence::Firm),
            &format!("Pages of {host} tell other sites their whole URL"),
            Cause::new(1, [("host", host.clone()), ("header", "referrer-policy".to_owned())]),
            vec![Fact::new("policy", policy)],
        ));
        outcome
    }
}

fn known(word: &str, is_meta: bool) -> Option<&'static str> {
    let word = match word {
        "always" if is_meta => "unsafe-url",
        "default" if is_meta => "strict-origin-when-cross-origin",
        "never" if is_meta => "no-referrer",
        word => word,
    };
    KNOWN.iter().copied().find(|known| *known == word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence;
    use crate::testing::Scene;

    #[test]
    fn the_last_known_policy_is_in_force() {
        let table = [
            ("", "", None),
            ("unsafe-url", "", Some(Severity::Low)),
            ("unsafe-url, strict-origin", "", None),
            ("unsafe-url, new-word", "", Some(Severity::Low)),
            ("no-referrer-when-downgrade", "", Some(Severity::Info)),
            ("unsafe-url", "same-origin", None),
            ("", "always", Some(Severity::Low)),
            ("always", "", None),
        ];
        for (header, meta, expected) in table {
            let mut scene = Scene::document("https://case.test/");
            if !header.is_empty() {
                scene.header("referrer-policy", header);
            }
            if !meta.is_empty() {
                scene.evidence.metas.push(evidence::Meta {
                    frame: "main".into(),
                    name: "referrer".into(),
                    content: Some(meta.into()),
                    value: None,
                });
            }
            let found = scene.run(&UnsafeReferrerPolicy).observations;
            assert_eq!(found.first().map(|seen| seen.severity), expected, "{header} {meta}");
        }
    }
}
