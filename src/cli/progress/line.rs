//! An event as one line.

use console::Style;

use super::Verbosity;
use crate::cli::paint;
use crate::report::safe::fit;
use crate::report::span;
use crate::scan::{ScanEvent, Wish};

/// How much must be wanted for an event to be a line; `None` if it never is.
pub fn verbosity_of(event: &ScanEvent) -> Option<Verbosity> {
    match event {
        ScanEvent::TicketProblem(_) => Some(Verbosity::Quiet),
        ScanEvent::Started { .. }
        | ScanEvent::HostWaits { .. }
        | ScanEvent::PageFailed { .. }
        | ScanEvent::Finding { .. }
        | ScanEvent::Remark(_)
        | ScanEvent::Wished(_)
        | ScanEvent::BrowserRestarted { .. }
        | ScanEvent::TicketCreated { .. } => Some(Verbosity::Normal),
        ScanEvent::PageDone { .. } | ScanEvent::PageLeft { .. } | ScanEvent::TicketAdopted { .. } => {
            Some(Verbosity::Verbose)
        }
        ScanEvent::PageStarted { .. }
        | ScanEvent::Counts(_)
        | ScanEvent::TicketsLeft(_)
        | ScanEvent::Finished { .. } => None,
    }
}

/// The line, made safe and cut to so many columns; `None` for events that have none.
pub fn of(event: &ScanEvent, style: &Style, columns: usize) -> Option<String> {
    let (head, head_columns, text) = match event {
        ScanEvent::Finding {
            check,
            severity,
            confidence,
            title,
            new,
            ..
        } => {
            let new = if *new { "new " } else { "" };
            let head = format!("{:<8} {confidence:<9} ", paint::severity(*severity, style));
            (head, 19, format!("{new}{check}: {title}"))
        }
        event => {
            let (label, text) = words(event)?;
            let label_style = match event {
                ScanEvent::PageFailed { .. } | ScanEvent::BrowserRestarted { .. } => style.clone().yellow(),
                ScanEvent::TicketProblem(_) => style.clone().red(),
                _ => style.clone().dim(),
            };
            (format!("{} ", label_style.apply_to(format!("{label:<8}"))), 9, text)
        }
    };
    Some(format!("{head}{}", fit(&text, columns.saturating_sub(head_columns))))
}

fn words(event: &ScanEvent) -> Option<(&'static str, String)> {
    Some(match event {
        ScanEvent::Started {
            scan,
            site,
            resumed,
            tabs,
        } => {
            let begins = if *resumed { "goes on" } else { "begins" };
            ("scan", format!("{scan} of {site} {begins}, tabs: {tabs}"))
        }
        ScanEvent::PageDone { url, took, .. } => ("done", format!("{:.1} s  {url}", took.as_secs_f64())),
        ScanEvent::PageFailed { url, reason, .. } => ("failed", format!("{url}: {reason}")),
        ScanEvent::PageLeft { url, reason, .. } => ("left", format!("{url}: {reason}")),
        ScanEvent::HostWaits { host, wait } => ("wait", format!("{host} asks to be left alone for {}", span(*wait))),
        ScanEvent::Remark(text) => ("note", text.clone()),
        ScanEvent::Wished(Wish::Stop) => ("stop", "somebody asked for it; what was found is saved".to_owned()),
        ScanEvent::Wished(Wish::Pause) => ("pause", "somebody asked for it; what was found is saved".to_owned()),
        ScanEvent::BrowserRestarted { reason } => ("browser", format!("restarted: {reason}")),
        ScanEvent::TicketCreated { key, title } => ("ticket", format!("{key} created: {title}")),
        ScanEvent::TicketAdopted { key, title } => ("ticket", format!("{key} adopted: {title}")),
        ScanEvent::TicketProblem(text) => ("tickets", text.clone()),
        ScanEvent::PageStarted { .. }
        | ScanEvent::Finding { .. }
        | ScanEvent::Counts(_)
        | ScanEvent::TicketsLeft(_)
        | ScanEvent::Finished { .. } => return None,
    })
}

/// A slow page.
pub fn slow(url: &str, took: std::time::Duration, style: &Style, columns: usize) -> String {
    let head = format!("slow, {} ", span(took));
    let url = fit(url, columns.saturating_sub(head.chars().count()));
    format!("{}{url}", style.clone().yellow().apply_to(head))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::triage::Fingerprint;
    use phantom_checks::{Confidence, Severity};

    #[test]
    fn page_text_cannot_act_on_the_terminal() {
        let hostile = "\u{1b}[2J\u{9b}1A\r\nFAKE \u{202e}".to_owned();
        let url = hostile.clone();
        let reason = hostile.clone();
        for event in [
            ScanEvent::Finding {
                fingerprint: Fingerprint(String::new()),
                check: "mixed-content".to_owned(),
                severity: Severity::High,
                confidence: Confidence::Certain,
                title: hostile.clone(),
                new: true,
            },
            ScanEvent::PageFailed { tab: 0, url, reason },
            ScanEvent::Remark(hostile.clone()),
            ScanEvent::TicketProblem(hostile),
        ] {
            let plain = Style::new().force_styling(false);
            let line = of(&event, &plain, 60).unwrap();
            assert!(!line.contains(crate::report::safe::is_hidden), "{line:?}");
            assert!(console::measure_text_width(&line) <= 60, "{line:?}");
        }
    }

    #[test]
    fn lines_read_well() {
        let plain = Style::new().force_styling(false);
        let finding = ScanEvent::Finding {
            fingerprint: Fingerprint(String::new()),
            check: "mixed-content".to_owned(),
            severity: Severity::High,
            confidence: Confidence::Certain,
            title: "A script".to_owned(),
            new: true,
        };
        assert_eq!(
            of(&finding, &plain, 80).unwrap(),
            "high     certain   new mixed-content: A script"
        );
        let failed = ScanEvent::PageFailed {
            tab: 0,
            url: "https://a.test/".to_owned(),
            reason: "timeout".to_owned(),
        };
        assert_eq!(of(&failed, &plain, 80).unwrap(), "failed   https://a.test/: timeout");
        let waits = ScanEvent::HostWaits {
            host: "a.test".to_owned(),
            wait: std::time::Duration::from_mins(1),
        };
        assert_eq!(
            of(&waits, &plain, 80).unwrap(),
            "wait     a.test asks to be left alone for 1 min 0 s"
        );
    }
}
