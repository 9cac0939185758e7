//! Findings and decisions in `DefectDojo`'s "Generic Findings Import" JSON, so that what was decided elsewhere is kept.
//!
//! An export holds only the fields that `DefectDojo`'s importer knows, as it refuses files with others. An import takes
//! decisions about findings that are known here, and nothing else: it never makes a finding, and it never calls one
//! fixed, since that needs proof. What it did not take it says.

use std::collections::BTreeMap;

use jiff::Timestamp;
use phantom_checks::{Confidence, Severity};
use serde_json::{Value, json};

use crate::config::parse_end_of_day;

use super::{DecidedIn, Decision, Finding, FindingState, Fingerprint, Suppression, SuppressionScope};

/// Stands between the person and the reason in an exported decision.
const DECIDED: &str = " decided: ";
/// The longest reason that is taken over, in characters.
const LONGEST_REASON: usize = 1_000;
/// The longest name of a person, likewise.
const LONGEST_NAME: usize = 200;

/// A finding that is exported, with what belongs to it.
#[derive(Debug, Clone)]
pub struct Exported<'a> {
    /// The finding.
    pub finding: &'a Finding,
    /// Pages on which it was seen.
    pub pages: &'a [String],
    /// On how many pages it was seen in all.
    pub pages_total: u64,
    /// Where its ticket is.
    pub ticket: Option<&'a str>,
    /// The decision in effect.
    pub suppression: Option<&'a Suppression>,
}

/// The file: a JSON object with `findings`.
pub fn export(findings: &[Exported<'_>]) -> Value {
    let findings: Vec<Value> = findings.iter().map(one).collect();
    json!({
        "name": "Phantom Gang",
        "type": "Phantom Gang",
        "version": env!("CARGO_PKG_VERSION"),
        "findings": findings,
    })
}

fn one(exported: &Exported<'_>) -> Value {
    let finding = exported.finding;
    let decision = exported.suppression.map(|suppression| suppression.decision);
    let meta = phantom_checks::by_id(&finding.check).map(phantom_checks::Check::meta);
    let docs = meta.map(phantom_checks::Meta::docs);
    let text = |heading| {
        docs.as_ref()
            .map(|docs| docs.section(heading))
            .unwrap_or_default()
            .to_owned()
    };
    let accepted = matches!(
        decision,
        Some(Decision::WontFix | Decision::Ignored | Decision::Duplicate)
    );
    let mut fields = json!({
        "title": finding.title,
        "severity": dojo_severity(finding.severity),
        "description": description(finding),
        "date": finding.first_seen.strftime("%Y-%m-%d").to_string(),
        "impact": text("Why it matters"),
        "mitigation": text("How to fix"),
        "active": finding.state.is_open(),
        "verified": finding.confidence == Confidence::Certain,
        "false_p": decision == Some(Decision::FalsePositive),
        "risk_accepted": accepted,
        "out_of_scope": decision == Some(Decision::OutOfScope),
        "is_mitigated": finding.state == FindingState::Fixed,
        "static_finding": false,
        "dynamic_finding": true,
        "unique_id_from_tool": finding.fingerprint,
        "vuln_id_from_tool": finding.check,
        "service": finding.site,
        "nb_occurences": exported.pages_total,
        "endpoints": exported.pages,
        "tags": ["phantom-gang"],
    });
    let mut set = |name: &str, value: Option<Value>| {
        if let (Some(value), Some(fields)) = (value, fields.as_object_mut()) {
            fields.insert(name.to_owned(), value);
        }
    };
    set("cwe", meta.map(|meta| json!(meta.cwe)));
    set("references", exported.ticket.map(|url| json!(url)));
    let fixed = finding.past.fixed.filter(|_| finding.state == FindingState::Fixed);
    set("mitigated", fixed.map(|at| json!(at.to_string())));
    let justified = exported
        .suppression
        .map(|it| json!(format!("{}{DECIDED}{}", it.author, it.reason)));
    set("severity_justification", justified);
    fields
}

fn description(finding: &Finding) -> String {
    let mut lines = vec![finding.title.clone(), String::new()];
    for fact in &finding.facts {
        lines.push(format!("- {}: `{}`", fact.label, fact.value.replace('`', "'")));
    }
    lines.push(format!("- cause: `{}`", finding.cause.to_string().replace('`', "'")));
    lines.join("\n")
}

fn dojo_severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "Info",
        Severity::Low => "Low",
        Severity::Medium => "Medium",
        Severity::High => "High",
        Severity::Critical => "Critical",
    }
}

