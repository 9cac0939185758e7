//! CSV, for spreadsheets: one row a finding. A cell that a spreadsheet would take for a formula is made text.

use super::model::FindingPart;
use super::safe::one_line;
use super::{Format, Report, ReportError};

/// The format.
pub const FORMAT: Format = Format { name: "csv", render };

const COLUMNS: [&str; 18] = [
    "fingerprint",
    "check",
    "severity",
    "confidence",
    "state",
    "title",
    "cause",
    "pages",
    "page",
    "other site's",
    "cwe",
    "ticket",
    "first seen",
    "last seen",
    "facts",
    "how to fix",
    "suppressed because",
    "suppressed by",
];

fn render(report: &Report) -> Result<String, ReportError> {
    let failed = |why: String| ReportError::Render { format: "csv", why };
    let mut writer = ::csv::WriterBuilder::new()
        .terminator(::csv::Terminator::CRLF)
        .from_writer(Vec::new());
    writer
        .write_record(COLUMNS)
        .map_err(|error| failed(error.to_string()))?;
    for finding in &report.findings {
        let row = row(finding, "", "");
        writer.write_record(row).map_err(|error| failed(error.to_string()))?;
    }
    for part in &report.suppressed {
        let (because, by) = match &part.decision {
            Some(decision) => (decision.reason.as_str(), decision.author.as_str()),
            None => ("the decision is no longer on record", ""),
        };
        let row = row(&part.finding, because, by);
        writer.write_record(row).map_err(|error| failed(error.to_string()))?;
    }
    let bytes = writer.into_inner().map_err(|error| failed(error.to_string()))?;
    String::from_utf8(bytes).map_err(|error| failed(error.to_string()))
}

fn row(finding: &FindingPart, because: &str, by: &str) -> Vec<String> {
    let facts: Vec<String> = finding
        .facts
        .iter()
        .map(|fact| format!("{}: {}", fact.label, fact.value))
        .collect();
    let cells = [
        finding.fingerprint.to_string(),
        finding.check.clone(),
        finding.severity.to_string(),
        finding.confidence.to_string(),
        finding.state.to_string(),
        finding.title.clone(),
        finding.cause.to_string(),
        finding.pages_total.to_string(),
        finding.pages.first().map(|page| page.url.clone()).unwrap_or_default(),
        if finding.third_party { "yes" } else { "no" }.to_owned(),
        finding.cwe.map(|cwe| format!("CWE-{cwe}")).unwrap_or_default(),
        finding
            .ticket
            .as_ref()
            .map(|ticket| ticket.key.clone())
            .unwrap_or_default(),
        finding.first_seen.to_string(),
        finding.last_seen.to_string(),
        facts.join("; "),
        // Our own words, whose lines are as wide as our files.
        finding.fix.split_whitespace().collect::<Vec<_>>().join(" "),
        because.to_owned(),
        by.to_owned(),
    ];
    cells.iter().map(|cell| neutral(cell)).collect()
}

/// A cell that no spreadsheet takes for a formula: an apostrophe before what could begin one makes it text. Spaces before
/// it do not help, and characters that hide are shown.
fn neutral(cell: &str) -> String {
    let cell = one_line(cell);
    let begins = cell
        .trim_start()
        .starts_with(['=', '+', '-', '@', '|', '%', '＝', '＋', '－', '＠']);
    if begins { format!("'{cell}") } else { cell.into_owned() }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn rows_read_back_and_hold_no_formula() {
        let mut report = sample::report();
        report.findings[0].title = "=HYPERLINK(\"http://evil.test\",\"x\")\r\n+1".to_owned();
        report.findings[1].pages[0].url = " @SUM(1)".to_owned();
        let text = render(&report).unwrap();
        let mut reader = ::csv::Reader::from_reader(text.as_bytes());
        assert_eq!(reader.headers().unwrap().len(), COLUMNS.len());
        let rows: Vec<::csv::StringRecord> = reader.records().map(Result::unwrap).collect();
        assert_eq!(rows.len(), report.findings.len() + report.suppressed.len());
        for row in &rows {
            for cell in row {
                assert!(
                    !cell.trim_start().starts_with(['=', '+', '-', '@', '\t', '\r']),
                    "{cell}"
                );
                assert!(!cell.contains(['\r', '\n']), "{cell}");
            }
        }
        assert_eq!(&rows[0][5], "'=HYPERLINK(\"http://evil.test\",\"x\")<U+000D><U+000A>+1");
    }
}
