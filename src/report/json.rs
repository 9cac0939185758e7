//! The JSON report: the [`Report`] as it is, for programs.

use std::fmt::Write as _;

use serde::Serialize;

use super::safe::is_hidden;
use super::{Format, Report, ReportError};

/// The format.
pub const FORMAT: Format = Format { name: "json", render };

fn render(report: &Report) -> Result<String, ReportError> {
    safe_json(report).map_err(|error| ReportError::Render {
        format: "json",
        why: error.to_string(),
    })
}

/// Indented JSON with a line break at its end. Characters that could act on a terminal that shows it are escaped beyond
/// what JSON asks.
pub fn safe_json<T: Serialize + ?Sized>(value: &T) -> Result<String, serde_json::Error> {
    let mut safe = escaped(&serde_json::to_string_pretty(value)?);
    safe.push('\n');
    Ok(safe)
}

/// The same in one line, without a line break.
pub fn safe_json_line<T: Serialize + ?Sized>(value: &T) -> Result<String, serde_json::Error> {
    Ok(escaped(&serde_json::to_string(value)?))
}

fn escaped(json: &str) -> String {
    let mut safe = String::with_capacity(json.len() + 1);
    for c in json.chars() {
        // Outside strings JSON has only visible ASCII and line breaks, so what is escaped is always inside one.
        if is_hidden(c) && c != '\n' {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a String cannot fail.
                let _ = write!(safe, "\\u{unit:04x}");
            }
        } else {
            safe.push(c);
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn a_report_reads_back_as_it_was() {
        let report = sample::report();
        let json = render(&report).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
        assert!(!json.contains(|c| is_hidden(c) && c != '\n'));
    }

    #[test]
    fn the_keys_that_readers_rely_on_are_there() {
        let json: serde_json::Value = serde_json::from_str(&render(&sample::report()).unwrap()).unwrap();
        for pointer in [
            "/schema",
            "/tool/version",
            "/verdict/exit_code",
            "/verdict/fail_on",
            "/verdict/sentence",
            "/scan/id",
            "/scan/site",
            "/scan/title",
            "/scan/state",
            "/scan/trigger",
            "/scan/started",
            "/scan/ended",
            "/scan/remarks/0",
            "/scan/pages/known",
            "/scan/pages/done",
            "/scan/pages/failed",
            "/scan/pages/skipped",
            "/findings/0/check",
            "/findings/0/fingerprint",
            "/findings/0/title",
            "/findings/0/severity",
            "/findings/0/confidence",
            "/findings/0/state",
            "/findings/0/cause/parts",
            "/findings/0/facts/0/value",
            "/findings/0/pages/0/url",
            "/findings/0/pages_total",
            "/findings/0/ticket/key",
            "/findings/0/ticket/url",
            "/findings/0/first_seen",
            "/findings/0/last_seen",
            "/findings/0/why",
            "/findings/0/fix",
            "/findings/0/cwe",
            "/findings/0/third_party",
            "/gone/0/state",
            "/suppressed/0/fingerprint",
            "/suppressed/0/decision/reason",
            "/suppressed/0/decision/author",
            "/idle_suppressions/0/id",
            "/idle_suppressions/0/trouble",
            "/not_checked/0/what",
            "/not_checked/0/reason",
            "/not_checked/0/count",
            "/not_checked/0/examples",
            "/blocked_share",
            "/scan/pages/blocked",
            "/unclaimed_hosts/0/host",
            "/unclaimed_hosts/0/seen_on",
            "/failed_pages/0/url",
            "/failed_pages/0/reason",
            "/checks/0/id",
            "/checks/0/version",
        ] {
            assert!(json.pointer(pointer).is_some(), "{pointer} is missing");
        }
        assert_eq!(json["schema"], "phantom-gang/report/1");
    }
}
