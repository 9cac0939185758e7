//! What a create must and may say, and how an issue is shown.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::document::{is_document, text_length};
use super::options::SandboxOptions;
use super::state::{Kept, SandboxIssue};

const MAX_SUMMARY: usize = 255;
const MAX_TEXT: usize = 32_767;
const MAX_PROPERTY: usize = 32_768;

/// The body of a create.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateBody {
    fields: Map<String, Value>,
    #[serde(default)]
    properties: Vec<PropertyBody>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PropertyBody {
    key: String,
    value: Value,
}

/// Why Jira would refuse: about the whole, and by field.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Refusal {
    pub messages: Vec<String>,
    pub errors: BTreeMap<String, String>,
}

impl Refusal {
    pub fn message(text: impl Into<String>) -> Self {
        Self {
            messages: vec![text.into()],
            errors: BTreeMap::new(),
        }
    }

    fn field(&mut self, id: &str, text: impl Into<String>) {
        self.errors.entry(id.to_owned()).or_insert_with(|| text.into());
    }
}

/// Makes the issue that a create asks for, or says all that is wrong with it.
pub(super) fn create(
    options: &SandboxOptions,
    kept: &mut Kept,
    body: CreateBody,
    now: Timestamp,
) -> Result<SandboxIssue, Refusal> {
    let mut refusal = Refusal::default();
    let mut fields = body.fields;
    for id in &options.required_fields {
        if fields.get(id).is_none_or(is_blank) {
            refusal.field(id, format!("{id} is required."));
        }
    }
    let project = named(fields.remove("project"), "key", &options.projects);
    if project.is_none() {
        refusal.field("project", "Specify a valid project ID or key");
    }
    let issue_type = named(fields.remove("issuetype"), "name", &options.issue_types);
    if issue_type.is_none() {
        refusal.field("issuetype", "Specify a valid issue type");
    }
    let priority = match fields.remove("priority") {
        None => Some("Medium".to_owned()),
        given => named(given, "name", &options.priorities),
    };
    if priority.is_none() {
        refusal.field("priority", "Specify a valid 'id' or 'name' for Priority");
    }
    let summary = summary(fields.remove("summary").as_ref(), &mut refusal);
    let description = fields.remove("description").unwrap_or(Value::Null);
    if let Some(problem) = document_problem(&description) {
        refusal.field("description", problem);
    }
    let labels = labels(fields.remove("labels").as_ref(), &mut refusal);
    for id in fields.keys().filter(|id| !known(options, id)) {
        refusal.field(
            id,
            format!("Field '{id}' cannot be set. It is not on the appropriate screen, or unknown."),
        );
    }
    for property in &body.properties {
        if let Err(problem) = property_problem(&property.key, &property.value) {
            refusal.messages.push(problem);
        }
    }
    if refusal != Refusal::default() {
        return Err(refusal);
    }
    let project = project.unwrap_or_default();
    Ok(SandboxIssue {
        id: kept.next_id(),
        key: kept.next_key(&project),
        project,
        issue_type: issue_type.unwrap_or_default(),
        summary,
        description,
        labels,
        priority: priority.unwrap_or_default(),
        done: false,
        more: fields,
        properties: body.properties.into_iter().map(|one| (one.key, one.value)).collect(),
        comments: Vec::new(),
        created: now,
        updated: now,
    })
}

fn known(options: &SandboxOptions, id: &str) -> bool {
    options
        .custom_fields
        .iter()
        .chain(&options.required_fields)
        .any(|known| known == id)
}

fn is_blank(value: &Value) -> bool {
    value.is_null() || value.as_str().is_some_and(|text| text.trim().is_empty())
}

/// The name in `{"name": …}`, if it is one of those allowed and nothing stands beside it.
fn named(value: Option<Value>, by: &str, allowed: &[String]) -> Option<String> {
    let value = value?;
    let map = value.as_object().filter(|map| map.len() == 1)?;
    let name = map.get(by)?.as_str()?;
    allowed.iter().find(|one| *one == name).cloned()
}

fn summary(value: Option<&Value>, refusal: &mut Refusal) -> String {
    let summary = value.and_then(Value::as_str).unwrap_or_default();
    if summary.trim().is_empty() {
        refusal.field("summary", "You must specify a summary of the issue.");
    } else if summary.contains(['\n', '\r']) {
        refusal.field(
            "summary",
            "The summary is invalid because it contains newline characters.",
        );
    } else if summary.encode_utf16().count() > MAX_SUMMARY {
        refusal.field("summary", "Summary must be less than 255 characters.");
    }
    summary.to_owned()
}

fn labels(value: Option<&Value>, refusal: &mut Refusal) -> Vec<String> {
    let Some(value) = value else { return Vec::new() };
    let labels: Option<Vec<String>> = value
        .as_array()
        .and_then(|list| list.iter().map(|one| one.as_str().map(str::to_owned)).collect());
    let Some(labels) = labels else {
        refusal.field("labels", "data was not an array");
        return Vec::new();
    };
    for label in &labels {
        if label.contains(char::is_whitespace) || label.is_empty() {
            refusal.field(
                "labels",
                format!("The label '{label}' contains spaces which is invalid."),
            );
        } else if label.encode_utf16().count() > MAX_SUMMARY {
            refusal.field(
                "labels",
                format!("The label '{label}' exceeds the maximum length for a single label of 255 characters."),
            );
        }
    }
    labels
}

