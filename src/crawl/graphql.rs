//! What a GraphQL request would do, as far as its text says.

/// Operations of one request that are looked at; with more, nothing is believed.
const MOST_OPERATIONS: usize = 50;

/// Whether a request's body holds GraphQL operations that only read, and nothing else. What is not understood is not
/// believed: a stored operation that the body only names could do anything.
pub fn only_queries(body: &str) -> bool {
    match serde_json::from_str(body) {
        Ok(serde_json::Value::Array(batch)) => {
            !batch.is_empty() && batch.len() <= MOST_OPERATIONS && batch.iter().all(is_query_request)
        }
        Ok(request) => is_query_request(&request),
        Err(_) => false,
    }
}

fn is_query_request(request: &serde_json::Value) -> bool {
    // `operationName` only chooses between operations, and all of them must be queries.
    request
        .get("query")
        .and_then(serde_json::Value::as_str)
        .is_some_and(is_query)
}

/// Whether a GraphQL document holds queries, perhaps fragments, and no other operation.
pub fn is_query(document: &str) -> bool {
    let (mut depth, mut queries) = (0_usize, 0_usize);
    let mut head: Option<String> = None;
    for token in Tokens(document) {
        match token {
            Token::Open => {
                if depth == 0 {
                    match head.take().as_deref() {
                        None | Some("query") => queries += 1,
                        Some("fragment") => {}
                        Some(_) => return false,
                    }
                }
                depth += 1;
            }
            Token::Close => match depth.checked_sub(1) {
                Some(less) => depth = less,
                None => return false,
            },
            // The first word says which operation it is; the rest is its name and variables.
            Token::Word(word) if depth == 0 => {
                head.get_or_insert_with(|| word.to_owned());
            }
            Token::Word(_) => {}
            Token::Broken => return false,
        }
    }
    depth == 0 && head.is_none() && queries > 0
}

/// Whether a text begins as a GraphQL mutation does.
pub fn is_mutation(document: &str) -> bool {
    Tokens(document)
        .next()
        .is_some_and(|token| matches!(token, Token::Word("mutation")))
}

#[derive(Debug, PartialEq)]
enum Token<'a> {
    Open,
    Close,
    Word(&'a str),
    /// A text that does not end.
    Broken,
}

/// The words and braces of a document, without comments and texts. Braces of default values nest as all others do.
struct Tokens<'a>(&'a str);

impl<'a> Tokens<'a> {
    /// Nothing can be told of the rest.
    fn broken(&mut self) -> Token<'a> {
        self.0 = "";
        Token::Broken
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        loop {
            let first = self.0.chars().next()?;
            let rest = &self.0[first.len_utf8()..];
            match first {
                '{' | '(' | '[' => {
                    self.0 = rest;
                    if first == '{' {
                        return Some(Token::Open);
                    }
                    // Variables stand between the operation's name and its body: `query Q($a: A = {b: 1}) {`.
                    let Some(after) = after_closing(rest, first) else {
                        return Some(self.broken());
                    };
                    self.0 = after;
                }
                '}' => {
                    self.0 = rest;
                    return Some(Token::Close);
                }
                '#' => self.0 = rest.find(['\n', '\r']).map_or("", |end| &rest[end..]),
                '"' => {
                    let Some(after) = after_text(self.0) else {
                        return Some(self.broken());
                    };
                    self.0 = after;
                }
                _ if first.is_ascii_alphabetic() || first == '_' => {
                    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
                    let end = self.0.find(|c| !is_word(c)).unwrap_or(self.0.len());
                    let (word, rest) = self.0.split_at(end);
                    self.0 = rest;
                    return Some(Token::Word(word));
                }
                _ => self.0 = rest,
            }
        }
    }
}

/// What comes after the bracket that closes the one before this text.
fn after_closing(text: &str, opened: char) -> Option<&str> {
    let (open, close) = if opened == '(' { ('(', ')') } else { ('[', ']') };
    let (mut rest, mut depth) = (text, 1_usize);
    loop {
        let first = rest.chars().next()?;
        let after = &rest[first.len_utf8()..];
        rest = match first {
            '"' => after_text(rest)?,
            '#' => after.find(['\n', '\r']).map_or("", |end| &after[end..]),
            _ => after,
        };
        if first == open {
            depth += 1;
        } else if first == close {
            depth -= 1;
            if depth == 0 {
                return Some(rest);
            }
        }
    }
}

/// What comes after the text in quotes that this begins with.
fn after_text(text: &str) -> Option<&str> {
    if let Some(block) = text.strip_prefix("\"\"\"") {
        let mut rest = block;
        loop {
            let end = rest.find("\"\"\"")?;
            let escaped = rest[..end].ends_with('\\');
            rest = &rest[end + 3..];
            if !escaped {
                return Some(rest);
            }
        }
    }
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            '\n' | '\r' => return None,
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some(&text[at + 1..]),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_told_from_all_else() {
        let cases = [
            ("{ a }", true),
            ("query { a }", true),
            (
                "query Q($a: Int = 1, $b: I = {c: \")\"}) @live { a(b: {c: 1}) { d } }",
                true,
            ),
            ("# mutation {\nquery Q { a }", true),
            ("fragment F on T { a } query Q { ...F }", true),
            ("query A { a } query B { b }", true),
            ("query Q { mutation }", true),
            ("{ a(b: \"} mutation {\") }", true),
            ("{ a(b: \"\"\"x \\\"\"\" } mutation { \"\"\") }", true),
            ("mutation { a }", false),
            ("query A { a } mutation B { b }", false),
            ("subscription { a }", false),
            ("fragment F on T { a }", false),
            ("{ a } }", false),
            ("{ a", false),
            ("\u{feff}query { a }", true),
            ("# \r mutation { a }", false),
            ("\"x\nmutation { a }", false),
            ("query Q(", false),
            ("", false),
            ("query", false),
        ];
        for (document, expected) in cases {
            assert_eq!(is_query(document), expected, "{document}");
        }
        assert!(is_mutation("\n# x\nmutation M { a }") && !is_mutation("{ mutation }"));
    }

    #[test]
    fn bodies_are_believed_only_whole() {
        let cases = [
            (r#"{"query":"{ a }"}"#, true),
            (r#"{"query":"query Q { a }","operationName":"Q","variables":{}}"#, true),
            (r#"[{"query":"{ a }"},{"query":"query { b }"}]"#, true),
            (r#"[{"query":"{ a }"},{"query":"mutation { b }"}]"#, false),
            (r#"{"query":"mutation { a }"}"#, false),
            (r#"{"operationName":"Q","extensions":{"persistedQuery":{}}}"#, false),
            (r#"{"query":1}"#, false),
            ("[]", false),
            ("", false),
            ("query=%7Ba%7D", false),
        ];
        for (body, expected) in cases {
            assert_eq!(only_queries(body), expected, "{body}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_document_is_too_strange(text in r#"[{}()\[\]"\\#\n a-z\PC]{0,60}"#) {
            let _ = (is_query(&text), is_mutation(&text), only_queries(&text));
        }

        #[test]
        fn a_mutation_after_anything_is_seen(before in r"\{ [a-z ]{0,9} \}") {
            let document = format!("{before} mutation {{ a }}");
            proptest::prop_assert!(!is_query(&document));
        }
    }
}
