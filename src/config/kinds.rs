//! The kinds of values that settings have: each reads one TOML value and says what to write if it cannot.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use toml::de::DeValue;
use url::Url;

use super::raw::{Value, Wrong, kind_of, nearest};
use super::{Cidr, Screenshots};

/// Text of at least one visible character, without control characters.
pub(crate) fn text(value: Value<'_>) -> Result<String, Wrong> {
    let text = string(value, "text in quotes")?;
    if text.trim().is_empty() || text.chars().any(char::is_control) {
        return Err(Wrong::new(
            "is empty or has control characters",
            "write a line of text in quotes",
        ));
    }
    Ok(text.trim().to_owned())
}

/// `true` or `false`.
pub(crate) fn flag(value: Value<'_>) -> Result<bool, Wrong> {
    match value.get_ref() {
        DeValue::Boolean(flag) => Ok(*flag),
        other => Err(wrong_kind(other, "true or false")),
    }
}

/// A whole number in a range.
pub(crate) fn whole<T>(range: RangeInclusive<T>) -> impl Fn(Value<'_>) -> Result<T, Wrong>
where
    T: Copy + PartialOrd + std::fmt::Display + TryFrom<i64>,
{
    move |value| {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        let DeValue::Integer(number) = value.get_ref() else {
            return Err(wrong_kind(value.get_ref(), &expected));
        };
        i64::from_str_radix(number.as_str(), number.radix())
            .ok()
            .and_then(|number| T::try_from(number).ok())
            .filter(|number| range.contains(number))
            .ok_or_else(|| Wrong::new(format!("is {number}"), format!("write {expected}")))
    }
}

/// A number in a range.
pub(crate) fn number(range: RangeInclusive<f64>) -> impl Fn(Value<'_>) -> Result<f64, Wrong> {
    move |value| {
        let expected = format!("a number from {} to {}", range.start(), range.end());
        let (shown, number) = match value.get_ref() {
            DeValue::Integer(number) => (
                number.to_string(),
                i32::from_str_radix(number.as_str(), number.radix()).ok().map(f64::from),
            ),
            DeValue::Float(number) => (number.to_string(), number.as_str().parse().ok()),
            other => return Err(wrong_kind(other, &expected)),
        };
        number
            .filter(|number| range.contains(number))
            .ok_or_else(|| Wrong::new(format!("is {shown}"), format!("write {expected}")))
    }
}

/// A duration such as `45s`, in a range.
pub(crate) fn duration(range: RangeInclusive<Duration>) -> impl Fn(Value<'_>) -> Result<Duration, Wrong> {
    move |value| {
        let text = string(value, "a duration such as \"45s\", \"20m\", \"3h\" or \"90d\"")?;
        let duration = parse_duration(text).ok_or_else(|| {
            quoted(
                text,
                "write a duration such as \"45s\", \"20m\", \"3h\", \"90d\" or \"1h 30m\"",
            )
        })?;
        if range.contains(&duration) {
            Ok(duration)
        } else {
            let (from, to) = (show_duration(*range.start()), show_duration(*range.end()));
            Err(quoted(text, format!("write a duration from \"{from}\" to \"{to}\"")))
        }
    }
}

/// A domain that an organisation can own, in lower case.
pub(crate) fn domain(value: Value<'_>) -> Result<String, Wrong> {
    let text = text(value)?;
    let advice = "write a registered domain, or a name below one, such as \"shop.example\"";
    match url::Host::parse(&text) {
        Ok(url::Host::Domain(name)) if psl::domain_str(&name).is_some() => Ok(name),
        _ => Err(quoted(&text, advice)),
    }
}

/// A number of bytes such as `500MB`, in a range.
pub(crate) fn size(range: RangeInclusive<u64>) -> impl Fn(Value<'_>) -> Result<u64, Wrong> {
    move |value| {
        let expected = "a size such as \"500MB\" or \"20GB\"";
        let text = string(value, expected)?;
        let size = parse_size(text).ok_or_else(|| quoted(text, format!("write {expected}")))?;
        if range.contains(&size) {
            Ok(size)
        } else {
            let (from, to) = (show_size(*range.start()), show_size(*range.end()));
            Err(quoted(text, format!("write a size from \"{from}\" to \"{to}\"")))
        }
    }
}

/// The units of sizes, the largest first.
const SIZES: &[(&str, u64)] = &[
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
];

/// Reads a size such as `500MB`: a whole number and a unit of 1,000, 1,000², 1,000³ or 1,000⁴ bytes.
pub fn parse_size(text: &str) -> Option<u64> {
    let (unit, factor) = SIZES.iter().find(|(unit, _)| text.ends_with(unit))?;
    let number = text.strip_suffix(unit)?;
    let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let number: u64 = digits.then(|| number.parse().ok())??;
    number.checked_mul(*factor)
}

/// A size as [`parse_size`] reads it, if it has one; else in bytes.
pub fn show_size(bytes: u64) -> String {
    match SIZES
        .iter()
        .find(|(_, factor)| bytes > 0 && bytes.is_multiple_of(*factor))
    {
        Some((unit, factor)) => format!("{}{unit}", bytes / factor),
        None => format!("{bytes} bytes"),
    }
}

/// One of some words. Those in `later` are known but not supported yet.
pub(crate) fn word<T: Copy>(
    words: &[(&'static str, T)],
    later: &[&'static str],
) -> impl Fn(Value<'_>) -> Result<T, Wrong> {
    let (words, later) = (words.to_vec(), later.to_vec());
    move |value| {
        let all: Vec<_> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        let expected = all.join(" or ");
        let text = string(value, &expected)?;
        if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == text) {
            return Ok(*meaning);
        }
        if later.contains(&text) {
            return Err(Wrong::new(
                format!("= \"{text}\" is not supported yet"),
                format!("write {expected}"),
            ));
        }
        let near = nearest(text, words.iter().map(|(word, _)| *word));
        let advice = match near {
            Some(near) if words.len() > 1 => format!("did you mean \"{near}\"? Write {expected}"),
            _ => format!("write {expected}"),
        };
        Err(quoted(text, advice))
    }
}

/// Of what pictures are taken.
pub(crate) fn screenshots(value: Value<'_>) -> Result<Screenshots, Wrong> {
    let words = [
        ("findings", Screenshots::Findings),
        ("all", Screenshots::All),
        ("none", Screenshots::None),
    ];
    word(&words, &[])(value)
}

/// Something that reads itself from a word, such as a severity. `expected` lists the words.
pub(crate) fn parsed<T: FromStr>(expected: &'static str) -> impl Fn(Value<'_>) -> Result<T, Wrong> {
    move |value| {
        let text = string(value, expected)?;
        text.parse().map_err(|_| quoted(text, format!("write {expected}")))
    }
}

/// A list of values of one kind.
pub(crate) fn list<'d, T>(kind: impl Fn(Value<'d>) -> Result<T, Wrong>) -> impl Fn(Value<'d>) -> Result<Vec<T>, Wrong> {
    move |value| {
        let DeValue::Array(values) = value.get_ref() else {
            return Err(wrong_kind(value.get_ref(), "a list in square brackets"));
        };
        let read = values.iter().enumerate().map(|(index, value)| {
            kind(value).map_err(|wrong| Wrong {
                is: format!("[{index}] {}", wrong.is),
                at: wrong.at.or(Some(value.span())),
                ..wrong
            })
        });
        read.collect()
    }
}

/// A list of at least one value.
pub(crate) fn some_of<'d, T>(
    kind: impl Fn(Value<'d>) -> Result<T, Wrong>,
) -> impl Fn(Value<'d>) -> Result<Vec<T>, Wrong> {
    let kind = list(kind);
    move |value| match kind(value)? {
        values if values.is_empty() => Err(Wrong::new("is empty", "name at least one, or remove the key")),
        values => Ok(values),
    }
}

/// An http or https URL without credentials. The value may be secret and is not repeated.
pub(crate) fn web_url(value: Value<'_>) -> Result<Url, Wrong> {
    let expected = "a URL such as \"https://shop.example/\"";
    let text = string(value, expected)?;
    let url = Url::parse(text.trim())
        .map_err(|error| Wrong::new(format!("is not a URL ({error})"), format!("write {expected}")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(Wrong::new("is neither http nor https", format!("write {expected}")));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Wrong::new("holds a user name or password", "remove them from the URL"));
    }
    Ok(url)
}

/// What stands for a finding's fingerprint in a URL.
pub(crate) const FINGERPRINT: &str = "{{ fingerprint }}";

/// The URL of a finding, whose fingerprint is filled in.
pub(crate) fn finding_url(value: Value<'_>) -> Result<String, Wrong> {
    let expected = "a URL such as \"https://phantom.shop.example/findings/{{ fingerprint }}\"";
    let text = string(value, expected)?.trim().to_owned();
    web_url(value)?;
    let rest = text.replace(FINGERPRINT, "");
    if rest == text || rest.contains("{{") || rest.contains("}}") {
        let is = "does not hold `{{ fingerprint }}`, or holds another placeholder";
        return Err(Wrong::new(is, format!("write {expected}")));
    }
    Ok(text)
}

/// The URL of a service: a web URL that is followed by paths of our own.
pub(crate) fn service_url(value: Value<'_>) -> Result<Url, Wrong> {
    let mut url = web_url(value)?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err(Wrong::new(
            "has a query or a fragment",
            "write the URL without `?` and `#`",
        ));
    }
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    Ok(url)
}

