//! SARIF 2.1.0, which code scanning pages read: checks are rules, findings are results.
//!
//! The fingerprint stands in `partialFingerprints`, so that a finding is the same from one upload to the next.

use std::collections::BTreeMap;

use phantom_checks::{Confidence, Severity, by_id};
use serde_json::{Value, json};
use url::Url;

use super::json::safe_json;
use super::model::{FindingPart, SuppressedPart};
use super::safe::visible;
use super::{Format, Report, ReportError};
use crate::scan::ScanState;
use crate::triage::FindingState;

/// The format.
pub const FORMAT: Format = Format { name: "sarif", render };

/// The locations of a result; readers refuse many.
const MOST_LOCATIONS: usize = 10;
/// Under which our fingerprints stand.
const FINGERPRINT: &str = "phantomGang/v1";

fn render(report: &Report) -> Result<String, ReportError> {
    let suppressed = report.suppressed.iter().map(|part| &part.finding);
    let rules = rules(report.findings.iter().chain(suppressed), report);
    let index: BTreeMap<&str, usize> = rules
        .iter()
        .enumerate()
        .filter_map(|(at, rule)| Some((rule["id"].as_str()?, at)))
        .collect();
    let open = report.findings.iter().map(|finding| result(finding, &index));
    let closed = report.suppressed.iter().map(|part| suppressed_result(part, &index));
    let results: Vec<Value> = open.chain(closed).collect();
    let sarif = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": report.tool.name,
                "version": report.tool.version,
                "semanticVersion": report.tool.version,
                "rules": rules,
            }},
            "automationDetails": { "id": format!("phantom-gang/{}/{}", report.scan.site, report.scan.id) },
            "invocations": [invocation(report)],
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    });
    safe_json(&sarif).map_err(|error| ReportError::Render {
        format: "sarif",
        why: error.to_string(),
    })
}

/// The checks that ran or found something, in the order of reports.
fn rules<'a>(findings: impl Iterator<Item = &'a FindingPart>, report: &Report) -> Vec<Value> {
    // What a check is usually rated, unless a finding of it is worse: code scanning pages sort by the rule.
    let mut worst: BTreeMap<&str, Severity> = BTreeMap::new();
    for run in &report.checks {
        let usual = by_id(&run.id).map_or(Severity::Info, |check| check.meta().severity);
        worst.insert(&run.id, usual);
    }
    for finding in findings {
        let severity = worst.entry(&finding.check).or_insert(finding.severity);
        *severity = (*severity).max(finding.severity);
    }
    worst.into_iter().map(|(id, severity)| rule(id, severity)).collect()
}

fn rule(id: &str, severity: Severity) -> Value {
    let mut tags = vec!["security".to_owned()];
    let mut rule = json!({ "id": id });
    if let Some(check) = by_id(id) {
        let meta = check.meta();
        let docs = meta.docs();
        tags.push(format!("external/cwe/cwe-{}", meta.cwe));
        let help: Vec<String> = docs
            .sections()
            .map(|(heading, text)| format!("# {heading}\n\n{text}"))
            .collect();
        let help = help.join("\n\n");
        rule["shortDescription"] = json!({ "text": meta.title });
        rule["fullDescription"] = json!({ "text": docs.section("What it looks for") });
        rule["help"] = json!({ "text": help, "markdown": help });
        rule["helpUri"] = json!(format!("https://cwe.mitre.org/data/definitions/{}.html", meta.cwe));
        rule["defaultConfiguration"] = json!({ "level": level(meta.severity) });
    }
    rule["properties"] = json!({ "tags": tags, "security-severity": score(severity) });
    rule
}

fn result(finding: &FindingPart, index: &BTreeMap<&str, usize>) -> Value {
    let locations: Vec<Value> = finding
        .pages
        .iter()
        .filter_map(|page| Url::parse(&page.url).ok())
        .take(MOST_LOCATIONS)
        .map(|url| json!({ "physicalLocation": { "artifactLocation": { "uri": url.as_str() } } }))
        .collect();
    let facts: Vec<String> = finding
        .facts
        .iter()
        .map(|fact| format!("{}: {}", fact.label, fact.value))
        .collect();
    let text = format!("{}\n\n{}", finding.title, facts.join("\n"));
    let mut result = json!({
        "ruleId": finding.check,
        "kind": "fail",
        "level": level(finding.severity),
        "message": { "text": visible(text.trim()) },
        "locations": locations,
        "partialFingerprints": { (FINGERPRINT): finding.fingerprint },
        "baselineState": match finding.state {
            FindingState::New => "new",
            _ => "unchanged",
        },
        "rank": rank(finding.confidence),
        "properties": {
            "severity": finding.severity,
            "confidence": finding.confidence,
            "state": finding.state,
            "pages": finding.pages_total,
            "thirdParty": finding.third_party,
            "security-severity": score(finding.severity),
        },
    });
    if let Some(at) = index.get(finding.check.as_str()) {
        result["ruleIndex"] = json!(at);
    }
    if let Some(url) = finding.ticket.as_ref().and_then(|ticket| ticket.url.as_ref()) {
        result["workItemUris"] = json!([url]);
    }
    result
}

