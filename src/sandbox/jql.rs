//! A small real subset of JQL: `project` and `labels` with `=` and `in (…)`, joined by `AND`, and `ORDER BY created`
//! or `updated`. Anything else is refused, never ignored.

/// A query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Query {
    /// All must hold.
    pub clauses: Vec<Clause>,
    /// The first decides.
    pub order: Vec<Order>,
}

/// A restriction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Clause {
    pub field: Field,
    /// One of these.
    pub values: Vec<String>,
}

/// What may be restricted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Project,
    Labels,
}

/// An order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Order {
    pub by: OrderBy,
    pub descending: bool,
}

/// What may be ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OrderBy {
    Created,
    Updated,
}

/// Why a query is refused, as a sentence.
pub(super) type Refusal = String;

/// Reads a query.
pub(super) fn parse(text: &str) -> Result<Query, Refusal> {
    let mut parser = Parser {
        tokens: tokens(text)?,
        next: 0,
    };
    let query = parser.query()?;
    if query.clauses.is_empty() {
        return Err(
            "Unbounded JQL queries are not allowed here. Please add a search restriction to your query.".into(),
        );
    }
    Ok(query)
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Quoted(String),
    Sign(char),
}

/// Tokens with the place, in characters from 1, at which each begins.
fn tokens(text: &str) -> Result<Vec<(usize, Token)>, Refusal> {
    let chars: Vec<char> = text.chars().collect();
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        let start = at;
        at += 1;
        match c {
            c if c.is_whitespace() => {}
            '(' | ')' | ',' | '=' => out.push((start + 1, Token::Sign(c))),
            '"' | '\'' => {
                let (value, end) = quoted(&chars, at, c)
                    .ok_or_else(|| error(start + 1, &format!("The quoted string '{c}' has not been completed.")))?;
                at = end;
                out.push((start + 1, Token::Quoted(value)));
            }
            c if is_word(c) => {
                while chars.get(at).copied().is_some_and(is_word) {
                    at += 1;
                }
                let word = chars.get(start..at).unwrap_or_default().iter().collect();
                out.push((start + 1, Token::Word(word)));
            }
            c => {
                let what = format!("The character '{c}' is not supported by this sandbox, or is reserved in JQL.");
                return Err(error(start + 1, &what));
            }
        }
    }
    Ok(out)
}

fn quoted(chars: &[char], mut at: usize, mark: char) -> Option<(String, usize)> {
    let mut value = String::new();
    loop {
        match *chars.get(at)? {
            '\\' => {
                value.push(*chars.get(at + 1)?);
                at += 2;
            }
            c if c == mark => return Some((value, at + 1)),
            c => {
                value.push(c);
                at += 1;
            }
        }
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '.')
}

fn error(at: usize, what: &str) -> Refusal {
    format!("Error in the JQL Query: {what} (line 1, character {at})")
}

