//! Numbers and times as people read them.

use std::time::Duration;

/// `1 page`, `2 pages`.
pub fn plural(count: u64, noun: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{s}")
}

/// `47 s`, `3 min 5 s`, `2 h 14 min`.
pub fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s} s"),
        (0, m, s) => format!("{m} min {s} s"),
        (h, m, _) => format!("{h} h {m} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_not_many() {
        assert_eq!(
            [plural(0, "page"), plural(1, "page"), plural(2, "page")],
            ["0 pages", "1 page", "2 pages"]
        );
    }

    #[test]
    fn spans_get_coarser_as_they_grow() {
        for (seconds, text) in [(0, "0 s"), (59, "59 s"), (185, "3 min 5 s"), (8040, "2 h 14 min")] {
            assert_eq!(span(Duration::from_secs(seconds)), text);
        }
    }
}
