//! # What it looks for
//!
//! Private keys and secret tokens of well-known services in the scripts of a page, its own and those it loads.
//!
//! # Why it matters
//!
//! Everybody who opens the page has the key. They can do with it whatever the site can: read the data, send mail, spend
//! money.
//!
//! # How it decides
//!
//! Each kind has its own precise pattern: a prefix, a length and an alphabet that its issuer gives it, and in addition a
//! checksum where there is one (GitHub, npm), else as much disorder as random characters have. Examples from manuals and
//! placeholders are left out, and so are keys that are made to be public (Stripe's `pk_live_`, Google's `AIza…`) and the
//! key ids in signed URLs. The secret is taken out at capture, before anything is kept; only its kind is known here.
//! There is one finding for each script and kind.
//!
//! Severity: *high*; *medium* for the id of an AWS access key, which is of use only with its secret.
//!
//! Confidence: *firm*: nothing else looks like that. Whether the key still works is not tried.
//!
//! # How to fix
//!
//! Revoke the key first: it was public. Then keep its successor on the server, and have the page ask the server.
//!
//! # Known limits
//!
//! Secrets in the text of a page, in its attributes and in its comments are not looked for, nor passwords and keys of
//! services that do not mark theirs.
//!
//! # References
//!
//! - CWE-798, Use of Hard-coded Credentials: <https://cwe.mitre.org/data/definitions/798.html>
//! - OWASP, Secrets Management Cheat Sheet:
//!   <https://cheatsheetseries.owasp.org/cheatsheets/Secrets_Management_Cheat_Sheet.html>

use std::collections::BTreeMap;

use url::Url;

use crate::check::{Check, Meta, Outcome, Subject};
use crate::hosts;
use crate::look::{Look, Seen};
use crate::observation::Severity;
use crate::observation::{Cause, Confidence, Fact, Observation};
use crate::secrets;
use crate::stable::{asset, shown, template};

/// Keys that everybody can read.
pub struct ExposedSecret;

static META: Meta = Meta {
    id: "exposed-secret",
    version: 1,
    title: "A secret key is published in a script",
    severity: Severity::High,
    cwe: 798,
    source: include_str!("mod.rs"),
};

impl Check for ExposedSecret {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn look(&self, seen: &Seen<'_>) -> Option<Look> {
        let place = match seen.fact("script") {
            "inline" => "the scripts in the source of the page".to_owned(),
            script => script.to_owned(),
        };
        Some(Look::at(format!(
            "Look through {place} for {}. The key itself is kept nowhere here.",
            seen.fact("kind")
        )))
    }

    fn run(&self, subject: &Subject<'_>) -> Outcome {
        let mut found: BTreeMap<Cause, Observation> = BTreeMap::new();
        for script in &subject.evidence.scripts {
            let text = script.hash.as_deref().and_then(|hash| subject.bodies.text(hash));
            let kinds = text.map(secrets::kinds_marked).unwrap_or_default();
            if kinds.is_empty() {
                continue;
            }
            let url = script.url.as_deref().and_then(|url| Url::parse(url).ok());
            let document = hosts::document_url(subject.evidence, &script.frame);
            let place = match (&url, &document) {
                (Some(url), _) => asset(url),
                (None, Some(document)) => template(document),
                (None, None) => continue,
            };
            let host = url.as_ref().or(document.as_ref()).and_then(Url::host_str);
            let third_party = !host.is_some_and(|host| hosts::is_own(subject, host));
            for kind in kinds {
                let shown: String = match &url {
                    Some(url) => shown(url),
                    None => place.chars().take(110).collect(),
                };
                let (script_word, preposition) = if url.is_some() {
                    ("script", "")
                } else {
                    ("inline script", "of ")
                };
                let observation = Observation {
                    third_party,
                    ..META.observe(
                        (kind.severity, Confidence::Firm),
                        &format!("The {script_word} {preposition}{shown} holds {}", kind.title),
                        Cause::new(1, [("script", place.clone()), ("kind", kind.id.to_owned())]),
                        vec![
                            Fact::new("kind", kind.title),
                            Fact::new("script", url.as_ref().map_or("inline", Url::as_str)),
                            Fact::new("element", script.snippet.as_str()),
                        ],
                    )
                };
                found.entry(observation.cause.clone()).or_insert(observation);
            }
        }
        Outcome {
            observations: found.into_values().collect(),
            questions: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Script;
    use crate::testing::Scene;

    #[test]
    fn marks_are_told_once_a_kind() {
        let mut scene = Scene::new("https://case.test/a/17");
        let text = "a='REDACTED-stripe-key';b='REDACTED-stripe-key';c='REDACTED-private-key';d='REDACTED'";
        scene.bodies.insert("h".into(), text.into());
        scene.evidence.scripts.push(Script {
            frame: "main".into(),
            hash: Some("h".into()),
            ..Script::default()
        });
        let causes: Vec<String> = scene
            .run(&ExposedSecret)
            .observations
            .iter()
            .map(|seen| seen.cause.to_string())
            .collect();
        assert_eq!(
            causes,
            [
                "kind=private-key script=case.test/a/{id}",
                "kind=stripe-key script=case.test/a/{id}"
            ]
        );
    }
}
