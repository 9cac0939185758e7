//! Text from pages and peers, made safe to read: nothing hidden, nothing that reorders, nothing beyond a length.

/// Makes characters visible that would hide, reorder or break text: controls, direction marks, zero-width characters,
/// non-characters. They become `\u{…}`. Line ends and tabs are kept.
pub fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\n' | '\t' => out.push(c),
            '\r' => {
                if chars.peek() != Some(&'\n') {
                    out.push('\n');
                }
            }
            c if hides(c) => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out
}

/// Like [`visible`], on one line: white space of any kind becomes single spaces.
pub fn line(text: &str) -> String {
    visible(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The text, at most `max` UTF-16 units long, as Jira counts. What is cut off is shown as `…`.
pub fn cut(text: &str, max: usize) -> String {
    if units(text) <= max {
        return text.to_owned();
    }
    let mut left = max.saturating_sub(1);
    let mut end = 0;
    for (index, c) in text.char_indices() {
        if c.len_utf16() > left {
            break;
        }
        left -= c.len_utf16();
        end = index + c.len_utf8();
    }
    let mut out = text.get(..end).unwrap_or_default().trim_end().to_owned();
    if max > 0 {
        out.push('…');
    }
    out
}

/// The length in UTF-16 units.
pub fn units(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}

fn hides(c: char) -> bool {
    c.is_control()
        || matches!(u32::from(c),
            0x00AD | 0x034F | 0x061C | 0x180E
            | 0x200B..=0x200F | 0x2028..=0x202E | 0x2060..=0x206F
            | 0xFEFF | 0xFFF9..=0xFFFB | 0xE0000..=0xE007F)
        || u32::from(c) & 0xFFFE == 0xFFFE
        || (0xFDD0..=0xFDEF).contains(&u32::from(c))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_hides_is_shown() {
        for (text, expected) in [
            ("plain ünïcödé ✓", "plain ünïcödé ✓"),
            ("a\u{202e}b", "a\\u{202e}b"),
            ("a\0b\u{1b}[31m", "a\\u{0}b\\u{1b}[31m"),
            ("a\r\nb\rc", "a\nb\nc"),
            ("\u{feff}x\u{ffff}", "\\u{feff}x\\u{ffff}"),
        ] {
            assert_eq!(visible(text), expected);
        }
        assert_eq!(line(" a\n\t b\u{2028}c "), "a b\\u{2028}c");
    }

    #[test]
    fn lengths_are_utf16() {
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("abcd", 3), "ab…");
        assert_eq!(cut("😀😀", 4), "😀😀");
        assert_eq!(cut("😀😀", 3), "😀…");
        assert_eq!(cut("abc", 0), "");
    }

    proptest! {
        #[test]
        fn cut_never_exceeds(text in ".{0,80}", max in 0_usize..60) {
            prop_assert!(units(&cut(&text, max)) <= max);
        }
    }
}
