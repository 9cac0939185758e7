//! Wiki markup as inert HTML: a witness of what Jira would make of it. Whatever is not escaped is markup here too, so
//! that text which should have been escaped and was not is seen.

use super::document::escape;

/// Wiki markup as HTML.
pub(super) fn html(markup: &str) -> String {
    let mut out = String::new();
    let mut lines = markup.lines().peekable();
    while let Some(line) = lines.next() {
        let line = line.trim_end_matches('\r');
        let trimmed = line.trim();
        if trimmed.is_empty() {
            continue;
        }
        if let Some(end) = ["{noformat}", "{code}"]
            .into_iter()
            .find(|mark| trimmed.starts_with(mark))
        {
            let code: Vec<&str> = lines.by_ref().take_while(|line| !line.contains(end)).collect();
            out.extend(["<pre>", &escape(&code.join("\n")), "</pre>"]);
        } else if let Some((level, text)) = heading(trimmed) {
            let text = inline(text);
            out.extend([format!("<h{level}>{text}</h{level}>")]);
        } else if trimmed.starts_with("* ") {
            let mut item = trimmed;
            out.push_str("<ul>");
            loop {
                out.extend(["<li>", &inline(&item[2..]), "</li>"]);
                match lines.next_if(|next| next.starts_with("* ")) {
                    Some(next) => item = next,
                    None => break,
                }
            }
            out.push_str("</ul>");
        } else if trimmed.starts_with('|') {
            let mut row = trimmed;
            out.push_str("<table>");
            loop {
                out.push_str(&table_row(row));
                match lines.next_if(|next| next.starts_with('|')) {
                    Some(next) => row = next,
                    None => break,
                }
            }
            out.push_str("</table>");
        } else {
            out.extend(["<p>", &inline(trimmed), "</p>"]);
        }
    }
    out
}

/// The HTML level and the text of a heading: one level lower than its own, below the page's.
fn heading(line: &str) -> Option<(u8, &str)> {
    let (level, text) = line.strip_prefix('h')?.split_once(". ")?;
    let level: u8 = level.parse().ok().filter(|level| (1..=6).contains(level))?;
    Some(((level + 1).min(6), text))
}

fn table_row(row: &str) -> String {
    let (tag, mark) = if row.starts_with("||") {
        ("th", "||")
    } else {
        ("td", "|")
    };
    let inner = row.trim_start_matches('|').trim_end_matches('|');
    let mut cells: Vec<String> = Vec::new();
    let mut rest = inner;
    let mut cell = String::new();
    while let Some(c) = rest.chars().next() {
        // The bar of a link parts no cells.
        let link = if c == '[' {
            rest.find(']').map(|end| end + 1)
        } else {
            None
        };
        let taken = link.unwrap_or(c.len_utf8());
        if link.is_none() && rest.starts_with(mark) {
            cells.push(std::mem::take(&mut cell));
            rest = &rest[mark.len()..];
        } else {
            cell.push_str(&rest[..taken]);
            rest = &rest[taken..];
        }
    }
    cells.push(cell);
    let cells: Vec<String> = cells
        .iter()
        .map(|cell| format!("<{tag}>{}</{tag}>", inline(cell.trim())))
        .collect();
    format!("<tr>{}</tr>", cells.concat())
}

/// Marks of inline markup that is enclosed on both sides: what opens it, what closes it, and its HTML element.
const ENCLOSED: [(&str, &str, &str); 4] = [
    ("{{", "}}", "code"),
    ("*", "*", "strong"),
    ("_", "_", "em"),
    ("??", "??", "cite"),
];

fn inline(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let (html, taken) = escaped(rest)
            .or_else(|| enclosed(rest))
            .or_else(|| bracketed(rest))
            .or_else(|| address(rest))
            .unwrap_or_else(|| (escape(&rest[..c.len_utf8()]), c.len_utf8()));
        out.push_str(&html);
        rest = &rest[taken..];
    }
    out
}

/// A backslash and what it protects, or a numeric entity.
fn escaped(text: &str) -> Option<(String, usize)> {
    if let Some(after) = text.strip_prefix('\\') {
        if after.starts_with('\\') {
            return Some(("<br>".to_owned(), 2));
        }
        let c = after.chars().next().filter(char::is_ascii_punctuation)?;
        return Some((escape(&c.to_string()), 2));
    }
    let (number, _) = text.strip_prefix("&#")?.split_once(';')?;
    let c = number.parse().ok().and_then(char::from_u32)?;
    Some((escape(&c.to_string()), number.len() + 3))
}

/// The place of the next `mark` that no backslash protects.
fn closing(text: &str, mark: &str) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + text.get(from..)?.find(mark)?;
        if at > 0 && !text[..at].ends_with('\\') {
            return Some(at);
        }
        from = at + 1;
    }
}

