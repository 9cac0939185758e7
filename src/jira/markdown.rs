//! The small part of Markdown in which checks are documented, as blocks of a document.
//!
//! Paragraphs, bullet lists, fenced code, sub-headings; inside a line `` `code` ``, `**bold**`, `[text](address)` and
//! `<address>`. Anything else stays text.

use super::document::{Block, Inline};

/// Reads a text.
pub fn blocks(source: &str) -> Vec<Block> {
    let mut reader = Reader::default();
    for line in source.lines() {
        reader.line(line);
    }
    reader.flush();
    reader.blocks
}

#[derive(Default)]
struct Reader {
    blocks: Vec<Block>,
    paragraph: String,
    items: Vec<String>,
    code: Option<String>,
}

impl Reader {
    fn line(&mut self, line: &str) {
        let trimmed = line.trim();
        if trimmed.starts_with("```") {
            if let Some(code) = self.code.take() {
                self.blocks.push(Block::Code(code));
            } else {
                self.flush();
                self.code = Some(String::new());
            }
        } else if let Some(code) = &mut self.code {
            if !code.is_empty() {
                code.push('\n');
            }
            code.push_str(line);
        } else if trimmed.is_empty() {
            self.flush();
        } else if let Some(heading) = trimmed.strip_prefix('#') {
            self.flush();
            let text = heading.trim_start_matches('#').trim();
            self.blocks
                .push(Block::Paragraph(vec![Inline::Strong(text.to_owned())]));
        } else if let Some(item) = trimmed.strip_prefix("- ").or_else(|| trimmed.strip_prefix("* ")) {
            self.end_paragraph();
            self.items.push(item.to_owned());
        } else {
            let target = self.items.last_mut().unwrap_or(&mut self.paragraph);
            if !target.is_empty() {
                target.push(' ');
            }
            target.push_str(trimmed);
        }
    }

    fn end_paragraph(&mut self) {
        if !self.paragraph.is_empty() {
            let text = std::mem::take(&mut self.paragraph);
            self.blocks.push(Block::Paragraph(inlines(&text)));
        }
    }

    fn flush(&mut self) {
        self.end_paragraph();
        if let Some(code) = self.code.take() {
            self.blocks.push(Block::Code(code));
        }
        if !self.items.is_empty() {
            let items = std::mem::take(&mut self.items);
            self.blocks
                .push(Block::Bullets(items.iter().map(|item| inlines(item)).collect()));
        }
    }
}

fn inlines(text: &str) -> Vec<Inline> {
    let mut out = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if let Some((inline, after)) = special(rest) {
            if !plain.is_empty() {
                out.push(Inline::Text(std::mem::take(&mut plain)));
            }
            out.push(inline);
            rest = after;
        } else {
            plain.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    if !plain.is_empty() {
        out.push(Inline::Text(plain));
    }
    out
}

/// A marked run at the very beginning of a text, and what follows it.
fn special(text: &str) -> Option<(Inline, &str)> {
    if let Some((code, after)) = enclosed(text, "`", "`") {
        return Some((Inline::Code(code.to_owned()), after));
    }
    if let Some((strong, after)) = enclosed(text, "**", "**") {
        return Some((Inline::Strong(strong.to_owned()), after));
    }
    if let Some((address, after)) = enclosed(text, "<http", ">") {
        let address = format!("http{address}");
        return Some((Inline::link(address.as_str(), &address), after));
    }
    let (label, after) = enclosed(text, "[", "]")?;
    let (address, after) = enclosed(after, "(", ")")?;
    Some((Inline::link(label, address), after))
}

fn enclosed<'a>(text: &'a str, open: &str, close: &str) -> Option<(&'a str, &'a str)> {
    let inner = text.strip_prefix(open)?;
    let (content, after) = inner.split_once(close)?;
    (!content.is_empty()).then_some((content, after))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_parts_that_checks_use_are_read() {
        let read = blocks(
            "One `code`\nand **bold**.\n\n- first\n  goes on\n- [CWE](https://cwe.mitre.org/)\n\n```\na = *\n  b\n```\n## Sub\n<https://x.test/>",
        );
        assert_eq!(
            read,
            [
                Block::Paragraph(vec![
                    Inline::text("One "),
                    Inline::Code("code".to_owned()),
                    Inline::text(" and "),
                    Inline::Strong("bold".to_owned()),
                    Inline::text("."),
                ]),
                Block::Bullets(vec![
                    vec![Inline::text("first goes on")],
                    vec![Inline::link("CWE", "https://cwe.mitre.org/")],
                ]),
                Block::Code("a = *\n  b".to_owned()),
                Block::Paragraph(vec![Inline::Strong("Sub".to_owned())]),
                Block::Paragraph(vec![Inline::link("https://x.test/", "https://x.test/")]),
            ]
        );
    }

    #[test]
    fn what_is_not_closed_stays_text() {
        for text in ["a ` b", "** x", "[x](", "[x] y", "<http", "``"] {
            assert_eq!(blocks(text), [Block::paragraph(text)], "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "[-`*\\[\\]()<>#a \\n]{0,60}") {
            blocks(&text);
        }
    }
}
