//! The API: one function a request, over the state, without I/O. Here: issues, their properties, and the search.

use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::fields::{self, CreateBody, EditBody, Refusal, property_problem};
use super::jql::{self, Field, OrderBy};
use super::options::{SandboxAccount, SandboxOptions};
use super::state::{SandboxIssue, SandboxItem, State};

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
    /// Who asks.
    pub who: SandboxAccount,
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

    pub fn changed(status: StatusCode, body: Option<Value>) -> Self {
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

    pub fn refused(status: StatusCode, refusal: &Refusal) -> Self {
        Self {
            status,
            ..Self::ok(json!({ "errorMessages": refusal.messages, "errors": refusal.errors }))
        }
    }

    pub fn bad(message: &str) -> Self {
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
pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Answer> {
    serde_json::from_slice(body).map_err(|_| Answer::bad(INVALID))
}

/// Reads a query, strictly: what is not supported is refused.
pub(super) fn query<T: DeserializeOwned>(query: &str) -> Result<T, Answer> {
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

pub(super) type Handled = Result<Answer, Answer>;

/// Which part of a list is wanted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct PageQuery {
    #[serde(default)]
    start_at: usize,
    max_results: Option<usize>,
}

/// A part of a list, as the API shows it.
pub(super) fn page_of(page: &PageQuery, name: &str, all: &[Value]) -> Value {
    let size = page.max_results.unwrap_or(50).clamp(1, 5_000);
    let part: Vec<&Value> = all.iter().skip(page.start_at).take(size).collect();
    let last = page.start_at + part.len() >= all.len();
    let mut shown = json!({ "startAt": page.start_at, "maxResults": size, "total": all.len() });
    if name == "values" {
        shown["isLast"] = json!(last);
    }
    shown[name] = json!(part);
    shown
}

impl Desk<'_> {
    pub fn issue(&self, id: &str) -> Result<&SandboxIssue, Answer> {
        let found = self.state.kept.find(id);
        found
            .and_then(|index| self.state.kept.issues.get(index))
            .ok_or_else(Answer::no_issue)
    }

    pub fn issue_mut(&mut self, id: &str) -> Result<&mut SandboxIssue, Answer> {
        let found = self.state.kept.find(id);
        found
            .and_then(|index| self.state.kept.issues.get_mut(index))
            .ok_or_else(Answer::no_issue)
    }

    /// Refuses what the account may not do.
    pub fn need(&self, permission: &str) -> Result<(), Answer> {
        if self.may(permission) {
            return Ok(());
        }
        let message = format!("You do not have the permission {permission}.");
        Err(Answer::error(StatusCode::FORBIDDEN, &message))
    }

    pub fn may(&self, permission: &str) -> bool {
        self.who.id != self.options.scanner().id || !self.options.denied.iter().any(|denied| denied == permission)
    }

    pub fn create(&mut self, body: &[u8]) -> Handled {
        self.need("CREATE_ISSUES")?;
        let body: CreateBody = parse(body)?;
        if !self.is_cloud() && body.has_properties() {
            return Err(Answer::bad(INVALID));
        }
        let issue = fields::create(self.options, &mut self.state.kept, body, self.now)
            .map_err(|refusal| Answer::refused(StatusCode::BAD_REQUEST, &refusal))?;
        let created = json!({
            "id": issue.id.to_string(),
            "key": issue.key,
            "self": self.link(&format!("issue/{}", issue.id)),
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
            #[serde(default)]
            expand: Option<String>,
            #[serde(default, rename = "updateHistory")]
            _update_history: Option<bool>,
        }
        let params: Params = query(text)?;
        let fields = list(params.fields.as_deref().unwrap_or("*all"));
        let properties = list(params.properties.as_deref().unwrap_or_default());
        let mut shown = self.show(self.issue(id)?, &fields, &properties);
        match params.expand.as_deref() {
            None => {}
            Some("changelog") => {
                // With the issue, the newest change comes first.
                let mut changes = self.changes(id)?;
                changes.reverse();
                shown["changelog"] = json!({
                    "startAt": 0, "maxResults": changes.len(), "total": changes.len(), "histories": changes,
                });
            }
            Some(_) => return Err(Answer::bad("This sandbox expands `changelog` only.")),
        }
        Ok(Answer::ok(shown))
    }

    pub fn edit(&mut self, id: &str, text: &str, body: &[u8]) -> Handled {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields, rename_all = "camelCase")]
        struct Params {
            #[serde(default, rename = "notifyUsers")]
            _notify_users: Option<bool>,
        }
        let Params { .. } = query(text)?;
        self.need("EDIT_ISSUES")?;
        let body: EditBody = parse(body)?;
        let options = self.options;
        let items = fields::edit(options, self.issue_mut(id)?, body)
            .map_err(|refusal| Answer::refused(StatusCode::BAD_REQUEST, &refusal))?;
        self.record(id, items)?;
        Ok(Answer::changed(StatusCode::NO_CONTENT, None))
    }

    pub fn delete(&mut self, id: &str) -> Handled {
        self.need("DELETE_ISSUES")?;
        self.issue(id)?;
        if let Some(index) = self.state.kept.find(id) {
            self.state.kept.remove(index);
        }
        Ok(Answer::changed(StatusCode::NO_CONTENT, None))
    }

    /// Gives an issue a new key in another project. No API of Jira does that; people do it in its pages.
    pub fn relocate(&mut self, id: &str, project: &str) -> Handled {
        if !self.options.projects.iter().any(|one| one == project) {
            return Err(Answer::bad("There is no such project."));
        }
        let before = self.issue(id)?.key.clone();
        let key = self.state.kept.next_key(project);
        let issue = self.issue_mut(id)?;
        let number = issue.id;
        key.clone_into(&mut issue.key);
        project.clone_into(&mut issue.project);
        self.state.kept.old_keys.insert(before.clone(), number);
        let item = SandboxItem {
            field: "Key".to_owned(),
            from: (None, Some(before)),
            to: (None, Some(key.clone())),
        };
        self.record(&key, vec![item])?;
        Ok(Answer::changed(StatusCode::OK, Some(json!({ "key": key }))))
    }

    /// The search of Cloud: pages by token.
    pub fn search(&mut self, body: &[u8]) -> Handled {
        let body: SearchBody = parse(body)?;
        let query = self.searchable(&body.jql)?;
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
            .map(|issue| self.show(issue, &body.fields, &body.properties))
            .collect();
        let end = offset + page.len();
        let mut answer = json!({ "issues": page, "isLast": end >= found.len() });
        if end < found.len() {
            answer["nextPageToken"] = json!(token_of(end, &body.jql));
        }
        Ok(Answer::ok(answer))
    }

    /// The search of Data Center: pages by offset, without properties.
    pub fn search_by_offset(&mut self, body: &[u8]) -> Handled {
        let body: OffsetBody = parse(body)?;
        let query = self.searchable(&body.jql)?;
        let size = body.max_results.unwrap_or(50).clamp(1, 1_000);
        let found = self.found(&query);
        let page: Vec<Value> = found
            .iter()
            .skip(body.start_at)
            .take(size)
            .map(|issue| self.show(issue, &body.fields, &[]))
            .collect();
        Ok(Answer::ok(json!({
            "startAt": body.start_at, "maxResults": size, "total": found.len(), "issues": page,
        })))
    }

    fn searchable(&self, jql: &str) -> Result<jql::Query, Answer> {
        let query = jql::parse(jql).map_err(|refusal| Answer::bad(&refusal))?;
        for clause in query.clauses.iter().filter(|clause| clause.field == Field::Project) {
            for value in &clause.values {
                if !self.options.projects.contains(value) {
                    let message = format!("The value '{value}' does not exist for the field 'project'.");
                    return Err(Answer::bad(&message));
                }
            }
        }
        Ok(query)
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
        self.need("EDIT_ISSUES")?;
        let now = self.now;
        let issue = self.issue_mut(id)?;
        issue.updated = now;
        let status = match issue.properties.insert(key.to_owned(), value) {
            None => StatusCode::CREATED,
            Some(_) => StatusCode::OK,
        };
        Ok(Answer::changed(status, None))
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

/// The body of a search on Data Center.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct OffsetBody {
    jql: String,
    #[serde(default)]
    fields: Vec<String>,
    #[serde(default)]
    start_at: usize,
    max_results: Option<usize>,
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
