//! How much of a site a scan looked at, and when that is suspiciously little.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A scan that looked at less than this share of the pages, or forms, of an earlier one says so.
const LEAST_SHARE: f64 = 0.6;
/// Smaller losses are no matter: small sites change by a page or two.
const LEAST_LOSS: u64 = 5;
/// A rise of the share of blocked pages beyond this is told.
const MOST_BLOCKED_MORE: f64 = 0.05;
/// A scan of whose pages a larger share was answered by something in their place is incomplete.
const MOST_WALLED: f64 = 0.05;
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
    /// Pages in whose place a challenge, a CAPTCHA, a consent wall or a maintenance page answered.
    pub walled: u64,
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
        let asked = self.pages + self.failed + self.blocked + self.walled;
        if asked == 0 {
            0.0
        } else {
            (self.blocked + self.walled) as f64 / asked as f64
        }
    }

    /// What to say if too many pages were answered by something in their place for the scan to be complete.
    pub fn too_much_walled(&self) -> Option<String> {
        let asked = self.pages + self.failed + self.blocked + self.walled;
        let share = self.walled as f64 / asked.max(1) as f64;
        (share > MOST_WALLED).then(|| {
            format!(
                "BLOCKED: {} of {asked} pages ({:.0} %) were answered by a challenge, a CAPTCHA, a consent wall or a \
                 maintenance page; the scan did not see the site: ask its owner to let the scanner in",
                self.walled,
                share * 100.0
            )
        })
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
    reason.starts_with("redirects to a challenge at ")
        || ["401", "403", "429", "503"]
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
    fn more_than_one_in_twenty_behind_a_wall_is_too_much() {
        let walled = |pages, walled| Coverage {
            pages,
            walled,
            ..Coverage::default()
        };
        assert_eq!(walled(0, 0).too_much_walled(), None);
        assert_eq!(walled(95, 5).too_much_walled(), None);
        let said = walled(94, 6).too_much_walled().unwrap();
        assert!(
            said.starts_with("BLOCKED: 6 of 100 pages (6 %) were answered by"),
            "{said}"
        );
        assert!(walled(1, 1).too_much_walled().is_some());
    }

    #[test]
    fn refusals_are_told_from_other_losses() {
        assert!(is_blocked("the server answered 403"));
        assert!(!is_blocked("the server answered 404"));
        assert!(!is_blocked("disallowed by robots.txt"));
    }
}
