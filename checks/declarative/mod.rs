//! Checks that an installation declares as data, for people who write no Rust.
//!
//! A [`Declaration`] is valid by its type; whoever reads a file makes one. It can look at evidence and, by [`Ask`], at
//! elements and values of the open page. It holds no code, so it reaches no network, file or other origin.

mod ask;
mod noun;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{PoisonError, RwLock};

use regex::{Regex, RegexBuilder};

use crate::check::{Check, Meta, Outcome, Probe, Subject};
use crate::hosts;
use crate::observation::{Cause, Confidence, Fact, Observation, Severity};
use crate::{answers, docs};

pub use ask::{Ask, AskError, Question, check_name};
use noun::Item;
pub use noun::Noun;

/// Observations of one check on one page, at most.
const MOST: usize = 50;
/// The longest part of a cause, in characters.
const LONGEST_PART: usize = 200;
/// What a pattern may come to when it is compiled, in bytes.
const LARGEST_PATTERN: usize = 1 << 20;

/// A check as data.
#[derive(Debug, Clone)]
pub struct Declaration {
    /// The stable id, in kebab case.
    pub id: String,
    /// Counted up whenever it decides differently.
    pub version: u32,
    /// What is wrong, as a short sentence without a full stop.
    pub title: String,
    /// The severity, where a rule has no other.
    pub severity: Severity,
    /// The confidence, where a rule has no other.
    pub confidence: Confidence,
    /// The number of the weakness in the Common Weakness Enumeration.
    pub cwe: u32,
    /// The text under each of [`docs::HEADINGS`], in their order.
    pub docs: [String; docs::HEADINGS.len()],
    /// What the page itself is asked.
    pub asks: Vec<Ask>,
    /// When it flags.
    pub rules: Vec<Rule>,
}

/// When a page is flagged.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Tells it from the check's other rules; part of the cause. Empty if it is the only one.
    pub name: String,
    /// What is looked at.
    pub find: Noun,
    /// What must hold of the page, or it is not looked at.
    pub on: Vec<Condition>,
    /// What must hold of each thing.
    pub fits: Vec<Condition>,
    /// Things of which all of this holds do not count.
    pub unless: Vec<Condition>,
    /// The flaw is that there is no such thing.
    pub absent: bool,
    /// What the fingerprint is made of: attributes for which [`Noun::may_be_cause`] holds.
    pub cause: Vec<String>,
    /// The title, in which `{host}` stands for a part of the cause.
    pub title: String,
    /// How bad it is.
    pub severity: Severity,
    /// How sure it is.
    pub confidence: Confidence,
}

/// What must hold of one attribute.
#[derive(Debug, Clone)]
pub struct Condition {
    /// Which, of those that [`Noun::has`].
    pub attribute: String,
    /// What.
    pub test: Test,
}

/// What must hold of a text; of several, at least one must fit. What is not there is an empty text.
#[derive(Debug, Clone, Default)]
pub struct Test {
    /// It is one of these.
    pub is: Option<Vec<String>>,
    /// It is none of these; of several, none is.
    pub is_not: Option<Vec<String>>,
    /// It contains one of these.
    pub contains: Option<Vec<String>>,
    /// It begins with one of these.
    pub starts_with: Option<Vec<String>>,
    /// It ends with one of these.
    pub ends_with: Option<Vec<String>>,
    /// A part of it fits one of these.
    pub matches: Option<Vec<Regex>>,
    /// It is a number above this.
    pub above: Option<f64>,
    /// It is a number below this.
    pub below: Option<f64>,
    /// It is there and not empty, or neither.
    pub present: Option<bool>,
}

/// A pattern of a declaration, whose size is bounded. Patterns take a time that grows with the text alone.
///
/// # Errors
/// If it is none, as a sentence.
pub fn pattern(text: &str) -> Result<Regex, String> {
    RegexBuilder::new(text)
        .size_limit(LARGEST_PATTERN)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => "it is too large".to_owned(),
            other => other.to_string().lines().last().unwrap_or_default().trim().to_owned(),
        })
}

