//! Our block in a description, between two marks. What people write above and below it is theirs and stays.

use serde_json::{Value, json};

use super::document::Document;
use super::text::units;
use super::ticket::MAX_DESCRIPTION;
use super::{adf, wiki};
use crate::config::Deployment;

/// The line before our block. Plain words: in no dialect is any of it markup, and an editor leaves it as it is.
const BEGIN: &str = "▼ Phantom Gang keeps what stands between these two lines up to date ▼";
/// The line after it.
const END: &str = "▲ Write above or below the two lines, what stands between them is replaced ▲";
/// What parts a line of page text from being taken for a mark.
const NOT_A_MARK: &str = "· ";

/// The description with our block brought up to date, as this deployment writes it.
///
/// If both marks are there, what is between them is replaced. If not, our block is put at the end, once. Our block is
/// cut so that all of it has room beside what people wrote: 32,767 UTF-16 units.
pub fn splice(existing: Option<&Value>, ours: &Document, deployment: Deployment) -> Value {
    match deployment {
        Deployment::Cloud => splice_adf(existing, ours),
        Deployment::DataCenter => Value::from(splice_wiki(existing.and_then(Value::as_str).unwrap_or_default(), ours)),
    }
}

/// The last begin before the first end that has one: a mark that lost its partner takes no text of people with it.
fn between(begins: impl Fn(usize) -> bool, ends: impl Fn(usize) -> bool, count: usize) -> Option<(usize, usize)> {
    let mut begin = None;
    for index in 0..count {
        if begins(index) {
            begin = Some(index);
        } else if ends(index)
            && let Some(begin) = begin
        {
            return Some((begin, index));
        }
    }
    None
}

fn splice_adf(existing: Option<&Value>, ours: &Document) -> Value {
    let nodes = match existing {
        Some(Value::String(text)) if !text.is_empty() => vec![paragraph(text)],
        Some(document) => document["content"].as_array().cloned().unwrap_or_default(),
        None => Vec::new(),
    };
    let is = |index: usize, mark: &str| {
        nodes
            .get(index)
            .is_some_and(|node| node["type"] == "paragraph" && adf::plain(node).trim() == mark)
    };
    let (above, below) = match between(|one| is(one, BEGIN), |one| is(one, END), nodes.len()) {
        Some((begin, end)) => (&nodes[..begin], &nodes[end + 1..]),
        None => (&nodes[..], &[][..]),
    };
    let theirs = json!([above, below, mark(BEGIN), mark(END)]).to_string();
    // The document itself, and the commas between its parts.
    let room = MAX_DESCRIPTION.saturating_sub(units(&theirs) + 64);
    let block = fitting(room, |room| {
        let mut rendered = adf::render_within(ours.clone(), room);
        let block = rendered["content"]
            .as_array_mut()
            .map(std::mem::take)
            .unwrap_or_default();
        let block: Vec<Value> = block.into_iter().map(unmarked).collect();
        let length = units(&json!(block).to_string());
        (block, length)
    });
    let mut content = above.to_vec();
    content.push(mark(BEGIN));
    content.extend(block);
    content.push(mark(END));
    content.extend_from_slice(below);
    json!({ "type": "doc", "version": 1, "content": content })
}

fn mark(text: &str) -> Value {
    json!({ "type": "paragraph", "content": [{ "type": "text", "text": text, "marks": [{ "type": "em" }] }] })
}

fn paragraph(text: &str) -> Value {
    json!({ "type": "paragraph", "content": [{ "type": "text", "text": text }] })
}

fn is_mark(text: &str) -> bool {
    let text = text.trim();
    text == BEGIN || text == END
}

/// A paragraph of ours that reads like a mark was written by a page.
fn unmarked(mut node: Value) -> Value {
    if node["type"] == "paragraph"
        && is_mark(&adf::plain(&node))
        && let Some(content) = node["content"].as_array_mut()
    {
        content.insert(0, json!({ "type": "text", "text": NOT_A_MARK }));
    }
    node
}

fn unmarked_line(line: &str) -> String {
    if is_mark(line) {
        format!("{NOT_A_MARK}{line}")
    } else {
        line.to_owned()
    }
}

/// Renders into a room. What is put before forged marks may go beyond it; then once more with as much less.
fn fitting<T>(room: usize, render: impl Fn(usize) -> (T, usize)) -> T {
    let (rendered, length) = render(room);
    match length.saturating_sub(room) {
        0 => rendered,
        over => render(room.saturating_sub(over)).0,
    }
}

