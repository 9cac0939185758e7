//! What a value looks like, and whether it looks like a secret.

use crate::evidence::{Charset, ValueShape};

/// The narrowest character class of a value, and its Shannon entropy in bits a character.
pub fn measure(value: &str) -> (Charset, f32) {
    (charset(value), entropy(value))
}

fn charset(value: &str) -> Charset {
    let all = |allowed: fn(u8) -> bool| value.bytes().all(allowed);
    if value.is_empty() {
        Charset::Empty
    } else if all(|b| b.is_ascii_digit()) {
        Charset::Digits
    } else if all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f' | b'-'))
        || all(|b| matches!(b, b'0'..=b'9' | b'A'..=b'F' | b'-'))
    {
        Charset::Hex
    } else if all(|b| b.is_ascii_alphanumeric()) {
        Charset::Alphanumeric
    } else if all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=' | b'-' | b'_' | b'.')) {
        Charset::Base64
    } else if all(|b| (b' '..=b'~').contains(&b)) {
        Charset::Ascii
    } else {
        Charset::Other
    }
}

fn entropy(value: &str) -> f32 {
    let mut characters: Vec<char> = value.chars().collect();
    let total = characters.len() as f32;
    characters.sort_unstable();
    characters
        .chunk_by(|one, other| one == other)
        .map(|run| {
            let share = run.len() as f32 / total;
            -share * share.log2()
        })
        .sum()
}

/// Whether a value looks like it was drawn at random from at least 64 bits: 16 characters or more of a token's
/// alphabet, of which no part repeats as words do.
pub fn is_random(shape: &ValueShape) -> bool {
    if shape.length < 16 {
        return false;
    }
    // As many bits a character as a text of this length can have, were all its characters different.
    let most = (shape.length as f32).log2();
    match shape.charset {
        Charset::Hex => shape.entropy >= 2.8,
        Charset::Alphanumeric => shape.entropy >= (0.88 * most).min(4.2),
        Charset::Base64 => shape.length >= 20 && shape.entropy >= (0.88 * most).min(4.4),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::shape;

    #[test]
    fn random_values_are_told_from_words() {
        let table = [
            ("7f4df451a9c3e2b08d6c5e1f00ab43cd", true),
            ("1f0c9a52-6d4e-4f8e-9f43-2f3f1a7f0b11", true),
            ("Zk3vQ9xT1bLwYp7R", true),
            ("m8Qw1rT5yU7iO3pA6sD4fG2hJ9kL0zXc", true),
            ("dGhpcyBpcyBhIHRva2VuIG9mIHNvbWUga2luZA==", true),
            ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NSJ9.s5u8x-A_Bq0", true),
            ("1699999999999999", false),
            ("0000000000000000000a", false),
            ("customerfeedbackform", false),
            ("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab", false),
            ("account-settings-profile-account", false),
            ("a1b2c3d4", false),
            ("Save and continue to the next", false),
            ("", false),
        ];
        for (value, expected) in table {
            assert_eq!(is_random(&shape(value)), expected, "{value} {:?}", shape(value));
        }
    }
}
