//! A [`Document`] in the Atlassian Document Format, which Jira Cloud takes.

use serde_json::{Value, json};

use super::document::{Block, Document, Inline};
use super::text::{line, units, visible};

/// Renders a document.
///
/// Page text lands in `text` nodes only, which Jira shows as they are; what hides or reorders is made visible.
pub fn render(document: &Document) -> Value {
    let content: Vec<Value> = document.blocks.iter().flat_map(block).collect();
    json!({ "type": "doc", "version": 1, "content": content })
}

/// Renders a document so that its JSON is at most `max` UTF-16 units long.
///
/// The largest block of the tree is made smaller until all fits, so that no markup is ever cut. Counting JSON errs on
/// the safe side: Jira counts less.
pub fn render_within(mut document: Document, max: usize) -> Value {
    loop {
        let rendered = render(&document);
        if units(&rendered.to_string()) <= max || document.blocks.is_empty() {
            return rendered;
        }
        let largest = document
            .blocks
            .iter()
            .enumerate()
            .max_by_key(|(_, one)| block(one).iter().map(|part| part.to_string().len()).sum::<usize>())
            .map_or(0, |(index, _)| index);
        if !document.blocks.get_mut(largest).is_some_and(Block::shrink) {
            document.blocks.remove(largest);
        }
    }
}

/// The text of a document, without any look: a line for each block, as people's editors and our own rendering make them.
pub fn plain(document: &Value) -> String {
    let mut out = String::new();
    collect(document, &mut out, MAX_DEPTH);
    out.truncate(out.trim_end().len());
    out
}

/// Nested deeper than this nothing is read.
const MAX_DEPTH: usize = 50;

fn collect(node: &Value, out: &mut String, depth: usize) {
    let attribute = |name: &str| node["attrs"][name].as_str().unwrap_or_default();
    match node["type"].as_str().unwrap_or_default() {
        "text" => out.push_str(node["text"].as_str().unwrap_or_default()),
        "hardBreak" => out.push('\n'),
        "mention" | "emoji" | "status" => out.push_str(attribute("text")),
        "inlineCard" | "blockCard" | "embedCard" => out.push_str(attribute("url")),
        _ => {}
    }
    let children = node["content"].as_array().map_or(&[][..], Vec::as_slice);
    if depth == 0 || children.is_empty() {
        return;
    }
    for child in children {
        collect(child, out, depth - 1);
    }
    if !out.ends_with('\n') {
        out.push('\n');
    }
}

fn block(block: &Block) -> Vec<Value> {
    match block {
        Block::Heading { level, text } => {
            vec![json!({
                "type": "heading",
                "attrs": { "level": (*level).clamp(1, 6) },
                "content": runs(&[Inline::text(text.as_str())]),
            })]
        }
        Block::Paragraph(content) => vec![paragraph(content)],
        Block::Bullets(items) if items.is_empty() => Vec::new(),
        Block::Bullets(items) => {
            let items: Vec<Value> = items
                .iter()
                .map(|item| json!({ "type": "listItem", "content": [paragraph(item)] }))
                .collect();
            vec![json!({ "type": "bulletList", "content": items })]
        }
        Block::Code(text) => {
            let text = visible(text);
            let content = if text.is_empty() {
                Vec::new()
            } else {
                vec![json!({ "type": "text", "text": text })]
            };
            vec![json!({ "type": "codeBlock", "content": content })]
        }
        Block::Table { header, rows, omitted } => table(header, rows, *omitted),
    }
}

fn table(header: &[String], rows: &[Vec<Vec<Inline>>], omitted: u64) -> Vec<Value> {
    let cell = |kind: &str, content: &[Inline]| json!({ "type": kind, "content": [paragraph(content)] });
    let head: Vec<Value> = header
        .iter()
        .map(|text| cell("tableHeader", &[Inline::text(text.as_str())]))
        .collect();
    let mut content = vec![json!({ "type": "tableRow", "content": head })];
    for row in rows {
        let cells: Vec<Value> = row.iter().map(|one| cell("tableCell", one)).collect();
        content.push(json!({ "type": "tableRow", "content": cells }));
    }
    let mut out = vec![json!({ "type": "table", "content": content })];
    if omitted > 0 {
        out.push(paragraph(&[Inline::text(format!("… and {omitted} more"))]));
    }
    out
}

fn paragraph(content: &[Inline]) -> Value {
    json!({ "type": "paragraph", "content": runs(content) })
}

