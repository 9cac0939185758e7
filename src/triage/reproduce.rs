//! How a person gets to see a finding: the steps that reports and tickets show. Pure.

use phantom_checks::{Cause, Fact, Look, Seen};
use serde::{Deserialize, Serialize};

/// Pages on the way that are named: the first ones and the last.
const MOST_PAGES: usize = 12;
/// Things to be done on the page that are named.
const MOST_ACTIONS: usize = 20;
/// The longest text of one step, in characters.
const LONGEST: usize = 600;

/// One step.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Instruction {
    /// What to do. Untrusted where it repeats what a page says.
    pub text: String,
    /// The address that the text ends with. Untrusted.
    pub url: Option<String>,
    /// A command for a shell, safe to be pasted.
    pub command: Option<String>,
}

/// What steps are made of.
#[derive(Debug, Clone, Copy)]
pub struct Trail<'a> {
    /// The id of the check.
    pub check: &'a str,
    /// The root cause.
    pub cause: &'a Cause,
    /// What was seen on the page, and what was done there before it was.
    pub facts: &'a [Fact],
    /// The page; `None` if none is known any more.
    pub page: Option<&'a str>,
    /// The pages that led to it, the start page first, itself last.
    pub way: &'a [String],
    /// What `phantom verify` knows the finding by.
    pub name: &'a str,
}

/// The steps: the way to the page, what is done there, what is to be seen, and how to have it looked at again.
pub fn reproduce(trail: &Trail<'_>) -> Vec<Instruction> {
    let mut steps = way(trail);
    let actions = trail.facts.iter().filter(|fact| is_step(fact)).take(MOST_ACTIONS);
    steps.extend(actions.map(|fact| say(format!("On the page: {}", fact.value))));
    let page = trail.page.unwrap_or_default();
    let seen = Seen {
        page,
        cause: trail.cause,
        facts: trail.facts,
    };
    let look = phantom_checks::by_id(trail.check).and_then(|check| check.look(&seen));
    let Look { text, command } = look.unwrap_or_else(|| {
        Look::at("Look at what the browser loads, sets and shows there: what was seen is listed with this finding.")
    });
    steps.push(Instruction { command, ..say(text) });
    // A tracker's word for it, which is nothing but letters, digits and a hyphen.
    let plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let name: String = trail.name.chars().filter(plain).collect();
    steps.push(Instruction {
        command: Some(format!("phantom verify {name}")),
        ..say("Have this finding alone looked at again:".to_owned())
    });
    steps
}

/// Something that is done on the page belongs to the steps, not to what was seen.
pub fn is_step(fact: &Fact) -> bool {
    fact.label == Fact::STEP
}

fn way(trail: &Trail<'_>) -> Vec<Instruction> {
    let alone: Vec<String> = trail.page.into_iter().map(str::to_owned).collect();
    let way = if trail.way.is_empty() { &alone } else { trail.way };
    let left_out = way.len().saturating_sub(MOST_PAGES);
    let mut steps = Vec::new();
    for (at, url) in way.iter().enumerate() {
        if at == 1 && left_out > 0 {
            steps.push(say(format!("Follow {left_out} more links")));
        }
        if at == 0 || at > left_out {
            let text = if at == 0 { "Open" } else { "Follow the link to" };
            steps.push(Instruction {
                url: Some(url.clone()),
                ..say(text.to_owned())
            });
        }
    }
    steps
}

fn say(text: String) -> Instruction {
    let text = match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    };
    Instruction {
        text,
        ..Instruction::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(steps: &[Instruction]) -> Vec<String> {
        let line = |step: &Instruction| {
            let more = [&step.url, &step.command].into_iter().flatten();
            more.fold(step.text.clone(), |line, more| format!("{line} {more}"))
        };
        steps.iter().map(line).collect()
    }

    fn trail<'a>(check: &'a str, cause: &'a Cause, facts: &'a [Fact], way: &'a [String]) -> Trail<'a> {
        Trail {
            check,
            cause,
            facts,
            page: Some("https://shop.test/account"),
            way,
            name: "0123456789ab",
        }
    }

    #[test]
    fn a_form_is_reached_and_looked_at() {
        let cause = Cause::new(
            1,
            [("kind", "form".to_owned()), ("action", "shop.test/save".to_owned())],
        );
        let facts = [
            Fact::new("action", "https://shop.test/save"),
            Fact::new("selector", "#settings"),
            Fact::new("session cookie", "PHPSESSID"),
            Fact::new(Fact::STEP, "click \u{201c}Account\u{201d} (#menu)"),
        ];
        let way = ["https://shop.test/", "https://shop.test/account"].map(str::to_owned);
        assert_eq!(
            said(&reproduce(&trail("missing-csrf-token", &cause, &facts, &way))),
            [
                "Open https://shop.test/",
                "Follow the link to https://shop.test/account",
                "On the page: click \u{201c}Account\u{201d} (#menu)",
                "Look at the form that is sent to https://shop.test/save (#settings): none of its hidden fields (none) \
                 looks like a token. The cookie PHPSESSID goes along with it.",
                "Have this finding alone looked at again: phantom verify 0123456789ab",
            ]
        );
    }

    #[test]
    fn a_header_is_shown_by_a_command() {
        let cause = Cause::new(1, [("host", "shop.test".to_owned())]);
        let facts = [Fact::new("answer", "https://shop.test/app.js")];
        let steps = reproduce(&trail("missing-nosniff", &cause, &facts, &[]));
        assert_eq!(said(&steps)[0], "Open https://shop.test/account");
        assert_eq!(
            steps[1].command.as_deref(),
            Some("curl -gs -o /dev/null -D - 'https://shop.test/app.js' | grep -i '^x-content-type-options'")
        );
    }

    #[test]
    fn every_check_says_where_to_look_whatever_it_knows() {
        let cause = Cause::new(1, [("host", "shop.test".to_owned())]);
        for check in phantom_checks::built_in() {
            let id = check.meta().id;
            let empty = reproduce(&trail(id, &cause, &[], &[]));
            assert_eq!(empty.len(), 3, "{id}");
            assert!(
                !empty[1].text.contains("is listed with this finding"),
                "{id} has no words of its own"
            );
        }
        let unknown = reproduce(&trail("gone", &cause, &[], &[]));
        assert!(unknown[1].text.contains("is listed with this finding"));
    }

    #[test]
    fn what_pages_say_is_bounded() {
        let cause = Cause::new(1, [("kind", "k".repeat(100_000))]);
        let facts: Vec<Fact> = (0..500)
            .map(|_| Fact::new(Fact::STEP, "\u{202e}".repeat(500)))
            .collect();
        let way: Vec<String> = (0..40).map(|at| format!("https://shop.test/{at}")).collect();
        let steps = reproduce(&trail("missing-csrf-token", &cause, &facts, &way));
        assert_eq!(steps.len(), MOST_PAGES + 1 + MOST_ACTIONS + 2);
        assert_eq!(steps[1].text, "Follow 28 more links");
        assert_eq!(steps[MOST_PAGES].url.as_deref(), Some("https://shop.test/39"));
        assert!(steps.iter().all(|step| step.text.chars().count() <= LONGEST + 1));
    }
}
