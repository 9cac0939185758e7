//! Markdown of the checks' documentation, made into HTML that cannot hold more than text, lists, code and web links.

use pulldown_cmark::{CowStr, Event, Parser, Tag, TagEnd, html};

/// The HTML. Markup in the text is shown as text; images become their description, and links that do not lead to the
/// web become their text.
pub fn to_html(markdown: &str) -> String {
    let mut open_links = Vec::new();
    let events = Parser::new(markdown).filter_map(|event| match event {
        Event::Html(text) | Event::InlineHtml(text) => Some(Event::Text(text)),
        Event::Start(Tag::Image { .. }) | Event::End(TagEnd::Image) => None,
        // The report has headings of its own, and no HTML of others.
        Event::Start(Tag::Heading { .. } | Tag::HtmlBlock) => Some(Event::Start(Tag::Paragraph)),
        Event::End(TagEnd::Heading(_) | TagEnd::HtmlBlock) => Some(Event::End(TagEnd::Paragraph)),
        Event::Start(Tag::Link { ref dest_url, .. }) => {
            let kept = is_web(dest_url);
            open_links.push(kept);
            kept.then(|| opening(dest_url))
        }
        Event::End(TagEnd::Link) => open_links
            .pop()
            .unwrap_or(false)
            .then(|| Event::InlineHtml("</a>".into())),
        other => Some(other),
    });
    let mut text = String::new();
    html::push_html(&mut text, events);
    text
}

fn is_web(url: &str) -> bool {
    url::Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"))
}

fn opening<'a>(url: &str) -> Event<'a> {
    let href = minijinja::HtmlEscape(url);
    Event::InlineHtml(CowStr::from(format!(
        r#"<a href="{href}" rel="noreferrer noopener" target="_blank">"#
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_text_lists_code_and_web_links_come_through() {
        for (markdown, html) in [
            ("One `a < b`.", "<p>One <code>a &lt; b</code>.</p>"),
            ("- a\n- b", "<ul>\n<li>a</li>\n<li>b</li>\n</ul>"),
            ("<b onclick=x>x</b>", "<p>&lt;b onclick=x&gt;x&lt;/b&gt;</p>"),
            ("<script>\nx\n</script>", "<p>&lt;script&gt;\nx\n&lt;/script&gt;</p>"),
            ("[x](javascript:y)", "<p>x</p>"),
            ("![alt](https://a.test/x.png)", "<p>alt</p>"),
            (
                "[x](https://a.test/?q=%22)",
                "<p><a href=\"https:&#x2f;&#x2f;a.test&#x2f;?q=%22\" rel=\"noreferrer noopener\" target=\"_blank\">x</a></p>",
            ),
            ("# Heading", "<p>Heading</p>"),
        ] {
            assert_eq!(to_html(markdown).trim_end(), html, "{markdown}");
        }
    }
}
