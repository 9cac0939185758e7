//! What a night came to: a line for each scan, and one for all of them.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use console::Style;
use phantom_checks::Severity;

use super::output;
use crate::fleet::GangEvent;
use crate::report::safe::one_line;
use crate::report::{Report, plural, span};
use crate::scan::{ScanId, Standing};
use crate::site::SiteId;
use crate::tickets::Report as Filed;
use crate::triage::FindingState;

/// Findings by how bad they are.
type BySeverity = BTreeMap<Severity, u64>;

/// What became of a scan, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Result {
    /// It could not be begun, or brought to its end.
    Failed,
    Incomplete,
    /// It did not come to its end: paused, stopped, or its hours were over.
    Left,
    /// It has findings at or above the threshold.
    Findings,
    Passed,
}

#[derive(Debug)]
struct Row {
    site: SiteId,
    began: Instant,
    took: Duration,
    scan: Option<ScanId>,
    /// `None` while it is at work.
    result: Option<Result>,
    standing: Option<Standing>,
    pages: u64,
    failed: u64,
    new: BySeverity,
    open: BySeverity,
    filed: Option<Filed>,
}

/// What a process that scans what is due has met.
#[derive(Debug)]
pub struct Night {
    began: Instant,
    rows: Mutex<Vec<Row>>,
}

impl Night {
    pub fn new() -> Self {
        Self {
            began: Instant::now(),
            rows: Mutex::default(),
        }
    }

    fn rows(&self) -> MutexGuard<'_, Vec<Row>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what happened.
    pub fn hear(&self, event: &GangEvent) {
        let mut rows = self.rows();
        if let GangEvent::Began(site) = event {
            rows.push(Row {
                site: site.clone(),
                began: Instant::now(),
                took: Duration::ZERO,
                scan: None,
                result: None,
                standing: None,
                pages: 0,
                failed: 0,
                new: BySeverity::new(),
                open: BySeverity::new(),
                filed: None,
            });
            return;
        }
        match event {
            GangEvent::Ended(ended) => {
                let Some(row) = last(&mut rows, &ended.record.site.id) else {
                    return;
                };
                row.took = row.began.elapsed();
                row.scan = Some(ended.record.id.clone());
                row.standing = Some(ended.standing);
                row.result = Some(match ended.standing {
                    Standing::Complete => Result::Passed,
                    Standing::Incomplete => Result::Incomplete,
                    _ => Result::Left,
                });
                (row.pages, row.failed) = (ended.counts.done, ended.counts.failed);
            }
            GangEvent::Failed(site, _) => {
                let Some(row) = last(&mut rows, site) else { return };
                row.took = row.began.elapsed();
                row.result = Some(Result::Failed);
            }
            GangEvent::Filed(site, filed) => {
                if let Some(row) = last(&mut rows, site) {
                    row.filed = Some((**filed).clone());
                }
            }
            _ => {}
        }
    }

    /// No scan was begun.
    pub fn is_empty(&self) -> bool {
        self.rows().is_empty()
    }

    /// The scans that came to an end of their own.
    pub fn ended(&self) -> Vec<ScanId> {
        let rows = self.rows();
        let ended = rows
            .iter()
            .filter(|row| row.result.is_some_and(|is| is != Result::Left));
        ended.filter_map(|row| row.scan.clone()).collect()
    }

    /// Takes in what a scan's report says.
    pub fn judge(&self, report: &Report) {
        let mut rows = self.rows();
        let Some(row) = rows.iter_mut().find(|row| row.scan.as_ref() == Some(&report.scan.id)) else {
            return;
        };
        row.result = Some(match report.verdict.exit_code {
            0 => Result::Passed,
            1 => Result::Findings,
            _ => Result::Incomplete,
        });
        for finding in &report.findings {
            *row.open.entry(finding.severity).or_default() += 1;
            if matches!(finding.state, FindingState::New | FindingState::Regressed) {
                *row.new.entry(finding.severity).or_default() += 1;
            }
        }
        for finding in &report.not_observed {
            *row.open.entry(finding.severity).or_default() += 1;
        }
    }

    /// All of it, the worst first. With `quiet`, what is good is left out.
    pub fn lines(&self, fail_on: Severity, quiet: bool) -> Vec<String> {
        let mut rows = self.rows();
        rows.retain(|row| row.result.is_some());
        rows.sort_by(|one, other| (one.result, &one.site).cmp(&(other.result, &other.site)));
        let shown = rows.iter().filter(|row| !quiet || row.result != Some(Result::Passed));
        let cells: Vec<_> = shown.map(Row::cells).collect();
        if cells.is_empty() {
            return Vec::new();
        }
        let heads = ["site", "result", "pages", "new", "open", "tickets", "time"];
        let mut lines = output::table(heads, &cells);
        lines.push(total(&rows, fail_on, self.began.elapsed()));
        lines
    }
}

/// The last scan of a site: one runs at a time.
fn last<'a>(rows: &'a mut [Row], site: &SiteId) -> Option<&'a mut Row> {
    rows.iter_mut().rfind(|row| row.site == *site)
}

impl Row {
    fn word(&self) -> String {
        let (word, style) = match (self.result, self.standing) {
            (Some(Result::Passed), _) => ("passed", Style::new().green()),
            (Some(Result::Findings), _) => ("findings", Style::new().red()),
            (Some(Result::Incomplete), _) => ("incomplete", Style::new().yellow()),
            (Some(Result::Left), Some(standing)) => (standing.as_str(), Style::new().yellow()),
            _ => ("failed", Style::new().red()),
        };
        style.apply_to(word).to_string()
    }

