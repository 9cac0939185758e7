//! Page text made fit to be shown to people: in a terminal, in the HTML report, in a log line.
//!
//! A page chooses its own URLs, titles and field names. Whatever could move the cursor, switch the direction of
//! reading or hide itself is replaced by something that can be seen.

use std::borrow::Cow;
use std::fmt::Write as _;

/// The text with every control, direction and invisible character made visible, as `<U+202E>`. Line
/// breaks and tabs are kept.
pub fn visible(text: &str) -> Cow<'_, str> {
    replace(text, |c| is_hidden(c) && c != '\n' && c != '\t')
}

/// [`visible`] text on one line: line breaks and tabs are shown as the others.
pub fn one_line(text: &str) -> Cow<'_, str> {
    replace(text, is_hidden)
}

/// [`one_line`] text, cut to so many terminal columns, with an ellipsis where it was cut.
pub fn fit(text: &str, columns: usize) -> String {
    // Nothing that is cut off can matter, and combining marks take no column: bound the characters too.
    let end = text
        .char_indices()
        .nth(columns.saturating_mul(4))
        .map_or(text.len(), |(end, _)| end);
    console::truncate_str(&one_line(&text[..end]), columns, "…").into_owned()
}

/// Whether a character could act on a terminal, turn the direction of reading, or be there unseen.
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

fn replace(text: &str, hidden: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if hidden(c) {
            // Writing to a String cannot fail. Unicode has pictures of the old control characters, but few fonts have.
            let _ = write!(shown, "<U+{:04X}>", u32::from(c));
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_acts_or_hides_is_shown() {
        for (text, shown) in [
            ("plain ä 漢 🙂", "plain ä 漢 🙂"),
            ("\u{1b}[2J\u{7}", "<U+001B>[2J<U+0007>"),
            ("\u{9b}31m", "<U+009B>31m"),
            ("exe\u{202e}gpj.", "exe<U+202E>gpj."),
            ("a\u{200b}b\u{feff}\u{7f}", "a<U+200B>b<U+FEFF><U+007F>"),
            ("\u{e0041}", "<U+E0041>"),
            ("two\nlines\tkept\r", "two\nlines\tkept<U+000D>"),
        ] {
            assert_eq!(visible(text), shown);
        }
        assert_eq!(one_line("two\nlines\t."), "two<U+000A>lines<U+0009>.");
    }

    #[test]
    fn text_is_cut_by_columns_not_by_bytes() {
        for (text, columns, cut) in [
            ("short", 10, "short"),
            ("exactly ten", 11, "exactly ten"),
            ("cut here, please", 9, "cut here…"),
            ("漢字漢字", 5, "漢字…"),
            ("", 0, ""),
        ] {
            assert_eq!(fit(text, columns), cut);
        }
    }

    proptest! {
        #[test]
        fn nothing_hidden_is_left(text in any::<String>(), columns in 0_usize..100) {
            prop_assert!(!one_line(&text).contains(is_hidden));
            let line = fit(&text, columns);
            prop_assert!(!line.contains(is_hidden));
            prop_assert!(console::measure_text_width(&line) <= columns);
        }
    }
}
