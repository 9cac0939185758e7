//! How a person sees what an observation says: what to look at, and a command that shows it. Each check says it of its
//! own; reports and tickets put the steps together.

use url::Url;

use crate::observation::{Cause, Fact};

/// Longer addresses are no part of a command.
const LONGEST: usize = 400;

/// What is known of a finding on one page.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// The page's URL. Untrusted.
    pub page: &'a str,
    /// The root cause. Untrusted.
    pub cause: &'a Cause,
    /// What was seen there. Untrusted.
    pub facts: &'a [Fact],
}

/// One thing to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// What to do and what to see, as a sentence. What pages say stands in it as it is: untrusted.
    pub text: String,
    /// A command for a shell that shows it, safe to be pasted.
    pub command: Option<String>,
}

impl<'a> Seen<'a> {
    /// The first fact with this label; empty if there is none.
    pub fn fact(&self, label: &str) -> &'a str {
        let found = self.facts.iter().find(|fact| fact.label == label);
        found.map_or("", |fact| &fact.value)
    }

    /// A part of the cause; empty if there is none.
    pub fn part(&self, name: &str) -> &'a str {
        self.cause.parts.get(name).map_or("", String::as_str)
    }

    /// The first of these facts that is there, else the page.
    pub fn address(&self, labels: &[&str]) -> &'a str {
        let found = labels
            .iter()
            .map(|label| self.fact(label))
            .find(|value| !value.is_empty());
        found.unwrap_or(self.page)
    }
}

impl Look {
    /// Something that is seen in the browser.
    pub fn at(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            command: None,
        }
    }

    /// Headers of an answer, those of whose lines that begin with a word.
    pub fn header(text: impl Into<String>, address: &str, name: &str) -> Self {
        Self {
            text: text.into(),
            command: quoted(address).map(|url| format!("curl -gs -o /dev/null -D - {url}{}", only(name))),
        }
    }

    /// The same with headers of the request's own, which must be ours.
    pub fn header_with(text: impl Into<String>, address: &str, header: &'static str, name: &str) -> Self {
        Self {
            text: text.into(),
            command: quoted(address).map(|url| format!("curl -gs -o /dev/null -D - -H '{header}' {url}{}", only(name))),
        }
    }

    /// An answer's headers and how it begins.
    pub fn answer(text: impl Into<String>, address: &str) -> Self {
        Self {
            text: text.into(),
            command: quoted(address).map(|url| format!("curl -gsi {url} | head -n 40")),
        }
    }
}

fn only(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | ':' | ' ' | '=');
    if name.is_empty() || !name.chars().all(plain) {
        return String::new();
    }
    format!(" | grep -i '^{name}'")
}

/// A web address as one word of a shell; `None` if it is not one, or a part of it was taken out.
fn quoted(address: &str) -> Option<String> {
    let url = Url::parse(address).ok()?;
    let is_whole = url.as_str().len() <= LONGEST && !url.as_str().contains("REDACTED") && !address.ends_with('…');
    if !matches!(url.scheme(), "http" | "https") || !is_whole {
        return None;
    }
    // Between quotes only the quote ends the word.
    let word = url.as_str().replace('\'', "%27");
    word.bytes()
        .all(|byte| byte.is_ascii_graphic())
        .then(|| format!("'{word}'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_holds_nothing_that_a_shell_obeys() {
        for (address, command) in [
            (
                "https://a.test/x?y=1&z",
                Some("curl -gs -o /dev/null -D - 'https://a.test/x?y=1&z' | grep -i '^x-a'"),
            ),
            (
                "https://a.test/'$(id)`id`\"; rm -rf /\n",
                Some(
                    "curl -gs -o /dev/null -D - 'https://a.test/%27$(id)%60id%60%22;%20rm%20-rf%20/' | grep -i '^x-a'",
                ),
            ),
            (
                "https://a.test/#'; id",
                Some("curl -gs -o /dev/null -D - 'https://a.test/#%27;%20id' | grep -i '^x-a'"),
            ),
            // Without -g it would ask for all that these name.
            (
                "https://a.test/[1-9]?{a,b}",
                Some("curl -gs -o /dev/null -D - 'https://a.test/[1-9]?{a,b}' | grep -i '^x-a'"),
            ),
            ("javascript:alert(1)", None),
            ("-o/etc/passwd", None),
            ("file:///etc/passwd", None),
            ("https://a.test/?token=REDACTED", None),
            ("https://a.test/cut…", None),
        ] {
            assert_eq!(
                Look::header("", address, "x-a").command.as_deref(),
                command,
                "{address}"
            );
        }
        let odd = Look::header("", "https://a.test/", "set-cookie: a';id;'");
        assert_eq!(
            odd.command.as_deref(),
            Some("curl -gs -o /dev/null -D - 'https://a.test/'")
        );
    }
}