    fn cells(&self) -> [String; 7] {
        let pages = match self.failed {
            0 => self.pages.to_string(),
            failed => format!("{}, {failed} failed", self.pages),
        };
        [
            one_line(&self.site.0).into_owned(),
            self.word(),
            pages,
            by_severity(&self.new),
            by_severity(&self.open),
            self.filed.as_ref().map_or_else(|| "-".to_owned(), tickets),
            format!("{} s", self.took.as_secs()),
        ]
    }
}

/// `1 high, 3 low`
fn by_severity(counts: &BySeverity) -> String {
    let each = counts
        .iter()
        .rev()
        .map(|(severity, count)| format!("{count} {severity}"));
    or_dash(&each.collect::<Vec<_>>())
}

/// `2 filed, 1 waiting`
fn tickets(filed: &Filed) -> String {
    let counts = [
        (filed.created, "filed"),
        (filed.changed, "changed"),
        (filed.dead.len() as u64, "refused"),
        (filed.waiting, "waiting"),
    ];
    let each = counts.into_iter().filter(|(count, _)| *count > 0);
    or_dash(&each.map(|(count, word)| format!("{count} {word}")).collect::<Vec<_>>())
}

fn or_dash(words: &[String]) -> String {
    if words.is_empty() {
        "-".to_owned()
    } else {
        words.join(", ")
    }
}

fn total(rows: &[Row], fail_on: Severity, took: Duration) -> String {
    let scans = [
        (Result::Failed, "failed".to_owned()),
        (Result::Incomplete, "incomplete".to_owned()),
        (Result::Left, "unfinished".to_owned()),
        (Result::Findings, format!("with findings at or above {fail_on}")),
        (Result::Passed, "passed".to_owned()),
    ];
    let scans = scans.into_iter().filter_map(|(result, word)| {
        let count = rows.iter().filter(|row| row.result == Some(result)).count();
        (count > 0).then(|| format!("{count} {word}"))
    });
    let pages = rows.iter().map(|row| row.pages).sum();
    let sum = |of: fn(&Row) -> &BySeverity| rows.iter().flat_map(|row| of(row).values()).sum::<u64>();
    // Of the others no report is made.
    let judged = |row: &&Row| !matches!(row.result, Some(Result::Left | Result::Failed));
    let judged = rows.iter().filter(judged).count();
    let mut parts = vec![
        format!(
            "{}: {}",
            plural(rows.len() as u64, "scan"),
            scans.collect::<Vec<_>>().join(", ")
        ),
        plural(pages, "page"),
    ];
    if judged > 0 {
        let of_which = if judged < rows.len() {
            " in those that came to their end"
        } else {
            ""
        };
        parts.push(format!(
            "{} new of {}{of_which}",
            sum(|row| &row.new),
            plural(sum(|row| &row.open), "open finding")
        ));
    }
    if rows.iter().any(|row| row.filed.is_some()) {
        let all = |of: fn(&Filed) -> u64| rows.iter().filter_map(|row| row.filed.as_ref()).map(of).sum::<u64>();
        let waiting = match all(|filed| filed.waiting) {
            0 => String::new(),
            waiting => format!(", {waiting} waiting"),
        };
        parts.push(format!(
            "{} filed{waiting}",
            plural(all(|filed| filed.created), "ticket")
        ));
    }
    parts.push(span(took));
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(site: &str, result: Result, seconds: u64) -> Row {
        Row {
            site: SiteId(site.to_owned()),
            began: Instant::now(),
            took: Duration::from_secs(seconds),
            scan: None,
            result: Some(result),
            standing: None,
            pages: 120,
            failed: 0,
            new: BySeverity::new(),
            open: BySeverity::new(),
            filed: None,
        }
    }

    #[test]
    fn a_night_is_a_table_and_a_line() {
        let night = Night::new();
        let shop = Row {
            new: BySeverity::from([(Severity::High, 1)]),
            open: BySeverity::from([(Severity::Low, 4), (Severity::High, 3)]),
            filed: Some(Filed {
                created: 1,
                waiting: 2,
                ..Filed::default()
            }),
            ..row("shop", Result::Findings, 85)
        };
        let bank = Row {
            failed: 2,
            ..row("bank", Result::Incomplete, 312)
        };
        let paused = Row {
            standing: Some(Standing::Paused),
            ..row("news", Result::Left, 5)
        };
        night
            .rows()
            .extend([row("static", Result::Passed, 12), shop, bank, paused]);
        let plain = |quiet| -> Vec<String> {
            let lines = night.lines(Severity::High, quiet);
            lines
                .iter()
                .map(|line| console::strip_ansi_codes(line).into_owned())
                .collect()
        };
        let total = "4 scans: 1 incomplete, 1 unfinished, 1 with findings at or above high, 1 passed; 480 pages; 1 new of 7 \
                     open findings in those that came to their end; 1 ticket filed, 2 waiting; 0 s";
        let mut expected = vec![
            "site    result      pages          new     open           tickets             time",
            "bank    incomplete  120, 2 failed  -       -              -                   312 s",
            "news    paused      120            -       -              -                   5 s",
            "shop    findings    120            1 high  3 high, 4 low  1 filed, 2 waiting  85 s",
            "static  passed      120            -       -              -                   12 s",
            total,
        ];
        assert_eq!(plain(false), expected);
        expected.remove(4);
        let quiet: Vec<_> = plain(true)
            .iter()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(quiet, expected, "what is good is left out");
        night.rows().retain(|row| row.result == Some(Result::Passed));
        assert_eq!(plain(true), [] as [String; 0]);
    }
}
