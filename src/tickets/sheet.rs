//! The list of all pages of a finding, as a file that a spreadsheet opens.

use crate::jira::{Upload, short_hash};
use crate::report::safe::visible;
use crate::triage::FindingPage;

/// The pages as CSV. Its name holds a hash of what is in it, so that it is known when it was sent before.
pub(super) fn of_pages(pages: &[FindingPage]) -> Upload {
    let mut writer = csv::Writer::from_writer(Vec::new());
    // Writing into memory does not fail.
    let _ = writer.write_record(["page", "seen there"]);
    for page in pages {
        let facts: Vec<String> = page
            .facts
            .iter()
            .map(|fact| format!("{}: {}", fact.label, fact.value))
            .collect();
        let _ = writer.write_record([inert(&page.url), inert(&facts.join(" · "))]);
    }
    let bytes = writer.into_inner().unwrap_or_default();
    Upload {
        name: format!("affected-pages-{}.csv", short_hash(&bytes)),
        mime: "text/csv".to_owned(),
        bytes,
    }
}

/// A cell that no spreadsheet takes for a formula: <https://owasp.org/www-community/attacks/CSV_Injection>.
fn inert(text: &str) -> String {
    let text = visible(text).replace(['\n', '\t'], " ");
    if text
        .trim_start()
        .starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠'])
    {
        format!("'{text}")
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use phantom_checks::Fact;

    use super::*;

    #[test]
    fn formulas_are_text_and_the_name_follows_the_content() {
        let page = |value: &str| FindingPage {
            url: "https://shop.test/?a=\"b\",c".to_owned(),
            facts: vec![Fact::new(value, "x")],
        };
        let sheet = of_pages(&[
            page("=HYPERLINK(1)"),
            page(" @SUM(1)"),
            page("+1\n-2"),
            page("\u{202e}x"),
            page("＝SUM(1)"),
        ]);
        let text = String::from_utf8(sheet.bytes.clone()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 6, "{text}");
        for (line, expected) in lines[1..]
            .iter()
            .zip(["'=HYPERLINK", "' @SUM", "'+1 -2", "<U+202E>x", "'＝SUM"])
        {
            assert!(line.starts_with("\"https://shop.test/?a=\"\"b\"\",c\","), "{line}");
            assert!(line.contains(expected), "{line}");
        }
        assert_ne!(of_pages(&[page("a")]).name, of_pages(&[page("b")]).name);
        assert_eq!(of_pages(&[page("a")]).name, of_pages(&[page("a")]).name);
    }
}