fn splice_wiki(existing: &str, ours: &Document) -> String {
    let lines: Vec<&str> = existing.split_inclusive('\n').collect();
    let is = |index: usize, mark: &str| lines.get(index).is_some_and(|line| line.trim() == mark);
    let (above, below) = match between(|one| is(one, BEGIN), |one| is(one, END), lines.len()) {
        Some((begin, end)) => (lines[..begin].concat(), lines[end + 1..].concat()),
        None if existing.trim().is_empty() => (String::new(), String::new()),
        None => (format!("{}\n\n", existing.trim_end()), String::new()),
    };
    let frame = format!("{above}{BEGIN}\n\n\n\n{END}\n{below}");
    let room = MAX_DESCRIPTION.saturating_sub(units(&frame) + 8);
    let block = fitting(room, |room| {
        let rendered = wiki::render_within(ours.clone(), room);
        let lines: Vec<String> = rendered.lines().map(unmarked_line).collect();
        let block = lines.join("\n");
        let length = units(&block);
        (block, length)
    });
    let end = if below.is_empty() { "" } else { "\n" };
    format!("{above}{BEGIN}\n\n{block}\n\n{END}{end}{below}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::jira::document::{Block, Inline};

    const CLOUD: Deployment = Deployment::Cloud;
    const DATA_CENTER: Deployment = Deployment::DataCenter;

    fn document(text: &str) -> Document {
        Document {
            blocks: vec![Block::paragraph(text), Block::Code(text.to_owned())],
        }
    }

    fn text_of(value: &Value) -> String {
        value.as_str().map_or_else(|| adf::plain(value), wiki::plain)
    }

    /// As a person would: a paragraph above and one below.
    fn with_people(value: &Value) -> Value {
        match value {
            Value::String(text) => json!(format!(
                "Ann: *mine*\r\n\r\n{}\r\nBob: [me|http://x]",
                text.replace('\n', "\r\n")
            )),
            document => {
                let mut document = document.clone();
                let content = document["content"].as_array_mut().unwrap();
                content.insert(0, paragraph("Ann: *mine*"));
                content.push(json!({ "type": "panel", "content": [paragraph("Bob: [me|http://x]")] }));
                document
            }
        }
    }

    #[test]
    fn what_people_write_survives_every_update() {
        for deployment in [CLOUD, DATA_CENTER] {
            let first = splice(None, &document("first"), deployment);
            let mut edited = with_people(&first);
            for round in ["second", "third"] {
                edited = splice(Some(&edited), &document(round), deployment);
                let text = text_of(&edited);
                assert!(text.starts_with("Ann: *mine*\n"), "{text}");
                assert!(text.ends_with("\nBob: [me|http://x]"), "{text}");
                assert!(text.contains(round) && !text.contains("first"), "{text}");
                assert_eq!(text.matches(BEGIN).count(), 1);
            }
            assert_eq!(splice(Some(&edited), &document("third"), deployment), edited);
        }
    }

    #[test]
    fn without_marks_our_block_is_put_at_the_end_once() {
        for (deployment, theirs) in [
            (
                CLOUD,
                json!({ "type": "doc", "version": 1, "content": [paragraph("Only mine.")] }),
            ),
            (CLOUD, json!("Only mine.")),
            (DATA_CENTER, json!("Only mine.")),
        ] {
            let once = splice(Some(&theirs), &document("ours"), deployment);
            let twice = splice(Some(&once), &document("ours"), deployment);
            assert_eq!(once, twice);
            let text = text_of(&once);
            assert!(text.starts_with("Only mine.\n"), "{text}");
            assert_eq!(text.matches(BEGIN).count(), 1);
        }
    }

    #[test]
    fn a_mark_without_its_partner_takes_nothing_with_it() {
        let theirs = json!(format!("a\n{END}\nb\n{BEGIN}\nc\n{BEGIN}\nours\n{END}\nd\n{END}\ne"));
        let spliced = splice(Some(&theirs), &document("new"), DATA_CENTER);
        let text = spliced.as_str().unwrap();
        for kept in ["a\n", "b\n", "c\n", "\nd\n", "\ne"] {
            assert!(text.contains(kept), "{kept:?} in {text}");
        }
        assert!(!text.contains("ours"));
    }

    #[test]
    fn a_page_cannot_forge_a_mark() {
        for deployment in [CLOUD, DATA_CENTER] {
            for mark in [BEGIN, END] {
                let hostile = Document {
                    blocks: vec![
                        Block::paragraph(mark),
                        Block::Paragraph(vec![Inline::text(&mark[..9]), Inline::text(&mark[9..])]),
                        Block::Code(format!("x\n{mark}\n {mark} \ny")),
                    ],
                };
                let first = with_people(&splice(None, &hostile, deployment));
                let second = splice(Some(&first), &document("plain"), deployment);
                let text = text_of(&second);
                assert!(
                    !text.contains("x\n") && text.contains("Ann") && text.contains("Bob"),
                    "{text}"
                );
                assert_eq!(text.matches(mark).count(), 1, "{text}");
            }
        }
    }

    #[test]
    fn a_long_text_of_people_leaves_less_room_for_ours() {
        for deployment in [CLOUD, DATA_CENTER] {
            let long = "x".repeat(20_000);
            let theirs = if deployment == CLOUD {
                json!({ "content": [paragraph(&long)] })
            } else {
                json!(long)
            };
            let spliced = splice(Some(&theirs), &document(&"y".repeat(30_000)), deployment);
            let length = spliced.as_str().map_or_else(|| units(&spliced.to_string()), units);
            assert!((25_000..=MAX_DESCRIPTION).contains(&length), "{length}");
            assert!(text_of(&spliced).starts_with(&long));
        }
    }

    proptest! {
        #[test]
        fn any_text_of_people_survives(above in "(?s).{0,60}", below in "[^\n]{0,60}") {
            let ours = splice(None, &document("ours"), DATA_CENTER);
            let edited = json!(format!("{above}\n{}\n{below}", ours.as_str().unwrap()));
            let spliced = splice(Some(&edited), &document("new"), DATA_CENTER);
            let text = spliced.as_str().unwrap();
            prop_assert!(text.starts_with(&above) && text.ends_with(&below), "{}", text);
            prop_assert!(!text.contains("ours"));
        }
    }
}