/// What is wrong with a description or comment.
pub(super) fn document_problem(value: &Value) -> Option<String> {
    if value.is_null() {
        return None;
    }
    if !is_document(value) {
        return Some("Operation value must be an Atlassian Document (see the Atlassian Document Format)".to_owned());
    }
    (text_length(value) > MAX_TEXT)
        .then(|| "The entered text is too long. It exceeds the allowed limit of 32,767 characters.".to_owned())
}

/// What is wrong with an entity property.
pub(super) fn property_problem(key: &str, value: &Value) -> Result<(), String> {
    if key.is_empty() || key.encode_utf16().count() > 255 {
        return Err("The property key has to be between 1 and 255 characters.".to_owned());
    }
    if value.is_null() || value.to_string().len() > MAX_PROPERTY {
        return Err("The property value has to be a non-empty JSON value of at most 32768 bytes.".to_owned());
    }
    Ok(())
}

/// An issue as the API shows it.
pub(super) fn show(base: &str, issue: &SandboxIssue, fields: &[String], properties: &[String]) -> Value {
    let mut shown = json!({ "id": issue.id.to_string() });
    let only_id = fields.iter().all(|field| field == "id");
    if !only_id {
        shown["key"] = json!(issue.key);
        shown["self"] = json!(format!("{base}/rest/api/3/issue/{}", issue.id));
        shown["fields"] = Value::Object(
            all_fields(base, issue)
                .into_iter()
                .filter(|(id, _)| wanted(fields, id))
                .collect(),
        );
    }
    let chosen: Map<String, Value> = issue
        .properties
        .iter()
        .filter(|(key, _)| properties.iter().any(|wanted| wanted == *key || wanted == "*all"))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    if !properties.is_empty() {
        shown["properties"] = Value::Object(chosen);
    }
    shown
}

fn wanted(fields: &[String], id: &str) -> bool {
    let excluded = fields.iter().any(|field| field.strip_prefix('-') == Some(id));
    let all = |field: &String| field == "*all" || field == "*navigable";
    !excluded && fields.iter().any(|field| all(field) || field == id)
}

fn all_fields(base: &str, issue: &SandboxIssue) -> Map<String, Value> {
    let mut fields = issue.more.clone();
    let mut set = |id: &str, value: Value| {
        fields.insert(id.to_owned(), value);
    };
    set("summary", json!(issue.summary));
    set("description", issue.description.clone());
    set("labels", json!(issue.labels));
    set("project", json!({ "key": issue.project, "name": issue.project }));
    set("issuetype", json!({ "name": issue.issue_type, "subtask": false }));
    set("priority", json!({ "name": issue.priority }));
    set("status", status(base, issue.done));
    set(
        "resolution",
        if issue.done {
            json!({ "id": "10000", "name": "Done" })
        } else {
            Value::Null
        },
    );
    set("created", json!(time(issue.created)));
    set("updated", json!(time(issue.updated)));
    fields
}

/// A status as the API shows it.
pub(super) fn status(base: &str, done: bool) -> Value {
    let (id, name, category, key, colour) = if done {
        ("10002", "Done", 3, "done", "green")
    } else {
        ("10000", "To Do", 2, "new", "blue-gray")
    };
    json!({
        "self": format!("{base}/rest/api/3/status/{id}"),
        "id": id,
        "name": name,
        "statusCategory": {
            "self": format!("{base}/rest/api/3/statuscategory/{category}"),
            "id": category, "key": key, "name": name, "colorName": colour,
        },
    })
}

/// A time as Jira writes it.
pub(super) fn time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%3f+0000").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(fields: &Value) -> BTreeMap<String, String> {
        let options = SandboxOptions {
            required_fields: vec!["customfield_1".to_owned()],
            ..SandboxOptions::default()
        };
        let body = serde_json::from_value(json!({ "fields": fields })).unwrap();
        match create(&options, &mut Kept::default(), body, Timestamp::UNIX_EPOCH) {
            Ok(_) => BTreeMap::new(),
            Err(refusal) => refusal.errors,
        }
    }

    #[test]
    fn each_field_is_looked_at() {
        let good = json!({
            "project": {"key": "SEC"}, "issuetype": {"name": "Bug"}, "summary": "s", "labels": ["a"],
            "customfield_1": "x",
        });
        assert_eq!(refused(&good), BTreeMap::new());
        for (id, value) in [
            ("project", json!({"key": "NO"})),
            ("project", json!({"id": "1"})),
            ("issuetype", json!({"name": "Epic"})),
            ("issuetype", json!({"name": "Bug", "colour": "red"})),
            ("priority", json!({"name": "Urgent"})),
            ("summary", json!("")),
            ("summary", json!("a\nb")),
            ("summary", json!("x".repeat(256))),
            ("description", json!("plain text")),
            ("labels", json!(["a b"])),
            ("labels", json!("a")),
            ("customfield_1", Value::Null),
            ("customfield_2", json!("x")),
        ] {
            let mut fields = good.clone();
            fields[id] = value.clone();
            let errors = refused(&fields);
            assert_eq!(errors.keys().collect::<Vec<_>>(), [id], "{value}: {errors:?}");
        }
    }

    #[test]
    fn unknown_keys_beside_the_fields_are_refused() {
        for body in [
            json!({"fields": {}, "update": {}}),
            json!({}),
            json!({"fields": {}, "properties": [{"key": "k"}]}),
        ] {
            assert!(serde_json::from_value::<CreateBody>(body).is_err());
        }
    }
}
