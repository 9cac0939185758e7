//! The last lines of a scan: what was found, what was not checked, where the reports are, and the verdict.

use std::io;
use std::path::PathBuf;

use console::{Style, Term, measure_text_width};

use super::paint;
use crate::report::safe::{fit, one_line};
use crate::report::{FindingPart, Report, plural, span};

/// Findings listed; the rest is counted.
const MAX_FINDINGS: usize = 40;
/// Findings that are gone listed; the rest is counted.
const MAX_GONE: usize = 20;
/// Suppressed findings listed; the rest is counted.
const MAX_SUPPRESSED: usize = 5;
/// Unclaimed hosts listed; the rest is counted.
const MAX_HOSTS: usize = 10;
/// Groups of what was not checked listed; the rest is counted.
const MAX_GROUPS: usize = 8;
/// Columns of a text over several lines.
const MAX_TEXT: usize = 2_000;
/// Columns that a title needs to be told from others.
const MIN_TITLE: usize = 40;
/// Columns of a title, where there are more.
const MAX_TITLE: usize = 110;
/// Columns of a line, where there is no terminal: whoever reads a log wants all of it.
const PLAIN_COLUMNS: usize = usize::MAX;

/// What the summary says beside the report.
#[derive(Debug, Clone, Default)]
pub struct Epilogue {
    /// The reports that were written.
    pub reports: Vec<PathBuf>,
    /// The command that goes on with the scan, if it can be gone on with.
    pub resume: Option<String>,
    /// What stands in the way of the tickets, a sentence for each thing.
    pub tickets: Vec<String>,
}

/// Prints the summary of a scan to the standard output stream; with `quiet` the verdict alone.
pub fn print(report: &Report, epilogue: &Epilogue, quiet: bool) -> io::Result<()> {
    let term = Term::stdout();
    let columns = if term.features().is_attended() {
        usize::from(term.size().1)
    } else {
        PLAIN_COLUMNS
    };
    let style = Style::new();
    let lines = if quiet {
        let tickets = epilogue
            .tickets
            .iter()
            .flat_map(|what| row(&style, columns, "tickets", what));
        tickets.chain(verdict(report, &style)).collect()
    } else {
        lines(report, epilogue, &style, columns)
    };
    for line in lines {
        term.write_line(&line)?;
    }
    Ok(())
}

fn lines(report: &Report, epilogue: &Epilogue, style: &Style, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    if !report.findings.is_empty() {
        lines.extend(findings(&report.findings, style, columns));
        lines.push(String::new());
    }
    let gone = gone(report, style, columns);
    if !gone.is_empty() {
        lines.extend(gone);
        lines.push(String::new());
    }
    let suppressed = suppressed(report, style, columns);
    if !suppressed.is_empty() {
        lines.extend(suppressed);
        lines.push(String::new());
    }
    let unclaimed = unclaimed(report, style, columns);
    if !unclaimed.is_empty() {
        lines.extend(unclaimed);
        lines.push(String::new());
    }
    let not_checked = not_checked(report, style, columns);
    if !not_checked.is_empty() {
        lines.extend(not_checked);
        lines.push(String::new());
    }
    let more = more(report, epilogue, style, columns);
    if !more.is_empty() {
        lines.extend(more);
        lines.push(String::new());
    }
    lines.extend(verdict(report, style));
    lines
}

/// A table whose title column takes what the others leave. Where that is too little, the column of the checks goes:
/// titles say it too.
fn findings(findings: &[FindingPart], style: &Style, columns: usize) -> Vec<String> {
    let shown = findings.get(..MAX_FINDINGS).unwrap_or(findings);
    let widest = |of: fn(&FindingPart) -> String, heading: &str| {
        let widths = shown.iter().map(|finding| measure_text_width(&of(finding)));
        widths.max().unwrap_or(0).max(heading.len())
    };
    let ticket = widest(ticket_of, "ticket");
    let fixed = "severity  sure       pages  ".len() + ticket + 2;
    let check = widest(|finding| finding.check.clone(), "check");
    let check = Some(check).filter(|check| columns >= fixed + check + 2 + MIN_TITLE);
    let taken = fixed + check.map_or(0, |check| check + 2);
    let title = match columns {
        PLAIN_COLUMNS => PLAIN_COLUMNS,
        _ => columns.saturating_sub(taken).clamp(MIN_TITLE / 2, MAX_TITLE),
    };
    let check_cell = |text: &str| check.map_or_else(String::new, |check| format!("{text:<check$}  "));

    let heading = format!(
        "severity  sure       {}pages  {:<ticket$}  finding",
        check_cell("check"),
        "ticket"
    );
    let mut lines = vec![style.clone().dim().apply_to(heading).to_string()];
    lines.extend(shown.iter().map(|finding| {
        format!(
            "{:<8}  {:<9}  {}{:>5}  {:<ticket$}  {}",
            paint::severity(finding.severity, style),
            finding.confidence,
            check_cell(&finding.check),
            finding.pages_total,
            ticket_of(finding),
            fit(&finding.title, title),
        )
    }));
    let rest = findings.len() - shown.len();
    if rest > 0 {
        lines.push(format!("… and {rest} more; a report lists them all"));
    }
    lines
}

