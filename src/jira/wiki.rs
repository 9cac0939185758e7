//! A [`Document`] in Jira's wiki markup, which Data Center takes.
//!
//! Wiki markup has no place where text is safe by itself, so that every character that could begin markup is written
//! as what it is: with a backslash where Jira's own help says that this works everywhere, else as a numeric entity.
//! Entities it is for the backslash, which in pairs ends a line; the bar, which ends a cell even with a backslash
//! before it; and what makes links and mentions by itself: the colon of an address, `@` and `&`.

use super::document::{Block, Document, Inline};
use super::text::{line, units, visible};

/// Renders a document.
pub fn render(document: &Document) -> String {
    let blocks: Vec<String> = document
        .blocks
        .iter()
        .map(block)
        .filter(|one| !one.is_empty())
        .collect();
    blocks.join("\n\n")
}

/// Renders a document so that it is at most `max` UTF-16 units long.
///
/// The largest block of the tree is made smaller until all fits, so that no markup is ever cut.
pub fn render_within(mut document: Document, max: usize) -> String {
    loop {
        let rendered = render(&document);
        if units(&rendered) <= max || document.blocks.is_empty() {
            return rendered;
        }
        let largest = document
            .blocks
            .iter()
            .enumerate()
            .max_by_key(|(_, one)| block(one).len())
            .map_or(0, |(index, _)| index);
        if !document.blocks.get_mut(largest).is_some_and(Block::shrink) {
            document.blocks.remove(largest);
        }
    }
}

fn block(block: &Block) -> String {
    match block {
        Block::Heading { level, text } => format!("h{}. {}", (*level).clamp(1, 6), escape(&line(text))),
        Block::Paragraph(content) => start_of_line(&run(content)),
        Block::Bullets(items) => {
            let items = items
                .iter()
                .map(|item| start_of_line(&run(item)))
                .filter(|item| !item.is_empty());
            items.map(|item| format!("* {item}")).collect::<Vec<_>>().join("\n")
        }
        Block::Code(text) => format!("{{noformat}}\n{}\n{{noformat}}", verbatim(text)),
        Block::Table { header, rows, omitted } => table(header, rows, *omitted),
    }
}

fn table(header: &[String], rows: &[Vec<Vec<Inline>>], omitted: u64) -> String {
    let filled = |text: String| if text.is_empty() { " ".to_owned() } else { text };
    let head: Vec<String> = header.iter().map(|text| filled(escape(&line(text)))).collect();
    let mut lines = vec![format!("||{}||", head.join("||"))];
    for row in rows {
        let cells: Vec<String> = row.iter().map(|cell| filled(start_of_line(&run(cell)))).collect();
        lines.push(format!("|{}|", cells.join("|")));
    }
    if omitted > 0 {
        lines.push(format!("\n… and {omitted} more"));
    }
    lines.join("\n")
}

/// Inlines on one line. Spaces at the edge of one stand outside its markup, or it would not be markup.
fn run(content: &[Inline]) -> String {
    let mut out = String::new();
    for inline in content {
        let raw = inline.as_text();
        let text = escape(&line(raw));
        if raw.starts_with(' ') {
            out.push(' ');
        }
        if text.is_empty() {
            continue;
        }
        let piece = match inline {
            Inline::Text(_) => text,
            Inline::Strong(_) => format!("*{text}*"),
            Inline::Code(_) => format!("{{{{{}}}}}", no_macro(&text)),
            Inline::Link { to, .. } => match target(to.as_str()) {
                // A bracket would end the link, also where it is escaped, so the address itself is shown.
                Some(target) if raw.contains(['[', ']', '|']) => format!("[{target}]"),
                Some(target) => format!("[{text}|{target}]"),
                None => text,
            },
        };
        out.push_str(&piece);
        if raw.ends_with(' ') {
            out.push(' ');
        }
    }
    out.trim().to_owned()
}

/// Words that are macros when they stand between braces, of Jira itself and of what is often added to it.
const MACROS: [&str; 12] = [
    "anchor", "code", "color", "column", "csv", "html", "include", "noformat", "panel", "quote", "section", "toc",
];

/// `{{code}}` could be read as the macro `{code}` between two braces.
fn no_macro(text: &str) -> String {
    match text.chars().next() {
        Some(first) if MACROS.iter().any(|name| text.eq_ignore_ascii_case(name)) => {
            format!("{}{}", entity(first), &text[first.len_utf8()..])
        }
        _ => text.to_owned(),
    }
}

