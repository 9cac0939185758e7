//! What a ticket says: a finding, its pages and its check's documentation → summary and document. Pure.

use phantom_checks::Docs;

use super::document::{Block, Document, Inline};
use super::markdown;
use super::text::{cut, line, units};
use crate::site::Site;
use crate::triage::{Finding, FindingPage, Instruction, Trail, is_step, reproduce};

/// The longest summary that Jira takes, in UTF-16 units.
pub const MAX_SUMMARY: usize = 255;
/// The longest description that Jira takes, in UTF-16 units.
pub const MAX_DESCRIPTION: usize = 32_767;
/// Affected pages that are listed at most.
pub const MAX_ROWS: u32 = 50;
/// Facts that are shown at most.
const MAX_FACTS: usize = 40;

/// All that a ticket is made of.
#[derive(Debug, Clone, Copy)]
pub struct Material<'a> {
    /// The finding.
    pub finding: &'a Finding,
    /// The ticket's generation; the first is 1.
    pub generation: u32,
    /// The pages on which its last scan saw it; [`MAX_ROWS`] of them are listed.
    pub pages: &'a [FindingPage],
    /// How many there are in all.
    pub page_count: u64,
    /// The site as its last scan knew it.
    pub site: Option<&'a Site>,
    /// The documentation of its check; `None` if this version does not have that check any more.
    pub docs: Option<&'a Docs>,
    /// The pages that led to the first of its pages, the start page first, that page last.
    pub way: &'a [String],
    /// The ticket's key, if it is known already.
    pub issue_key: Option<&'a str>,
}

/// What a ticket says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Composed {
    /// One line of at most [`MAX_SUMMARY`] UTF-16 units.
    pub summary: String,
    /// The description. A rendering cuts it to [`MAX_DESCRIPTION`].
    pub description: Document,
}

/// Writes the ticket of a finding.
pub fn compose(material: &Material<'_>) -> Composed {
    let mut blocks = Vec::new();
    blocks.extend(documented(material.docs, "Why it matters"));
    blocks.push(Block::section("Evidence"));
    blocks.push(Block::Code(evidence(material.finding)));
    blocks.push(Block::section("Steps to reproduce"));
    blocks.push(steps(material));
    blocks.extend(documented(material.docs, "How to fix"));
    blocks.push(Block::section("Affected pages"));
    blocks.push(pages(material));
    if material.page_count > u64::from(MAX_ROWS) {
        blocks.push(Block::paragraph("All of them are in the attached file."));
    }
    blocks.push(Block::section("Details"));
    blocks.push(details(material));
    Composed {
        summary: summary(material),
        description: Document { blocks },
    }
}

/// `[High] Form posts a password over http: shop.example/login (12 pages)`. Only the middle is cut.
fn summary(material: &Material<'_>) -> String {
    let finding = material.finding;
    let severity = finding.severity.as_str();
    let (first, rest) = severity.split_at(1);
    let head = format!("[{}{rest}] ", first.to_uppercase());
    let count = match material.page_count {
        0 => String::new(),
        1 => " (1 page)".to_owned(),
        count => format!(" ({count} pages)"),
    };
    let place = material.pages.first().and_then(|page| place(&page.url));
    let tail = match place {
        // A title often names its page already.
        Some(place) if !finding.title.contains(&place) => format!(": {}{count}", cut(&place, 80)),
        _ => count,
    };
    let room = MAX_SUMMARY - units(&head) - units(&tail);
    format!("{head}{}{tail}", cut(&line(&finding.title), room))
}

/// Host and path of a page, without what follows.
fn place(url: &str) -> Option<String> {
    let url = url::Url::parse(url).ok()?;
    let path = if url.path() == "/" { "" } else { url.path() };
    Some(line(&format!("{}{path}", url.host_str()?)))
}

