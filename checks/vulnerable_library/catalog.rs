//! Recognises libraries in script texts and URLs.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use regex::bytes;
use regex::{Regex, RegexSet};
use url::Url;

use super::advisories::{Advisories, Advisory, Component};
use super::minified;
use super::version::Version;

/// The most places in one text where one pattern is tried.
const MOST_PLACES: usize = 200;
/// The most bytes of one text that patterns search in all, so that a hostile text costs a bounded time.
const MOST_SEARCHED: usize = 16 << 20;
/// The most texts whose result is remembered.
const MOST_REMEMBERED: usize = 4_096;
/// A longer address, in bytes, is that of no library.
const LONGEST_ADDRESS: usize = 2_048;

/// A library, by its position in the set of advisories.
pub(super) type Index = usize;
/// Libraries recognised in one text, with their versions, without repeats.
pub(super) type Hits = Arc<[(Index, Version)]>;

/// A set of advisories, ready to recognise libraries.
pub struct Catalog {
    set: Advisories,
    literals: Option<AhoCorasick>,
    text: Vec<TextRule>,
    urls: PathRules,
    files: PathRules,
    names: HashMap<String, Index>,
    memo: Mutex<Memo>,
    addresses: Mutex<Memo>,
}

struct TextRule {
    component: Index,
    pattern: usize,
    /// Compiled when its literal is first met: most never are.
    regex: OnceLock<Option<bytes::Regex>>,
}

struct PathRules {
    set: RegexSet,
    rules: Vec<(Index, Regex)>,
}

/// Results of texts searched before, by hash, or of addresses. The same script is on every page of a site; what is
/// remembered is a pure function of the text, so a check that uses it stays pure.
#[derive(Default)]
struct Memo {
    hits: HashMap<String, Hits>,
    oldest: VecDeque<String>,
}

impl Catalog {
    /// Makes a set ready.
    pub fn new(mut set: Advisories) -> Self {
        set.components.iter_mut().for_each(minified::add);
        let mut text = Vec::new();
        let mut literals = Vec::new();
        let mut names = HashMap::new();
        for (index, component) in set.components.iter().enumerate() {
            for (pattern, rule) in component.text.iter().enumerate() {
                text.push(TextRule {
                    component: index,
                    pattern,
                    regex: OnceLock::new(),
                });
                literals.push(rule.literal.clone());
            }
            names.insert(component.name.to_ascii_lowercase(), index);
            if component.part_of.is_none() {
                for name in &component.npm {
                    names.entry(name.to_ascii_lowercase()).or_insert(index);
                }
            }
        }
        let literals = AhoCorasick::builder()
            .match_kind(MatchKind::Standard)
            .kind(Some(AhoCorasickKind::DFA))
            .build(&literals)
            .ok();
        Self {
            literals,
            text,
            urls: PathRules::new(&set, |component| &component.urls),
            files: PathRules::new(&set, |component| &component.files),
            names,
            memo: Mutex::default(),
            addresses: Mutex::default(),
            set,
        }
    }

    /// The day on which its source was fetched, `YYYY-MM-DD`.
    pub fn date(&self) -> &str {
        &self.set.date
    }

    /// The names of the libraries that have advisories.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.set.names()
    }

    /// The libraries that have advisories, and the advisories.
    pub fn counts(&self) -> (usize, usize) {
        self.set.counts()
    }

    pub(super) fn component(&self, index: Index) -> Option<&Component> {
        self.set.components.get(index)
    }

    /// The library with this name, of the source or on npm.
    pub(super) fn by_name(&self, name: &str) -> Option<Index> {
        self.names.get(&name.to_ascii_lowercase()).copied()
    }

    /// The libraries in a text, by what they write into it. `hash` must be the text's own.
    pub(super) fn in_text(&self, hash: &str, text: &str) -> Hits {
        remembered(&self.memo, hash, || self.search(text.as_bytes()))
    }

    fn search(&self, text: &[u8]) -> Vec<(Index, Version)> {
        let Some(literals) = &self.literals else {
            return Vec::new();
        };
        let mut places: HashMap<usize, Vec<Range<usize>>> = HashMap::new();
        for found in literals.find_overlapping_iter(text) {
            let places = places.entry(found.pattern().as_usize()).or_default();
            if places.len() < MOST_PLACES {
                places.push(found.range());
            }
        }
        let mut rules: Vec<_> = places.into_iter().collect();
        rules.sort_unstable_by_key(|(rule, _)| *rule);
        let mut hits: Vec<(Index, Version)> = Vec::new();
        let mut budget = MOST_SEARCHED;
        for (rule, places) in rules {
            let Some(rule) = self.text.get(rule) else { continue };
            let Some(pattern) = self
                .component(rule.component)
                .and_then(|component| component.text.get(rule.pattern))
            else {
                continue;
            };
            let Some(regex) = rule.compiled(&pattern.regex) else {
                continue;
            };
            for window in windows(&places, pattern.reach, text.len()) {
                let Some(left) = budget.checked_sub(window.len()) else {
                    return hits;
                };
                budget = left;
                for found in regex.captures_iter(&text[window]) {
                    let version = version_of(&found, pattern.version.as_deref());
                    let Some(version) = version else { continue };
                    let hit = (rule.component, version);
                    if !hits.contains(&hit) {
                        hits.push(hit);
                    }
                }
            }
        }
        hits
    }

    /// The libraries that a script's URL names, with a version. The query never counts: `?v=3.1` is a cache-buster.
    pub(super) fn in_url(&self, url: &Url) -> Hits {
        let address = &url[..url::Position::AfterPath];
        if !matches!(url.scheme(), "http" | "https") || address.len() > LONGEST_ADDRESS {
            return Hits::default();
        }
        remembered(&self.addresses, address, || self.search_address(address, url.path()))
    }

    fn search_address(&self, address: &str, path: &str) -> Vec<(Index, Version)> {
        let file = address.rsplit('/').next().unwrap_or_default();
        let mut hits = self.npm_path(path);
        for (component, version) in self.urls.find(address).chain(self.files.find(file)) {
            if !hits.contains(&(component, version.clone())) {
                hits.push((component, version));
            }
        }
        hits
    }

    /// Delivery networks put npm's names and exact versions into paths: `/npm/jquery@3.4.1/dist/jquery.js`.
    fn npm_path(&self, path: &str) -> Vec<(Index, Version)> {
        let mut hits = Vec::new();
        let mut scope = "";
        for segment in path.split('/') {
            if let Some((name, version)) = segment.split_once('@').filter(|(name, _)| !name.is_empty()) {
                let name = if scope.is_empty() {
                    name.to_owned()
                } else {
                    format!("{scope}/{name}")
                };
                // A range such as `@3.4` stands for its newest version, which is not known here.
                let exact = version.matches('.').count() >= 2;
                if let (true, Some(component), Some(version)) = (exact, self.by_name(&name), Version::parse(version)) {
                    hits.push((component, version));
                }
            }
            scope = if segment.starts_with('@') { segment } else { "" };
        }
        hits
    }

    /// The smallest version at or above this one without any known vulnerability, if the set names one.
    pub(super) fn fixed_in(&self, index: Index, current: &Version) -> Option<Version> {
        let component = self.component(index)?;
        let real: Vec<&Advisory> = component
            .advisories
            .iter()
            .filter(|advisory| !advisory.end_of_life)
            .collect();
        let mut candidates: Vec<Version> = real
            .iter()
            .filter_map(|advisory| Version::parse_bound(&advisory.below))
            .filter(|version| *version > *current && !version.is_invented() && !version.is_pre_release())
            .collect();
        candidates.sort();
        candidates
            .into_iter()
            .find(|version| !real.iter().any(|advisory| advisory.affects(version)))
    }
}

