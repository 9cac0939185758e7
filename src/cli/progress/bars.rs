//! The moving part of a terminal: a bar, a line of findings, and the slow pages.

use std::io;
use std::time::Instant;

use console::{Style, Term};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{State, line};
use crate::cli::paint;
use crate::report::{plural, span};

/// Slow pages shown at once.
const MAX_SLOW: usize = 3;

/// The lines at the bottom of the terminal.
pub struct Bars {
    all: MultiProgress,
    pages: ProgressBar,
    findings: ProgressBar,
    slow: Vec<ProgressBar>,
}

impl Bars {
    /// Bars on the standard error stream, empty until they are drawn.
    pub fn new() -> Self {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        let pages = all.add(ProgressBar::new(0));
        let bar = ProgressStyle::with_template("{bar:28.cyan/dim} {wide_msg}");
        // Both templates are constants; a mistake in one would show the plain bar.
        pages.set_style(
            bar.unwrap_or_else(|_| ProgressStyle::default_bar())
                .progress_chars("━╸─"),
        );
        let findings = all.add(text_line());
        Self {
            all,
            pages,
            findings,
            slow: Vec::new(),
        }
    }

    /// Shows the state.
    pub fn draw(&mut self, state: &mut State, now: Instant, style: &Style) {
        self.pages.set_length(state.wanted());
        self.pages.set_position(state.ended());
        self.pages.set_message(format!(
            "{} of {}  {:.1}/s  {}/{} tabs busy  {}",
            state.ended(),
            plural(state.wanted(), "page"),
            state.rate(now),
            state.busy(),
            state.tabs,
            span(state.elapsed(now)),
        ));
        self.findings.set_message(findings_line(state, style));
        self.draw_slow(state, now, style);
    }

    fn draw_slow(&mut self, state: &State, now: Instant, style: &Style) {
        let columns = usize::from(Term::stderr().size().1);
        let slow = state.slow(now);
        let shown = slow.len().min(MAX_SLOW);
        while self.slow.len() > shown {
            if let Some(bar) = self.slow.pop() {
                bar.finish_and_clear();
                self.all.remove(&bar);
            }
        }
        while self.slow.len() < shown {
            self.slow.push(self.all.add(text_line()));
        }
        for (bar, (url, took)) in self.slow.iter().zip(slow) {
            bar.set_message(line::slow(url, took, style, columns));
        }
    }

    /// Prints a line above the bars.
    pub fn println(&self, text: &str) -> io::Result<()> {
        self.all.println(text)
    }

    /// Takes everything away.
    pub fn clear(&self) {
        for bar in self.slow.iter().chain([&self.findings, &self.pages]) {
            bar.finish_and_clear();
        }
        // What is left on the screen of a terminal that went away does not matter.
        let _ = self.all.clear();
    }
}

fn text_line() -> ProgressBar {
    let style = ProgressStyle::with_template("{wide_msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::no_length().with_style(style)
}

fn findings_line(state: &State, style: &Style) -> String {
    let severities = state.severities();
    let mut parts: Vec<String> = severities
        .iter()
        .map(|(severity, count)| format!("{count} {}", paint::severity(*severity, style)))
        .collect();
    if parts.is_empty() {
        parts.push(style.clone().dim().apply_to("no findings yet").to_string());
    }
    parts.extend(
        state
            .asides()
            .into_iter()
            .map(|words| style.clone().dim().apply_to(words).to_string()),
    );
    parts.join("  ")
}
