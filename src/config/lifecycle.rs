//! `[jira.lifecycle]` and `[[jira.route]]`: what happens to tickets through time, and where they are filed.

use std::collections::BTreeMap;
use std::time::Duration;

use phantom_checks::Confidence;

use super::load::{CONFIDENCES, project_key, ticket_label};
use super::raw::{Section, Value, Wrong};
use super::{TicketDefaults, kinds};
use crate::site::PagePatterns;

const DAY: Duration = Duration::from_hours(24);
const TEN_YEARS: Duration = Duration::from_hours(24 * 3_650);

/// What happens to tickets through time.
#[derive(Debug, Clone, PartialEq)]
pub struct Lifecycle {
    /// What happens to the open ticket of a finding that is proved fixed.
    pub resolve: Resolve,
    /// Names of transitions into done, the preferred first; any other that leads there is taken last.
    pub resolve_transitions: Vec<String>,
    /// The resolution that is given where the transition's screen asks for one.
    pub resolve_resolution: Option<String>,
    /// Clean scans in a row that prove a finding fixed, at least 1.
    pub resolve_after_clean_scans: u32,
    /// Names of transitions out of done, the preferred first; any other that leads out is taken last.
    pub reopen_transitions: Vec<String>,
    /// A ticket closed longer ago is not reopened; a new generation follows it.
    pub reopen_window: Duration,
    /// A scan that began sooner after a ticket was closed does not speak against that: the fix may not be out yet.
    pub reopen_grace: Duration,
    /// Resolutions that say: do not report this.
    pub suppress_resolutions: Vec<String>,
    /// The label that says so on tickets in any status.
    pub suppress_label: String,
    /// How long a resolution of that kind holds, by its name; `None` means for ever.
    pub suppress_expiry: BTreeMap<String, Option<Duration>>,
    /// How long those hold that are not named.
    pub suppress_expiry_default: Option<Duration>,
    /// Tickets that are created in a project on one day (UTC) at most.
    pub max_new_per_day: u32,
    /// The share of a project's tickets, 0 to 1, that one run may create, reopen and resolve.
    pub breaker_share: f64,
    /// What happens to what the first whole scan of a site found.
    pub baseline: Baseline,
    /// What `phantom verify` comes to is said in a comment, without being asked.
    pub verify_comment: bool,
    /// Findings of these checks are filed from this confidence on.
    pub min_confidence_for: BTreeMap<String, Confidence>,
}

/// What happens to the open ticket of a finding that is proved fixed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolve {
    /// A comment says so; a person closes it.
    Comment,
    /// A comment says so, and the ticket is moved to done.
    Transition,
    /// Nothing.
    Never,
}

/// What happens to what the first whole scan of a site found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Baseline {
    /// It is filed at once, within the cap of a day.
    File,
    /// It is recorded, and from the next day on filed at this pace, the worst first.
    Release {
        /// Tickets in seven days, at least 1.
        per_week: u32,
    },
}

impl Default for Lifecycle {
    fn default() -> Self {
        let names = |list: &[&str]| list.iter().map(|&name| name.to_owned()).collect();
        Self {
            resolve: Resolve::Comment,
            resolve_transitions: names(&["Resolve", "Done"]),
            resolve_resolution: None,
            resolve_after_clean_scans: crate::triage::CLEAN_SCANS,
            reopen_transitions: names(&["Reopen", "To Do"]),
            reopen_window: DAY * 90,
            reopen_grace: DAY * 2,
            suppress_resolutions: names(&["Won't Fix", "Won't Do", "False Positive", "Duplicate"]),
            suppress_label: "phantom-ignore".to_owned(),
            suppress_expiry: BTreeMap::new(),
            suppress_expiry_default: None,
            max_new_per_day: 20,
            breaker_share: 0.1,
            baseline: Baseline::File,
            verify_comment: false,
            min_confidence_for: BTreeMap::new(),
        }
    }
}

impl Lifecycle {
    /// How long a decision with this resolution holds; `None` means for ever.
    pub fn expiry(&self, resolution: &str) -> Option<Duration> {
        let named = self
            .suppress_expiry
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(resolution));
        named.map_or(self.suppress_expiry_default, |(_, expiry)| *expiry)
    }
}

