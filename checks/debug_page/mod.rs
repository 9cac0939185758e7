//! # What it looks for
//!
//! What software shows to its developers, shown to everybody: pages and consoles for debugging, `phpinfo()`, errors of PHP
//! in the middle of a page, and the bars of development tools; in every frame.
//!
//! # Why it matters
//!
//! Such output tells paths, settings, queries and parts of the source, and often passwords. The console of a debugger
//! runs whatever is typed into it, on the server.
//!
//! # How it decides
//!
//! By the structure that each of these has and that no page has which merely speaks of it: ids and classes of the
//! debugging pages of Django, Werkzeug (Flask), Rails, Laravel (Whoops), Symfony, ASP.NET, Tomcat and Express; the markup
//! that PHP itself puts around an error; the elements of the Django, Symfony and PHP debug bars. A stack trace in an
//! article or a manual does not count. There is one finding for each host and kind of page, and for errors of PHP for
//! each file.
//!
//! Severity:
//! - *high*: the console of Werkzeug.
//! - *medium*: debugging pages, bars, and `phpinfo()`.
//! - *low*: an error of PHP.
//!
//! Confidence: *firm*.
//!
//! # How to fix
//!
//! Switch debugging off where the public can see it: `DEBUG = False` (Django), `APP_DEBUG=false` (Laravel),
//! `APP_ENV=prod` (Symfony), no `--debug` (Flask), `customErrors` and `ASPNETCORE_ENVIRONMENT=Production` (.NET),
//! `NODE_ENV=production` (Express), `display_errors = Off` (PHP).
//!
//! # Known limits
//!
//! A page that answers with an error's status is no page to a scan; it is seen where it is shown in a frame. Errors are
//! not provoked. What was changed beyond its original structure is not known.
//!
//! # References
//!
//! - CWE-489, Active Debug Code: <https://cwe.mitre.org/data/definitions/489.html>
//! - CWE-209, Generation of Error Message Containing Sensitive Information:
//!   <https://cwe.mitre.org/data/definitions/209.html>

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::answers;
use crate::check::{Check, Meta, Outcome, Probe, Subject};
use crate::hosts;
use crate::look::{Look, Seen};
use crate::observation::{Cause, Confidence, Fact, Observation, Severity};

/// What only developers should see.
pub struct DebugPage;

static META: Meta = Meta {
    id: "debug-page",
    version: 1,
    title: "Output for developers is shown to everybody",
    severity: Severity::Medium,
    cwe: 489,
    source: include_str!("mod.rs"),
};

/// What the probe answers, which the page may have forged.
#[derive(Debug, Deserialize)]
struct Sign {
    kind: String,
    #[serde(default)]
    place: String,
}

/// Kinds of signs, what they are, and how bad they are.
const KINDS: &[(&str, &str, Severity)] = &[
    ("werkzeug", "the debugging console of Werkzeug", Severity::High),
    ("django", "a debugging page of Django", Severity::Medium),
    ("rails", "a debugging page of Rails", Severity::Medium),
    ("whoops", "a debugging page of Whoops", Severity::Medium),
    ("symfony", "a debugging page of Symfony", Severity::Medium),
    (
        "aspnet",
        "an error page of ASP.NET with a stack trace",
        Severity::Medium,
    ),
    ("aspnet-core", "a debugging page of ASP.NET Core", Severity::Medium),
    ("tomcat", "an error page of Tomcat with a stack trace", Severity::Medium),
    (
        "express",
        "an error page of Express with a stack trace",
        Severity::Medium,
    ),
    ("phpinfo", "the output of phpinfo()", Severity::Medium),
    ("django-toolbar", "the debug toolbar of Django", Severity::Medium),
    ("symfony-toolbar", "the debug toolbar of Symfony", Severity::Medium),
    ("php-debugbar", "the PHP debug bar", Severity::Medium),
    ("php-error", "an error of PHP", Severity::Low),
];

impl Check for DebugPage {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn look(&self, seen: &Seen<'_>) -> Option<Look> {
        Some(Look::answer(
            format!(
                "Open the address without being logged in, and look for {}: \u{201c}{}\u{201d}.",
                seen.fact("what"),
                seen.fact("it says")
            ),
            seen.address(&["document"]),
        ))
    }

    fn probe(&self) -> Option<Probe> {
        Some(Probe {
            version: 1,
            source: include_str!("probe.js"),
        })
    }

    fn run(&self, subject: &Subject<'_>) -> Outcome {
        let mut found: BTreeMap<Cause, Observation> = BTreeMap::new();
        let answers = subject
            .evidence
            .probes
            .iter()
            .filter(|answer| answer.check == META.id && answer.version == 1);
        for answer in answers {
            let signs: Vec<Sign> = serde_json::from_value(answer.value.clone()).unwrap_or_default();
            for sign in signs {
                if let Some(observation) = observe(subject, &answer.frame, &sign) {
                    found.entry(observation.cause.clone()).or_insert(observation);
                }
            }
        }
        Outcome {
            observations: found.into_values().collect(),
            questions: Vec::new(),
        }
    }
}

fn observe(subject: &Subject<'_>, frame: &str, sign: &Sign) -> Option<Observation> {
    let (kind, what, severity) = KINDS.iter().find(|(kind, ..)| *kind == sign.kind)?;
    let document = hosts::document_url(subject.evidence, frame)?;
    let host = answers::host(&document);
    let mut parts = vec![("host", host.clone()), ("kind", (*kind).to_owned())];
    let mut title = format!("{host} shows {what} to everybody");
    if *kind == "php-error" {
        let file = sign.place.rsplit(['/', '\\']).next().unwrap_or_default();
        let file: String = file.chars().take(100).collect();
        title = format!("{host} shows an error of PHP in {file} to everybody");
        parts.push(("file", file));
    }
    Some(Observation {
        third_party: hosts::is_third_party(subject, frame),
        ..META.observe(
            (*severity, Confidence::Firm),
            &title,
            Cause::new(1, parts),
            vec![
                Fact::new("document", document.as_str()),
                Fact::new("what", *what),
                Fact::new("it says", sign.place.as_str()),
            ],
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::ProbeAnswer;
    use crate::testing::Scene;

    #[test]
    fn forged_answers_say_nothing() {
        let table = [
            (serde_json::json!([{"kind": "werkzeug", "place": "x"}]), 1),
            (
                serde_json::json!([{"kind": "php-error", "place": "/var/www/a.php"}, {"kind": "php-error", "place": "/srv/a.php"}]),
                1,
            ),
            (serde_json::json!([{"kind": "other"}]), 0),
            (serde_json::json!({"kind": "werkzeug"}), 0),
            (serde_json::json!("werkzeug"), 0),
        ];
        for (value, expected) in table {
            let mut scene = Scene::new("https://case.test/");
            scene.evidence.probes.push(ProbeAnswer {
                check: "debug-page".into(),
                version: 1,
                frame: "main".into(),
                value: value.clone(),
            });
            assert_eq!(scene.run(&DebugPage).observations.len(), expected, "{value}");
        }
    }
}
