//! What time has made of a finding: where it can be looked for, how often it was missed, what became of it when.

use jiff::Timestamp;
use phantom_checks::Severity;
use serde::{Deserialize, Serialize};

use super::Fingerprint;
use crate::scan::ScanId;

/// Witness pages of a finding.
pub const WITNESSES: usize = 3;
/// Clean scans in a row that prove a finding fixed, if nobody says otherwise.
pub const CLEAN_SCANS: u32 = 2;

/// A page that shows whether a finding is still there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Witness {
    /// The page's URL. Untrusted.
    pub url: String,
    /// The last scan that saw the finding there.
    pub scan: ScanId,
}

/// What time has made of a finding.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Past {
    /// Pages that must be looked at before the finding can be called fixed: [`WITNESSES`], or all if there are fewer.
    pub witnesses: Vec<Witness>,
    /// Scans in a row that could have seen it and did not.
    pub clean_scans: u32,
    /// When it was proved fixed last. Stays when it comes back.
    pub fixed: Option<Timestamp>,
    /// When it came back last after it was fixed.
    pub regressed: Option<Timestamp>,
    /// When it was withdrawn last.
    pub withdrawn: Option<Timestamp>,
    /// The worst severity that it ever had.
    pub worst: Option<Severity>,
    /// Fingerprints it had under earlier definitions of its cause, oldest first; tickets may bear them.
    pub aliases: Vec<Fingerprint>,
    /// The finding that it was one with under an earlier definition of its cause, and that kept the ticket.
    pub parent: Option<Fingerprint>,
    /// The suppression that is in effect, by its id.
    pub suppressed_by: Option<String>,
}

impl Past {
    /// Takes in that the finding was seen on a page. Pinned pages stay pinned, so that nights can be compared.
    pub fn saw(&mut self, url: &str, scan: &ScanId) {
        self.clean_scans = 0;
        if let Some(known) = self.witnesses.iter_mut().find(|witness| witness.url == url) {
            known.scan.clone_from(scan);
        } else if self.witnesses.len() < WITNESSES {
            self.witnesses.push(Witness {
                url: url.to_owned(),
                scan: scan.clone(),
            });
        }
    }

    /// Some pages are pinned on which `scan` did not see the finding.
    pub fn has_stale_witnesses(&self, scan: &ScanId) -> bool {
        self.witnesses.iter().any(|witness| witness.scan != *scan)
    }

    /// Lets go of the pages on which `scan` did not see the finding, for pages on which it did. To be asked after a
    /// whole scan that did see it: a flaw that moved is looked for where it is.
    pub fn repin(&mut self, scan: &ScanId, seen_on: impl IntoIterator<Item = String>) {
        self.witnesses.retain(|witness| witness.scan == *scan);
        for url in seen_on {
            if self.witnesses.len() < WITNESSES && self.witnesses.iter().all(|witness| witness.url != url) {
                self.witnesses.push(Witness {
                    url,
                    scan: scan.clone(),
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls(past: &Past) -> Vec<&str> {
        past.witnesses.iter().map(|witness| witness.url.as_str()).collect()
    }

    #[test]
    fn the_first_pages_stay_pinned() {
        let (first, second) = (ScanId("1".into()), ScanId("2".into()));
        let mut past = Past::default();
        for url in ["a", "b", "a", "c", "d"] {
            past.saw(url, &first);
        }
        assert_eq!(urls(&past), ["a", "b", "c"]);
        past.saw("d", &second);
        past.saw("b", &second);
        assert_eq!(urls(&past), ["a", "b", "c"]);
        assert!(past.has_stale_witnesses(&second));
        assert!(!past.has_stale_witnesses(&first) || past.witnesses[1].scan == second);
    }

    #[test]
    fn a_flaw_that_moved_is_looked_for_where_it_is() {
        let (first, second) = (ScanId("1".into()), ScanId("2".into()));
        let mut past = Past::default();
        for url in ["a", "b", "c"] {
            past.saw(url, &first);
        }
        past.saw("b", &second);
        past.repin(&second, ["b", "e", "f", "g"].map(str::to_owned));
        assert_eq!(urls(&past), ["b", "e", "f"]);
        assert!(!past.has_stale_witnesses(&second));
    }

    #[test]
    fn what_an_older_version_kept_is_read() {
        assert_eq!(serde_json::from_str::<Past>("{}").unwrap(), Past::default());
    }
}
