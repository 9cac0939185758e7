//! The API: one function a request, over the state, without I/O.

use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::fields::{self, CreateBody, Refusal, document_problem, property_problem, show, time};
use super::jql::{self, Field, OrderBy};
use super::options::SandboxOptions;
use super::state::{SandboxComment, SandboxIssue, State};

/// What is answered.
#[derive(Debug, PartialEq)]
pub(super) struct Answer {
    pub status: StatusCode,
    pub body: Option<Value>,
    /// The connection is closed instead.
    pub dropped: bool,
    /// Something was changed that must be kept.
    pub changed: bool,
}

/// What a request works on.
pub(super) struct Desk<'a> {
    pub options: &'a SandboxOptions,
    pub state: &'a mut State,
    /// Where the sandbox is, without a slash at the end.
    pub base: &'a str,
    pub now: Timestamp,
}

const INVALID: &str = "Invalid request payload. Refer to the REST API documentation and try again.";

impl Answer {
    pub fn ok(body: Value) -> Self {
        Self {
            status: StatusCode::OK,
            body: Some(body),
            dropped: false,
            changed: false,
        }
    }

    fn changed(status: StatusCode, body: Option<Value>) -> Self {
        Self {
            status,
            body,
            dropped: false,
            changed: true,
        }
    }

    /// An error in Jira's shape.
    pub fn error(status: StatusCode, message: &str) -> Self {
        Self::refused(status, &Refusal::message(message))
    }

    fn refused(status: StatusCode, refusal: &Refusal) -> Self {
        Self {
            status,
            ..Self::ok(json!({ "errorMessages": refusal.messages, "errors": refusal.errors }))
        }
    }

    fn bad(message: &str) -> Self {
        Self::error(StatusCode::BAD_REQUEST, message)
    }

    fn no_issue() -> Self {
        Self::error(
            StatusCode::NOT_FOUND,
            "Issue does not exist or you do not have permission to see it.",
        )
    }
}

/// Reads a body, strictly.
fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Answer> {
    serde_json::from_slice(body).map_err(|_| Answer::bad(INVALID))
}

/// Reads a query, strictly: what is not supported is refused.
fn query<T: DeserializeOwned>(query: &str) -> Result<T, Answer> {
    let uri = format!("/?{query}");
    let parsed = uri
        .parse()
        .ok()
        .and_then(|uri| axum::extract::Query::<T>::try_from_uri(&uri).ok());
    parsed
        .map(|query| query.0)
        .ok_or_else(|| Answer::bad("The query has a parameter that this sandbox does not support."))
}

fn list(text: &str) -> Vec<String> {
    text.split(',')
        .map(str::trim)
        .filter(|one| !one.is_empty())
        .map(str::to_owned)
        .collect()
}

type Handled = Result<Answer, Answer>;