/// How a person gets to see it: the pages that led there, and what to look for.
fn steps(material: &Material<'_>) -> Block {
    let finding = material.finding;
    let first = material.pages.first();
    let name = material.issue_key.unwrap_or_else(|| finding.fingerprint.short());
    let steps = reproduce(&Trail {
        check: &finding.check,
        cause: &finding.cause,
        // What was seen on the page that is opened, as far as it is known.
        facts: first.map_or(&finding.facts, |page| {
            if page.facts.is_empty() {
                &finding.facts
            } else {
                &page.facts
            }
        }),
        page: first.map(|page| page.url.as_str()),
        way: material.way,
        name,
    });
    let item = |step: &Instruction| {
        let mut run = Vec::new();
        if step.url.is_none() && step.command.is_none() {
            run.push(Inline::text(line(&step.text)));
        } else {
            run.push(Inline::text(line(&step.text) + " "));
        }
        run.extend(step.url.as_ref().map(|url| Inline::link(cut(&line(url), 300), url)));
        run.extend(step.command.as_ref().map(|command| Inline::Code(line(command))));
        run
    };
    Block::Bullets(steps.iter().map(item).collect())
}

fn documented(docs: Option<&Docs>, heading: &str) -> Vec<Block> {
    let text = docs.map_or("", |docs| docs.section(heading));
    if text.is_empty() {
        return Vec::new();
    }
    let mut blocks = vec![Block::section(heading)];
    blocks.extend(markdown::blocks(text));
    blocks
}

fn evidence(finding: &Finding) -> String {
    let mut lines = vec![cut(&finding.title, 1_000)];
    let seen = || finding.facts.iter().filter(|fact| !is_step(fact));
    let width = seen().map(|fact| fact.label.chars().count()).max().unwrap_or(0).min(24);
    for fact in seen().take(MAX_FACTS) {
        let label = cut(&line(&fact.label), 24);
        lines.push(format!("{label:width$}  {}", fact.value));
    }
    lines.join("\n")
}

fn pages(material: &Material<'_>) -> Block {
    let shown = material.pages.iter().take(MAX_ROWS as usize);
    let rows: Vec<Vec<Vec<Inline>>> = shown
        .map(|page| {
            let seen = page.facts.iter().filter(|fact| !is_step(fact));
            let seen: Vec<&str> = seen.map(|fact| fact.value.as_str()).collect();
            vec![
                vec![Inline::link(cut(&line(&page.url), 300), &page.url)],
                vec![Inline::text(cut(&line(&seen.join(" · ")), 200))],
            ]
        })
        .collect();
    Block::Table {
        header: vec!["Page".to_owned(), "Seen there".to_owned()],
        omitted: material.page_count.saturating_sub(rows.len() as u64),
        rows,
    }
}

fn details(material: &Material<'_>) -> Block {
    let finding = material.finding;
    let mut items = Vec::new();
    let mut item = |label: &str, value: Inline| {
        items.push(vec![Inline::Strong(format!("{label}: ")), value]);
    };
    match material.site {
        Some(site) => item("Site", Inline::text(format!("{} ({})", site.title, site.id))),
        None => item("Site", Inline::text(finding.site.to_string())),
    }
    if let Some(owner) = material.site.and_then(|site| site.owner.as_ref()) {
        item("Owner", Inline::text(owner));
    }
    if let Some(who) = material.site.and_then(|site| site.approved_by.as_ref()) {
        item("Scan approved by", Inline::text(who));
    }
    item("First seen", Inline::text(when(finding.first_seen)));
    item("Last seen", Inline::text(when(finding.last_seen)));
    item("Scan", Inline::Code(finding.last_scan.to_string()));
    item(
        "Check",
        Inline::text(format!("{}, version {}", finding.check, finding.check_version)),
    );
    item("Confidence", Inline::text(finding.confidence.as_str()));
    item("Fingerprint", Inline::Code(finding.fingerprint.to_string()));
    Block::Bullets(items)
}

