//! # What it looks for
//!
//! JavaScript libraries with published vulnerabilities, in every frame: as files with their own names, renamed, inside
//! bundles and inline.
//!
//! # Why it matters
//!
//! The flaws of an old version are public, and so are ways to use them. Most let foreign script run in the page or
//! change objects it relies on, once the page hands the library something that an attacker wrote.
//!
//! # How it decides
//!
//! Three kinds of evidence give a version: the running library itself, asked in the page; the script's text, by its
//! banner or by structures that only this library has, also where a minifier took its names away; and the script's URL. A script's text overrules its URL, and so
//! does a running version that nothing else explains. A URL alone does not count if the text is known, the page was
//! asked for the library, and neither shows it; but a module shows a library to its importers alone. A query such as `?v=3.1` is a cache-buster and no version, and
//! `@3.4` in a delivery network's path is a range and no version. Scripts that failed to load, and script elements that
//! hold data, do not count. Versions are compared with the ranges of each advisory, pre-releases before their release,
//! excepted versions left out. One observation is made per library and script, with all its advisories. The version
//! that fixes it is the smallest one at or above the current that no advisory names.
//!
//! Severity: that of the worst advisory, as published; but *low* at most for denial of service alone, which in a browser
//! only hurts the visitor's own page, and for what takes a server or its files (path traversal, commands of a shell,
//! requests forged or smuggled by a server), by the advisory's own CWE numbers, if all of them are of these kinds.
//! Next.js, which runs on the server too, is excepted. A line of versions that is no longer
//! maintained (jQuery 1 and 2, `AngularJS`, Bootstrap up to 3) is *medium* at least, also where no other advisory names
//! the version: the next flaw will not be mended. The site's file sets another severity, or none, with `end_of_life`.
//!
//! Confidence: *certain* if the running library and the script's text agree on the version; *firm* if one of them tells
//! it; *tentative* if only the URL does.
//!
//! Versions that the site's file lists under `patched` carry backported fixes and do not count.
//!
//! # How to fix
//!
//! Update to the version named, or to any later one. If the version carries backported fixes (a distribution's
//! package), say so in the site's file: `patched = ["jquery@1.12.4"]`.
//!
//! # Known limits
//!
//! Whether the page uses the vulnerable function is not looked at. A library inside a bundle that shows neither its
//! version at run time nor a known text is not seen; which script holds a version that only the running library tells
//! is found by the file's name, else it is `unknown`. That a line has ended is known of the libraries named above only. A
//! page can lie about its libraries.
//!
//! # References
//!
//! - Facts about libraries: the repository of retire.js, <https://github.com/RetireJS/retire.js> (Apache-2.0)
//! - CWE-1395, Dependency on Vulnerable Third-Party Component: <https://cwe.mitre.org/data/definitions/1395.html>
//! - OWASP Top 10, Vulnerable and Outdated Components:
//!   <https://owasp.org/Top10/A06_2021-Vulnerable_and_Outdated_Components/>

pub mod advisories;
mod catalog;
pub mod convert;
mod minified;
mod reconcile;
pub mod version;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use url::Url;

use crate::check::{Check, EndOfLife, Meta, Outcome, Probe, Subject};
use crate::look::{Look, Seen};
use crate::observation::{Cause, Confidence, Fact, Observation, Severity};
use crate::stable::shown;
use advisories::{Advisories, Advisory};
pub use catalog::Catalog;
use reconcile::Presence;
use version::Version;

/// Libraries with published vulnerabilities.
pub struct VulnerableLibrary;

static META: Meta = Meta {
    id: "vulnerable-library",
    version: 4,
    title: "A JavaScript library has known vulnerabilities",
    severity: Severity::Medium,
    cwe: 1395,
    source: include_str!("mod.rs"),
};

/// The embedded advisories. That they can be read is proved by a test; were they not, nothing would be found.
static CATALOG: LazyLock<Option<Arc<Catalog>>> =
    LazyLock::new(|| Advisories::embedded().ok().map(Catalog::new).map(Arc::new));

/// What is known without anything beside the program.
pub fn embedded() -> Option<Arc<Catalog>> {
    CATALOG.clone()
}

impl Check for VulnerableLibrary {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn look(&self, seen: &Seen<'_>) -> Option<Look> {
        let place = match seen.fact("script") {
            "" => "the scripts of the page".to_owned(),
            script => script.to_owned(),
        };
        Some(Look::at(format!(
            "Look at {place}, or ask in the console of the developer tools (F12) for the version of {}: it is {}, as known by \
             {}.",
            seen.part("library"),
            seen.fact("version"),
            seen.fact("known by")
        )))
    }

    fn probe(&self) -> Option<Probe> {
        Some(Probe {
            version: 1,
            source: include_str!("probe.js"),
        })
    }

    fn run(&self, subject: &Subject<'_>) -> Outcome {
        let Some(catalog) = subject.libraries.or(CATALOG.as_deref()) else {
            return Outcome::default();
        };
        let mut places: BTreeMap<(String, String), Vec<Presence>> = BTreeMap::new();
        for presence in reconcile::all(subject, catalog) {
            let Some(component) = catalog.component(presence.component) else {
                continue;
            };
            let library = component.part_of.as_ref().unwrap_or(&component.name).clone();
            if !is_patched(subject, &library, catalog, &presence) {
                places
                    .entry((library, presence.place.clone()))
                    .or_default()
                    .push(presence);
            }
        }
        Outcome {
            observations: places
                .into_iter()
                .filter_map(|((library, place), presences)| {
                    observe(catalog, subject.site.end_of_life, library, place, &presences)
                })
                .collect(),
            questions: Vec::new(),
        }
    }
}

