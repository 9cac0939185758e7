//! `check.toml` → [`Declaration`].

use std::path::Path;

use phantom_checks::declarative::{Ask, AskError, Condition, Declaration, Noun, Question, Rule, Test, pattern};
use phantom_checks::{Confidence, Severity, docs};
use toml::de::DeValue;

use crate::config::ConfigError;
use crate::config::kinds;
use crate::config::raw::{Section, Source, Value, Wrong, nearest};

const SEVERITIES: &str = "\"critical\", \"high\", \"medium\", \"low\" or \"info\"";
const CONFIDENCES: &str = "\"firm\" or \"tentative\"";
/// The keys of the documentation, in the order of [`docs::HEADINGS`].
const DOCS: [&str; docs::HEADINGS.len()] = ["looks_for", "matters", "decides", "fix", "limits", "references"];
/// The longest text of a documentation, in characters.
const LONGEST_DOCS: usize = 10_000;
/// Rules and questions of one check, at most.
const MOST: usize = 50;

/// Reads a check from text. `path` is named in errors.
///
/// # Errors
/// Everything that is wrong with it.
pub fn read(text: &str, path: &Path) -> Result<Declaration, ConfigError> {
    let file = path.display().to_string();
    let source = Source::new(&file, text);
    let tree = source.parse()?;
    let declaration = declaration(Section::root(&source, &tree));
    source.finish()?;
    declaration.ok_or_else(|| ConfigError::Read {
        path: path.to_owned(),
        why: "it lacks something that was not told; this is a bug".to_owned(),
    })
}

fn declaration(mut root: Section<'_>) -> Option<Declaration> {
    let id = root.require("id", "a short name that is kept for ever, such as \"old-intranet\"", id);
    let version = root.get("version", kinds::whole(1..=1_000_000_u32)).unwrap_or(1);
    let title = root.require("title", "what is wrong, in one short sentence", title);
    let severity = root.require("severity", SEVERITIES, kinds::parsed::<Severity>(SEVERITIES));
    let confidence = root.require("confidence", CONFIDENCES, confidence);
    let what = "the number of the weakness, see https://cwe.mitre.org";
    let cwe = root.require("cwe", what, kinds::whole(1..=99_999_u32));
    let docs = documentation(root.section_or_empty("docs"));
    let asks: Vec<Ask> = root.tables("ask").into_iter().take(MOST).filter_map(ask).collect();
    let usual = Usual {
        title: title.clone().unwrap_or_default(),
        severity: severity.unwrap_or(Severity::Low),
        confidence: confidence.unwrap_or(Confidence::Tentative),
        asks: &asks,
    };
    let tables = root.tables("rule");
    let several = tables.len() > 1;
    if tables.is_empty() {
        root.require(
            "rule",
            "a table [[rule]], which says when a page is flagged",
            |_| Ok(()),
        );
    }
    let mut rules: Vec<Rule> = Vec::new();
    for table in tables.into_iter().take(MOST) {
        rules.extend(rule(table, &usual, several, &rules));
    }
    root.finish(&[]);
    Some(Declaration {
        id: id?,
        version,
        title: title?,
        severity: severity?,
        confidence: confidence?,
        cwe: cwe?,
        docs: docs?,
        asks,
        rules,
    })
}

/// What holds for rules that say nothing else.
struct Usual<'a> {
    title: String,
    severity: Severity,
    confidence: Confidence,
    asks: &'a [Ask],
}

fn id(value: Value<'_>) -> Result<String, Wrong> {
    let text = kinds::text(value)?;
    let kebab = text.len() <= 60
        && text
            .split('-')
            .all(|word| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase()));
    if kebab {
        Ok(text)
    } else {
        let advice = "write small letters, with hyphens between words, such as \"old-intranet\"";
        Err(kinds::quoted(&text, advice))
    }
}

fn title(value: Value<'_>) -> Result<String, Wrong> {
    let text = kinds::text(value)?;
    if text.chars().count() <= 150 && !text.ends_with('.') {
        Ok(text)
    } else {
        Err(kinds::quoted(
            &text,
            "write at most 150 characters, without a full stop",
        ))
    }
}

/// Nothing that a declaration can look at is a proof.
fn confidence(value: Value<'_>) -> Result<Confidence, Wrong> {
    let words = [("firm", Confidence::Firm), ("tentative", Confidence::Tentative)];
    kinds::word(&words, &[])(value)
}

fn documentation(mut section: Section<'_>) -> Option<[String; docs::HEADINGS.len()]> {
    let texts = [0, 1, 2, 3, 4, 5].map(|at: usize| {
        let (key, heading) = (DOCS[at], docs::HEADINGS[at]);
        let what = format!("the text under \u{201c}{heading}\u{201d}, in Markdown");
        section.require(key, &what, paragraphs)
    });
    let lacks = |text: &String| !(text.contains("everity") && text.contains("onfidence"));
    if texts[2].as_ref().is_some_and(lacks) {
        let advice = "write its rule for severity and its rule for confidence, each by its name";
        section.report("decides", Wrong::new("does not say how bad and how sure it is", advice));
    }
    section.finish(&[]);
    let texts: Vec<String> = texts.into_iter().collect::<Option<_>>()?;
    texts.try_into().ok()
}

