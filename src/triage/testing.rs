//! Findings to test with.

use jiff::Timestamp;
use phantom_checks::{Cause, Confidence, Severity};

use super::{Finding, FindingState, Fingerprint, Past, Witness};
use crate::scan::ScanId;
use crate::site::SiteId;

/// A finding of the site `shop` about a host, high and firm, seen by scan `1` on `https://shop.test/a`.
pub fn finding(host: &str, state: FindingState) -> Finding {
    let site = SiteId("shop".into());
    let scan = ScanId("1".into());
    let cause = Cause::new(1, [("host", host.to_owned())]);
    Finding {
        fingerprint: Fingerprint::of(&site, "mixed-content", &cause),
        site,
        check: "mixed-content".into(),
        check_version: 3,
        title: format!("Script from {host} is loaded over http"),
        severity: Severity::High,
        confidence: Confidence::Firm,
        state,
        cause,
        facts: Vec::new(),
        third_party: false,
        first_seen: Timestamp::UNIX_EPOCH,
        last_seen: Timestamp::UNIX_EPOCH,
        first_scan: scan.clone(),
        last_scan: scan.clone(),
        past: Past {
            witnesses: vec![Witness {
                url: "https://shop.test/a".into(),
                scan,
            }],
            ..Past::default()
        },
    }
}
