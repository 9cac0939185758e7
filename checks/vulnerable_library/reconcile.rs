//! Brings together what run time, texts and URLs tell about the libraries of a page.

use std::collections::{BTreeMap, HashSet};
use std::sync::LazyLock;

use url::Url;

use super::META;
use super::catalog::{Catalog, Index};
use super::version::Version;
use crate::check::Subject;
use crate::evidence::Script;
use crate::hosts;
use crate::observation::Confidence;
use crate::stable::asset;

/// The place of a library that stands in the document itself.
pub(super) const INLINE: &str = "inline";
/// The place of a library that runs, in a script that cannot be told.
pub(super) const UNKNOWN: &str = "unknown";

/// Versions that a library went on naming in its code after it was released anew. A banner beside it that names a later
/// one is right.
const STAYED: [(&str, &str); 1] = [("plupload", "2.3.6")];

/// The most entries of one frame's answer that are read.
const MOST_ANSWERS: usize = 100;

/// One version of one library in one frame.
#[derive(Debug, Clone)]
pub(super) struct Presence {
    pub(super) component: Index,
    pub(super) version: Version,
    /// The asset of the script, or one of the words above.
    pub(super) place: String,
    /// The script's URL as it is on this page.
    pub(super) url: Option<String>,
    /// The script's opening tag.
    pub(super) snippet: Option<String>,
    pub(super) third_party: bool,
    witnesses: Witnesses,
}

/// What tells the version.
#[derive(Debug, Clone, Copy, Default)]
struct Witnesses {
    running: bool,
    in_text: bool,
    in_url: bool,
}

impl Witnesses {
    fn only_url(self) -> bool {
        self.in_url && !self.in_text && !self.running
    }
}

/// What one frame holds.
#[derive(Default)]
struct Held<'a> {
    scripts: Vec<&'a Script>,
    /// What its probe answered, if it did.
    running: Option<Vec<(Index, Version)>>,
}

impl Presence {
    pub(super) fn confidence(&self) -> Confidence {
        match (self.witnesses.running, self.witnesses.in_text) {
            (true, true) => Confidence::Certain,
            (true, false) | (false, true) => Confidence::Firm,
            (false, false) => Confidence::Tentative,
        }
    }

    pub(super) fn known_by(&self) -> String {
        let kinds = [
            (self.witnesses.running, "the running library"),
            (self.witnesses.in_text, "the script's text"),
            (self.witnesses.in_url, "the script's URL"),
        ];
        let kinds: Vec<&str> = kinds.into_iter().filter(|(is, _)| *is).map(|(_, name)| name).collect();
        kinds.join(", ")
    }

    fn of_script(script: &Script, component: Index, version: Version) -> Self {
        let url = script.url.as_deref().and_then(|url| Url::parse(url).ok());
        Self {
            component,
            version,
            place: url.as_ref().map_or_else(|| INLINE.to_owned(), asset),
            url: script.url.clone(),
            snippet: Some(script.snippet.clone()).filter(|tag| !tag.is_empty()),
            third_party: false,
            witnesses: Witnesses::default(),
        }
    }
}

/// All versions of all libraries on a page.
pub(super) fn all(subject: &Subject<'_>, catalog: &Catalog) -> Vec<Presence> {
    let evidence = subject.evidence;
    let failed: HashSet<&str> = evidence
        .requests
        .iter()
        .filter(|request| request.failure.is_some() || request.status.is_some_and(|status| status >= 400))
        .map(|request| request.url.as_str())
        .collect();
    let mut frames: BTreeMap<&str, Held<'_>> = BTreeMap::new();
    for script in evidence.scripts.iter().filter(|script| is_code(&script.kind)) {
        let loaded = script.url.as_deref().is_none_or(|url| !failed.contains(url));
        if loaded {
            frames.entry(&script.frame).or_default().scripts.push(script);
        }
    }
    for answer in evidence.probes.iter().filter(|answer| answer.check == META.id) {
        if let Some(running) = read_answer(&answer.value, catalog) {
            let held = frames.entry(&answer.frame).or_default();
            held.running.get_or_insert_default().extend(running);
        }
    }
    let mut presences = Vec::new();
    for (frame, held) in frames {
        let third_party = hosts::is_third_party(subject, frame);
        for mut presence in reconcile(subject, catalog, held) {
            presence.third_party = third_party;
            presences.push(presence);
        }
    }
    presences
}

/// Whether a script element of this type is run rather than read as data.
fn is_code(kind: &str) -> bool {
    let kind = kind.split(';').next().unwrap_or_default().trim();
    matches!(kind, "" | "module")
        || kind.ends_with("javascript")
        || kind.ends_with("ecmascript")
        || kind.ends_with("jscript")
}

/// The probe's answer, which the page may have forged: what does not fit is left out.
fn read_answer(answer: &serde_json::Value, catalog: &Catalog) -> Option<Vec<(Index, Version)>> {
    let read = |entry: &serde_json::Value| {
        let component = catalog.by_name(entry.get("name")?.as_str()?)?;
        let version = Version::parse(entry.get("version")?.as_str()?)?;
        Some((component, version))
    };
    let entries = answer.as_array()?.iter().take(MOST_ANSWERS);
    Some(entries.filter_map(read).collect())
}

