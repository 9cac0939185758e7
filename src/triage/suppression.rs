//! Decisions that findings are not to be reported: who made them, why, for what, and until when.

use std::fmt;

use jiff::Timestamp;
use phantom_checks::{Cause, Confidence, Severity};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use url::Url;

use super::{Finding, Fingerprint};
use crate::site::{BadPattern, PagePatterns, SiteId, wildcard};

/// What a suppression covers. All that is set must hold; one in which nothing is set covers nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SuppressionScope {
    /// One finding.
    pub fingerprint: Option<Fingerprint>,
    /// Findings of one check.
    pub check: Option<String>,
    /// Findings on one site.
    pub site: Option<SiteId>,
    /// Findings that are only on pages that match one of these patterns, which are those of a site's scope:
    /// `/blog/2009/**`.
    pub pages: Vec<String>,
    /// Findings whose pages, or whose cause, are on such a host; `*` stands for any run of characters.
    pub host: Option<String>,
}

impl SuppressionScope {
    /// One finding.
    pub fn finding(fingerprint: Fingerprint) -> Self {
        Self {
            fingerprint: Some(fingerprint),
            ..Self::default()
        }
    }

    /// Nothing is set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Where a finding is seen makes a difference.
    pub fn asks_for_pages(&self) -> bool {
        !self.pages.is_empty() || self.host.is_some()
    }
}

impl fmt::Display for SuppressionScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        parts.extend(self.fingerprint.as_ref().map(|it| format!("finding {}", it.short())));
        parts.extend(self.check.as_ref().map(|it| format!("check {it}")));
        parts.extend(self.site.as_ref().map(|it| format!("site {it}")));
        parts.extend(self.host.as_ref().map(|it| format!("host {it}")));
        if !self.pages.is_empty() {
            parts.push(format!("pages {}", self.pages.join(", ")));
        }
        f.write_str(if parts.is_empty() { "nothing" } else { "" })?;
        f.write_str(&parts.join(", "))
    }
}

/// What a person decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// It is there and stays: the risk is accepted.
    WontFix,
    /// It is not there. Holds for the version of the check that was wrong.
    FalsePositive,
    /// Another finding says it.
    Duplicate,
    /// It is nobody's here.
    OutOfScope,
    /// Nobody said why.
    Ignored,
}

impl Decision {
    /// How people say it.
    pub fn words(self) -> &'static str {
        match self {
            Self::WontFix => "won't fix",
            Self::FalsePositive => "false positive",
            Self::Duplicate => "duplicate",
            Self::OutOfScope => "out of scope",
            Self::Ignored => "ignored",
        }
    }
}

/// Where a decision was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DecidedIn {
    /// On the command line.
    Command,
    /// In the site's file. It ends when the file no longer says so.
    SiteFile,
    /// In the ticket.
    Ticket,
    /// In another tool, from which it was imported.
    Import,
}

/// A decision that findings are not to be reported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suppression {
    /// Unique. What is decided again in the same words by the same person is the same suppression.
    pub id: String,
    /// What it covers.
    pub scope: SuppressionScope,
    /// What was decided.
    pub decision: Decision,
    /// Where.
    pub decided_in: DecidedIn,
    /// Why.
    pub reason: String,
    /// Who decided.
    pub author: String,
    /// When.
    pub created: Timestamp,
    /// It holds until then; `None` means for ever.
    pub until: Option<Timestamp>,
    /// The key of the ticket in which it was decided.
    pub ticket: Option<String>,
    /// How bad the finding was then, if it covers one.
    pub severity_then: Option<Severity>,
    /// The version of the check then, if it covers one finding.
    pub check_version_then: Option<u32>,
    /// How sure the check was then.
    #[serde(default)]
    pub confidence_then: Option<Confidence>,
    /// When a finding was covered by it last. The store keeps it.
    pub matched: Option<Timestamp>,
}