/// Text nodes may not be empty. Spaces at the edge of a run are kept, they part it from its neighbours.
fn runs(content: &[Inline]) -> Vec<Value> {
    content
        .iter()
        .filter_map(|inline| {
            let raw = inline.as_text();
            let mut text = line(raw);
            if text.is_empty() {
                return None;
            }
            if raw.starts_with(' ') {
                text.insert(0, ' ');
            }
            if raw.ends_with(' ') {
                text.push(' ');
            }
            Some(match inline {
                Inline::Text(_) => json!({ "type": "text", "text": text }),
                Inline::Strong(_) => json!({ "type": "text", "text": text, "marks": [{ "type": "strong" }] }),
                Inline::Code(_) => json!({ "type": "text", "text": text, "marks": [{ "type": "code" }] }),
                Inline::Link { to, .. } => json!({
                    "type": "text",
                    "text": text,
                    "marks": [{ "type": "link", "attrs": { "href": to.as_str() } }],
                }),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Every node type and mark type that occurs, and every link target.
    fn parts(node: &Value, types: &mut Vec<String>, links: &mut Vec<String>) {
        match node {
            Value::Object(map) => {
                if let Some(kind) = map.get("type").and_then(Value::as_str) {
                    types.push(kind.to_owned());
                }
                if let Some(href) = map.get("href").and_then(Value::as_str) {
                    links.push(href.to_owned());
                }
                map.values().for_each(|value| parts(value, types, links));
            }
            Value::Array(list) => list.iter().for_each(|value| parts(value, types, links)),
            _ => {}
        }
    }

    #[test]
    fn hostile_text_stays_text() {
        let hostile = "{code}@admin [~admin] [x|javascript:alert(1)] <b>\u{202e}gpj.exe</b>\",\"type\":\"mention\"";
        let document = Document {
            blocks: vec![
                Block::section(hostile),
                Block::Paragraph(vec![
                    Inline::text(hostile),
                    Inline::link(hostile, "javascript:alert(1)"),
                ]),
                Block::Bullets(vec![vec![Inline::Code(hostile.to_owned())]]),
                Block::Code(hostile.to_owned()),
                Block::Table {
                    header: vec![hostile.to_owned()],
                    rows: vec![vec![vec![Inline::Strong(hostile.to_owned())]]],
                    omitted: 2,
                },
            ],
        };
        let (mut types, mut links) = (Vec::new(), Vec::new());
        let rendered = render(&document);
        parts(&rendered, &mut types, &mut links);
        assert!(links.is_empty());
        assert!(!types.iter().any(|kind| kind == "mention"), "{types:?}");
        assert!(!rendered.to_string().contains('\u{202e}'));
        assert!(rendered.to_string().contains("… and 2 more"));
    }

    #[test]
    fn empty_texts_make_no_nodes() {
        let document = Document {
            blocks: vec![
                Block::paragraph(""),
                Block::Code(String::new()),
                Block::Bullets(Vec::new()),
            ],
        };
        assert_eq!(
            render(&document)["content"],
            json!([{ "type": "paragraph", "content": [] }, { "type": "codeBlock", "content": [] }])
        );
    }

    #[test]
    fn the_text_of_a_document_is_read() {
        let document = Document {
            blocks: vec![
                Block::section("Head"),
                Block::Paragraph(vec![Inline::text("a "), Inline::Strong("b".to_owned())]),
                Block::Bullets(vec![vec![Inline::text("one")], vec![Inline::text("two")]]),
                Block::Code("x\ny".to_owned()),
            ],
        };
        assert_eq!(plain(&render(&document)), "Head\na b\none\ntwo\nx\ny");
        let by_people = json!({ "type": "doc", "content": [{ "type": "paragraph", "content": [
            { "type": "mention", "attrs": { "text": "@ann" } }, { "type": "text", "text": " see" }, { "type": "hardBreak" },
            { "type": "inlineCard", "attrs": { "url": "https://x.test/" } },
        ] }] });
        assert_eq!(plain(&by_people), "@ann see\nhttps://x.test/");
        for odd in [json!(null), json!("text"), json!([1]), json!({ "content": 7 })] {
            assert_eq!(plain(&odd), "");
        }
    }

    #[test]
    fn a_large_table_is_cut_by_rows_and_says_so() {
        let row = vec![vec![Inline::link("x".repeat(400), "https://shop.test/page")]];
        let document = Document {
            blocks: vec![
                Block::paragraph("Read me."),
                Block::Table {
                    header: vec!["Page".to_owned()],
                    rows: vec![row; 50],
                    omitted: 0,
                },
                Block::paragraph("The end."),
            ],
        };
        let rendered = render_within(document, 8_000);
        let shown = rendered["content"][1]["content"].as_array().unwrap().len() - 1;
        assert!(shown > 5, "{shown}");
        let remark = format!("… and {} more", 50 - shown);
        assert_eq!(rendered["content"][2]["content"][0]["text"], remark.as_str());
        assert_eq!(rendered["content"][3]["content"][0]["text"], "The end.");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn the_limit_holds(texts in prop::collection::vec(".{0,400}", 0..8), max in 60_usize..3_000) {
            let mut blocks = vec![Block::Bullets(texts.iter().map(|text| vec![Inline::text(text.as_str())]).collect())];
            blocks.extend(texts.iter().map(|text| Block::Code(text.clone())));
            blocks.extend(texts.iter().map(|text| Block::paragraph(text.as_str())));
            let length = units(&render_within(Document { blocks }, max).to_string());
            prop_assert!(length <= max);
        }
    }
}