/// A network such as `10.20.0.0/16`.
pub(crate) fn cidr(value: Value<'_>) -> Result<Cidr, Wrong> {
    let expected = "a network such as \"10.20.0.0/16\" or one address";
    let text = string(value, expected)?;
    let cidr: Cidr = text.parse().map_err(|_| quoted(text, format!("write {expected}")))?;
    if cidr.network() == cidr {
        Ok(cidr)
    } else {
        let network = cidr.network();
        Err(quoted(
            text,
            format!("write the network's first address: \"{network}\""),
        ))
    }
}

/// Base64 of the SHA-256 of a public key.
pub(crate) fn spki(value: Value<'_>) -> Result<String, Wrong> {
    let expected = "the Base64 of the SHA-256 of a public key (44 characters)";
    let text = string(value, expected)?;
    match STANDARD.decode(text) {
        Ok(hash) if hash.len() == 32 => Ok(text.to_owned()),
        _ => Err(quoted(text, format!("write {expected}"))),
    }
}

/// The name of an environment variable. Whoever writes the secret itself here must not read it in an error.
pub(crate) fn env_name(value: Value<'_>) -> Result<String, Wrong> {
    let text = string(value, "the name of an environment variable")?;
    let named = text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_uppercase() || c == '_')
        && text
            .bytes()
            .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
    if named {
        Ok(text.to_owned())
    } else {
        Err(Wrong::new(
            "is not the name of an environment variable",
            "put the secret into the environment and write the variable's name here, such as \"JIRA_TOKEN\"",
        ))
    }
}