/// The fields that say what was decided; the first that is true counts.
const DECISIONS: [(&str, Decision); 4] = [
    ("false_p", Decision::FalsePositive),
    ("out_of_scope", Decision::OutOfScope),
    ("duplicate", Decision::Duplicate),
    ("risk_accepted", Decision::WontFix),
];

/// What is read of an imported finding. A field that cannot be read is as if it were not there.
#[derive(Debug, Clone, Default)]
struct Incoming {
    title: String,
    unique_id_from_tool: Option<String>,
    decision: Option<Decision>,
    is_mitigated: bool,
    severity_justification: Option<String>,
    notes: Vec<Note>,
    /// When each acceptance of the risk ends; `None` if it does not.
    acceptances: Vec<Option<Timestamp>>,
}

#[derive(Debug, Clone, Default)]
struct Note {
    entry: String,
    author: Option<String>,
    date: Option<Timestamp>,
}

fn text(entry: &Value, name: &str) -> Option<String> {
    entry.get(name)?.as_str().map(str::to_owned)
}

/// A time, or the end of a day.
fn moment(entry: &Value, name: &str) -> Option<Timestamp> {
    let text = entry.get(name)?.as_str()?;
    text.parse().ok().or_else(|| parse_end_of_day(text))
}

impl Incoming {
    /// `None` if the entry is no object.
    fn read(entry: &Value) -> Option<Self> {
        entry.as_object()?;
        let flag = |name: &str| entry.get(name).and_then(Value::as_bool) == Some(true);
        let list = |name: &str| entry.get(name).and_then(Value::as_array).into_iter().flatten();
        Some(Self {
            title: text(entry, "title").unwrap_or_default(),
            unique_id_from_tool: text(entry, "unique_id_from_tool"),
            decision: DECISIONS
                .into_iter()
                .find_map(|(name, decision)| flag(name).then_some(decision)),
            is_mitigated: flag("is_mitigated"),
            severity_justification: text(entry, "severity_justification"),
            notes: list("notes")
                .map(|note| Note {
                    entry: text(note, "entry").unwrap_or_default(),
                    author: text(note, "author")
                        .or_else(|| text(note.get("author")?, "username"))
                        .filter(|name| !name.trim().is_empty()),
                    date: moment(note, "date"),
                })
                .collect(),
            acceptances: list("accepted_risks")
                .map(|one| moment(one, "expiration_date"))
                .collect(),
        })
    }

    /// When the acceptance of the risk ends: the last of several; never, if one does not.
    fn accepted_until(&self) -> Option<Timestamp> {
        let ends: Option<Vec<Timestamp>> = self.acceptances.iter().copied().collect();
        ends?.into_iter().max()
    }
}

/// Why a file cannot be imported at all.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// It is no JSON.
    #[error("this is not JSON: {0}; export the findings as \"Generic Findings Import\" JSON")]
    NotJson(#[from] serde_json::Error),
    /// It has no list of findings.
    #[error("there is no list `findings` in it; export the findings as \"Generic Findings Import\" JSON")]
    NoFindings,
}

/// What an import comes to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Import {
    /// Decisions to record.
    pub taken: Vec<Suppression>,
    /// Decisions that are recorded already.
    pub known: u64,
    /// Entries without a decision.
    pub undecided: u64,
    /// What was not taken, and why, as sentences. Untrusted.
    pub refused: Vec<String>,
}

