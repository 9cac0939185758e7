//! Groups what was not checked by reason, so that ten thousand pages that robots.txt forbids are one line.

use std::collections::BTreeMap;

use super::model::{NotChecked, NotCheckedKind};

/// Examples kept of each group.
const MAX_EXAMPLES: usize = 5;
/// Groups kept of each kind; the rest is counted in a last one.
const MAX_GROUPS: usize = 40;
/// The last group of a kind that has too many.
const REST: &str = "other reasons";

/// Collects things and why they were not checked.
#[derive(Debug, Default)]
pub struct Groups(BTreeMap<(NotCheckedKind, String), (u64, Vec<String>)>);

impl Groups {
    /// Adds one thing. Reasons that differ only in the URLs they name are one reason.
    pub fn add(&mut self, what: NotCheckedKind, reason: &str, example: impl Into<String>) {
        let group = self.group(what, &reason_of(reason));
        group.0 += 1;
        if group.1.len() < MAX_EXAMPLES {
            group.1.push(example.into());
        }
    }

    /// Adds so many things at once, of which no example is known.
    pub fn add_count(&mut self, what: NotCheckedKind, reason: &str, count: u64) {
        if count > 0 {
            self.group(what, reason).0 += count;
        }
    }

    fn group(&mut self, what: NotCheckedKind, reason: &str) -> &mut (u64, Vec<String>) {
        let key = (what, reason.to_owned());
        let crowded = || self.0.keys().filter(|(kind, _)| *kind == what).count() >= MAX_GROUPS;
        let key = if !self.0.contains_key(&key) && crowded() {
            (what, REST.to_owned())
        } else {
            key
        };
        self.0.entry(key).or_default()
    }

    /// The groups: by kind, then the largest first.
    pub fn finish(self) -> Vec<NotChecked> {
        let mut groups: Vec<NotChecked> = self
            .0
            .into_iter()
            .map(|((what, reason), (count, examples))| NotChecked {
                what,
                reason,
                count,
                examples,
            })
            .collect();
        groups.sort_by(|a, b| {
            (a.what, b.count)
                .cmp(&(b.what, a.count))
                .then_with(|| a.reason.cmp(&b.reason))
        });
        groups
    }
}

/// The reason without the URLs it names.
fn reason_of(reason: &str) -> String {
    let words: Vec<&str> = reason
        .split_whitespace()
        .map(|word| if word.contains("://") { "…" } else { word })
        .collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(what: NotCheckedKind, reason: &str, count: u64, examples: &[&str]) -> NotChecked {
        NotChecked {
            what,
            reason: reason.to_owned(),
            count,
            examples: examples.iter().map(|&text| text.to_owned()).collect(),
        }
    }

    #[test]
    fn reasons_that_differ_in_urls_are_one() {
        let mut groups = Groups::default();
        groups.add(NotCheckedKind::SkippedPages, "robots.txt", "/a");
        groups.add(
            NotCheckedKind::PartsOfPages,
            "frame https://a.test/1 did not answer",
            "/b",
        );
        groups.add(
            NotCheckedKind::PartsOfPages,
            "frame https://a.test/2 did not answer",
            "/c",
        );
        groups.add(NotCheckedKind::PartsOfPages, "too large", "/d");
        groups.add_count(NotCheckedKind::WaitingPages, "time was up", 0);
        groups.add_count(NotCheckedKind::WaitingPages, "the scan was interrupted", 7);
        assert_eq!(
            groups.finish(),
            [
                group(NotCheckedKind::WaitingPages, "the scan was interrupted", 7, &[]),
                group(NotCheckedKind::PartsOfPages, "frame … did not answer", 2, &["/b", "/c"]),
                group(NotCheckedKind::PartsOfPages, "too large", 1, &["/d"]),
                group(NotCheckedKind::SkippedPages, "robots.txt", 1, &["/a"]),
            ]
        );
    }

    #[test]
    fn a_hostile_variety_of_reasons_stays_small() {
        let mut groups = Groups::default();
        for number in 0..1000 {
            groups.add(
                NotCheckedKind::FailedPages,
                &format!("reason {number}"),
                number.to_string(),
            );
        }
        let groups = groups.finish();
        assert_eq!(groups.len(), MAX_GROUPS + 1);
        assert_eq!(groups[0].reason, REST);
        assert_eq!(groups.iter().map(|group| group.count).sum::<u64>(), 1000);
        assert!(groups.iter().all(|group| group.examples.len() <= MAX_EXAMPLES));
    }
}
