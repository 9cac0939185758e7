//! What comments say. Pure.

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::document::{Block, Document, Inline};
use super::lifecycle::Says;
use super::text::{cut, line};
use crate::triage::Finding;

/// How the line by which a comment is found again begins.
const MARK: &str = "phantom-note-";

/// The line by which a comment is found again: made of the idempotency key of its action.
pub fn marker(key: &str) -> String {
    format!("{MARK}{}", short_hash(key.as_bytes()))
}

/// 16 hexadecimal digits.
pub fn short_hash(bytes: &[u8]) -> String {
    hex::encode(&Sha256::digest(bytes)[..8])
}

/// A document with the line by which it is found again. Text of a page that reads like such a line is changed: a page
/// could name the key of another comment, which would then never be sent.
#[must_use]
pub fn marked(mut blocks: Vec<Block>, key: &str) -> Document {
    for block in &mut blocks {
        block.replace(MARK, "phantom note ");
    }
    blocks.push(Block::Paragraph(vec![Inline::Code(marker(key))]));
    Document { blocks }
}

/// What is said of a finding, in one or two paragraphs.
pub fn remark(says: Says, finding: &Finding, pages: u64, issue_key: &str) -> Vec<Block> {
    let seen = day(finding.last_seen);
    let scan = &finding.last_scan;
    let severity = finding.severity.as_str();
    let count = if pages == 1 {
        "1 page".to_owned()
    } else {
        format!("{pages} pages")
    };
    let text = match says {
        Says::Reopened => format!(
            "Seen again on {seen} on {count}, by a scan that began after this ticket was closed. It is open again."
        ),
        Says::StillThere => format!(
            "Still there on {seen}, on {count}. This ticket was reopened twice and is left as it is from now on."
        ),
        Says::Worse => {
            format!("Worse than before: severity {severity}, seen on {count}. The description is up to date.")
        }
        Says::WorseThoughSuppressed => format!(
            "The severity of this finding is {severity} now, worse than when it was decided not to report it. The \
             decision stands; look whether it should."
        ),
        Says::Fixed => format!(
            "Fixed: complete scans of the whole site looked where it was and did not see it any more. Last seen on {seen}."
        ),
        Says::Verified => format!("The fix is verified: scans do not see it any more. Last seen on {seen}."),
        Says::Withdrawn => "It is not looked for any more: its site, its part of the site or its check was taken out \
                            of the scans. That does not say that it is fixed."
            .to_owned(),
        Says::DuplicateDone => format!(
            "The ticket that this one duplicates is done, but this was still seen on {seen}, on {count}. Look whether \
             it really is the same."
        ),
    };
    let again = vec![
        Inline::text(cut(&line(&finding.title), 300)),
        Inline::text(" · scan "),
        Inline::Code(scan.to_string()),
        Inline::text(" · check again with "),
        Inline::Code(format!("phantom verify {issue_key}")),
    ];
    vec![Block::paragraph(text), Block::Paragraph(again)]
}

fn day(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tickets::testing::finding;

    #[test]
    fn each_remark_says_something_of_its_own_and_can_be_found_again() {
        let all = [
            Says::Reopened,
            Says::StillThere,
            Says::Worse,
            Says::WorseThoughSuppressed,
            Says::Fixed,
            Says::Verified,
            Says::Withdrawn,
            Says::DuplicateDone,
        ];
        let mut texts = std::collections::BTreeSet::new();
        for says in all {
            let document = marked(remark(says, &finding(1), 12, "SEC-1"), "f/1/x");
            let rendered = super::super::wiki::plain(&super::super::wiki::render(&document));
            assert!(rendered.contains(&marker("f/1/x")), "{rendered}");
            assert!(texts.insert(rendered));
        }
        assert_ne!(marker("f/1/a"), marker("f/1/b"));
    }

    #[test]
    fn a_page_cannot_speak_for_another_comment() {
        let other = marker("f/1/say-reopened/1");
        let mut finding = finding(1);
        finding.title = format!("A form: {other}");
        let mut blocks = remark(Says::Worse, &finding, 12, "SEC-1");
        blocks.push(Block::Bullets(vec![vec![Inline::link(
            &other,
            &format!("https://x.test/{other}"),
        )]]));
        blocks.push(Block::Code(other.clone()));
        let document = marked(blocks, "f/1/x");
        for text in [
            super::super::wiki::plain(&super::super::wiki::render(&document)),
            super::super::adf::plain(&super::super::adf::render(&document)),
            super::super::wiki::render(&document),
            super::super::adf::render(&document).to_string(),
        ] {
            assert!(!text.contains(&other), "{text}");
            assert!(
                text.contains(&marker("f/1/x")) || text.contains("phantom\\-note"),
                "{text}"
            );
        }
    }
}