fn suppressed_result(part: &SuppressedPart, index: &BTreeMap<&str, usize>) -> Value {
    let mut result = result(&part.finding, index);
    let reason = part.decision.as_ref().map_or_else(
        || "the decision is no longer on record".to_owned(),
        |decision| format!("{} by {}: {}", decision.words, decision.author, decision.reason),
    );
    result["suppressions"] = json!([{ "kind": "external", "status": "accepted", "justification": visible(&reason) }]);
    result
}

/// What was not checked is told as notifications, so that silence is not taken for health.
fn invocation(report: &Report) -> Value {
    let level_of = |incomplete: bool| if incomplete { "error" } else { "note" };
    let incomplete = report.scan.state != ScanState::Complete;
    let mut told = vec![
        json!({ "level": level_of(report.verdict.exit_code > 1), "message": { "text": visible(&report.verdict.sentence) } }),
    ];
    told.extend(report.not_checked.iter().map(|part| {
        let text = format!("{} {}: {}", part.count, part.what.noun(part.count), part.reason);
        json!({ "level": "warning", "message": { "text": visible(&text) } })
    }));
    let mut invocation = json!({
        "executionSuccessful": !incomplete,
        "exitCode": report.verdict.exit_code,
        "startTimeUtc": report.scan.started.to_string(),
        "toolExecutionNotifications": told,
    });
    if let Some(ended) = report.scan.ended {
        invocation["endTimeUtc"] = json!(ended.to_string());
    }
    invocation
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical | Severity::High => "error",
        Severity::Medium => "warning",
        Severity::Low | Severity::Info => "note",
    }
}

/// The middle of the range that code scanning pages give the word.
fn score(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "9.5",
        Severity::High => "8.0",
        Severity::Medium => "5.5",
        Severity::Low => "2.0",
        Severity::Info => "0.0",
    }
}

fn rank(confidence: Confidence) -> f64 {
    match confidence {
        Confidence::Certain => 100.0,
        Confidence::Firm => 90.0,
        Confidence::Tentative => 40.0,
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn the_rules_of_the_format_are_kept() {
        let report = sample::report();
        let sarif: Value = serde_json::from_str(&render(&report).unwrap()).unwrap();
        assert_eq!(sarif["version"], "2.1.0");
        let run = &sarif["runs"][0];
        let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
        let results = run["results"].as_array().unwrap();
        assert_eq!(results.len(), report.findings.len() + report.suppressed.len());
        for result in results {
            let at = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
            assert_eq!(rules[at]["id"], result["ruleId"]);
            assert!(["error", "warning", "note"].contains(&result["level"].as_str().unwrap()));
            assert!(!result["message"]["text"].as_str().unwrap().is_empty());
            assert_eq!(result["partialFingerprints"][FINGERPRINT].as_str().unwrap().len(), 32);
            let locations = result["locations"].as_array().unwrap();
            assert!(locations.len() <= MOST_LOCATIONS);
            for location in locations {
                let uri = location["physicalLocation"]["artifactLocation"]["uri"]
                    .as_str()
                    .unwrap();
                assert!(Url::parse(uri).is_ok(), "{uri}");
            }
        }
        let suppressed = results
            .iter()
            .filter(|result| result["suppressions"].is_array())
            .count();
        assert_eq!(suppressed, report.suppressed.len());
        assert_eq!(run["invocations"][0]["executionSuccessful"], false);
        let told = run["invocations"][0]["toolExecutionNotifications"].as_array().unwrap();
        assert_eq!(told.len(), report.not_checked.len() + 1);
    }

    #[test]
    fn every_check_is_a_rule_that_explains_itself() {
        for check in phantom_checks::all() {
            let rule = rule(check.meta().id, check.meta().severity);
            assert!(rule["help"]["markdown"].as_str().unwrap().contains("# How to fix"));
            assert!(rule["helpUri"].as_str().unwrap().starts_with("https://"));
        }
    }
}
