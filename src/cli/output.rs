//! What commands write: lines for people, or JSON for machines. Both are safe to show on a terminal.

use clap::Args;
use console::Term;
use serde::Serialize;

use super::exit::{Ended, Exit, OrExit};
use crate::report::safe_json;

/// How the answer is written.
#[derive(Debug, Clone, Copy, Args)]
pub struct Shape {
    /// Write JSON.
    #[arg(long)]
    pub json: bool,
}

impl Shape {
    /// Writes lines, or what they are made of.
    pub fn show<T: Serialize + ?Sized>(self, what: &T, lines: impl FnOnce() -> Vec<String>) -> Ended {
        if self.json { print_json(what) } else { print(lines()) }
    }
}

/// Writes lines to the standard output stream. What is hostile in them was made visible by who made them.
pub fn print(lines: impl IntoIterator<Item = String>) -> Ended {
    let term = Term::stdout();
    lines
        .into_iter()
        .try_for_each(|line| term.write_line(&line))
        .or_usage()?;
    Ok(Exit::Clean)
}

/// Says to the standard error stream that there is nothing to write: programs read the other one.
pub fn nothing(why: &str) {
    // Nobody is left to tell if this fails.
    let _ = Term::stderr().write_line(why);
}

/// Writes JSON to the standard output stream.
pub fn print_json<T: Serialize + ?Sized>(what: &T) -> Ended {
    Term::stdout().write_str(&safe_json(what).or_usage()?).or_usage()?;
    Ok(Exit::Clean)
}