/// Where the tickets of some findings go. All that is named must hold.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Route {
    /// Ids of sites; `*` stands for any run of characters. Empty means all.
    pub sites: Vec<String>,
    /// Patterns of pages, as in a site's scope; one page that matches is enough. Empty means all.
    pub paths: Vec<String>,
    /// Values that the cause is made of, such as the host of a resource; `*` as above. Empty means all.
    pub causes: Vec<String>,
    /// Ids of checks; `*` as above. Empty means all.
    pub checks: Vec<String>,
    /// The project's key; without it, that of the defaults.
    pub project: Option<String>,
    /// The name of the issue type; without it, that of the defaults.
    pub issue_type: Option<String>,
    /// Names of components; without them, those of the defaults.
    pub components: Option<Vec<String>>,
    /// An account id (Cloud) or user name (Data Center); without it, that of the defaults.
    pub assignee: Option<String>,
    /// The name of a security level; without it, that of the defaults.
    pub security_level: Option<String>,
    /// The key of the issue that the tickets are part of; without it, that of the defaults.
    pub parent: Option<String>,
    /// Labels beside those of the defaults.
    pub labels: Vec<String>,
}

impl Route {
    /// The defaults with what this route says instead.
    pub fn over(&self, defaults: &TicketDefaults) -> TicketDefaults {
        let mut routed = defaults.clone();
        if let Some(project) = &self.project {
            routed.project.clone_from(project);
        }
        if let Some(issue_type) = &self.issue_type {
            routed.issue_type.clone_from(issue_type);
        }
        if let Some(components) = &self.components {
            routed.components.clone_from(components);
        }
        routed.assignee = self.assignee.clone().or(routed.assignee);
        routed.security_level = self.security_level.clone().or(routed.security_level);
        routed.parent = self.parent.clone().or(routed.parent);
        routed.labels.extend(self.labels.iter().cloned());
        routed
    }
}

pub(super) fn lifecycle(mut section: Section<'_>) -> Lifecycle {
    let default = Lifecycle::default();
    let modes = [
        ("comment", Resolve::Comment),
        ("transition", Resolve::Transition),
        ("never", Resolve::Never),
    ];
    let names = || kinds::some_of(kinds::text);
    let expiry = section.pairs("suppress_expiry", |name, value| Ok((name.to_owned(), expiry(value)?)));
    let mut expiry: BTreeMap<_, _> = expiry.unwrap_or_default().into_iter().collect();
    let read = Lifecycle {
        resolve: section
            .get("resolve", kinds::word(&modes, &[]))
            .unwrap_or(default.resolve),
        resolve_transitions: section
            .get("resolve_transitions", names())
            .unwrap_or(default.resolve_transitions),
        resolve_resolution: section.get("resolve_resolution", kinds::text),
        resolve_after_clean_scans: section
            .get("resolve_after_clean_scans", kinds::whole(1..=100_u32))
            .unwrap_or(default.resolve_after_clean_scans),
        reopen_transitions: section
            .get("reopen_transitions", names())
            .unwrap_or(default.reopen_transitions),
        reopen_window: section
            .get("reopen_window", kinds::duration(Duration::ZERO..=TEN_YEARS))
            .unwrap_or(default.reopen_window),
        reopen_grace: section
            .get("reopen_grace", kinds::duration(Duration::ZERO..=DAY * 365))
            .unwrap_or(default.reopen_grace),
        suppress_resolutions: section
            .get("suppress_resolutions", kinds::list(kinds::text))
            .unwrap_or(default.suppress_resolutions),
        suppress_label: section
            .get("suppress_label", ticket_label)
            .unwrap_or(default.suppress_label),
        suppress_expiry_default: expiry.remove("default").flatten(),
        suppress_expiry: expiry,
        max_new_per_day: section
            .get("max_new_per_day", kinds::whole(1..=100_000_u32))
            .unwrap_or(default.max_new_per_day),
        breaker_share: section
            .get("breaker_share", kinds::number(0.0..=1.0))
            .unwrap_or(default.breaker_share),
        baseline: baseline(&mut section),
        verify_comment: section
            .get("verify_comment", kinds::flag)
            .unwrap_or(default.verify_comment),
        min_confidence_for: section
            .pairs("min_confidence_for", confidence_for)
            .unwrap_or_default()
            .into_iter()
            .collect(),
    };
    for name in read.suppress_expiry.keys() {
        let known = read
            .suppress_resolutions
            .iter()
            .any(|one| one.eq_ignore_ascii_case(name));
        if !known {
            let is = format!("names {name:?}, which is not in `suppress_resolutions`");
            section.report("suppress_expiry", Wrong::new(is, "add it there, or remove it here"));
        }
    }
    section.finish(&[]);
    read
}

