//! The JSON Schema of a declared check, for editors. The reader in `load` is what decides; tests hold both against each
//! other.

/// The schema (draft 2020-12).
pub const SCHEMA: &str = include_str!("schema.json");

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use phantom_checks::declarative::Noun;
    use serde_json::Value;

    use super::*;
    use crate::declared::{FILE, read};

    const LEAST: &str = r#"
id = "odd-thing"
title = "Something is odd"
severity = "low"
confidence = "firm"
cwe = 200
[docs]
looks_for = "Odd things."
matters = "They are odd."
decides = "Severity: low. Confidence: firm."
fix = "Remove them."
limits = "None."
references = "CWE-200: <https://cwe.mitre.org/data/definitions/200.html>"
"#;
    const ASK: &str = "[[ask]]\nname = \"shop\"\nselect = \"#shop\"\nattributes = [\"data-env\"]\n";

    fn schema() -> Value {
        serde_json::from_str(SCHEMA).unwrap()
    }

    fn as_json(text: &str) -> Value {
        serde_json::to_value(toml::from_str::<toml::Value>(text).unwrap()).unwrap()
    }

    fn errors(more: &str) -> String {
        let text = format!("{LEAST}{more}");
        read(&text, Path::new("odd-thing/check.toml")).unwrap_err().to_string()
    }

    #[test]
    fn the_schema_is_one_and_names_all_that_can_be_found() {
        assert!(jsonschema::draft202012::meta::is_valid(&schema()));
        let words: BTreeSet<&str> = Noun::ALL.iter().map(|noun| noun.word()).collect();
        let find = &schema()["properties"]["rule"]["items"]["properties"];
        let known = find["find"]["enum"].as_array().unwrap().clone();
        assert_eq!(
            known.iter().map(|word| word.as_str().unwrap()).collect::<BTreeSet<_>>(),
            words
        );
        let told = find["where"]["description"].as_str().unwrap();
        for noun in Noun::ALL {
            let has = format!("{}: {}", noun.word(), noun.attributes().collect::<Vec<_>>().join(", "));
            assert!(told.contains(&has), "{has}");
            assert!(noun.usual_cause().iter().all(|part| noun.may_be_cause(part)));
        }
    }

    #[test]
    fn the_examples_are_valid_and_documented() {
        let validator = jsonschema::draft202012::new(&schema()).unwrap();
        let mut count = 0;
        for entry in std::fs::read_dir("examples/checks").unwrap() {
            let path = entry.unwrap().path().join(FILE);
            let text = std::fs::read_to_string(&path).unwrap();
            let value = as_json(&text);
            let wrong: Vec<_> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
            assert!(wrong.is_empty(), "{}: {wrong:?}", path.display());
            read(&text, &path).unwrap();
            count += 1;
        }
        assert_eq!(count, 3);
    }

    #[test]
    fn what_is_read_is_valid_and_the_rest_is_not() {
        let validator = jsonschema::draft202012::new(&schema()).unwrap();
        let rule = |rest: &str| format!("[[rule]]\nfind = \"request\"\n{rest}");
        for (more, fits) in [
            (rule(""), true),
            (
                rule("where = { host = \"a.test\", kind = [\"script\", \"image\"] }"),
                true,
            ),
            (rule("where = { status = { above = 399, below = 500 } }"), true),
            (
                rule("unless = { failed = true }\nflag = \"each\"\ncause = [\"host\"]"),
                true,
            ),
            (
                format!("{ASK}[[rule]]\nfind = \"answer\"\nwhere = {{ ask = \"shop\", data-env = \"dev\" }}"),
                true,
            ),
            (String::new(), false),
            (rule("where = { host = { is = [] } }"), false),
            (rule("where = { host = { like = \"x\" } }"), false),
            (rule("where = { host = {} }"), false),
            (rule("flag = \"all\""), false),
            (rule("name = \"two words\""), false),
            (rule("confidence = \"certain\""), false),
            (rule("severity = \"grave\""), false),
            (rule("finds = 1"), false),
            ("[[rule]]\nfind = \"website\"".to_owned(), false),
            (format!("[[ask]]\nname = \"x\"\n{}", rule("")), false),
            (
                format!("[[ask]]\nname = \"x\"\nselect = \"p\"\nread = \"a.b\"\n{}", rule("")),
                false,
            ),
            (
                format!("[[ask]]\nname = \"x\"\nread = \"fetch('/x')\"\n{}", rule("")),
                false,
            ),
        ] {
            let text = format!("{LEAST}{more}\n");
            assert_eq!(validator.is_valid(&as_json(&text)), fits, "the schema: {text}");
            let read = read(&text, Path::new("check.toml"));
            assert_eq!(read.is_ok(), fits, "the reader: {text}: {read:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_place_key_and_advice() {
        let rule = |rest: &str| format!("[[rule]]\nfind = \"request\"\n{rest}");
        for (more, expected) in [
            (
                rule("where = { hots = \"a.test\" }"),
                "`rule.where.hots` is nothing that a request has (odd-thing/check.toml:16:18); did you mean `host`?",
            ),
            (
                rule("where = { url = { matches = \"(\" } }"),
                "`rule.where.url` has a `matches` that is no pattern",
            ),
            (
                rule("cause = [\"url\"]"),
                "`rule.cause` [0] is \"url\" (odd-thing/check.toml:16:10); write what no deploy changes: scheme, host, path, method, kind",
            ),
            (
                rule("title = \"It comes from {origin}\""),
                "`rule.title` has a title with `{origin}` in it, which is no part of its cause (odd-thing/check.toml:16:9)",
            ),
            (
                format!("[[ask]]\nname = \"x\"\nread = \"document.cookie\"\n{}", rule("")),
                "`ask.read` cannot be asked: `cookie` may hold a secret, which must not be kept (odd-thing/check.toml:16:8)",
            ),
            (
                format!("[[ask]]\nname = \"x\"\nread = \"parent.shop\"\n{}", rule("")),
                "`ask.read` cannot be asked: `parent` leads out of the document (odd-thing/check.toml:16:8)",
            ),
            (
                format!(
                    "[[ask]]\nname = \"x\"\nselect = \"input\"\nattributes = [\"value\"]\n{}",
                    rule("")
                ),
                "`ask.attributes` [0] cannot be asked: `value` may hold a secret",
            ),
            (
                "[[rule]]\nfind = \"answer\"".to_owned(),
                "`rule.find` is \"answer\", but nothing is asked (odd-thing/check.toml:15:8)",
            ),
            (
                format!("{}\n{}", rule(""), rule("")),
                "`rule.name` is missing (odd-thing/check.toml:14:1)",
            ),
        ] {
            let said = errors(&more);
            assert!(said.contains(expected), "{said}");
        }
        let without = LEAST.replace("Severity: low. ", "");
        let said = read(&without, Path::new("check.toml")).unwrap_err().to_string();
        assert!(
            said.contains("`docs.decides` does not say how bad and how sure it is (check.toml:10:11)"),
            "{said}"
        );
        let without = LEAST.replace("fix = \"Remove them.\"\n", "");
        let said = read(&without, Path::new("check.toml")).unwrap_err().to_string();
        assert!(said.contains("`docs.fix` is missing (check.toml:7:1)"), "{said}");
    }
}
