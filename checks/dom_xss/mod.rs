//! # What it looks for
//!
//! Scripts that take text from the page's own address and hand it to what makes markup or code of it.
//!
//! # Why it matters
//!
//! Whoever writes a link chooses its address. What a script makes of that runs in the page, with the visitor's session:
//! DOM-based cross-site scripting (XSS).
//!
//! # How it decides
//!
//! By trying, without harm: where pages are explored (`safe` and `full`), a page with scripts is loaded once more with a
//! mark at the end of its fragment. Values of its query get marks, too, in the browser, before any script runs: no server
//! is sent more than the page's own address. While the page loads, what takes text as markup (`innerHTML`,
//! `document.write` and the like), as code (`Function`, `setTimeout` with text, handlers) or as the address of a script
//! notes which marks come to it. What was escaped or cleaned is no markup any more. There is one finding for each script,
//! part of the address and way. Requests that would carry a mark to a server are not made.
//!
//! Severity: *high* for markup and for a script whose whole address stands in that of the page; *medium* for code, and
//! for a part of a script's path.
//!
//! Confidence: *certain* for markup: the mark has become an element. *firm* for a script's whole address. *tentative* for
//! code, because what stands in quotes may be escaped well, and for a part of a path.
//!
//! # How to fix
//!
//! Set text with `textContent`. Where markup is needed, clean it right before with a library made for that, such as
//! `DOMPurify`. Choose scripts and code from a list of your own. A Content-Security-Policy with
//! `require-trusted-types-for 'script'` finds such places and closes them.
//!
//! # Known limits
//!
//! Only what runs while the page loads is tried, and only fragments and values that the page's address has; `eval`,
//! `DOMParser`, jQuery's `$(text)`, and addresses that the page goes to, are not watched. Of pages that are alike and
//! have the same scripts, one is tried, and of those with other scripts three; pages without scripts are not.
//!
//! # References
//!
//! - OWASP, DOM based XSS Prevention Cheat Sheet:
//!   <https://cheatsheetseries.owasp.org/cheatsheets/DOM_based_XSS_Prevention_Cheat_Sheet.html>
//! - W3C, Trusted Types: <https://www.w3.org/TR/trusted-types/>
//! - CWE-79, Improper Neutralization of Input During Web Page Generation:
//!   <https://cwe.mitre.org/data/definitions/79.html>

use std::collections::BTreeMap;

use serde::Deserialize;
use url::Url;

use crate::check::{Check, Meta, Outcome, Probe, Subject};
use crate::hosts;
use crate::look::{Look, Seen};
use crate::observation::{Cause, Confidence, Fact, Observation, Severity};
use crate::stable::{asset, shown, template};

/// Scripts that make markup or code of the page's address.
pub struct DomXss;

static META: Meta = Meta {
    id: "dom-xss",
    version: 1,
    title: "A script makes markup or code of the page's address (DOM-based XSS)",
    severity: Severity::High,
    cwe: 79,
    source: include_str!("mod.rs"),
};

/// Files of libraries, which only do what they are told to: who told them is to blame.
const LIBRARIES: [&str; 12] = [
    "jquery",
    "zepto",
    "angular",
    "react",
    "vue",
    "ember",
    "backbone",
    "dojo",
    "prototype",
    "mootools",
    "bootstrap",
    "lodash",
];

/// What marks are looked for in. Others are no words of ours.
const SINKS: [&str; 14] = [
    "innerHTML",
    "outerHTML",
    "setHTMLUnsafe",
    "insertAdjacentHTML",
    "createContextualFragment",
    "document.write",
    "document.writeln",
    "srcdoc",
    "script src",
    "script text",
    "a handler",
    "setTimeout",
    "setInterval",
    "Function",
];

/// A mark that came to where it is run.
#[derive(Deserialize)]
struct Hit {
    sink: String,
    kind: Kind,
    source: Source,
    name: String,
    whole: bool,
    on: String,
    scripts: Vec<String>,
}

#[derive(Deserialize, Clone, Copy, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Markup,
    Code,
    Script,
}

#[derive(Deserialize, Clone, Copy, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum Source {
    Fragment,
    Query,
}

impl Check for DomXss {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn look(&self, seen: &Seen<'_>) -> Option<Look> {
        let part = seen.fact("part of the address");
        Some(Look::at(match seen.fact("to see it") {
            "" => format!(
                "Put a word of your own into the {part} of the address and load the page: it comes to {}.",
                seen.fact("goes to")
            ),
            address => {
                format!("Open {address}: the underlined text is markup that came from the {part} of the address.")
            }
        }))
    }

    fn probe(&self) -> Option<Probe> {
        Some(Probe {
            version: 1,
            source: "() => (window.__phantomMarks ? window.__phantomMarks() : undefined)",
        })
    }

    fn marks_address(&self) -> bool {
        true
    }

    fn run(&self, subject: &Subject<'_>) -> Outcome {
        let mut found: BTreeMap<Cause, Observation> = BTreeMap::new();
        let answers = subject.evidence.probes.iter();
        for answer in answers.filter(|answer| answer.check == META.id && answer.version == 1) {
            let Some(document) = hosts::document_url(subject.evidence, &answer.frame) else {
                continue;
            };
            let hits: Vec<Hit> = serde_json::from_value(answer.value.clone()).unwrap_or_default();
            for hit in hits.iter().filter(|hit| SINKS.contains(&hit.sink.as_str())) {
                let observation = observe(&document, hit);
                let known = found
                    .entry(observation.cause.clone())
                    .or_insert_with(|| observation.clone());
                if observation.severity > known.severity {
                    *known = observation;
                }
            }
        }
        Outcome {
            observations: found.into_values().collect(),
            questions: Vec::new(),
        }
    }
}

