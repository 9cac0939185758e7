//! Script texts, fetched once and kept once.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use phantom_checks::evidence::Request;
use sha2::{Digest, Sha256};

use super::redact;
use crate::crawl::{script_hints, source_map_of};

/// The longest script text that is kept, in bytes; the rest is cut off.
const MAX_SCRIPT: usize = 1 << 20;
/// Script texts kept in memory for a scan, in bytes.
const CACHE_BYTES: usize = 64 << 20;

/// Script texts of a scan by what tells that they are the same: a text is fetched from the browser once.
#[derive(Default)]
pub struct ScriptCache {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    texts: HashMap<String, Text>,
    order: VecDeque<String>,
    bytes: usize,
}

#[derive(Clone)]
pub(super) struct Text {
    pub hash: String,
    /// The SHA-256 of the text as it came.
    pub raw: Arc<str>,
    pub length: u64,
    pub kept: Arc<str>,
    /// Strings in it that look like addresses of pages.
    pub hints: Arc<[String]>,
    /// Where it says that its source map is.
    pub source_map: Option<Arc<str>>,
}

impl Text {
    pub fn new(text: &str) -> Self {
        let mut end = text.len().min(MAX_SCRIPT);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        Self {
            hash: hex::encode(Sha256::digest(text.as_bytes())),
            raw: Arc::from(""),
            length: text.len() as u64,
            kept: Arc::from(&text[..end]),
            hints: script_hints(text).into(),
            source_map: source_map_of(text).map(Arc::from),
        }
    }
}

impl ScriptCache {
    /// A text as it may be kept. One that was seen before is not gone through again.
    pub(super) fn redacted(&self, text: &str) -> Text {
        let key = hex::encode(Sha256::digest(text.as_bytes()));
        self.get(&key).unwrap_or_else(|| {
            let redacted = Text {
                raw: Arc::from(key.as_str()),
                ..Text::new(&redact::script(text))
            };
            self.put(key, redacted.clone());
            redacted
        })
    }

    pub(super) fn get(&self, key: &str) -> Option<Text> {
        self.kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .texts
            .get(key)
            .cloned()
    }

    pub(super) fn put(&self, key: String, text: Text) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.bytes += text.kept.len();
        if let Some(old) = kept.texts.insert(key.clone(), text) {
            kept.bytes -= old.kept.len();
        } else {
            kept.order.push_back(key);
        }
        while kept.bytes > CACHE_BYTES {
            let Some(oldest) = kept.order.pop_front() else { break };
            if let Some(old) = kept.texts.remove(&oldest) {
                kept.bytes -= old.kept.len();
            }
        }
    }
}

/// Two answers for one URL with one of these are the same text. Without a validator only a cached answer is.
pub(super) fn cache_key(request: &Request) -> (String, bool) {
    let url = final_url(request);
    let header = |name: &str| {
        request
            .headers
            .iter()
            .find(|header| header.name == name)
            .map(|header| &header.value)
    };
    match header("etag").or_else(|| header("last-modified")) {
        Some(validator) => (format!("{url} {validator}"), true),
        None => (url.to_owned(), request.from_cache),
    }
}

pub(super) fn final_url(request: &Request) -> &str {
    request.redirects.last().map_or(&request.url, |hop| &hop.to)
}
