//! The HTML report: one file that needs nothing else, for people.
//!
//! It has no script, and its Content-Security-Policy allows none. Every string is made visible and escaped where it is
//! printed, whatever the template says, so no new line of the template can forget it.

mod markdown;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value};
use minijinja::{Environment, Error, HtmlEscape, Output, State, UndefinedBehavior, context, escape_formatter};
use phantom_checks::{Fact, Severity};
use serde::Deserialize as _;
use sha2::{Digest as _, Sha256};
use url::Url;

use super::model::NotCheckedKind;
use super::safe::{one_line, visible};
use super::{Format, Report, ReportError, plural, span};
use crate::triage::is_step;

/// The format.
pub const FORMAT: Format = Format { name: "html", render };

const TEMPLATE: &str = include_str!("report.html");
const STYLE: &str = include_str!("report.css");

fn render(report: &Report) -> Result<String, ReportError> {
    try_render(report).map_err(|error| ReportError::Render {
        format: "html",
        why: format!("{error:#}"),
    })
}

fn try_render(report: &Report) -> Result<String, Error> {
    let mut env = Environment::new();
    env.set_undefined_behavior(UndefinedBehavior::Strict);
    env.set_formatter(print_safely);
    env.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    env.add_filter("link", link);
    env.add_filter("fact", fact);
    env.add_filter("by_label", by_label);
    env.add_filter("markdown", markdown);
    env.add_filter("when", when);
    env.add_filter("plural", |count: u64, noun: &str| plural(count, noun));
    env.add_filter("noun", noun);
    env.add_filter("picture", picture);
    env.add_template("report.html", TEMPLATE)?;
    env.get_template("report.html")?.render(context! {
        style => Value::from_safe_string(STYLE.to_owned()),
        style_hash => STANDARD.encode(Sha256::digest(STYLE)),
        bars => Value::from(Serde(bars(report))),
        duration => report.scan.duration().map(span),
        report => Value::from(Serde(report)),
    })
}

/// Prints what the template names. Strings that are not the template's own are made visible, then escaped.
fn print_safely(out: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    match value.as_str() {
        Some(text) if !value.is_safe() => escape_formatter(out, state, &Value::from(visible(text).into_owned())),
        _ => escape_formatter(out, state, value),
    }
}

/// A link with the URL or another text in it; the text alone if the URL is not one that a browser can open without
/// running anything.
fn link(url: &str, text: Option<&str>) -> Value {
    let shown = one_line(text.unwrap_or(url));
    let html = match Url::parse(url) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => format!(
            r#"<a href="{}" rel="noreferrer noopener" target="_blank">{}</a>"#,
            HtmlEscape(url.as_str()),
            HtmlEscape(&shown)
        ),
        _ => HtmlEscape(&shown).to_string(),
    };
    Value::from_safe_string(html)
}

/// A picture. What is not Base64 is none.
fn picture(png: &str, width: u32, height: u32) -> Value {
    let base64 = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    if !png.bytes().all(base64) {
        return Value::from("");
    }
    Value::from_safe_string(format!(
        r#"<img src="data:image/png;base64,{png}" width="{width}" height="{height}" alt="The element, text around it masked">"#
    ))
}

/// What was seen. A URL at its end becomes a link, which shows at least the host that it leads to, whatever the text
/// before it says.
fn fact(text: &str) -> Value {
    let before = text.rfind(char::is_whitespace).map_or(0, |at| at + 1);
    let (before, last) = text.split_at_checked(before).unwrap_or((text, ""));
    match Url::parse(last) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => {
            let shown = if before.is_empty() { None } else { url.host_str() };
            let before = HtmlEscape(&visible(before)).to_string();
            Value::from_safe_string(before + &link(last, shown).to_string())
        }
        _ => Value::from(text),
    }
}

/// Facts with one label, which is then printed once.
#[derive(serde::Serialize)]
struct Labelled {
    label: String,
    values: Vec<String>,
}