/// Reads decisions from a file. `findings` are those known here, `before` the suppressions there are, `by` who is named
/// where the file does not say who decided.
pub fn import(
    text: &str,
    findings: &[Finding],
    before: &[Suppression],
    by: &str,
    now: Timestamp,
) -> Result<Import, ImportError> {
    let file: Value = serde_json::from_str(text)?;
    let entries = ["findings", "results"]
        .iter()
        .find_map(|key| file.get(key)?.as_array())
        .ok_or(ImportError::NoFindings)?;
    let by_fingerprint: BTreeMap<&Fingerprint, &Finding> =
        findings.iter().map(|finding| (&finding.fingerprint, finding)).collect();
    let by_alias: BTreeMap<&Fingerprint, &Finding> = findings
        .iter()
        .flat_map(|finding| finding.past.aliases.iter().map(move |alias| (alias, finding)))
        .collect();
    let mut import = Import::default();
    for (index, entry) in entries.iter().enumerate() {
        let Some(incoming) = Incoming::read(entry) else {
            import.refused.push(format!("entry {}: is no finding", index + 1));
            continue;
        };
        let place = format!("entry {} ({})", index + 1, cut(&incoming.title, 80));
        let Some(id) = incoming.unique_id_from_tool.as_deref().filter(|id| !id.is_empty()) else {
            import.refused.push(format!(
                "{place}: has no unique_id_from_tool, so it cannot be told which finding it is"
            ));
            continue;
        };
        let id = Fingerprint(id.to_owned());
        let Some(finding) = by_fingerprint.get(&id).or_else(|| by_alias.get(&id)) else {
            import.refused.push(format!(
                "{place}: no finding {} is known here; nothing was made of it",
                cut(&id.0, 40)
            ));
            continue;
        };
        take(&mut import, &incoming, finding, &place, (before, by, now));
    }
    Ok(import)
}

fn take(
    import: &mut Import,
    incoming: &Incoming,
    finding: &Finding,
    place: &str,
    (before, by, now): (&[Suppression], &str, Timestamp),
) {
    let Some(decision) = incoming.decision else {
        if incoming.is_mitigated && finding.state.is_open() {
            import.refused.push(format!(
                "{place}: is mitigated there and open here; a scan must prove it fixed"
            ));
        } else {
            import.undecided += 1;
        }
        return;
    };
    let until = incoming.accepted_until().filter(|_| decision == Decision::WontFix);
    if let Some(until) = until.filter(|until| *until <= now) {
        let day = until.strftime("%Y-%m-%d");
        let why = format!("{place}: its risk was accepted until {day}, which is over");
        import.refused.push(why);
        return;
    }
    let (author, reason, created) = said(incoming, decision, by, now);
    let suppression = Suppression {
        decided_in: DecidedIn::Import,
        until,
        ..Suppression::new(
            SuppressionScope::finding(finding.fingerprint.clone()),
            decision,
            reason,
            author,
            created,
        )
    }
    .about(finding)
    .identified();
    let same = |known: &Suppression| {
        known.scope == suppression.scope
            && known.decision == suppression.decision
            && known.holds(now, finding.check_version, finding.confidence)
    };
    if before.iter().chain(&import.taken).any(same) {
        import.known += 1;
    } else {
        import.taken.push(suppression);
    }
}

/// Who decided, why and when, as far as the entry says.
fn said(incoming: &Incoming, decision: Decision, by: &str, now: Timestamp) -> (String, String, Timestamp) {
    let justified = incoming
        .severity_justification
        .as_deref()
        .map(str::trim)
        .filter(|text| !text.is_empty());
    if let Some(text) = justified {
        let (author, reason) = match text.split_once(DECIDED) {
            Some((author, reason)) if !author.is_empty() => (author, reason),
            _ => (by, text),
        };
        return (cut(author, LONGEST_NAME), cut(reason, LONGEST_REASON), now);
    }
    if let Some(note) = incoming.notes.iter().rfind(|note| !note.entry.trim().is_empty()) {
        let author = note.author.as_deref().unwrap_or(by);
        // What was decided tomorrow was decided by a clock that is wrong.
        let at = note.date.unwrap_or(now).min(now);
        return (cut(author, LONGEST_NAME), cut(note.entry.trim(), LONGEST_REASON), at);
    }
    (
        by.to_owned(),
        format!("{} there; no reason was given", decision.words()),
        now,
    )
}

