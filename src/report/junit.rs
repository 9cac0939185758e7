//! The XML of `JUnit`, which build servers read: a test for each check, and one for each finding.

use std::fmt::Write as _;

use quick_xml::escape::escape;

use super::model::FindingPart;
use super::safe::{one_line, visible};
use super::{Format, Report, ReportError};

/// The format.
pub const FORMAT: Format = Format { name: "junit", render };

/// One test.
struct Case {
    class: String,
    name: String,
    /// What stands in it, whole.
    inside: String,
    outcome: Outcome,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Passed,
    Failed,
    Broken,
    Skipped,
}

#[allow(clippy::unnecessary_wraps, reason = "formats have one signature")]
fn render(report: &Report) -> Result<String, ReportError> {
    let mut cases = vec![scan_case(report)];
    for check in &report.checks {
        let silent = !report.findings.iter().any(|finding| finding.check == check.id);
        if silent {
            cases.push(Case {
                class: check.id.clone(),
                name: format!("{}: not found", check.title),
                inside: String::new(),
                outcome: Outcome::Passed,
            });
        }
    }
    cases.extend(report.findings.iter().map(|finding| finding_case(finding, report)));
    cases.extend(report.suppressed.iter().map(|part| {
        let why = part.decision.as_ref().map_or_else(
            || "suppressed".to_owned(),
            |decision| format!("{} by {}: {}", decision.words, decision.author, decision.reason),
        );
        Case {
            inside: format!("<skipped message=\"{}\"/>", attribute(&why)),
            outcome: Outcome::Skipped,
            ..bare(&part.finding)
        }
    }));
    Ok(document(report, &cases))
}

fn document(report: &Report, cases: &[Case]) -> String {
    let count = |outcome| cases.iter().filter(|case| case.outcome == outcome).count();
    let numbers = format!(
        "tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\" time=\"{:.3}\"",
        cases.len(),
        count(Outcome::Failed),
        count(Outcome::Broken),
        count(Outcome::Skipped),
        report.scan.duration().unwrap_or_default().as_secs_f64()
    );
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"phantom-gang\" {}>\n  <testsuite name=\"{}\" \
         {numbers} timestamp=\"{}\">\n",
        numbers.replace(&format!(" skipped=\"{}\"", count(Outcome::Skipped)), ""),
        attribute(&report.scan.site.0),
        report.scan.started.strftime("%Y-%m-%dT%H:%M:%S"),
    );
    for case in cases {
        // Writing to a String cannot fail.
        let _ = write!(
            xml,
            "    <testcase classname=\"{}\" name=\"{}\" time=\"0\"",
            attribute(&case.class),
            attribute(&case.name)
        );
        let _ = match case.inside.as_str() {
            "" => writeln!(xml, "/>"),
            inside => writeln!(xml, ">{inside}</testcase>"),
        };
    }
    xml.push_str("  </testsuite>\n</testsuites>\n");
    xml
}

/// Whether the scan saw what it was to see. If not, the silence of all other tests means little.
fn scan_case(report: &Report) -> Case {
    let broken = report.verdict.exit_code > 1;
    let told: Vec<String> = report
        .not_checked
        .iter()
        .map(|part| format!("{} {}: {}", part.count, part.what.noun(part.count), part.reason))
        .collect();
    let (sentence, told) = (attribute(&report.verdict.sentence), text(&told.join("\n")));
    let inside = match (broken, told.is_empty()) {
        (true, _) => format!("<error type=\"incomplete\" message=\"{sentence}\">{told}</error>"),
        (false, true) => String::new(),
        (false, false) => format!("<system-out>{told}</system-out>"),
    };
    Case {
        class: "scan".to_owned(),
        name: "the scan is complete".to_owned(),
        inside,
        outcome: if broken { Outcome::Broken } else { Outcome::Passed },
    }
}

fn bare(finding: &FindingPart) -> Case {
    Case {
        class: finding.check.clone(),
        // Two findings may have one title; a test has one name.
        name: format!("{} [{}]", finding.title, finding.fingerprint.short()),
        inside: String::new(),
        outcome: Outcome::Passed,
    }
}

/// A finding fails its test if it counts against the threshold, else it is only told.
fn finding_case(finding: &FindingPart, report: &Report) -> Case {
    let failed = finding.severity >= report.verdict.fail_on && !finding.third_party;
    let mut lines = vec![format!("{}, {}", finding.severity, finding.confidence)];
    lines.extend(
        finding
            .facts
            .iter()
            .map(|fact| format!("{}: {}", fact.label, fact.value)),
    );
    lines.extend(finding.pages.iter().take(20).map(|page| format!("page: {}", page.url)));
    if finding.pages_total > 20 {
        lines.push(format!("{} pages in all", finding.pages_total));
    }
    lines.push(format!("fingerprint: {}", finding.fingerprint));
    lines.push(format!("how to fix: {}", finding.fix));
    let told = text(&lines.join("\n"));
    let inside = if failed {
        format!(
            "<failure type=\"{}\" message=\"{}\">{told}</failure>",
            finding.severity,
            attribute(&finding.title)
        )
    } else {
        format!("<system-out>{told}</system-out>")
    };
    Case {
        inside,
        outcome: if failed { Outcome::Failed } else { Outcome::Passed },
        ..bare(finding)
    }
}

fn attribute(value: &str) -> String {
    xml_only(&escape(one_line(value).as_ref()))
}

fn text(value: &str) -> String {
    xml_only(&escape(visible(value).as_ref()))
}

/// XML has no way to write these two, even escaped; control characters were made visible before.
fn xml_only(text: &str) -> String {
    text.replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use quick_xml::Reader;
    use quick_xml::events::Event;

    use super::super::sample;
    use super::*;

    /// The names of all elements, and the numbers that the suite says of itself.
    fn read(xml: &str) -> (Vec<String>, Vec<(String, String)>) {
        let mut reader = Reader::from_str(xml);
        reader.config_mut().check_end_names = true;
        let (mut names, mut suite) = (Vec::new(), Vec::new());
        loop {
            match reader.read_event().unwrap() {
                Event::Start(tag) | Event::Empty(tag) => {
                    let name = tag.name().as_ref().to_owned();
                    for attribute in tag.attributes() {
                        let attribute = attribute.unwrap();
                        if name == "testsuite" {
                            let key = attribute.key.as_ref().to_owned();
                            suite.push((key, attribute.value.into_owned()));
                        }
                    }
                    names.push(name);
                }
                Event::Eof => return (names, suite),
                _ => {}
            }
        }
    }

    #[test]
    fn it_is_xml_and_its_numbers_are_right() {
        let mut report = sample::report();
        report.findings[0].title = "<script>\"&'\u{1b}[2J\u{ffff}]]>".to_owned();
        report.findings[0].facts[0].value = "]]></failure><error/>\u{0}".to_owned();
        let xml = render(&report).unwrap();
        let (names, suite) = read(&xml);
        let count = |name: &str| names.iter().filter(|have| *have == name).count().to_string();
        let said = |key: &str| suite.iter().find(|(have, _)| have == key).unwrap().1.clone();
        assert_eq!(said("tests"), count("testcase"));
        assert_eq!(said("failures"), count("failure"));
        assert_eq!(said("errors"), count("error"));
        assert_eq!(said("skipped"), count("skipped"));
        assert_eq!(count("failure"), report.verdict.findings.to_string());
        assert_eq!(count("skipped"), report.suppressed.len().to_string());
        assert_eq!(count("error"), "1", "the sample's scan is incomplete");
    }
}