fn paragraphs(value: Value<'_>) -> Result<String, Wrong> {
    let text = kinds::string(value, "text in quotes")?.trim();
    let odd = text.chars().any(|c| c.is_control() && c != '\n' && c != '\t');
    if text.is_empty() || odd || text.chars().count() > LONGEST_DOCS {
        let is = "is empty, too long or has control characters";
        return Err(Wrong::new(
            is,
            format!("write at most {LONGEST_DOCS} characters of text"),
        ));
    }
    Ok(text.to_owned())
}

fn ask(mut section: Section<'_>) -> Option<Ask> {
    let name = section.require("name", "what rules call it, such as \"banner\"", word);
    let selector = section.get("select", kinds::text);
    let attributes = section.get("attributes", kinds::list(asked_name)).unwrap_or_default();
    let value = section.get("read", |value| {
        let way = kinds::text(value)?;
        Question::value(&way).map_err(|error| refused(&error))
    });
    let question = match (selector, value) {
        (Some(selector), None) if !section.has("read") => Question::elements(selector, &attributes).ok(),
        (None, Some(value)) if !section.has("select") => Some(value),
        _ => {
            if section.has("select") == section.has("read") {
                section.report_whole("asks nothing, or two things", "write either `select` or `read`");
            }
            None
        }
    };
    section.finish(&[]);
    Some(Ask {
        name: name?,
        question: question?,
    })
}

fn asked_name(value: Value<'_>) -> Result<String, Wrong> {
    let text = kinds::text(value)?;
    phantom_checks::declarative::check_name(&text).map_err(|error| refused(&error))?;
    Ok(text.to_ascii_lowercase())
}

fn refused(error: &AskError) -> Wrong {
    let advice = match error {
        AskError::NoName(_) => "write names of letters, digits, `_`, `$` and `-`",
        AskError::Secret(_) | AskError::Outside(_) => "ask for something else",
    };
    Wrong::new(format!("cannot be asked: {error}"), advice)
}

fn word(value: Value<'_>) -> Result<String, Wrong> {
    let text = kinds::text(value)?;
    if text.len() <= 60
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    {
        Ok(text)
    } else {
        Err(kinds::quoted(&text, "write a short word, such as \"old-host\""))
    }
}

fn rule(mut section: Section<'_>, usual: &Usual<'_>, several: bool, before: &[Rule]) -> Option<Rule> {
    let name = if several {
        section.require(
            "name",
            "a word that tells it from the other rules and is kept for ever",
            word,
        )
    } else {
        section.get("name", word)
    };
    if name
        .as_ref()
        .is_some_and(|name| before.iter().any(|rule| rule.name == *name))
    {
        section.report(
            "name",
            Wrong::new("is another rule's", "give each rule a name of its own"),
        );
    }
    let words = Noun::ALL.map(|noun| (noun.word(), noun));
    let find = section.require(
        "find",
        "what is looked at, such as \"request\"",
        kinds::word(&words, &[]),
    );
    // What it has depends on what it is.
    let noun = find.unwrap_or(Noun::Page);
    let conditions = |section: &mut Section<'_>, key| conditions(section, key, noun, usual.asks);
    let fits = conditions(&mut section, "where");
    let unless = conditions(&mut section, "unless");
    let on = self::conditions(&mut section, "on", Noun::Page, &[]);
    let flags = [("each", false), ("none", true)];
    let absent = section.get("flag", kinds::word(&flags, &[])).unwrap_or(false);
    let cause = cause(&mut section, noun, absent);
    let own = section.get("title", title);
    let title = own.clone().unwrap_or_else(|| usual.title.clone());
    if let Some(unknown) = unknown_part(&title, &cause, absent) {
        let key = if own.is_some() { "title" } else { "find" };
        let wrong = format!("has a title with `{{{unknown}}}` in it, which is no part of its cause");
        section.report(key, Wrong::new(wrong, "add it to `cause`, or take it out of the title"));
    }
    let severity = section
        .get("severity", kinds::parsed(SEVERITIES))
        .unwrap_or(usual.severity);
    let confidence = section.get("confidence", confidence).unwrap_or(usual.confidence);
    if find.is_some() && noun == Noun::Answer && usual.asks.is_empty() {
        let advice = "add a table [[ask]] that says what the page is asked";
        section.report("find", Wrong::new("is \"answer\", but nothing is asked", advice));
    }
    section.finish(&[]);
    find?;
    Some(Rule {
        name: name.unwrap_or_default(),
        find: noun,
        on,
        fits,
        unless,
        absent,
        cause,
        title,
        severity,
        confidence,
    })
}