fn cut(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::finding;
    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;
    /// What the importer of `DefectDojo` 2.5x takes; it refuses a file with any other field.
    const ALLOWED: [&str; 47] = [
        "title",
        "severity",
        "description",
        "date",
        "cwe",
        "cve",
        "epss_score",
        "epss_percentile",
        "cvssv3",
        "cvssv3_score",
        "cvssv4",
        "cvssv4_score",
        "mitigation",
        "impact",
        "steps_to_reproduce",
        "severity_justification",
        "references",
        "active",
        "verified",
        "false_p",
        "out_of_scope",
        "risk_accepted",
        "under_review",
        "is_mitigated",
        "thread_id",
        "mitigated",
        "numerical_severity",
        "param",
        "payload",
        "line",
        "file_path",
        "component_name",
        "component_version",
        "static_finding",
        "dynamic_finding",
        "scanner_confidence",
        "unique_id_from_tool",
        "vuln_id_from_tool",
        "sast_source_object",
        "sast_sink_object",
        "nb_occurences",
        "publish_date",
        "service",
        "planned_remediation_date",
        "tags",
        "endpoints",
        "cwes",
    ];

    fn decided(finding: &Finding, decision: Decision) -> Suppression {
        Suppression::new(
            SuppressionScope::finding(finding.fingerprint.clone()),
            decision,
            "an archive; to be retired",
            "web@shop.test",
            NOW,
        )
        .about(finding)
    }

    fn exported(finding: &Finding, suppression: Option<&Suppression>) -> Value {
        export(&[Exported {
            finding,
            pages: &["https://shop.test/a".to_owned()],
            pages_total: 4,
            ticket: Some("https://jira.test/browse/SEC-1"),
            suppression,
        }])
    }

    #[test]
    fn an_export_is_what_the_importer_takes() {
        let mut one = finding("cdn.test", FindingState::Fixed);
        one.past.fixed = Some(NOW);
        let suppression = decided(&one, Decision::WontFix);
        let file = exported(&one, Some(&suppression));
        let entry = file["findings"][0].as_object().unwrap();
        for name in entry.keys() {
            assert!(ALLOWED.contains(&name.as_str()), "{name}");
        }
        for (name, expected) in [
            ("severity", json!("High")),
            ("date", json!("1970-01-01")),
            ("unique_id_from_tool", json!(one.fingerprint)),
            ("active", json!(false)),
            ("is_mitigated", json!(true)),
            ("risk_accepted", json!(true)),
            ("false_p", json!(false)),
            ("nb_occurences", json!(4)),
        ] {
            assert_eq!(entry[name], expected, "{name}");
        }
    }

    #[test]
    fn decisions_go_round() {
        for decision in [Decision::WontFix, Decision::FalsePositive, Decision::OutOfScope] {
            let one = finding("cdn.test", FindingState::Suppressed);
            let suppression = decided(&one, decision);
            let file = exported(&one, Some(&suppression)).to_string();
            let back = import(&file, std::slice::from_ref(&one), &[], "nobody", NOW).unwrap();
            let [taken] = back.taken.as_slice() else {
                panic!("{back:?}")
            };
            assert_eq!(
                (
                    taken.decision,
                    taken.author.as_str(),
                    taken.reason.as_str(),
                    taken.decided_in
                ),
                (
                    decision,
                    "web@shop.test",
                    "an archive; to be retired",
                    DecidedIn::Import
                )
            );
            assert_eq!(taken.scope, suppression.scope);
            let again = import(&file, &[one], &back.taken, "nobody", NOW).unwrap();
            assert_eq!((again.taken.len(), again.known), (0, 1), "nothing is decided twice");
        }
    }

    #[test]
    fn what_is_not_taken_is_said() {
        let mut one = finding("cdn.test", FindingState::Seen);
        one.past.aliases = vec![Fingerprint("old".into())];
        let entries = json!({"findings": [
            {"title": "stranger", "unique_id_from_tool": "feed", "false_p": true},
            {"title": "nameless", "false_p": true},
            {"title": "odd", "unique_id_from_tool": 7},
            {"title": "mended", "unique_id_from_tool": one.fingerprint, "is_mitigated": true},
            {"title": "open", "unique_id_from_tool": one.fingerprint, "active": true, "false_p": null},
            {"title": "by its old name", "unique_id_from_tool": "old", "duplicate": true, "notes": [
                {"entry": "see 12", "author": {"username": "ann"}, "date": "2026-11-01T10:00:00Z"}
            ]},
        ]});
        let now = "2026-11-20T00:00:00Z".parse().unwrap();
        let import = import(&entries.to_string(), &[one], &[], "me", now).unwrap();
        assert_eq!((import.taken.len(), import.undecided, import.refused.len()), (1, 1, 4));
        let taken = &import.taken[0];
        assert_eq!(
            (taken.decision, taken.author.as_str(), taken.reason.as_str()),
            (Decision::Duplicate, "ann", "see 12")
        );
        assert_eq!(taken.created.to_string(), "2026-11-01T10:00:00Z");
        for (refused, part) in import
            .refused
            .iter()
            .zip(["no finding feed", "no unique_id", "entry 3", "must prove"])
        {
            assert!(refused.contains(part), "{refused}");
        }
    }

    #[test]
    fn odd_values_lose_themselves_and_not_the_decision() {
        let one = finding("cdn.test", FindingState::Seen);
        let now: Timestamp = "2026-11-20T00:00:00Z".parse().unwrap();
        let taken = |entry: Value| {
            let mut entry = entry;
            entry["unique_id_from_tool"] = json!(one.fingerprint);
            let file = json!({ "results": [entry] }).to_string();
            import(&file, std::slice::from_ref(&one), &[], "me", now).unwrap()
        };
        for odd in [
            json!({"false_p": true, "title": null, "notes": null}),
            json!({"false_p": true, "title": 7, "notes": {}, "severity_justification": []}),
            json!({"false_p": true, "notes": [null, 1, {"entry": 3}, {"entry": "seen", "author": 12, "date": 5}]}),
            json!({"false_p": true, "risk_accepted": "yes", "duplicate": 1, "is_mitigated": null}),
        ] {
            let import = taken(odd.clone());
            assert_eq!(import.taken.len(), 1, "{odd}: {:?}", import.refused);
            assert_eq!(
                (import.taken[0].decision, import.taken[0].author.as_str()),
                (Decision::FalsePositive, "me")
            );
        }
        let long = "x".repeat(1 << 20);
        let late = json!({"entry": long, "author": {"username": long}, "date": "2099-01-01T00:00:00Z"});
        let import = taken(json!({"out_of_scope": true, "notes": [late]}));
        let decided = &import.taken[0];
        assert_eq!(
            (decided.author.len(), decided.reason.len(), decided.created),
            (200, 1_000, now)
        );
        assert_eq!(taken(json!({"false_p": "true"})).undecided, 1, "only what is true is");
    }

    #[test]
    fn an_accepted_risk_is_accepted_as_long_as_it_is_there() {
        let one = finding("cdn.test", FindingState::Seen);
        let now: Timestamp = "2026-11-20T00:00:00Z".parse().unwrap();
        let of = |ends: Value| {
            let entry = json!({"unique_id_from_tool": one.fingerprint, "risk_accepted": true, "accepted_risks": ends});
            let file = json!({ "results": [entry] }).to_string();
            import(&file, std::slice::from_ref(&one), &[], "me", now).unwrap()
        };
        let until = |ends: Value| of(ends).taken[0].until.map(|end| end.to_string());
        let end = |text: &str| json!({ "expiration_date": text });
        assert_eq!(until(json!([])), None);
        let two = json!([end("2026-12-01T00:00:00Z"), end("2027-01-31")]);
        assert_eq!(until(two).as_deref(), Some("2027-02-01T00:00:00Z"));
        assert_eq!(
            until(json!([end("2026-12-01T00:00:00Z"), {"expiration_date": null}])),
            None
        );
        let over = of(json!([end("2026-11-01T00:00:00Z")]));
        assert!(
            over.taken.is_empty() && over.refused[0].contains("which is over"),
            "{over:?}"
        );
    }

    #[test]
    fn what_is_no_such_file_is_told() {
        for text in ["", "[]", "{}", "{\"findings\": 1}"] {
            let error = import(text, &[], &[], "me", NOW).unwrap_err().to_string();
            assert!(error.contains("Generic Findings Import"), "{error}");
        }
    }
}
