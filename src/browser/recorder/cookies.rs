//! Which cookies the browser held before a page's scripts ran, and which go along with a request. Names alone.

use serde_json::Value;

use crate::browser::events::{RequestPaused, ResponseExtra};

/// Names kept of one request.
const MOST: usize = 200;
/// The longest name kept, in bytes.
const LONGEST: usize = 256;

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
        for name in lines.filter_map(name).take(MOST) {
            self.add(name);
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

/// The name of one cookie, as it is sent or set.
fn name(cookie: &str) -> Option<String> {
    let (name, _) = cookie.split_once('=')?;
    let name = name.trim();
    (!name.is_empty() && name.len() <= LONGEST).then(|| name.to_owned())
}
