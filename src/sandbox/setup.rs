//! What a configuration is checked against: who asks, what they may, projects, fields, priorities.

use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::api::{Answer, Desk, Handled, PageQuery, page_of, query};

/// The permissions that this sandbox knows.
const PERMISSIONS: [&str; 9] = [
    "BROWSE_PROJECTS",
    "CREATE_ISSUES",
    "EDIT_ISSUES",
    "DELETE_ISSUES",
    "ADD_COMMENTS",
    "TRANSITION_ISSUES",
    "CREATE_ATTACHMENTS",
    "LINK_ISSUES",
    "ASSIGN_ISSUES",
];

impl Desk<'_> {
    pub fn myself(&self) -> Answer {
        let mut shown = self.user(&self.who.id);
        shown["emailAddress"] = json!(self.who.user);
        shown["timeZone"] = json!("Etc/UTC");
        Answer::ok(shown)
    }

    /// Cloud answers what it is asked for only; Data Center answers all there is.
    pub fn permissions(&mut self, text: &str) -> Handled {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields, rename_all = "camelCase")]
        struct Params {
            project_key: Option<String>,
            permissions: Option<String>,
        }
        let params: Params = query(text)?;
        if let Some(project) = &params.project_key {
            self.known_project(project)?;
        }
        let asked: Vec<String> = match (&params.permissions, self.is_cloud()) {
            (Some(list), true) => list.split(',').map(str::to_owned).collect(),
            (None, false) => PERMISSIONS.iter().map(|&one| one.to_owned()).collect(),
            (None, true) => return Err(Answer::bad("The 'permissions' query parameter is required.")),
            (Some(_), false) => {
                return Err(Answer::bad(
                    "The query has a parameter that this sandbox does not support.",
                ));
            }
        };
        if let Some(unknown) = asked.iter().find(|one| !PERMISSIONS.contains(&one.as_str())) {
            return Err(Answer::bad(&format!("Unrecognized permission: {unknown}")));
        }
        let shown: Map<String, Value> = asked
            .into_iter()
            .enumerate()
            .map(|(index, key)| {
                let held = self.may(&key);
                let shown = json!({
                    "id": (10 + index).to_string(), "key": key, "name": key, "type": "PROJECT",
                    "description": "", "havePermission": held,
                });
                (key, shown)
            })
            .collect();
        Ok(Answer::ok(json!({ "permissions": shown })))
    }

    fn known_project(&self, key: &str) -> Result<(), Answer> {
        if self.options.projects.iter().any(|one| one == key) {
            return Ok(());
        }
        let message = format!("No project could be found with key '{key}'.");
        Err(Answer::error(StatusCode::NOT_FOUND, &message))
    }

    pub fn project(&self, key: &str) -> Handled {
        self.known_project(key)?;
        let place = self.options.projects.iter().position(|one| one == key).unwrap_or(0);
        let id = (10_000 + place).to_string();
        Ok(Answer::ok(json!({
            "self": self.link(&format!("project/{id}")), "id": id, "key": key, "name": key, "archived": false,
        })))
    }

    pub fn issue_types(&self, project: &str, text: &str) -> Handled {
        let page: PageQuery = query(text)?;
        self.known_project(project)?;
        let types = self.options.issue_types.iter().enumerate().map(|(index, name)| {
            let id = (10_001 + index).to_string();
            json!({ "self": self.link(&format!("issuetype/{id}")), "id": id, "name": name, "subtask": false })
        });
        let name = if self.is_cloud() { "issueTypes" } else { "values" };
        Ok(Answer::ok(page_of(&page, name, &types.collect::<Vec<_>>())))
    }

    pub fn create_fields(&self, project: &str, issue_type: &str, text: &str) -> Handled {
        let page: PageQuery = query(text)?;
        self.known_project(project)?;
        let index = issue_type.parse::<usize>().ok().and_then(|id| id.checked_sub(10_001));
        if index.is_none_or(|index| index >= self.options.issue_types.len()) {
            return Err(Answer::bad("The issue type does not exist."));
        }
        let required = self.options.required(project);
        let always = ["project", "issuetype", "summary"];
        let names = |list: &[String]| list.iter().map(|name| json!({ "name": name })).collect::<Vec<_>>();
        let mut fields = Vec::new();
        let may = [
            "description",
            "labels",
            "priority",
            "components",
            "security",
            "parent",
            "assignee",
        ];
        let own = self.options.custom_fields.iter().map(String::as_str);
        let ids = always.into_iter().chain(may).chain(own).chain(required.iter().copied());
        for id in ids {
            if fields.iter().any(|field: &Value| field["fieldId"] == id) {
                continue;
            }
            let mut field = json!({
                "fieldId": id, "name": id, "required": always.contains(&id) || required.contains(&id),
                "hasDefaultValue": id == "priority", "operations": ["set"], "schema": { "type": "any" },
            });
            if self.is_cloud() {
                field["key"] = json!(id);
            }
            match id {
                "priority" => field["allowedValues"] = json!(names(&self.options.priorities)),
                "issuetype" => field["allowedValues"] = json!(names(&self.options.issue_types)),
                _ => {}
            }
            fields.push(field);
        }
        let name = if self.is_cloud() { "fields" } else { "values" };
        Ok(Answer::ok(page_of(&page, name, &fields)))
    }

    pub fn priorities(&self) -> Vec<Value> {
        let shown = self.options.priorities.iter().enumerate().map(|(index, name)| {
            let id = (index + 1).to_string();
            json!({ "self": self.link(&format!("priority/{id}")), "id": id, "name": name })
        });
        shown.collect()
    }

    pub fn resolutions(&self) -> Vec<Value> {
        let names = self.options.resolutions.iter();
        names.map(|name| self.resolution(name)).collect()
    }
}

/// A list as Cloud searches it, by pages.
pub(super) fn listed(all: &[Value], text: &str) -> Handled {
    let page: PageQuery = query(text)?;
    Ok(Answer::ok(page_of(&page, "values", all)))
}