impl Desk<'_> {
    fn issue(&mut self, id: &str) -> Result<&mut SandboxIssue, Answer> {
        let found = self.state.kept.find(id);
        found
            .and_then(|index| self.state.kept.issues.get_mut(index))
            .ok_or_else(Answer::no_issue)
    }

    pub fn myself(&self) -> Answer {
        Answer::ok(json!({
            "self": format!("{}/rest/api/3/user?accountId=sandbox", self.base),
            "accountId": "sandbox",
            "accountType": "atlassian",
            "emailAddress": self.options.user,
            "displayName": "Phantom Gang (sandbox)",
            "active": true,
            "timeZone": "Etc/UTC",
        }))
    }

    pub fn create(&mut self, body: &[u8]) -> Handled {
        let body: CreateBody = parse(body)?;
        let issue = fields::create(self.options, &mut self.state.kept, body, self.now)
            .map_err(|refusal| Answer::refused(StatusCode::BAD_REQUEST, &refusal))?;
        let created = json!({
            "id": issue.id.to_string(),
            "key": issue.key,
            "self": format!("{}/rest/api/3/issue/{}", self.base, issue.id),
        });
        self.state.kept.issues.push(issue);
        Ok(Answer {
            dropped: self.state.faults.drops_create(),
            ..Answer::changed(StatusCode::CREATED, Some(created))
        })
    }

    pub fn get(&mut self, id: &str, text: &str) -> Handled {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields, rename_all = "camelCase")]
        struct Params {
            #[serde(default)]
            fields: Option<String>,
            #[serde(default)]
            properties: Option<String>,
            #[serde(default, rename = "updateHistory")]
            _update_history: Option<bool>,
        }
        let params: Params = query(text)?;
        let fields = list(params.fields.as_deref().unwrap_or("*all"));
        let properties = list(params.properties.as_deref().unwrap_or_default());
        let base = self.base;
        let issue = self.issue(id)?;
        Ok(Answer::ok(show(base, issue, &fields, &properties)))
    }

    pub fn search(&mut self, body: &[u8]) -> Handled {
        let body: SearchBody = parse(body)?;
        let query = jql::parse(&body.jql).map_err(|refusal| Answer::bad(&refusal))?;
        for clause in query.clauses.iter().filter(|clause| clause.field == Field::Project) {
            for value in &clause.values {
                if !self.options.projects.contains(value) {
                    let message = format!("The value '{value}' does not exist for the field 'project'.");
                    return Err(Answer::bad(&message));
                }
            }
        }
        let offset = match &body.next_page_token {
            None => 0,
            Some(token) => offset_of(token, &body.jql).ok_or_else(|| Answer::bad("The nextPageToken is invalid."))?,
        };
        let size = body.max_results.unwrap_or(50).clamp(1, 100);
        let found = self.found(&query);
        let page: Vec<Value> = found
            .iter()
            .skip(offset)
            .take(size)
            .map(|issue| show(self.base, issue, &body.fields, &body.properties))
            .collect();
        let end = offset + page.len();
        let mut answer = json!({ "issues": page, "isLast": end >= found.len() });
        if end < found.len() {
            answer["nextPageToken"] = json!(token_of(end, &body.jql));
        }
        Ok(Answer::ok(answer))
    }

    fn found(&self, query: &jql::Query) -> Vec<&SandboxIssue> {
        let lag = SignedDuration::try_from(self.state.faults.search_lag).unwrap_or(SignedDuration::MAX);
        let holds = |issue: &SandboxIssue| {
            self.now.duration_since(issue.created) >= lag
                && query.clauses.iter().all(|clause| match clause.field {
                    Field::Project => clause.values.contains(&issue.project),
                    Field::Labels => clause.values.iter().any(|value| issue.labels.contains(value)),
                })
        };
        let mut found: Vec<&SandboxIssue> = self.state.kept.issues.iter().filter(|issue| holds(issue)).collect();
        // The last order given decides least, so it sorts first.
        for order in query.order.iter().rev() {
            found.sort_by_key(|issue| match order.by {
                OrderBy::Created => issue.created,
                OrderBy::Updated => issue.updated,
            });
            if order.descending {
                found.reverse();
            }
        }
        found
    }

    pub fn get_property(&mut self, id: &str, key: &str) -> Handled {
        let issue = self.issue(id)?;
        match issue.properties.get(key) {
            Some(value) => Ok(Answer::ok(json!({ "key": key, "value": value }))),
            None => Err(Answer::error(
                StatusCode::NOT_FOUND,
                &format!("The property with key '{key}' does not exist."),
            )),
        }
    }

    pub fn set_property(&mut self, id: &str, key: &str, body: &[u8]) -> Handled {
        let value: Value = parse(body)?;
        property_problem(key, &value).map_err(|problem| Answer::bad(&problem))?;
        let now = self.now;
        let issue = self.issue(id)?;
        issue.updated = now;
        let status = match issue.properties.insert(key.to_owned(), value) {
            None => StatusCode::CREATED,
            Some(_) => StatusCode::OK,
        };
        Ok(Answer::changed(status, None))
    }

    pub fn add_comment(&mut self, id: &str, body: &[u8]) -> Handled {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Body {
            body: Value,
        }
        let Body { body } = parse(body)?;
        let problem = if body.is_null() {
            Some("Comment body can not be empty!".to_owned())
        } else {
            document_problem(&body)
        };
        if let Some(problem) = problem {
            let mut refusal = Refusal::default();
            refusal.errors.insert("comment".to_owned(), problem);
            return Err(Answer::refused(StatusCode::BAD_REQUEST, &refusal));
        }
        let (now, base) = (self.now, self.base);
        self.issue(id)?;
        let comment = SandboxComment {
            id: self.state.kept.next_id(),
            body,
            created: now,
        };
        let issue = self.issue(id)?;
        issue.updated = now;
        let shown = show_comment(base, issue, &comment);
        issue.comments.push(comment);
        Ok(Answer::changed(StatusCode::CREATED, Some(shown)))
    }

    pub fn comments(&mut self, id: &str, text: &str) -> Handled {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields, rename_all = "camelCase")]
        struct Params {
            #[serde(default)]
            start_at: usize,
            max_results: Option<usize>,
        }
        let params: Params = query(text)?;
        let size = params.max_results.unwrap_or(50).clamp(1, 5_000);
        let base = self.base;
        let issue = self.issue(id)?;
        let page: Vec<Value> = issue
            .comments
            .iter()
            .skip(params.start_at)
            .take(size)
            .map(|comment| show_comment(base, issue, comment))
            .collect();
        Ok(Answer::ok(json!({
            "startAt": params.start_at, "maxResults": size, "total": issue.comments.len(), "comments": page,
        })))
    }

    pub fn transitions(&mut self, id: &str) -> Handled {
        let base = self.base;
        self.issue(id)?;
        let transition = |id: &str, name: &str, done: bool| {
            json!({
                "id": id, "name": name, "to": fields::status(base, done), "hasScreen": false, "isGlobal": true,
                "isInitial": false, "isConditional": false, "isAvailable": true, "isLooped": false,
            })
        };
        Ok(Answer::ok(json!({
            "expand": "transitions",
            "transitions": [transition("11", "To Do", false), transition("31", "Done", true)],
        })))
    }

    pub fn transition(&mut self, id: &str, body: &[u8]) -> Handled {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Body {
            transition: Transition,
        }
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Transition {
            id: String,
        }
        let body: Body = parse(body)?;
        let now = self.now;
        let issue = self.issue(id)?;
        issue.done = match body.transition.id.as_str() {
            "11" => false,
            "31" => true,
            other => {
                let message = format!("The transition '{other}' is not valid for this issue.");
                return Err(Answer::bad(&message));
            }
        };
        issue.updated = now;
        Ok(Answer::changed(StatusCode::NO_CONTENT, None))
    }
}

/// The body of a search.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct SearchBody {
    jql: String,
    #[serde(default)]
    fields: Vec<String>,
    #[serde(default)]
    properties: Vec<String>,
    max_results: Option<usize>,
    next_page_token: Option<String>,
}

fn show_comment(base: &str, issue: &SandboxIssue, comment: &SandboxComment) -> Value {
    let author = json!({ "accountId": "sandbox", "displayName": "Phantom Gang (sandbox)", "active": true });
    json!({
        "self": format!("{base}/rest/api/3/issue/{}/comment/{}", issue.id, comment.id),
        "id": comment.id.to_string(),
        "author": author.clone(),
        "updateAuthor": author,
        "body": comment.body,
        "created": time(comment.created),
        "updated": time(comment.created),
        "jsdPublic": true,
    })
}

/// A token holds for the query it was given for only.
fn token_of(offset: usize, jql: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("{offset}:{jql}"))
}

fn offset_of(token: &str, jql: &str) -> Option<usize> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
    let (offset, of) = text.split_once(':')?;
    (of == jql).then(|| offset.parse().ok())?
}