/// Puts neighbours with one label together. What is done on the page is among the steps.
fn by_label(facts: Value) -> Result<Value, Error> {
    let facts = Vec::<Fact>::deserialize(facts)?;
    let mut groups: Vec<Labelled> = Vec::new();
    for fact in facts.into_iter().filter(|fact| !is_step(fact)) {
        match groups.last_mut().filter(|last| last.label == fact.label) {
            Some(last) => last.values.push(fact.value),
            None => groups.push(Labelled {
                label: fact.label,
                values: vec![fact.value],
            }),
        }
    }
    Ok(Value::from(Serde(groups)))
}

fn markdown(text: &str) -> Value {
    Value::from_safe_string(markdown::to_html(&visible(text)))
}

/// `23 Nov 2026, 02:14 UTC`.
fn when(time: &str) -> String {
    time.parse::<Timestamp>().map_or_else(
        |_| time.to_owned(),
        |time| time.strftime("%-d %b %Y, %H:%M UTC").to_string(),
    )
}

fn noun(kind: Value, count: u64) -> Result<&'static str, Error> {
    Ok(NotCheckedKind::deserialize(kind)?.noun(count))
}

/// One piece of the severity bar: where it begins and how wide it is, in per mille of the bar.
#[derive(serde::Serialize)]
struct Bar {
    severity: Severity,
    count: u64,
    x: u64,
    width: u64,
}

