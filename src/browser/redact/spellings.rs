//! How pages spell our own secrets when they repeat them: as they are, or in the encodings of URLs, HTML, JSON, scripts
//! and Base64, each character in its own way.

use std::borrow::Cow;
use std::fmt::Write as _;

use base64::Engine;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use regex::{NoExpand, Regex};
use url::form_urlencoded;

use crate::crawl::REDACTED;

/// Shorter values are not looked for: half of each page would be masked.
const SHORTEST: usize = 4;
/// Of longer values, in characters, only the usual spellings are looked for: a pattern would be too large.
const LONGEST: usize = 1_000;
/// Of shorter values, in bytes, the Base64 is not looked for: what is left of it without its ends is too little.
const SHORTEST_IN_BASE64: usize = 8;

/// An ampersand, which may be encoded itself.
const AMPERSAND: &str = r"(?:&|\\+u0026|%(?:25)*26)(?:amp;)*";
/// What the ASCII characters are called in HTML that encoders call by name.
const NAMES: &[(char, &str)] = &[
    ('\t', "tab"),
    ('\n', "newline"),
    ('!', "excl"),
    ('"', "quot"),
    ('#', "num"),
    ('$', "dollar"),
    ('%', "percnt"),
    ('&', "amp"),
    ('\'', "apos"),
    ('(', "lpar"),
    (')', "rpar"),
    ('*', "ast"),
    ('+', "plus"),
    (',', "comma"),
    ('.', "period"),
    ('/', "sol"),
    (':', "colon"),
    (';', "semi"),
    ('<', "lt"),
    ('=', "equals"),
    ('>', "gt"),
    ('?', "quest"),
    ('@', "commat"),
    ('[', "lsqb|lbrack"),
    ('\\', "bsol"),
    (']', "rsqb|rbrack"),
    ('^', "hat"),
    ('_', "lowbar"),
    ('`', "grave"),
    ('{', "lcub|lbrace"),
    ('|', "vert|verbar"),
    ('}', "rcub|rbrace"),
];
/// What the characters of Latin-1 are called in HTML, from U+00A0 on.
const LATIN: &str = "nbsp iexcl cent pound curren yen brvbar sect uml copy ordf laquo not shy reg macr deg plusmn sup2 \
                     sup3 acute micro para middot cedil sup1 ordm raquo frac14 frac12 frac34 iquest Agrave Aacute \
                     Acirc Atilde Auml Aring AElig Ccedil Egrave Eacute Ecirc Euml Igrave Iacute Icirc Iuml ETH Ntilde \
                     Ograve Oacute Ocirc Otilde Ouml times Oslash Ugrave Uacute Ucirc Uuml Yacute THORN szlig agrave \
                     aacute acirc atilde auml aring aelig ccedil egrave eacute ecirc euml igrave iacute icirc iuml eth \
                     ntilde ograve oacute ocirc otilde ouml divide oslash ugrave uacute ucirc uuml yacute thorn yuml";

/// Finds some secrets in whatever spelling.
#[derive(Default)]
pub(super) struct Spellings {
    patterns: Vec<Regex>,
    /// Of secrets that are too long for a pattern; the longest first.
    literals: Vec<String>,
}

