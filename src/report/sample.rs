//! A report as a hostile site would have it, for tests.

use super::Report;

/// The report in `sample.json`: each kind of part at least once, with page text that tries to break out.
pub fn report() -> Report {
    serde_json::from_str(include_str!("sample.json")).expect("sample.json is a report")
}