struct Parser {
    tokens: Vec<(usize, Token)>,
    next: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next).map(|(_, token)| token)
    }

    fn keyword(&self, word: &str) -> bool {
        matches!(self.peek(), Some(Token::Word(found)) if found.eq_ignore_ascii_case(word))
    }

    fn take_keyword(&mut self, word: &str) -> bool {
        let found = self.keyword(word);
        self.next += usize::from(found);
        found
    }

    fn take_sign(&mut self, sign: char) -> bool {
        let found = self.peek() == Some(&Token::Sign(sign));
        self.next += usize::from(found);
        found
    }

    fn expected<T>(&self, what: &str) -> Result<T, Refusal> {
        Err(match self.tokens.get(self.next) {
            Some((at, token)) => {
                let found = match token {
                    Token::Word(text) | Token::Quoted(text) => text.clone(),
                    Token::Sign(sign) => sign.to_string(),
                };
                error(*at, &format!("Expecting {what} but got '{found}'."))
            }
            None => format!("Error in the JQL Query: Expecting {what} before the end of the query."),
        })
    }

    fn query(&mut self) -> Result<Query, Refusal> {
        let mut clauses = Vec::new();
        if self.peek().is_some() && !self.keyword("order") {
            clauses.push(self.clause()?);
            while self.take_keyword("and") {
                clauses.push(self.clause()?);
            }
        }
        let mut order = Vec::new();
        if self.take_keyword("order") {
            if !self.take_keyword("by") {
                return self.expected("'BY'");
            }
            order.push(self.order()?);
            while self.take_sign(',') {
                order.push(self.order()?);
            }
        }
        if self.peek().is_some() {
            return self.expected("'AND' or 'ORDER BY' (all that this sandbox supports)");
        }
        Ok(Query { clauses, order })
    }

    fn clause(&mut self) -> Result<Clause, Refusal> {
        let field = if self.take_keyword("project") {
            Field::Project
        } else if self.take_keyword("labels") {
            Field::Labels
        } else {
            return self.expected("'project' or 'labels' (all that this sandbox supports)");
        };
        if self.take_sign('=') {
            let values = vec![self.value()?];
            return Ok(Clause { field, values });
        }
        if !self.take_keyword("in") {
            return self.expected("'=' or 'in' (all that this sandbox supports)");
        }
        if !self.take_sign('(') {
            return self.expected("'('");
        }
        let mut values = vec![self.value()?];
        while self.take_sign(',') {
            values.push(self.value()?);
        }
        if !self.take_sign(')') {
            return self.expected("',' or ')'");
        }
        Ok(Clause { field, values })
    }

    fn value(&mut self) -> Result<String, Refusal> {
        let value = match self.peek() {
            Some(Token::Quoted(value)) => value.clone(),
            Some(Token::Word(word)) if !is_reserved(word) => word.clone(),
            _ => return self.expected("a value"),
        };
        self.next += 1;
        Ok(value)
    }

    fn order(&mut self) -> Result<Order, Refusal> {
        let by = if self.take_keyword("created") {
            OrderBy::Created
        } else if self.take_keyword("updated") {
            OrderBy::Updated
        } else {
            return self.expected("'created' or 'updated' (all that this sandbox supports)");
        };
        let descending = self.take_keyword("desc");
        if !descending {
            self.take_keyword("asc");
        }
        Ok(Order { by, descending })
    }
}

fn is_reserved(word: &str) -> bool {
    ["and", "or", "not", "in", "is", "order", "by", "empty", "null", "was"]
        .iter()
        .any(|reserved| word.eq_ignore_ascii_case(reserved))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_supported_is_read() {
        let query = parse(r#"project IN (SEC, "W\"B") and labels = 'a b' order by updated desc, Created"#).unwrap();
        assert_eq!(
            query.clauses,
            [
                Clause {
                    field: Field::Project,
                    values: vec!["SEC".to_owned(), "W\"B".to_owned()],
                },
                Clause {
                    field: Field::Labels,
                    values: vec!["a b".to_owned()],
                },
            ]
        );
        assert_eq!(
            query.order,
            [
                Order {
                    by: OrderBy::Updated,
                    descending: true,
                },
                Order {
                    by: OrderBy::Created,
                    descending: false,
                },
            ]
        );
    }

    #[test]
    fn anything_else_is_refused() {
        for (jql, reason) in [
            ("", "Unbounded"),
            ("ORDER BY created", "Unbounded"),
            ("status = Done", "Expecting 'project' or 'labels'"),
            ("project = SEC OR project = WEB", "Expecting 'AND'"),
            ("NOT project = SEC", "Expecting 'project'"),
            ("project != SEC", "character '!'"),
            ("project ~ SEC", "character '~'"),
            ("project in SEC", "Expecting '('"),
            ("project in (SEC", "Expecting ',' or ')'"),
            ("project in ()", "Expecting a value"),
            ("project = ", "Expecting a value"),
            ("project = SEC AND", "Expecting 'project'"),
            ("labels = and", "Expecting a value"),
            ("labels is EMPTY", "Expecting '=' or 'in'"),
            ("labels = \"x", "not been completed"),
            ("project = SEC ORDER created", "Expecting 'BY'"),
            ("project = SEC ORDER BY key", "Expecting 'created'"),
            ("project = SEC labels = x", "Expecting 'AND'"),
            ("project = currentProject()", "Expecting 'AND'"),
        ] {
            let refusal = parse(jql).unwrap_err();
            assert!(refusal.contains(reason), "{jql}: {refusal}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in "[a-z\"'\\\\(),= ]{0,40}") {
            let _ = parse(&text);
        }
    }
}