fn cause(section: &mut Section<'_>, noun: Noun, absent: bool) -> Vec<String> {
    if absent {
        if section.has("cause") {
            let wrong = Wrong::new(
                "stands beside `flag = \"none\"`",
                "remove it: the cause is the host then",
            );
            section.get("cause", |_| Ok(()));
            section.report("cause", wrong);
        }
        return Vec::new();
    }
    let part = move |value: Value<'_>| {
        let text = kinds::text(value)?;
        if noun.may_be_cause(&text) {
            return Ok(text);
        }
        let known: Vec<_> = noun.causes().collect();
        Err(kinds::quoted(
            &text,
            format!("write what no deploy changes: {}", known.join(", ")),
        ))
    };
    section
        .get("cause", kinds::some_of(part))
        .unwrap_or_else(|| noun.usual_cause().iter().map(|&part| part.to_owned()).collect())
}

/// The first part of a title in braces that no cause fills in.
fn unknown_part<'t>(title: &'t str, cause: &[String], absent: bool) -> Option<&'t str> {
    title
        .split('{')
        .skip(1)
        .filter_map(|rest| rest.split_once('}'))
        .find_map(|(name, _)| {
            let known = cause.iter().any(|part| part == name) || (absent && name == "host");
            (!known).then_some(name)
        })
}

fn conditions(section: &mut Section<'_>, key: &'static str, noun: Noun, asks: &[Ask]) -> Vec<Condition> {
    let of_answers = |name: &str| {
        noun == Noun::Answer
            && asks.iter().any(|ask| match &ask.question {
                Question::Elements { attributes, .. } => attributes.iter().any(|known| known == name),
                Question::Value(_) => false,
            })
    };
    let condition = |name: &str, value: Value<'_>| {
        if !noun.has(name) && !of_answers(name) {
            let known: Vec<_> = noun.attributes().collect();
            let advice = match nearest(name, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("it has: {}", known.join(", ")),
            };
            return Err(Wrong::new(format!("is nothing that a {} has", noun.word()), advice));
        }
        let attribute = name.to_owned();
        Ok(Condition {
            attribute,
            test: test(value)?,
        })
    };
    section.pairs(key, condition).unwrap_or_default()
}

/// A text, a list of texts or a flag stand for `is`; a table says more.
fn test(value: Value<'_>) -> Result<Test, Wrong> {
    let DeValue::Table(table) = value.get_ref() else {
        let is = Some(texts(value)?);
        return Ok(Test { is, ..Test::default() });
    };
    let mut test = Test::default();
    if table.is_empty() {
        return Err(Wrong::new(
            "is empty",
            "say what must hold of it, such as { present = true }",
        ));
    }
    for (key, value) in table {
        let result = match key.get_ref().as_ref() {
            "is" => texts(value).map(|texts| test.is = Some(texts)),
            "is_not" => texts(value).map(|texts| test.is_not = Some(texts)),
            "contains" => texts(value).map(|texts| test.contains = Some(texts)),
            "starts_with" => texts(value).map(|texts| test.starts_with = Some(texts)),
            "ends_with" => texts(value).map(|texts| test.ends_with = Some(texts)),
            "matches" => patterns(value).map(|patterns| test.matches = Some(patterns)),
            "above" => kinds::number(f64::MIN..=f64::MAX)(value).map(|number| test.above = Some(number)),
            "below" => kinds::number(f64::MIN..=f64::MAX)(value).map(|number| test.below = Some(number)),
            "present" => kinds::flag(value).map(|flag| test.present = Some(flag)),
            unknown => {
                let known = [
                    "is",
                    "is_not",
                    "contains",
                    "starts_with",
                    "ends_with",
                    "matches",
                    "above",
                    "below",
                    "present",
                ];
                let advice = match nearest(unknown, known) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("known here: {}", known.join(", ")),
                };
                return Err(Wrong {
                    is: format!("has `{unknown}`, which is not known"),
                    advice,
                    at: Some(key.span()),
                });
            }
        };
        result.map_err(|wrong| Wrong {
            is: format!("has a `{}` that {}", key.get_ref(), wrong.is),
            at: wrong.at.or(Some(value.span())),
            ..wrong
        })?;
    }
    Ok(test)
}

fn texts(value: Value<'_>) -> Result<Vec<String>, Wrong> {
    let one = |value: Value<'_>| match value.get_ref() {
        DeValue::Boolean(flag) => Ok(flag.to_string()),
        DeValue::Integer(number) => Ok(number.to_string()),
        _ => kinds::string(value, "text in quotes, or a list of texts").map(str::to_owned),
    };
    if matches!(value.get_ref(), DeValue::Array(_)) {
        return kinds::some_of(one)(value);
    }
    one(value).map(|text| vec![text])
}

fn patterns(value: Value<'_>) -> Result<Vec<regex::Regex>, Wrong> {
    texts(value)?
        .iter()
        .map(|text| {
            pattern(text).map_err(|why| {
                let advice = "write a regular expression as of the Rust crate regex";
                Wrong::new(format!("is no pattern ({why})"), advice)
            })
        })
        .collect()
}