/// A pattern of hosts with a port, such as `*.test:443`, and the address that is dialled instead.
pub(crate) fn host_port(name: &str, value: Value<'_>) -> Result<(String, String), Wrong> {
    let pattern = name.rsplit_once(':').and_then(|(host, port)| {
        let host = host.to_ascii_lowercase();
        let named = !host.is_empty()
            && host
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'*' | b'_'));
        let port: u16 = port.parse().ok()?;
        (named && port > 0).then(|| format!("{host}:{port}"))
    });
    let Some(pattern) = pattern else {
        return Err(Wrong::new(
            "is not a host and a port",
            "write a key such as \"*.test:443\"",
        ));
    };
    let expected = "an address and a port such as \"127.0.0.1:8443\"";
    let text = string(value, expected)?;
    let address: SocketAddr = text.parse().map_err(|_| quoted(text, format!("write {expected}")))?;
    Ok((pattern, address.to_string()))
}

/// The template of a User-Agent.
pub(crate) fn user_agent(value: Value<'_>) -> Result<String, Wrong> {
    let text = text(value)?;
    let rest = text.replace("{{ browser }}", "");
    if rest.contains("{{") || rest.contains("}}") {
        return Err(Wrong::new(
            "has a placeholder that is not known",
            "write `{{ browser }}` for the browser's own; there is no other",
        ));
    }
    if text.len() > 512 || !text.bytes().all(|b| b == b' ' || b.is_ascii_graphic()) {
        return Err(Wrong::new(
            "cannot be sent in a header",
            "write at most 512 characters of plain ASCII",
        ));
    }
    Ok(text)
}

/// The end of a day in UTC, as the instant at which the next one begins: `2027-03-31`.
pub(crate) fn end_of_day(value: Value<'_>) -> Result<Timestamp, Wrong> {
    let expected = "a day such as 2027-03-31";
    let text = match value.get_ref() {
        DeValue::Datetime(day) => day.to_string(),
        DeValue::String(text) => text.to_string(),
        other => return Err(wrong_kind(other, expected)),
    };
    parse_end_of_day(&text).ok_or_else(|| quoted(&text, format!("write {expected}")))
}

/// The instant at which the day after this one begins, in UTC; `None` if the text is no day such as `2027-03-31`.
pub fn parse_end_of_day(text: &str) -> Option<Timestamp> {
    let day: jiff::civil::Date = text.parse().ok()?;
    // A date and a time are no day, though they begin with one.
    if day.to_string() != text {
        return None;
    }
    let end = day.tomorrow().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(end.timestamp())
}

