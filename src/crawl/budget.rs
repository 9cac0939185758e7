//! Where a crawl ends though pages are left.

use std::fmt;
use std::time::Duration;

use crate::config::{show_duration, show_size};
use crate::site::Limits;

/// Why a page is skipped that robots.txt disallows.
pub const ROBOTS: &str = "disallowed by robots.txt";
/// How the reason ends why a page is skipped that is one of many alike.
pub(super) const ENOUGH: &str = ", which is enough";
/// How the reason ends why a page is skipped that is too many links away.
pub(super) const TOO_DEEP: &str = " away from a start page";

/// A limit that ended a crawl.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// So many pages were rendered.
    Pages(u64),
    /// So much time has passed.
    Duration(Duration),
    /// So many bytes were sent and received.
    Bytes(u64),
}

/// The limit that ends a crawl now, if any: `rendered` counts pages that were or are being looked at, `elapsed` is the
/// time since the scan began, over all its runs, `spent` that the budget of bytes is used up.
pub fn limit_reached(limits: &Limits, rendered: u64, elapsed: Duration, spent: bool) -> Option<Limit> {
    if rendered >= limits.pages {
        Some(Limit::Pages(limits.pages))
    } else if elapsed >= limits.duration {
        Some(Limit::Duration(limits.duration))
    } else {
        limits.bytes.filter(|_| spent).map(Limit::Bytes)
    }
}

/// Is this why a page was skipped when a limit ended its crawl?
pub fn is_limit_reason(reason: &str) -> bool {
    ["the limit of ", "the time limit of ", "the traffic limit of "]
        .iter()
        .any(|start| reason.starts_with(start))
        && reason.ends_with(" was reached")
}

/// Is this why a page was never asked for: a limit, the depth, robots.txt, or enough pages like it?
pub fn is_left_out_reason(reason: &str) -> bool {
    is_cut_off_reason(reason) || reason == ROBOTS || reason.ends_with(ENOUGH)
}

/// Is this why a page was never asked for: a limit of pages, time, traffic or depth?
pub fn is_cut_off_reason(reason: &str) -> bool {
    is_limit_reason(reason) || reason.ends_with(TOO_DEEP)
}

impl Limit {
    /// Why the pages that are left are skipped, for each of them.
    pub fn reason(self) -> String {
        format!("{self} was reached")
    }

    /// What a report says of `left` pages that were known and not looked at.
    pub fn remark(self, left: u64) -> String {
        let key = match self {
            Self::Pages(_) => "pages",
            Self::Duration(_) => "duration",
            Self::Bytes(_) => "bytes",
        };
        let pages = if left == 1 { "page" } else { "pages" };
        format!("{self} was reached: {left} known {pages} not looked at; raise `limits.{key}` to see more")
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pages(1) => f.write_str("the limit of 1 page"),
            Self::Pages(pages) => write!(f, "the limit of {pages} pages"),
            Self::Bytes(bytes) => write!(f, "the traffic limit of {}", show_size(*bytes)),
            Self::Duration(duration) => write!(f, "the time limit of {}", show_duration(*duration)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_limit_reached_ends_the_crawl() {
        let limits = Limits {
            pages: 10,
            duration: Duration::from_mins(90),
            bytes: Some(5_000_000),
            ..Limits::default()
        };
        for (rendered, minutes, spent, expected) in [
            (9, 89, false, None),
            (10, 0, false, Some(Limit::Pages(10))),
            (10, 90, true, Some(Limit::Pages(10))),
            (0, 90, true, Some(Limit::Duration(Duration::from_mins(90)))),
            (0, 0, true, Some(Limit::Bytes(5_000_000))),
        ] {
            let reached = limit_reached(&limits, rendered, Duration::from_mins(minutes), spent);
            assert_eq!(reached, expected, "{rendered} {minutes}");
        }
    }

    #[test]
    fn a_limit_says_what_it_cost() {
        assert_eq!(
            Limit::Pages(10).remark(3),
            "the limit of 10 pages was reached: 3 known pages not looked at; raise `limits.pages` to see more"
        );
        assert_eq!(
            Limit::Duration(Duration::from_hours(3)).remark(1),
            "the time limit of 3h was reached: 1 known page not looked at; raise `limits.duration` to see more"
        );
        assert_eq!(Limit::Pages(1).reason(), "the limit of 1 page was reached");
        for limit in [
            Limit::Pages(1),
            Limit::Pages(9),
            Limit::Duration(Duration::from_hours(3)),
            Limit::Bytes(20_000_000_000),
        ] {
            assert!(is_limit_reason(&limit.reason()), "{limit}");
        }
        assert!(!is_limit_reason(ROBOTS) && !is_cut_off_reason(ROBOTS) && is_left_out_reason(ROBOTS));
        assert!(!is_left_out_reason("the server answered 404"));
    }
}
