//! What a ticket or comment says, as one tree that knows no markup.
//!
//! The tree holds text, never markup: whatever a page put into a text stays text in every rendering.

use url::Url;

/// A document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Document {
    /// Its blocks, from top to bottom.
    pub blocks: Vec<Block>,
}

/// One block of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Block {
    /// A heading.
    Heading {
        /// 1 (largest) to 6.
        level: u8,
        /// What it says.
        text: String,
    },
    /// A paragraph.
    Paragraph(Vec<Inline>),
    /// A bullet list, a line each.
    Bullets(Vec<Vec<Inline>>),
    /// Text in which every character stands for itself.
    Code(String),
    /// A table.
    Table {
        /// The heads of its columns.
        header: Vec<String>,
        /// Its rows; each has as many cells as the header.
        rows: Vec<Vec<Vec<Inline>>>,
        /// Rows that exist but are not shown; a line below the table says so.
        omitted: u64,
    },
}

/// A run of text with one look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inline {
    /// Plain.
    Text(String),
    /// Bold.
    Strong(String),
    /// Monospaced.
    Code(String),
    /// A link.
    Link {
        /// What it says.
        text: String,
        /// Where it leads.
        to: WebLink,
    },
}

/// An address that is safe to open: http or https, nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebLink(Url);

impl WebLink {
    /// The address, if its scheme is http or https and it is at most 2,000 bytes long.
    pub fn new(address: &str) -> Option<Self> {
        let url = Url::parse(address).ok()?;
        (matches!(url.scheme(), "http" | "https") && url.as_str().len() <= 2_000).then_some(Self(url))
    }

    /// The address.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl Inline {
    /// A plain text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// A link, or a plain text if the address is not one that is safe to open.
    pub fn link(text: impl Into<String>, address: &str) -> Self {
        let text = text.into();
        match WebLink::new(address) {
            Some(to) => Self::Link { text, to },
            None => Self::Text(text),
        }
    }

    /// What it says.
    pub fn as_text(&self) -> &str {
        match self {
            Self::Text(text) | Self::Strong(text) | Self::Code(text) | Self::Link { text, .. } => text,
        }
    }
}

impl Block {
    /// A paragraph of one plain text.
    pub fn paragraph(text: impl Into<String>) -> Self {
        Self::Paragraph(vec![Inline::text(text)])
    }

    /// A heading of level 2, which is what stands above the parts of a ticket.
    pub fn section(text: &str) -> Self {
        Self::Heading {
            level: 2,
            text: text.to_owned(),
        }
    }

    /// Replaces a word wherever a text says it. A link whose address says it becomes a text.
    pub(crate) fn replace(&mut self, word: &str, with: &str) {
        let edit = |text: &mut String| {
            if text.contains(word) {
                *text = text.replace(word, with);
            }
        };
        let edit_run = |run: &mut Vec<Inline>| {
            for inline in run {
                if let Inline::Link { text, to } = inline
                    && to.as_str().contains(word)
                {
                    *inline = Inline::Text(std::mem::take(text));
                }
                let (Inline::Text(text) | Inline::Strong(text) | Inline::Code(text) | Inline::Link { text, .. }) =
                    inline;
                edit(text);
            }
        };
        match self {
            Self::Heading { text, .. } | Self::Code(text) => edit(text),
            Self::Paragraph(run) => edit_run(run),
            Self::Bullets(items) => items.iter_mut().for_each(edit_run),
            Self::Table { header, rows, .. } => {
                header.iter_mut().for_each(edit);
                rows.iter_mut().flatten().for_each(edit_run);
            }
        }
    }

    /// Makes the block smaller by about a quarter. False if nothing is left to take.
    pub(crate) fn shrink(&mut self) -> bool {
        match self {
            Self::Heading { text, .. } | Self::Code(text) => shorten(text),
            Self::Paragraph(run) => shrink_run(run),
            Self::Bullets(items) => {
                if items.len() > 1 {
                    items.truncate(items.len() * 3 / 4);
                    return true;
                }
                items.first_mut().is_some_and(shrink_run)
            }
            Self::Table { rows, omitted, .. } => {
                let keep = rows.len() * 3 / 4;
                let taken = rows.len() - keep;
                *omitted += taken as u64;
                rows.truncate(keep);
                taken > 0
            }
        }
    }
}

fn shrink_run(run: &mut Vec<Inline>) -> bool {
    if run.len() > 1 {
        run.truncate(run.len() * 3 / 4);
        return true;
    }
    match run.first_mut() {
        Some(Inline::Text(text) | Inline::Strong(text) | Inline::Code(text)) => shorten(text),
        Some(Inline::Link { .. }) => {
            run.clear();
            true
        }
        None => false,
    }
}

fn shorten(text: &mut String) -> bool {
    let units = super::text::units(text);
    if units <= 1 {
        return false;
    }
    *text = super::text::cut(text, units * 3 / 4);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_web_addresses_become_links() {
        for bad in [
            "javascript:alert(1)",
            " javascript:alert(1)",
            "data:text/html,x",
            "vbscript:x",
            "file:///etc/passwd",
            "mailto:a@b",
            "//host/path",
            "not a url",
            "JaVaScRiPt:alert(1)",
        ] {
            assert!(WebLink::new(bad).is_none(), "{bad}");
            assert_eq!(Inline::link("x", bad), Inline::text("x"));
        }
        assert_eq!(
            WebLink::new("https://shop.test/ä b").map(|link| link.as_str().to_owned()),
            Some("https://shop.test/%C3%A4%20b".to_owned())
        );
    }

    #[test]
    fn shrinking_ends() {
        let mut blocks = [
            Block::section("A heading"),
            Block::paragraph("x".repeat(1000)),
            Block::Paragraph(vec![Inline::text("a"), Inline::link("b", "https://x.test")]),
            Block::Bullets(vec![vec![Inline::text("abc")]; 9]),
            Block::Code("line\n".repeat(100)),
            Block::Table {
                header: vec!["h".to_owned()],
                rows: vec![vec![vec![Inline::text("c")]]; 50],
                omitted: 3,
            },
        ];
        for block in &mut blocks {
            let steps = (0..200).take_while(|_| block.shrink()).count();
            assert!((1..200).contains(&steps), "{block:?} took {steps} steps");
        }
        assert!(matches!(&blocks[5], Block::Table { rows, omitted: 53, .. } if rows.is_empty()));
    }
}
