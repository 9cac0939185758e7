//! How much of a site a scan looked at, and when that is suspiciously little.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A scan that looked at less than this share of the pages, or forms, of an earlier one says so.
const LEAST_SHARE: f64 = 0.6;
/// Smaller losses are no matter: small sites change by a page or two.
const LEAST_LOSS: u64 = 5;
/// A rise of the share of blocked pages beyond this is told.
const MOST_BLOCKED_MORE: f64 = 0.05;
/// Fewer blocked pages are no matter.
const LEAST_BLOCKED: u64 = 3;

/// How much of a site a scan looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Coverage {
    /// The scan was meant to see the whole site and came to its end.
    pub whole: bool,
    /// Pages that were looked at.
    pub pages: u64,
    /// Pages that could not be looked at.
    pub failed: u64,
    /// Pages that were left out on purpose.
    pub skipped: u64,
    /// Pages whose server refused us: 401, 403, 429 or 503.
    pub blocked: u64,
    /// Shapes of pages that were looked at.
    pub templates: u64,
    /// Forms on the pages that were looked at.
    pub forms: u64,
    /// Pages that were seen logged in.
    pub logged_in: u64,
    /// Pages that were seen logged out, though the scan had logged in or was to.
    pub logged_out: u64,
    /// The checks that looked at every page, with their versions.
    pub checks: BTreeMap<String, u32>,
}

impl Coverage {
    /// The share of pages that refused us, of all that were asked for.
    pub fn blocked_share(&self) -> f64 {
        let asked = self.pages + self.failed + self.blocked;
        if asked == 0 {
            0.0
        } else {
            self.blocked as f64 / asked as f64
        }
    }

    /// What is suspicious about this coverage, as sentences. `before` are the last whole scans of the site, in any
    /// order. The largest of them is compared with, so that a site that really shrank is believed after as many scans
    /// as `before` holds.
    pub fn drop_since(&self, before: &[Coverage]) -> Vec<String> {
        let most = |of: fn(&Coverage) -> u64| before.iter().map(of).max().unwrap_or(0);
        let mut drops = Vec::new();
        for (what, now, then) in [
            ("pages", self.pages, most(|one| one.pages)),
            ("forms", self.forms, most(|one| one.forms)),
        ] {
            if then.saturating_sub(now) >= LEAST_LOSS && (now as f64) < then as f64 * LEAST_SHARE {
                drops.push(format!(
                    "{now} {what} were seen where an earlier scan saw {then}: what is missing may hold findings; look at \
                     the site, its login and what blocks the scanner"
                ));
            }
        }
        let usual = before.iter().map(Self::blocked_share).reduce(f64::min).unwrap_or(0.0);
        if !before.is_empty() && self.blocked >= LEAST_BLOCKED && self.blocked_share() > usual + MOST_BLOCKED_MORE {
            drops.push(format!(
                "{} pages refused us (401, 403, 429 or 503), more than before: something may block the scanner; ask the \
                 site's owner to let it in",
                self.blocked
            ));
        }
        drops
    }
}

/// Did the server refuse us, by the reason for which a page failed or was skipped?
pub fn is_blocked(reason: &str) -> bool {
    ["401", "403", "429", "503"]
        .iter()
        .any(|status| reason == format!("the server answered {status}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coverage(pages: u64, forms: u64, blocked: u64) -> Coverage {
        Coverage {
            pages,
            blocked,
            forms,
            ..Coverage::default()
        }
    }

    #[test]
    fn sharp_drops_are_told_and_small_changes_are_not() {
        let before = [coverage(100, 20, 0), coverage(40, 4, 8)];
        for (now, told) in [
            (coverage(100, 20, 0), 0),
            (coverage(61, 13, 2), 0),
            (coverage(59, 20, 0), 1),
            (coverage(0, 0, 0), 2),
            (coverage(90, 20, 10), 1),
            (coverage(200, 90, 0), 0),
        ] {
            assert_eq!(now.drop_since(&before).len(), told, "{now:?}");
        }
        assert!(coverage(1, 0, 9).drop_since(&[]).is_empty(), "nothing to compare with");
        assert!(
            coverage(2, 0, 0).drop_since(&[coverage(6, 4, 0)]).is_empty(),
            "a small site"
        );
    }

    #[test]
    fn a_site_that_shrank_is_believed_in_time() {
        let small = coverage(30, 3, 0);
        assert!(!small.drop_since(&[coverage(100, 3, 0), small.clone()]).is_empty());
        assert!(small.drop_since(&[small.clone(), small.clone()]).is_empty());
    }

    #[test]
    fn refusals_are_told_from_other_losses() {
        assert!(is_blocked("the server answered 403"));
        assert!(!is_blocked("the server answered 404"));
        assert!(!is_blocked("disallowed by robots.txt"));
    }
}