fn bars(report: &Report) -> Vec<Bar> {
    let all: u64 = report.counts.values().sum();
    let mut before = 0;
    Severity::WORST_FIRST
        .into_iter()
        .filter_map(|severity| {
            let count = report.counts.get(&severity).copied().filter(|&count| count > 0)?;
            let (x, end) = (before * 1000 / all, (before + count) * 1000 / all);
            before += count;
            Some(Bar {
                severity,
                count,
                x,
                width: end - x,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;
    use proptest::prelude::*;
    use scraper::{Html, Selector};

    fn all<'a>(html: &'a Html, selector: &str) -> Vec<scraper::ElementRef<'a>> {
        html.select(&Selector::parse(selector).unwrap()).collect()
    }

    /// What no page text may bring about, however it is worded.
    fn assert_harmless(text: &str) {
        let html = Html::parse_document(text);
        assert!(html.errors.is_empty(), "{:?}", html.errors);
        assert_eq!(
            all(&html, "script, iframe, svg[onload], object, form, base, link").len(),
            0
        );
        assert_eq!(all(&html, "style").len(), 1);
        for element in all(&html, "*") {
            for (name, value) in element.value().attrs() {
                assert!(!name.starts_with("on") && name != "style", "{name}={value}");
                if name == "src" {
                    let png = value.strip_prefix("data:image/png;base64,").unwrap_or("!");
                    assert!(element.value().name() == "img" && png == "iVBORw0KGgo=", "{value}");
                }
                if name == "href" {
                    let ok = ["http://", "https://", "#"]
                        .iter()
                        .any(|start| value.starts_with(start));
                    assert!(ok, "{value}");
                }
            }
        }
        assert!(!text.contains(|c| super::super::safe::is_hidden(c) && c != '\n' && c != '\t'));
    }

    #[test]
    fn page_text_stays_text() {
        let text = render(&sample::report()).unwrap();
        assert_harmless(&text);
        for shown in [
            "&lt;script&gt;alert(1)&lt;",
            "&lt;U+202E&gt;fdp.exe",
            "&lt;U+001B&gt;[2J",
            "{{ 7*7 }}",
            "javascript:alert(4)",
        ] {
            assert!(text.contains(shown), "{shown} is not in the report");
        }
    }

    #[test]
    fn everything_that_was_found_or_not_checked_is_told() {
        let report = sample::report();
        let text = render(&report).unwrap();
        let html = Html::parse_document(&text);
        assert_eq!(all(&html, "article").len(), report.findings.len());
        assert_eq!(all(&html, "#not-checked tbody tr").len(), report.not_checked.len());
        assert_eq!(all(&html, "#failed li").len(), report.failed_pages.len());
        assert_eq!(all(&html, "#unclaimed tbody tr").len(), report.unclaimed_hosts.len());
        assert!(text.contains(&report.verdict.headline));
        for finding in &report.findings {
            assert!(text.contains(&finding.fingerprint.0));
        }
        let steps: usize = report.findings.iter().map(|finding| finding.steps.len()).sum();
        assert!(steps > 2);
        assert_eq!(all(&html, "article ol > li").len(), steps);
        for link in all(&html, "a[href^='#']") {
            let id = link.value().attr("href").unwrap();
            assert_eq!(all(&html, id).len(), 1, "{id} leads nowhere");
        }
    }

    #[test]
    fn an_empty_report_is_whole_too() {
        let mut report = sample::report();
        report.findings.clear();
        report.counts.clear();
        report.not_checked.clear();
        report.not_observed.clear();
        report.failed_pages.clear();
        report.unclaimed_hosts.clear();
        report.checks.clear();
        report.scan.remarks.clear();
        report.scan.ended = None;
        report.scan.owner = None;
        report.scan.approved_by = None;
        assert_harmless(&render(&report).unwrap());
    }

    #[test]
    fn a_fact_that_ends_in_a_url_leads_there_and_says_where() {
        let rel = r#"rel="noreferrer noopener" target="_blank""#;
        for (text, expected) in [
            ("plain <b>", "plain <b>".to_owned()),
            ("javascript:alert(1)", "javascript:alert(1)".to_owned()),
            ("see javascript:alert(1)", "see javascript:alert(1)".to_owned()),
            (
                "http://a.test/x",
                format!(r#"<a href="http://a.test/x" {rel}>http://a.test/x</a>"#),
            ),
            (
                "<CVE> (low): https://b.test/c",
                format!(r#"&lt;CVE&gt; (low): <a href="https://b.test/c" {rel}>b.test</a>"#),
            ),
        ] {
            assert_eq!(fact(text).to_string().replace("&#x2f;", "/"), expected);
        }
        let facts = ["a", "a", "b", "a"].map(|label| Fact::new(label, "x")).to_vec();
        let grouped = by_label(Value::from(Serde(facts))).unwrap();
        let lengths: Vec<_> = grouped
            .try_iter()
            .unwrap()
            .map(|group| group.get_attr("values").unwrap().len())
            .collect();
        assert_eq!(lengths, [Some(2), Some(1), Some(1)]);
    }

    #[test]
    fn a_picture_is_shown_and_nothing_else_in_its_place() {
        let mut report = sample::report();
        report.findings[0].picture = Some(super::super::model::PicturePart {
            name: "phantom-flaw-1.png".to_owned(),
            taken: Timestamp::UNIX_EPOCH,
            width: 64,
            height: 48,
            png: "iVBORw0KGgo=".to_owned(),
        });
        let text = render(&report).unwrap();
        assert_harmless(&text);
        let html = Html::parse_document(&text);
        assert_eq!(all(&html, "article figure img[width='64']").len(), 1);
        assert!(text.contains("img-src data:"));
        report.findings[0].picture.as_mut().unwrap().png = "x\" onerror=alert(1) \"".to_owned();
        let text = render(&report).unwrap();
        assert_harmless(&text);
        assert_eq!(all(&Html::parse_document(&text), "img").len(), 0);
    }

    #[test]
    fn times_are_for_people() {
        assert_eq!(when("2026-11-23T02:14:09Z"), "23 Nov 2026, 02:14 UTC");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn no_text_breaks_out(text in "[\\PC\\s<>\"'&`\u{1b}\u{202e}]{0,60}", scheme in "(javascript:|data:text/html,|https://|)") {
            let mut report = sample::report();
            report.scan.title.clone_from(&text);
            let finding = &mut report.findings[0];
            finding.title.clone_from(&text);
            finding.why.clone_from(&text);
            finding.facts[0].value.clone_from(&text);
            finding.pages[0].url = format!("{scheme}{text}");
            finding.ticket.as_mut().unwrap().url = Some(format!("{scheme}{text}"));
            finding.steps.push(crate::triage::Instruction {
                text: text.clone(),
                url: Some(format!("{scheme}{text}")),
                command: Some(text.clone()),
            });
            report.failed_pages[0].reason.clone_from(&text);
            report.unclaimed_hosts[0].host.clone_from(&text);
            report.not_checked[0].reason = text;
            assert_harmless(&render(&report).unwrap());
        }
    }
}