impl Spellings {
    pub fn of(secrets: &[String]) -> Self {
        let long = secrets.iter().filter(|secret| secret.chars().count() >= SHORTEST);
        let mut long: Vec<&str> = long.map(String::as_str).collect();
        long.sort_unstable_by(|one, other| other.len().cmp(&one.len()).then_with(|| one.cmp(other)));
        long.dedup();
        let (long, too_long): (Vec<&str>, Vec<&str>) =
            long.into_iter().partition(|secret| secret.chars().count() <= LONGEST);
        let spelled: Vec<String> = long.iter().map(|secret| pattern(secret)).collect();
        let mut all = Self::default();
        all.literals.extend(too_long.into_iter().flat_map(literals));
        if spelled.is_empty() {
            return all;
        }
        if let Ok(pattern) = Regex::new(&spelled.join("|")) {
            all.patterns.push(pattern);
            return all;
        }
        for (secret, spelled) in long.into_iter().zip(spelled) {
            match Regex::new(&spelled) {
                Ok(pattern) => all.patterns.push(pattern),
                Err(_) => all.literals.extend(literals(secret)),
            }
        }
        all
    }

    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty() && self.literals.is_empty()
    }

    pub fn found_in(&self, text: &str) -> bool {
        self.patterns.iter().any(|pattern| pattern.is_match(text))
            || self.literals.iter().any(|literal| text.contains(literal.as_str()))
    }

    /// The text without them; borrowed if none is there.
    pub fn masked<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut masked = Cow::Borrowed(text);
        for pattern in &self.patterns {
            if let Cow::Owned(changed) = pattern.replace_all(&masked, NoExpand(REDACTED)) {
                masked = Cow::Owned(changed);
            }
        }
        for literal in &self.literals {
            if masked.contains(literal.as_str()) {
                masked = Cow::Owned(masked.replace(literal.as_str(), REDACTED));
            }
        }
        masked
    }
}

/// What a secret that is too long for a pattern may look like.
fn literals(secret: &str) -> Vec<String> {
    let plus = form_urlencoded::byte_serialize(secret.as_bytes()).collect::<String>();
    let html = secret.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;");
    let json = serde_json::to_string(secret).unwrap_or_default();
    let json = json.trim_matches('"').to_owned();
    let base64 = BASE64_STANDARD_NO_PAD.encode(secret);
    let mut all = vec![secret.to_owned(), plus.replace('+', "%20"), plus, html, json, base64];
    all.dedup();
    all
}

/// A pattern of all that a secret may look like.
fn pattern(secret: &str) -> String {
    let mut pattern = String::new();
    for (at, character) in secret.chars().enumerate() {
        put(&mut pattern, character, at > 0);
    }
    let mut encoded: Vec<Vec<u8>> = vec![secret.into()];
    // What scripts call Base64 takes characters for bytes.
    if let Ok(latin) = secret.chars().map(u8::try_from).collect()
        && !secret.is_ascii()
    {
        encoded.push(latin);
    }
    for bytes in encoded.iter().filter(|bytes| bytes.len() >= SHORTEST_IN_BASE64) {
        for before in 0..3 {
            pattern.push('|');
            put_base64(&mut pattern, bytes, before);
        }
    }
    pattern
}

/// Adds all that one character may look like. The longer ones come first, so that nothing is left behind the last.
fn put(pattern: &mut String, character: char, within: bool) {
    let code = u32::from(character);
    let (mut bytes, mut units) = ([0; 4], [0; 2]);
    let bytes = character.encode_utf8(&mut bytes).as_bytes();
    let units = character.encode_utf16(&mut units);
    // Writing into a string does not fail.
    pattern.push_str("(?:(?i:");
    for byte in bytes {
        let _ = write!(pattern, "%(?:25)*{byte:02x}");
    }
    let _ = write!(pattern, "|{AMPERSAND}#(?:0*{code}|x0*{code:x});?");
    if let Some(name) = names(character) {
        let _ = write!(pattern, "|{AMPERSAND}(?:{name});?");
    }
    pattern.push('|');
    for unit in units {
        let _ = write!(pattern, r"(?:\\+|%(?:25)*)u{unit:04x}");
    }
    let _ = write!(pattern, r"|\\+u\{{0*{code:x}\}}");
    if let Ok(byte) = u8::try_from(character) {
        let _ = write!(pattern, r"|\\+x{byte:02x}");
        if !byte.is_ascii() {
            let _ = write!(pattern, "|%(?:25)*{byte:02x}");
        }
    }
    match character {
        '\n' => pattern.push_str(r"|\\+n"),
        '\r' => pattern.push_str(r"|\\+r"),
        '\t' => pattern.push_str(r"|\\+t"),
        ' ' => pattern.push_str(r"|\+"),
        _ => {}
    }
    pattern.push(')');
    // Bytes that were taken for characters, as those of headers are.
    if bytes.len() > 1 {
        pattern.push('|');
        pattern.extend(bytes.iter().copied().map(char::from));
    }
    pattern.push('|');
    if character == '\\' {
        // In addresses it becomes a slash.
        pattern.push_str(r"\\+|/");
    } else {
        if within {
            pattern.push_str(r"\\*");
        }
        pattern.push_str(&regex::escape(character.encode_utf8(&mut [0; 4])));
    }
    pattern.push(')');
}

