//! # What it looks for
//!
//! Script elements that load from hosts known to have served malicious code to the pages that trusted them.
//!
//! # Why it matters
//!
//! The owner of the host decides, at any time and for each visitor, what runs on the page: redirects to fraud, stolen
//! input, stolen sessions. That the script looks harmless today says nothing.
//!
//! # How it decides
//!
//! The host of a script element's source, in a document of the site's own, or a host above it, is in the list beside this
//! check (`hosts.toml`). Each entry of the list names its source. Whether the script was loaded does not matter. There is
//! one finding for each host.
//!
//! Severity: always *high*.
//!
//! Confidence: *firm*.
//!
//! # How to fix
//!
//! Take the script out. Few pages need polyfills today; those that do can serve them themselves. If the page took
//! passwords or payments while it was there, treat them as read by others.
//!
//! # Known limits
//!
//! The list is short: it holds what is beyond doubt. Code that was loaded by the script is not followed.
//!
//! # References
//!
//! - Sansec, Polyfill supply chain attack: <https://sansec.io/research/polyfill-supply-chain-attack>
//! - CWE-829, Inclusion of Functionality from Untrusted Control Sphere:
//!   <https://cwe.mitre.org/data/definitions/829.html>

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::check::{Check, Meta, Outcome, Subject};
use crate::look::{Look, Seen};
use crate::observation::{Cause, Confidence, Fact, Severity};
use crate::script_without_integrity::loaded_from_elsewhere;

/// Scripts from hosts that were turned against their users.
pub struct CompromisedScriptHost;

static META: Meta = Meta {
    id: "compromised-script-host",
    version: 1,
    title: "A script is loaded from a host known to have served malicious code",
    severity: Severity::High,
    cwe: 829,
    source: include_str!("mod.rs"),
};

/// The list, as it stands in the file. It is simple enough to be read without a reader of TOML.
static LIST: LazyLock<Vec<Entry>> = LazyLock::new(|| read(include_str!("hosts.toml")));

#[derive(Debug, Default)]
struct Entry {
    names: Vec<&'static str>,
    what: &'static str,
    source: &'static str,
}

fn read(text: &'static str) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for line in text.lines() {
        if line == "[[host]]" {
            entries.push(Entry::default());
        }
        let (Some(entry), Some((key, value))) = (entries.last_mut(), line.split_once(" = ")) else {
            continue;
        };
        let strings = || value.split('"').skip(1).step_by(2);
        match key {
            "names" => entry.names = strings().collect(),
            "what" => entry.what = strings().next().unwrap_or_default(),
            "source" => entry.source = strings().next().unwrap_or_default(),
            _ => {}
        }
    }
    entries
}

fn entry_of(host: &str) -> Option<(&'static str, &'static Entry)> {
    let host = host.trim_end_matches('.');
    LIST.iter().find_map(|entry| {
        let covers = |name: &&str| host == *name || host.strip_suffix(name).is_some_and(|rest| rest.ends_with('.'));
        entry
            .names
            .iter()
            .copied()
            .find(|name| covers(name))
            .map(|name| (name, entry))
    })
}

impl Check for CompromisedScriptHost {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn look(&self, seen: &Seen<'_>) -> Option<Look> {
        Some(Look::at(format!(
            "Look at the source of the page, or at the network panel of the developer tools (F12): it loads {}.",
            seen.fact("script")
        )))
    }

    fn run(&self, subject: &Subject<'_>) -> Outcome {
        let mut found = BTreeMap::new();
        for script in &subject.evidence.scripts {
            let Some(url) = loaded_from_elsewhere(subject, script) else {
                continue;
            };
            let Some((name, entry)) = url.host_str().and_then(entry_of) else {
                continue;
            };
            found.entry(name).or_insert_with(|| {
                META.observe(
                    (Severity::High, Confidence::Firm),
                    &format!("A script is loaded from {name}, a host known to have served malicious code"),
                    Cause::new(1, [("host", name.to_owned())]),
                    vec![
                        Fact::new("script", url.as_str()),
                        Fact::new("element", script.snippet.as_str()),
                        Fact::new("known for", entry.what),
                        Fact::new("told at", entry.source),
                    ],
                )
            });
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

    #[test]
    fn every_entry_is_whole_and_names_below_count() {
        assert!(
            LIST.iter()
                .all(|entry| !entry.names.is_empty() && !entry.what.is_empty() && entry.source.starts_with("https://"))
        );
        for (host, expected) in [
            ("polyfill.io", true),
            ("cdn.polyfill.io", true),
            ("cdn.bootcdn.net", true),
            ("mypolyfill.io", false),
            ("polyfill.io.test", false),
            ("cdnjs.cloudflare.com", false),
        ] {
            assert_eq!(entry_of(host).is_some(), expected, "{host}");
        }
    }
}