impl TextRule {
    fn compiled(&self, pattern: &str) -> Option<&bytes::Regex> {
        self.regex
            .get_or_init(|| {
                // Some files are published with the line ends of Windows. In a class of characters this adds two more.
                let pattern = pattern.replace('\n', "\r?\n");
                bytes::RegexBuilder::new(&pattern).unicode(false).build().ok()
            })
            .as_ref()
    }
}

impl PathRules {
    fn new(set: &Advisories, patterns: fn(&Component) -> &[String]) -> Self {
        let (mut texts, mut rules) = (Vec::new(), Vec::new());
        for (index, component) in set.components.iter().enumerate() {
            for pattern in patterns(component) {
                if let Ok(regex) = Regex::new(pattern) {
                    texts.push(pattern);
                    rules.push((index, regex));
                }
            }
        }
        Self {
            set: RegexSet::new(texts).unwrap_or_else(|_| RegexSet::empty()),
            rules,
        }
    }

    fn find<'a>(&'a self, text: &'a str) -> impl Iterator<Item = (Index, Version)> + 'a {
        self.set.matches(text).into_iter().filter_map(move |rule| {
            let (component, regex) = self.rules.get(rule)?;
            let found = regex.captures(text)?;
            Some((*component, Version::parse(found.get(1)?.as_str())?))
        })
    }
}

/// What is known by this key, or what is found now.
fn remembered(memo: &Mutex<Memo>, key: &str, search: impl FnOnce() -> Vec<(Index, Version)>) -> Hits {
    if let Some(known) = memo.lock().unwrap_or_else(PoisonError::into_inner).hits.get(key) {
        return Arc::clone(known);
    }
    let hits: Hits = search().into();
    memo.lock().unwrap_or_else(PoisonError::into_inner).remember(key, &hits);
    hits
}

impl Memo {
    fn remember(&mut self, hash: &str, hits: &Hits) {
        if self.hits.insert(hash.to_owned(), Arc::clone(hits)).is_none() {
            self.oldest.push_back(hash.to_owned());
        }
        while self.oldest.len() > MOST_REMEMBERED {
            if let Some(oldest) = self.oldest.pop_front() {
                self.hits.remove(&oldest);
            }
        }
    }
}

/// The parts of a text around the places, overlapping ones joined.
fn windows(places: &[Range<usize>], reach: usize, length: usize) -> Vec<Range<usize>> {
    let mut windows: Vec<Range<usize>> = Vec::new();
    for place in places {
        let window = place.start.saturating_sub(reach)..place.end.saturating_add(reach).min(length);
        match windows.last_mut() {
            Some(last) if window.start <= last.end => last.end = last.end.max(window.end),
            _ => windows.push(window),
        }
    }
    windows
}

fn version_of(found: &bytes::Captures<'_>, template: Option<&str>) -> Option<Version> {
    let text = match template {
        Some(template) => {
            let mut text = Vec::new();
            let template = braced(template);
            found.expand(template.as_bytes(), &mut text);
            text
        }
        None => found.get(1)?.as_bytes().to_vec(),
    };
    Version::parse(std::str::from_utf8(&text).ok()?)
}

/// `0.$1.0` → `0.${1}.0`: without braces, digits and letters that follow a group belong to its name.
fn braced(template: &str) -> String {
    let mut braced = String::with_capacity(template.len() + 8);
    let mut characters = template.chars().peekable();
    while let Some(character) = characters.next() {
        braced.push(character);
        if character == '$' {
            braced.push('{');
            while let Some(digit) = characters.next_if(char::is_ascii_digit) {
                braced.push(digit);
            }
            braced.push('}');
        }
    }
    braced
}