fn reconcile(subject: &Subject<'_>, catalog: &Catalog, held: Held<'_>) -> Vec<Presence> {
    let Held { scripts, running } = held;
    let mut presences = Vec::new();
    for script in &scripts {
        let mut of_script = of_script(subject, catalog, script);
        if let Some(running) = &running {
            of_script.retain(|presence| !is_refuted(subject, catalog, script, presence, running));
        }
        presences.extend(of_script);
    }
    for (component, version) in running.unwrap_or_default() {
        let mut explained = false;
        for presence in &mut presences {
            if presence.component == component && presence.version == version {
                presence.witnesses.running = true;
                explained = true;
            }
        }
        if explained {
            continue;
        }
        // The file has another version than its name says.
        if let Some(misnamed) = presences
            .iter_mut()
            .find(|presence| presence.component == component && presence.witnesses.only_url())
        {
            misnamed.version = version;
            misnamed.witnesses = Witnesses {
                running: true,
                ..Witnesses::default()
            };
            continue;
        }
        let script = scripts.iter().find(|script| is_named_after(catalog, script, component));
        let mut presence = script.map_or_else(
            || Presence {
                place: UNKNOWN.to_owned(),
                ..Presence::of_script(&Script::default(), component, version.clone())
            },
            |script| Presence::of_script(script, component, version.clone()),
        );
        presence.witnesses.running = true;
        presences.push(presence);
    }
    without_stayed(catalog, presences)
}

/// Takes away what only a line in a library's code says that was not kept up to date.
fn without_stayed(catalog: &Catalog, mut presences: Vec<Presence>) -> Vec<Presence> {
    let stayed = |presence: &Presence| {
        let component = catalog.component(presence.component);
        component.is_some_and(|component| STAYED.contains(&(component.name.as_str(), presence.version.as_str())))
    };
    if presences.iter().any(stayed) {
        let banners: Vec<(Index, Version)> = presences
            .iter()
            .filter(|presence| presence.witnesses.in_text)
            .map(|presence| (presence.component, presence.version.clone()))
            .collect();
        presences.retain(|presence| {
            let later = |(component, version): &(Index, Version)| {
                *component == presence.component && *version > presence.version
            };
            !stayed(presence) || !banners.iter().any(later)
        });
    }
    presences
}

/// Whether only the URL names a library that the script's text and the page do not show. A module shows a library to
/// its importers alone, and a script without an element may be one.
fn is_refuted(
    subject: &Subject<'_>,
    catalog: &Catalog,
    script: &Script,
    presence: &Presence,
    running: &[(Index, Version)],
) -> bool {
    let is_classic = script.kind != "module" && !script.snippet.is_empty();
    let hash = script.hash.as_deref();
    presence.witnesses.only_url()
        && is_classic
        && hash.is_some_and(|hash| subject.bodies.text(hash).is_some())
        && is_asked_for(catalog, presence.component)
        && !running.iter().any(|(component, _)| *component == presence.component)
}

/// Whether the probe asks each page for this library.
fn is_asked_for(catalog: &Catalog, component: Index) -> bool {
    static ASKED_FOR: LazyLock<HashSet<&str>> = LazyLock::new(|| {
        let calls = include_str!("probe.js").split("attempt('").skip(1);
        calls.filter_map(|rest| rest.split('\'').next()).collect()
    });
    catalog
        .component(component)
        .is_some_and(|component| ASKED_FOR.contains(component.name.as_str()))
}

/// What the text and the URL of one script tell.
fn of_script(subject: &Subject<'_>, catalog: &Catalog, script: &Script) -> Vec<Presence> {
    let text = script
        .hash
        .as_deref()
        .and_then(|hash| subject.bodies.text(hash).map(|text| (hash, text)));
    let in_text = text.map(|(hash, text)| catalog.in_text(hash, text));
    let in_text = in_text.as_deref().unwrap_or_default();
    let url = script.url.as_deref().and_then(|url| Url::parse(url).ok());
    let in_url = url.as_ref().map(|url| catalog.in_url(url)).unwrap_or_default();
    let mut presences = Vec::new();
    for (component, version) in in_text {
        presences.push(Presence {
            witnesses: Witnesses {
                in_text: true,
                in_url: in_url.contains(&(*component, version.clone())),
                running: false,
            },
            ..Presence::of_script(script, *component, version.clone())
        });
    }
    for (component, version) in in_url.iter() {
        if !in_text.iter().any(|(known, _)| known == component) {
            presences.push(Presence {
                witnesses: Witnesses {
                    in_url: true,
                    ..Witnesses::default()
                },
                ..Presence::of_script(script, *component, version.clone())
            });
        }
    }
    presences
}

/// Whether a script's file is called like a library: `jquery.min.js`.
fn is_named_after(catalog: &Catalog, script: &Script, component: Index) -> bool {
    let Some(url) = script.url.as_deref().and_then(|url| Url::parse(url).ok()) else {
        return false;
    };
    let place = asset(&url);
    let stem = |file: &str| {
        let mut stem = file.to_ascii_lowercase();
        for ending in [".js", ".mjs", ".min", ".slim", ".prod", ".global"] {
            if let Some(shorter) = stem.strip_suffix(ending) {
                stem = shorter.to_owned();
            }
        }
        stem
    };
    let file = stem(place.rsplit('/').next().unwrap_or_default());
    let Some(component) = catalog.component(component) else {
        return false;
    };
    let mut names = component.npm.iter().chain([&component.name]).map(|name| stem(name));
    !file.is_empty() && names.any(|name| name == file)
}