impl Suppression {
    /// A suppression without end, decided on the command line; its other fields are for the caller to set, then
    /// [`Suppression::identified`] gives it its id.
    pub fn new(
        scope: SuppressionScope,
        decision: Decision,
        reason: impl Into<String>,
        author: impl Into<String>,
        created: Timestamp,
    ) -> Self {
        Self {
            id: String::new(),
            scope,
            decision,
            decided_in: DecidedIn::Command,
            reason: reason.into(),
            author: author.into(),
            created,
            until: None,
            ticket: None,
            severity_then: None,
            check_version_then: None,
            confidence_then: None,
            matched: None,
        }
        .identified()
    }

    /// The same decision about one finding, as it is now.
    #[must_use]
    pub fn about(mut self, finding: &Finding) -> Self {
        self.severity_then = Some(finding.severity);
        self.check_version_then = Some(finding.check_version);
        self.confidence_then = Some(finding.confidence);
        self
    }

    /// With the id that its words come to: 12 hexadecimal digits made of scope, decision, place, reason, author and
    /// ticket. Its times are no part of it: who decides the same again moves the end.
    #[must_use]
    pub fn identified(mut self) -> Self {
        let words = serde_json::json!([
            self.scope,
            self.decision,
            self.decided_in,
            self.reason,
            self.author,
            self.ticket
        ]);
        self.id = hex::encode(&Sha256::digest(words.to_string())[..6]);
        self
    }

    /// It is still in effect at this time for what this version of the check says, as sure as it is. A false positive
    /// is looked at again when the check changed, or when what was seen makes it surer than it was.
    pub fn holds(&self, now: Timestamp, check_version: u32, confidence: Confidence) -> bool {
        let as_it_was = self.decision != Decision::FalsePositive
            || (self.check_version_then.is_none_or(|then| then == check_version)
                && self.confidence_then.is_none_or(|then| confidence <= then));
        as_it_was && !self.is_expired(now)
    }

    /// Its time is over.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| until <= now)
    }

    /// What is wrong with it, for people; `None` if it does what it should.
    pub fn trouble(&self, now: Timestamp) -> Option<String> {
        match self.until {
            Some(until) if until <= now => Some(format!("it expired on {}", until.strftime("%Y-%m-%d"))),
            _ if self.matched.is_none() => Some("it has never covered a finding".to_owned()),
            _ => None,
        }
    }
}

/// What a suppression is asked about: one finding on one page.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The finding.
    pub fingerprint: &'a Fingerprint,
    /// Its check.
    pub check: &'a str,
    /// The version of its check.
    pub check_version: u32,
    /// How sure the check is.
    pub confidence: Confidence,
    /// Its site.
    pub site: &'a SiteId,
    /// Its cause.
    pub cause: &'a Cause,
}

impl<'a> Subject<'a> {
    /// A finding as it is.
    pub fn of(finding: &'a Finding) -> Self {
        Self {
            fingerprint: &finding.fingerprint,
            check: &finding.check,
            check_version: finding.check_version,
            confidence: finding.confidence,
            site: &finding.site,
            cause: &finding.cause,
        }
    }
}

/// Suppressions made ready: patterns are compiled once. The first that holds is the one in effect.
pub struct Suppressions {
    all: Vec<(Suppression, PagePatterns)>,
}

impl Suppressions {
    /// Those of these that hold now. One whose patterns cannot be read covers nothing.
    pub fn new(all: impl IntoIterator<Item = Suppression>) -> Self {
        let ready = |suppression: Suppression| {
            let patterns = PagePatterns::new(&suppression.scope.pages).ok()?;
            Some((suppression, patterns))
        };
        Self {
            all: all.into_iter().filter_map(ready).collect(),
        }
    }

    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The suppression that covers a finding on one page.
    pub fn on_page(&self, subject: &Subject<'_>, url: &str, now: Timestamp) -> Option<&Suppression> {
        self.everywhere(subject, std::slice::from_ref(&url), now)
    }

    /// The suppression that covers a finding on all of these pages. Without pages only one that asks for none does.
    pub fn everywhere(&self, subject: &Subject<'_>, urls: &[&str], now: Timestamp) -> Option<&Suppression> {
        let covering = self.all.iter().find(|(suppression, patterns)| {
            suppression.holds(now, subject.check_version, subject.confidence)
                && covers(&suppression.scope, patterns, subject, urls)
        });
        covering.map(|(suppression, _)| suppression)
    }
}

