//! How issues, users and statuses are shown, in either dialect.

use serde_json::{Map, Value, json};

use super::api::Desk;
use super::fields::time;
use super::state::{SandboxIssue, SandboxStatus};
use crate::config::Deployment;

impl Desk<'_> {
    /// The address of something in the API.
    pub fn link(&self, path: &str) -> String {
        let version = match self.options.deployment {
            Deployment::Cloud => 3,
            Deployment::DataCenter => 2,
        };
        format!("{}/rest/api/{version}/{path}", self.base)
    }

    pub fn is_cloud(&self) -> bool {
        self.options.deployment == Deployment::Cloud
    }

    /// A user by account id. One that is gone has a name that says so.
    pub fn user(&self, id: &str) -> Value {
        let account = self.options.account(id);
        let name = account.as_ref().map_or("Former user", |one| one.name.as_str());
        let login = account.as_ref().map_or(id, |one| one.user.as_str());
        if self.is_cloud() {
            json!({
                "self": self.link(&format!("user?accountId={id}")),
                "accountId": id, "accountType": "atlassian", "displayName": name, "active": true,
            })
        } else {
            json!({
                "self": self.link(&format!("user?username={login}")),
                "name": login, "key": format!("JIRAUSER-{id}"), "displayName": name, "active": true,
            })
        }
    }

    /// An issue with the fields and properties that are wanted.
    pub fn show(&self, issue: &SandboxIssue, fields: &[String], properties: &[String]) -> Value {
        let mut shown = json!({ "id": issue.id.to_string() });
        let only_id = fields.iter().all(|field| field == "id");
        if !only_id || !self.is_cloud() {
            shown["key"] = json!(issue.key);
            shown["self"] = json!(self.link(&format!("issue/{}", issue.id)));
            shown["fields"] = Value::Object(
                self.all_fields(issue)
                    .into_iter()
                    .filter(|(id, _)| wanted(fields, id))
                    .collect(),
            );
        }
        if properties.is_empty() {
            return shown;
        }
        let chosen: Map<String, Value> = issue
            .properties
            .iter()
            .filter(|(key, _)| properties.iter().any(|wanted| wanted == *key || wanted == "*all"))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        shown["properties"] = if self.is_cloud() {
            Value::Object(chosen)
        } else {
            json!({ "properties": chosen })
        };
        shown
    }

    fn all_fields(&self, issue: &SandboxIssue) -> Map<String, Value> {
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
        set("status", self.status(issue.status));
        let resolution = issue.resolution.as_ref();
        set(
            "resolution",
            resolution.map_or(Value::Null, |name| self.resolution(name)),
        );
        set(
            "resolutiondate",
            issue.resolved.map_or(Value::Null, |when| json!(time(when))),
        );
        set("created", json!(time(issue.created)));
        set("updated", json!(time(issue.updated)));
        let attachments: Vec<Value> = issue.attachments.iter().map(|one| self.attachment(one)).collect();
        set("attachment", json!(attachments));
        set("issuelinks", json!(self.issue_links(issue)));
        fields
    }

    pub fn attachment(&self, one: &super::state::SandboxAttachment) -> Value {
        json!({
            "self": self.link(&format!("attachment/{}", one.id)),
            "id": one.id.to_string(), "filename": one.name, "mimeType": one.mime, "size": one.size,
            "author": self.user(&one.author), "created": time(one.created),
            "content": self.link(&format!("attachment/content/{}", one.id)),
        })
    }

    fn issue_links(&self, issue: &SandboxIssue) -> Vec<Value> {
        let ends = self.state.kept.links.iter().filter_map(|link| {
            let (end, other) = match issue.id {
                id if id == link.from => ("outwardIssue", link.to),
                id if id == link.to => ("inwardIssue", link.from),
                _ => return None,
            };
            let other = self.state.kept.by_id(other)?;
            let mut shown = json!({
                "id": link.id.to_string(),
                "self": self.link(&format!("issueLink/{}", link.id)),
                "type": self.link_type(&link.kind),
            });
            shown[end] = json!({
                "id": other.id.to_string(), "key": other.key,
                "self": self.link(&format!("issue/{}", other.id)),
                "fields": { "summary": other.summary, "status": self.status(other.status) },
            });
            Some(shown)
        });
        ends.collect()
    }

    /// A status with its category. The names are those that each deployment has out of the box.
    pub fn status(&self, status: SandboxStatus) -> Value {
        let (id, cloud, data_center, category, key, colour) = match status {
            SandboxStatus::ToDo => ("10000", "To Do", "Open", 2, "new", "blue-gray"),
            SandboxStatus::InProgress => ("10001", "In Progress", "In Progress", 4, "indeterminate", "yellow"),
            SandboxStatus::Done => ("10002", "Done", "Resolved", 3, "done", "green"),
        };
        json!({
            "self": self.link(&format!("status/{id}")),
            "id": id,
            "name": if self.is_cloud() { cloud } else { data_center },
            "statusCategory": {
                "self": self.link(&format!("statuscategory/{category}")),
                "id": category, "key": key, "name": cloud, "colorName": colour,
            },
        })
    }

    pub fn resolution(&self, name: &str) -> Value {
        let place = self.options.resolutions.iter().position(|one| one == name);
        let id = (10_000 + place.unwrap_or(999)).to_string();
        json!({ "self": self.link(&format!("resolution/{id}")), "id": id, "name": name })
    }
}

fn wanted(fields: &[String], id: &str) -> bool {
    let excluded = fields.iter().any(|field| field.strip_prefix('-') == Some(id));
    let all = |field: &String| field == "*all" || field == "*navigable";
    !excluded && fields.iter().any(|field| all(field) || field == id)
}
