//! Content-Security-Policy, parsed as browsers parse it.

use crate::evidence::Evidence;

/// One policy: its directives, names and sources in lower case. Of a name that is there twice, the first counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Policy {
    directives: Vec<(String, Vec<String>)>,
}

impl Policy {
    /// The policies of one header: a comma, or a line break between two headers, parts them.
    pub(crate) fn parse(text: &str) -> Vec<Self> {
        text.split([',', '\n'])
            .map(Self::parse_one)
            .filter(|policy| !policy.directives.is_empty())
            .collect()
    }

    fn parse_one(text: &str) -> Self {
        let mut policy = Self::default();
        for directive in text.split(';') {
            let mut words = directive.split_ascii_whitespace().map(str::to_ascii_lowercase);
            let Some(name) = words.next() else { continue };
            if policy.sources(&name).is_none() {
                policy.directives.push((name, words.collect()));
            }
        }
        policy
    }

    /// What a directive allows; `None` if it is not there.
    pub(crate) fn sources(&self, name: &str) -> Option<&[String]> {
        self.directives
            .iter()
            .find(|(have, _)| have == name)
            .map(|(_, sources)| sources.as_slice())
    }

    /// What script elements may come from; `None` if nothing restricts them.
    pub(crate) fn scripts(&self) -> Option<&[String]> {
        ["script-src-elem", "script-src", "default-src"]
            .iter()
            .find_map(|name| self.sources(name))
    }

    /// Why the policy would not stop an injected script, as ends of sentences; empty if it would.
    pub(crate) fn weaknesses(&self) -> Vec<String> {
        let Some(sources) = self.scripts() else {
            return vec!["has neither script-src nor default-src, so scripts may come from anywhere".to_owned()];
        };
        let has = |word: &str| sources.iter().any(|source| source == word);
        let begins = |start: &str| sources.iter().any(|source| source.starts_with(start));
        let dynamic = has("'strict-dynamic'");
        let named = begins("'nonce-") || begins("'sha256-") || begins("'sha384-") || begins("'sha512-");
        let mut why = Vec::new();
        if has("'unsafe-inline'") && !named && !dynamic {
            why.push("allows inline scripts ('unsafe-inline' without a nonce or hash)".to_owned());
        }
        if !dynamic {
            let open = ["*", "http:", "https:", "data:", "http://*", "https://*"];
            why.extend(
                sources
                    .iter()
                    .filter(|source| open.contains(&source.as_str()))
                    .map(|source| format!("allows scripts from everywhere ({source})")),
            );
        }
        why
    }
}

/// The policies that the page's answer enforces, and those of its `meta` elements; those that only report are left out.
pub(crate) fn enforced(evidence: &Evidence, with_metas: bool) -> Vec<Policy> {
    let main = evidence.main_frame().map(|frame| frame.id.as_str());
    let headers = evidence
        .page
        .headers
        .iter()
        .filter(|header| header.name == "content-security-policy")
        .map(|header| header.value.as_str());
    let metas = evidence
        .metas
        .iter()
        .filter(|meta| with_metas && meta.name == "content-security-policy" && Some(meta.frame.as_str()) == main)
        .filter_map(|meta| meta.content.as_deref());
    headers.chain(metas).flat_map(Policy::parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_judged_as_browsers_apply_them() {
        let table = [
            ("script-src 'self'", 0),
            ("default-src 'none'", 0),
            ("default-src *; script-src 'self'", 0),
            ("SCRIPT-SRC 'Self' 'unsafe-eval'", 0),
            ("script-src 'unsafe-inline' 'nonce-REDACTED'", 0),
            ("script-src 'unsafe-inline' https: 'strict-dynamic' 'nonce-REDACTED'", 0),
            ("script-src 'self' https://cdn.test", 0),
            ("img-src *", 1),
            ("frame-ancestors 'none'", 1),
            ("script-src 'self' 'unsafe-inline'", 1),
            ("script-src https:", 1),
            ("script-src * 'unsafe-inline' data:", 3),
            ("script-src 'self'; script-src *", 0),
            ("script-src-elem *; script-src 'self'", 1),
        ];
        for (text, expected) in table {
            let policies = Policy::parse(text);
            assert_eq!(policies.len(), 1, "{text}");
            assert_eq!(policies[0].weaknesses().len(), expected, "{text}");
        }
        assert_eq!(Policy::parse("script-src 'self', img-src *").len(), 2);
        assert!(Policy::parse(" ; ,").is_empty());
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(text in "\\PC{0,200}") {
            for policy in Policy::parse(&text) {
                let _ = policy.weaknesses();
            }
        }
    }
}
