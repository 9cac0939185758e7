//! Exit codes, and errors that bring one.

use std::process::ExitCode;

use console::{Style, Term};

/// How the program ends. The order is that of precedence: when several hold, the greatest is it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// Nothing at or above the threshold.
    Clean,
    /// Findings at or above the threshold.
    Findings,
    /// The scan is incomplete.
    Incomplete,
    /// Wrong usage or configuration.
    Usage,
    /// Interrupted.
    Interrupted,
}

impl Exit {
    /// The number that the shell sees.
    pub fn code(self) -> u8 {
        match self {
            Self::Clean => 0,
            Self::Findings => 1,
            Self::Usage => 2,
            Self::Incomplete => 3,
            Self::Interrupted => 130,
        }
    }

    /// The exit of a report's verdict.
    pub fn of_verdict(code: u8) -> Self {
        match code {
            0 => Self::Clean,
            1 => Self::Findings,
            2 => Self::Usage,
            130 => Self::Interrupted,
            _ => Self::Incomplete,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// An error and the exit code it brings.
#[derive(Debug)]
pub struct Failure {
    /// What went wrong and what to do.
    pub error: anyhow::Error,
    /// How the program ends.
    pub exit: Exit,
}

/// What commands return.
pub type Ended = Result<Exit, Failure>;

/// Gives an error its exit code.
pub trait OrExit<T> {
    /// Wrong usage or configuration.
    fn or_usage(self) -> Result<T, Failure>;
    /// The scan could not be brought to its end.
    fn or_incomplete(self) -> Result<T, Failure>;
}

impl<T, E: Into<anyhow::Error>> OrExit<T> for Result<T, E> {
    fn or_usage(self) -> Result<T, Failure> {
        self.map_err(|error| Failure {
            error: error.into(),
            exit: Exit::Usage,
        })
    }

    fn or_incomplete(self) -> Result<T, Failure> {
        self.map_err(|error| Failure {
            error: error.into(),
            exit: Exit::Incomplete,
        })
    }
}

/// Prints an error and ends with its code. That nobody reads any more, as after `| head`, is none.
pub fn fail(error: &anyhow::Error, exit: Exit) -> ExitCode {
    if !is_unread(error) {
        say(&format!("{error:#}"));
    }
    exit.into()
}

fn is_unread(error: &anyhow::Error) -> bool {
    let io = error.root_cause().downcast_ref::<std::io::Error>();
    io.is_some_and(|io| io.kind() == std::io::ErrorKind::BrokenPipe)
}

/// Prints an error.
pub fn say(text: &str) {
    let label = Style::new().for_stderr().red().bold().apply_to("error:");
    // Nobody is left to tell if this fails.
    let _ = Term::stderr().write_line(&format!("{label} {}", crate::report::safe::visible(text)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn that_nobody_reads_is_no_error() {
        let of = |kind: std::io::ErrorKind| anyhow::Error::from(std::io::Error::from(kind)).context("writing");
        assert!(is_unread(&of(std::io::ErrorKind::BrokenPipe)));
        assert!(!is_unread(&of(std::io::ErrorKind::StorageFull)));
    }

    #[test]
    fn when_several_hold_the_gravest_is_the_exit() {
        let order = [130, 2, 3, 1, 0];
        let mut exits = [
            Exit::Clean,
            Exit::Interrupted,
            Exit::Findings,
            Exit::Usage,
            Exit::Incomplete,
        ];
        exits.sort_by(|one, other| other.cmp(one));
        assert_eq!(exits.map(Exit::code), order);
    }
}