fn is_patched(subject: &Subject<'_>, library: &str, catalog: &Catalog, presence: &Presence) -> bool {
    subject.site.patched.iter().any(|patched| {
        // Names may hold an `@` of their own: `@angular/core@1.2.3`.
        let Some((name, version)) = patched.rsplit_once('@') else {
            return false;
        };
        let named = name.eq_ignore_ascii_case(library) || catalog.by_name(name) == Some(presence.component);
        named && Version::parse(version).is_some_and(|version| version == presence.version)
    })
}

fn observe(
    catalog: &Catalog,
    ended: EndOfLife,
    library: String,
    place: String,
    presences: &[Presence],
) -> Option<Observation> {
    let mut known: Vec<(Severity, &Advisory)> = Vec::new();
    let mut affected: Vec<&Presence> = Vec::new();
    let mut end_of_life: Option<&Advisory> = None;
    for presence in presences {
        let component = catalog.component(presence.component)?;
        let mut any = false;
        for advisory in component
            .advisories
            .iter()
            .filter(|advisory| advisory.affects(&presence.version))
        {
            if advisory.end_of_life {
                end_of_life = Some(advisory);
                any |= ended.severity().is_some();
                continue;
            }
            any = true;
            let severity = advisory.severity_in_browser(&component.name);
            if !known.iter().any(|(_, other)| other.ids == advisory.ids) {
                known.push((severity, advisory));
            }
        }
        if any {
            affected.push(presence);
        }
    }
    known.sort_by(|(one, a), (other, b)| other.cmp(one).then_with(|| a.ids.cmp(&b.ids)));
    let ended = end_of_life.and_then(|_| ended.severity());
    let severity = known.first().map(|(severity, _)| *severity).max(ended)?;
    let confidence = affected.iter().map(|presence| presence.confidence()).max()?;
    let mut versions: Vec<&Version> = affected.iter().map(|presence| &presence.version).collect();
    versions.sort();
    versions.dedup();
    let versions: Vec<&str> = versions.into_iter().map(Version::as_str).collect();
    let versions = versions.join(", ");
    let fixes: Vec<Option<Version>> = affected
        .iter()
        .map(|presence| catalog.fixed_in(presence.component, &presence.version))
        .collect();
    let fixed_in = if fixes.iter().all(Option::is_some) {
        fixes.into_iter().flatten().max()
    } else {
        None
    };
    // What the place leaves out, its file's version, is what people look for.
    let shown_place = affected
        .iter()
        .find_map(|presence| Url::parse(presence.url.as_deref()?).ok())
        .map_or_else(|| place.chars().take(100).collect(), |url| shown(&url));
    Some(Observation {
        check: META.id.to_owned(),
        check_version: META.version,
        severity,
        confidence,
        title: title(&library, &versions, &shown_place, !known.is_empty()),
        facts: facts(
            catalog,
            &versions,
            fixed_in.as_ref(),
            &affected,
            &known,
            end_of_life,
            confidence,
        ),
        cause: Cause::new(1, [("library", library), ("script", place)]),
        aliases: Vec::new(),
        third_party: affected.iter().all(|presence| presence.third_party),
    })
}

fn title(library: &str, versions: &str, place: &str, is_vulnerable: bool) -> String {
    let versions: String = versions.chars().take(40).collect();
    let what = if is_vulnerable {
        "has known vulnerabilities"
    } else {
        "is no longer maintained"
    };
    match place {
        reconcile::INLINE => format!("The library {library} {versions} in an inline script {what}"),
        reconcile::UNKNOWN => format!("The library {library} {versions} {what}"),
        place => format!("The library {library} {versions} {what} ({place})"),
    }
}

fn facts(
    catalog: &Catalog,
    versions: &str,
    fixed_in: Option<&Version>,
    affected: &[&Presence],
    known: &[(Severity, &Advisory)],
    end_of_life: Option<&Advisory>,
    confidence: Confidence,
) -> Vec<Fact> {
    let fixed_in = fixed_in.map_or("no version that is known", Version::as_str);
    let mut facts = vec![Fact::new("version", versions), Fact::new("fixed in", fixed_in)];
    if let Some(presence) = affected.iter().find(|presence| presence.confidence() == confidence) {
        facts.push(Fact::new("known by", presence.known_by()));
        facts.extend(presence.url.as_deref().map(|url| Fact::new("script", url)));
        facts.extend(presence.snippet.as_deref().map(|tag| Fact::new("element", tag)));
    }
    for (severity, advisory) in known {
        let link = advisory
            .links
            .first()
            .map(|link| format!(": {link}"))
            .unwrap_or_default();
        facts.push(Fact::new(
            "advisory",
            format!("{} ({severity}){link}", advisory.ids.join(", ")),
        ));
    }
    if let Some(advisory) = end_of_life {
        let link = advisory
            .links
            .first()
            .map(|link| format!(": {link}"))
            .unwrap_or_default();
        facts.push(Fact::new(
            "end of life",
            format!("{} are no longer maintained{link}", ended_line(&advisory.below)),
        ));
    }
    facts.push(Fact::new("advisories of", catalog.date()));
    facts
}

/// The versions that a bound ends, as people say it: `2.999.999` is everything up to version 2.
fn ended_line(below: &str) -> String {
    match below.split_once('.') {
        Some((major, rest)) if rest.split('.').all(|part| part == "999" || part == "9999") => {
            format!("versions up to {major}")
        }
        _ => format!("versions below {below}"),
    }
}

#[cfg(test)]
mod tests;