impl Test {
    fn holds(&self, values: &[Cow<'_, str>]) -> bool {
        let nothing = [Cow::Borrowed("")];
        let values = if values.is_empty() { &nothing } else { values };
        let some = |fits: &dyn Fn(&str) -> bool| values.iter().any(|value| fits(value));
        let any_of = |texts: &Option<Vec<String>>, fits: fn(&str, &str) -> bool| {
            texts
                .as_ref()
                .is_none_or(|texts| some(&|value| texts.iter().any(|text| fits(value, text))))
        };
        let number = |limit: Option<f64>, fits: fn(f64, f64) -> bool| {
            limit.is_none_or(|limit| some(&|value| value.parse().is_ok_and(|number| fits(number, limit))))
        };
        any_of(&self.is, |value, text| value == text)
            && !self
                .is_not
                .as_ref()
                .is_some_and(|texts| some(&|value| texts.iter().any(|text| value == text)))
            && any_of(&self.contains, |value, text| value.contains(text))
            && any_of(&self.starts_with, |value, text| value.starts_with(text))
            && any_of(&self.ends_with, |value, text| value.ends_with(text))
            && self
                .matches
                .as_ref()
                .is_none_or(|patterns| some(&|value| patterns.iter().any(|pattern| pattern.is_match(value))))
            && number(self.above, |number, limit| number > limit)
            && number(self.below, |number, limit| number < limit)
            && self
                .present
                .is_none_or(|present| some(&|value| !value.is_empty()) == present)
    }
}

/// A declared check, which is there until the program ends.
pub struct Declared {
    meta: &'static Meta,
    asks: Option<Probe>,
    rules: Vec<Rule>,
}

impl Declared {
    fn of(declaration: Declaration) -> &'static Self {
        let kept = |text: String| -> &'static str { Box::leak(text.into_boxed_str()) };
        let asks = (!declaration.asks.is_empty()).then(|| ask::source(&declaration.asks));
        Box::leak(Box::new(Self {
            meta: Box::leak(Box::new(Meta {
                id: kept(declaration.id),
                version: declaration.version,
                title: kept(declaration.title),
                severity: declaration.severity,
                cwe: declaration.cwe,
                source: kept(header(&declaration.docs)),
            })),
            asks: asks.map(|source| Probe {
                version: ask::version(&source),
                source: kept(source),
            }),
            rules: declaration.rules,
        }))
    }
}

/// Documentation as the header of a built-in check has it.
fn header(texts: &[String]) -> String {
    let mut header = String::new();
    for (heading, text) in docs::HEADINGS.iter().zip(texts) {
        // Writing to a String cannot fail.
        let _ = writeln!(header, "//! # {heading}\n//!");
        for line in text.trim().lines() {
            // A heading in a text would end its section.
            let line = line.trim_start_matches("# ");
            let _ = writeln!(header, "//! {line}");
        }
    }
    header
}