fn when(time: jiff::Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

#[cfg(test)]
mod tests {
    use phantom_checks::{Fact, Severity};

    use super::*;
    use crate::jira::render_adf_within;
    use crate::tickets::testing::finding;

    fn material<'a>(finding: &'a Finding, pages: &'a [FindingPage], docs: Option<&'a Docs>) -> Material<'a> {
        Material {
            finding,
            generation: 1,
            pages,
            page_count: pages.len() as u64,
            site: None,
            docs,
            way: &[],
            issue_key: None,
        }
    }

    fn some_pages(count: usize, length: usize) -> Vec<FindingPage> {
        (0..count)
            .map(|index| FindingPage {
                url: format!("https://shop.test/{index}/{}", "p".repeat(length)),
                facts: vec![Fact::new("resource", "http://cdn.test/a.js")],
            })
            .collect()
    }

    #[test]
    fn the_summary_names_severity_title_and_pages() {
        let mut finding = finding(1);
        finding.severity = Severity::High;
        finding.title = "Form posts a\npassword over \u{202e}http".to_owned();
        let pages = some_pages(1, 1);
        let of = |finding: &Finding, count: u64| {
            let mut material = material(finding, &pages, None);
            material.page_count = count;
            summary(&material)
        };
        let head = "[High] Form posts a password over \\u{202e}http: shop.test/0/p";
        assert_eq!(of(&finding, 12), format!("{head} (12 pages)"));
        assert_eq!(of(&finding, 1), format!("{head} (1 page)"));
        finding.title = "😀".repeat(500_000);
        let long = of(&finding, 12_345);
        assert!(units(&long) <= MAX_SUMMARY, "{}", units(&long));
        assert!(long.ends_with("…: shop.test/0/p (12345 pages)"), "{long}");
    }

    #[test]
    fn the_parts_stand_in_order() {
        let docs = Docs::parse("//! # Why it matters\n//! Because.\n//! # How to fix\n//! - Do it.\n");
        let pages = some_pages(60, 1);
        let composed = compose(&material(&finding(1), &pages, Some(&docs)));
        let headings: Vec<&str> = composed
            .description
            .blocks
            .iter()
            .filter_map(|block| match block {
                Block::Heading { text, .. } => Some(text.as_str()),
                _ => None,
            })
            .collect();
        assert_eq!(
            headings,
            [
                "Why it matters",
                "Evidence",
                "Steps to reproduce",
                "How to fix",
                "Affected pages",
                "Details"
            ]
        );
        assert!(composed.description.blocks.iter().any(|block| matches!(
            block,
            Block::Table { rows, omitted: 10, .. } if rows.len() == 50
        )));
    }

    #[test]
    fn what_was_done_on_the_page_is_a_step() {
        let mut finding = finding(1);
        let step = Fact::new(Fact::STEP, "click \u{201c}Account\u{201d} (#menu)");
        finding.facts.push(step.clone());
        let mut pages = some_pages(1, 1);
        pages[0].facts.push(step);
        let blocks = compose(&material(&finding, &pages, None)).description.blocks;
        let Some(Block::Bullets(steps)) = blocks.iter().find(|block| matches!(block, Block::Bullets(_))) else {
            panic!("there are steps: {blocks:?}");
        };
        assert!(format!("{:?}", steps[1]).contains("Account"), "{steps:?}");
        let last: Vec<&str> = steps.last().unwrap().iter().map(Inline::as_text).collect();
        let verify = format!("phantom verify {}", finding.fingerprint.short());
        assert_eq!(last, ["Have this finding alone looked at again: ", verify.as_str()]);
        let seen = blocks.iter().filter(|block| matches!(block, Block::Code(_)));
        assert!(seen.clone().count() == 1 && !format!("{:?}", seen.collect::<Vec<_>>()).contains("Account"));
    }

    #[test]
    fn the_fingerprint_survives_the_longest_ticket() {
        let mut finding = finding(1);
        finding.facts = (0..500).map(|_| Fact::new("x", "\u{202e}".repeat(500))).collect();
        finding.title = "x".repeat(1 << 20);
        let pages = some_pages(50, 1_900);
        let rendered = render_adf_within(compose(&material(&finding, &pages, None)).description, MAX_DESCRIPTION);
        let text = rendered.to_string();
        assert!(units(&text) <= MAX_DESCRIPTION);
        assert!(text.contains(&finding.fingerprint.0));
        assert!(text.contains("https://shop.test/0/"));
    }
}