/// Any value, as JSON.
pub(crate) fn json(value: Value<'_>) -> Result<serde_json::Value, Wrong> {
    Ok(match value.get_ref() {
        DeValue::String(text) => serde_json::Value::from(text.as_ref()),
        DeValue::Boolean(flag) => serde_json::Value::from(*flag),
        DeValue::Datetime(time) => serde_json::Value::from(time.to_string()),
        DeValue::Integer(number) => serde_json::Value::from(
            whole(i64::MIN..=i64::MAX)(value)
                .map_err(|_| Wrong::new(format!("is {number}"), "write a number that fits into 64 bits"))?,
        ),
        DeValue::Float(_) => serde_json::Value::from(number(f64::MIN..=f64::MAX)(value)?),
        DeValue::Array(_) => serde_json::Value::Array(list(json)(value)?),
        DeValue::Table(table) => {
            let pairs = table
                .iter()
                .map(|(key, value)| Ok((key.get_ref().to_string(), json(value)?)));
            serde_json::Value::Object(pairs.collect::<Result<_, Wrong>>()?)
        }
    })
}

/// The string in a value. `expected` says what it should be.
pub(crate) fn string<'d>(value: Value<'d>, expected: &str) -> Result<&'d str, Wrong> {
    match value.get_ref() {
        DeValue::String(text) => Ok(text.as_ref()),
        other => Err(wrong_kind(other, expected)),
    }
}

/// A problem that repeats a text which cannot be secret.
pub(crate) fn quoted(text: &str, advice: impl Into<String>) -> Wrong {
    let shown: String = text.chars().take(60).collect();
    let cut = if shown.len() < text.len() { "…" } else { "" };
    Wrong::new(format!("is {shown:?}{cut}"), advice)
}

pub(super) fn wrong_kind(value: &DeValue<'_>, expected: &str) -> Wrong {
    Wrong::new(format!("is {}", kind_of(value)), format!("write {expected}"))
}

const UNITS: [(&str, u64); 5] = [("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400), ("w", 604_800)];

/// A duration as people write it: whole numbers with a unit of `s`, `m`, `h`, `d` or `w`, one or several, such as
/// `45s` or `1h 30m`. `None` for anything else, and for more than a thousand years.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut seconds: u64 = 0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (amount, after) = rest.split_at(digits);
        let unit_end = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let (_, unit) = UNITS.into_iter().find(|(name, _)| *name == unit)?;
        seconds = seconds.checked_add(amount.parse::<u64>().ok()?.checked_mul(unit)?)?;
        rest = after.trim_start();
    }
    (seconds <= 1_000 * 366 * 86_400).then(|| Duration::from_secs(seconds))
}

/// A duration in the largest unit that shows it whole: `45s`, `3h`.
pub fn show_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (unit, size) = UNITS[..4]
        .iter()
        .rev()
        .find(|(_, size)| seconds > 0 && seconds.is_multiple_of(*size))
        .unwrap_or(&UNITS[0]);
    format!("{}{unit}", seconds / size)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_read() {
        let cases = [
            ("45s", Some(45)),
            ("20m", Some(1_200)),
            ("3h", Some(10_800)),
            ("90d", Some(7_776_000)),
            ("2w", Some(1_209_600)),
            ("1h 30m", Some(5_400)),
            ("1h30m", Some(5_400)),
            ("0s", Some(0)),
            ("", None),
            ("s", None),
            ("45", None),
            ("45 s", None),
            ("-3h", None),
            ("1.5h", None),
            ("3 hours", None),
            ("99999999999999999999s", None),
            ("18446744073709551615w", None),
        ];
        for (text, seconds) in cases {
            assert_eq!(parse_duration(text), seconds.map(Duration::from_secs), "{text}");
        }
    }

    #[test]
    fn sizes_are_read_as_shown() {
        for (text, bytes) in [
            ("500MB", Some(500_000_000)),
            ("1KB", Some(1_000)),
            ("20GB", Some(20_000_000_000)),
            ("3TB", Some(3_000_000_000_000)),
            ("500", None),
            ("MB", None),
            ("1.5GB", None),
            ("+1GB", None),
            ("99999999999999999999TB", None),
        ] {
            assert_eq!(parse_size(text), bytes, "{text}");
            if let Some(bytes) = bytes {
                assert_eq!(show_size(bytes), text);
            }
        }
        assert_eq!(show_size(1), "1 bytes");
    }

    proptest! {
        #[test]
        fn durations_are_read_as_shown(seconds in 0u64..1_000_000_000) {
            let duration = Duration::from_secs(seconds);
            prop_assert_eq!(parse_duration(&show_duration(duration)), Some(duration));
        }

        #[test]
        fn no_text_is_too_strange(text in ".{0,40}") {
            let _ = parse_duration(&text);
        }
    }
}
