//! # What it looks for
//!
//! Pages served over https that load, or try to load, something over http: scripts, stylesheets, fonts, images, media,
//! frames, plugins, web sockets, `fetch` and the like, in every frame and worker, also late and made by scripts.
//!
//! # Why it matters
//!
//! Whoever sits between the visitor and the server (a wireless network, a provider) can read and change what comes over
//! http. A changed script or frame takes over the secure page around it; a changed image deceives. What the browser
//! blocks is not dangerous but broken: the visitor misses it.
//!
//! # How it decides
//!
//! The browser's own verdict is taken: its auditor's mixed content reports first, completed by its class of each
//! request (`mixedContentType`), by requests it refused as mixed content, and by redirects from https to http. One
//! observation is made per host and kind of resource and per script, stylesheet or page template that asks for it.
//! Loopback hosts never count, nor does anything on a page that is itself served over http.
//!
//! Severity, by what happened:
//! - *high*: active content (anything but images and media) was loaded over http.
//! - *medium*: an image, audio or video was loaded over http; or something of the site's own was blocked.
//! - *low*: something from elsewhere was blocked; or the browser asked for the https form in its place, and that does
//!   not answer (an error, or a status of 400 or more): the page is broken.
//! - *info*: the browser asked for the https form in its place, and that works. Only the address is out of date.
//!
//! Confidence: *certain* if a response came over http; *firm* if the browser said so; *tentative* if the browser asked
//! for the https form and it could not be found out whether that answers.
//!
//! # How to fix
//!
//! Ask for the resource with `https:`, or serve it from the site itself if its host has no https. For many old pages at
//! once, send `Content-Security-Policy: upgrade-insecure-requests`, after making sure that the https forms answer.
//!
//! # Known limits
//!
//! What is loaded only after an interaction is seen only if the scan explores that far. A request that fails at once,
//! before the browser classifies it, may be missed. If a redirect leads an image to http, browsers ask for the https
//! form of the new address; that is taken for granted here.
//!
//! # References
//!
//! - W3C, Mixed Content: <https://www.w3.org/TR/mixed-content/>
//! - CWE-319, Cleartext Transmission of Sensitive Information: <https://cwe.mitre.org/data/definitions/319.html>
//! - MDN, Mixed content: <https://developer.mozilla.org/docs/Web/Security/Mixed_content>

mod kind;
mod sightings;

use std::collections::BTreeMap;

use crate::check::{Check, Meta, Outcome, Subject};
use crate::look::{Look, Seen};
use crate::observation::{Cause, Confidence, Fact, Observation, Severity};
use sightings::{Fate, Sighting};

/// Secure pages that use insecure resources.
pub struct MixedContent;

static META: Meta = Meta {
    id: "mixed-content",
    version: 1,
    title: "A secure page uses insecure resources",
    severity: Severity::Medium,
    cwe: 319,
    source: include_str!("mod.rs"),
};

/// The most resources that one observation lists.
const MOST_LISTED: usize = 5;

impl Check for MixedContent {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn look(&self, seen: &Seen<'_>) -> Option<Look> {
        Some(Look::at(format!(
            "Open the console and the network panel of the developer tools (F12) and load the page again: the browser warns \
             of mixed content, {}.",
            seen.fact("resource")
        )))
    }

    fn run(&self, subject: &Subject<'_>) -> Outcome {
        let mut outcome = Outcome::default();
        let mut groups: BTreeMap<(String, &str, String), Vec<Sighting>> = BTreeMap::new();
        for sighting in sightings::all(subject) {
            if let Fate::Asked(question) = sighting.fate {
                outcome.questions.push(question);
                continue;
            }
            let key = (sighting.host(), sighting.kind.as_str(), sighting.asked_by.clone());
            groups.entry(key).or_default().push(sighting);
        }
        outcome.questions.sort_unstable();
        outcome.questions.dedup();
        outcome.observations = groups
            .into_iter()
            .map(|((host, kind, asked_by), group)| observe(host, kind, asked_by, group))
            .collect();
        outcome
    }
}

fn observe(host: String, kind: &str, asked_by: String, mut group: Vec<Sighting>) -> Observation {
    group.sort_by_key(|sighting| std::cmp::Reverse((sighting.severity(), sighting.confidence())));
    let worst = group.first();
    let severity = worst.map_or(Severity::Info, Sighting::severity);
    let confidence = worst.map_or(Confidence::Tentative, Sighting::confidence);
    let what = worst.map_or("was used", |sighting| sighting.fate.as_phrase());
    let mut facts = Vec::new();
    for sighting in group.iter().take(MOST_LISTED) {
        facts.push(Fact::new("resource", sighting.url.as_str()));
        facts.push(Fact::new("outcome", sighting.explain()));
        if let Some(line) = &sighting.initiator {
            facts.push(Fact::new("initiator", line.as_str()));
        }
    }
    if group.len() > MOST_LISTED {
        facts.push(Fact::new(
            "more",
            format!("{} further resources", group.len() - MOST_LISTED),
        ));
    }
    let shown = |text: &str| text.chars().take(60).collect::<String>();
    let title = format!(
        "Insecure {kind} from {} {what}, asked for by {}",
        shown(&host),
        shown(&asked_by)
    );
    Observation {
        check: META.id.to_owned(),
        check_version: META.version,
        severity,
        confidence,
        title,
        cause: Cause::new(1, [("host", host), ("kind", kind.to_owned()), ("asked_by", asked_by)]),
        aliases: Vec::new(),
        facts,
        third_party: group.iter().all(|sighting| sighting.third_party),
    }
}

#[cfg(test)]
mod tests;