fn ticket_of(finding: &FindingPart) -> String {
    finding
        .ticket
        .as_ref()
        .map_or_else(|| "-".to_owned(), |ticket| fit(&ticket.key, 20))
}

/// What this scan proved fixed, or withdrew.
fn gone(report: &Report, style: &Style, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = report
        .gone
        .iter()
        .take(MAX_GONE)
        .map(|one| {
            let ticket = one.ticket.as_ref().map_or("-", |ticket| ticket.key.as_str());
            let text = format!("{}  {}  {ticket}  {}", one.state, one.severity, one.title);
            format!("  {}", fit(&text, columns.saturating_sub(2)))
        })
        .collect();
    if report.gone.len() > MAX_GONE {
        lines.push(format!("  … and {} more", report.gone.len() - MAX_GONE));
    }
    if !lines.is_empty() {
        lines.insert(0, style.clone().bold().apply_to("Gone").to_string());
    }
    lines
}

/// What was seen and is not to be reported, and the suppressions that do nothing.
fn suppressed(report: &Report, style: &Style, columns: usize) -> Vec<String> {
    let width = columns.saturating_sub(2);
    let mut lines: Vec<String> = report
        .suppressed
        .iter()
        .take(MAX_SUPPRESSED)
        .map(|one| {
            let decision = one.decision.as_ref().map_or_else(String::new, |decision| {
                format!(" ({}, {}: {})", decision.words, decision.author, decision.reason)
            });
            let text = format!("{} {}{decision}", one.finding.severity, one.finding.title);
            format!("  {}", fit(&text, width))
        })
        .collect();
    let rest = report.suppressed.len().saturating_sub(MAX_SUPPRESSED);
    if rest > 0 {
        lines.push(format!("  … and {rest} more"));
    }
    if !lines.is_empty() {
        let heading = format!("Suppressed, {}", plural(report.suppressed.len() as u64, "finding"));
        lines.insert(0, style.clone().bold().apply_to(heading).to_string());
    }
    lines.extend(report.idle_suppressions.iter().flat_map(|one| {
        let text = format!("suppression {} ({}): {}", one.decision.id, one.scope, one.trouble);
        wrapped(&text, "", 2, columns)
    }));
    lines
}

/// Hosts of the organisation that no site's file claims.
fn unclaimed(report: &Report, style: &Style, columns: usize) -> Vec<String> {
    let hosts = &report.unclaimed_hosts;
    let mut lines: Vec<String> = hosts
        .iter()
        .take(MAX_HOSTS)
        .map(|one| {
            let text = format!("{} (seen on {})", one.host, one.seen_on);
            format!("  {}", fit(&text, columns.saturating_sub(2)))
        })
        .collect();
    if hosts.len() > MAX_HOSTS {
        lines.push(format!("  … and {} more", hosts.len() - MAX_HOSTS));
    }
    if !lines.is_empty() {
        let heading = "Unclaimed hosts: no site's file includes them; `phantom sites add` writes one";
        lines.insert(0, style.clone().bold().apply_to(heading).to_string());
    }
    lines
}

fn not_checked(report: &Report, style: &Style, columns: usize) -> Vec<String> {
    let groups = &report.not_checked;
    let mut lines: Vec<String> = groups
        .iter()
        .take(MAX_GROUPS)
        .flat_map(|group| {
            let head = format!("{} {}", group.count, group.what.noun(group.count));
            let text = match group.examples.first() {
                Some(example) => format!("{head}: {} ({example})", group.reason),
                None => format!("{head}: {}", group.reason),
            };
            wrapped(&text, "  ", 4, columns)
        })
        .collect();
    if groups.len() > MAX_GROUPS {
        lines.push(format!(
            "  … for {} more",
            plural((groups.len() - MAX_GROUPS) as u64, "reason")
        ));
    }
    if !lines.is_empty() {
        lines.insert(0, style.clone().bold().apply_to("Not checked").to_string());
    }
    lines
}

fn label(style: &Style, text: &str) -> String {
    style.clone().bold().apply_to(format!("{text:<8}")).to_string()
}

fn row(style: &Style, columns: usize, name: &str, text: &str) -> Vec<String> {
    wrapped(text, &label(style, name), 8, columns)
}

/// A text over as many lines as it takes, the first after `before`, the others set in by so many columns: what it
/// advises stands at its end. What is wider than a line, such as a URL, has one of its own.
fn wrapped(text: &str, before: &str, set_in: usize, columns: usize) -> Vec<String> {
    // Bounded: a page may have chosen it.
    let text = fit(text, MAX_TEXT);
    let mut lines = vec![before.to_owned()];
    let mut taken = measure_text_width(before);
    let mut begins = true;
    for word in text.split(' ') {
        let width = measure_text_width(word);
        if !begins && taken.saturating_add(1 + width) > columns {
            lines.push(" ".repeat(set_in));
            (taken, begins) = (set_in, true);
        }
        if let Some(line) = lines.last_mut() {
            if !begins {
                line.push(' ');
                taken += 1;
            }
            line.push_str(word);
        }
        taken += width;
        begins = false;
    }
    lines
}