fn enclosed(text: &str) -> Option<(String, usize)> {
    let (open, close, tag) = ENCLOSED.into_iter().find(|(open, _, _)| text.starts_with(open))?;
    let after = &text[open.len()..];
    let end = closing(after, close)?;
    let html = format!("<{tag}>{}</{tag}>", inline(&after[..end]));
    Some((html, open.len() + end + close.len()))
}

/// Links, mentions, macros and images: shown as what they would be, never as the thing itself.
fn bracketed(text: &str) -> Option<(String, usize)> {
    let (open, close) = [('[', "]"), ('{', "}"), ('!', "!")]
        .into_iter()
        .find(|(open, _)| text.starts_with(*open))?;
    let end = closing(&text[1..], close)?;
    let inner = &text[1..=end];
    let html = match open {
        '[' if inner.starts_with('~') => format!("<span class=\"tag\">mention {}</span>", escape(inner)),
        '[' => {
            let (label, href) = match inner.rsplit_once('|') {
                Some((label, href)) => (inline(label), href),
                None => (escape(inner), inner),
            };
            if href.starts_with("https://") || href.starts_with("http://") {
                format!(
                    "<a rel=\"noopener noreferrer nofollow\" href=\"{}\">{label}</a>",
                    escape(href),
                )
            } else {
                format!("<span class=\"tag\">link {}</span>", escape(inner))
            }
        }
        '{' => format!("<span class=\"tag\">macro {}</span>", escape(inner)),
        _ => format!("<span class=\"tag\">image {}</span>", escape(inner)),
    };
    Some((html, end + 2))
}

/// An address that Jira makes a link by itself.
fn address(text: &str) -> Option<(String, usize)> {
    ["https://", "http://"]
        .into_iter()
        .find(|scheme| text.starts_with(scheme))?;
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    let href = escape(&text[..end]);
    let html = format!("<a rel=\"noopener noreferrer nofollow\" href=\"{href}\">{href}</a>");
    Some((html, end))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::jira::{Block, Document, Inline, render_wiki};

    #[test]
    fn what_we_render_looks_as_it_was_meant() {
        let document = Document {
            blocks: vec![
                Block::section("Evidence"),
                Block::Paragraph(vec![Inline::Strong("A: ".to_owned()), Inline::Code("b_c".to_owned())]),
                Block::Bullets(vec![
                    vec![Inline::text("one")],
                    vec![Inline::link("[two]", "https://x.test/")],
                ]),
                Block::Code("{code} <b>\n\nx".to_owned()),
                Block::Table {
                    header: vec!["H".to_owned(), "I".to_owned()],
                    rows: vec![vec![
                        vec![Inline::link("l*m", "https://x.test/")],
                        vec![Inline::text("a|b")],
                    ]],
                    omitted: 0,
                },
            ],
        };
        let link = |text: &str| format!("<a rel=\"noopener noreferrer nofollow\" href=\"https://x.test/\">{text}</a>");
        assert_eq!(
            html(&render_wiki(&document)),
            format!(
                "<h3>Evidence</h3><p><strong>A:</strong> <code>b_c</code></p><ul><li>one</li><li>{}</li></ul>\
                 <pre>{{ code}} &lt;b&gt;\n\nx</pre><table><tr><th>H</th><th>I</th></tr>\
                 <tr><td>{}</td><td>a|b</td></tr></table>",
                link("https://x.test/"),
                link("l*m"),
            )
        );
    }

    #[test]
    fn what_is_not_escaped_is_seen() {
        for (markup, expected) in [
            ("[~admin]", "mention"),
            ("[x|javascript:alert(1)]", "link"),
            ("{code:x}", "macro"),
            ("a !http://x/y.png!", "image"),
            ("see http://x.test", "<a "),
        ] {
            let html = html(markup);
            assert!(html.contains(expected) && !html.contains("href=\"javascript"), "{html}");
        }
    }

    proptest! {
        #[test]
        fn page_text_is_seen_as_text(text in "(?s)[\\PC{}\\[\\]|*!@&:\\\\\\-#\n]{0,60}") {
            let html = html(&render_wiki(&Document { blocks: vec![Block::paragraph(text)] }));
            let inner = html.strip_prefix("<p>").map_or("", |rest| rest.strip_suffix("</p>").unwrap());
            prop_assert!(!inner.contains('<'), "{}", html);
        }

        #[test]
        fn any_markup_is_shown(text in "(?s)[a|*{}\\[\\]!\\\\&#; \nh1.]{0,60}") {
            html(&text);
        }
    }
}