/// An address as it may stand in a link. `None` if it holds what cannot be written there: an IPv6 host.
fn target(address: &str) -> Option<String> {
    let mut out = String::with_capacity(address.len());
    let (scheme, rest) = address.split_once("://")?;
    if rest.starts_with('[')
        || rest
            .split(['/', '?', '#'])
            .next()
            .is_some_and(|host| host.contains(['[', '@']))
    {
        return None;
    }
    out.push_str(scheme);
    out.push_str("://");
    for c in rest.chars() {
        match c {
            '{' | '}' | '[' | ']' | '|' | '\\' | '^' | '!' | '~' | '"' | '<' | '>' | '`' | '*' => {
                out.extend(format!("%{:02X}", u32::from(c)).chars());
            }
            c if c.is_ascii_graphic() => out.push(c),
            // Addresses are ASCII; whatever else got here is not written.
            _ => return None,
        }
    }
    Some(out)
}

/// Text in which no character begins markup. One line in, one line out.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '*' | '_' | '-' | '+' | '^' | '~' | '?' | '{' | '}' | '[' | ']' | '(' | ')' | '!' | '#' => {
                out.push('\\');
                out.push(c);
            }
            '\\' | '|' | '@' | '&' | ':' => out.push_str(&entity(c)),
            c => out.push(c),
        }
    }
    out
}

fn entity(c: char) -> String {
    format!("&#{};", u32::from(c))
}

/// `h1.` to `h6.` and `bq.` are markup at the start of a line only.
fn start_of_line(text: &str) -> String {
    let marked = text.split_once('.').filter(|(word, _)| {
        let heading = |rest: &str| matches!(rest.as_bytes(), [b'1'..=b'6']);
        *word == "bq" || word.strip_prefix('h').is_some_and(heading)
    });
    match marked {
        Some((word, rest)) => format!("{word}{}{rest}", entity('.')),
        None => text.to_owned(),
    }
}

