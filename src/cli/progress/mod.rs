//! Shows a running scan to the person who waits for it, on the standard error stream.
//!
//! On a terminal: findings as they come, and below them a bar with pages, rate, tabs, findings and slow pages.
//! Elsewhere: plain lines, the state of the scan at most every few seconds.

mod bars;
mod line;
mod state;

use std::time::{Duration, Instant};

use console::{Style, Term};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use bars::Bars;
pub use state::State;

use crate::report::safe::fit;
use crate::report::{plural, span};
use crate::scan::ScanEvent;

/// How much is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Errors and the verdict.
    Quiet,
    /// Findings, failed pages and the state of the scan.
    Normal,
    /// Every page too.
    Verbose,
}

/// How often a terminal is brought up to date.
const REDRAW: Duration = Duration::from_millis(200);
/// How often the state of the scan is a line, where there is no terminal.
const PLAIN_EVERY: Duration = Duration::from_secs(5);
/// Columns of a line, where there is no terminal.
const PLAIN_COLUMNS: usize = 300;

/// Shows the events of a scan.
pub struct Progress {
    state: State,
    verbosity: Verbosity,
    term: Term,
    style: Style,
    display: Display,
}

enum Display {
    /// Nothing but lines for errors.
    Quiet,
    /// Lines, and the state as one of them when it is due.
    Lines { due: Instant },
    /// Lines above bars.
    Bars(Bars),
}

impl Progress {
    /// Shows a scan that begins now.
    pub fn new(verbosity: Verbosity) -> Self {
        let term = Term::stderr();
        let now = Instant::now();
        let display = if verbosity == Verbosity::Quiet {
            Display::Quiet
        } else if term.features().is_attended() && std::env::var_os("TERM").is_none_or(|term| term != "dumb") {
            Display::Bars(Bars::new())
        } else {
            Display::Lines { due: now + PLAIN_EVERY }
        };
        Self {
            state: State::new(now),
            verbosity,
            term,
            style: Style::new().for_stderr(),
            display,
        }
    }

    /// Shows events until the channel is closed, then takes the bars away.
    pub async fn run(mut self, mut events: mpsc::Receiver<ScanEvent>) {
        let mut ticks = interval(REDRAW);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Some(event) => self.show(&event),
                    None => break,
                },
                _ = ticks.tick() => self.redraw(),
            }
        }
        if let Display::Bars(bars) = &self.display {
            bars.clear();
        }
    }

    /// Takes an event in, and prints it if it is worth a line.
    pub fn show(&mut self, event: &ScanEvent) {
        let worth_telling = self.state.apply(event, Instant::now());
        if !worth_telling || line::verbosity_of(event).is_none_or(|least| self.verbosity < least) {
            return;
        }
        if let Some(text) = line::of(event, &self.style, self.columns()) {
            self.print(&text);
        }
    }

    /// Brings the bars up to date, or prints the state of the scan if that is due.
    pub fn redraw(&mut self) {
        let now = Instant::now();
        match &mut self.display {
            Display::Bars(bars) => bars.draw(&mut self.state, now, &self.style),
            Display::Lines { due } if now >= *due => {
                *due = now + PLAIN_EVERY;
                for text in status(&mut self.state, now) {
                    self.print(&fit(&text, PLAIN_COLUMNS));
                }
            }
            Display::Quiet | Display::Lines { .. } => {}
        }
    }

    fn columns(&self) -> usize {
        match self.display {
            Display::Bars(_) => usize::from(self.term.size().1),
            _ => PLAIN_COLUMNS,
        }
    }

    /// A terminal that went away must not end the scan, so errors of printing are dropped.
    fn print(&self, text: &str) {
        let _ = match &self.display {
            Display::Bars(bars) => bars.println(text),
            _ => self.term.write_line(text),
        };
    }
}

/// The state of the scan in a line, and a line for each slow page.
fn status(state: &mut State, now: Instant) -> Vec<String> {
    let mut parts = vec![
        format!("{} of {}", state.ended(), plural(state.wanted(), "page")),
        format!("{:.1}/s", state.rate(now)),
        format!("{} busy", plural(state.busy() as u64, "tab")),
    ];
    parts.extend(
        state
            .severities()
            .iter()
            .map(|(severity, count)| format!("{count} {severity}")),
    );
    parts.extend(state.asides());
    let mut lines = vec![parts.join(", ")];
    for (url, took) in state.slow(now) {
        lines.push(format!("slow, {} so far: {url}", span(took)));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::ScanCounts;

    #[test]
    fn the_state_is_one_line_and_names_slow_pages() {
        let start = Instant::now();
        let mut state = State::new(start);
        state.apply(
            &ScanEvent::PageStarted {
                tab: 1,
                url: "https://a.test/".to_owned(),
            },
            start,
        );
        state.apply(
            &ScanEvent::Counts(ScanCounts {
                waiting: 4,
                leased: 1,
                done: 7,
                failed: 1,
                skipped: 3,
            }),
            start,
        );
        assert_eq!(
            status(&mut state, start + Duration::from_secs(70)),
            [
                "8 of 13 pages, 0.0/s, 1 tab busy, 1 page failed, 3 skipped",
                "slow, 1 min 10 s so far: https://a.test/"
            ]
        );
    }
}
