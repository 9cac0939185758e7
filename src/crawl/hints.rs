//! Addresses of pages in files that are no pages: scripts, source maps, manifests, texts for machines and people.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

/// The longest text that is gone through, in bytes.
const LONGEST_TEXT: usize = 1 << 20;
/// Addresses that are taken from one file.
const MOST_HINTS: usize = 60;
/// The longest address that is taken.
const LONGEST_HINT: usize = 300;
/// Sources of one source map that are gone through.
const MOST_SOURCES: usize = 400;

#[allow(
    clippy::unwrap_used,
    reason = "constant patterns, compiled by every test of this module"
)]
fn pattern(text: &str) -> Regex {
    Regex::new(text).unwrap()
}

/// A string that is an address as it stands: absolute, or from the root of its host.
static LITERAL: LazyLock<Regex> = LazyLock::new(|| pattern(r#"["'`]((?:https?://|/)[^"'`\s\\]{1,300})["'`]"#));
/// What comes before the address of a request: its answer is no page.
static REQUESTED: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r#"(?i)(?:\bfetch|\bajax|\baxios|\bsendBeacon|\bRequest|\bWebSocket|\bEventSource|\bWorker|\bimport(?:Scripts)?|\.(?:get|post|put|patch|del|delete|head|request|load|getJSON))\s*\(\s*$|\bopen\s*\([^()]*,\s*$|\b(?:url|endpoint|action|baseURL)["']?\s*:\s*$|\bhost(?:name)?["']?\s*:[^{}]*$"#,
    )
});
/// What is built up from parts, or what an API answers, is no page's address.
static NO_PAGE: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?i)[{}<>*|^\\()\[\]$+,;]|/:|^//|^/$|/(?:api|rest|rpc|graphql|ajax|v\d+)(?:[/?]|$)"));
/// An address in running text.
static WRITTEN: LazyLock<Regex> = LazyLock::new(|| pattern(r#"https?://[^\s<>"'`)\]]{1,300}|\]\((/[^)\s]{1,300})\)"#));
static SOURCE_MAP: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?m)^//[#@]\s*sourceMappingURL=(\S{1,300})\s*$"));

fn take(found: &mut BTreeSet<String>, hint: &str) {
    if found.len() < MOST_HINTS && hint.len() <= LONGEST_HINT && !NO_PAGE.is_match(hint) {
        found.insert(hint.to_owned());
    }
}

/// The beginning of a text, within bounds.
fn beginning(text: &str) -> &str {
    let mut end = text.len().min(LONGEST_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Strings of a script that look like addresses of pages.
pub fn script_hints(text: &str) -> Vec<String> {
    let mut found = BTreeSet::new();
    add_script_hints(beginning(text), &mut found);
    found.into_iter().collect()
}

fn add_script_hints(text: &str, found: &mut BTreeSet<String>) {
    for literal in LITERAL.captures_iter(text) {
        let (Some(whole), Some(address)) = (literal.get(0), literal.get(1)) else {
            continue;
        };
        let mut from = whole.start().saturating_sub(60);
        while !text.is_char_boundary(from) {
            from += 1;
        }
        // What is put together from parts is an address in no part.
        let part = text[..whole.start()].trim_end().ends_with('+') || text[whole.end()..].trim_start().starts_with('+');
        if !part && !REQUESTED.is_match(&text[from..whole.start()]) {
            take(found, address.as_str());
        }
    }
}

/// Where a script says that its source map is.
pub fn source_map_of(text: &str) -> Option<String> {
    let mut from = text.len().saturating_sub(1_000);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    let found = SOURCE_MAP.captures_iter(&text[from..]).last()?;
    let url = found.get(1)?.as_str();
    (!url.starts_with("data:")).then(|| url.to_owned())
}

/// Addresses in the sources that a source map holds.
pub fn source_map_hints(body: &[u8]) -> Vec<String> {
    let mut found = BTreeSet::new();
    let Ok(map) = serde_json::from_slice::<Value>(body) else {
        return Vec::new();
    };
    let sources = map.get("sourcesContent").and_then(Value::as_array);
    for source in sources.into_iter().flatten().take(MOST_SOURCES) {
        add_script_hints(beginning(source.as_str().unwrap_or_default()), &mut found);
    }
    found.into_iter().collect()
}

/// The pages that a web app's manifest names.
pub fn manifest_hints(body: &[u8]) -> Vec<String> {
    let mut found = BTreeSet::new();
    let Ok(manifest) = serde_json::from_slice::<Value>(body) else {
        return Vec::new();
    };
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let list = |key: &str| manifest.get(key).and_then(Value::as_array).into_iter().flatten();
    let whole = ["start_url", "scope"].map(|key| text(&manifest, key));
    let more = list("shortcuts").map(|shortcut| text(shortcut, "url"));
    let handled = list("file_handlers").map(|handler| text(handler, "action"));
    for address in whole.into_iter().chain(more).chain(handled) {
        if !address.is_empty() && found.len() < MOST_HINTS && address.len() <= LONGEST_HINT {
            found.insert(address);
        }
    }
    found.into_iter().collect()
}

/// The pages that a file of speculation rules names.
pub fn speculation_hints(body: &[u8]) -> Vec<String> {
    let mut found = BTreeSet::new();
    let rules: Value = serde_json::from_slice(body).unwrap_or_default();
    let items = |value: &Value, key: &str| value.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    for rule in ["prefetch", "prerender"].iter().flat_map(|key| items(&rules, key)) {
        for url in items(&rule, "urls") {
            let address = url.as_str().unwrap_or_default();
            if !address.is_empty() && found.len() < MOST_HINTS && address.len() <= LONGEST_HINT {
                found.insert(address.to_owned());
            }
        }
    }
    found.into_iter().collect()
}

/// Addresses in a text for people or machines, such as `humans.txt`, `llms.txt` or `security.txt`.
pub fn text_hints(body: &[u8]) -> Vec<String> {
    let mut found = BTreeSet::new();
    let text = String::from_utf8_lossy(&body[..body.len().min(LONGEST_TEXT)]);
    // A page that says that there is no such file is none.
    if text.trim_start().starts_with('<') {
        return Vec::new();
    }
    for written in WRITTEN.captures_iter(&text) {
        if let Some(address) = written.get(1).or_else(|| written.get(0)) {
            take(
                &mut found,
                address.as_str().trim_end_matches(['.', ',', ';', ':', '!', '?']),
            );
        }
    }
    found.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_that_are_addresses_are_found_and_requests_are_not() {
        let code = r#"var r = { home: "/home", user: '/user/:id', x: `/a/${b}`, api: "/api/v1/cart", css: "//cdn/x" };
            fetch("/data/list"); axios.get('/rows'); $.ajax({ url: "/send" }); go("https://shop.test/tea?x=1"); f.action = base + "/create"; b = { host: "a.test", path: "/enter" };"#;
        assert_eq!(script_hints(code), ["/home", "https://shop.test/tea?x=1"]);
        assert!(script_hints(&"\"/é\" ".repeat(200_000)).len() == 1);
    }

    #[test]
    fn other_files_name_pages_too() {
        assert_eq!(
            source_map_of("a();\n//# sourceMappingURL=app.js.map\n").as_deref(),
            Some("app.js.map")
        );
        assert_eq!(source_map_of("//# sourceMappingURL=data:x"), None);
        assert_eq!(
            source_map_hints(br#"{"sourcesContent": ["route('/hidden/page')", null, 7]}"#),
            ["/hidden/page"]
        );
        assert_eq!(
            manifest_hints(br#"{"start_url": "/app?from=home", "shortcuts": [{"url": "./new"}, {}], "scope": 7}"#),
            ["./new", "/app?from=home"]
        );
        assert_eq!(
            speculation_hints(
                br#"{"prefetch": [{"urls": ["/b", 7]}, {"where": {}}], "prerender": [{"urls": ["/a"]}]}"#
            ),
            ["/a", "/b"]
        );
        assert_eq!(
            text_hints(b"# Docs\n- [Start](/docs/start): see https://shop.test/about.\n"),
            ["/docs/start", "https://shop.test/about"]
        );
        assert!(text_hints(b"<!doctype html><a href=https://shop.test/x>").is_empty());
        for broken in [&b"{"[..], b"[]", b"\xff\xfe", b""] {
            assert!(source_map_hints(broken).is_empty() && manifest_hints(broken).is_empty());
            assert!(speculation_hints(broken).is_empty());
        }
    }
}