fn covers(scope: &SuppressionScope, patterns: &PagePatterns, subject: &Subject<'_>, urls: &[&str]) -> bool {
    let named = !scope.is_empty()
        && scope.fingerprint.as_ref().is_none_or(|it| it == subject.fingerprint)
        && scope.check.as_deref().is_none_or(|it| it == subject.check)
        && scope.site.as_ref().is_none_or(|it| it == subject.site);
    if !named {
        return false;
    }
    let caused_there = |host: &str| {
        subject
            .cause
            .parts
            .get("host")
            .is_some_and(|named| wildcard(host, named))
    };
    let on_host = scope.host.as_deref().is_none_or(|host| {
        caused_there(host)
            || (!urls.is_empty()
                && urls.iter().all(|url| {
                    let url = Url::parse(url).ok();
                    url.as_ref()
                        .and_then(Url::host_str)
                        .is_some_and(|it| wildcard(host, it))
                }))
    });
    let on_pages = scope.pages.is_empty()
        || (!urls.is_empty()
            && urls
                .iter()
                .all(|url| Url::parse(url).is_ok_and(|url| patterns.matches(&url))));
    on_host && on_pages
}

/// Why a suppression cannot be recorded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadSuppression {
    /// It would cover everything, or nothing.
    #[error("a suppression must name what it covers: a finding, a check, a site, pages or a host")]
    Empty,
    /// Nobody could tell later why it is there.
    #[error("a suppression needs a reason and the person who decided; write both")]
    Anonymous,
    /// A pattern cannot be used.
    #[error(transparent)]
    Pattern(#[from] BadPattern),
    /// It would end before it begins.
    #[error("the suppression would end at {0}, which is over; name a later day")]
    Over(String),
    /// A mistyped name would cover nothing, for ever.
    #[error("there is no check `{0}`; there are {known}", known = check_ids())]
    NoSuchCheck(String),
}

fn check_ids() -> String {
    phantom_checks::all()
        .iter()
        .map(|check| check.meta().id)
        .collect::<Vec<_>>()
        .join(", ")
}

