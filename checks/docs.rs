//! The documentation of a check, read from the header of its own source: written once, shown everywhere.

/// The headings that every check's documentation has, in this order.
pub const HEADINGS: [&str; 6] = [
    "What it looks for",
    "Why it matters",
    "How it decides",
    "How to fix",
    "Known limits",
    "References",
];

/// The documentation of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Docs {
    sections: Vec<(String, String)>,
}

impl Docs {
    /// Reads the `//!` header of a source file: `# Heading` lines and the text below each.
    pub fn parse(source: &str) -> Self {
        let mut sections: Vec<(String, String)> = Vec::new();
        for line in source.lines().map_while(|line| line.strip_prefix("//!")) {
            let line = line.strip_prefix(' ').unwrap_or(line);
            if let Some(heading) = line.strip_prefix("# ") {
                sections.push((heading.trim().to_owned(), String::new()));
            } else if let Some((_, text)) = sections.last_mut() {
                text.push_str(line);
                text.push('\n');
            }
        }
        for (_, text) in &mut sections {
            *text = text.trim().to_owned();
        }
        Self { sections }
    }

    /// The headings and texts, in the order of the source. Texts are Markdown.
    pub fn sections(&self) -> impl Iterator<Item = (&str, &str)> {
        self.sections
            .iter()
            .map(|(heading, text)| (heading.as_str(), text.as_str()))
    }

    /// The text under one heading, or an empty text.
    pub fn section(&self, heading: &str) -> &str {
        self.sections
            .iter()
            .find(|(name, _)| name == heading)
            .map_or("", |(_, text)| text.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_read_up_to_the_first_line_of_code() {
        let docs =
            Docs::parse("//! # Why it matters\n//!\n//! One.\n//! Two.\n//! # References\n//! - x\n\nuse y;\n//! z");
        assert_eq!(docs.section("Why it matters"), "One.\nTwo.");
        assert_eq!(docs.section("References"), "- x");
        assert_eq!(docs.section("nothing"), "");
    }
}
