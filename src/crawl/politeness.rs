//! How fast to go.

use std::time::Duration;

use jiff::Timestamp;

use crate::site::Limits;

/// robots.txt may slow a scan down to this, not further.
pub const LONGEST_CRAWL_DELAY: Duration = Duration::from_secs(30);

/// A host that asks us to wait is left alone for this long at most before it is asked again.
pub const LONGEST_WAIT: Duration = Duration::from_mins(10);

/// No turn is given, and no host left alone, for so long. What the store has further ahead than that was never meant: the
/// clock has gone back since.
pub const LONGEST_TURN: Duration = Duration::from_mins(15);

const FIRST_WAIT: Duration = Duration::from_secs(2);

/// The time between two visits to one host: what the site's limits say, or what robots.txt asks for if that is slower,
/// up to [`LONGEST_CRAWL_DELAY`]. Never shorter than a millisecond.
pub fn pace(limits: &Limits, crawl_delay: Option<Duration>) -> Duration {
    let own = Duration::try_from_secs_f64(1.0 / limits.pages_per_s).unwrap_or(LONGEST_CRAWL_DELAY);
    own.max(crawl_delay.unwrap_or_default().min(LONGEST_CRAWL_DELAY))
        .max(Duration::from_millis(1))
}

/// How long to leave a host alone after an answer, if it asked for that: 429, or 503 with or without `Retry-After`.
///
/// `times` is how often in a row it has asked before; without `Retry-After` each time doubles the wait.
pub fn wait_after(status: u16, retry_after: Option<&str>, times: u32, now: Timestamp) -> Option<Duration> {
    if !matches!(status, 429 | 503) {
        return None;
    }
    let own = FIRST_WAIT.saturating_mul(1_u32.checked_shl(times).unwrap_or(u32::MAX));
    let asked = retry_after.and_then(|value| read_retry_after(value, now));
    Some(asked.unwrap_or(own).clamp(Duration::from_secs(1), LONGEST_WAIT))
}

/// `Retry-After` in seconds or as a date (RFC 9110, section 10.2.3).
fn read_retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    if value.len() > 40 {
        return None;
    }
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(value).ok()?;
    Some(Duration::try_from(date.duration_since(now)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slower_wish_wins_up_to_a_cap() {
        let cases = [
            (2.0, None, 500),
            (2.0, Some(0.1), 500),
            (2.0, Some(3.0), 3_000),
            (2.0, Some(86_400.0), 30_000),
            (0.01, Some(86_400.0), 100_000),
            (1_000_000.0, None, 1),
        ];
        for (pages_per_s, delay, expected) in cases {
            let limits = Limits {
                pages_per_s,
                ..Limits::default()
            };
            let pace = pace(&limits, delay.map(Duration::from_secs_f64));
            assert_eq!(pace, Duration::from_millis(expected), "{pages_per_s} {delay:?}");
        }
    }

    #[test]
    fn a_host_that_asks_is_left_alone() {
        let now: Timestamp = "2026-11-23T05:00:00Z".parse().unwrap();
        let cases = [
            (200, Some("10"), 0, None),
            (500, None, 0, None),
            (429, Some("10"), 5, Some(10)),
            (503, Some(" 10 "), 0, Some(10)),
            (429, Some("0"), 0, Some(1)),
            (429, Some("99999999"), 0, Some(600)),
            (429, Some("Mon, 23 Nov 2026 05:01:00 GMT"), 0, Some(60)),
            (429, Some("Mon, 23 Nov 2026 04:00:00 GMT"), 0, Some(1)),
            (429, Some("soon"), 0, Some(2)),
            (429, None, 0, Some(2)),
            (503, None, 3, Some(16)),
            (503, None, 31, Some(600)),
            (503, None, 32, Some(600)),
        ];
        for (status, header, times, expected) in cases {
            let wait = wait_after(status, header, times, now);
            assert_eq!(wait, expected.map(Duration::from_secs), "{status} {header:?} {times}");
        }
    }
}
