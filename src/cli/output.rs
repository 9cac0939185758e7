//! What commands write: lines for people, or JSON for machines. Both are safe to show on a terminal.

use std::borrow::Cow;

use clap::Args;
use console::{Alignment, Style, Term, measure_text_width, pad_str};
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

/// Lines of columns under their heads, if there are any. Columns are as wide as what is in them.
pub fn table<const N: usize>(heads: [&str; N], rows: &[[String; N]]) -> Vec<String> {
    if rows.is_empty() {
        return Vec::new();
    }
    let heads = heads.map(str::to_owned);
    let widths: [usize; N] = std::array::from_fn(|column| {
        let cells = rows.iter().chain([&heads]).map(|row| measure_text_width(&row[column]));
        cells.max().unwrap_or_default()
    });
    let line = |row: &[String; N]| {
        let cells = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| pad_str(cell, width, Alignment::Left, None));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let heading = Style::new().dim().apply_to(line(&heads)).to_string();
    [heading].into_iter().chain(rows.iter().map(line)).collect()
}

/// Says to the standard error stream that there is nothing to write: programs read the other one.
pub fn nothing(why: &str) {
    // Nobody is left to tell if this fails.
    let _ = Term::stderr().write_line(why);
}

/// A word as a shell reads it, for commands that are shown to be copied.
pub fn quoted(word: &str) -> Cow<'_, str> {
    // Only a word with a zero byte in it cannot be said, and no argument has one.
    shlex::try_quote(word).unwrap_or(Cow::Borrowed(word))
}

/// Words as a shell reads them, on one line.
pub fn command_line<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    words.into_iter().map(quoted).collect::<Vec<_>>().join(" ")
}

/// Writes JSON to the standard output stream.
pub fn print_json<T: Serialize + ?Sized>(what: &T) -> Ended {
    Term::stdout().write_str(&safe_json(what).or_usage()?).or_usage()?;
    Ok(Exit::Clean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_shown_as_a_shell_reads_them() {
        for words in [
            &["phantom", "scan", "--resume", "20261125-020000-7f3a"][..],
            &["phantom", "--store", "sqlite:my scans/it's.db"],
            &["--report", "html=a b.html", "$(rm)", "", "a\\b", "!1", "*"],
        ] {
            let line = command_line(words.iter().copied());
            assert_eq!(shlex::split(&line).unwrap(), words, "{line}");
        }
        assert_eq!(
            command_line(["phantom", "--store", "/a b.db"]),
            "phantom --store '/a b.db'"
        );
    }

    #[test]
    fn columns_are_as_wide_as_what_is_in_them() {
        let rows = [["a", "22222", "end"], ["猫猫", "3", ""]].map(|row| row.map(str::to_owned));
        let lines = table(["id", "n", "title"], &rows);
        let lines: Vec<_> = lines.iter().map(|line| console::strip_ansi_codes(line)).collect();
        assert_eq!(lines, ["id    n      title", "a     22222  end", "猫猫  3"]);
    }
}
