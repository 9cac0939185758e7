use std::fmt;
use std::path::{Path, PathBuf};

/// A path as it is told: whatever is in its name, it takes one line.
pub(crate) fn named(path: &Path) -> String {
    let mut name = String::new();
    for c in path.to_string_lossy().chars() {
        if c.is_control() {
            name.extend(c.escape_default());
        } else {
            name.push(c);
        }
    }
    name
}

/// One thing that is wrong in a file of settings: what, where, and what to do about it.
///
/// Values that may be secret are never part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file, as it was named by the caller.
    pub file: String,
    /// The line, counted from 1.
    pub line: usize,
    /// The column in characters, counted from 1.
    pub column: usize,
    /// What is wrong, beginning with the key.
    pub what: String,
    /// What to do.
    pub advice: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} ({}:{}:{}); {}",
            self.what, self.file, self.line, self.column, self.advice
        )
    }
}

/// Why settings could not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read {}: {why}; check that it exists and may be read", named(path))]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        why: String,
    },
    /// The file was read and is wrong. All that is wrong is listed, one line each, in the order of the file.
    #[error("{}", one_a_line(.0))]
    Invalid(Vec<Problem>),
}

impl ConfigError {
    /// What is wrong inside the file; empty if it could not be read.
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::Read { .. } => &[],
            Self::Invalid(problems) => problems,
        }
    }
}

fn one_a_line(problems: &[Problem]) -> String {
    let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
    lines.join("\n")
}