impl Check for Declared {
    fn meta(&self) -> &'static Meta {
        self.meta
    }

    fn probe(&self) -> Option<Probe> {
        self.asks
    }

    fn run(&self, subject: &Subject<'_>) -> Outcome {
        let mut found: BTreeMap<Cause, Observation> = BTreeMap::new();
        for rule in &self.rules {
            for observation in self.look(rule, subject) {
                if found.len() < MOST {
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

impl Declared {
    fn look(&self, rule: &Rule, subject: &Subject<'_>) -> Vec<Observation> {
        let page = Item::Page(&subject.evidence.page);
        if !rule.on.iter().all(|condition| condition.holds(&page, subject)) {
            return Vec::new();
        }
        let mut items = rule
            .find
            .items(subject, self.meta.id)
            .filter(|item| rule.counts(item, subject));
        if !rule.absent {
            return items
                .take(MOST * 4)
                .map(|item| self.observe(rule, subject, &item))
                .collect();
        }
        // What is missing on a page that did not come well, or was not looked into, says nothing.
        let Some(document) = answers::page(subject) else {
            return Vec::new();
        };
        let seen = subject.evidence.main_frame().is_some_and(|frame| frame.captured);
        let asked = rule.find != Noun::Answer || noun::was_asked(subject, self.meta.id);
        if !seen || !asked || items.next().is_some() {
            return Vec::new();
        }
        let parts = rule.named().chain([("host".to_owned(), document.host())]);
        let facts = vec![Fact::new("page", document.url.as_str())];
        vec![self.say(rule, parts.collect(), facts)]
    }

    fn observe<'e>(&self, rule: &Rule, subject: &Subject<'e>, item: &Item<'e>) -> Observation {
        let part = |attribute: &String| {
            let value = item.stable(attribute, subject);
            (attribute.clone(), value.chars().take(LONGEST_PART).collect::<String>())
        };
        let parts: BTreeMap<String, String> = rule.named().chain(rule.cause.iter().map(part)).collect();
        let mut facts: Vec<Fact> = rule
            .find
            .shown()
            .map(|attribute| Fact::new(attribute, item.values(attribute, subject).join(", ")))
            .collect();
        facts.extend(item.own_facts());
        facts.extend(Fact::steps(item.path()));
        let mut observation = self.say(rule, parts, facts);
        observation.third_party = item.frame().is_some_and(|frame| hosts::is_third_party(subject, frame));
        observation
    }

    fn say(&self, rule: &Rule, parts: BTreeMap<String, String>, facts: Vec<Fact>) -> Observation {
        let title = parts.iter().fold(rule.title.clone(), |title, (name, value)| {
            let shown: String = value.chars().take(100).collect();
            title.replace(&format!("{{{name}}}"), &shown)
        });
        let cause = Cause { version: 1, parts };
        self.meta
            .observe((rule.severity, rule.confidence), &title, cause, facts)
    }
}

impl Rule {
    fn counts<'e>(&self, item: &Item<'e>, subject: &Subject<'e>) -> bool {
        let all = |conditions: &[Condition]| conditions.iter().all(|condition| condition.holds(item, subject));
        all(&self.fits) && (self.unless.is_empty() || !all(&self.unless))
    }

    fn named(&self) -> impl Iterator<Item = (String, String)> {
        let name = (!self.name.is_empty()).then(|| ("rule".to_owned(), self.name.clone()));
        name.into_iter()
    }
}

impl Condition {
    fn holds<'e>(&self, item: &Item<'e>, subject: &Subject<'e>) -> bool {
        self.test.holds(&item.values(&self.attribute, subject))
    }
}

/// Why a check cannot be declared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is a check `{0}` already")]
pub struct IdTaken(pub String);

/// The checks that were declared, after the built-in ones.
static ALL: RwLock<Option<&'static [&'static dyn Check]>> = RwLock::new(None);

/// Adds a check to all checks. An installation does so once, when its settings are read, before it looks at anything.
///
/// # Errors
/// If there is a check of this id.
pub fn declare(declaration: Declaration) -> Result<(), IdTaken> {
    let mut all = ALL.write().unwrap_or_else(PoisonError::into_inner);
    let before: &'static [&'static dyn Check] = all.unwrap_or(crate::BUILT_IN);
    if before.iter().any(|check| check.meta().id == declaration.id) {
        return Err(IdTaken(declaration.id));
    }
    let mut more = before.to_vec();
    more.push(Declared::of(declaration));
    *all = Some(Box::leak(more.into_boxed_slice()));
    Ok(())
}

/// All checks, declared ones last.
pub(crate) fn all() -> &'static [&'static dyn Check] {
    ALL.read()
        .unwrap_or_else(PoisonError::into_inner)
        .unwrap_or(crate::BUILT_IN)
}
