//! Colours of the terminal, the same wherever a severity is shown. None where the stream or `NO_COLOR` wants none.

use console::{Style, StyledObject};
use phantom_checks::Severity;

use crate::report::Verdict;

/// A severity as a coloured word, which pads as any word does.
pub fn severity(severity: Severity, base: &Style) -> StyledObject<Severity> {
    let base = base.clone();
    let style = match severity {
        Severity::Critical => base.magenta().bold(),
        Severity::High => base.red().bold(),
        Severity::Medium => base.yellow(),
        Severity::Low => base.blue(),
        Severity::Info => base,
    };
    style.apply_to(severity)
}

/// How a verdict is coloured.
pub fn verdict(verdict: &Verdict, base: &Style) -> Style {
    match verdict.exit_code {
        _ if verdict.is_good() => base.clone().green().bold(),
        1 => base.clone().red().bold(),
        _ => base.clone().yellow().bold(),
    }
}
