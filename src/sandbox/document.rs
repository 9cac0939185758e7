//! Atlassian documents: what is taken for one, and how it looks as HTML.

use serde_json::Value;

/// Nested deeper than this is no document.
const MAX_DEPTH: usize = 20;
const NODES: [&str; 12] = [
    "paragraph",
    "heading",
    "text",
    "bulletList",
    "orderedList",
    "listItem",
    "codeBlock",
    "table",
    "tableRow",
    "tableHeader",
    "tableCell",
    "rule",
];

/// Is this a document made of nodes that the sandbox knows?
pub(super) fn is_document(value: &Value) -> bool {
    value["type"] == "doc"
        && value["version"] == 1
        && value["content"]
            .as_array()
            .is_some_and(|nodes| nodes.iter().all(|node| is_node(node, MAX_DEPTH)))
}

fn is_node(node: &Value, depth: usize) -> bool {
    let Some(kind) = node["type"].as_str().filter(|kind| NODES.contains(kind)) else {
        return false;
    };
    if kind == "text" {
        return node["text"].as_str().is_some_and(|text| !text.is_empty());
    }
    depth > 0
        && node.get("content").is_none_or(|content| {
            content
                .as_array()
                .is_some_and(|nodes| nodes.iter().all(|one| is_node(one, depth - 1)))
        })
}

/// The text of a document, for its length.
pub(super) fn text_length(node: &Value) -> usize {
    let own = node["text"].as_str().map_or(0, |text| text.encode_utf16().count());
    let nodes = node["content"].as_array().map_or(&[][..], Vec::as_slice);
    own + nodes.iter().map(text_length).sum::<usize>()
}

/// A document as inert HTML: every text escaped, links to http and https only.
pub(super) fn html(document: &Value) -> String {
    let mut out = String::new();
    children(document, &mut out, MAX_DEPTH);
    out
}

fn children(node: &Value, out: &mut String, depth: usize) {
    if depth == 0 {
        return;
    }
    for child in node["content"].as_array().map_or(&[][..], Vec::as_slice) {
        self::node(child, out, depth - 1);
    }
}

fn node(node: &Value, out: &mut String, depth: usize) {
    let tag = match node["type"].as_str().unwrap_or_default() {
        "text" => return text(node, out),
        "rule" => return out.push_str("<hr>"),
        "codeBlock" => "pre",
        "paragraph" => "p",
        "heading" => match node["attrs"]["level"].as_u64() {
            Some(1) => "h2",
            Some(2) => "h3",
            _ => "h4",
        },
        "bulletList" => "ul",
        "orderedList" => "ol",
        "listItem" => "li",
        "table" => "table",
        "tableRow" => "tr",
        "tableHeader" => "th",
        "tableCell" => "td",
        _ => "div",
    };
    out.extend(["<", tag, ">"]);
    children(node, out, depth);
    out.extend(["</", tag, ">"]);
}

fn text(node: &Value, out: &mut String) {
    let mut html = escape(node["text"].as_str().unwrap_or_default());
    for mark in node["marks"].as_array().map_or(&[][..], Vec::as_slice) {
        let href = mark["attrs"]["href"].as_str().unwrap_or_default();
        html = match mark["type"].as_str().unwrap_or_default() {
            "strong" => format!("<strong>{html}</strong>"),
            "em" => format!("<em>{html}</em>"),
            "code" => format!("<code>{html}</code>"),
            "link" if href.starts_with("https://") || href.starts_with("http://") => {
                format!(
                    "<a rel=\"noopener noreferrer nofollow\" href=\"{}\">{html}</a>",
                    escape(href)
                )
            }
            _ => html,
        };
    }
    out.push_str(&html);
}

/// Escapes for HTML text and quoted attributes.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_documents_are_documents() {
        for (value, expected) in [
            (json!({"type": "doc", "version": 1, "content": []}), true),
            (
                json!({"type": "doc", "version": 1, "content": [{"type": "paragraph", "content": [{"type": "text", "text": "x"}]}]}),
                true,
            ),
            (json!("text"), false),
            (json!({"type": "doc", "content": []}), false),
            (
                json!({"type": "doc", "version": 1, "content": [{"type": "script"}]}),
                false,
            ),
            (
                json!({"type": "doc", "version": 1, "content": [{"type": "text", "text": ""}]}),
                false,
            ),
            (
                json!({"type": "doc", "version": 1, "content": [{"type": "paragraph", "content": "x"}]}),
                false,
            ),
        ] {
            assert_eq!(is_document(&value), expected, "{value}");
        }
    }

    #[test]
    fn html_is_inert() {
        let link = |href: &str| json!({"type": "text", "text": "<b>\"'&", "marks": [{"type": "link", "attrs": {"href": href}}]});
        let document = json!({"type": "doc", "version": 1, "content": [
            {"type": "paragraph", "content": [link("javascript:alert(1)"), link("https://x.test/\"><script>")]},
            {"type": "<script>", "content": [{"type": "text", "text": "</pre>"}]},
        ]});
        assert_eq!(
            html(&document),
            "<p>&lt;b&gt;&quot;&#39;&amp;<a rel=\"noopener noreferrer nofollow\" \
             href=\"https://x.test/&quot;&gt;&lt;script&gt;\">&lt;b&gt;&quot;&#39;&amp;</a></p><div>&lt;/pre&gt;</div>"
        );
    }
}