/// Text for a `{noformat}` block, where nothing can be escaped: a macro's name is parted from its brace.
fn verbatim(text: &str) -> String {
    let text = visible(text);
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(at) = rest.find('{') {
        let (before, after) = rest.split_at(at + 1);
        out.push_str(before);
        let named = ["noformat", "code"].iter().any(|name| {
            after
                .get(..name.len())
                .is_some_and(|word| word.eq_ignore_ascii_case(name))
        });
        if named {
            out.push(' ');
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// The text in wiki markup as far as we write it: what was escaped is itself again. What people write stays as it is.
pub fn plain(markup: &str) -> String {
    let markup = markup.replace("\r\n", "\n");
    let mut out = String::with_capacity(markup.len());
    let mut rest = markup.as_str();
    while let Some(at) = rest.find(['\\', '&']) {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let (c, length) = if let Some(after) = from.strip_prefix('\\') {
            let escaped = after.chars().next().filter(char::is_ascii_punctuation);
            escaped.map_or(('\\', 1), |c| (c, 2))
        } else {
            numeric(from).unwrap_or(('&', 1))
        };
        out.push(c);
        rest = &from[length..];
    }
    out.push_str(rest);
    out
}

/// The character of a numeric entity at the very beginning of a text, and the entity's length in bytes.
fn numeric(text: &str) -> Option<(char, usize)> {
    let digits = text.strip_prefix("&#")?;
    let end = digits.find(';').filter(|end| (1..=7).contains(end))?;
    let number: u32 = digits[..end].parse().ok()?;
    Some((char::from_u32(number)?, end + 3))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What could begin markup, a macro, a mention or a link and is not escaped.
    fn markup(text: &str) -> Option<char> {
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            match c {
                '\\' => match chars.next() {
                    Some(next) if "*_-+^~?{}[]()!#".contains(next) => {}
                    other => return other.or(Some('\\')),
                },
                '&' => {
                    let entity: String = chars.by_ref().take_while(|c| *c != ';').collect();
                    if entity
                        .strip_prefix('#')
                        .is_none_or(|digits| digits.parse::<u32>().is_err())
                    {
                        return Some('&');
                    }
                }
                '*' | '_' | '-' | '+' | '^' | '~' | '?' | '{' | '}' | '[' | ']' | '(' | ')' | '!' | '#' | '|' | '@'
                | ':' | '\n' => return Some(c),
                _ => {}
            }
        }
        None
    }

    #[test]
    fn each_block_has_its_markup() {
        let document = Document {
            blocks: vec![
                Block::section("How to fix"),
                Block::Paragraph(vec![
                    Inline::Strong("Site: ".to_owned()),
                    Inline::text("shop, "),
                    Inline::Code("a_b".to_owned()),
                    Inline::text(" "),
                    Inline::Code("Code".to_owned()),
                    Inline::text(" "),
                    Inline::link("docs", "https://x.test/a?b={c}|d"),
                ]),
                Block::Bullets(vec![vec![Inline::text("one")], vec![], vec![Inline::text("two")]]),
                Block::Code("a {noformat} {CODE:x} {b}".to_owned()),
                Block::Table {
                    header: vec!["Page".to_owned(), "Seen".to_owned()],
                    rows: vec![vec![vec![Inline::text("a|b")], vec![]]],
                    omitted: 2,
                },
                Block::paragraph(""),
            ],
        };
        assert_eq!(
            render(&document),
            "h2. How to fix\n\n*Site&#58;* shop, {{a\\_b}} {{&#67;ode}} [docs|https://x.test/a?b=%7Bc%7D%7Cd]\n\n* one\n* two\n\n\
             {noformat}\na { noformat} { CODE:x} {b}\n{noformat}\n\n||Page||Seen||\n|a&#124;b| |\n\n… and 2 more"
        );
    }

    #[test]
    fn a_heading_begins_nowhere() {
        for word in ["h1. x", "bq. x"] {
            let inline = || vec![Inline::text(word)];
            let document = Document {
                blocks: vec![
                    Block::Paragraph(inline()),
                    Block::Bullets(vec![inline()]),
                    Block::Table {
                        header: vec!["Page".to_owned()],
                        rows: vec![vec![inline()]],
                        omitted: 0,
                    },
                ],
            };
            let rendered = render(&document);
            assert!(!rendered.contains(word), "{rendered}");
            assert_eq!(plain(&rendered).matches(word).count(), 3, "{rendered}");
        }
    }

    #[test]
    fn hostile_text_stays_text() {
        let hostile = "{code}@admin [~admin] [x|javascript:alert(1)] !http://x/y.png! \u{202e} h1. \\\\ -- &#123; bq.";
        let escaped = escape(&line(hostile));
        assert_eq!(markup(&escaped), None, "{escaped}");
        assert!(!escaped.contains('\u{202e}'));
        for (text, expected) in [
            ("h1. x", "h1&#46; x"),
            ("bq. x", "bq&#46; x"),
            ("h7. x", "h7. x"),
            ("{h1. x", "\\{h1. x"),
            ("http://x.test", "http&#58;//x.test"),
            ("SEC-1", "SEC\\-1"),
        ] {
            assert_eq!(
                render(&Document {
                    blocks: vec![Block::paragraph(text)]
                }),
                expected
            );
        }
    }

    #[test]
    fn addresses_hold_nothing_that_ends_a_link() {
        for (address, expected) in [
            ("https://x.test/a]b|c", Some("https://x.test/a%5Db%7Cc")),
            (
                "https://x.test/?q={code}!x!",
                Some("https://x.test/?q=%7Bcode%7D%21x%21"),
            ),
            ("https://[::1]/a", None),
            ("https://user@x.test/", None),
            ("https://x.test/@a", Some("https://x.test/@a")),
        ] {
            assert_eq!(target(address).as_deref(), expected, "{address}");
        }
    }

    #[test]
    fn what_people_write_is_read_as_it_is() {
        assert_eq!(
            plain("*bold*\r\n[a|http://x] C:\\new & co &amp; \\"),
            "*bold*\n[a|http://x] C:\\new & co &amp; \\"
        );
    }

    proptest! {
        #[test]
        fn any_text_is_inert_and_read_back(text in "(?s)[\\PC{}\\[\\]|*!@&:\\\\\\-#\n]{0,60}") {
            let shown = line(&text);
            let escaped = escape(&shown);
            prop_assert_eq!(markup(&escaped), None, "{}", escaped);
            prop_assert_eq!(plain(&escaped), shown);
            let paragraph = render(&Document { blocks: vec![Block::paragraph(text.as_str())] });
            prop_assert!(!paragraph.contains('\n'));
            prop_assert_eq!(markup(&paragraph), None);
        }

        #[test]
        fn no_code_ends_its_block(text in "(?s).{0,20}(\\{(noformat|NoFormat|code)(:x)?\\}.{0,9}){0,3}") {
            let rendered = block(&Block::Code(text));
            let inner = rendered.strip_prefix("{noformat}\n").and_then(|rest| rest.strip_suffix("\n{noformat}"));
            let inner = inner.unwrap().to_lowercase();
            let named = inner.contains("{noformat") || inner.contains("{code");
            prop_assert!(!named, "{}", inner);
        }

        #[test]
        fn any_address_stays_in_its_link(path in "(?s).{0,40}") {
            if let Some(target) = super::super::document::WebLink::new(&format!("https://x.test/{path}"))
                .and_then(|link| target(link.as_str()))
            {
                let ends_a_link = target.contains(['[', ']', '|', '{', '}', '!', '\\', '\n', ' ']);
                prop_assert!(!ends_a_link, "{}", target);
                prop_assert!(target.starts_with("https://x.test/"));
            }
        }

        #[test]
        fn the_limit_holds(texts in prop::collection::vec(".{0,400}", 0..8), max in 60_usize..3_000) {
            let mut blocks = vec![Block::Bullets(texts.iter().map(|text| vec![Inline::text(text.as_str())]).collect())];
            blocks.extend(texts.iter().map(|text| Block::Code(text.clone())));
            let length = units(&render_within(Document { blocks }, max));
            prop_assert!(length <= max);
        }
    }
}
