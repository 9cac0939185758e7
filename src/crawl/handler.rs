//! What the text of an event handler says it waits for.

/// What the text of a handler says of itself: keys that it compares with, and selectors of the elements it means.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HandlerHints {
    /// Names of keys.
    pub keys: Vec<String>,
    /// CSS selectors.
    pub selectors: Vec<String>,
}

/// Longest text of a handler that is gone through, in bytes.
const LONGEST_HANDLER: usize = 4_000;
/// Keys and selectors of one handler.
const MOST_HINTS: usize = 6;

impl HandlerHints {
    /// Reads the text of a handler.
    pub fn of(handler: &str) -> Self {
        let text: String = handler.chars().take(LONGEST_HANDLER).collect();
        let mut hints = Self::default();
        for (before, literal) in literals(&text) {
            let before: String = before.chars().filter(|c| !c.is_whitespace()).collect();
            let key = [".key===", ".key==", ".code===", ".code==", "key:", ".key)", "case"];
            if key.iter().any(|end| before.ends_with(end)) && is_key(&literal) {
                push(&mut hints.keys, literal);
            } else if before.ends_with("closest(") || before.ends_with("matches(") {
                push(&mut hints.selectors, literal);
            } else if before.ends_with(".id===") || before.ends_with(".id==") {
                push(
                    &mut hints.selectors,
                    format!("[id=\"{}\"]", literal.replace(['"', '\\'], "")),
                );
            } else if before.ends_with("classList.contains(") {
                push(
                    &mut hints.selectors,
                    format!("[class~=\"{}\"]", literal.replace(['"', '\\'], "")),
                );
            } else if before.ends_with("tagName===") || before.ends_with("tagName==") || before.ends_with("nodeName===")
            {
                push(&mut hints.selectors, literal.to_lowercase());
            } else if before.ends_with("hasAttribute(") || before.ends_with("getAttribute(") {
                push(&mut hints.selectors, format!("[{literal}]"));
            }
        }
        for named in text.split(".dataset.").skip(1) {
            let name: String = named.chars().take_while(char::is_ascii_alphanumeric).take(40).collect();
            if !name.is_empty() {
                push(&mut hints.selectors, format!("[data-{}]", with_hyphens(&name)));
            }
        }
        hints
    }
}

fn push(list: &mut Vec<String>, hint: String) {
    if list.len() < MOST_HINTS && hint.len() <= 120 && !list.contains(&hint) {
        list.push(hint);
    }
}

/// `itemId` as an attribute has it: `item-id`.
fn with_hyphens(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            out.push('-');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

fn is_key(name: &str) -> bool {
    let mut chars = name.chars();
    let one = chars.next().is_some() && chars.next().is_none();
    let named = name.len() <= 12 && name.starts_with(|c: char| c.is_ascii_uppercase());
    one || (named && name.bytes().all(|b| b.is_ascii_alphanumeric()))
}

/// The string literals of a script's text, each with what stands before it.
fn literals(text: &str) -> Vec<(&str, String)> {
    let mut found = Vec::new();
    let mut rest = 0;
    while let Some(at) = text[rest..].find(['"', '\'', '`']).map(|at| rest + at) {
        let quote = text[at..].chars().next().unwrap_or('"');
        let Some(end) = text[at + 1..].find(quote).map(|end| at + 1 + end) else {
            break;
        };
        let from = text[..at].char_indices().rev().nth(30).map_or(0, |(from, _)| from);
        found.push((&text[from..at], text[at + 1..end].to_owned()));
        rest = end + 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn handlers_say_what_they_mean() {
        let hints = HandlerHints::of(
            "(e) => { if (e.key === 'n' || e.code == \"F2\") go(); const a = e.target.closest('[data-open] .x'); \
             if (e.target.id === 'go') b(); if (e.target.classList.contains('c')) d(t.dataset.itemId) }",
        );
        assert_eq!(hints.keys, ["n", "F2"]);
        assert_eq!(
            hints.selectors,
            ["[data-open] .x", "[id=\"go\"]", "[class~=\"c\"]", "[data-item-id]"]
        );
        assert_eq!(HandlerHints::of("'"), HandlerHints::default());
    }

    proptest! {
        #[test]
        fn any_text_is_a_handler(text in "\\PC{0,200}") {
            HandlerHints::of(&text);
        }
    }
}
