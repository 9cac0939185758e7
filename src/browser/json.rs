//! Reads JSON that pages have a hand in. Half of a UTF-16 surrogate pair is text to their scripts, but not to us.

use std::borrow::Cow;

use serde::de::DeserializeOwned;

/// The length of `\ud800`, in bytes.
const ESCAPE: usize = 6;

/// Reads JSON, in which a surrogate without its other half is read as U+FFFD.
pub(super) fn read<T: DeserializeOwned>(text: &str) -> serde_json::Result<T> {
    serde_json::from_str(text).or_else(|error| match well_formed(text) {
        Cow::Owned(mended) => serde_json::from_str(&mended),
        Cow::Borrowed(_) => Err(error),
    })
}

/// The same JSON, with the escape of U+FFFD in the place of each that stands for half a pair.
pub(super) fn well_formed(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let (mut mended, mut kept, mut at) = (String::new(), 0, 0);
    while let Some(found) = bytes
        .get(at..)
        .and_then(|rest| rest.iter().position(|&byte| byte == b'\\'))
    {
        let start = at + found;
        at = match (unit(bytes, start), unit(bytes, start + ESCAPE)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => start + 2 * ESCAPE,
            (Some(0xd800..=0xdfff), _) => {
                mended.push_str(&text[kept..start]);
                mended.push_str("\\ufffd");
                kept = start + ESCAPE;
                kept
            }
            // What is escaped may be a backslash.
            _ => start + 2,
        };
    }
    if kept == 0 {
        return Cow::Borrowed(text);
    }
    mended.push_str(&text[kept..]);
    Cow::Owned(mended)
}

/// The UTF-16 unit whose escape begins there.
fn unit(bytes: &[u8], start: usize) -> Option<u32> {
    let digits = bytes.get(start..start + ESCAPE)?.strip_prefix(b"\\u")?;
    digits
        .iter()
        .try_fold(0, |unit, &digit| Some(unit * 16 + char::from(digit).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_of_pairs_become_replacement_characters() {
        let cases = [
            (r#""\ud800 t""#, "\u{fffd} t"),
            (r#""\uD83D\uDE00""#, "😀"),
            (r#""\ud83d\ude00\ud83d""#, "😀\u{fffd}"),
            (r#""\ude00\ud83d""#, "\u{fffd}\u{fffd}"),
            (r#""\ud83d\ud83d\ude00""#, "\u{fffd}😀"),
            (r#""\\ud800 \\\ud800ö""#, "\\ud800 \\\u{fffd}ö"),
            (r#""ö\n\ud83d\u0041""#, "ö\n\u{fffd}A"),
        ];
        for (json, text) in cases {
            assert_eq!(read::<String>(json).unwrap(), text, "{json}");
        }
    }

    #[test]
    fn what_is_no_json_stays_none() {
        for text in [
            "",
            "\"\\",
            "\"\\ud8",
            "\"\\ud800",
            "\"\\ö\"",
            "\"\\u+123\"",
            "\"\\ud80",
            "\\ud800",
        ] {
            assert!(read::<String>(text).is_err(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_of_a_script_is_read(units in proptest::collection::vec(
            proptest::prop_oneof![0xd7f0_u16..0xe010, 0x20_u16..0x7f], 0..12)) {
            // Half of the escapes that need not be are not.
            let escaped = |unit: &u16| match char::from_u32(u32::from(*unit)) {
                Some(plain @ ('"' | '\\')) => format!("\\{plain}"),
                Some(plain) if unit.is_multiple_of(2) => plain.to_string(),
                _ => format!("\\u{unit:04x}"),
            };
            let json = format!("\"{}\"", units.iter().map(escaped).collect::<String>());
            let text = String::from_utf16_lossy(&units);
            proptest::prop_assert_eq!(read::<String>(&json).unwrap(), text);
        }
    }
}
