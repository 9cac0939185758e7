//! Which cookies the browser held before a page's scripts ran, and which go along with a request. Names alone.

use serde_json::Value;

use crate::browser::events::{RequestPaused, ResponseExtra};

/// Names kept of one request.
const MOST: usize = 50;
/// The longest name kept, in bytes.
const LONGEST: usize = 100;

/// The cookies that a document was asked for with, and those that came with it.
#[derive(Debug, Default)]
pub(super) struct Before {
    names: Vec<String>,
    /// The answer that is no redirect has come.
    pub whole: bool,
}

impl Before {
    /// The document is asked for.
    pub fn asked(&mut self, paused: &RequestPaused) {
        for name in sent(paused) {
            self.add(name);
        }
    }

    /// The document's answer, or a redirect to it, as the network has it.
    pub fn answered(&mut self, raw: &ResponseExtra) {
        self.whole |= !(300..400).contains(&raw.status_code);
        let headers = raw
            .headers
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"));
        // Several are one text, a line each.
        let lines = headers.filter_map(|(_, value)| value.as_str()).flat_map(str::lines);
        for line in lines.take(MOST) {
            let Some(name) = name(line) else { continue };
            match set(line) {
                Set::Kept => self.add(name),
                Set::Removed => self.names.retain(|known| *known != name),
                Set::Elsewhere => {}
            }
        }
    }

    pub fn names(&self) -> Vec<String> {
        self.names.clone()
    }

    fn add(&mut self, name: String) {
        if self.names.len() < MOST && !self.names.contains(&name) {
            self.names.push(name);
        }
    }
}

/// The names of the cookies that go along with a request. The browser says them as soon as it waits.
pub(super) fn sent(paused: &RequestPaused) -> Vec<String> {
    let mut headers = paused.request.headers.iter();
    let line = headers.find(|(name, _)| name.eq_ignore_ascii_case("cookie"));
    let line = line.and_then(|(_, value)| Value::as_str(value)).unwrap_or_default();
    line.split(';').filter_map(name).take(MOST).collect()
}

/// What setting a cookie comes to.
enum Set {
    Kept,
    Removed,
    /// It is not for all of the site.
    Elsewhere,
}

fn set(line: &str) -> Set {
    let mut attributes = line.split(';').map(str::trim);
    let value = attributes
        .next()
        .and_then(|pair| pair.split_once('='))
        .map_or("", |(_, value)| value);
    let attributes: Vec<(String, &str)> = attributes
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim()))
        .collect();
    let attribute = |wanted: &str| {
        attributes
            .iter()
            .rfind(|(name, _)| name == wanted)
            .map(|(_, value)| *value)
    };
    let is_old = match (attribute("max-age"), attribute("expires")) {
        (Some(age), _) => age.starts_with('-') || age.bytes().all(|byte| byte == b'0'),
        (None, Some(date)) => {
            let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(date.replace('-', " "));
            date.is_ok_and(|date| date <= jiff::Timestamp::now())
        }
        (None, None) => false,
    };
    match attribute("path") {
        _ if is_old || value.is_empty() => Set::Removed,
        Some(path) if path.starts_with('/') && path != "/" => Set::Elsewhere,
        _ => Set::Kept,
    }
}

/// The name of one cookie, as it is sent or set.
fn name(cookie: &str) -> Option<String> {
    let (name, _) = cookie.split_once('=')?;
    let name = name.trim();
    (!name.is_empty() && name.len() <= LONGEST).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_browser_holds_before_scripts_run() {
        let mut before = Before::default();
        for name in ["old", "gone", "stays"] {
            before.add(name.to_owned());
        }
        let lines = [
            "new=1; Path=/; Secure",
            "bare=1",
            "gone=deleted; Max-Age=0; path=/",
            "old=; expires=Thu, 01-Jan-1970 00:00:01 GMT",
            "later=1; Expires=Thu, 01 Jan 2099 00:00:01 GMT",
            "past=1; Expires=Thu, 01 Jan 1970 00:00:01 GMT",
            "admin=1; Path=/admin",
        ];
        let raw = json!({"requestId": "1", "statusCode": 200, "headers": {"Set-Cookie": lines.join("\n")}});
        before.answered(&serde_json::from_value(raw).unwrap());
        assert_eq!(before.names(), ["stays", "new", "bare", "later"]);
        assert!(before.whole);
    }
}