/// What HTML calls a character.
fn names(character: char) -> Option<&'static str> {
    let ascii = NAMES.iter().find(|(named, _)| *named == character);
    let latin = || {
        LATIN
            .split(' ')
            .nth(usize::try_from(u32::from(character).checked_sub(0xa0)?).ok()?)
    };
    ascii.map(|(_, names)| *names).or_else(latin)
}

/// Adds the Base64 of some bytes that stand behind so many others in a group of three. The characters at the ends
/// that depend on the neighbours may be any.
fn put_base64(pattern: &mut String, bytes: &[u8], before: usize) {
    const ANY: &str = "[A-Za-z0-9+/_-]?";
    let all = [&vec![0; before], bytes].concat();
    let encoded = BASE64_STANDARD_NO_PAD.encode(&all);
    let (start, end) = ((before * 8).div_ceil(6), all.len() * 8 / 6);
    if before > 0 {
        pattern.push_str(ANY);
    }
    for character in encoded[start..end].chars() {
        match character {
            '+' | '/' => {
                pattern.push_str(if character == '+' { "(?:-|" } else { "(?:_|" });
                put(pattern, character, true);
                pattern.push(')');
            }
            plain => pattern.push(plain),
        }
    }
    if end < encoded.len() {
        pattern.push_str(ANY);
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
    use proptest::prelude::*;

    use super::*;

    fn of(secret: &str) -> Spellings {
        Spellings::of(&[secret.to_owned()])
    }

    #[track_caller]
    fn is_masked(secret: &str, spelled: &str) {
        let spellings = of(secret);
        assert_eq!(
            spellings.masked(&format!("<{spelled}>")),
            "<REDACTED>",
            "{secret} as {spelled}"
        );
        assert!(spellings.found_in(&format!("{{\"a\":\"<{spelled}>\"}}")));
        let json = serde_json::to_string(&format!("\"<{spelled}>\"")).unwrap();
        assert!(spellings.found_in(&json), "{secret} as {json}");
    }

    #[test]
    fn a_secret_is_found_in_each_encoding() {
        let cases: &[(&str, &[&str])] = &[
            (
                "P@ssw0rd!~'()*",
                &[
                    "P@ssw0rd!~'()*",
                    "P%40ssw0rd!~'()*",
                    "P%40ssw0rd%21%7E%27%28%29%2A",
                    "P%2540ssw0rd%2521%257e%2527%2528%2529%252a",
                    "P@ssw0rd!~&#39;()*",
                    "P@ssw0rd!~&#x27;()*",
                    "P@ssw0rd!~&apos;()*",
                    r"P@ssw0rd!~\'()*",
                    r"P@ssw0rd!~\u0027()*",
                    r"P@ssw0rd!~\x27()*",
                    "P&commat;ssw0rd&excl;~&apos;&lpar;&rpar;&ast;",
                    "%50%40%73%73%77%30%72%64%21%7e%27%28%29%2a",
                ],
            ),
            (
                "Ab/cd&ef<gh 12",
                &[
                    "Ab/cd&ef<gh 12",
                    "Ab/cd%26ef%3Cgh%2012",
                    "Ab%2Fcd%26ef%3Cgh+12",
                    "Ab%2fcd%26ef%3cgh%2012",
                    "Ab/cd&ef%3Cgh%2012",
                    r"Ab\/cd&ef<gh 12",
                    r"Ab\\\/cd&ef<gh 12",
                    r"Ab/cd\u0026ef\u003cgh 12",
                    r"Ab/cd\u0026ef\u003Cgh\u002012",
                    r"Ab/cd\u0026amp;ef\u0026lt;gh 12",
                    "Ab/cd&amp;ef&lt;gh 12",
                    "Ab/cd&amp;amp;ef&amp;lt;gh 12",
                    "Ab&#47;cd&#38;ef&#60;gh&#32;12",
                    "Ab&#x2F;cd&#x26;ef&#x3c;gh&#x20;12",
                    "Ab&#047;cd&#x0026;ef&#X3C;gh 12",
                    r"Ab\x2fcd\x26ef\x3cgh\x2012",
                    r"Ab\u{2f}cd&ef<gh 12",
                ],
            ),
            (
                "Passwörd-99x",
                &[
                    "Passwörd-99x",
                    "Passw%C3%B6rd-99x",
                    "Passw%c3%b6rd-99x",
                    r"Passw\u00f6rd-99x",
                    r"Passw\\u00F6rd-99x",
                    r"Passw\xf6rd-99x",
                    "Passw%F6rd-99x",
                    "Passw&ouml;rd-99x",
                    "Passw&#246;rd-99x",
                    "Passw&#xF6;rd-99x",
                    "PasswÃ¶rd-99x",
                ],
            ),
            (
                "Ab+cd=ef%gh\"\\",
                &[
                    "Ab%2Bcd%3Def%25gh%22%5C",
                    "Ab+cd=ef%25gh%22/",
                    r#"Ab+cd=ef%gh\"\\"#,
                    "Ab&plus;cd=ef%gh&quot;\\",
                ],
            ),
            (
                "密码😀!",
                &[
                    "%E5%AF%86%e7%a0%81%F0%9F%98%80!",
                    r"\u5bc6\u7801\ud83d\ude00!",
                    r"\u{5bc6}\u{7801}\u{1F600}\x21",
                    "%u5BC6%u7801%uD83D%uDE00%21",
                    "&#23494;&#30721;&#128512;!",
                ],
            ),
        ];
        for (secret, spellings) in cases {
            for spelled in *spellings {
                is_masked(secret, spelled);
            }
        }
    }

    #[test]
    fn nothing_of_a_secret_is_left_in_base64() {
        for secret in ["Simple1234secret", "Passwörd-99x", "??>>~~??>>~~", "12345678"] {
            let spellings = of(secret);
            for (before, after) in [
                ("", ""),
                ("u:", ""),
                ("user:", ""),
                ("{\"p\":\"", "\"}"),
                ("a", "bc"),
                ("ab", "c"),
            ] {
                let text = format!("{before}{secret}{after}");
                let standard = BASE64_STANDARD.encode(&text);
                let as_parameter = form_urlencoded::byte_serialize(standard.as_bytes()).collect::<String>();
                let url_safe = BASE64_URL_SAFE_NO_PAD.encode(&text);
                for encoded in [standard.replace('/', "\\/"), standard, as_parameter, url_safe] {
                    let masked = spellings.masked(&encoded);
                    let kept = masked.replace(REDACTED, "");
                    let others = [before, after]
                        .map(|text| (text.len() * 8).div_ceil(6))
                        .iter()
                        .sum::<usize>()
                        + "%3D%3D".len();
                    assert!(
                        masked.contains(REDACTED) && kept.len() <= others,
                        "{text} as {encoded}: {masked}"
                    );
                }
            }
        }
        let latin: Vec<u8> = "Passwörd-99x".chars().map(|c| u8::try_from(c).unwrap()).collect();
        assert_eq!(of("Passwörd-99x").masked(&BASE64_STANDARD.encode(latin)), REDACTED);
    }

    #[test]
    fn short_values_are_left_alone_and_long_ones_found() {
        assert!(of("abc").is_empty());
        for length in [LONGEST, LONGEST + 1, 50 * LONGEST] {
            let secret = "aß&\"7x".chars().cycle().take(length).collect::<String>();
            let form = form_urlencoded::byte_serialize(secret.as_bytes()).collect::<String>();
            let json = serde_json::to_string(&secret).unwrap();
            let spellings = Spellings::of(&["Horse-77".to_owned(), secret.clone()]);
            assert_eq!(
                spellings.masked(&format!("{secret} {form} Horse%2d77 {json}")),
                "REDACTED REDACTED REDACTED \"REDACTED\""
            );
        }
    }

    #[test]
    fn of_two_secrets_both_are_masked() {
        let both = ["Horse".to_owned(), "Horse-77/x".to_owned()];
        assert_eq!(
            Spellings::of(&both).masked("Horse-77%2Fx, H%6frse"),
            "REDACTED, REDACTED"
        );
    }

    /// A text that is made to look like the beginning of a secret again and again is gone through as fast as any.
    #[test]
    fn to_look_costs_little() {
        let secrets = [
            "P@ssw0rd!~'()*".to_owned(),
            "shop-user".to_owned(),
            "JBSWY3DPEHPK3PXP".to_owned(),
        ];
        let spellings = Spellings::of(&secrets);
        let fastest = |text: &str, look: &dyn Fn(&str) -> bool| {
            let times = (0..5).map(|_| {
                let began = Instant::now();
                assert!(!look(text));
                began.elapsed()
            });
            times.min().unwrap_or(Duration::MAX)
        };
        let plain =
            "{\"url\":\"https://shop.test/a?b=%20c\",\"text\":\"Some \\\"words\\\" &amp; more\"},".repeat(20_000);
        let nasty = "P%40s&#115;w0\\u0072d!~'(\\\\\\\\sho&amp;amp;amp;p%2525252525".repeat(20_000);
        let literals = |text: &str| {
            secrets
                .iter()
                .any(|secret| (0..5).any(|_| text.contains(secret.as_str())))
        };
        let before = fastest(&plain, &literals);
        for text in [&plain, &nasty] {
            let took = fastest(text, &|text| spellings.found_in(text));
            let ratio = took.as_secs_f64() / before.as_secs_f64() * plain.len() as f64 / text.len() as f64;
            assert!(ratio < 10.0, "{took:?} against {before:?}");
        }
    }

    /// One spelling of a character, by a number.
    fn spelled(character: char, way: usize) -> String {
        let hex = u32::from(character);
        let bytes = character.to_string().into_bytes();
        let each = |form: &dyn Fn(&u8) -> String| bytes.iter().map(form).collect::<String>();
        let units: Vec<u16> = character.encode_utf16(&mut [0; 2]).to_vec();
        match way {
            0 => each(&|byte| format!("%{byte:02X}")),
            1 => each(&|byte| format!("%25{byte:02x}")),
            2 => format!("&#{hex};"),
            3 => format!("&#x{hex:X};"),
            4 => units
                .iter()
                .fold(String::new(), |all, unit| format!("{all}\\u{unit:04x}")),
            5 => units
                .iter()
                .fold(String::new(), |all, unit| format!("{all}\\\\u{unit:04X}")),
            6 if hex < 0x100 => format!("\\x{hex:02x}"),
            7 if character == ' ' => "+".to_owned(),
            8 => match character {
                '&' => "&amp;".to_owned(),
                '<' => "&lt;".to_owned(),
                '"' => "&quot;".to_owned(),
                '/' => "\\/".to_owned(),
                other => other.to_string(),
            },
            _ => character.to_string(),
        }
    }

    proptest! {
        #[test]
        fn any_mix_of_encodings_is_found(
            secret in r"[ -~äöß密😀]{4,16}",
            ways in prop::collection::vec(0_usize..12, 16),
        ) {
            let mixed: String = secret.chars().zip(ways).map(|(character, way)| spelled(character, way)).collect();
            let spellings = of(&secret);
            let text = format!("<a>{mixed}<b>");
            // A backslash before it is no part of it.
            let masked = spellings.masked(&text).replace("<a>\\", "<a>");
            prop_assert_eq!(masked, "<a>REDACTED<b>");
            prop_assert!(spellings.found_in(&serde_json::to_string(&text).unwrap()));
        }

        #[test]
        fn what_does_not_repeat_it_stays(secret in "[A-Z0-9!%&+]{4,12}Q7", text in r#"[a-z0-6 %&#;\\/+="<>]{0,200}"#) {
            prop_assert!(matches!(of(&secret).masked(&text), Cow::Borrowed(_)));
        }
    }
}