impl Suppression {
    /// Makes sure that it can be recorded.
    pub fn check(&self, now: Timestamp) -> Result<(), BadSuppression> {
        if self.scope.is_empty() {
            return Err(BadSuppression::Empty);
        }
        if self.reason.trim().is_empty() || self.author.trim().is_empty() {
            return Err(BadSuppression::Anonymous);
        }
        PagePatterns::new(&self.scope.pages)?;
        if let Some(check) = self
            .scope
            .check
            .as_deref()
            .filter(|id| phantom_checks::by_id(id).is_none())
        {
            return Err(BadSuppression::NoSuchCheck(check.to_owned()));
        }
        match self.until {
            Some(until) if until <= now => Err(BadSuppression::Over(until.strftime("%Y-%m-%d %H:%M UTC").to_string())),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn suppression(scope: SuppressionScope) -> Suppression {
        Suppression::new(scope, Decision::WontFix, "archive", "me@shop.test", NOW)
    }

    fn covers_it(scope: SuppressionScope, urls: &[&str]) -> bool {
        let site = SiteId("shop".to_owned());
        let cause = Cause::new(1, [("host", "cdn.test".to_owned())]);
        let fingerprint = Fingerprint::of(&site, "mixed-content", &cause);
        let subject = Subject {
            fingerprint: &fingerprint,
            check: "mixed-content",
            check_version: 3,
            confidence: Confidence::Firm,
            site: &site,
            cause: &cause,
        };
        let all = Suppressions::new([suppression(scope)]);
        all.everywhere(&subject, urls, NOW).is_some()
    }

    #[test]
    fn all_that_is_named_must_hold() {
        let scope = SuppressionScope::default;
        let blog = || vec!["/blog/2009/**".to_owned()];
        let (old, new) = ("https://shop.test/blog/2009/a", "https://shop.test/blog/2010/a");
        let check = |id: &str| SuppressionScope {
            check: Some(id.to_owned()),
            ..scope()
        };
        let host = |host: &str| SuppressionScope {
            host: Some(host.to_owned()),
            ..scope()
        };
        for (scope, urls, expected) in [
            (scope(), vec![old], false),
            (check("mixed-content"), vec![], true),
            (check("insecure-form"), vec![old], false),
            (
                SuppressionScope {
                    pages: blog(),
                    ..scope()
                },
                vec![old],
                true,
            ),
            (
                SuppressionScope {
                    pages: blog(),
                    ..scope()
                },
                vec![old, new],
                false,
            ),
            (
                SuppressionScope {
                    pages: blog(),
                    ..scope()
                },
                vec![],
                false,
            ),
            (
                SuppressionScope {
                    pages: blog(),
                    ..check("insecure-form")
                },
                vec![old],
                false,
            ),
            (host("*.test"), vec![], true),
            (host("shop.test"), vec![old, new], true),
            (host("other.test"), vec![old], false),
            (SuppressionScope::finding(Fingerprint("x".into())), vec![old], false),
            (
                SuppressionScope {
                    site: Some(SiteId("shop".into())),
                    ..scope()
                },
                vec![],
                true,
            ),
        ] {
            assert_eq!(covers_it(scope.clone(), &urls), expected, "{scope} {urls:?}");
        }
    }

    #[test]
    fn time_and_a_new_check_end_it() {
        let later = NOW + jiff::SignedDuration::from_hours(1);
        let mut suppression = suppression(SuppressionScope::default());
        suppression.until = Some(later);
        assert!(suppression.holds(NOW, 1, Confidence::Firm));
        assert!(
            !suppression.holds(later, 1, Confidence::Firm),
            "the end is not part of it"
        );
        suppression.until = None;
        suppression.check_version_then = Some(1);
        assert!(suppression.holds(later, 2, Confidence::Firm), "a risk stays accepted");
        suppression.decision = Decision::FalsePositive;
        assert!(suppression.holds(later, 1, Confidence::Firm) && !suppression.holds(later, 2, Confidence::Firm));
        suppression.confidence_then = Some(Confidence::Tentative);
        assert!(suppression.holds(later, 1, Confidence::Tentative));
        assert!(
            !suppression.holds(later, 1, Confidence::Firm),
            "what was seen makes it surer"
        );
    }

    #[test]
    fn the_same_words_are_the_same_suppression() {
        let one = suppression(SuppressionScope::default());
        assert_eq!(one.id.len(), 12);
        assert_eq!(one.id, suppression(SuppressionScope::default()).id);
        let other = Suppression {
            reason: "another".into(),
            ..one.clone()
        };
        assert_ne!(other.identified().id, one.id);
    }

    #[test]
    fn what_cannot_be_recorded_is_told() {
        let check = SuppressionScope {
            check: Some("mixed-content".into()),
            ..SuppressionScope::default()
        };
        assert_eq!(suppression(check.clone()).check(NOW), Ok(()));
        assert_eq!(
            suppression(SuppressionScope::default()).check(NOW),
            Err(BadSuppression::Empty)
        );
        let mut unsigned = suppression(check.clone());
        unsigned.author = " ".into();
        assert_eq!(unsigned.check(NOW), Err(BadSuppression::Anonymous));
        let mut over = suppression(check.clone());
        over.until = Some(NOW);
        assert_eq!(
            over.check(NOW),
            Err(BadSuppression::Over("1970-01-01 00:00 UTC".into()))
        );
        let odd = suppression(SuppressionScope {
            pages: vec!["blog".into()],
            ..check
        });
        assert!(matches!(odd.check(NOW), Err(BadSuppression::Pattern(_))));
        let mistyped = suppression(SuppressionScope {
            check: Some("mixed-contents".to_owned()),
            ..SuppressionScope::default()
        });
        let error = mistyped.check(NOW).unwrap_err().to_string();
        assert!(
            error.contains("`mixed-contents`; there are") && error.contains("mixed-content,"),
            "{error}"
        );
    }
}
