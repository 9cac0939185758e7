//! What a create must and may say, and what a change may.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::document::{is_document, text_length};
use super::options::SandboxOptions;
use super::state::{Kept, SandboxIssue, SandboxItem, SandboxStatus};
use crate::config::Deployment;

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

impl CreateBody {
    pub fn has_properties(&self) -> bool {
        !self.properties.is_empty()
    }
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

    pub fn field(&mut self, id: &str, text: impl Into<String>) {
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
    let project = named(fields.remove("project"), "key", &options.projects);
    for id in options.required(project.as_deref().unwrap_or_default()) {
        if fields.get(id).is_none_or(is_blank) {
            refusal.field(id, format!("{id} is required."));
        }
    }
    if project.is_none() {
        refusal.field("project", "Specify a valid project ID or key");
    }
    let issue_type = named(fields.remove("issuetype"), "name", &options.issue_types);
    if issue_type.is_none() {
        refusal.field("issuetype", "Specify a valid issue type");
    }
    let priority = match fields.remove("priority") {
        None => "Medium".to_owned(),
        given => priority(given, options, &mut refusal),
    };
    let summary = summary(fields.remove("summary").as_ref(), &mut refusal);
    let description = fields.remove("description").unwrap_or(Value::Null);
    if let Some(problem) = text_problem(&description, options.deployment) {
        refusal.field("description", problem);
    }
    let labels = labels(fields.remove("labels").as_ref(), &mut refusal);
    for (id, value) in &fields {
        if let Some(problem) = field_problem(options, id, value) {
            refusal.field(id, problem);
        }
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
        priority,
        status: SandboxStatus::ToDo,
        resolution: None,
        resolved: None,
        more: fields,
        properties: body.properties.into_iter().map(|one| (one.key, one.value)).collect(),
        comments: Vec::new(),
        attachments: Vec::new(),
        remote_links: Vec::new(),
        history: Vec::new(),
        created: now,
        updated: now,
    })
}

/// What is wrong with a field that not every issue has.
fn field_problem(options: &SandboxOptions, id: &str, value: &Value) -> Option<String> {
    let names = |value: &Value, key: &str| {
        let alone = value.as_object().filter(|map| map.len() == 1);
        alone.and_then(|map| map.get(key)).is_some_and(Value::is_string)
    };
    let fits = match id {
        "components" => value
            .as_array()
            .is_some_and(|list| list.iter().all(|one| names(one, "name"))),
        "security" => names(value, "name"),
        "parent" => names(value, "key"),
        "assignee" => {
            let by = match options.deployment {
                Deployment::Cloud => "accountId",
                Deployment::DataCenter => "name",
            };
            let known = options.people.iter().any(|person| match options.deployment {
                Deployment::Cloud => value[by] == person.id.as_str(),
                Deployment::DataCenter => value[by] == person.user.as_str(),
            });
            if !(names(value, by) && known) {
                return Some("The user cannot be assigned, or does not exist.".to_owned());
            }
            true
        }
        _ => {
            let of = |required: &String| required.rsplit(':').next() == Some(id);
            if options.custom_fields.iter().any(|known| known == id) || options.required_fields.iter().any(of) {
                return None;
            }
            return Some(format!(
                "Field '{id}' cannot be set. It is not on the appropriate screen, or unknown."
            ));
        }
    };
    (!fits).then(|| "data was not of the expected type".to_owned())
}

fn priority(given: Option<Value>, options: &SandboxOptions, refusal: &mut Refusal) -> String {
    named(given, "name", &options.priorities).unwrap_or_else(|| {
        refusal.field("priority", "Specify a valid 'id' or 'name' for Priority");
        String::new()
    })
}

/// The body of an edit.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EditBody {
    #[serde(default)]
    fields: Map<String, Value>,
    #[serde(default)]
    update: UpdateBody,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct UpdateBody {
    #[serde(default)]
    labels: Vec<LabelVerb>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum LabelVerb {
    Add(String),
    Remove(String),
}

/// Makes the changes that an edit asks for, or says all that is wrong with it and changes nothing.
pub(super) fn edit(
    options: &SandboxOptions,
    issue: &mut SandboxIssue,
    body: EditBody,
) -> Result<Vec<SandboxItem>, Refusal> {
    let mut refusal = Refusal::default();
    let mut next = issue.clone();
    if body.fields.contains_key("labels") && !body.update.labels.is_empty() {
        refusal.field("labels", "Field 'labels' cannot appear in both 'fields' and 'update'");
    }
    for (id, value) in body.fields {
        match id.as_str() {
            "summary" => next.summary = summary(Some(&value), &mut refusal),
            "description" => match text_problem(&value, options.deployment) {
                Some(problem) => refusal.field("description", problem),
                None => next.description = value,
            },
            "labels" => next.labels = labels(Some(&value), &mut refusal),
            "priority" => next.priority = priority(Some(value), options, &mut refusal),
            _ => match field_problem(options, &id, &value) {
                Some(problem) => refusal.field(&id, problem),
                None => {
                    next.more.insert(id, value);
                }
            },
        }
    }
    for verb in body.update.labels {
        match verb {
            LabelVerb::Add(label) => {
                labels(Some(&json!([label])), &mut refusal);
                if !next.labels.contains(&label) {
                    next.labels.push(label);
                }
            }
            LabelVerb::Remove(label) => next.labels.retain(|one| *one != label),
        }
    }
    if refusal != Refusal::default() {
        return Err(refusal);
    }
    let items = differences(issue, &next);
    *issue = next;
    Ok(items)
}

fn differences(before: &SandboxIssue, after: &SandboxIssue) -> Vec<SandboxItem> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let pairs = [
        ("summary", before.summary.clone(), after.summary.clone()),
        ("description", text(&before.description), text(&after.description)),
        ("labels", before.labels.join(" "), after.labels.join(" ")),
        ("priority", before.priority.clone(), after.priority.clone()),
    ];
    let changed = pairs.into_iter().filter(|(_, before, after)| before != after);
    changed
        .map(|(field, before, after)| SandboxItem {
            field: field.to_owned(),
            from: (None, Some(before)),
            to: (None, Some(after)),
        })
        .collect()
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
pub(super) fn text_problem(value: &Value, deployment: Deployment) -> Option<String> {
    if value.is_null() {
        return None;
    }
    let too_long = || "The entered text is too long. It exceeds the allowed limit of 32,767 characters.".to_owned();
    if deployment == Deployment::DataCenter {
        return match value.as_str() {
            None => Some("Operation value must be a string".to_owned()),
            Some(text) => (text.encode_utf16().count() > MAX_TEXT).then(too_long),
        };
    }
    if !is_document(value) {
        return Some("Operation value must be an Atlassian Document (see the Atlassian Document Format)".to_owned());
    }
    (text_length(value) > MAX_TEXT).then(too_long)
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
            ("assignee", json!({"name": "ann"})),
            ("assignee", json!({"accountId": "nobody"})),
            ("components", json!(["web"])),
            ("parent", json!("SEC-1")),
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