fn more(report: &Report, epilogue: &Epilogue, style: &Style, columns: usize) -> Vec<String> {
    let label = |text: &str| label(style, text);
    let remarks = report.scan.remarks.iter().map(|remark| ("note", remark));
    let tickets = epilogue.tickets.iter().map(|what| ("tickets", what));
    let mut lines: Vec<String> = remarks
        .chain(tickets)
        .flat_map(|(name, text)| row(style, columns, name, text))
        .collect();
    // Paths and commands are to be copied, so they are never cut.
    lines.extend(
        epilogue
            .reports
            .iter()
            .map(|path| format!("{}{}", label("report"), fit(&path.to_string_lossy(), usize::MAX))),
    );
    if let Some(command) = &epilogue.resume {
        lines.push(format!("{}{}", label("go on"), fit(command, usize::MAX)));
    }
    lines
}

fn verdict(report: &Report, style: &Style) -> Vec<String> {
    let verdict = &report.verdict;
    let title = fit(&report.scan.title, 60);
    let headline = match report.scan.duration() {
        Some(took) => format!("{title}, {}: {}", span(took), verdict.headline),
        None => format!("{title}: {}", verdict.headline),
    };
    vec![
        paint::verdict(verdict, style).apply_to(headline).to_string(),
        one_line(&verdict.sentence).into_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{safe, sample};

    fn plain(columns: usize) -> String {
        let epilogue = Epilogue {
            reports: vec![PathBuf::from("out/report.html")],
            resume: Some("phantom scan --resume 20261123-020000-7f3a".to_owned()),
            tickets: vec!["2 findings not brought into line with Jira yet".to_owned()],
        };
        lines(
            &sample::report(),
            &epilogue,
            &Style::new().force_styling(false),
            columns,
        )
        .join("\n")
    }

    #[test]
    fn everything_a_person_needs_is_there() {
        let text = plain(120);
        for part in [
            "critical  certain    insecure-form           2  SEC-1482  Login form sends a password over plain HTTP to",
            "Gone\n  fixed  low  SEC-77  Image from old.shop.test is loaded over plain HTTP",
            "Suppressed, 1 finding\n  medium Form without a token at /search (won't fix, web-team@shop.test: Read only",
            "suppression 5a5a5a5a5a5a (check mixed-content, site shop-main): it expired on 2026-06-30",
            "3 pages failed: the page did not finish loading within 45 s (https://www.shop.test/stream)",
            "Unclaimed hosts: no site's file includes them; `phantom sites add` writes one\n  promo.shop.test (seen on https",
            "tickets 2 findings not brought into line",
            "report  out/report.html",
            "go on   phantom scan --resume 20261123-020000-7f3a",
            "Shop, main site, 31 min 0 s: Incomplete, with 3 findings at or above high\n1187 of 1243 pages looked at",
        ] {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
    }

    #[test]
    fn page_text_cannot_act_and_tables_keep_to_the_width() {
        for columns in [70, 80, 120, 200] {
            let text = plain(columns);
            assert!(!text.contains(|c| safe::is_hidden(c) && c != '\n'));
            let table: Vec<_> = text.lines().skip(1).take_while(|line| !line.is_empty()).collect();
            assert_eq!(table.len(), 7);
            for line in table {
                assert!(measure_text_width(line) <= columns, "{line}");
            }
        }
    }

    #[test]
    fn advice_is_never_cut_off() {
        let text = "the limit of 10 pages was reached: 3 known pages not looked at; raise `limits.pages` to see more";
        let lines = wrapped(text, "note    ", 8, 40);
        assert!(
            lines.len() > 2 && lines.iter().all(|line| line.len() <= 40),
            "{lines:#?}"
        );
        assert!(
            lines.iter().skip(1).all(|line| line.starts_with("        ")),
            "{lines:#?}"
        );
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(words(&lines.join(" ")), words(&format!("note {text}")));
        assert_eq!(wrapped(text, "", 2, PLAIN_COLUMNS), [text]);
        let (all, report) = (plain(PLAIN_COLUMNS), sample::report());
        let titles = report.findings.iter().map(|finding| &finding.title);
        for text in titles.chain(report.not_checked.iter().map(|group| &group.reason)) {
            assert!(all.contains(&*one_line(text)), "into a pipe nothing is cut: {text}");
        }
    }

    #[test]
    fn a_quiet_summary_is_the_verdict() {
        let verdict = verdict(&sample::report(), &Style::new().force_styling(false));
        assert_eq!(verdict.len(), 2);
    }
}
