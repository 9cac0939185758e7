//! One request to Jira as data: what a live run sends is what a dry run prints.

use std::fmt;

use reqwest::Method;
use serde::Serialize;
use serde_json::Value;
use url::Url;

use super::wire::{NewComment, NewIssue, SearchRequest, Stamp};
use super::{PROPERTY, label};
use crate::triage::Fingerprint;

/// The fields that are read of an issue, no more.
const ISSUE_FIELDS: [&str; 4] = ["status", "resolution", "labels", "created"];

/// One request to Jira.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// GET, POST or PUT.
    pub method: Method,
    /// The path below the base URL, unescaped.
    pub path: Vec<String>,
    /// The query, unescaped.
    pub query: Vec<(&'static str, String)>,
    /// The body, sent as JSON.
    pub body: Option<Value>,
    /// It changes something in Jira.
    pub mutates: bool,
}

impl Call {
    fn new(method: Method, path: &[&str]) -> Self {
        let path = ["rest", "api", "3"].iter().chain(path).map(|&part| part.to_owned());
        Self {
            mutates: method != Method::GET,
            method,
            path: path.collect(),
            query: Vec::new(),
            body: None,
        }
    }

    fn with_body(mut self, body: &impl Serialize) -> Self {
        // The types in `wire` have string keys only, so that this cannot fail.
        self.body = Some(serde_json::to_value(body).unwrap_or_default());
        self
    }

    /// Who are we?
    pub fn myself() -> Self {
        Self::new(Method::GET, &["myself"])
    }

    /// Creates an issue.
    pub fn create_issue(issue: &NewIssue) -> Self {
        Self::new(Method::POST, &["issue"]).with_body(issue)
    }

    /// Reads an issue by id or key.
    pub fn issue(id: &str) -> Self {
        let mut call = Self::new(Method::GET, &["issue", id]);
        call.query = vec![
            ("fields", ISSUE_FIELDS.join(",")),
            ("properties", PROPERTY.to_owned()),
            ("updateHistory", "false".to_owned()),
        ];
        call
    }

    /// Reads a page of a search.
    pub fn search(request: &SearchRequest) -> Self {
        Self {
            mutates: false,
            ..Self::new(Method::POST, &["search", "jql"]).with_body(request)
        }
    }

    /// Sets our entity property.
    pub fn set_stamp(id: &str, stamp: &Stamp) -> Self {
        Self::new(Method::PUT, &["issue", id, "properties", PROPERTY]).with_body(stamp)
    }

    /// Reads our entity property.
    pub fn stamp(id: &str) -> Self {
        Self::new(Method::GET, &["issue", id, "properties", PROPERTY])
    }

    /// Adds a comment.
    pub fn add_comment(id: &str, comment: &NewComment) -> Self {
        Self::new(Method::POST, &["issue", id, "comment"]).with_body(comment)
    }

    /// The whole address.
    pub fn url(&self, base: &Url) -> Url {
        let mut url = base.clone();
        url.set_query(None);
        url.set_fragment(None);
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(&self.path);
        }
        if !self.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.query);
        }
        url
    }

    /// Method and path, for messages.
    pub fn name(&self) -> String {
        format!("{} /{}", self.method, self.path.join("/"))
    }
}

impl fmt::Display for Call {
    /// Method, path and query on one line, the body as indented JSON below.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())?;
        for (index, (name, value)) in self.query.iter().enumerate() {
            write!(f, "{}{name}={value}", if index == 0 { '?' } else { '&' })?;
        }
        match &self.body {
            Some(body) => write!(f, "\n{body:#}"),
            None => Ok(()),
        }
    }
}

impl SearchRequest {
    /// The search for the ticket of a finding in some projects: by its label, whatever its status.
    pub fn for_ticket(projects: &[String], fingerprint: &Fingerprint, generation: u32) -> Self {
        let projects: Vec<String> = projects.iter().map(|project| quote(project)).collect();
        Self {
            jql: format!(
                "project in ({}) AND labels = {} ORDER BY created ASC",
                projects.join(", "),
                quote(&label(fingerprint, generation))
            ),
            fields: ISSUE_FIELDS.iter().map(|&field| field.to_owned()).collect(),
            properties: vec![PROPERTY.to_owned()],
            max_results: 50,
            next_page_token: None,
        }
    }
}

fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_below_the_base_and_escaped() {
        for (base, expected) in [
            ("https://x.test", "https://x.test/rest/api/3/issue/A%2F..%3Fb"),
            (
                "https://x.test/ex/jira/7/",
                "https://x.test/ex/jira/7/rest/api/3/issue/A%2F..%3Fb",
            ),
        ] {
            let mut call = Call::issue("A/..?b");
            call.query.clear();
            assert_eq!(call.url(&Url::parse(base).unwrap()).as_str(), expected);
        }
    }

    #[test]
    fn a_query_quotes_what_it_is_given() {
        let request = SearchRequest::for_ticket(
            &["SEC".to_owned(), "a\"b\\".to_owned()],
            &Fingerprint("f0".to_owned()),
            1,
        );
        assert_eq!(
            request.jql,
            r#"project in ("SEC", "a\"b\\") AND labels = "phantom-f0-g1" ORDER BY created ASC"#
        );
    }

    #[test]
    fn what_changes_something_is_known() {
        assert!(!Call::myself().mutates);
        assert!(!Call::search(&SearchRequest::for_ticket(&[], &Fingerprint(String::new()), 1)).mutates);
        let stamp = Stamp {
            fingerprint: Fingerprint("f0".to_owned()),
            generation: 1,
        };
        assert!(Call::set_stamp("1", &stamp).mutates);
    }
}