fn observe(document: &Url, hit: &Hit) -> Observation {
    let judged = match hit.kind {
        Kind::Markup => (Severity::High, Confidence::Certain),
        Kind::Script if hit.whole => (Severity::High, Confidence::Firm),
        Kind::Code | Kind::Script => (Severity::Medium, Confidence::Tentative),
    };
    let source = match hit.source {
        Source::Fragment => "fragment".to_owned(),
        Source::Query => format!("query {}", hit.name.chars().take(60).collect::<String>()),
    };
    let makes = match hit.kind {
        Kind::Markup => "markup",
        Kind::Code => "code",
        Kind::Script => "the address of a script",
    };
    let blamed = blamed(document, &hit.scripts);
    let (script, place) = match &blamed {
        Some(url) => (asset(url), shown(url)),
        None => (
            format!("inline {}", template(document)),
            format!("a script in {}", shown(document)),
        ),
    };
    let title = format!(
        "DOM-based XSS: {place} makes {makes} of the address' {source} ({})",
        hit.sink
    );
    META.observe(
        judged,
        &title,
        Cause::new(
            1,
            [
                ("script", script),
                ("sink", hit.sink.clone()),
                ("source", source.clone()),
            ],
        ),
        vec![
            Fact::new("part of the address", source),
            Fact::new("to see it", example(document, hit)),
            Fact::new("goes to", hit.sink.as_str()),
            Fact::new("element", hit.on.chars().take(80).collect::<String>()),
            Fact::new(
                "called from",
                hit.scripts.iter().take(5).cloned().collect::<Vec<_>>().join(", "),
            ),
        ],
    )
}

/// An address at which the page shows underlined text that stands in no page of the site; nothing if markup is not what
/// is made.
fn example(document: &Url, hit: &Hit) -> String {
    if hit.kind != Kind::Markup {
        return String::new();
    }
    let mut url = document.clone();
    match hit.source {
        Source::Fragment => url.set_fragment(Some("<u>phantom</u>")),
        Source::Query => {
            let pairs: Vec<(String, String)> = document.query_pairs().into_owned().collect();
            let marked = pairs.into_iter().map(|(name, value)| {
                let value = if name == hit.name {
                    "<u>phantom</u>".to_owned()
                } else {
                    value
                };
                (name, value)
            });
            url.query_pairs_mut().clear().extend_pairs(marked);
        }
    }
    url.to_string()
}

/// The script that is to blame, of those that were running, the innermost first; `None` for one of the page's own markup.
fn blamed(document: &Url, running: &[String]) -> Option<Url> {
    let mut scripts: Vec<Url> = running.iter().filter_map(|place| url_of(place)).collect();
    let is_library = |url: &Url| {
        let file = url.path().rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
        LIBRARIES.iter().any(|name| file.starts_with(name))
    };
    let at = scripts.iter().position(|url| !is_library(url)).unwrap_or_default();
    let script = (!scripts.is_empty()).then(|| scripts.swap_remove(at))?;
    let same = |one: &Url, other: &Url| one.host() == other.host() && one.path() == other.path();
    (!same(&script, document)).then_some(script)
}

/// `https://shop.test/app.js:10:5` without line and column.
fn url_of(place: &str) -> Option<Url> {
    let (rest, _column) = place.rsplit_once(':')?;
    let (url, _line) = rest.rsplit_once(':')?;
    Url::parse(url).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_shows_it() {
        let page = Url::parse("https://shop.test/list?q=1&sort=name").unwrap();
        let mut hit = Hit {
            sink: "innerHTML".to_owned(),
            kind: Kind::Markup,
            source: Source::Query,
            name: "q".to_owned(),
            whole: true,
            on: String::new(),
            scripts: Vec::new(),
        };
        let shown = "https://shop.test/list?q=%3Cu%3Ephantom%3C%2Fu%3E&sort=name";
        assert_eq!(example(&page, &hit), shown);
        hit.source = Source::Fragment;
        assert_eq!(example(&page, &hit), format!("{page}#%3Cu%3Ephantom%3C/u%3E"));
        hit.kind = Kind::Code;
        assert_eq!(example(&page, &hit), "");
    }

    #[test]
    fn who_calls_a_library_is_to_blame() {
        let page = Url::parse("https://shop.test/list?q=1").unwrap();
        for (running, expected) in [
            (
                &[
                    "https://cdn.test/jquery-3.7.1.min.js:2:100",
                    "https://shop.test/app.js:9:1",
                ][..],
                Some("https://shop.test/app.js"),
            ),
            (
                &["https://cdn.test/jquery-3.7.1.min.js:2:100"],
                Some("https://cdn.test/jquery-3.7.1.min.js"),
            ),
            (
                &["https://cdn.test/vue.js:2:1", "https://shop.test/list?q=1%3C:9:1"],
                None,
            ),
            (&["nonsense"], None),
            (&[], None),
        ] {
            let running: Vec<String> = running.iter().map(|&place| place.to_owned()).collect();
            assert_eq!(
                blamed(&page, &running).as_ref().map(Url::as_str),
                expected,
                "{running:?}"
            );
        }
    }
}