fn expiry(value: Value<'_>) -> Result<Option<Duration>, Wrong> {
    if kinds::string(value, "a duration such as \"180d\", or \"never\"")? == "never" {
        return Ok(None);
    }
    kinds::duration(DAY..=TEN_YEARS)(value).map(Some)
}

fn confidence_for(check: &str, value: Value<'_>) -> Result<(String, Confidence), Wrong> {
    if phantom_checks::by_id(check).is_none() {
        return Err(Wrong::new(
            "is not the id of a check",
            "write a check's id as the key, as reports show it",
        ));
    }
    Ok((check.to_owned(), kinds::parsed(CONFIDENCES)(value)?))
}

/// `"file"`, or a table with a pace.
fn baseline(section: &mut Section<'_>) -> Baseline {
    let is_word = |value: Value<'_>| Ok(matches!(value.get_ref(), toml::de::DeValue::String(_)));
    match section.get("baseline", is_word) {
        None => Baseline::File,
        Some(true) => section
            .get("baseline", kinds::word(&[("file", Baseline::File)], &[]))
            .unwrap_or(Baseline::File),
        Some(false) => {
            let Some(mut table) = section.section("baseline") else {
                return Baseline::File;
            };
            table.require("release", "\"high-first\"", kinds::word(&[("high-first", ())], &[]));
            let per_week = table.get("per_week", kinds::whole(1..=100_000_u32)).unwrap_or(20);
            table.finish(&[]);
            Baseline::Release { per_week }
        }
    }
}

pub(super) fn route(mut section: Section<'_>) -> Route {
    let globs = || kinds::some_of(kinds::text);
    let route = Route {
        sites: section.get("sites", globs()).unwrap_or_default(),
        paths: section.get("paths", kinds::some_of(page_pattern)).unwrap_or_default(),
        causes: section.get("causes", globs()).unwrap_or_default(),
        checks: section.get("checks", globs()).unwrap_or_default(),
        project: section.get("project", project_key),
        issue_type: section.get("issue_type", kinds::text),
        components: section.get("components", kinds::list(kinds::text)),
        assignee: section.get("assignee", kinds::text),
        security_level: section.get("security_level", kinds::text),
        parent: section.get("parent", issue_key),
        labels: section.get("labels", kinds::list(ticket_label)).unwrap_or_default(),
    };
    let says_where = ["sites", "paths", "causes", "checks"];
    if !says_where.iter().any(|key| section.has(key)) {
        section.report_whole(
            "matches everything",
            "name `sites`, `paths`, `causes` or `checks`, or write it into [jira.defaults]",
        );
    }
    section.finish(&[]);
    route
}

fn page_pattern(value: Value<'_>) -> Result<String, Wrong> {
    let text = kinds::text(value)?;
    match PagePatterns::new(std::slice::from_ref(&text)) {
        Ok(_) => Ok(text),
        Err(error) => Err(kinds::quoted(&text, error.to_string())),
    }
}

/// `SEC-1`.
pub(super) fn issue_key(value: Value<'_>) -> Result<String, Wrong> {
    let text = kinds::text(value)?;
    let whole = text.rsplit_once('-').is_some_and(|(project, number)| {
        project.starts_with(|c: char| c.is_ascii_uppercase())
            && !number.is_empty()
            && number.bytes().all(|b| b.is_ascii_digit())
    });
    if whole {
        Ok(text)
    } else {
        Err(kinds::quoted(&text, "write an issue's key such as \"SEC-1\""))
    }
}
